//===- Attention.h - The Attention dialect --------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The Attention dialect says what an attention computes: `attn.sdpa`, its online form, and masks as attributes of one
/// interface.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_DIALECTS_ATTENTION_ATTENTION_H
#define FLASHC_DIALECTS_ATTENTION_ATTENTION_H

#include "dialects/Tile/Tile.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace flashc::attn {

/// A range of key positions `[begin, end)`, index values; a null begin is 0 and a null end is the key length. Bounds
/// may lie below 0 or beyond the key length, and an end may lie before its begin (nothing): whoever reads them clamps.
struct KeyRange {
  mlir::Value begin, end;
};

/// Where a mask is evaluated: the batch entry and query head (index), the whole attention's lengths (index), and the
/// mask's own operands (memrefs). `keys` lie within the key length; nothing outside them is asked for.
struct MaskContext {
  mlir::Value batch, head;
  mlir::Value queryLength, keyLength;
  mlir::ValueRange operands;
  KeyRange keys = {};
};

/// What a mask says of all keys for a block of query rows. Keys outside `possible` are attended by no row of the block;
/// keys inside `full` are attended by every row, unless `neverFull`.
struct KeyClasses {
  KeyRange possible, full;
  bool neverFull = false;
};

/// Gives attn.sdpa upstream's TilingInterface; the dialect does it as it is loaded.
void attachTilingInterface(mlir::MLIRContext &context);

} // namespace flashc::attn

#include "dialects/Attention/AttentionDialect.h.inc"
#include "dialects/Attention/AttentionEnums.h.inc"
#include "dialects/Attention/AttentionInterfaces.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Attention/AttentionAttrs.h.inc"
#define GET_OP_CLASSES
#include "dialects/Attention/AttentionOps.h.inc"

#endif // FLASHC_DIALECTS_ATTENTION_ATTENTION_H

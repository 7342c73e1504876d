//===- Attention.cpp - The Attention dialect ------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace flashc::attn;

#include "dialects/Attention/AttentionDialect.cpp.inc"
#include "dialects/Attention/AttentionEnums.cpp.inc"
#include "dialects/Attention/AttentionInterfaces.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Attention/AttentionAttrs.cpp.inc"

void AttentionDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Attention/AttentionAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Attention/AttentionOps.cpp.inc"
      >();
}

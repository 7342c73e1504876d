//===- Attention.cpp - The Attention dialect ------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace flashc::attn;

#include "dialects/Attention/AttentionDialect.cpp.inc"
#include "dialects/Attention/AttentionEnums.cpp.inc"
#include "dialects/Attention/AttentionInterfaces.cpp.inc"

/// An alignment by name. There is no default: frameworks differ, and a wrong one is wrong silently.
static ParseResult parseAlignment(AsmParser &parser, Alignment &alignment) {
  SMLoc location = parser.getCurrentLocation();
  StringRef keyword;
  bool found = succeeded(parser.parseOptionalKeyword(&keyword));
  if (std::optional<Alignment> symbol = symbolizeAlignment(keyword); found && symbol) {
    alignment = *symbol;
    return success();
  }
  InFlightDiagnostic error = parser.emitError(location) << "expected an alignment, top_left or bottom_right";
  if (found)
    error << ", got " << keyword;
  return error;
}

static void printAlignment(AsmPrinter &printer, Alignment alignment) { printer << stringifyAlignment(alignment); }

/// `<alignment>`.
static ParseResult parseAlignmentParameter(AsmParser &parser, Alignment &alignment) {
  SMLoc location = parser.getCurrentLocation();
  if (failed(parser.parseOptionalLess()))
    return parser.emitError(location) << "expected an alignment, <top_left> or <bottom_right>: there is no default";
  return failure(parseAlignment(parser, alignment) || parser.parseGreater());
}

static void printAlignmentParameter(AsmPrinter &printer, Alignment alignment) {
  printer << '<';
  printAlignment(printer, alignment);
  printer << '>';
}

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
  attachTilingInterface(*getContext());
}

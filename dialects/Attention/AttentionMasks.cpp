//===- AttentionMasks.cpp - Facts and rules of the masks ------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What is known of a mask without emitting code: its operands, its parameters, and when it masks nothing.
///
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace flashc::attn;

namespace {
using EmitError = function_ref<InFlightDiagnostic()>;

/// Positions in the shape that `verifyOperands` is given.
enum ShapeIndex { kBatch, kQueryHeads, kKeyHeads, kQueries, kKeys };

/// One dimension that an operand has: what it is called and its size.
struct Dimension {
  StringRef name;
  int64_t size;
};
} // namespace

/// Checks that `type` holds integers of one of `widths` bits and has `dimensions`; with `broadcast` each may also be 1.
static LogicalResult verifyOperand(EmitError emitError, StringRef what, Type type, ArrayRef<unsigned> widths,
                                   ArrayRef<Dimension> dimensions, bool broadcast = false) {
  auto shaped = cast<ShapedType>(type);
  Type element = shaped.getElementType();
  if (llvm::none_of(widths, [&](unsigned width) { return element.isSignlessInteger(width); })) {
    InFlightDiagnostic error = emitError() << "expected " << what << " of element type ";
    llvm::interleave(widths, [&](unsigned width) { error << "i" << width; }, [&]() { error << " or "; });
    return error << ", got " << element;
  }
  if (shaped.getRank() != static_cast<int64_t>(dimensions.size())) {
    InFlightDiagnostic error = emitError() << "expected " << what << " of shape [";
    llvm::interleaveComma(dimensions, error, [&](const Dimension &dimension) { error << dimension.name; });
    return error << "], got " << type;
  }
  for (auto [index, dimension] : llvm::enumerate(dimensions)) {
    int64_t size = shaped.getDimSize(index);
    if (ShapedType::isDynamic(size) || ShapedType::isDynamic(dimension.size) || size == dimension.size ||
        (broadcast && size == 1))
      continue;
    return emitError() << "expected " << what << " to have " << dimension.name << " = " << dimension.size
                       << (broadcast ? ", or 1," : "") << " in dimension " << index << ", got " << size;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

unsigned KeyLengthsAttr::getNumOperands() const { return 1; }

LogicalResult KeyLengthsAttr::verifyOperands(EmitError emitError, TypeRange types, ArrayRef<int64_t> shape) const {
  return verifyOperand(emitError, "key lengths", types[0], {32, 64}, {{"B", shape[kBatch]}});
}

unsigned KeyPaddingAttr::getNumOperands() const { return 1; }

LogicalResult KeyPaddingAttr::verifyOperands(EmitError emitError, TypeRange types, ArrayRef<int64_t> shape) const {
  return verifyOperand(emitError, "key flags", types[0], {1, 8}, {{"B", shape[kBatch]}, {"Sk", shape[kKeys]}});
}

unsigned PrefixLMAttr::getNumOperands() const { return 1; }

LogicalResult PrefixLMAttr::verifyOperands(EmitError emitError, TypeRange types, ArrayRef<int64_t> shape) const {
  return verifyOperand(emitError, "prefix lengths", types[0], {32, 64}, {{"B", shape[kBatch]}});
}

unsigned SegmentsAttr::getNumOperands() const { return 2; }

LogicalResult SegmentsAttr::verifyOperands(EmitError emitError, TypeRange types, ArrayRef<int64_t> shape) const {
  if (failed(verifyOperand(emitError, "query segments", types[0], {32, 64},
                           {{"B", shape[kBatch]}, {"Sq", shape[kQueries]}})) ||
      failed(
          verifyOperand(emitError, "key segments", types[1], {32, 64}, {{"B", shape[kBatch]}, {"Sk", shape[kKeys]}})))
    return failure();
  // Segments are compared with each other, in one integer type.
  Type query = getElementTypeOrSelf(types[0]), key = getElementTypeOrSelf(types[1]);
  if (query != key)
    return emitError() << "expected query and key segments of one element type, got " << query << " and " << key;
  return success();
}

unsigned TensorMaskAttr::getNumOperands() const { return 1; }

LogicalResult TensorMaskAttr::verifyOperands(EmitError emitError, TypeRange types, ArrayRef<int64_t> shape) const {
  return verifyOperand(
      emitError, "mask tensor", types[0], {1, 8},
      {{"B", shape[kBatch]}, {"Hq", shape[kQueryHeads]}, {"Sq", shape[kQueries]}, {"Sk", shape[kKeys]}},
      /*broadcast=*/true);
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

LogicalResult WindowAttr::verify(EmitError emitError, int64_t left, int64_t right, Alignment alignment) {
  if (left < -1)
    return emitError() << "expected a left window of -1 (unbounded) or more, got " << left;
  if (right < -1)
    return emitError() << "expected a right window of -1 (unbounded) or more, got " << right;
  return success();
}

//===----------------------------------------------------------------------===//
// Masks that mask nothing
//===----------------------------------------------------------------------===//

/// Whether `d - left <= j` for every query and key: the largest d is that of the last query.
static bool leftAttendsAll(int64_t left, Alignment alignment, int64_t queryLength, int64_t keyLength) {
  if (left < 0)
    return true;
  int64_t length = alignment == Alignment::TopLeft ? queryLength : keyLength;
  return !ShapedType::isDynamic(length) && length - 1 <= left;
}

/// Whether `j <= d + right` for every query and key: the smallest d is that of query 0.
static bool rightAttendsAll(int64_t right, Alignment alignment, int64_t queryLength, int64_t keyLength) {
  if (right < 0)
    return true;
  int64_t length = alignment == Alignment::TopLeft ? keyLength : queryLength;
  return !ShapedType::isDynamic(length) && length - 1 <= right;
}

static bool isEmpty(int64_t queryLength, int64_t keyLength) { return queryLength == 0 || keyLength == 0; }

bool CausalAttr::attendsAll(int64_t queryLength, int64_t keyLength) const {
  return isEmpty(queryLength, keyLength) || rightAttendsAll(0, getAlignment(), queryLength, keyLength);
}

bool WindowAttr::attendsAll(int64_t queryLength, int64_t keyLength) const {
  return isEmpty(queryLength, keyLength) || (leftAttendsAll(getLeft(), getAlignment(), queryLength, keyLength) &&
                                             rightAttendsAll(getRight(), getAlignment(), queryLength, keyLength));
}

/// Whether every element of a constant satisfies `holds`; false for a value that is not known.
static bool allElements(Attribute constant, function_ref<bool(const APInt &)> holds) {
  auto elements = dyn_cast_or_null<DenseIntElementsAttr>(constant);
  if (!elements)
    return false;
  return elements.isSplat() ? holds(elements.getSplatValue<APInt>()) : llvm::all_of(elements.getValues<APInt>(), holds);
}

bool KeyLengthsAttr::operandsAttendAll(ArrayRef<Attribute> operands, int64_t keyLength) const {
  return !ShapedType::isDynamic(keyLength) &&
         allElements(operands[0], [&](const APInt &length) { return length.getSExtValue() >= keyLength; });
}

bool KeyPaddingAttr::operandsAttendAll(ArrayRef<Attribute> operands, int64_t keyLength) const {
  return allElements(operands[0], [](const APInt &flag) { return !flag.isZero(); });
}

bool TensorMaskAttr::operandsAttendAll(ArrayRef<Attribute> operands, int64_t keyLength) const {
  return allElements(operands[0], [](const APInt &flag) { return !flag.isZero(); });
}

//===- TileThreadOps.cpp - What one thread of a GPU does ------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"

using namespace mlir;
using namespace flashc::tile;

LogicalResult ConvertOp::verify() {
  auto from = cast<TileType>(getInput().getType()), to = cast<TileType>(getResult().getType());
  if (from.getShape() != to.getShape() || from.getElementType() != to.getElementType())
    return emitOpError() << "expected the same tile in another layout, got " << from << " and " << to;
  return success();
}

LogicalResult MmaOp::verify() {
  if (getShape().size() != 3)
    return emitOpError() << "expected a shape of three sizes (rows, columns, contraction), got " << getShape().size();
  if (cast<VectorType>(getLhs().getType()).getElementType() != cast<VectorType>(getRhs().getType()).getElementType())
    return emitOpError() << "expected both sides of one element type, got " << getLhs().getType() << " and "
                         << getRhs().getType();
  return success();
}

static LogicalResult verifyVectorAccess(Operation *op, Type vector, Type memory) {
  Type element = cast<MemRefType>(memory).getElementType();
  if (cast<VectorType>(vector).getElementType() != element)
    return op->emitOpError() << "expected a vector of the memory's " << element << ", got " << vector;
  return success();
}

LogicalResult VectorLoadOp::verify() { return verifyVectorAccess(*this, getResult().getType(), getMemory().getType()); }

LogicalResult VectorStoreOp::verify() { return verifyVectorAccess(*this, getValue().getType(), getMemory().getType()); }

LogicalResult LoadOrZeroOp::verify() {
  auto vector = cast<VectorType>(getResult().getType());
  if (vector.getNumElements() * vector.getElementTypeBitWidth() != 128)
    return emitOpError() << "expected a vector of sixteen bytes, got " << vector;
  return verifyVectorAccess(*this, vector, getMemory().getType());
}

LogicalResult LoadMatrixOp::verify() {
  auto vector = cast<VectorType>(getResult().getType());
  bool words = vector.getElementType().isF32();
  if (vector.getNumElements() != (words ? 4 : 8))
    return emitOpError() << "expected " << (words ? "four elements, one" : "eight elements, two")
                         << " of each of four matrices, got " << vector;
  if (words && getTransposed())
    return emitOpError() << "expected matrices of 16-bit elements to transpose, got " << vector;
  return verifyVectorAccess(*this, getResult().getType(), getMemory().getType());
}

/// An operand of a warpgroup's product in shared memory.
static LogicalResult verifyOperand(WarpgroupMmaOp op, StringRef side, Type memory, Type tile) {
  auto type = cast<TileType>(tile);
  if (!isa_and_nonnull<SharedLayoutAttr>(type.getLayout()))
    return op.emitOpError() << "expected a " << side << " tile in shared memory, got " << tile;
  if (Type element = cast<MemRefType>(memory).getElementType(); element != type.getElementType())
    return op.emitOpError() << "expected a " << side << " tile of the memory's " << element << ", got " << tile;
  return success();
}

int64_t WarpgroupMmaOp::getSteps() {
  ArrayRef<int64_t> shape = cast<TileType>(getRhsTile()).getShape();
  return llvm::divideCeil(shape[getTransposed() ? 1 : 0], 16);
}

LogicalResult WarpgroupMmaOp::verify() {
  Type element = cast<MemRefType>(getRhs().getType()).getElementType();
  if (failed(verifyOperand(*this, "right-hand", getRhs().getType(), getRhsTile())))
    return failure();
  bool inMemory = getLhs().size() == 1 && isa<MemRefType>(getLhs().front().getType());
  if (inMemory != bool(getLhsIndex()) || inMemory != getLhsTile().has_value())
    return emitOpError("expected an index and a tile type of a left-hand side in memory, and of no other");
  if (inMemory) {
    if (failed(verifyOperand(*this, "left-hand", getLhs().front().getType(), *getLhsTile())))
      return failure();
    if (Type left = cast<MemRefType>(getLhs().front().getType()).getElementType(); left != element)
      return emitOpError() << "expected both sides of one element type, got " << left << " and " << element;
  } else {
    auto block = VectorType::get({8}, element);
    if (static_cast<int64_t>(getLhs().size()) != getSteps() ||
        llvm::any_of(getLhs().getTypes(), [&](Type type) { return type != block; }))
      return emitOpError() << "expected " << getSteps() << " left-hand fragments of " << block
                           << ", one a step of the contraction, got " << getLhs().getTypes();
  }
  auto sums = VectorType::get({4}, Float32Type::get(getContext()));
  if (getNumResults() < 1 || getNumResults() > 32 ||
      llvm::any_of(getResultTypes(), [&](Type type) { return type != sums; }))
    return emitOpError() << "expected 1 to 32 results of " << sums << ", one for eight columns, got "
                         << getResultTypes();
  int64_t columns = cast<TileType>(getRhsTile()).getShape()[getTransposed() ? 0 : 1];
  if (static_cast<int64_t>(llvm::divideCeil(columns, 8)) != getNumResults())
    return emitOpError() << "expected results for " << columns << " columns, got " << getNumResults();
  if (!getAccumulators().empty() && getAccumulators().getTypes() != getResultTypes())
    return emitOpError() << "expected accumulators of the results' types, got " << getAccumulators().getTypes();
  return success();
}

LogicalResult WarpgroupWaitOp::verify() {
  if (getValues().getTypes() != getResultTypes())
    return emitOpError() << "expected results of the values' types, got " << getResultTypes();
  return success();
}

LogicalResult CopyAsyncOp::verify() {
  Type from = cast<MemRefType>(getSource().getType()).getElementType(),
       to = cast<MemRefType>(getDestination().getType()).getElementType();
  if (from != to)
    return emitOpError() << "expected memory of one element type, got " << from << " and " << to;
  return success();
}

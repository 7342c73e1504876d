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

LogicalResult LoadMatrixOp::verify() {
  if (cast<VectorType>(getResult().getType()).getNumElements() != 8)
    return emitOpError() << "expected eight elements, two of each of four matrices, got " << getResult().getType();
  return verifyVectorAccess(*this, getResult().getType(), getMemory().getType());
}

LogicalResult CopyAsyncOp::verify() {
  Type from = cast<MemRefType>(getSource().getType()).getElementType(),
       to = cast<MemRefType>(getDestination().getType()).getElementType();
  if (from != to)
    return emitOpError() << "expected memory of one element type, got " << from << " and " << to;
  return success();
}

//===- ThreadOps.cpp - Thread operations of the Tile dialect in LLVM's ----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ThreadOps.h"

#include "passes/MemRefPointers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace flashc;

Value flashc::getElementPointer(OpBuilder &b, Location loc, Value memory, Value index, bool parted) {
  Type element = cast<MemRefType>(memory.getType()).getElementType();
  Value base = getFirstPointer(b, loc, memory);
  auto advance = [&](Value pointer, LLVM::GEPArg by) -> Value {
    return b.create<LLVM::GEPOp>(loc, pointer.getType(), element, pointer, ArrayRef<LLVM::GEPArg>{by});
  };
  auto cast = [&](Value x) -> Value { return b.create<arith::IndexCastOp>(loc, b.getI64Type(), x); };
  APInt known;
  auto sum = parted ? index.getDefiningOp<arith::AddIOp>() : nullptr;
  if (sum && matchPattern(sum.getRhs(), m_ConstantInt(&known)) && known.isSignedIntN(32))
    return advance(advance(base, cast(sum.getLhs())), static_cast<int32_t>(known.getSExtValue()));
  return advance(base, cast(index));
}

static unsigned bytesOf(Type vector) {
  auto type = cast<VectorType>(vector);
  return type.getNumElements() * type.getElementTypeBitWidth() / 8;
}

void flashc::lowerVectorAccess(tile::VectorLoadOp op, bool parted) {
  OpBuilder b(op);
  Value pointer = getElementPointer(b, op.getLoc(), op.getMemory(), op.getIndex(), parted);
  Type type = op.getResult().getType();
  op.replaceAllUsesWith(b.create<LLVM::LoadOp>(op.getLoc(), type, pointer, bytesOf(type)).getResult());
  op.erase();
}

void flashc::lowerVectorAccess(tile::VectorStoreOp op, bool parted) {
  OpBuilder b(op);
  Value pointer = getElementPointer(b, op.getLoc(), op.getMemory(), op.getIndex(), parted);
  b.create<LLVM::StoreOp>(op.getLoc(), op.getValue(), pointer, bytesOf(op.getValue().getType()));
  op.erase();
}

SmallVector<Value> flashc::takeApart(OpBuilder &b, Location loc, Value vector, Type element) {
  auto type = cast<VectorType>(vector.getType());
  unsigned each = isa<VectorType>(element)
                      ? cast<VectorType>(element).getNumElements() * cast<VectorType>(element).getElementTypeBitWidth()
                      : element.getIntOrFloatBitWidth();
  unsigned count = type.getNumElements() * type.getElementTypeBitWidth() / each;
  // A vector of scalars as wide as the parts; parts that are vectors are bits of one scalar.
  Type scalar = isa<VectorType>(element) ? Type(b.getIntegerType(each)) : element;
  Value cast = vector;
  if (type != VectorType::get({count}, scalar))
    cast = b.create<LLVM::BitcastOp>(loc, VectorType::get({count}, scalar), vector);
  SmallVector<Value> parts;
  for (unsigned i = 0; i < count; ++i) {
    Value at = b.create<LLVM::ConstantOp>(loc, b.getI32Type(), b.getI32IntegerAttr(i));
    Value part = b.create<LLVM::ExtractElementOp>(loc, cast, at);
    parts.push_back(scalar == element ? part : b.create<LLVM::BitcastOp>(loc, element, part).getResult());
  }
  return parts;
}

Value flashc::putTogether(OpBuilder &b, Location loc, ValueRange values, VectorType type) {
  Type scalar = values.front().getType();
  auto whole = VectorType::get({static_cast<int64_t>(values.size())}, scalar);
  Value vector = b.create<LLVM::UndefOp>(loc, whole);
  for (auto [i, value] : llvm::enumerate(values)) {
    Value at = b.create<LLVM::ConstantOp>(loc, b.getI32Type(), b.getI32IntegerAttr(i));
    vector = b.create<LLVM::InsertElementOp>(loc, vector, value, at);
  }
  return whole == type ? vector : b.create<LLVM::BitcastOp>(loc, type, vector).getResult();
}

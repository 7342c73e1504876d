//===- AskedLines.cpp - Memory that products ask for on their way ---------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/AskedLines.h"

#include "dialects/Attention/IndexMath.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace flashc;

namespace {
/// Lines that are listed at most: those of a problem that fits into a second-level cache beside another one.
constexpr int64_t kMostLines = 2048;
constexpr int64_t kLineBytes = 64;
constexpr llvm::StringLiteral kLinesAttrName = "tile.asked_lines", kStateAttrName = "tile.asked_state";
} // namespace

AskedLines AskedLines::create(OpBuilder &b, Location loc) {
  IndexMath math(b, loc);
  auto allocate = [&](int64_t size, StringRef name) {
    auto memory = b.create<memref::AllocaOp>(loc, MemRefType::get({size}, b.getIndexType()), b.getI64IntegerAttr(64));
    memory->setAttr(name, b.getUnitAttr());
    return memory.getResult();
  };
  // The last one is always there, for steps that have nothing to ask for.
  AskedLines asked(allocate(kMostLines + 1, kLinesAttrName), allocate(2, kStateAttrName));
  Value harmless = b.create<memref::ExtractAlignedPointerAsIndexOp>(loc, asked.lines);
  b.create<memref::StoreOp>(loc, harmless, asked.lines, math.constant(kMostLines));
  asked.start(b, loc, math.constant(0));
  return asked;
}

AskedLines AskedLines::find(Operation *op) {
  AskedLines asked;
  for (Operation *at = op; at && !asked.state; at = at->getParentOp()) {
    if (!at->getBlock())
      break;
    for (auto memory : at->getBlock()->getOps<memref::AllocaOp>()) {
      if (memory->hasAttr(kLinesAttrName))
        asked.lines = memory;
      if (memory->hasAttr(kStateAttrName))
        asked.state = memory;
    }
  }
  return asked;
}

Value AskedLines::append(OpBuilder &b, Location loc, Value count, Value part, Value condition) const {
  auto type = cast<MemRefType>(part.getType());
  int64_t rank = type.getRank(), columns = rank < 2 ? ShapedType::kDynamic : type.getDimSize(rank - 1);
  bool isRows = rank >= 2 && llvm::all_of(type.getShape().drop_back(2), [](int64_t size) { return size == 1; });
  if (!isRows || ShapedType::isDynamic(columns) || columns == 0 || !type.getElementType().isIntOrFloat())
    return count;
  int64_t bytes = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  int64_t linesOfRow = llvm::divideCeil(columns * bytes, kLineBytes);
  if (linesOfRow > kMostLines)
    return count;
  IndexMath math(b, loc);
  auto metadata = b.create<memref::ExtractStridedMetadataOp>(loc, part);
  Value base = b.create<memref::ExtractAlignedPointerAsIndexOp>(loc, part);
  base = math.add(base, math.mul(metadata.getOffset(), math.constant(bytes)));
  Value rows = math.dim(part, rank - 2), rowBytes = math.mul(metadata.getStrides()[rank - 2], math.constant(bytes));
  Value end = math.add(count, math.mul(rows, math.constant(linesOfRow)));
  Value fits = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ule, end, math.constant(kMostLines));
  fits = b.create<arith::AndIOp>(loc, condition, fits);
  auto vectorType = VectorType::get({linesOfRow}, b.getIndexType());
  SmallVector<Attribute> steps;
  for (int64_t line = 0; line < linesOfRow; ++line)
    steps.push_back(b.getIndexAttr(line * kLineBytes));
  Value offsets = b.create<arith::ConstantOp>(loc, vectorType, DenseElementsAttr::get(vectorType, steps));
  Value zero = math.constant(0);
  auto loop = b.create<scf::ForOp>(loc, zero, b.create<arith::SelectOp>(loc, fits, rows, zero), math.constant(1));
  OpBuilder inner = OpBuilder::atBlockBegin(loop.getBody());
  IndexMath ofRow(inner, loc);
  Value row = loop.getInductionVar();
  Value first = inner.create<vector::BroadcastOp>(loc, vectorType, ofRow.add(base, ofRow.mul(row, rowBytes)));
  inner.create<vector::StoreOp>(loc, inner.create<arith::AddIOp>(loc, first, offsets), lines,
                                ofRow.add(count, ofRow.mul(row, ofRow.constant(linesOfRow))));
  return b.create<arith::SelectOp>(loc, fits, end, count);
}

void AskedLines::start(OpBuilder &b, Location loc, Value count) const {
  IndexMath math(b, loc);
  b.create<memref::StoreOp>(loc, math.constant(0), state, math.constant(0));
  b.create<memref::StoreOp>(loc, count, state, math.constant(1));
}

void AskedLines::ask(OpBuilder &b, Location loc, Value at) const {
  Value address = b.create<memref::LoadOp>(loc, lines, at);
  address = b.create<arith::IndexCastOp>(loc, b.getI64Type(), address);
  Value pointer = b.create<LLVM::IntToPtrOp>(loc, LLVM::LLVMPointerType::get(b.getContext()), address);
  // Into the second-level cache: the first one is the current problem's.
  b.create<LLVM::Prefetch>(loc, pointer, /*rw=*/0, /*hint=*/2, /*cache=*/1);
}

void AskedLines::finish(OpBuilder &b, Location loc) const {
  IndexMath math(b, loc);
  Value next = b.create<memref::LoadOp>(loc, state, math.constant(0));
  Value end = b.create<memref::LoadOp>(loc, state, math.constant(1));
  auto loop = b.create<scf::ForOp>(loc, next, end, math.constant(1));
  OpBuilder inner = OpBuilder::atBlockBegin(loop.getBody());
  ask(inner, loc, loop.getInductionVar());
}

AskedLines::Steps AskedLines::beginSteps(OpBuilder &b, Location loc, Value count) const {
  IndexMath math(b, loc);
  Value next = b.create<memref::LoadOp>(loc, state, math.constant(0));
  Value end = b.create<memref::LoadOp>(loc, state, math.constant(1));
  Value after = math.add(next, count);
  Value asks = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ule, after, end);
  Steps steps;
  steps.first = b.create<arith::SelectOp>(loc, asks, next, math.constant(kMostLines));
  steps.stride = b.create<arith::SelectOp>(loc, asks, math.constant(1), math.constant(0));
  b.create<memref::StoreOp>(loc, b.create<arith::SelectOp>(loc, asks, after, next), state, math.constant(0));
  return steps;
}

void AskedLines::askInStep(OpBuilder &b, Location loc, const Steps &steps, Value step) const {
  IndexMath math(b, loc);
  ask(b, loc, math.add(steps.first, math.mul(step, steps.stride)));
}

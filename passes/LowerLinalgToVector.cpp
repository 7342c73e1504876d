//===- LowerLinalgToVector.cpp - Structured operations as vector code -----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/LowerLinalg.h"
#include "passes/Passes.h"
#include "llvm/Support/MathExtras.h"

namespace flashc {
#define GEN_PASS_DEF_LOWERLINALGTOVECTOR
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace flashc::lower {

void forEachTask(OpBuilder &builder, Location loc, ArrayRef<OpFoldResult> sizes, ArrayRef<int64_t> chunks,
                 bool parallel, llvm::function_ref<void(OpBuilder &, ArrayRef<Span>)> body) {
  OpBuilder::InsertionGuard guard(builder);
  AffineExpr number = builder.getAffineDimExpr(0), size = builder.getAffineDimExpr(1);
  SmallVector<OpFoldResult> counts;
  SmallVector<unsigned> loops;
  for (auto [dim, extent] : llvm::enumerate(sizes)) {
    OpFoldResult count =
        affine::makeComposedFoldedAffineApply(builder, loc, AffineMap::get(1, 0, number.ceilDiv(chunks[dim])), extent);
    if (getConstantIntValue(count) == 1)
      continue;
    loops.push_back(dim);
    counts.push_back(count);
  }
  SmallVector<Value> tasks;
  if (parallel && !loops.empty()) {
    auto forall = builder.create<scf::ForallOp>(loc, counts, ValueRange(), std::nullopt);
    builder.setInsertionPointToStart(forall.getBody());
    llvm::append_range(tasks, forall.getInductionVars());
  } else {
    Value zero = builder.create<arith::ConstantIndexOp>(loc, 0), one = builder.create<arith::ConstantIndexOp>(loc, 1);
    for (OpFoldResult count : counts) {
      auto loop = builder.create<scf::ForOp>(loc, zero, getValueOrCreateConstantIndexOp(builder, loc, count), one);
      builder.setInsertionPointToStart(loop.getBody());
      tasks.push_back(loop.getInductionVar());
    }
  }
  SmallVector<Span> spans;
  unsigned next = 0;
  for (auto [dim, extent] : llvm::enumerate(sizes)) {
    if (next == loops.size() || loops[next] != dim) {
      spans.push_back({builder.create<arith::ConstantIndexOp>(loc, 0), extent});
      continue;
    }
    Value task = tasks[next++];
    int64_t chunk = chunks[dim];
    OpFoldResult base =
        affine::makeComposedFoldedAffineApply(builder, loc, AffineMap::get(1, 0, number * chunk), OpFoldResult(task));
    auto known = getConstantIntValue(extent);
    OpFoldResult length = builder.getIndexAttr(chunk);
    if (chunk != 1 && (!known || *known % chunk != 0))
      length = affine::makeComposedFoldedAffineMin(
          builder, loc,
          AffineMap::get(2, 0, {builder.getAffineConstantExpr(chunk), size - number * chunk}, builder.getContext()),
          {OpFoldResult(task), extent});
    spans.push_back({getValueOrCreateConstantIndexOp(builder, loc, base), length});
  }
  body(builder, spans);
}

void forEachTile(OpBuilder &builder, Location loc, Span span, ArrayRef<int64_t> tiles,
                 llvm::function_ref<void(OpBuilder &, Value, int64_t)> body) {
  OpFoldResult done = builder.getIndexAttr(0);
  AffineExpr from = builder.getAffineDimExpr(0), length = builder.getAffineDimExpr(1);
  for (int64_t tile : tiles) {
    // All whole tiles between what is done and the end.
    OpFoldResult end = affine::makeComposedFoldedAffineApply(
        builder, loc, AffineMap::get(2, 0, from + (length - from).floorDiv(tile) * tile), {done, span.length});
    auto first = getConstantIntValue(done), last = getConstantIntValue(end);
    if (!first || !last || *first < *last) {
      auto at = [&](OpFoldResult offset) {
        OpFoldResult sum = affine::makeComposedFoldedAffineApply(builder, loc, AffineMap::get(2, 0, from + length),
                                                                 {OpFoldResult(span.base), offset});
        return getValueOrCreateConstantIndexOp(builder, loc, sum);
      };
      OpBuilder::InsertionGuard guard(builder);
      if (first && last && *last - *first == tile) {
        body(builder, at(done), tile);
      } else {
        Value step = builder.create<arith::ConstantIndexOp>(loc, tile);
        auto loop = builder.create<scf::ForOp>(loc, at(done), at(end), step);
        builder.setInsertionPointToStart(loop.getBody());
        body(builder, loop.getInductionVar(), tile);
      }
    }
    done = end;
  }
}

ValueRange forCarried(OpBuilder &builder, Location loc, Value begin, Value end, int64_t step, ValueRange carried,
                      llvm::function_ref<SmallVector<Value>(OpBuilder &, Value, ValueRange)> body) {
  Value stride = builder.create<arith::ConstantIndexOp>(loc, step);
  auto loop = builder.create<scf::ForOp>(loc, begin, end, stride, carried,
                                         [&](OpBuilder &inner, Location, Value position, ValueRange values) {
                                           inner.create<scf::YieldOp>(loc, body(inner, position, values));
                                         });
  return loop.getResults();
}

SmallVector<Value> indicesAt(OpBuilder &builder, Location loc, AffineMap map, ValueRange point) {
  SmallVector<Value> indices;
  SmallVector<OpFoldResult> operands(point.begin(), point.end());
  for (AffineExpr result : map.getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(result)) {
      indices.push_back(point[dim.getPosition()]);
      continue;
    }
    OpFoldResult index =
        affine::makeComposedFoldedAffineApply(builder, loc, AffineMap::get(map.getNumDims(), 0, result), operands);
    indices.push_back(getValueOrCreateConstantIndexOp(builder, loc, index));
  }
  return indices;
}

} // namespace flashc::lower

namespace {

struct LowerLinalgToVector : flashc::impl::LowerLinalgToVectorBase<LowerLinalgToVector> {
  using LowerLinalgToVectorBase::LowerLinalgToVectorBase;

  void runOnOperation() override {
    lower::VectorUnit unit{vectorBytes, vectorRegisters};
    if (!llvm::isPowerOf2_32(unit.bytes) || unit.bytes < 8) {
      getOperation().emitError() << "expected vectors of a power of two of 8 or more bytes, got " << unit.bytes;
      return signalPassFailure();
    }
    // A copy is a structured operation too, and need not be one call of a function that walks strides.
    SmallVector<memref::CopyOp> copies;
    getOperation().walk([&](memref::CopyOp op) { copies.push_back(op); });
    for (memref::CopyOp op : copies) {
      OpBuilder builder(op);
      linalg::makeMemRefCopyOp(builder, op.getLoc(), op.getSource(), op.getTarget());
      op.erase();
    }
    SmallVector<linalg::LinalgOp> ops;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (op.hasPureBufferSemantics())
        ops.push_back(op);
    });
    for (linalg::LinalgOp op : ops) {
      OpBuilder builder(op);
      if (lower::lowerContraction(builder, op, unit)) {
        ++numProducts;
      } else {
        lower::lowerLoops(builder, op, unit);
        ++numNests;
      }
      op.erase();
    }
  }
};

} // namespace

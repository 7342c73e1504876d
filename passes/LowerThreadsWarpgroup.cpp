//===- LowerThreadsWarpgroup.cpp - Products of warpgroups -----------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/GpuUnits.h"
#include "passes/LowerThreads.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::threads;

Value ThreadBuilder::findWarpgroup() {
  Value number = b.create<arith::DivUIOp>(loc, block.thread, constant(128));
  Value word = b.create<arith::IndexCastOp>(loc, b.getI32Type(), number);
  auto first = b.create<gpu::ShuffleOp>(loc, word, /*offset=*/0, block.gpu.subgroupSize, gpu::ShuffleMode::IDX);
  return b.create<arith::IndexCastOp>(loc, b.getIndexType(), first.getShuffleResult());
}

// A warpgroup waits for its turn at a barrier of its own, at which the one before it arrives and goes on.
static constexpr int64_t kFirstTurnBarrier = 3, kTurnThreads = 2 * 128;

void ThreadBuilder::takeTurn(int64_t count) {
  Value number = index.add(block.warpgroup, kFirstTurnBarrier);
  b.create<tile::NamedBarrierOp>(loc, number, kTurnThreads, /*arrive=*/false);
}

void ThreadBuilder::passTurn(int64_t count) {
  Value isLast = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, block.warpgroup, constant(count - 1));
  Value next = index.add(block.warpgroup, kFirstTurnBarrier + 1);
  Value number = b.create<arith::SelectOp>(loc, isLast, constant(kFirstTurnBarrier), next);
  b.create<tile::NamedBarrierOp>(loc, number, kTurnThreads, /*arrive=*/true);
}

void ThreadBuilder::startTurns(int64_t count) {
  Value isLast = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, block.warpgroup, constant(count - 1));
  auto branch = b.create<scf::IfOp>(loc, isLast, /*withElseRegion=*/false);
  OpBuilder inner = branch.getThenBodyBuilder();
  Value first = IndexMath(inner, loc).constant(kFirstTurnBarrier);
  inner.create<tile::NamedBarrierOp>(loc, first, kTurnThreads, /*arrive=*/true);
}

int64_t ThreadBuilder::getNumGroups(tile::DotOp op) {
  tile::TileType type = typeOf(op.getResult());
  return cast<tile::FragmentLayoutAttr>(type.getLayout()).getBlocks(type.getShape()).first;
}

/// Whether a tile is known to be zero, so that an instruction need not read it.
static bool isZero(Value tile) {
  auto splat = tile.getDefiningOp<tile::SplatOp>();
  return splat && matchPattern(splat.getValue(), m_PosZeroFloat());
}

ThreadTile ThreadBuilder::startProduct(tile::DotOp op, const ThreadTile &lhs, const ThreadTile &rhs,
                                       const ThreadTile &accumulator) {
  tile::TileType type = typeOf(op.getResult()), lhsType = typeOf(op.getLhs());
  auto sums = cast<tile::FragmentLayoutAttr>(type.getLayout());
  int64_t down, across;
  std::tie(down, across) = sums.getBlocks(type.getShape());
  bool fromZero = isZero(op.getAccumulator());
  TypeAttr rhsTile = TypeAttr::get(op.getRhs().getType()), lhsTile;
  ThreadTile result;
  for (int64_t m = 0; m < down; ++m) {
    SmallVector<Value> left;
    Value first;
    if (lhs.memory) {
      int64_t panel = cast<tile::SharedLayoutAttr>(lhsType.getLayout()).getPanel();
      Value row = index.mul(block.warpgroup, constant(sums.getWarpRows(type.getShape()[0])));
      first = index.mul(index.add(row, m * kWarpgroupRows), constant(panel / bytesOf(lhsType.getElementType())));
      left.push_back(lhs.memory);
      lhsTile = TypeAttr::get(lhsType);
    } else {
      size_t steps = lhs.parts.size() / down;
      llvm::append_range(left, ArrayRef(lhs.parts).slice(m * steps, steps));
    }
    auto before = ArrayRef(accumulator.parts).slice(m * across, across);
    auto mma = b.create<tile::WarpgroupMmaOp>(loc, SmallVector<Type>(across, before.front().getType()), left, first,
                                              rhs.memory, constant(0), fromZero ? ArrayRef<Value>() : before,
                                              op.getTransposedAttr(), lhsTile, rhsTile);
    llvm::append_range(result.parts, mma.getResults());
  }
  return result;
}

ThreadTile ThreadBuilder::awaitProduct(const ThreadTile &sums, int64_t pending) {
  auto wait =
      b.create<tile::WarpgroupWaitOp>(loc, TypeRange(ValueRange(sums.parts)), b.getI64IntegerAttr(pending), sums.parts);
  return {SmallVector<Value>(wait.getResults()), {}};
}

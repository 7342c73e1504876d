//===- ShareScans.cpp - share-scans ---------------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/IndexMath.h"
#include "dialects/Tile/Tile.h"
#include "passes/GpuKernels.h"
#include "passes/LaneExchange.h"
#include "passes/ReadOnly.h"
#include "passes/ScanPasses.h"
#include "passes/TaskLoops.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace flashc {
#define GEN_PASS_DEF_SHARESCANS
#include "passes/ScanPasses.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// Whether the operation gives the same for the same number twice.
bool isIdempotent(Operation *op) { return !isa<arith::AddIOp>(op); }

/// One result of a loop: `combine` of what was found so far and of the turn's own number.
struct Reduction {
  Operation *combine;
  Value found, number;
};

/// A number from which on `combine` gives the turns' own.
Value emitNeutral(OpBuilder &b, Location loc, Reduction reduction) {
  assert(isa<arith::AddIOp>(reduction.combine) && "others begin with what their loop begins with");
  return b.create<arith::ConstantOp>(loc, b.getZeroAttr(reduction.number.getType()));
}

/// Whether all threads of a block, or of a role, do `op` at the same time with the same values.
bool isOfWholeBlock(Operation *op, scf::ForallOp loop) {
  for (Operation *parent = op->getParentOp(); parent != loop; parent = parent->getParentOp())
    if (!isa<scf::ForOp, scf::IfOp, scf::WhileOp, tile::RolesOp>(parent))
      return false;
  return true;
}

/// The results of a loop that its turns, which only read, can find in any order; nothing where they cannot, or where it
/// has none.
SmallVector<Reduction> matchScan(scf::ForOp loop) {
  if (!isConstantIntValue(loop.getStep(), 1) || !llvm::all_of(loop.getBody()->without_terminator(), [](Operation &op) {
        return op.getNumRegions() == 0 && onlyReads(&op);
      }))
    return {};
  SmallVector<Reduction> reductions;
  for (auto [found, next] : llvm::zip_equal(loop.getRegionIterArgs(), loop.getYieldedValues())) {
    Operation *combine = next.getDefiningOp();
    if (!isa_and_nonnull<arith::MinSIOp, arith::MaxSIOp, arith::MinUIOp, arith::MaxUIOp, arith::AndIOp, arith::OrIOp,
                         arith::AddIOp>(combine) ||
        combine->getBlock() != loop.getBody() || !next.hasOneUse() || !found.hasOneUse() ||
        !next.getType().isIntOrIndex())
      return {};
    bool isLeft = combine->getOperand(0) == found;
    if (!isLeft && combine->getOperand(1) != found)
      return {};
    reductions.push_back({combine, found, combine->getOperand(isLeft ? 1 : 0)});
  }
  return reductions;
}

void share(scf::ForOp loop, ArrayRef<Reduction> reductions, unsigned subgroupSize, bool uniform) {
  Location loc = loop.getLoc();
  OpBuilder b(loop);
  IndexMath index(b, loc);
  auto combine = [&](OpBuilder &b, Reduction reduction, Value x, Value y) {
    IRMapping map;
    map.map(reduction.found, x);
    map.map(reduction.number, y);
    return b.clone(*reduction.combine, map)->getResult(0);
  };
  Value size = index.constant(subgroupSize);
  Value thread = b.create<gpu::ThreadIdOp>(loc, b.getIndexType(), gpu::Dimension::x);
  Value lane = b.create<arith::RemUIOp>(loc, thread, size);
  Value end = loop.getUpperBound(), last = index.add(end, -1);
  SmallVector<Value> starts;
  for (auto [reduction, start] : llvm::zip_equal(reductions, loop.getInitArgs()))
    starts.push_back(isIdempotent(reduction.combine) ? start : emitNeutral(b, loc, reduction));
  auto shared = b.create<scf::ForOp>(
      loc, loop.getLowerBound(), end, size, starts, [&](OpBuilder &nb, Location, Value first, ValueRange found) {
        IndexMath inner(nb, loc);
        Value own = inner.add(first, lane);
        IRMapping map;
        map.map(loop.getInductionVar(), inner.min(own, last));
        // What they take is there in the order of the loop; what they give is for the next turn alone.
        for (Operation &op : loop.getBody()->without_terminator())
          if (llvm::none_of(reductions, [&](const Reduction &reduction) { return reduction.combine == &op; }))
            nb.clone(op, map);
        SmallVector<Value> next;
        Value exists;
        for (auto [reduction, value] : llvm::zip_equal(reductions, found)) {
          Value number = map.lookupOrDefault(reduction.number);
          if (!isIdempotent(reduction.combine)) {
            if (!exists)
              exists = nb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, own, end);
            number = nb.create<arith::SelectOp>(loc, exists, number, emitNeutral(nb, loc, reduction));
          }
          next.push_back(combine(nb, reduction, value, number));
        }
        nb.create<scf::YieldOp>(loc, next);
      });
  for (auto [reduction, start, found, old] :
       llvm::zip_equal(reductions, loop.getInitArgs(), shared.getResults(), loop.getResults())) {
    Value all = found;
    for (int64_t bit = 1; bit < subgroupSize; bit *= 2)
      all = combine(b, reduction, all, exchangeLanes(b, loc, all, gpu::ShuffleMode::XOR, bit, subgroupSize));
    if (uniform)
      all = exchangeLanes(b, loc, all, gpu::ShuffleMode::IDX, 0, subgroupSize);
    old.replaceAllUsesWith(isIdempotent(reduction.combine) ? all : combine(b, reduction, start, all));
  }
  loop.erase();
}

struct ShareScans : flashc::impl::ShareScansBase<ShareScans> {
  using ShareScansBase::ShareScansBase;

  void runOnOperation() override {
    if (!llvm::isPowerOf2_32(subgroupSize)) {
      getOperation()->emitError() << "expected subgroup-size to be a power of two, got " << subgroupSize.getValue();
      return signalPassFailure();
    }
    SmallVector<std::pair<scf::ForOp, SmallVector<Reduction>>> scans;
    for (scf::ForallOp task : getTaskLoops(getOperation()))
      if (task->hasAttr(kThreadsAttr) && !task->hasAttr(kSharedBytesAttr))
        task.walk([&](scf::ForOp loop) {
          if (!isOfWholeBlock(loop, task))
            return;
          if (SmallVector<Reduction> reductions = matchScan(loop); !reductions.empty())
            scans.emplace_back(loop, reductions);
        });
    for (auto &[loop, reductions] : scans) {
      share(loop, reductions, subgroupSize, uniform);
      ++numShared;
    }
  }
};
} // namespace

//===- ScheduleCopies.cpp - schedule-copies -------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/IndexMath.h"
#include "dialects/Tile/Tile.h"
#include "passes/KeyLoops.h"
#include "passes/Passes.h"
#include "passes/TaskLoops.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"

namespace flashc {
#define GEN_PASS_DEF_SCHEDULECOPIES
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// A loop over keys: two products, each with a right-hand side that is loaded to shared memory in the loop.
struct KeyStep {
  scf::ForOp loop;
  tile::LoadOp keys, values;
  tile::DotOp scores, sums;
};

/// Whether what a turn hands on in the place of `argument` is a number that it knows before it does anything else.
bool isKnownAhead(BlockArgument argument, scf::ForOp loop, Operation *before) {
  Operation *next = loop.getTiedLoopYieldedValue(argument)->get().getDefiningOp();
  return argument.getType().isIndex() && (!next || next->getBlock() != loop.getBody() || next->isBeforeInBlock(before));
}

/// Whether a turn's load can be made in another turn: it knows its rows, and of what turns hand on to each other only
/// numbers that are known ahead.
bool canMove(tile::LoadOp load, scf::ForOp loop) {
  if (load.getValid().empty())
    return false;
  SetVector<Operation *> slice;
  BackwardSliceOptions options;
  options.inclusive = true;
  options.filter = [&](Operation *op) { return op->getBlock() == loop.getBody(); };
  getBackwardSlice(load.getOperation(), &slice, options);
  return llvm::all_of(slice, [&](Operation *op) {
    return op->getNumRegions() == 0 && llvm::all_of(op->getOperands(), [&](Value operand) {
             auto argument = dyn_cast<BlockArgument>(operand);
             return !llvm::is_contained(loop.getRegionIterArgs(), operand) || isKnownAhead(argument, loop, load);
           });
  });
}

std::optional<KeyStep> match(scf::ForOp loop) {
  KeyStep step{loop, {}, {}, {}, {}};
  for (auto dot : loop.getBody()->getOps<tile::DotOp>()) {
    auto load = dot.getRhs().getDefiningOp<tile::LoadOp>();
    // A product that runs by itself still reads when threads meet.
    if (dot.getAsync() || !load || load->getBlock() != loop.getBody() || load.getAsync() ||
        !isa_and_nonnull<tile::SharedLayoutAttr>(cast<tile::TileType>(load.getResult().getType()).getLayout()))
      return std::nullopt;
    if (!step.scores) {
      step.scores = dot;
      step.keys = load;
    } else if (!step.sums) {
      step.sums = dot;
      step.values = load;
    } else {
      return std::nullopt;
    }
  }
  // Where keys and values are one tile, there is nothing to overlap.
  if (!step.sums || step.keys == step.values || !step.keys->hasOneUse() || !step.values->hasOneUse())
    return std::nullopt;
  if (!canMove(step.keys, loop) || !canMove(step.values, loop))
    return std::nullopt;
  return step;
}

/// The load again, of the turn at `position` that is handed `carried`, with what it is computed from; nothing where
/// that is beyond the end.
Value loadAt(OpBuilder &b, KeyStep &step, Value position, ValueRange carried) {
  SetVector<Operation *> slice;
  BackwardSliceOptions options;
  options.filter = [&](Operation *op) { return op->getBlock() == step.loop.getBody(); };
  getBackwardSlice(step.keys.getOperation(), &slice, options);
  IRMapping map;
  map.map(step.loop.getInductionVar(), position);
  for (auto [argument, value] : llvm::zip(step.loop.getRegionIterArgs(), carried))
    map.map(argument, value);
  for (Operation *op : slice)
    b.clone(*op, map);
  auto load = cast<tile::LoadOp>(b.clone(*step.keys, map));
  load.setAsync(true);
  IndexMath index(b, step.loop.getLoc());
  OpBuilder before(load);
  IndexMath early(before, step.loop.getLoc());
  Value rows = load.getValid()[0];
  // Of static lengths the rows of every turn are known and say nothing of its end.
  if (getConstantIntValue(rows))
    rows = early.min(rows, early.sub(step.loop.getUpperBound(), position));
  load.getValidMutable()[0].set(early.max(rows, early.constant(0)));
  return load.getResult();
}

/// Moves what the values' load is computed from, and the load, behind `after`: they are fetched while the scores are
/// computed. Returns the operation behind which they are there.
Operation *fetchValuesEarly(IRRewriter &b, KeyStep &step, Operation *after) {
  Location loc = step.loop.getLoc();
  SetVector<Operation *> slice;
  BackwardSliceOptions options;
  options.filter = [&](Operation *op) { return op->getBlock() == step.loop.getBody(); };
  getBackwardSlice(step.values.getOperation(), &slice, options);
  slice.insert(step.values);
  for (Operation *op : slice)
    if (!op->isBeforeInBlock(after)) {
      op->moveAfter(after);
      after = op;
    }
  step.values.setAsync(true);
  b.setInsertionPoint(step.sums);
  auto values = b.create<tile::AwaitOp>(loc, step.values.getResult().getType(), step.values.getResult());
  step.sums.getRhsMutable().set(values);
  return values;
}

void schedule(KeyStep step) {
  scf::ForOp loop = step.loop;
  Location loc = loop.getLoc();
  IRRewriter b(loop.getContext());
  // A turn without a next one has no keys to fetch but its own. Where they pass through registers, which is what tiles
  // that are spread are for, they are fetched before there are others to hold.
  auto layout = cast<tile::SharedLayoutAttr>(cast<tile::TileType>(step.keys.getType()).getLayout());
  if (loop->hasAttr(kOneTurn) && !layout.getSpread()) {
    fetchValuesEarly(b, step, step.keys);
    return;
  }
  // The first keys are on their way before the loop.
  b.setInsertionPoint(loop);
  Value first = loadAt(b, step, loop.getLowerBound(), loop.getInitArgs());
  auto result = loop.replaceWithAdditionalYields(
      b, first, /*replaceInitOperandUsesInLoop=*/false,
      [&](OpBuilder &nb, Location, ArrayRef<BlockArgument>) { return SmallVector<Value>{first}; });
  auto pipelined = cast<scf::ForOp>(**result);
  step.loop = pipelined;
  Block *body = pipelined.getBody();
  Type type = first.getType();
  b.setInsertionPointToStart(body);
  Value keys = b.create<tile::AwaitOp>(loc, type, pipelined.getRegionIterArgs().back());
  // The next keys are fetched while the values are multiplied: when all have come to wait for those, the keys have been
  // read.
  b.setInsertionPointAfter(fetchValuesEarly(b, step, keys.getDefiningOp()));
  Value next = b.create<arith::AddIOp>(loc, pipelined.getInductionVar(), pipelined.getStep());
  Value pending = loadAt(b, step, next, pipelined.getYieldedValues());
  body->getTerminator()->setOperand(body->getTerminator()->getNumOperands() - 1, pending);
  step.scores.getRhsMutable().set(keys);
  step.keys.erase();
  // The last turn has started a load of nothing, which must end before the memory serves again.
  b.setInsertionPointAfter(pipelined);
  b.create<tile::AwaitOp>(loc, type, pipelined.getResults().back());
}

struct ScheduleCopies : flashc::impl::ScheduleCopiesBase<ScheduleCopies> {
  void runOnOperation() override {
    SmallVector<KeyStep> steps;
    for (scf::ForallOp task : getTaskLoops(getOperation()))
      task.walk([&](scf::ForOp loop) {
        if (std::optional<KeyStep> step = match(loop))
          steps.push_back(*step);
      });
    for (KeyStep &step : steps) {
      schedule(step);
      ++numScheduled;
    }
  }
};
} // namespace

//===- ScheduleProducts.cpp - schedule-products ---------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "passes/KeyLoops.h"
#include "passes/Passes.h"
#include "passes/TaskLoops.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"

namespace flashc {
#define GEN_PASS_DEF_SCHEDULEPRODUCTS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

using OpSet = llvm::SmallPtrSet<Operation *, 16>;

/// Columns of sums up to which warpgroups take turns: the products of wider ones take longer than their exponentials,
/// and keep the unit busy in any order. (So does FlashAttention-3, Shah et al., 2024.)
static constexpr int64_t kWidestInTurns = 128;

namespace {

/// A loop over keys, taken apart: scores = q * k^T, what becomes of them, sums = weights * v + scaled sums.
class KeyStep {
public:
  /// Nullopt where the loop is not such a one, or its products are not started and awaited.
  static std::optional<KeyStep> match(scf::ForOp loop);

  void schedule();

private:
  explicit KeyStep(scf::ForOp loop) : loop(loop), body(loop.getBody()) {}

  bool findProducts();
  bool sortOperations();
  /// Adds what `value` is computed from in the loop's body.
  void collect(Value value, OpSet &ops);
  static bool usesAny(Operation *op, ArrayRef<Value> values);

  /// Clones those of `ops` that the turn of `map` does not have yet, in order.
  void clone(OpBuilder &b, const OpSet &ops, IRMapping &map);
  tile::DotOp cloneSums(OpBuilder &b, Value weights, Value scaled, Value position, bool async);
  SmallVector<Value> getState(const IRMapping &map);
  /// How many warpgroups take turns, so that one's products are under way while another one computes exponentials; 1
  /// where nobody does.
  int64_t countTurns();

  scf::ForOp loop;
  Block *body;
  tile::DotOp scores, sums;
  /// Which of the loop's values the sums are.
  unsigned sumsNumber = 0;
  /// What leads to the scores and to the values; what scales the sums; what only makes weights an operand, and the rest
  /// between scores and weights.
  OpSet toScores, toValues, scaling, toOperand, softmax;
};

void KeyStep::collect(Value value, OpSet &ops) {
  Operation *op = value.getDefiningOp();
  op = op ? body->findAncestorOpInBlock(*op) : nullptr;
  if (!op || !ops.insert(op).second)
    return;
  op->walk([&](Operation *inner) {
    for (Value operand : inner->getOperands())
      collect(operand, ops);
  });
}

bool KeyStep::usesAny(Operation *op, ArrayRef<Value> values) {
  return op
      ->walk([&](Operation *inner) {
        bool uses = llvm::any_of(inner->getOperands(), [&](Value x) { return llvm::is_contained(values, x); });
        return WalkResult(failure(uses));
      })
      .wasInterrupted();
}

bool KeyStep::findProducts() {
  SmallVector<tile::DotOp> dots;
  body->walk([&](tile::DotOp dot) { dots.push_back(dot); });
  if (dots.size() != 2)
    return false;
  for (tile::DotOp dot : dots) {
    auto layout = dyn_cast_or_null<tile::FragmentLayoutAttr>(cast<tile::TileType>(dot.getType()).getLayout());
    if (!layout || !layout.isWarpgroup() || dot.getSkipZeros() || dot.getAsync() || dot->getBlock() != body)
      return false;
  }
  scores = dots[0];
  sums = dots[1];
  if (!sums->hasOneUse() || sums->use_begin()->getOwner() != body->getTerminator())
    return false;
  sumsNumber = sums->use_begin()->getOperandNumber();
  return true;
}

bool KeyStep::sortOperations() {
  Value carried = loop.getRegionIterArg(sumsNumber);
  collect(scores, toScores);
  collect(sums.getRhs(), toValues);
  // The scaling is what the sums of the turn before go through, and nobody else sees.
  OpSet toScaled;
  collect(sums.getAccumulator(), toScaled);
  SmallVector<Value> scaled = {carried};
  for (Operation &op : body->without_terminator())
    if (toScaled.contains(&op) && usesAny(&op, scaled)) {
      scaling.insert(&op);
      llvm::append_range(scaled, op.getResults());
    }
  for (Value value : scaled)
    for (Operation *user : value.getUsers())
      if (Operation *op = body->findAncestorOpInBlock(*user); op != sums && !scaling.contains(op))
        return false;
  for (auto [i, value] : llvm::enumerate(body->getTerminator()->getOperands()))
    if (i != sumsNumber)
      collect(value, softmax);
  for (Operation *op : scaling)
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        collect(operand, softmax);
    });
  OpSet toWeights;
  collect(sums.getLhs(), toWeights);
  for (Operation *op : toWeights)
    if (!softmax.contains(op))
      toOperand.insert(op);
  for (Operation *op : scaling)
    softmax.erase(op);
  // A turn's scores and values are another's to fetch: they know nothing of what turns hand on. Nothing else is left,
  // and nothing writes memory.
  SmallVector<Value> state(loop.getRegionIterArgs());
  for (Operation &op : body->without_terminator()) {
    bool early = toScores.contains(&op) || toValues.contains(&op);
    bool known = early || &op == sums || scaling.contains(&op) || toOperand.contains(&op) || softmax.contains(&op);
    bool harmless = isMemoryEffectFree(&op) || isa<tile::LoadOp, memref::LoadOp>(op);
    if (!known || !harmless || (early && usesAny(&op, state)))
      return false;
  }
  return !toValues.contains(scores);
}

std::optional<KeyStep> KeyStep::match(scf::ForOp loop) {
  KeyStep step(loop);
  if (loop->hasAttr(kOneTurn) || !step.findProducts() || !step.sortOperations())
    return std::nullopt;
  return step;
}

void KeyStep::clone(OpBuilder &b, const OpSet &ops, IRMapping &map) {
  for (Operation &op : body->without_terminator())
    if (ops.contains(&op) && !map.contains(&op))
      b.clone(op, map);
}

tile::DotOp KeyStep::cloneSums(OpBuilder &b, Value weights, Value scaled, Value position, bool async) {
  IRMapping map;
  map.map(loop.getInductionVar(), position);
  clone(b, toValues, map);
  map.map(sums.getLhs(), weights);
  map.map(sums.getAccumulator(), scaled);
  auto dot = cast<tile::DotOp>(b.clone(*sums, map));
  dot.setAsync(async);
  return dot;
}

/// What a turn hands on: the state, with scaled sums, and the weights.
SmallVector<Value> KeyStep::getState(const IRMapping &map) {
  SmallVector<Value> state;
  for (auto [i, value] : llvm::enumerate(body->getTerminator()->getOperands()))
    state.push_back(map.lookupOrDefault(i == sumsNumber ? sums.getAccumulator() : value));
  state.push_back(map.lookupOrDefault(sums.getLhs()));
  return state;
}

int64_t KeyStep::countTurns() {
  auto type = cast<tile::TileType>(sums.getType());
  return type.getShape()[1] <= kWidestInTurns ? cast<tile::FragmentLayoutAttr>(type.getLayout()).getWarps() : 1;
}

void KeyStep::schedule() {
  OpBuilder b(loop);
  Location loc = loop.getLoc();
  Value lo = loop.getLowerBound(), hi = loop.getUpperBound(), stride = loop.getStep();
  Value any = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, lo, hi);
  auto branch = b.create<scf::IfOp>(loc, loop.getResultTypes(), any, /*withElseRegion=*/true);
  b.setInsertionPointToStart(branch.elseBlock());
  b.create<scf::YieldOp>(loc, loop.getInitArgs());

  // The first weights.
  b.setInsertionPointToStart(branch.thenBlock());
  IRMapping first;
  first.map(loop.getInductionVar(), lo);
  first.map(loop.getRegionIterArgs(), loop.getInitArgs());
  for (const OpSet *ops : {&toScores, &softmax, &toOperand, &scaling})
    clone(b, *ops, first);
  SmallVector<Value> state = getState(first);
  state.push_back(lo);

  // Each turn finds weights, and the scaled sums and the position that belong to them.
  Value second = b.create<arith::AddIOp>(loc, lo, stride);
  auto turns = b.create<scf::ForOp>(loc, second, hi, stride, state);
  turns->setAttrs(loop->getDiscardableAttrDictionary());
  Block *block = turns.getBody();
  if (!block->empty())
    block->getTerminator()->erase();
  b.setInsertionPointToStart(block);
  size_t weights = loop.getNumRegionIterArgs(), position = weights + 1;
  IRMapping map;
  map.map(loop.getInductionVar(), turns.getInductionVar());
  map.map(loop.getRegionIterArgs(), turns.getRegionIterArgs().take_front(weights));
  clone(b, toScores, map);
  auto started = map.lookup(scores.getResult()).getDefiningOp<tile::DotOp>();
  started.setAsync(true);
  int64_t subgroups = countTurns();
  if (subgroups > 1)
    OpBuilder(started).create<tile::TakeTurnOp>(loc, subgroups);
  tile::DotOp added = cloneSums(b, turns.getRegionIterArg(weights), turns.getRegionIterArg(sumsNumber),
                                turns.getRegionIterArg(position), /*async=*/true);
  if (subgroups > 1)
    b.create<tile::PassTurnOp>(loc, subgroups);
  map.map(scores.getResult(), b.create<tile::AwaitOp>(loc, started.getType(), started).getResult());
  clone(b, softmax, map);
  // Until here the unit has read the weights before.
  map.map(loop.getRegionIterArg(sumsNumber), b.create<tile::AwaitOp>(loc, added.getType(), added).getResult());
  clone(b, toOperand, map);
  clone(b, scaling, map);
  state = getState(map);
  state.push_back(turns.getInductionVar());
  b.create<scf::YieldOp>(loc, state);

  // The last values.
  b.setInsertionPointAfter(turns);
  SmallVector<Value> results(turns.getResults().take_front(weights));
  results[sumsNumber] = cloneSums(b, turns.getResult(weights), results[sumsNumber], turns.getResult(position),
                                  /*async=*/false);
  b.create<scf::YieldOp>(loc, results);
  loop.replaceAllUsesWith(branch.getResults());
  loop.erase();
}

struct ScheduleProducts : flashc::impl::ScheduleProductsBase<ScheduleProducts> {
  void runOnOperation() override {
    SmallVector<scf::ForOp> loops;
    for (scf::ForallOp task : getTaskLoops(getOperation()))
      task.walk([&](scf::ForOp loop) { loops.push_back(loop); });
    for (scf::ForOp loop : loops)
      if (std::optional<KeyStep> step = KeyStep::match(loop)) {
        step->schedule();
        ++numScheduled;
      }
  }
};
} // namespace

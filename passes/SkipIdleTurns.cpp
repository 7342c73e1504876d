//===- SkipIdleTurns.cpp - skip-idle-turns --------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/IndexMath.h"
#include "passes/ReadOnly.h"
#include "passes/ScanPasses.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace flashc {
#define GEN_PASS_DEF_SKIPIDLETURNS
#include "passes/ScanPasses.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// A loop whose turns are one branch, behind what decides it.
struct IdleLoop {
  scf::ForOp loop;
  scf::IfOp branch;
  /// Whether an idle turn is one where the condition holds.
  bool idleIfTrue;
  /// What of the body decides.
  SetVector<Operation *> decision;
};

/// Whether a turn that takes this way hands on what it was given.
bool isIdle(IdleLoop idle, Region &way) {
  if (!way.empty() && !way.front().without_terminator().empty())
    return false;
  for (auto [argument, next] : llvm::zip_equal(idle.loop.getRegionIterArgs(), idle.loop.getYieldedValues())) {
    if (next == argument)
      continue;
    auto result = dyn_cast<OpResult>(next);
    if (!result || result.getOwner() != idle.branch ||
        way.front().getTerminator()->getOperand(result.getResultNumber()) != argument)
      return false;
  }
  return true;
}

/// Collects what the condition is computed from; false where that is of what turns hand on to each other, or nothing.
bool collectDecision(IdleLoop &idle) {
  Block *body = idle.loop.getBody();
  SmallVector<Value> asked = {idle.branch.getCondition()};
  while (!asked.empty()) {
    Value value = asked.pop_back_val();
    if (llvm::is_contained(idle.loop.getRegionIterArgs(), value))
      return false;
    Operation *own = value.getDefiningOp() ? body->findAncestorOpInBlock(*value.getDefiningOp()) : nullptr;
    if (own && idle.decision.insert(own))
      own->walk([&](Operation *op) { llvm::append_range(asked, op->getOperands()); });
  }
  return !idle.decision.empty();
}

std::optional<IdleLoop> match(scf::ForOp loop) {
  Block *body = loop.getBody();
  if (body->without_terminator().empty())
    return std::nullopt;
  IdleLoop idle{loop, dyn_cast<scf::IfOp>(*std::prev(Block::iterator(body->getTerminator()))), false, {}};
  if (!idle.branch || !llvm::all_of(llvm::make_range(body->begin(), Block::iterator(idle.branch)),
                                    [](Operation &op) { return onlyReads(&op); }))
    return std::nullopt;
  idle.idleIfTrue = isIdle(idle, idle.branch.getThenRegion());
  if (!idle.idleIfTrue && !isIdle(idle, idle.branch.getElseRegion()))
    return std::nullopt;
  return collectDecision(idle) ? std::optional(idle) : std::nullopt;
}

/// Emits whether the turn at `at` does nothing.
Value emitIsIdle(OpBuilder &b, const IdleLoop &idle, Value at) {
  scf::ForOp loop = idle.loop;
  IRMapping map;
  map.map(loop.getInductionVar(), at);
  for (Operation &op : *loop.getBody())
    if (idle.decision.contains(&op))
      b.clone(op, map);
  scf::IfOp branch = idle.branch;
  Value condition = map.lookup(branch.getCondition());
  if (idle.idleIfTrue)
    return condition;
  return b.create<arith::XOrIOp>(loop.getLoc(), condition, b.create<arith::ConstantIntOp>(loop.getLoc(), 1, 1));
}

/// Emits a loop over all turns: how many of them do something, and the first one that does or the loop's end.
std::pair<Value, Value> emitCount(OpBuilder &b, const IdleLoop &idle) {
  scf::ForOp loop = idle.loop;
  Location loc = loop.getLoc();
  IndexMath math(b, loc);
  Value zero = math.constant(0), one = math.constant(1), end = loop.getUpperBound();
  auto all = b.create<scf::ForOp>(loc, loop.getLowerBound(), end, loop.getStep(), ValueRange{zero, end},
                                  [&](OpBuilder &b, Location, Value at, ValueRange found) {
                                    IndexMath inner(b, loc);
                                    Value isIdle = emitIsIdle(b, idle, at);
                                    Value count = inner.add(
                                        found[0], b.create<arith::SelectOp>(loc, isIdle, zero, one).getResult());
                                    Value first = inner.min(found[1], b.create<arith::SelectOp>(loc, isIdle, end, at));
                                    b.create<scf::YieldOp>(loc, ValueRange{count, first});
                                  });
  return {all.getResult(0), all.getResult(1)};
}

/// Emits a search for the first turn from `from` on that does something; for none of them the loop's end or beyond.
Value emitNext(OpBuilder &b, const IdleLoop &idle, Value from) {
  scf::ForOp loop = idle.loop;
  Location loc = loop.getLoc();
  auto search = b.create<scf::WhileOp>(
      loc, from.getType(), from,
      [&](OpBuilder &b, Location, ValueRange at) {
        Value isInside = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, at[0], loop.getUpperBound());
        auto goesOn = b.create<scf::IfOp>(
            loc, isInside, [&](OpBuilder &b, Location) { b.create<scf::YieldOp>(loc, emitIsIdle(b, idle, at[0])); },
            [&](OpBuilder &b, Location) {
              b.create<scf::YieldOp>(loc, b.create<arith::ConstantIntOp>(loc, 0, 1).getResult());
            });
        b.create<scf::ConditionOp>(loc, goesOn.getResult(0), at);
      },
      [&](OpBuilder &b, Location, ValueRange at) {
        b.create<scf::YieldOp>(loc, b.create<arith::AddIOp>(loc, at[0], loop.getStep()).getResult());
      });
  return search.getResult(0);
}

void skip(const IdleLoop &idle) {
  scf::ForOp loop = idle.loop;
  scf::IfOp branch = idle.branch;
  Location loc = loop.getLoc();
  OpBuilder b(loop);
  IndexMath math(b, loc);
  auto [count, first] = emitCount(b, idle);
  SmallVector<Value> starts = {first};
  llvm::append_range(starts, loop.getInitArgs());
  auto turns = b.create<scf::ForOp>(loc, math.constant(0), count, math.constant(1), starts);
  Block *body = turns.getBody(), *old = loop.getBody();
  Value at = turns.getRegionIterArg(0);
  b.setInsertionPointToStart(body);
  Value next = emitNext(b, idle, b.create<arith::AddIOp>(loc, at, loop.getStep()));

  Block &busy = (idle.idleIfTrue ? branch.getElseRegion() : branch.getThenRegion()).front();
  IRMapping map;
  map.map(loop.getInductionVar(), at);
  map.map(loop.getRegionIterArgs(), turns.getRegionIterArgs().drop_front());
  // What only decides is dead here.
  for (Operation &op : llvm::make_range(old->begin(), Block::iterator(branch)))
    b.clone(op, map);
  for (Operation &op : busy.without_terminator())
    b.clone(op, map);
  for (auto [result, value] : llvm::zip_equal(branch.getResults(), busy.getTerminator()->getOperands()))
    map.map(result, map.lookupOrDefault(value));
  SmallVector<Value> yielded = {next};
  for (Value value : loop.getYieldedValues())
    yielded.push_back(map.lookupOrDefault(value));
  b.create<scf::YieldOp>(loc, yielded);
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*body)))
    if (op.use_empty() && onlyReads(&op) && !op.hasTrait<OpTrait::IsTerminator>())
      op.erase();
  loop.replaceAllUsesWith(turns.getResults().drop_front());
  loop.erase();
}

struct SkipIdleTurns : flashc::impl::SkipIdleTurnsBase<SkipIdleTurns> {
  void runOnOperation() override {
    SmallVector<IdleLoop> loops;
    getOperation().walk([&](scf::ForOp loop) {
      if (std::optional<IdleLoop> idle = match(loop))
        loops.push_back(std::move(*idle));
    });
    // Inner loops come first.
    for (const IdleLoop &idle : loops) {
      skip(idle);
      ++numLoops;
    }
  }
};
} // namespace

//===- SplitMaskedTiles.cpp - Apart: tiles that need a mask and tiles that do not ===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/KeyLoops.h"
#include "passes/Passes.h"
#include "passes/ReadOnly.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace flashc {
#define GEN_PASS_DEF_SPLITMASKEDTILES
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

/// Position of the first of all keys, from that of the loop's current tile: the tile's position less the loop's
/// variable.
static Value getFirstKey(OpBuilder &b, Value position, Value variable) {
  if (position == variable)
    return b.create<arith::ConstantIndexOp>(position.getLoc(), 0);
  if (auto sum = position.getDefiningOp<arith::AddIOp>()) {
    if (sum.getLhs() == variable)
      return sum.getRhs();
    if (sum.getRhs() == variable)
      return sum.getLhs();
  }
  return {};
}

/// Whether `size` is the number of keys of the loop's current tile: `keys`, or what is left if that is less.
static bool isTileSize(OpFoldResult size, scf::ForOp loop, int64_t keys) {
  if (isConstantIntValue(size, keys))
    return true;
  auto value = dyn_cast<Value>(size);
  auto least = value ? value.getDefiningOp<arith::MinSIOp>() : arith::MinSIOp();
  if (!least)
    return false;
  for (auto [left, whole] : {std::pair(least.getLhs(), least.getRhs()), std::pair(least.getRhs(), least.getLhs())})
    if (auto rest = left.getDefiningOp<arith::SubIOp>(); rest && isConstantIntValue(whole, keys))
      if (rest.getLhs() == loop.getUpperBound() && rest.getRhs() == loop.getInductionVar())
        return true;
  return false;
}

/// Whether memory is the loop's current tile of another: rows from the loop's variable on, whole and in order.
static bool isTileOf(memref::SubViewOp view, scf::ForOp loop, int64_t keys) {
  if (!view || !loop.isDefinedOutsideOfLoop(view.getSource()) || view.getSourceType().getRank() != 2)
    return false;
  return view.getMixedOffsets()[0] == OpFoldResult(loop.getInductionVar()) &&
         isConstantIntValue(view.getMixedOffsets()[1], 0) && isTileSize(view.getMixedSizes()[0], loop, keys) &&
         view.getType().getDimSize(1) == view.getSourceType().getDimSize(1) &&
         llvm::all_of(view.getMixedStrides(), [](OpFoldResult stride) { return isConstantIntValue(stride, 1); });
}

/// Whether `loop` does nothing but carry the state through `op`, or past it where its tile is empty.
static bool carriesState(scf::ForOp loop, attn::OnlineOp op) {
  if (!llvm::equal(loop.getRegionIterArgs(), ValueRange{op.getAcc(), op.getMax(), op.getSum()}))
    return false;
  ValueRange yielded = loop.getBody()->getTerminator()->getOperands();
  if (op->getParentOp() == loop)
    return llvm::equal(yielded, op.getResults());
  auto skip = dyn_cast<scf::IfOp>(op->getParentOp());
  return skip && skip->getParentOp() == loop && op->getBlock() == skip.elseBlock() &&
         llvm::equal(yielded, skip.getResults()) &&
         llvm::equal(skip.thenYield().getOperands(), loop.getRegionIterArgs()) &&
         llvm::equal(skip.elseYield().getOperands(), op.getResults());
}

/// Whether surely no key lies in the interval.
static bool isEmpty(KeyInterval keys) {
  std::optional<int64_t> lo = getConstantIntValue(keys.lo), hi = getConstantIntValue(keys.hi);
  return keys.lo == keys.hi || (lo && hi && *hi <= *lo);
}

/// Of equal operations before `end` in one block, with no write in between, keeps the first. tile-keys has asked the
/// same masks already, and what they answer may take a loop over all keys, which upstream's CSE would not find to be
/// the same.
static void keepFirstOfEqual(Block::iterator end) {
  Block *block = end->getBlock();
  Block::iterator begin = end;
  while (begin != block->begin() && onlyReads(&*std::prev(begin)))
    --begin;
  for (Operation &op : llvm::make_early_inc_range(llvm::make_range(begin, end)))
    for (Operation &earlier : llvm::make_range(begin, Block::iterator(op)))
      if (OperationEquivalence::isEquivalentTo(&op, &earlier, OperationEquivalence::IgnoreLocations)) {
        op.replaceAllUsesWith(&earlier);
        op.erase();
        break;
      }
}

namespace {
struct SplitMaskedTiles : public flashc::impl::SplitMaskedTilesBase<SplitMaskedTiles> {
  void runOnOperation() override {
    SmallVector<attn::OnlineOp> operations;
    getOperation().walk([&](attn::OnlineOp op) {
      if (!op.getMasks().empty())
        operations.push_back(op);
    });
    for (attn::OnlineOp op : operations)
      split(op);
  }

private:
  /// Splits the loop around `op`, if it is one that tile-keys makes.
  void split(attn::OnlineOp op) {
    auto loop = op->getParentOfType<scf::ForOp>();
    auto key = op.getKey().getDefiningOp<memref::SubViewOp>(), value = op.getValue().getDefiningOp<memref::SubViewOp>();
    int64_t size = op.getTiles().getKeys();
    if (!loop || !isConstantIntValue(loop.getStep(), size) || !isTileOf(key, loop, size) ||
        !isTileOf(value, loop, size) || !carriesState(loop, op) || !onlyReads(loop))
      return;
    OpBuilder b(loop);
    KeyLoop keys = {op, key.getSource(), value.getSource(),
                    getFirstKey(b, op.getPosition()[kFirstKey], loop.getInductionVar()),
                    llvm::is_contained(op.getMasks(), attn::BoundsAttr::get(&getContext()))};
    if (!keys.firstKey || !loop.isDefinedOutsideOfLoop(keys.firstKey))
      return;
    KeyInterval all = {loop.getLowerBound(), loop.getUpperBound()};
    std::optional<KeyInterval> full = emitFullKeys(b, keys, all);
    if (!full || isEmpty(*full)) {
      ++numUnsplit;
      return;
    }

    SmallVector<Value> state(loop.getInitArgs());
    auto emit = [&](KeyInterval part, bool masked) {
      if (isEmpty(part))
        return scf::ForOp();
      scf::ForOp emitted = emitKeyLoop(b, keys, part, masked, state);
      state = SmallVector<Value>(emitted.getResults());
      ++(masked ? numPartialLoops : numFullLoops);
      return emitted;
    };
    emit({all.lo, full->lo}, /*masked=*/true);
    emit(*full, /*masked=*/false);
    scf::ForOp last = emit({full->hi, all.hi}, /*masked=*/true);
    // The bounds alone leave less than a granule.
    bool boundsOnly = llvm::all_of(op.getMasks(), [](Attribute mask) { return isa<attn::BoundsAttr>(mask); });
    if (last && boundsOnly)
      last->setAttr(kOneTurn, b.getUnitAttr());
    loop.replaceAllUsesWith(state);
    keepFirstOfEqual(Block::iterator(loop));
    loop.erase();
  }
};
} // namespace

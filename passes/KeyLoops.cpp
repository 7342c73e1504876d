//===- KeyLoops.cpp - Loops over the key tiles of one attention ----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/KeyLoops.h"
#include "passes/ReadOnly.h"

#include "mlir/Transforms/LoopInvariantCodeMotionUtils.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::attn;

static bool isAtMost(OpFoldResult size, int64_t limit) {
  if (std::optional<int64_t> constant = getConstantIntValue(size))
    return *constant <= limit;
  auto minimum = cast<Value>(size).getDefiningOp<arith::MinSIOp>();
  return minimum &&
         llvm::any_of(minimum->getOperands(), [&](Value operand) { return ::isAtMost(OpFoldResult(operand), limit); });
}

bool flashc::isAtMost(Value memory, unsigned dimension, int64_t limit) {
  auto type = cast<MemRefType>(memory.getType());
  if (!type.isDynamicDim(dimension))
    return type.getDimSize(dimension) <= limit;
  auto view = memory.getDefiningOp<memref::SubViewOp>();
  if (!view)
    return false;
  llvm::SmallBitVector dropped = view.getDroppedDims();
  for (auto [source, size] : llvm::enumerate(view.getMixedSizes()))
    if (!dropped.test(source) && dimension-- == 0)
      return ::isAtMost(size, limit);
  return false;
}

bool flashc::isGrouped(OnlineOp op) { return cast<MemRefType>(op.getQuery().getType()).getRank() == 3; }

Value flashc::getNumQueries(OpBuilder &b, OnlineOp op) {
  return IndexMath(b, op.getLoc()).dim(op.getQuery(), isGrouped(op) ? 1 : 0);
}

SmallVector<MaskUse> flashc::getMaskUses(OnlineOp op) {
  SmallVector<MaskUse> uses;
  unsigned next = 0;
  for (MaskInterface mask : op.getMaskList()) {
    unsigned count = mask.getNumOperands();
    uses.push_back({mask, op.getMaskOperands().slice(next, count)});
    next += count;
  }
  return uses;
}

/// What all masks together say of the block's keys. The bounds add nothing to the number of keys.
static KeyClasses emitClasses(OpBuilder &b, KeyLoop loop) {
  OnlineOp op = loop.step;
  IndexMath math(b, op.getLoc());
  ValueRange position = op.getPosition();
  Value begin = position[kFirstQuery], end;
  KeyClasses all;
  auto later = [&](Value &x, Value y) { x = !x ? y : !y ? x : math.max(x, y); };
  auto earlier = [&](Value &x, Value y) { x = !x ? y : !y ? x : math.min(x, y); };
  for (const MaskUse &use : getMaskUses(op)) {
    if (isa<BoundsAttr>(use.mask))
      continue;
    if (!end)
      end = math.add(begin, getNumQueries(b, op));
    // Of a part of the keys, only that part is asked about.
    MaskContext context = use.context(position);
    context.keys = {loop.firstKey, math.add(loop.firstKey, math.dim(loop.key, 0))};
    KeyClasses one = use.mask.classify(b, op.getLoc(), context, begin, end);
    later(all.possible.begin, one.possible.begin);
    earlier(all.possible.end, one.possible.end);
    later(all.full.begin, one.full.begin);
    earlier(all.full.end, one.full.end);
    all.neverFull |= one.neverFull;
  }
  return all;
}

KeyInterval flashc::emitPossibleKeys(OpBuilder &b, KeyLoop loop) {
  IndexMath math(b, loop.step.getLoc());
  int64_t granule = loop.step.getTiles().getGranule();
  KeyClasses classes = emitClasses(b, loop);
  Value zero = math.constant(0), count = math.dim(loop.key, 0);
  auto local = [&](Value key) { return math.clamp(math.sub(key, loop.firstKey), zero, count); };
  KeyInterval keys = {zero, count};
  if (classes.possible.begin)
    keys.lo = math.roundDown(local(classes.possible.begin), granule);
  if (classes.possible.end)
    keys.hi = math.min(math.roundUp(local(classes.possible.end), granule), count);
  return keys;
}

std::optional<KeyInterval> flashc::emitFullKeys(OpBuilder &b, KeyLoop loop, KeyInterval within) {
  Location loc = loop.step.getLoc();
  IndexMath math(b, loc);
  int64_t granule = loop.step.getTiles().getGranule();
  KeyClasses classes = emitClasses(b, loop);
  if (classes.neverFull)
    return std::nullopt;
  Value zero = math.constant(0);
  auto local = [&](Value key) { return math.clamp(math.sub(key, loop.firstKey), zero, within.hi); };
  KeyInterval keys = within;
  if (classes.full.begin)
    keys.lo = math.clamp(math.roundUp(local(classes.full.begin), granule), within.lo, within.hi);
  Value end = classes.full.end ? local(classes.full.end) : within.hi;
  Value whole = math.roundDown(end, granule);
  // Keys beyond the last one are a mask's concern only where the masks name them.
  if (!loop.maskBounds)
    whole = b.createOrFold<arith::SelectOp>(
        loc, b.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, end, within.hi), end, whole);
  keys.hi = math.max(whole, keys.lo);
  return keys;
}

/// Emits whether no row of the block attends a key of `[keyBegin, keyEnd)` by one mask; null if only `classify` knows.
static Value emitIsEmpty(OpBuilder &b, OnlineOp op, const MaskUse &use, Value queryEnd, Value keyBegin, Value keyEnd) {
  Location loc = op.getLoc();
  MaskContext context = use.context(op.getPosition());
  Value queryBegin = op.getPosition()[kFirstQuery];
  if (!isGrouped(op) || !use.mask.dependsOnHead())
    return use.mask.tileIsEmpty(b, loc, context, queryBegin, queryEnd, keyBegin, keyEnd);
  IndexMath math(b, loc);
  Value yes = b.create<arith::ConstantIntOp>(loc, 1, 1);
  auto loop = b.create<scf::ForOp>(loc, math.constant(0), math.dim(op.getQuery(), 0), math.constant(1), yes,
                                   [&](OpBuilder &b, Location loc, Value head, ValueRange all) {
                                     context.head = IndexMath(b, loc).add(op.getPosition()[kHead], head);
                                     Value one =
                                         use.mask.tileIsEmpty(b, loc, context, queryBegin, queryEnd, keyBegin, keyEnd);
                                     if (!one)
                                       one = b.create<arith::ConstantIntOp>(loc, 0, 1);
                                     b.create<scf::YieldOp>(loc, b.create<arith::AndIOp>(loc, all[0], one).getResult());
                                   });
  return loop.getResult(0);
}

/// Rows `[first, first + count)` of memory of two dimensions.
static Value emitRows(OpBuilder &b, Location loc, Value memory, OpFoldResult first, OpFoldResult count) {
  OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
  OpFoldResult columns = b.getIndexAttr(cast<MemRefType>(memory.getType()).getDimSize(1));
  return b.create<memref::SubViewOp>(loc, memory, ArrayRef<OpFoldResult>{first, zero},
                                     ArrayRef<OpFoldResult>{count, columns}, ArrayRef<OpFoldResult>{one, one});
}

/// One step on `count` keys from `first` on. Returns the new state.
static SmallVector<Value> emitStep(OpBuilder &b, KeyLoop loop, Value first, OpFoldResult count, bool masked,
                                   ValueRange state) {
  OnlineOp op = loop.step;
  Location loc = op.getLoc();
  IndexMath math(b, loc);
  Value key = emitRows(b, loc, loop.key, first, count), value = emitRows(b, loc, loop.value, first, count);
  SmallVector<Value> position(op.getPosition());
  position[kFirstKey] = math.add(first, loop.firstKey);

  SmallVector<Attribute> masks;
  if (masked) {
    llvm::append_range(masks, op.getMasks());
    auto bounds = BoundsAttr::get(b.getContext());
    if (loop.maskBounds && !llvm::is_contained(masks, bounds))
      masks.push_back(bounds);
  }
  auto step = b.create<OnlineOp>(loc, op.getQuery(), key, value, b.getArrayAttr(masks),
                                 masked ? ValueRange(op.getMaskOperands()) : ValueRange(), op.getBias(), position,
                                 state[0], state[1], state[2], op.getScaleAttr(), op.getSoftcapAttr(), op.getTiles());
  IRMapping map;
  op.getScore().cloneInto(&step.getScore(), map);
  return SmallVector<Value>(step.getResults());
}

/// Moves out of a loop what masks ask of the block's rows alone, which no turn answers otherwise: the rows are there
/// whatever the loop's bounds, so that asking is safe where there are no turns.
static void hoistQuestions(scf::ForOp loop) {
  moveLoopInvariantCode(
      loop.getLoopRegions(), [&](Value value, Region *) { return loop.isDefinedOutsideOfLoop(value); },
      [&](Operation *op, Region *) { return onlyReads(op); }, [&](Operation *op, Region *) { loop.moveOutOfLoop(op); });
}

scf::ForOp flashc::emitKeyLoop(OpBuilder &b, KeyLoop loop, KeyInterval keys, bool masked, ValueRange state) {
  OnlineOp op = loop.step;
  Location loc = op.getLoc();
  int64_t size = op.getTiles().getKeys();
  std::optional<int64_t> first = getConstantIntValue(keys.lo), last = getConstantIntValue(keys.hi);
  bool whole = first && last && (*last - *first) % size == 0;
  Value stride = b.create<arith::ConstantIndexOp>(loc, size);
  auto turns = b.create<scf::ForOp>(
      loc, keys.lo, keys.hi, stride, state, [&](OpBuilder &b, Location loc, Value j, ValueRange state) {
        IndexMath math(b, loc);
        OpFoldResult count = b.getIndexAttr(size);
        if (!whole)
          count = math.min(math.sub(keys.hi, j), stride);

        Value empty;
        ValueRange position = op.getPosition();
        if (masked) {
          Value queryEnd, keyBegin, keyEnd;
          for (const MaskUse &use : getMaskUses(op)) {
            if (!queryEnd) {
              queryEnd = math.add(position[kFirstQuery], getNumQueries(b, op));
              keyBegin = math.add(j, loop.firstKey);
              keyEnd = math.add(keyBegin, getValueOrCreateConstantIndexOp(b, loc, count));
            }
            Value one = emitIsEmpty(b, op, use, queryEnd, keyBegin, keyEnd);
            if (one)
              empty = empty ? b.create<arith::OrIOp>(loc, empty, one).getResult() : one;
          }
        }
        if (!empty) {
          b.create<scf::YieldOp>(loc, emitStep(b, loop, j, count, masked, state));
          return;
        }
        auto skip = b.create<scf::IfOp>(
            loc, empty, [&](OpBuilder &b, Location loc) { b.create<scf::YieldOp>(loc, state); },
            [&](OpBuilder &b, Location loc) {
              b.create<scf::YieldOp>(loc, emitStep(b, loop, j, count, masked, state));
            });
        b.create<scf::YieldOp>(loc, skip.getResults());
      });
  hoistQuestions(turns);
  return turns;
}

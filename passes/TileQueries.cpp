//===- TileQueries.cpp - Divide an attention into blocks of query rows ---===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/KeyLoops.h"
#include "passes/Passes.h"
#include "runtime/CostModel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace flashc {
#define GEN_PASS_DEF_TILEQUERIES
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {
/// Sizes, as constants where they are static.
struct Sizes {
  Value batch, heads, queries, keyHeads, keys;
  /// Query heads of a key head.
  Value group;
};

/// How a key head's query heads are divided in the form for few rows: into `parts` of `heads`, the last of which may be
/// fewer.
struct HeadParts {
  Value heads, parts;

  bool isOne() const { return isConstantIntValue(parts, 1); }
};

/// The part of memory at `offsets` along its first dimensions and of `sizes` there; all of its others. Dimension
/// `dropped`, of size 1, goes.
Value emitPart(OpBuilder &b, Location loc, Value memory, ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes,
               std::optional<unsigned> dropped = std::nullopt) {
  SmallVector<OpFoldResult> starts(offsets), extents(sizes);
  auto type = cast<MemRefType>(memory.getType());
  for (int64_t d = offsets.size(); d < type.getRank(); ++d) {
    starts.push_back(b.getIndexAttr(0));
    extents.push_back(memref::getMixedSize(b, loc, memory, d));
  }
  SmallVector<OpFoldResult> strides(starts.size(), b.getIndexAttr(1));
  if (!dropped)
    return b.create<memref::SubViewOp>(loc, memory, starts, extents, strides);
  SmallVector<int64_t> shape;
  SmallVector<Value> dynamic;
  dispatchIndexOpFoldResults(extents, dynamic, shape);
  shape.erase(shape.begin() + *dropped);
  auto reduced = cast<MemRefType>(memref::SubViewOp::inferRankReducedResultType(shape, type, starts, extents, strides));
  return b.create<memref::SubViewOp>(loc, reduced, memory, starts, extents, strides);
}

/// The positions of a part, from those of the operation it is a part of.
SmallVector<Value> addPositions(IndexMath &math, ValueRange whole, SmallVector<Value> position) {
  if (whole.empty())
    return position;
  for (Position p : {kBatch, kHead, kFirstQuery, kFirstKey})
    position[p] = math.add(whole[p], position[p]);
  for (Position p : {kQueryLength, kKeyLength})
    position[p] = whole[p];
  return position;
}

/// `op` on parts of its memory. The score function is copied.
void emitAttention(OpBuilder &b, attn::SdpaOp op, Value query, Value key, Value value, Value out, Value lse,
                   ValueRange position, attn::TilesAttr tiles) {
  auto part = b.create<attn::SdpaOp>(op.getLoc(), TypeRange(), query, key, value, op.getMaskOperands(), op.getBias(),
                                     position, out, lse, op.getMasks(), b.getF64FloatAttr(op.getEffectiveScale()),
                                     op.getSoftcapAttr(), tiles, op.getTf32Attr());
  IRMapping map;
  op.getScore().cloneInto(&part.getScore(), map);
}

struct TileQueries : public flashc::impl::TileQueriesBase<TileQueries> {
  using TileQueriesBase::TileQueriesBase;

  void runOnOperation() override {
    SmallVector<attn::SdpaOp> operations;
    getOperation().walk([&](attn::SdpaOp op) { operations.push_back(op); });
    for (attn::SdpaOp op : operations)
      if (failed(tile(op)))
        return signalPassFailure();
  }

private:
  LogicalResult tile(attn::SdpaOp op) {
    if (isa<TensorType>(op.getOut().getType()))
      return op.emitOpError("expected memrefs, got ") << op.getOut().getType() << "; bufferize first";
    if (!op.getTiles())
      return op.emitOpError("expected tile sizes; run assign-tile-sizes first");
    if (isPerTile(op))
      return success();
    chooseForm(op);
    op.erase();
    ++numTiled;
    return success();
  }

  /// Whether the operation is one that this pass makes.
  static bool isPerTile(attn::SdpaOp op) {
    auto query = cast<MemRefType>(op.getQuery().getType()), key = cast<MemRefType>(op.getKey().getType());
    if (op.getPosition().empty() || query.getDimSize(0) != 1)
      return false;
    if (op.getTiles()->getSplit() != 0)
      return key.getDimSize(1) == 1;
    return query.getDimSize(1) == 1 && isAtMost(op.getQuery(), 2, op.getTiles()->getQueries());
  }

  /// One form, or both in a branch. Memory for partial results can be had at the function's top level only.
  void chooseForm(attn::SdpaOp op) {
    OpBuilder b(op);
    IndexMath math(b, op.getLoc());
    Sizes sizes = {math.dim(op.getQuery(), 0), math.dim(op.getQuery(), 1), math.dim(op.getQuery(), 2),
                   math.dim(op.getKey(), 1),   math.dim(op.getKey(), 2),   {}};
    Value one = math.constant(1);
    // Without key heads there is no query head either, and nothing to divide.
    sizes.group = math.max(math.div(sizes.heads, math.max(sizes.keyHeads, one)), one);
    attn::TilesAttr few = op.getTiles()->getFewTiles();
    if (!few || !isa<FunctionOpInterface>(op->getParentOp()))
      return emitBlocks(b, op, sizes);
    Value rows = divideHeads ? sizes.queries : math.mul(sizes.group, sizes.queries);
    Value isFew = emitIsFew(b, op.getLoc(), rows, sizes.keys, few.getQueries());
    if (std::optional<int64_t> known = getConstantIntValue(isFew))
      return *known ? emitSplits(b, op, sizes, few) : emitBlocks(b, op, sizes);
    b.create<scf::IfOp>(
        op.getLoc(), isFew,
        [&](OpBuilder &b, Location loc) {
          emitSplits(b, op, sizes, few);
          b.create<scf::YieldOp>(loc);
        },
        [&](OpBuilder &b, Location loc) {
          emitBlocks(b, op, sizes);
          b.create<scf::YieldOp>(loc);
        });
  }

  /// Whether `rows` are few: up to `most` over many keys, and no more than some of any number of keys. No row at all is
  /// not few: the form for many has no block then, where this one would read masks' and bias' elements of no row.
  static Value emitIsFew(OpBuilder &b, Location loc, Value rows, Value keys, int64_t most) {
    auto compare = [&](arith::CmpIPredicate predicate, Value x, int64_t y) {
      return b.createOrFold<arith::CmpIOp>(loc, predicate, x, b.create<arith::ConstantIndexOp>(loc, y));
    };
    Value last = b.createOrFold<arith::SubIOp>(loc, rows, b.create<arith::ConstantIndexOp>(loc, 1));
    Value ofAny = compare(arith::CmpIPredicate::ult, last, std::min(most, CpuCostModel::fewRows));
    if (most <= CpuCostModel::fewRows)
      return ofAny;
    Value ofMany = compare(arith::CmpIPredicate::ult, last, most);
    Value areMany = compare(arith::CmpIPredicate::sge, keys, CpuCostModel::manyKeys);
    ofMany = b.createOrFold<arith::AndIOp>(loc, ofMany, areMany);
    return b.createOrFold<arith::OrIOp>(loc, ofAny, ofMany);
  }

  /// The form for many rows: blocks of them, each of one query head.
  void emitBlocks(OpBuilder &b, attn::SdpaOp op, const Sizes &sizes) {
    OpBuilder::InsertionGuard guard(b);
    Location loc = op.getLoc();
    IndexMath math(b, loc);
    int64_t rows = op.getTiles()->getQueries();
    Value one = math.constant(1), blocks = math.ceilDiv(sizes.queries, rows);
    auto masks = op.getMaskList();
    bool longestLast = llvm::any_of(masks, [](attn::MaskInterface mask) { return mask.laterRowsAttendMore(); });
    Value lastBlock = longestLast ? math.sub(blocks, one) : Value();

    SmallVector<OpFoldResult> bounds = getAsOpFoldResult(ValueRange{sizes.batch, sizes.heads, blocks});
    auto forall = b.create<scf::ForallOp>(loc, bounds, ValueRange(), std::nullopt);
    b.setInsertionPointToStart(forall.getBody());
    Value batch = forall.getInductionVars()[0], head = forall.getInductionVars()[1],
          block = forall.getInductionVars()[2];
    // The blocks with most keys start first, so that no thread is left with a long one at the end.
    if (longestLast)
      block = math.sub(lastBlock, block);
    Value first = math.mul(block, math.constant(rows));
    OpFoldResult count = b.getIndexAttr(rows);
    if (std::optional<int64_t> length = getConstantIntValue(sizes.queries); !length || *length % rows != 0)
      count = getAsOpFoldResult(math.min(math.sub(sizes.queries, first), math.constant(rows)));
    Value keyHead = math.div(head, sizes.group);

    OpFoldResult unit = b.getIndexAttr(1), zero = b.getIndexAttr(0), keys = getAsOpFoldResult(sizes.keys);
    SmallVector<Value> position =
        addPositions(math, op.getPosition(), {batch, head, first, math.constant(0), sizes.queries, sizes.keys});
    auto ofRows = [&](Value memory) { return emitPart(b, loc, memory, {batch, head, first}, {unit, unit, count}); };
    auto ofKeys = [&](Value memory) { return emitPart(b, loc, memory, {batch, keyHead, zero}, {unit, unit, keys}); };
    Value query = ofRows(op.getQuery()), key = ofKeys(op.getKey()), value = ofKeys(op.getValue()),
          out = ofRows(op.getOut()), lse = op.getLse() ? ofRows(op.getLse()) : Value();
    attn::TilesAttr tiles = *op.getTiles();
    emitAttention(b, op, query, key, value, out, lse, position,
                  attn::TilesAttr::get(&getContext(), rows, tiles.getKeys(), tiles.getGranule(), tiles.getCompute(),
                                       tiles.getOperand(), /*split=*/0, /*few=*/{}));
  }

  /// As many query heads of a key head together as a tile has rows for: all of them, or what there is room for.
  HeadParts chooseHeads(IndexMath &math, const Sizes &sizes, attn::TilesAttr tiles) const {
    Value one = math.constant(1);
    if (!divideHeads)
      return {sizes.group, one};
    Value room = math.div(math.constant(tiles.getQueries()), math.max(sizes.queries, one));
    Value heads = math.min(math.max(room, one), sizes.group);
    return {heads, math.div(math.add(sizes.group, math.sub(heads, one)), heads)};
  }

  /// The query heads of part `part` of key head `keyHead`: the first one, and how many there are.
  struct HeadRange {
    Value first;
    OpFoldResult count;
  };
  static HeadRange emitHeads(IndexMath &math, const Sizes &sizes, const HeadParts &heads, Value keyHead, Value part) {
    Value first = math.mul(keyHead, sizes.group);
    if (heads.isOne())
      return {first, getAsOpFoldResult(sizes.group)};
    Value before = math.mul(part, heads.heads);
    return {math.add(first, before), getAsOpFoldResult(math.min(heads.heads, math.sub(sizes.group, before)))};
  }

  /// The form for few rows: those of query heads of a key head together, the keys divided into splits. The parts are
  /// merged, where there is more than one, after all of them are there.
  void emitSplits(OpBuilder &b, attn::SdpaOp op, const Sizes &sizes, attn::TilesAttr tiles) {
    OpBuilder::InsertionGuard guard(b);
    Location loc = op.getLoc();
    IndexMath math(b, loc);
    Value one = math.constant(1), splits = math.max(math.ceilDiv(sizes.keys, tiles.getSplit()), one);
    const HeadParts heads = chooseHeads(math, sizes, tiles);
    OpFoldResult unit = b.getIndexAttr(1);
    bool isOne = isConstantIntValue(splits, 1);

    // Partial results `[splits, B, Hq, Sq, ..]`.
    auto allocate = [&](ArrayRef<OpFoldResult> shape) -> Value {
      SmallVector<int64_t> known;
      SmallVector<Value> dynamic;
      dispatchIndexOpFoldResults(shape, dynamic, known);
      return b.create<memref::AllocOp>(loc, MemRefType::get(known, tiles.getCompute()), dynamic,
                                       b.getI64IntegerAttr(64));
    };
    Value parts, partLse;
    if (!isOne) {
      SmallVector<OpFoldResult> shape = getAsOpFoldResult(ValueRange{splits, sizes.batch, sizes.heads, sizes.queries});
      partLse = allocate(shape);
      shape.push_back(memref::getMixedSize(b, loc, op.getOut(), 3));
      parts = allocate(shape);
    }
    Value isSingle = isOne ? Value() : b.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, splits, one);
    auto emitMerge = [&](OpBuilder &b, Value batch, HeadRange range, OpFoldResult count) {
      OpFoldResult zero = b.getIndexAttr(0);
      auto ofParts = [&](Value memory) {
        return emitPart(b, loc, memory, {zero, batch, range.first}, {count, unit, range.count}, /*dropped=*/1);
      };
      auto ofHeads = [&](Value memory) {
        return emitPart(b, loc, memory, {batch, range.first}, {unit, range.count}, /*dropped=*/0);
      };
      b.create<attn::MergeSplitsOp>(loc, ofParts(parts), ofParts(partLse), ofHeads(op.getOut()),
                                    op.getLse() ? ofHeads(op.getLse()) : Value(), tiles);
    };

    // Parts of a key head's query heads read the same keys, and follow each other.
    auto emitTasks = [&](SmallVector<Value> counts) {
      if (!heads.isOne())
        counts.push_back(heads.parts);
      return b.create<scf::ForallOp>(loc, getAsOpFoldResult(counts), ValueRange(), std::nullopt);
    };
    auto forall = emitTasks({sizes.batch, sizes.keyHeads, splits});
    {
      OpBuilder inner = OpBuilder::atBlockBegin(forall.getBody());
      IndexMath math(inner, loc);
      Value batch = forall.getInductionVars()[0], keyHead = forall.getInductionVars()[1],
            split = forall.getInductionVars()[2];
      const HeadRange range = emitHeads(math, sizes, heads, keyHead, forall.getInductionVars().back());
      Value size = math.constant(tiles.getSplit()), first = math.mul(split, size);
      OpFoldResult count = getAsOpFoldResult(math.min(math.sub(sizes.keys, first), size));
      if (isOne)
        count = getAsOpFoldResult(sizes.keys), first = math.constant(0);
      SmallVector<Value> position = addPositions(
          math, op.getPosition(), {batch, range.first, math.constant(0), first, sizes.queries, sizes.keys});
      auto ofHeads = [&](Value memory) {
        return emitPart(inner, loc, memory, {batch, range.first}, {unit, range.count});
      };
      auto ofKeys = [&](Value memory) {
        return emitPart(inner, loc, memory, {batch, keyHead, first}, {unit, unit, count});
      };
      auto ofPart = [&](Value memory) {
        return emitPart(inner, loc, memory, {split, batch, range.first}, {unit, unit, range.count}, /*dropped=*/0);
      };
      Value query = ofHeads(op.getQuery()), key = ofKeys(op.getKey()), value = ofKeys(op.getValue());
      Value out = isOne ? ofHeads(op.getOut()) : ofPart(parts);
      Value lse = !isOne ? ofPart(partLse) : op.getLse() ? ofHeads(op.getLse()) : Value();
      emitAttention(inner, op, query, key, value, out, lse, position, tiles);
      // A single part is the result; what is left is to round it and to put it in its place.
      if (isSingle)
        inner.create<scf::IfOp>(loc, isSingle, [&](OpBuilder &b, Location loc) {
          emitMerge(b, batch, range, unit);
          b.create<scf::YieldOp>(loc);
        });
    }
    ++numSplit;
    if (isOne)
      return;
    b.setInsertionPointAfter(forall);
    Value entries = b.create<arith::SelectOp>(loc, isSingle, math.constant(0), sizes.batch);
    auto merge = emitTasks({entries, sizes.keyHeads});
    OpBuilder inner = OpBuilder::atBlockBegin(merge.getBody());
    IndexMath innerMath(inner, loc);
    const HeadRange range =
        emitHeads(innerMath, sizes, heads, merge.getInductionVars()[1], merge.getInductionVars().back());
    emitMerge(inner, merge.getInductionVars()[0], range, getAsOpFoldResult(splits));
  }
};
} // namespace

//===- TileQueries.cpp - Divide an attention into blocks of query rows ---===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/KeyLoops.h"
#include "passes/Passes.h"

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
};

/// A part of memory `[B, H, S, ..]`: one batch entry, one head, `count` rows from `first` on.
Value emitPart(OpBuilder &b, Location loc, Value memory, Value batch, Value head, OpFoldResult first,
               OpFoldResult count) {
  SmallVector<OpFoldResult> offsets = {batch, head, first};
  SmallVector<OpFoldResult> sizes = {b.getIndexAttr(1), b.getIndexAttr(1), count};
  auto type = cast<MemRefType>(memory.getType());
  if (type.getRank() == 4) {
    offsets.push_back(b.getIndexAttr(0));
    sizes.push_back(b.getIndexAttr(type.getDimSize(3)));
  }
  SmallVector<OpFoldResult> strides(offsets.size(), b.getIndexAttr(1));
  return b.create<memref::SubViewOp>(loc, memory, offsets, sizes, strides);
}

struct TileQueries : public flashc::impl::TileQueriesBase<TileQueries> {
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
    tileValid(op);
    ++numTiled;
    return success();
  }

  /// Whether the operation is one that this pass makes.
  static bool isPerTile(attn::SdpaOp op) {
    auto type = cast<MemRefType>(op.getQuery().getType());
    if (op.getPosition().empty() || type.getDimSize(0) != 1 || type.getDimSize(1) != 1)
      return false;
    return isAtMost(op.getQuery(), 2, op.getTiles()->getQueries());
  }

  void tileValid(attn::SdpaOp op) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    IndexMath math(b, loc);
    int64_t rows = op.getTiles()->getQueries();
    Sizes sizes = {math.dim(op.getQuery(), 0), math.dim(op.getQuery(), 1), math.dim(op.getQuery(), 2),
                   math.dim(op.getKey(), 1), math.dim(op.getKey(), 2)};
    Value one = math.constant(1);
    // Without key heads there is no query head either, and nothing to divide.
    Value group = math.max(math.div(sizes.heads, math.max(sizes.keyHeads, one)), one);
    Value blocks = math.ceilDiv(sizes.queries, rows);
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
    Value keyHead = math.div(head, group);

    OpFoldResult zero = b.getIndexAttr(0), keys = getAsOpFoldResult(sizes.keys);
    SmallVector<Value> position = {batch, head, first, math.constant(0), sizes.queries, sizes.keys};
    if (ValueRange whole = op.getPosition(); !whole.empty()) {
      for (Position p : {kBatch, kHead, kFirstQuery})
        position[p] = math.add(whole[p], position[p]);
      for (Position p : {kFirstKey, kQueryLength, kKeyLength})
        position[p] = whole[p];
    }
    Value query = emitPart(b, loc, op.getQuery(), batch, head, first, count);
    Value key = emitPart(b, loc, op.getKey(), batch, keyHead, zero, keys);
    Value value = emitPart(b, loc, op.getValue(), batch, keyHead, zero, keys);
    Value out = emitPart(b, loc, op.getOut(), batch, head, first, count);
    Value lse = op.getLse() ? emitPart(b, loc, op.getLse(), batch, head, first, count) : Value();
    auto tiled = b.create<attn::SdpaOp>(loc, TypeRange(), query, key, value, op.getMaskOperands(), op.getBias(),
                                        position, out, lse, op.getMasks(), b.getF64FloatAttr(op.getEffectiveScale()),
                                        op.getSoftcapAttr(), op.getTilesAttr());
    tiled.getScore().takeBody(op.getScore());
    op.erase();
  }
};
} // namespace

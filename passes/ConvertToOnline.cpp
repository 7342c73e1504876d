//===- ConvertToOnline.cpp - Attention as an online softmax --------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/KeyLoops.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace flashc {
#define GEN_PASS_DEF_CONVERTTOONLINE
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

/// Memory `[1, 1, rows, ..]` without its `count` leading dimensions; straight from what it is a view of, where that is
/// possible.
static Value emitWithoutLeadingDims(OpBuilder &b, Location loc, Value memory, unsigned count) {
  auto type = cast<MemRefType>(memory.getType());
  SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)), strides(type.getRank(), b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes;
  Value source = memory;
  auto view = memory.getDefiningOp<memref::SubViewOp>();
  if (view && view.getDroppedDims().none()) {
    source = view.getSource();
    offsets = view.getMixedOffsets(), sizes = view.getMixedSizes(), strides = view.getMixedStrides();
  } else {
    sizes = memref::getMixedSizes(b, loc, memory);
  }
  auto reduced = cast<MemRefType>(memref::SubViewOp::inferRankReducedResultType(
      type.getShape().drop_front(count), cast<MemRefType>(source.getType()), offsets, sizes, strides));
  return b.create<memref::SubViewOp>(loc, reduced, source, offsets, sizes, strides);
}

namespace {
struct ConvertToOnline : public flashc::impl::ConvertToOnlineBase<ConvertToOnline> {
  void runOnOperation() override {
    SmallVector<attn::SdpaOp> operations;
    getOperation().walk([&](attn::SdpaOp op) { operations.push_back(op); });
    for (attn::SdpaOp op : operations)
      if (failed(convert(op)))
        return signalPassFailure();
  }

private:
  LogicalResult convert(attn::SdpaOp op) {
    auto query = dyn_cast<MemRefType>(op.getQuery().getType()), key = dyn_cast<MemRefType>(op.getKey().getType());
    if (!query || !key)
      return op.emitOpError("expected memrefs, got ") << op.getQuery().getType() << "; bufferize first";
    attn::TilesAttr tiles = op.getTiles().value_or(attn::TilesAttr());
    if (!tiles)
      return op.emitOpError("expected tile sizes; run assign-tile-sizes first");
    // A part with a split has all query heads of its key head.
    bool grouped = tiles.getSplit() != 0;
    for (auto type : {query, key})
      if (type.getDimSize(0) != 1 || (type.getDimSize(1) != 1 && !(grouped && type == query)))
        return op.emitOpError("expected one batch entry and one head, got ") << type << "; run tile-queries first";
    if (op.getPosition().empty() || (!grouped && !isAtMost(op.getQuery(), 2, tiles.getQueries())))
      return op.emitOpError("expected a block of at most ")
             << tiles.getQueries() << " query rows with a position; run tile-queries first";
    convertValid(op, tiles);
    ++numConverted;
    return success();
  }

  void convertValid(attn::SdpaOp op, attn::TilesAttr tiles) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    auto view = [&](Value memory, unsigned dims) {
      return memory ? emitWithoutLeadingDims(b, loc, memory, dims) : Value();
    };
    // Query heads that share a key head are rows, and stay a dimension of memory.
    bool grouped = tiles.getSplit() != 0;
    unsigned dims = grouped ? 1 : 2;
    Value query = view(op.getQuery(), dims), key = view(op.getKey(), 2), value = view(op.getValue(), 2),
          out = view(op.getOut(), dims), lse = view(op.getLse(), dims);

    auto type = cast<FloatType>(tiles.getCompute());
    auto scalar = [&](APFloat number) -> Value {
      return b.create<arith::ConstantOp>(loc, b.getFloatAttr(type, number));
    };
    Value zero = scalar(APFloat::getZero(type.getFloatSemantics()));
    Value lowest = scalar(APFloat::getInf(type.getFloatSemantics(), /*Negative=*/true));
    int64_t columns = cast<MemRefType>(value.getType()).getDimSize(1);
    auto rowsType = tile::TileType::get(tiles.getQueries(), type);
    Value acc = b.create<tile::SplatOp>(loc, tile::TileType::get({tiles.getQueries(), columns}, type), zero);
    Value max = b.create<tile::SplatOp>(loc, rowsType, lowest);
    Value sum = b.create<tile::SplatOp>(loc, rowsType, zero);

    auto online = b.create<attn::OnlineOp>(loc, query, key, value, op.getMasks(), op.getMaskOperands(), op.getBias(),
                                           op.getPosition(), acc, max, sum, b.getF64FloatAttr(op.getEffectiveScale()),
                                           op.getSoftcapAttr(), tiles);
    online.getScore().takeBody(op.getScore());
    IndexMath math(b, loc);
    Value rows = math.dim(query, 0);
    if (grouped)
      rows = math.mul(rows, math.dim(query, 1));
    b.create<attn::NormalizeOp>(loc, online.getAccResult(), online.getMaxResult(), online.getSumResult(), rows, out,
                                lse);
    llvm::SmallSetVector<Value, 8> operands(op.operand_begin(), op.operand_end());
    op.erase();
    // The views that the rank-reduced ones replace.
    for (Value operand : operands)
      if (auto unused = operand.getDefiningOp<memref::SubViewOp>(); unused && unused->use_empty())
        unused.erase();
  }
};
} // namespace

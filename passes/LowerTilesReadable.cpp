//===- LowerTilesReadable.cpp - Memory whose rows are read in vectors -----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "passes/LowerTiles.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::cpu;

Value cpu::emitReadableRows(OpBuilder &b, Location loc, const TileBuffer &tile, ArrayRef<int64_t> shape, int64_t lanes,
                            int64_t least, function_ref<Value(MemRefType)> allocate) {
  IndexBuilder index{b, loc};
  auto type = cast<MemRefType>(tile.memory.getType());
  int64_t columns = shape[1], dynamic = ShapedType::kDynamic;
  auto readable = MemRefType::get({dynamic, dynamic}, type.getElementType(),
                                  StridedLayoutAttr::get(b.getContext(), dynamic, {dynamic, 1}));
  SmallVector<int64_t> strides;
  int64_t offset;
  bool strided = succeeded(getStridesAndOffset(type, strides, offset));
  int64_t inner = strided ? strides.back() : dynamic;
  SmallVector<Value> start(tile.indices);

  auto copy = [&](OpBuilder &b) -> Value {
    IndexBuilder index{b, loc};
    int64_t padded = std::max(columns, lanes), rows = std::max(shape[0], least);
    Value scratch = allocate(MemRefType::get({rows, padded}, type.getElementType()));
    Value zero = b.create<arith::ConstantOp>(loc, b.getZeroAttr(type.getElementType()));
    auto fill = [&](OpBuilder &b, Value row, int64_t first) {
      // Whole rows by whole vectors: of a tiny problem this is much of the work.
      bool whole = first == 0 && padded % lanes == 0;
      auto type = VectorType::get({lanes}, zero.getType());
      Value zeros = whole ? b.create<arith::ConstantOp>(loc, type, b.getZeroAttr(type)) : zero;
      buildLoop(b, loc, index.constant(first), index.constant(padded), whole ? lanes : 1,
                [&](OpBuilder &b, Value column) {
                  if (whole)
                    b.create<vector::StoreOp>(loc, zeros, scratch, ValueRange{row, column});
                  else
                    b.create<memref::StoreOp>(loc, zero, scratch, ValueRange{row, column});
                });
    };
    buildLoop(b, loc, index.constant(0), tile.rows, 1, [&](OpBuilder &b, Value row) {
      buildLoop(b, loc, index.constant(0), index.constant(columns), 1, [&](OpBuilder &b, Value column) {
        IndexBuilder index{b, loc};
        SmallVector<Value> at(start);
        at[at.size() - 2] = index.add(at[at.size() - 2], row);
        at.back() = index.add(at.back(), column);
        Value x = b.create<memref::LoadOp>(loc, tile.memory, at);
        b.create<memref::StoreOp>(loc, x, scratch, ValueRange{row, column});
      });
      if (columns < padded)
        fill(b, row, columns);
    });
    if (least > 0)
      buildLoop(b, loc, tile.rows, index.constant(least), 1, [&](OpBuilder &b, Value row) { fill(b, row, 0); });
    return b.create<memref::ReinterpretCastOp>(loc, readable, scratch, OpFoldResult(b.getIndexAttr(0)),
                                               ArrayRef<OpFoldResult>{b.getIndexAttr(rows), b.getIndexAttr(padded)},
                                               ArrayRef<OpFoldResult>{b.getIndexAttr(padded), b.getIndexAttr(1)});
  };
  if (columns < lanes || (inner != 1 && inner != dynamic))
    return copy(b);

  auto metadata = b.create<memref::ExtractStridedMetadataOp>(loc, tile.memory);
  auto inPlace = [&](OpBuilder &b) -> Value {
    IndexBuilder index{b, loc};
    Value first = metadata.getOffset();
    for (auto [at, stride] : llvm::zip(start, metadata.getStrides()))
      if (!isConstantIntValue(at, 0))
        first = index.add(first, b.create<arith::MulIOp>(loc, at, stride));
    Value step = metadata.getStrides()[type.getRank() - 2];
    return b.create<memref::ReinterpretCastOp>(loc, readable, metadata.getBaseBuffer(), OpFoldResult(first),
                                               ArrayRef<OpFoldResult>{tile.rows, b.getIndexAttr(columns)},
                                               ArrayRef<OpFoldResult>{step, b.getIndexAttr(1)});
  };
  Value condition;
  auto require = [&](Value fact) {
    condition = condition ? b.create<arith::AndIOp>(loc, condition, fact).getResult() : fact;
  };
  if (inner == dynamic)
    require(b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, metadata.getStrides().back(), index.constant(1)));
  if (least > 0)
    require(b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::sge, tile.rows, index.constant(least)));
  if (!condition)
    return inPlace(b);
  auto choice = b.create<scf::IfOp>(
      loc, condition, [&](OpBuilder &b, Location loc) { b.create<scf::YieldOp>(loc, inPlace(b)); },
      [&](OpBuilder &b, Location loc) { b.create<scf::YieldOp>(loc, copy(b)); });
  return choice.getResult(0);
}

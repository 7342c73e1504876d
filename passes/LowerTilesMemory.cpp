//===- LowerTilesMemory.cpp - Tiles to and from memory --------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Loads and stores. Memory may have any strides; where the innermost one is known only at run time, both
/// forms are emitted: whole vectors where it is 1, single elements otherwise. All of it costs O(S * D), against O(S^2 *
/// D) of the products, but a strided gather of single elements would still show.
///
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/TypeUtilities.h"
#include "passes/LowerTiles.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::cpu;

Value IndexBuilder::constant(int64_t value) const { return b.create<arith::ConstantIndexOp>(loc, value); }

Value IndexBuilder::add(Value x, Value y) const {
  if (isConstantIntValue(x, 0))
    return y;
  if (isConstantIntValue(y, 0))
    return x;
  auto xc = getConstantIntValue(x), yc = getConstantIntValue(y);
  return xc && yc ? constant(*xc + *yc) : b.create<arith::AddIOp>(loc, x, y).getResult();
}

Value IndexBuilder::mul(Value x, int64_t y) const {
  if (auto xc = getConstantIntValue(x))
    return constant(*xc * y);
  return y == 1 ? x : b.create<arith::MulIOp>(loc, x, constant(y)).getResult();
}

Value IndexBuilder::ceilDiv(Value x, int64_t y) const {
  if (auto xc = getConstantIntValue(x))
    return constant((*xc + y - 1) / y);
  // Extents are never negative, so the unsigned form is exact; it is a shift where y is a power of two.
  Value up = b.create<arith::AddIOp>(loc, x, constant(y - 1));
  return b.create<arith::DivUIOp>(loc, up, constant(y));
}

Value IndexBuilder::min(Value x, Value y) const { return b.create<arith::MinSIOp>(loc, x, y); }

void cpu::buildLoop(OpBuilder &b, Location loc, Value begin, Value end, int64_t step,
                    function_ref<void(OpBuilder &, Value)> body) {
  b.create<scf::ForOp>(loc, begin, end, b.create<arith::ConstantIndexOp>(loc, step), ValueRange{},
                       [&](OpBuilder &b, Location loc, Value i, ValueRange) {
                         body(b, i);
                         b.create<scf::YieldOp>(loc);
                       });
}

/// The strides of ranked memory; `ShapedType::kDynamic` where not known.
static int64_t innerStride(Value memory) {
  SmallVector<int64_t> strides;
  int64_t offset;
  auto type = cast<MemRefType>(memory.getType());
  if (type.getRank() == 0 || failed(getStridesAndOffset(type, strides, offset)))
    return ShapedType::kDynamic;
  return strides.back();
}

void cpu::dispatchOnStride(OpBuilder &b, Location loc, Value memory,
                           function_ref<void(OpBuilder &, Value, bool)> body) {
  int64_t stride = innerStride(memory);
  if (stride != ShapedType::kDynamic)
    return body(b, memory, stride == 1);
  auto type = cast<MemRefType>(memory.getType());
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(getStridesAndOffset(type, strides, offset)))
    return body(b, memory, false);
  strides.back() = 1;
  auto unitType = MemRefType::get(type.getShape(), type.getElementType(),
                                  StridedLayoutAttr::get(b.getContext(), offset, strides), type.getMemorySpace());
  auto metadata = b.create<memref::ExtractStridedMetadataOp>(loc, memory);
  Value one = b.create<arith::ConstantIndexOp>(loc, 1);
  Value isUnit = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, metadata.getStrides().back(), one);
  b.create<scf::IfOp>(
      loc, isUnit,
      [&](OpBuilder &b, Location loc) {
        // A memref.cast would say it too, but folds into the vector.load, which then has no unit stride.
        auto mixed = [&](int64_t known, Value value) -> OpFoldResult {
          return ShapedType::isDynamic(known) ? OpFoldResult(value) : OpFoldResult(b.getIndexAttr(known));
        };
        SmallVector<OpFoldResult> sizes, steps;
        for (int64_t d = 0; d < type.getRank(); ++d) {
          sizes.push_back(mixed(type.getDimSize(d), metadata.getSizes()[d]));
          steps.push_back(mixed(strides[d], metadata.getStrides()[d]));
        }
        body(b,
             b.create<memref::ReinterpretCastOp>(loc, unitType, metadata.getBaseBuffer(),
                                                 mixed(offset, metadata.getOffset()), sizes, steps),
             true);
        b.create<scf::YieldOp>(loc);
      },
      [&](OpBuilder &b, Location loc) {
        body(b, memory, false);
        b.create<scf::YieldOp>(loc);
      });
}

SmallVector<Value> cpu::rowOf(OpBuilder &b, Location loc, ValueRange offsets, Value row) {
  SmallVector<Value> indices(offsets);
  Value &rowIndex = indices[indices.size() - 2];
  rowIndex = IndexBuilder{b, loc}.add(rowIndex, row);
  return indices;
}

namespace {

/// A place in memory: indices, the last of which moves along a row.
struct Place {
  Value memory;
  SmallVector<Value> indices;
  Type element() const { return cast<MemRefType>(memory.getType()).getElementType(); }
  SmallVector<Value> at(OpBuilder &b, Location loc, Value column) const {
    SmallVector<Value> result(indices);
    result.back() = IndexBuilder{b, loc}.add(result.back(), column);
    return result;
  }
};

/// Copies `count` elements (static) of a row; whole vectors if `vectorize`, which asks unit strides of both sides.
void copyRow(OpBuilder &b, Location loc, const Place &from, const Place &to, int64_t count, int64_t lanes,
             bool vectorize) {
  IndexBuilder index{b, loc};
  int64_t whole = vectorize ? count / lanes * lanes : 0;
  auto type = VectorType::get({lanes}, from.element());
  if (whole)
    buildLoop(b, loc, index.constant(0), index.constant(whole), lanes, [&](OpBuilder &b, Value c) {
      Value x = b.create<vector::LoadOp>(loc, type, from.memory, from.at(b, loc, c));
      b.create<vector::StoreOp>(loc, convertFloat(b, loc, x, to.element()), to.memory, to.at(b, loc, c));
    });
  if (whole < count)
    buildLoop(b, loc, index.constant(whole), index.constant(count), 1, [&](OpBuilder &b, Value c) {
      Value x = b.create<memref::LoadOp>(loc, from.memory, from.at(b, loc, c));
      b.create<memref::StoreOp>(loc, convertFloat(b, loc, x, to.element()), to.memory, to.at(b, loc, c));
    });
}

void fillRow(OpBuilder &b, Location loc, const Place &to, int64_t begin, int64_t end) {
  if (begin >= end)
    return;
  IndexBuilder index{b, loc};
  Value zero = b.create<arith::ConstantOp>(loc, b.getZeroAttr(to.element()));
  buildLoop(b, loc, index.constant(begin), index.constant(end), 1,
            [&](OpBuilder &b, Value c) { b.create<memref::StoreOp>(loc, zero, to.memory, to.at(b, loc, c)); });
}

/// The same of a load or store whose rows run along dimension `dimension`, and, where they are `grouped`, on over the
/// one before it.
SmallVector<Value> groupedRowOf(OpBuilder &b, Location loc, ValueRange offsets, Value row, Value memory,
                                unsigned dimension, bool grouped) {
  IndexBuilder index{b, loc};
  SmallVector<Value> indices(offsets);
  if (!grouped) {
    indices[dimension] = index.add(indices[dimension], row);
    return indices;
  }
  Value size = b.createOrFold<memref::DimOp>(loc, memory, dimension);
  Value group = b.create<arith::DivUIOp>(loc, row, size);
  Value rest = b.create<arith::SubIOp>(loc, row, b.create<arith::MulIOp>(loc, group, size));
  indices[dimension - 1] = index.add(indices[dimension - 1], group);
  indices[dimension] = index.add(indices[dimension], rest);
  return indices;
}

} // namespace

bool cpu::isReadTransposed(tile::LoadOp load) {
  return llvm::any_of(load->getUsers(), [&](Operation *user) {
    auto dot = dyn_cast<tile::DotOp>(user);
    return dot && dot.getRhs() == load.getResult() && dot.getTransposed();
  });
}

void cpu::emitLoad(OpBuilder &b, tile::LoadOp op, int64_t lanes, Value scratch) {
  Location loc = op.getLoc();
  IndexBuilder index{b, loc};
  ArrayRef<int64_t> shape = cast<tile::TileType>(op.getResult().getType()).getShape();
  ArrayRef<int64_t> padded = cast<MemRefType>(scratch.getType()).getShape();
  Value zero = index.constant(0);
  auto extent = [&](unsigned d) { return op.getValid().empty() ? index.constant(shape[d]) : op.getValid()[d]; };
  // Rows of more or fewer columns than the tile's: only a static number is unrolled into vectors, so that is what is
  // asked of the columns; a tile's columns are a head dimension, which is static.
  int64_t columns = shape.size() == 2 ? getConstantIntValue(extent(1)).value_or(shape[1]) : 1;
  Value valid = index.min(extent(0), index.constant(shape[0]));

  auto rowAt = [&](OpBuilder &b, Value source, Value row) {
    return groupedRowOf(b, loc, op.getOffsets(), row, source, op.getOffsets().size() - shape.size(), op.getGrouped());
  };
  if (shape.size() == 1) {
    buildLoop(b, loc, zero, valid, 1, [&](OpBuilder &b, Value r) {
      Value x = b.create<memref::LoadOp>(loc, op.getSource(), rowAt(b, op.getSource(), r));
      x = convertFloat(b, loc, x, cast<MemRefType>(scratch.getType()).getElementType());
      b.create<memref::StoreOp>(loc, x, scratch, r);
    });
    buildLoop(b, loc, valid, index.constant(padded[0]), 1,
              [&](OpBuilder &b, Value r) { fillRow(b, loc, Place{scratch, {r}}, 0, 1); });
    return;
  }
  dispatchOnStride(b, loc, op.getSource(), [&](OpBuilder &b, Value source, bool unit) {
    buildLoop(b, loc, zero, valid, 1, [&](OpBuilder &b, Value r) {
      Place to{scratch, {r, zero}};
      copyRow(b, loc, Place{source, rowAt(b, source, r)}, to, columns, lanes, unit);
      fillRow(b, loc, to, columns, padded[1]);
    });
  });
  buildLoop(b, loc, valid, index.constant(padded[0]), 1,
            [&](OpBuilder &b, Value r) { fillRow(b, loc, Place{scratch, {r, zero}}, 0, padded[1]); });
}

void cpu::emitStore(OpBuilder &b, tile::StoreOp op, int64_t lanes, const TileBuffer &value) {
  Location loc = op.getLoc();
  IndexBuilder index{b, loc};
  ArrayRef<int64_t> shape = cast<tile::TileType>(op.getValue().getType()).getShape();
  Value zero = index.constant(0);
  Value valid = op.getValid().empty() ? index.constant(shape[0]) : op.getValid()[0];
  Type element = cast<MemRefType>(op.getDestination().getType()).getElementType();
  auto read = [&](OpBuilder &b, ValueRange at) -> Value {
    Value x = value.splat ? value.splat : b.create<memref::LoadOp>(loc, value.memory, at).getResult();
    return convertFloat(b, loc, x, element);
  };
  auto rowAt = [&](OpBuilder &b, Value destination, Value row) {
    return groupedRowOf(b, loc, op.getOffsets(), row, destination, op.getOffsets().size() - shape.size(),
                        op.getGrouped());
  };
  if (shape.size() == 1) {
    buildLoop(b, loc, zero, valid, 1, [&](OpBuilder &b, Value r) {
      b.create<memref::StoreOp>(loc, read(b, r), op.getDestination(), rowAt(b, op.getDestination(), r));
    });
    return;
  }
  int64_t columns = op.getValid().empty() ? shape[1] : getConstantIntValue(op.getValid()[1]).value_or(shape[1]);
  if (value.splat) {
    buildLoop(b, loc, zero, valid, 1, [&](OpBuilder &b, Value r) {
      buildLoop(b, loc, zero, index.constant(columns), 1, [&](OpBuilder &b, Value c) {
        SmallVector<Value> indices = rowAt(b, op.getDestination(), r);
        indices.back() = IndexBuilder{b, loc}.add(indices.back(), c);
        b.create<memref::StoreOp>(loc, read(b, {}), op.getDestination(), indices);
      });
    });
    return;
  }
  dispatchOnStride(b, loc, op.getDestination(), [&](OpBuilder &b, Value destination, bool unit) {
    buildLoop(b, loc, zero, valid, 1, [&](OpBuilder &b, Value r) {
      copyRow(b, loc, Place{value.memory, {r, zero}}, Place{destination, rowAt(b, destination, r)}, columns, lanes,
              unit);
    });
  });
}

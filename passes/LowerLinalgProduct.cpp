//===- LowerLinalgProduct.cpp - Register-blocked products -----------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Two micro-kernels. Where the right side lies along columns of the result, a tile of rows times vectors of columns
/// takes one broadcast of the left side a row and step of the sum. Where both sides lie along the sum (a weight as
/// frameworks store it, `[out, in]`), a tile of dot products reads vectors of both and adds their lanes at the end.
///
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/LowerLinalg.h"

using namespace mlir;

namespace flashc::lower {

namespace {

/// A product with the roles of its loops. `right` is the side whose columns are the result's innermost dimension.
struct Product {
  linalg::LinalgOp op;
  Value left, right, out;
  AffineMap leftMap, rightMap, outMap;
  unsigned row = 0, column = 0, sum = 0;
  bool hasRow = false;
  SmallVector<unsigned> outer;
  bool alongSum = false;
  Type element;
};

class ProductLowering {
public:
  ProductLowering(OpBuilder &builder, Product product, const VectorUnit &unit)
      : builder(builder), loc(product.op.getLoc()), product(std::move(product)), unit(unit) {
    lanes = unit.bytes * 8 / this->product.element.getIntOrFloatBitWidth();
    vectorType = VectorType::get({lanes}, this->product.element);
  }

  void lower();

private:
  void tileAlongColumns(OpBuilder &b, SmallVector<Value> point, int64_t rows, int64_t columns);
  void tileAlongSum(OpBuilder &b, SmallVector<Value> point, int64_t rows, int64_t columns);
  Value load(OpBuilder &b, Value memory, AffineMap map, ArrayRef<Value> point, int64_t width);
  Value multiplyAdd(OpBuilder &b, Value x, Value y, Value sum);
  Value offset(OpBuilder &b, Value base, int64_t by);
  Value constant(OpBuilder &b, int64_t value) { return b.create<arith::ConstantIndexOp>(loc, value); }

  OpBuilder &builder;
  Location loc;
  Product product;
  VectorUnit unit;
  int64_t lanes;
  VectorType vectorType;
  SmallVector<OpFoldResult> sizes;
};

} // namespace

Value ProductLowering::offset(OpBuilder &b, Value base, int64_t by) {
  return by == 0 ? base : b.createOrFold<arith::AddIOp>(loc, base, constant(b, by));
}

/// `width` elements (0: one scalar) of an operand, in the result's type.
Value ProductLowering::load(OpBuilder &b, Value memory, AffineMap map, ArrayRef<Value> point, int64_t width) {
  SmallVector<Value> indices = indicesAt(b, loc, map, point);
  Type from = getElementTypeOrSelf(memory.getType());
  Value value;
  Type to = product.element;
  if (width == 0) {
    value = b.create<memref::LoadOp>(loc, memory, indices);
  } else {
    value = b.create<vector::LoadOp>(loc, VectorType::get({width}, from), memory, indices);
    to = VectorType::get({width}, to);
  }
  return from == product.element ? value : b.create<arith::ExtFOp>(loc, to, value);
}

Value ProductLowering::multiplyAdd(OpBuilder &b, Value x, Value y, Value sum) {
  if (isa<VectorType>(sum.getType()))
    return b.create<vector::FMAOp>(loc, x, y, sum);
  return b.create<arith::AddFOp>(loc, sum, b.create<arith::MulFOp>(loc, x, y));
}

/// `rows` x `columns` of the result, `columns` being 1 or whole vectors.
void ProductLowering::tileAlongColumns(OpBuilder &b, SmallVector<Value> point, int64_t rows, int64_t columns) {
  int64_t width = columns == 1 ? 0 : lanes, vectors = columns == 1 ? 1 : columns / lanes;
  auto at = [&](OpBuilder &b, int64_t row, int64_t vector) {
    SmallVector<Value> moved(point);
    if (product.hasRow)
      moved[product.row] = offset(b, point[product.row], row);
    moved[product.column] = offset(b, point[product.column], vector * lanes);
    return moved;
  };
  SmallVector<Value> start;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t vector = 0; vector < vectors; ++vector)
      start.push_back(load(b, product.out, product.outMap, at(b, row, vector), width));
  Value end = getValueOrCreateConstantIndexOp(b, loc, sizes[product.sum]);
  ValueRange sums = forCarried(b, loc, constant(b, 0), end, 1, start, [&](OpBuilder &b, Value k, ValueRange carried) {
    SmallVector<Value> next(carried), right;
    auto moved = [&](int64_t row, int64_t vector) {
      SmallVector<Value> position = at(b, row, vector);
      position[product.sum] = k;
      return position;
    };
    for (int64_t vector = 0; vector < vectors; ++vector)
      right.push_back(load(b, product.right, product.rightMap, moved(0, vector), width));
    for (int64_t row = 0; row < rows; ++row) {
      Value left = load(b, product.left, product.leftMap, moved(row, 0), 0);
      if (width)
        left = b.create<vector::BroadcastOp>(loc, vectorType, left);
      for (int64_t vector = 0; vector < vectors; ++vector) {
        Value &sum = next[row * vectors + vector];
        sum = multiplyAdd(b, left, right[vector], sum);
      }
    }
    return next;
  });
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t vector = 0; vector < vectors; ++vector) {
      SmallVector<Value> indices = indicesAt(b, loc, product.outMap, at(b, row, vector));
      Value sum = sums[row * vectors + vector];
      if (width)
        b.create<vector::StoreOp>(loc, sum, product.out, indices);
      else
        b.create<memref::StoreOp>(loc, sum, product.out, indices);
    }
  }
}

/// `rows` x `columns` dot products.
void ProductLowering::tileAlongSum(OpBuilder &b, SmallVector<Value> point, int64_t rows, int64_t columns) {
  auto at = [&](OpBuilder &b, int64_t row, int64_t column, Value k) {
    SmallVector<Value> moved(point);
    if (product.hasRow)
      moved[product.row] = offset(b, point[product.row], row);
    moved[product.column] = offset(b, point[product.column], column);
    if (k)
      moved[product.sum] = k;
    return moved;
  };
  auto step = [&](OpBuilder &b, Value k, ValueRange carried, int64_t width) {
    SmallVector<Value> next(carried), right;
    for (int64_t column = 0; column < columns; ++column)
      right.push_back(load(b, product.right, product.rightMap, at(b, 0, column, k), width));
    for (int64_t row = 0; row < rows; ++row) {
      Value left = load(b, product.left, product.leftMap, at(b, row, 0, k), width);
      for (int64_t column = 0; column < columns; ++column)
        next[row * columns + column] = multiplyAdd(b, left, right[column], next[row * columns + column]);
    }
    return next;
  };
  Value end = getValueOrCreateConstantIndexOp(b, loc, sizes[product.sum]);
  auto known = getConstantIntValue(sizes[product.sum]);
  Value whole = end;
  if (!known || *known % lanes != 0) {
    Value rest = b.createOrFold<arith::RemUIOp>(loc, end, constant(b, lanes));
    whole = b.createOrFold<arith::SubIOp>(loc, end, rest);
  }
  SmallVector<Value> sums;
  for (int64_t cell = 0; cell < rows * columns; ++cell)
    sums.push_back(load(b, product.out, product.outMap, at(b, cell / columns, cell % columns, Value()), 0));
  Value zero = b.create<arith::ConstantOp>(loc, DenseElementsAttr::get(vectorType, b.getZeroAttr(product.element)));
  ValueRange vectors =
      forCarried(b, loc, constant(b, 0), whole, lanes, SmallVector<Value>(sums.size(), zero),
                 [&](OpBuilder &b, Value k, ValueRange carried) { return step(b, k, carried, lanes); });
  for (auto [sum, vector] : llvm::zip(sums, vectors))
    sum = b.create<vector::ReductionOp>(loc, vector::CombiningKind::ADD, vector, sum, arith::FastMathFlags::reassoc);
  if (whole != end)
    sums = llvm::to_vector(forCarried(b, loc, whole, end, 1, sums, [&](OpBuilder &b, Value k, ValueRange carried) {
      return step(b, k, carried, 0);
    }));
  for (int64_t cell = 0; cell < rows * columns; ++cell)
    b.create<memref::StoreOp>(loc, sums[cell], product.out,
                              indicesAt(b, loc, product.outMap, at(b, cell / columns, cell % columns, Value())));
}

void ProductLowering::lower() {
  for (Range range : product.op.createLoopRanges(builder, loc))
    sizes.push_back(range.size);
  // What the registers hold: accumulators, and beside them the vectors of one side and one of the other.
  bool many = unit.registers >= 32;
  int64_t rows = product.alongSum ? (many ? 4 : 2) : 6;
  int64_t vectors = product.alongSum ? 4 : (many ? 4 : 2);
  SmallVector<int64_t> rowTiles{rows, 1}, columnTiles;
  if (product.alongSum)
    columnTiles = {vectors, 1};
  else
    columnTiles = {vectors * lanes, lanes, 1};
  if (!product.hasRow)
    rowTiles = {1};

  // A task is a block of rows times a block of columns: enough work for its cost, small enough for the second-level
  // cache.
  SmallVector<OpFoldResult> taskSizes;
  SmallVector<int64_t> chunks;
  for (unsigned dim : product.outer) {
    taskSizes.push_back(sizes[dim]);
    chunks.push_back(1);
  }
  taskSizes.push_back(sizes[product.column]);
  chunks.push_back(product.alongSum ? 64 : vectors * lanes);
  taskSizes.push_back(product.hasRow ? sizes[product.row] : OpFoldResult(builder.getIndexAttr(1)));
  chunks.push_back(rows * 16);
  int64_t work = 1;
  for (OpFoldResult size : sizes)
    work *= getConstantIntValue(size).value_or(1024);
  forEachTask(builder, loc, taskSizes, chunks, work > 65536, [&](OpBuilder &b, ArrayRef<Span> spans) {
    SmallVector<Value> point(sizes.size(), constant(b, 0));
    for (auto [dim, span] : llvm::zip(product.outer, spans))
      point[dim] = span.base;
    Span columnSpan = spans[product.outer.size()], rowSpan = spans.back();
    forEachTile(b, loc, columnSpan, columnTiles, [&](OpBuilder &b, Value column, int64_t columns) {
      point[product.column] = column;
      forEachTile(b, loc, rowSpan, rowTiles, [&](OpBuilder &b, Value row, int64_t rows) {
        if (product.hasRow)
          point[product.row] = row;
        if (product.alongSum)
          tileAlongSum(b, point, rows, columns);
        else
          tileAlongColumns(b, point, rows, columns);
      });
    });
  });
}

/// Whether neighbours in the innermost dimension are neighbours in memory.
static bool isContiguous(Value memory) {
  int64_t offset;
  SmallVector<int64_t> strides;
  return succeeded(getStridesAndOffset(cast<MemRefType>(memory.getType()), strides, offset)) && !strides.empty() &&
         strides.back() == 1;
}

bool lowerContraction(OpBuilder &builder, linalg::LinalgOp op, const VectorUnit &unit) {
  if (!linalg::isaContractionOpInterface(op))
    return false;
  FailureOr<linalg::ContractionDimensions> dims = linalg::inferContractionDims(op);
  if (failed(dims) || dims->k.size() != 1)
    return false;
  Product product;
  product.op = op;
  product.left = op.getDpsInputs()[0];
  product.right = op.getDpsInputs()[1];
  product.out = op.getDpsInits()[0];
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  product.leftMap = maps[0];
  product.rightMap = maps[1];
  product.outMap = maps[2];
  product.sum = dims->k[0];
  product.element = getElementTypeOrSelf(product.out.getType());
  if (!isa<FloatType>(product.element) || product.element.getIntOrFloatBitWidth() < 32)
    return false;
  for (Value side : {product.left, product.right})
    if (!isa<FloatType>(getElementTypeOrSelf(side.getType())))
      return false;

  auto lastDim = [](AffineMap map) -> std::optional<unsigned> {
    if (map.getNumResults() == 0 || !isa<AffineDimExpr>(map.getResults().back()))
      return std::nullopt;
    return cast<AffineDimExpr>(map.getResults().back()).getPosition();
  };
  auto rows = dims->m, columns = dims->n;
  auto inner = lastDim(product.outMap);
  if (inner && llvm::is_contained(rows, *inner)) {
    std::swap(product.left, product.right);
    std::swap(product.leftMap, product.rightMap);
    std::swap(rows, columns);
  }
  auto leftLast = lastDim(product.leftMap), rightLast = lastDim(product.rightMap);
  bool alongColumns = inner && llvm::is_contained(columns, *inner) && rightLast == inner &&
                      isContiguous(product.right) && isContiguous(product.out);
  product.alongSum = !alongColumns && !columns.empty() && rightLast == product.sum && leftLast == product.sum &&
                     isContiguous(product.left) && isContiguous(product.right);
  if (!alongColumns && !product.alongSum)
    return false;
  product.column = alongColumns ? *inner : columns.back();
  if (!rows.empty()) {
    product.hasRow = true;
    // The longest: the others are walked one by one.
    SmallVector<int64_t> extents = op.getStaticLoopRanges();
    product.row = rows.back();
    for (unsigned row : rows)
      if (extents[row] > extents[product.row])
        product.row = row;
  }
  for (unsigned dim = 0; dim < op.getNumLoops(); ++dim)
    if (dim != product.column && dim != product.sum && !(product.hasRow && dim == product.row))
      product.outer.push_back(dim);
  ProductLowering(builder, product, unit).lower();
  return true;
}

} // namespace flashc::lower

//===- LowerThreadsStaged.cpp - Copies through registers, by threads ------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// From global to shared memory where no unit copies by itself: a thread reads pieces of sixteen bytes into registers,
/// and writes them where the tile is awaited. What is between hides the reads.
///
//===----------------------------------------------------------------------===//

#include "passes/ConvertFloat.h"
#include "passes/LowerThreads.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::threads;

CopyUnits ThreadBuilder::unitsOf(tile::TileType type) const {
  auto layout = cast<tile::SharedLayoutAttr>(type.getLayout());
  auto [rows, columns] = layout.getStoredShape(type.getShape());
  return getCopyUnits(rows, columns, bytesOf(type.getElementType()), layout.getPanel(), layout.getTransposed());
}

int64_t ThreadBuilder::unitsOfThread(tile::TileType type) const {
  return llvm::divideCeil(unitsOf(type).total, block.threads);
}

bool ThreadBuilder::canStage(tile::TileType type) const {
  int64_t registers = unitsOfThread(type) * unitsOf(type).rows * kPieceBytes / 4;
  return !block.gpu.asyncCopy && registers <= getMostWaiting(block.gpu.subgroupSize);
}

ThreadBuilder::Piece ThreadBuilder::locate(tile::TileType type, Value first, int64_t unit) {
  CopyUnits units = unitsOf(type);
  Value across = constant(units.across), number = first;
  Piece result;
  if (units.total % block.threads != 0)
    result.there = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, index.add(first, unit * block.threads),
                                           constant(units.total));
  if (block.threads % units.across == 0) // a thread's units are below each other
    result.below = unit * (block.threads / units.across) * units.rows;
  else
    number = index.add(first, unit * block.threads);
  result.row = index.mul(b.createOrFold<arith::DivUIOp>(loc, number, across), constant(units.rows));
  result.column = index.mul(b.createOrFold<arith::RemUIOp>(loc, number, across), constant(units.columns));
  return result;
}

Value ThreadBuilder::exists(tile::TileType type, const Piece &piece, int64_t row, Value rows, Value columns,
                            bool allColumns) {
  Type i32 = b.getI32Type();
  auto word = [&](Value x) -> Value { return b.create<arith::IndexCastOp>(loc, i32, x); };
  // What differs between units is taken from the side that is the same for all threads, which need one number then.
  Value most = index.clamp(rows, constant(0), constant(type.getShape()[0]));
  Value left = word(index.add(most, -(piece.below + row)));
  Value result = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, word(piece.row), left);
  if (!allColumns)
    result = b.create<arith::AndIOp>(loc, result,
                                     b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, piece.column, columns));
  return piece.there ? b.create<arith::AndIOp>(loc, result, piece.there).getResult() : result;
}

SmallVector<Value> ThreadBuilder::stageElements(const SharedCopy &copy, Value first, int64_t count) {
  tile::TileType type = copy.type;
  CopyUnits units = unitsOf(type);
  Type element = type.getElementType();
  auto vector = VectorType::get({units.columns}, element);
  Value rows, columns;
  std::tie(rows, columns) = extents(b, loc, copy.valid, type.getShape());
  int64_t uneven = getUneven(columns, units.columns);
  // Then none of a piece is beyond the row's end.
  std::optional<int64_t> known = getConstantIntValue(columns);
  bool whole = uneven || (known && *known % units.columns == 0);
  SmallVector<Value> pieces;
  first = keepHere(first); // a way that is rarely taken
  for (int64_t unit = 0; unit < count; ++unit) {
    Piece place = locate(type, first, unit);
    for (int64_t r = 0; r < units.rows; ++r) {
      Value at = index.add(place.row, place.below + r), column = place.column;
      // A stored row is padded by pieces that hold nothing.
      Value there = exists(type, place, r, rows, columns, /*allColumns=*/false);
      auto read = b.create<scf::IfOp>(loc, TypeRange{vector}, there, /*withElseRegion=*/true);
      OpBuilder tb = read.getThenBodyBuilder(), eb = read.getElseBodyBuilder();
      ThreadBuilder inner(tb, loc, block);
      SmallVector<Value> indices = inner.rowIndices(copy.source, copy.offsets, at, copy.grouped, true);
      Value base = indices.back(), last = inner.index.add(columns, -1);
      Value none = tb.create<arith::ConstantOp>(loc, tb.getZeroAttr(element));
      Value piece = tb.create<arith::ConstantOp>(loc, tb.getZeroAttr(vector));
      if (uneven)
        column = inner.readableColumn(column, uneven, units.columns);
      for (int64_t e = 0; e < units.columns; ++e) {
        Value c = inner.index.add(column, e);
        indices.back() = inner.index.add(base, whole ? c : inner.index.min(c, last));
        Value x = convertFloat(tb, loc, tb.create<memref::LoadOp>(loc, copy.source, indices), element);
        if (!whole)
          x = tb.create<arith::SelectOp>(loc, tb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, c, columns), x,
                                         none);
        piece = tb.create<vector::InsertOp>(loc, x, piece, e);
      }
      tb.create<scf::YieldOp>(loc, piece);
      eb.create<scf::YieldOp>(loc, eb.create<arith::ConstantOp>(loc, eb.getZeroAttr(vector)).getResult());
      pieces.push_back(read.getResult(0));
    }
  }
  return pieces;
}

SmallVector<Value> ThreadBuilder::stage(const SharedCopy &copy, Value first, int64_t count) {
  tile::TileType type = copy.type;
  CopyUnits units = unitsOf(type);
  Type element = type.getElementType();
  int64_t bytes = bytesOf(element);
  Value rows, columns;
  std::tie(rows, columns) = extents(b, loc, copy.valid, type.getShape());
  std::optional<int64_t> known = getConstantIntValue(columns);
  int64_t uneven = getUneven(columns, units.columns);
  if (cast<MemRefType>(copy.source.getType()).getElementType() != element || !known ||
      (*known % units.columns != 0 && !(uneven && block.gpu.unalignedAccess)))
    return stageElements(copy, first, count);
  // A subgroup alone copies all of a tile, and float64's sums leave few registers for that many addresses.
  if (bytes == 8 && block.threads == block.gpu.subgroupSize)
    first = keepHere(first);
  PieceSource source = findPieces(copy);
  // A tile's pieces lie within the 2 GiB that an offset reaches. A stride that is negative counts as large.
  Value near = source.whole, most = constant((int64_t(1) << 30) / (type.getShape()[0] * bytes));
  for (Value stride : ArrayRef(source.strides).drop_back().take_back(copy.grouped ? 2 : 1))
    near = b.create<arith::AndIOp>(loc, near, b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, stride, most));
  auto vector = VectorType::get({units.columns}, element);
  SmallVector<Type> types(count * units.rows, vector);
  auto branch = b.create<scf::IfOp>(loc, types, near, /*withElseRegion=*/true);
  OpBuilder tb = branch.getThenBodyBuilder(), eb = branch.getElseBodyBuilder();
  ThreadBuilder wide(tb, loc, block);
  Value memory = wide.flatten(copy, source);
  SmallVector<Value> pieces;
  for (int64_t unit = 0; unit < count; ++unit) {
    Piece place = wide.locate(type, first, unit);
    for (int64_t r = 0; r < units.rows; ++r) {
      Value at = wide.index.add(place.row, place.below + r);
      Value there = wide.exists(type, place, r, rows, columns, allExist(columns, units.across * units.columns));
      Value offset = uneven ? wide.readableColumn(place.column, uneven, units.columns) : place.column;
      size_t along = source.strides.size() - 2;
      if (copy.grouped) {
        Value size = wide.index.max(wide.index.dim(copy.source, along), wide.constant(1));
        Value group = wide.index.div(at, size);
        offset = wide.index.add(offset, wide.index.mul(group, source.strides[along - 1]));
        at = wide.index.sub(at, wide.index.mul(group, size));
      }
      offset = wide.index.add(offset, wide.index.mul(at, source.strides[along]));
      pieces.push_back(tb.create<tile::LoadOrZeroOp>(loc, vector, memory, source.offset, offset, there));
    }
  }
  tb.create<scf::YieldOp>(loc, pieces);
  eb.create<scf::YieldOp>(loc, ThreadBuilder(eb, loc, block).stageElements(copy, first, count));
  return SmallVector<Value>(branch.getResults());
}

void ThreadBuilder::unstage(tile::TileType type, Value memory, Value first, ValueRange pieces, int64_t unsettled) {
  CopyUnits units = unitsOf(type);
  bool transposed = cast<tile::SharedLayoutAttr>(type.getLayout()).getTransposed();
  for (int64_t unit = 0, count = pieces.size() / units.rows; unit < count; ++unit) {
    Piece place = locate(type, first, unit);
    auto write = [&](OpBuilder &wb) {
      ThreadBuilder inner(wb, loc, block);
      Value row = inner.index.add(place.row, place.below), column = place.column;
      SmallVector<Value> settled(pieces.slice(unit * units.rows, units.rows));
      if (unsettled)
        for (Value &piece : settled)
          piece = inner.settle(piece, column, unsettled);
      if (!transposed) {
        wb.create<tile::VectorStoreOp>(loc, settled[0], memory, inner.sharedIndex(type, row, column));
        return;
      }
      auto neighbours = VectorType::get({units.rows}, type.getElementType());
      for (int64_t c = 0; c < units.columns; ++c) {
        Value together = wb.create<arith::ConstantOp>(loc, wb.getZeroAttr(neighbours));
        for (int64_t r = 0; r < units.rows; ++r)
          together = wb.create<vector::InsertOp>(loc, wb.create<vector::ExtractOp>(loc, settled[r], c), together, r);
        Value at = inner.sharedIndex(type, row, inner.index.add(column, c));
        wb.create<tile::VectorStoreOp>(loc, together, memory, at);
      }
    };
    if (!place.there) {
      write(b);
      continue;
    }
    auto branch = b.create<scf::IfOp>(loc, place.there, /*withElseRegion=*/false);
    OpBuilder ib = branch.getThenBodyBuilder();
    write(ib);
  }
}

void ThreadBuilder::copyStaged(const SharedCopy &copy, Value memory) {
  tile::TileType type = copy.type;
  int64_t count = unitsOfThread(type), once = std::max<int64_t>(1, kMostAtOnce / unitsOf(type).rows);
  int64_t unsettled = getUneven(extents(b, loc, copy.valid, type.getShape()).second, unitsOf(type).columns);
  while (count % once != 0)
    --once;
  if (once == count)
    return unstage(type, memory, block.thread, stage(copy, block.thread, count), unsettled);
  // Counted alike by all threads, so that what is the same for them stays so: buffers' descriptors, not the least.
  auto loop = b.create<scf::ForOp>(loc, constant(0), constant(count * block.threads), constant(once * block.threads));
  OpBuilder lb = OpBuilder::atBlockBegin(loop.getBody());
  ThreadBuilder inner(lb, loc, block);
  Value first = inner.index.add(block.thread, loop.getInductionVar());
  inner.unstage(type, memory, first, inner.stage(copy, first, once), unsettled);
}

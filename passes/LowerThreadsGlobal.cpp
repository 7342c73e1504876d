//===- LowerThreadsGlobal.cpp - Fragments to and from global memory -------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ConvertFloat.h"
#include "passes/GpuUnits.h"
#include "passes/LowerThreads.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/SmallVectorExtras.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::threads;

/// Accesses whose addresses may be computed before the first of them is made: of elements that lie apart, each takes
/// two registers.
static constexpr int64_t kAddressesAtOnce = 16;

int64_t threads::getRun(tile::FragmentLayoutAttr layout, int64_t most) {
  int64_t run = 1;
  for (size_t bit = 0; bit < layout.getRegisters().size() / 2 && run < most; ++bit) {
    if (layout.getRegisters()[2 * bit] != 0 || layout.getRegisters()[2 * bit + 1] != run)
      break;
    run *= 2;
  }
  return run;
}

/// Elements of `element` that are read or written at once where a thread holds neighbours of a row of `columns`; 1
/// where it is not worth a branch.
static int64_t getAccessRun(const GpuCapabilities &gpu, tile::FragmentLayoutAttr layout, Type element, Value columns) {
  std::optional<int64_t> known = columns ? getConstantIntValue(columns) : std::nullopt;
  // A warpgroup has no registers to spare for a second way.
  if (!known || layout.isWarpgroup())
    return 1;
  int64_t run = getRun(layout, kPieceBytes / bytesOf(element));
  bool suits = *known % run == 0 || (gpu.unalignedAccess && getUneven(columns, run));
  return suits && run * bytesOf(element) >= 4 ? run : 1;
}

/// Whether a thread's blocks of `layout` are those of NVIDIA's instructions on elements of `bytes`: accumulators, or
/// what is loaded of a left-hand side.
static bool isOfMma(const GpuCapabilities &gpu, tile::FragmentLayoutAttr layout, int64_t bytes, bool isOperand) {
  if (gpu.matrixUnit != MatrixUnit::Mma && gpu.matrixUnit != MatrixUnit::Wgmma)
    return false;
  int64_t warps = layout.getWarps();
  auto sums = getAccumulatorLayout(layout.getContext(), MatrixUnit::Mma, gpu.subgroupSize, warps, /*rows=*/0);
  return layout == (isOperand ? getLhsLayout(MatrixUnit::Mma, sums, bytes, /*transposed=*/true) : sums);
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

/// What a thread holds of a tile in fragments, row by row.
struct ThreadBuilder::HeldRows {
  /// Elements side by side: their number in the part that holds them, and their first one's column, counted from the
  /// thread's first; whether they are known to exist for every thread.
  struct Element {
    int64_t part, element, column;
    bool exists;
  };
  struct Row {
    int64_t row; ///< counted from `first`
    SmallVector<Element> elements;
  };

  /// Of a matrix; else a row is one element.
  bool isMatrix = false;
  /// The rows and columns that exist.
  Value rows, columns;
  /// How many columns there are where those are no multiple of a run; else 0.
  int64_t uneven = 0;
  Value first;
  /// All of the memory; null where elements are accessed singly.
  Value flat;
  SmallVector<Row> each;
};

/// Where a row is in memory: from an element on, or at indices.
struct ThreadBuilder::RowPlace {
  Value start;
  SmallVector<Value> indices;
  /// What is added to a column of the tile; null where a row is one element.
  Value firstColumn;

  /// The index of the element in column `column`, or its indices.
  SmallVector<Value> at(OpBuilder &b, Location loc, Value column) const {
    IndexMath math(b, loc);
    if (start)
      return {math.add(start, column)};
    SmallVector<Value> all(indices);
    if (column)
      all.back() = math.add(column, firstColumn);
    return all;
  }
};

ThreadBuilder::HeldRows ThreadBuilder::findRows(const SharedCopy &copy, const PieceSource *memory, int64_t run) {
  auto layout = cast<tile::FragmentLayoutAttr>(copy.type.getLayout());
  ArrayRef<int64_t> shape = copy.type.getShape();
  auto [down, across] = layout.getBlocks(shape);
  HeldRows held;
  held.isMatrix = shape.size() == 2;
  std::tie(held.rows, held.columns) = extents(b, loc, copy.valid, shape);
  held.uneven = held.isMatrix ? getUneven(held.columns, run) : 0;
  held.first = firstRow(layout, shape[0]);
  if (memory)
    held.flat = flatten(copy, *memory);
  SmallVector<int64_t> rows = threadRows(layout, shape[0]);
  int64_t rowsOfBlock = rows.size() / down;
  for (int64_t number = 0, count = rows.size(); number < count; ++number) {
    HeldRows::Row row{rows[number], {}};
    if (!held.isMatrix)
      row.elements.push_back({number, 0, 0, /*exists=*/true});
    int64_t m = number / rowsOfBlock;
    for (int64_t n = 0; held.isMatrix && n < across; ++n)
      for (int64_t e = 0; e < layout.getBlockElements(); e += run)
        if (rowIndex(layout, m, e) == number)
          row.elements.push_back({m * across + n, e, n * layout.getBlock()[1] + layout.getOffset(e).second,
                                  allExist(held.columns, (n + 1) * layout.getBlock()[1])});
    held.each.push_back(std::move(row));
  }
  return held;
}

ThreadBuilder::RowPlace ThreadBuilder::placeRow(const SharedCopy &copy, const PieceSource *memory, Value row) {
  if (memory)
    return {rowStart(copy, *memory, row), {}, {}};
  bool isMatrix = copy.type.getShape().size() == 2;
  return {{}, rowIndices(copy.source, copy.offsets, row, copy.grouped, isMatrix), copy.offsets.back()};
}

//===----------------------------------------------------------------------===//
// Loads
//===----------------------------------------------------------------------===//

bool ThreadBuilder::passesShared(tile::LoadOp op) const {
  tile::TileType type = typeOf(op.getResult());
  auto layout = dyn_cast<tile::FragmentLayoutAttr>(type.getLayout());
  int64_t bytes = bytesOf(type.getElementType());
  return layout && type.getShape().size() == 2 && (bytes == 2 || bytes == 4) &&
         layout.getWarpRows(type.getShape()[0]) * layout.getWarps() == type.getShape()[0] &&
         isOfMma(block.gpu, layout, bytes, /*isOperand=*/true);
}

/// A tile in shared memory that passes through on its way.
static tile::TileType inPassing(tile::TileType type, Type element) {
  tile::SharedLayoutAttr layout =
      getSharedLayout(element.getContext(), type.getShape(), bytesOf(element), MatrixUnit::Mma, /*transposed=*/false);
  return tile::TileType::get(type.getShape(), element).withLayout(layout);
}

ThreadTile ThreadBuilder::load(tile::LoadOp op, Value memory) {
  tile::TileType type = typeOf(op.getResult());
  auto layout = dyn_cast<tile::FragmentLayoutAttr>(type.getLayout());
  SharedCopy copy{type, op.getSource(), op.getOffsets(), op.getValid(), op.getGrouped()};
  if (memory) {
    if (layout)
      copy.type = inPassing(type, type.getElementType());
    if (op.getAsync() && canStage(copy.type))
      return {stage(copy, block.thread, unitsOfThread(type)), memory, /*staged=*/true,
              getUneven(extents(b, loc, copy.valid, type.getShape()).second, unitsOf(type).columns)};
    if (!op.getAsync())
      barrier();
    if (block.gpu.asyncCopy)
      loadShared(copy, memory);
    else
      copyStaged(copy, memory);
    if (!op.getAsync())
      awaitLoads();
    if (!layout)
      return {{}, memory};
    // The fragments, and then the memory is free for others.
    ThreadTile result;
    auto [down, across] = layout.getBlocks(type.getShape());
    for (int64_t m = 0; m < down; ++m)
      for (int64_t k = 0; k < across; ++k)
        result.parts.push_back(loadLhs(copy.type, memory, layout, m, k));
    barrier();
    return result;
  }
  Value columns = extents(b, loc, op.getValid(), type.getShape()).second;
  Type element = cast<MemRefType>(op.getSource().getType()).getElementType();
  int64_t run = getAccessRun(block.gpu, layout, element, columns);
  if (run == 1)
    return {loadRows(copy, nullptr, 1), {}};
  PieceSource rows = findPieces(copy, run * bytesOf(element));
  auto branch = b.create<scf::IfOp>(loc, getPartTypes(type), rows.whole, /*withElseRegion=*/true);
  OpBuilder ib = branch.getThenBodyBuilder(), eb = branch.getElseBodyBuilder();
  ib.create<scf::YieldOp>(loc, ThreadBuilder(ib, loc, block).loadRows(copy, &rows, run));
  eb.create<scf::YieldOp>(loc, ThreadBuilder(eb, loc, block).loadRows(copy, nullptr, 1));
  return {SmallVector<Value>(branch.getResults()), {}};
}

SmallVector<Value> ThreadBuilder::loadRows(const SharedCopy &copy, const PieceSource *source, int64_t run) {
  HeldRows held = findRows(copy, source, run);
  tile::TileType type = copy.type;
  auto layout = cast<tile::FragmentLayoutAttr>(type.getLayout());
  Type element = type.getElementType(), stored = cast<MemRefType>(copy.source.getType()).getElementType();
  auto runOf = [&](Type type) { return run == 1 ? type : VectorType::get({run}, type); };
  auto zero = [&](Type type) -> Value { return b.create<arith::ConstantOp>(loc, b.getZeroAttr(type)); };
  Value none = zero(runOf(element));
  SmallVector<Value> parts = llvm::map_to_vector(getPartTypes(type), zero);
  // A row is read where it exists, all of a thread's elements of it at once.
  for (const HeldRows::Row &each : held.each) {
    Value row = index.add(held.first, each.row);
    Value exists = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, row, held.rows);
    SmallVector<Type> types(each.elements.size(), runOf(element));
    auto rowBranch = b.create<scf::IfOp>(loc, types, exists, /*withElseRegion=*/true);
    OpBuilder ib = rowBranch.getThenBodyBuilder();
    ThreadBuilder inner(ib, loc, block);
    RowPlace place = inner.placeRow(copy, source, row);
    SmallVector<Value> values;
    for (const HeldRows::Element &one : each.elements) {
      if (!values.empty() && values.size() % kAddressesAtOnce == 0)
        inner.fence();
      Value column = held.isMatrix ? inner.index.add(firstColumn(layout), one.column) : Value();
      auto readAt = [&](OpBuilder &rb) {
        Value value;
        if (!source) {
          value = rb.create<memref::LoadOp>(loc, copy.source, place.at(rb, loc, column));
          return convertFloat(rb, loc, value, element);
        }
        ThreadBuilder at(rb, loc, block);
        bool ends = held.uneven && !one.exists;
        Value from = ends ? at.readableColumn(column, held.uneven, run) : column;
        value = at.readNeighbours(cast<VectorType>(runOf(stored)), held.flat, place.at(rb, loc, from).front());
        return convertFloat(rb, loc, ends ? at.settle(value, column, held.uneven) : value, element);
      };
      if (one.exists) {
        values.push_back(readAt(ib));
        continue;
      }
      Value there = ib.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, column, held.columns);
      auto columnBranch = ib.create<scf::IfOp>(loc, TypeRange{none.getType()}, there, /*withElseRegion=*/true);
      OpBuilder tb = columnBranch.getThenBodyBuilder(), eb = columnBranch.getElseBodyBuilder();
      tb.create<scf::YieldOp>(loc, readAt(tb));
      eb.create<scf::YieldOp>(loc, none);
      values.push_back(columnBranch.getResult(0));
    }
    ib.create<scf::YieldOp>(loc, values);
    rowBranch.getElseBodyBuilder().create<scf::YieldOp>(loc, SmallVector<Value>(values.size(), none));
    for (auto [one, value] : llvm::zip_equal(each.elements, rowBranch.getResults())) {
      Value &part = parts[one.part];
      if (!held.isMatrix)
        part = value;
      else if (run == 1)
        part = b.create<vector::InsertOp>(loc, value, part, one.element);
      else
        part = b.create<vector::InsertStridedSliceOp>(loc, value, part, one.element, 1);
    }
  }
  return parts;
}

//===----------------------------------------------------------------------===//
// Stores
//===----------------------------------------------------------------------===//

Value ThreadBuilder::isFirstHolder(tile::FragmentLayoutAttr layout, bool matrix) {
  int64_t same = 0;
  for (size_t bit = 0; bit < layout.getLanes().size() / 2; ++bit)
    if (layout.getLanes()[2 * bit] == 0 && (!matrix || layout.getLanes()[2 * bit + 1] == 0))
      same |= int64_t(1) << bit;
  if (!same)
    return {};
  Value differs = b.create<arith::AndIOp>(loc, lane(layout), constant(same));
  return b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, differs, constant(0));
}

bool ThreadBuilder::passesShared(tile::StoreOp op) const {
  tile::TileType type = typeOf(op.getValue());
  auto layout = cast<tile::FragmentLayoutAttr>(type.getLayout());
  Type element = cast<MemRefType>(op.getDestination().getType()).getElementType();
  ArrayRef<int64_t> shape = type.getShape();
  if (shape.size() != 2 || bytesOf(element) != 2 || !isOfMma(block.gpu, layout, /*bytes=*/2, /*isOperand=*/false))
    return false;
  std::optional<int64_t> columns = op.getValid().empty() ? shape[1] : getConstantIntValue(op.getValid()[1]);
  return columns && *columns == shape[1] && shape[1] * bytesOf(element) % kPieceBytes == 0;
}

void ThreadBuilder::store(tile::StoreOp op, const ThreadTile &value, Value staging) {
  tile::TileType type = typeOf(op.getValue());
  auto layout = cast<tile::FragmentLayoutAttr>(type.getLayout());
  Type element = cast<MemRefType>(op.getDestination().getType()).getElementType();
  SharedCopy copy{type, op.getDestination(), op.getOffsets(), op.getValid(), op.getGrouped()};
  Value columns = extents(b, loc, op.getValid(), type.getShape()).second;
  int64_t run = getAccessRun(block.gpu, layout, element, columns);
  if (run == 1 && !staging)
    return storeRows(copy, value, nullptr, 1);
  PieceSource rows = findPieces(copy, staging ? kPieceBytes : run * bytesOf(element));
  auto branch = b.create<scf::IfOp>(loc, rows.whole, /*withElseRegion=*/true);
  OpBuilder ib = branch.getThenBodyBuilder(), eb = branch.getElseBodyBuilder();
  ThreadBuilder aligned(ib, loc, block);
  if (staging)
    aligned.storeStaged(copy, value, rows, staging);
  else
    aligned.storeRows(copy, value, &rows, run);
  ThreadBuilder(eb, loc, block).storeRows(copy, value, nullptr, 1);
}

void ThreadBuilder::storeStaged(const SharedCopy &copy, const ThreadTile &value, const PieceSource &destination,
                                Value staging) {
  ArrayRef<int64_t> shape = copy.type.getShape();
  Type element = cast<MemRefType>(copy.source.getType()).getElementType();
  tile::TileType inMemory = inPassing(copy.type, element);
  ThreadTile rounded;
  for (Value part : value.parts)
    rounded.parts.push_back(convertFloat(b, loc, part, element));
  barrier();
  writeShared(inMemory, cast<tile::FragmentLayoutAttr>(copy.type.getLayout()), rounded, staging);
  barrier();
  Value rows = extents(b, loc, copy.valid, shape).first, flat = flatten(copy, destination);
  int64_t piece = kPieceBytes / bytesOf(element);
  forEachOfThread(b, loc, block, shape[0], shape[1] / piece, [&](OpBuilder &lb, Value row, Value number) {
    auto exists = lb.create<scf::IfOp>(loc, lb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, row, rows),
                                       /*withElseRegion=*/false);
    OpBuilder ib = exists.getThenBodyBuilder();
    ThreadBuilder inner(ib, loc, block);
    Value column = inner.index.mul(number, inner.constant(piece));
    Value all = ib.create<tile::VectorLoadOp>(loc, VectorType::get({piece}, element), staging,
                                              inner.sharedIndex(inMemory, row, column));
    ib.create<tile::VectorStoreOp>(loc, all, flat, inner.index.add(inner.rowStart(copy, destination, row), column));
  });
  // The memory is free for others.
  barrier();
}

void ThreadBuilder::storeRows(const SharedCopy &copy, const ThreadTile &value, const PieceSource *destination,
                              int64_t run) {
  HeldRows held = findRows(copy, destination, run);
  auto layout = cast<tile::FragmentLayoutAttr>(copy.type.getLayout());
  Type element = cast<MemRefType>(copy.source.getType()).getElementType();
  Value writes = isFirstHolder(layout, held.isMatrix);
  for (const HeldRows::Row &each : held.each) {
    Value row = index.add(held.first, each.row);
    Value exists = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, row, held.rows);
    if (writes)
      exists = b.create<arith::AndIOp>(loc, exists, writes);
    auto branch = b.create<scf::IfOp>(loc, exists, /*withElseRegion=*/false);
    OpBuilder ib = branch.getThenBodyBuilder();
    ThreadBuilder inner(ib, loc, block);
    RowPlace place = inner.placeRow(copy, destination, row);
    for (auto [count, one] : llvm::enumerate(each.elements)) {
      if (count % kAddressesAtOnce == kAddressesAtOnce - 1)
        inner.fence();
      Value column = held.isMatrix ? inner.index.add(firstColumn(layout), one.column) : Value();
      auto write = [&, &one = one](OpBuilder &wb) {
        Value part = value.parts[one.part];
        if (destination)
          part = wb.create<vector::ExtractStridedSliceOp>(loc, part, one.element, run, 1);
        else if (held.isMatrix)
          part = wb.create<vector::ExtractOp>(loc, part, one.element);
        part = convertFloat(wb, loc, part, element);
        if (destination)
          ThreadBuilder(wb, loc, block).writeNeighbours(part, held.flat, place.at(wb, loc, column).front());
        else
          wb.create<memref::StoreOp>(loc, part, copy.source, place.at(wb, loc, column));
      };
      if (one.exists) {
        write(ib);
        continue;
      }
      auto writeBefore = [&](Value end, bool orElse) {
        Value there = ib.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, column, end);
        auto columnBranch = ib.create<scf::IfOp>(loc, there, orElse);
        OpBuilder tb = columnBranch.getThenBodyBuilder();
        write(tb);
        return columnBranch;
      };
      if (!held.uneven || !destination) {
        writeBefore(held.columns, /*orElse=*/false);
        continue;
      }
      // What is left of a row that ends within the run goes one by one.
      int64_t rest = held.uneven % run;
      OpBuilder eb = writeBefore(inner.constant(held.uneven - run + 1), /*orElse=*/true).getElseBodyBuilder();
      Value begin = IndexMath(eb, loc).constant(held.uneven - rest);
      Value begins = eb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, column, begin);
      auto endBranch = eb.create<scf::IfOp>(loc, begins, /*withElseRegion=*/false);
      OpBuilder tb = endBranch.getThenBodyBuilder();
      Value at = place.at(tb, loc, column).front();
      for (int64_t e = 0; e < rest; ++e) {
        Value part = tb.create<vector::ExtractOp>(loc, value.parts[one.part], one.element + e);
        tb.create<memref::StoreOp>(loc, convertFloat(tb, loc, part, element), held.flat, IndexMath(tb, loc).add(at, e));
      }
    }
  }
}

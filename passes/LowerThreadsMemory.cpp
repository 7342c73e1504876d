//===- LowerThreadsMemory.cpp - Tiles to and from memory, by threads ------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ConvertFloat.h"
#include "passes/GpuUnits.h"
#include "passes/LowerThreads.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::threads;

SmallVector<Type> threads::getPartTypes(tile::TileType type) {
  auto layout = dyn_cast<tile::FragmentLayoutAttr>(type.getLayout());
  if (!layout)
    return {};
  if (type.getShape().size() == 1)
    return SmallVector<Type>(ThreadBuilder::threadRows(layout, type.getShape()[0]).size(), type.getElementType());
  int64_t down, across;
  std::tie(down, across) = layout.getBlocks(type.getShape());
  return SmallVector<Type>(down * across, VectorType::get({layout.getBlockElements()}, type.getElementType()));
}

int64_t threads::countWords(TypeRange types) {
  int64_t words = 0;
  for (Type type : types) {
    auto vector = dyn_cast<VectorType>(type);
    int64_t bits = type.isIntOrFloat() ? type.getIntOrFloatBitWidth() : 64;
    if (vector)
      bits = vector.getNumElements() * vector.getElementTypeBitWidth();
    words += llvm::divideCeil(bits, 32);
  }
  return words;
}

//===----------------------------------------------------------------------===//
// Where elements are
//===----------------------------------------------------------------------===//

/// The sum of the coordinates that the bits of `number` add; `which` is 0 for rows, 1 for columns.
static Value sumOfBits(OpBuilder &b, Location loc, Value number, ArrayRef<int64_t> basis, unsigned which) {
  IndexMath index(b, loc);
  Value sum = index.constant(0);
  // Neighbouring bits that stay neighbours move together.
  for (size_t bit = 0, bits = basis.size() / 2; bit < bits;) {
    int64_t weight = basis[2 * bit + which];
    size_t end = bit + 1;
    if (weight == 0) {
      bit = end;
      continue;
    }
    while (end < bits && basis[2 * end + which] == weight << (end - bit))
      ++end;
    Value part = number;
    if (bit > 0)
      part = b.create<arith::ShRUIOp>(loc, part, index.constant(bit));
    part = b.create<arith::AndIOp>(loc, part, index.constant((int64_t(1) << (end - bit)) - 1));
    sum = index.add(sum, index.mul(part, index.constant(weight)));
    bit = end;
  }
  return sum;
}

Value ThreadBuilder::laneRow(tile::FragmentLayoutAttr layout) {
  Value &row = block.laneRows[layout];
  if (!row) {
    OpBuilder eb(b.getContext());
    eb.setInsertionPointAfterValue(block.known);
    row = sumOfBits(eb, loc, lane(layout), layout.getLanes(), 0);
  }
  return row;
}

Value ThreadBuilder::firstRow(tile::FragmentLayoutAttr layout, int64_t rows) {
  Value row = laneRow(layout);
  Value &first = block.firstRows[{layout, rows}];
  if (!first) {
    OpBuilder eb(b.getContext());
    eb.setInsertionPointAfterValue(row);
    IndexMath em(eb, loc);
    first = em.add(row, em.mul(subgroup(layout), em.constant(layout.getWarpRows(rows))));
  }
  return first;
}

Value ThreadBuilder::firstColumn(tile::FragmentLayoutAttr layout) {
  Value &first = block.firstColumns[layout];
  if (!first) {
    OpBuilder eb(b.getContext());
    eb.setInsertionPointAfterValue(block.known);
    first = sumOfBits(eb, loc, lane(layout), layout.getLanes(), 1);
  }
  return first;
}

SmallVector<int64_t> ThreadBuilder::threadRows(tile::FragmentLayoutAttr layout, int64_t rows) {
  SmallVector<int64_t> result;
  for (int64_t down = 0, blocks = layout.getBlocks({rows}).first; down < blocks; ++down)
    for (int64_t element = 0; element < layout.getBlockElements(); ++element)
      if (auto [row, column] = layout.getOffset(element); column == 0)
        result.push_back(down * layout.getBlock()[0] + row);
  return result;
}

int64_t ThreadBuilder::rowIndex(tile::FragmentLayoutAttr layout, int64_t block, int64_t element) {
  int64_t index = 0, count = 0;
  auto [wanted, ignored] = layout.getOffset(element);
  for (int64_t other = 0; other < layout.getBlockElements(); ++other) {
    auto [row, column] = layout.getOffset(other);
    if (column != 0)
      continue;
    if (row == wanted)
      index = count;
    ++count;
  }
  return block * count + index;
}

Value threads::findWholeMemory(Value memory) {
  while (Operation *op = memory.getDefiningOp()) {
    if (auto view = dyn_cast<ViewLikeOpInterface>(op))
      memory = view.getViewSource();
    else if (auto metadata = dyn_cast<memref::ExtractStridedMetadataOp>(op))
      memory = metadata.getSource();
    else
      return isa<memref::AllocOp, memref::AllocaOp, gpu::DynamicSharedMemoryOp>(op) ? memory : Value();
  }
  return isa<FunctionOpInterface>(memory.getParentBlock()->getParentOp()) ? memory : Value();
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

Value ThreadBuilder::allocateShared(int64_t elements, Type element) {
  constexpr int64_t alignment = 1024; // what a swizzled box of Hopper's copy unit needs
  int64_t offset = llvm::alignTo(block.used, alignment);
  block.used = offset + elements * bytesOf(element);
  block.most = std::max(block.most, block.used);
  auto space = cast<MemRefType>(block.shared.getType()).getMemorySpace();
  auto type = MemRefType::get({elements}, element, MemRefLayoutAttrInterface{}, space);
  return b.create<memref::ViewOp>(loc, type, block.shared, index.constant(offset), ValueRange{});
}

/// By how much the pieces of stored row `row` change places, as SharedLayoutAttr::getStep says of a number.
static Value stepOf(OpBuilder &b, Location loc, tile::SharedLayoutAttr layout, Value row) {
  IndexMath index(b, loc);
  int64_t panel = layout.getPanel(), pieces = panel / kPieceBytes, rowsAStep = std::max<int64_t>(1, 128 / panel);
  auto shr = [&](Value x, int64_t by) -> Value {
    return by == 1 ? x : b.createOrFold<arith::DivUIOp>(loc, x, index.constant(by));
  };
  auto rem = [&](Value x, int64_t by) -> Value { return b.createOrFold<arith::RemUIOp>(loc, x, index.constant(by)); };
  Value step = rem(shr(row, rowsAStep), pieces);
  if (!layout.getSpread())
    return step;
  Value group = rem(shr(row, 8), pieces);
  step = b.createOrFold<arith::XOrIOp>(loc, step, index.mul(rem(group, 2), index.constant(pieces / 2)));
  return b.createOrFold<arith::XOrIOp>(loc, step, shr(group, 2));
}

Value ThreadBuilder::sharedIndex(tile::TileType type, Value row, Value column) {
  auto layout = cast<tile::SharedLayoutAttr>(type.getLayout());
  int64_t bytes = bytesOf(type.getElementType());
  int64_t width = layout.getPanel() / bytes; // elements of a panel's row
  auto [rows, columns] = layout.getStoredShape(type.getShape());
  if (layout.getTransposed())
    std::swap(row, column);
  Value step = index.mul(stepOf(b, loc, layout, row), constant(kPieceBytes / bytes));
  Value inside = b.createOrFold<arith::RemUIOp>(loc, column, constant(width));
  Value place = index.add(index.mul(row, constant(width)), b.createOrFold<arith::XOrIOp>(loc, inside, step));
  if (columns <= width)
    return place;
  Value panel = b.createOrFold<arith::DivUIOp>(loc, column, constant(width));
  return index.add(place, index.mul(panel, constant(rows * width)));
}

Value ThreadBuilder::sharedIndex(tile::TileType type, Position row, Position column) {
  auto layout = cast<tile::SharedLayoutAttr>(type.getLayout());
  int64_t bytes = bytesOf(type.getElementType()), width = layout.getPanel() / bytes, piece = kPieceBytes / bytes;
  auto [rows, columns] = layout.getStoredShape(type.getShape());
  if (layout.getTransposed())
    std::swap(row, column);
  assert((row.offset & row.bits) == 0 && (column.offset & column.bits) == 0 && column.bits < width);
  // How a row's pieces change places is an exclusive or of its number's bits, so it is that of the share xor that of
  // the constant; and of an xor with a constant, the bits that the share cannot have are a sum.
  Value share =
      b.createOrFold<arith::XOrIOp>(loc, column.part, index.mul(stepOf(b, loc, layout, row.part), constant(piece)));
  int64_t stepBits = 0;
  for (int64_t bit = 1; bit <= row.bits; bit <<= 1)
    if (row.bits & bit)
      stepBits |= layout.getStep(bit) * piece;
  int64_t bits = column.bits | stepBits, fixed = column.offset % width ^ layout.getStep(row.offset) * piece;
  share = b.createOrFold<arith::XOrIOp>(loc, share, constant(fixed & bits));
  share = index.add(share, index.mul(row.part, constant(width)));
  return index.add(share, row.offset * width + (fixed & ~bits) + column.offset / width * (rows * width));
}

//===----------------------------------------------------------------------===//
// Loads
//===----------------------------------------------------------------------===//

/// Indices of the first element of row `row` of a tile that is read or written at `offsets`.
SmallVector<Value> ThreadBuilder::rowIndices(Value memory, ValueRange offsets, Value row, bool grouped, bool matrix) {
  SmallVector<Value> indices(offsets);
  size_t along = indices.size() - (matrix ? 2 : 1);
  if (!grouped) {
    indices[along] = index.add(indices[along], row);
    return indices;
  }
  Value size = index.max(index.dim(memory, along), constant(1));
  Value group = index.div(row, size), inside = index.sub(row, index.mul(group, size));
  indices[along - 1] = index.add(indices[along - 1], group);
  indices[along] = index.add(indices[along], inside);
  return indices;
}

std::pair<Value, Value> threads::extents(OpBuilder &b, Location loc, ValueRange valid, ArrayRef<int64_t> shape) {
  IndexMath index(b, loc);
  Value rows = valid.empty() ? index.constant(shape[0]) : valid[0];
  Value columns;
  if (shape.size() == 2)
    columns = valid.empty() ? index.constant(shape[1]) : valid[1];
  return {rows, columns};
}

bool threads::allExist(Value columns, int64_t most) {
  std::optional<int64_t> known = getConstantIntValue(columns);
  return known && *known >= most;
}

int64_t threads::getUneven(Value columns, int64_t run) {
  int64_t known = getConstantIntValue(columns).value_or(0);
  return known >= run && known % run != 0 ? known : 0;
}

Value ThreadBuilder::readNeighbours(VectorType type, Value memory, Value at) {
  if (block.gpu.unalignedAccess)
    return b.create<vector::LoadOp>(loc, type, memory, at);
  return b.create<tile::VectorLoadOp>(loc, type, memory, at);
}

void ThreadBuilder::writeNeighbours(Value value, Value memory, Value at) {
  if (block.gpu.unalignedAccess)
    b.create<vector::StoreOp>(loc, value, memory, at);
  else
    b.create<tile::VectorStoreOp>(loc, value, memory, at);
}

Value ThreadBuilder::readableColumn(Value column, int64_t columns, int64_t run) {
  return columns % run == 0 ? column : index.min(column, constant(columns - run));
}

Value ThreadBuilder::settle(Value piece, Value column, int64_t columns) {
  auto type = cast<VectorType>(piece.getType());
  int64_t run = type.getNumElements(), rest = columns % run;
  if (rest == 0)
    return piece;
  Value none = b.create<arith::ConstantOp>(loc, b.getZeroAttr(type));
  Value end = b.create<vector::ExtractStridedSliceOp>(loc, piece, run - rest, rest, 1);
  Value moved = b.create<vector::InsertStridedSliceOp>(loc, end, none, 0, 1);
  Value ends = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::sgt, column, constant(columns - run));
  return b.create<arith::SelectOp>(loc, ends, moved, piece);
}

void ThreadBuilder::awaitLoads() {
  if (block.gpu.asyncCopy)
    b.create<tile::CopyWaitOp>(loc, 0);
  // Warpgroups' products do not read as threads do.
  if (block.warpgroup)
    b.create<tile::ProxyFenceOp>(loc);
  barrier();
}

ThreadTile ThreadBuilder::await(tile::AwaitOp op, const ThreadTile &started) {
  // What nobody reads need not arrive.
  if (started.staged && !op->use_empty())
    unstage(typeOf(op.getInput()), started.memory, block.thread, started.parts, started.unsettled);
  awaitLoads();
  return {{}, started.memory};
}

PieceSource ThreadBuilder::findPieces(const SharedCopy &copy, int64_t pieceBytes) {
  int64_t bytes = bytesOf(cast<MemRefType>(copy.source.getType()).getElementType());
  auto metadata = b.create<memref::ExtractStridedMetadataOp>(loc, copy.source);
  PieceSource source;
  source.base = metadata.getBaseBuffer();
  source.offset = metadata.getOffset();
  for (auto [first, stride] : llvm::zip_equal(copy.offsets, metadata.getConstifiedMixedStrides())) {
    source.strides.push_back(getValueOrCreateConstantIndexOp(b, loc, stride));
    source.offset = index.add(source.offset, index.mul(first, source.strides.back()));
  }
  source.whole = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, source.strides.back(), constant(1));
  if (block.gpu.unalignedAccess)
    return source;
  Value address = b.create<memref::ExtractAlignedPointerAsIndexOp>(loc, source.base);
  address = index.add(address, index.mul(source.offset, constant(bytes)));
  for (Value stride : ArrayRef(source.strides).drop_back().take_back(copy.grouped ? 2 : 1))
    address = b.create<arith::OrIOp>(loc, address, index.mul(stride, constant(bytes)));
  Value low = b.create<arith::AndIOp>(loc, address, constant(pieceBytes - 1));
  Value aligned = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, low, constant(0));
  source.whole = b.create<arith::AndIOp>(loc, aligned, source.whole);
  return source;
}

Value ThreadBuilder::flatten(const SharedCopy &copy, const PieceSource &source) {
  auto type = cast<MemRefType>(copy.source.getType());
  auto flat = MemRefType::get({ShapedType::kDynamic}, type.getElementType(), MemRefLayoutAttrInterface{},
                              type.getMemorySpace());
  return b.create<memref::ReinterpretCastOp>(loc, flat, source.base, OpFoldResult(b.getIndexAttr(0)),
                                             ArrayRef<OpFoldResult>{index.add(source.offset, 1)},
                                             ArrayRef<OpFoldResult>{b.getIndexAttr(1)});
}

Value ThreadBuilder::rowStart(const SharedCopy &copy, const PieceSource &source, Value row) {
  size_t along = source.strides.size() - 2;
  if (!copy.grouped)
    return index.add(source.offset, index.mul(row, source.strides[along]));
  Value size = index.max(index.dim(copy.source, along), constant(1));
  Value group = index.div(row, size), inside = index.sub(row, index.mul(group, size));
  Value start = index.add(source.offset, index.mul(group, source.strides[along - 1]));
  return index.add(start, index.mul(inside, source.strides[along]));
}

void ThreadBuilder::loadShared(const SharedCopy &copy, Value memory) {
  tile::TileType type = copy.type;
  Type element = type.getElementType();
  auto source = cast<MemRefType>(copy.source.getType());
  int64_t bytes = bytesOf(element);
  Value columns = extents(b, loc, copy.valid, type.getShape()).second;
  std::optional<int64_t> known = getConstantIntValue(columns);
  // Whole pieces of sixteen bytes where rows consist of them and begin at them.
  if (source.getElementType() != element || !known || *known * bytes % kPieceBytes != 0)
    return copyElements(copy, memory);
  PieceSource pieces = findPieces(copy);
  auto branch = b.create<scf::IfOp>(loc, pieces.whole, /*withElseRegion=*/true);
  {
    OpBuilder ib = branch.getThenBodyBuilder();
    ThreadBuilder inner(ib, loc, block);
    inner.copyPieces(copy, memory, inner.flatten(copy, pieces), pieces.offset, pieces.strides);
  }
  OpBuilder eb = branch.getElseBodyBuilder();
  // A way that is rarely taken: its addresses would take registers beside the sums of a unit's products, but for tiles
  // of larger elements, which leave registers and are copied by threads that have their rows' numbers anyway.
  ThreadBlock own = block;
  ThreadBuilder single(eb, loc, own);
  if (bytes <= 2)
    single.renumberThread();
  single.copyElements(copy, memory);
  b.create<tile::CopyCommitOp>(loc);
}

void threads::forEachOfThread(OpBuilder &b, Location loc, const ThreadBlock &block, int64_t rows, int64_t columns,
                              function_ref<void(OpBuilder &, Value, Value)> body) {
  IndexMath index(b, loc);
  auto loop = b.create<scf::ForOp>(loc, block.thread, index.constant(rows * columns), index.constant(block.threads));
  OpBuilder lb = OpBuilder::atBlockBegin(loop.getBody());
  Value width = IndexMath(lb, loc).constant(columns);
  Value row = lb.create<arith::DivUIOp>(loc, loop.getInductionVar(), width);
  Value column = lb.create<arith::RemUIOp>(loc, loop.getInductionVar(), width);
  body(lb, row, column);
}

void ThreadBuilder::copyPieces(const SharedCopy &copy, Value memory, Value source, Value offset, ValueRange strides) {
  tile::TileType type = copy.type;
  int64_t bytes = bytesOf(type.getElementType()), piece = kPieceBytes / bytes;
  int64_t panel = cast<tile::SharedLayoutAttr>(type.getLayout()).getPanel();
  int64_t pieces = llvm::alignTo(type.getShape()[1] * bytes, panel) / kPieceBytes;
  Value rows, columns;
  std::tie(rows, columns) = extents(b, loc, copy.valid, type.getShape());
  forEachOfThread(b, loc, block, type.getShape()[0], pieces, [&](OpBuilder &lb, Value row, Value number) {
    ThreadBuilder inner(lb, loc, block);
    IndexMath lm(lb, loc);
    Value column = lm.mul(number, lm.constant(piece));
    Value exists = lb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, row, rows);
    if (!allExist(columns, pieces * piece))
      exists = lb.create<arith::AndIOp>(loc, exists,
                                        lb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, column, columns));
    Value at = lm.add(offset, column);
    if (copy.grouped) {
      Value size = lm.max(lm.dim(copy.source, strides.size() - 2), lm.constant(1));
      Value group = lm.div(row, size);
      at = lm.add(at, lm.mul(group, strides[strides.size() - 3]));
      at = lm.add(at, lm.mul(lm.sub(row, lm.mul(group, size)), strides[strides.size() - 2]));
    } else {
      at = lm.add(at, lm.mul(row, strides[strides.size() - 2]));
    }
    lb.create<tile::CopyAsyncOp>(loc, source, at, memory, inner.sharedIndex(type, row, column), exists);
  });
}

void ThreadBuilder::copyElements(const SharedCopy &copy, Value memory) {
  tile::TileType type = copy.type;
  int64_t width = cast<tile::SharedLayoutAttr>(type.getLayout()).getPanel() / bytesOf(type.getElementType());
  Value rows, columns;
  std::tie(rows, columns) = extents(b, loc, copy.valid, type.getShape());
  forEachOfThread(b, loc, block, type.getShape()[0], llvm::alignTo(type.getShape()[1], width),
                  [&](OpBuilder &lb, Value row, Value column) {
                    ThreadBuilder inner(lb, loc, block);
                    Value exists = lb.create<arith::AndIOp>(
                        loc, lb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, row, rows),
                        lb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, column, columns));
                    auto read = lb.create<scf::IfOp>(loc, TypeRange{type.getElementType()}, exists, true);
                    OpBuilder tb = read.getThenBodyBuilder(), eb = read.getElseBodyBuilder();
                    SmallVector<Value> at =
                        ThreadBuilder(tb, loc, block).rowIndices(copy.source, copy.offsets, row, copy.grouped, true);
                    at.back() = IndexMath(tb, loc).add(column, at.back());
                    Value value = tb.create<memref::LoadOp>(loc, copy.source, at);
                    tb.create<scf::YieldOp>(loc, convertFloat(tb, loc, value, type.getElementType()));
                    Value zero = eb.create<arith::ConstantOp>(loc, eb.getZeroAttr(type.getElementType()));
                    eb.create<scf::YieldOp>(loc, zero);
                    lb.create<memref::StoreOp>(loc, read.getResult(0), memory, inner.sharedIndex(type, row, column));
                  });
}

//===----------------------------------------------------------------------===//
// From fragments
//===----------------------------------------------------------------------===//

void ThreadBuilder::writeShared(tile::TileType type, tile::FragmentLayoutAttr layout, const ThreadTile &value,
                                Value memory) {
  if (Value writes = isFirstHolder(layout, /*matrix=*/true)) {
    auto branch = b.create<scf::IfOp>(loc, writes, /*withElseRegion=*/false);
    OpBuilder ib = branch.getThenBodyBuilder();
    ThreadBuilder(ib, loc, block).writeElements(type, layout, value, memory);
    return;
  }
  writeElements(type, layout, value, memory);
}

void ThreadBuilder::writeElements(tile::TileType type, tile::FragmentLayoutAttr layout, const ThreadTile &value,
                                  Value memory) {
  int64_t down, across;
  std::tie(down, across) = layout.getBlocks(type.getShape());
  int64_t rows = type.getShape()[0], columns = type.getShape()[1];
  // Blocks at the edges reach beyond the tile.
  bool padded = layout.getWarpRows(rows) * layout.getWarps() > rows || across * layout.getBlock()[1] > columns;
  Value firstR = firstRow(layout, rows), firstC = firstColumn(layout);
  // The bits of a thread's first row and column: its lane's, and of the row those that count subgroups.
  int64_t warpRows = layout.getWarpRows(rows), rowBits = 0, columnBits = 0;
  for (size_t bit = 0; bit < layout.getLanes().size() / 2; ++bit) {
    rowBits |= layout.getLanes()[2 * bit];
    columnBits |= layout.getLanes()[2 * bit + 1];
  }
  auto shared = cast<tile::SharedLayoutAttr>(type.getLayout());
  int64_t width = shared.getPanel() / bytesOf(type.getElementType());
  bool apart = llvm::isPowerOf2_64(warpRows) && columnBits < width && !padded && !shared.getTransposed();
  if (apart)
    rowBits |= llvm::PowerOf2Ceil(layout.getWarps()) * warpRows - warpRows;
  // Neighbouring elements lie in one piece, but where columns lie as rows.
  int64_t run = padded || shared.getTransposed() ? 1 : getRun(layout, kPieceBytes / bytesOf(type.getElementType()));
  for (int64_t m = 0; m < down; ++m)
    for (int64_t n = 0; n < across; ++n)
      for (int64_t e = 0; e < layout.getBlockElements(); e += run) {
        auto [row, column] = layout.getOffset(e);
        row += m * layout.getBlock()[0];
        column += n * layout.getBlock()[1];
        Value all = value.parts[m * across + n];
        if (!padded) {
          Value at = apart ? sharedIndex(type, Position{firstR, rowBits, row}, Position{firstC, columnBits, column})
                           : sharedIndex(type, index.add(firstR, row), index.add(firstC, column));
          if (run == 1)
            b.create<memref::StoreOp>(loc, b.create<vector::ExtractOp>(loc, all, e), memory, at);
          else
            b.create<tile::VectorStoreOp>(loc, b.create<vector::ExtractStridedSliceOp>(loc, all, e, run, 1), memory,
                                          at);
          continue;
        }
        Value part = b.create<vector::ExtractOp>(loc, all, e);
        Value r = index.add(firstR, row), c = index.add(firstC, column);
        Value exists =
            b.create<arith::AndIOp>(loc, b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, r, constant(rows)),
                                    b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, c, constant(columns)));
        auto branch = b.create<scf::IfOp>(loc, exists, /*withElseRegion=*/false);
        OpBuilder ib = branch.getThenBodyBuilder();
        ib.create<memref::StoreOp>(loc, part, memory, ThreadBuilder(ib, loc, block).sharedIndex(type, r, c));
      }
}

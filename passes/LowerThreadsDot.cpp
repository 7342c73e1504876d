//===- LowerThreadsDot.cpp - Products, by threads -------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ConvertFloat.h"
#include "passes/GpuUnits.h"
#include "passes/LowerThreads.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::threads;

//===----------------------------------------------------------------------===//
// A matrix unit
//===----------------------------------------------------------------------===//

bool threads::usesUnit(tile::DotOp op, const GpuCapabilities &gpu) {
  if (op.getTf32())
    return takesTf32(gpu.matrixUnit);
  return gpu.matrixUnit != MatrixUnit::None && typeOf(op.getRhs()).getElementType().getIntOrFloatBitWidth() == 16 &&
         typeOf(op.getResult()).getElementType().isF32();
}

SmallVector<Value> ThreadBuilder::loadRhs(tile::DotOp op, Value rhs, int64_t n, int64_t k) {
  tile::TileType type = typeOf(op.getRhs());
  Type element = type.getElementType();
  auto sums = cast<tile::FragmentLayoutAttr>(typeOf(op.getResult()).getLayout());
  SmallVector<int64_t, 3> shape = getInstructionShape(block.gpu.matrixUnit, sums, bytesOf(element));
  int64_t column = n * shape[1], depth = k * shape[2], piece = kPieceBytes / bytesOf(element);
  // An element of the product's column c at step k of its contraction.
  auto indexOf = [&](Position c, Position step) {
    return op.getTransposed() ? sharedIndex(type, c, step) : sharedIndex(type, step, c);
  };
  // Some of the lane's bits, as a share of a coordinate.
  auto bits = [&](int64_t shift, int64_t mask, int64_t weight) {
    Value x = shift ? b.create<arith::ShRUIOp>(loc, block.lane, constant(shift)).getResult() : block.lane;
    return index.mul(b.create<arith::AndIOp>(loc, x, constant(mask)), constant(weight));
  };
  tile::FragmentLayoutAttr layout = getRhsLayout(block.gpu.matrixUnit, sums, bytesOf(element), op.getTransposed());
  if (!layout) {
    // Two blocks of columns at once: matrices (columns, steps) 0-7 x 0-7, 0-7 x 8-15, 8-15 x 0-7, 8-15 x 8-15; of tf32
    // four steps each, a piece.
    Value inner = bits(0, 7, 1), second = bits(3, 1, piece), third = bits(4, 1, 8);
    Position c, step;
    if (op.getTransposed()) { // rows in memory are columns
      c = {index.add(inner, third), 15, column};
      step = {second, piece, depth};
    } else {
      c = {third, 8, column};
      step = {index.add(inner, second), 15, depth};
    }
    Value all = b.create<tile::LoadMatrixOp>(loc, VectorType::get({piece}, element), rhs, indexOf(c, step),
                                             !op.getTransposed());
    SmallVector<Value> halves;
    for (int64_t half : {int64_t(0), piece / 2})
      halves.push_back(roundOperand(op, b.create<vector::ExtractStridedSliceOp>(loc, all, half, piece / 2, 1)));
    return halves;
  }
  // No matrices: on AMD's units a lane has neighbouring steps of one column, and nothing transposes 32 bits.
  Value fragment = readFragment(type, rhs, layout, laneRow(layout), shape[1] - 1, column, depth, !op.getTransposed());
  return {roundOperand(op, fragment)};
}

Value ThreadBuilder::roundOperand(tile::DotOp op, Value elements) {
  if (!op.getTf32())
    return elements;
  Value &rounded = block.rounded[elements];
  if (!rounded) {
    OpBuilder at(b.getContext());
    at.setInsertionPointAfterValue(elements);
    rounded = at.create<tile::RoundTf32Op>(loc, elements.getType(), elements);
  }
  return rounded;
}

Value ThreadBuilder::readFragment(tile::TileType type, Value memory, tile::FragmentLayoutAttr layout, Value first,
                                  int64_t firstBits, int64_t row, int64_t step, bool swapped) {
  Type element = type.getElementType();
  // What a lane holds are neighbours along the contraction.
  bool areNeighbours = swapped == cast<tile::SharedLayoutAttr>(type.getLayout()).getTransposed();
  int64_t held = layout.getBlockElements(), run = areNeighbours ? kPieceBytes / bytesOf(element) : 1, stepBits = 0;
  for (size_t bit = 0; bit < layout.getLanes().size() / 2; ++bit)
    stepBits |= layout.getLanes()[2 * bit + 1];
  auto whole = VectorType::get({held}, element), piece = VectorType::get({run}, element);
  Value result = b.create<arith::ConstantOp>(loc, b.getZeroAttr(whole));
  for (int64_t e = 0; e < held; e += run) {
    auto [r, c] = layout.getOffset(e);
    Position across{first, firstBits, row + r}, along{firstColumn(layout), stepBits, step + c};
    Value at = swapped ? sharedIndex(type, along, across) : sharedIndex(type, across, along);
    if (run == 1) {
      result = b.create<vector::InsertOp>(loc, b.create<memref::LoadOp>(loc, memory, at), result, e);
      continue;
    }
    Value part = b.create<tile::VectorLoadOp>(loc, piece, memory, at);
    if (run == held)
      return part;
    result = b.create<vector::InsertStridedSliceOp>(loc, part, result, e, 1);
  }
  return result;
}

/// A product's left-hand side as fragments, wherever it is.
static tile::FragmentLayoutAttr getLeftLayout(tile::DotOp op, const GpuCapabilities &gpu) {
  if (auto fragments = dyn_cast<tile::FragmentLayoutAttr>(typeOf(op.getLhs()).getLayout()))
    return fragments;
  // What a warpgroup does not multiply, NVIDIA's warps do.
  MatrixUnit unit = gpu.matrixUnit == MatrixUnit::Wgmma ? MatrixUnit::Mma : gpu.matrixUnit;
  return getLhsLayout(unit, cast<tile::FragmentLayoutAttr>(typeOf(op.getResult()).getLayout()),
                      bytesOf(typeOf(op.getLhs()).getElementType()), op.getTransposed());
}

Value ThreadBuilder::loadLhs(tile::TileType type, Value memory, tile::FragmentLayoutAttr layout, int64_t m, int64_t k) {
  // Matrices (rows, steps) 0-7 x 0-7, 8-15 x 0-7, 0-7 x 8-15, 8-15 x 8-15: lane l names a piece of row l % 16. Of tf32
  // a piece is four steps.
  int64_t piece = kPieceBytes / bytesOf(type.getElementType());
  int64_t warpRows = layout.getWarpRows(type.getShape()[0]), height = layout.getBlock()[0];
  Value row = b.create<arith::AndIOp>(loc, block.lane, constant(15));
  row = index.add(row, index.mul(block.warp, constant(warpRows)));
  Value step = index.mul(b.create<arith::ShRUIOp>(loc, block.lane, constant(4)), constant(piece));
  Value at;
  if (warpRows * layout.getWarps() > type.getShape()[0]) { // blocks at the edge: the last row again
    row = index.min(index.add(row, m * height), constant(type.getShape()[0] - 1));
    at = sharedIndex(type, row, index.add(step, k * layout.getBlock()[1]));
  } else if (llvm::isPowerOf2_64(warpRows)) {
    int64_t bits = 15 | (llvm::PowerOf2Ceil(layout.getWarps()) * warpRows - warpRows);
    at = sharedIndex(type, Position{row, bits, m * height}, Position{step, piece, k * layout.getBlock()[1]});
  } else {
    at = sharedIndex(type, index.add(row, m * height), index.add(step, k * layout.getBlock()[1]));
  }
  auto words = VectorType::get({piece}, type.getElementType());
  return b.create<tile::LoadMatrixOp>(loc, words, memory, at, /*transposed=*/false);
}

Value ThreadBuilder::lhsPart(tile::DotOp op, const ThreadTile &lhs, int64_t m, int64_t k) {
  tile::TileType type = typeOf(op.getLhs());
  tile::FragmentLayoutAttr layout = getLeftLayout(op, block.gpu);
  if (!lhs.memory)
    return roundOperand(op, lhs.parts[m * layout.getBlocks(type.getShape()).second + k]);
  if (!takesColumns(block.gpu.matrixUnit))
    return roundOperand(op, loadLhs(type, lhs.memory, layout, m, k));
  int64_t rows = type.getShape()[0], warpRows = llvm::PowerOf2Ceil(layout.getWarpRows(rows));
  // The subgroup's rows begin at multiples of a power of two, and the lane's bits are below.
  int64_t bits = layout.getBlock()[0] - 1 + (llvm::PowerOf2Ceil(layout.getWarps()) - 1) * warpRows;
  Value first = firstRow(layout, rows);
  return readFragment(type, lhs.memory, layout, first, bits, m * layout.getBlock()[0], k * layout.getBlock()[1],
                      /*swapped=*/false);
}

ThreadTile ThreadBuilder::dotFragments(tile::DotOp op, const ThreadTile &lhs, const ThreadTile &rhs,
                                       const ThreadTile &accumulator) {
  tile::TileType type = typeOf(op.getResult()), lhsType = typeOf(op.getLhs());
  auto sums = cast<tile::FragmentLayoutAttr>(type.getLayout());
  if (sums.isWarpgroup())
    return awaitProduct(startProduct(op, lhs, rhs, accumulator), /*pending=*/0);
  SmallVector<int64_t, 3> shape = getInstructionShape(block.gpu.matrixUnit, sums, bytesOf(lhsType.getElementType()));
  int64_t down, across;
  std::tie(down, across) = sums.getBlocks(type.getShape());
  int64_t steps = getLeftLayout(op, block.gpu).getBlocks(lhsType.getShape()).second;
  ThreadTile result = accumulator;
  result.memory = {};
  int64_t waiting = 0;
  fence();
  for (int64_t k = 0; k < steps; ++k) {
    SmallVector<Value> left;
    for (int64_t m = 0; m < down; ++m) {
      left.push_back(lhsPart(op, lhs, m, k));
      waiting += lhs.memory ? countWords(left.back().getType()) : 0;
    }
    for (int64_t n = 0; n < across;) {
      SmallVector<Value> columns = loadRhs(op, rhs.memory, n, k);
      for (Value right : columns) {
        if (n == across)
          break;
        waiting += countWords(right.getType());
        for (int64_t m = 0; m < down; ++m) {
          Value &sum = result.parts[m * across + n];
          sum = b.create<tile::MmaOp>(loc, sum.getType(), left[m], right, sum, shape);
        }
        ++n;
      }
      if (waiting >= kOperandRegisters) {
        fence();
        waiting = 0;
      }
    }
  }
  return result;
}

namespace {
/// Elements as bits, in words of 32 that hold one or two: what is said of each is its sign's bit, others are zero.
class WordBits {
public:
  WordBits(OpBuilder &b, Location loc, FloatType element, bool tf32 = false)
      : b(b), loc(loc), width(element.getWidth()),
        infinity(APFloat::getInf(element.getFloatSemantics()).bitcastToAPInt()) {
    // What rounds to infinity: half a unit of the 13 bits that are dropped is a carry.
    if (tf32)
      infinity -= 1 << 12;
  }

  Value from(Value vector) {
    words = VectorType::get({countWords(vector.getType())}, b.getI32Type());
    return b.create<vector::BitCastOp>(loc, words, vector);
  }
  Value to(Value bits, Type vector) { return b.create<vector::BitCastOp>(loc, cast<VectorType>(vector), bits); }
  Value splat(const APInt &word) { return b.create<arith::ConstantOp>(loc, DenseElementsAttr::get(words, word)); }
  Value shift(Value bits, int64_t by) { return b.create<arith::ShRUIOp>(loc, bits, splat(APInt(32, by))); }

  /// The elements, negated where `sign` is one and not zero (i32).
  Value flip(Value x, Value sign) {
    Value bit =
        b.create<arith::MulIOp>(loc, b.create<vector::BroadcastOp>(loc, words, sign), each(APInt::getSignMask(width)));
    return b.create<arith::XOrIOp>(loc, x, bit);
  }

  /// Where elements are NaN or infinite; of infinities `negative` ones, too.
  Value findNonFinite(Value x, bool negative = true) {
    APInt sign = APInt::getSignMask(width), one(width, 1);
    // A magnitude of at least infinity's reaches the sign's bit by what lies between them. That of the other infinity
    // has one less.
    Value magnitude = b.create<arith::AndIOp>(loc, x, each(~sign));
    Value sum = b.create<arith::AddIOp>(loc, magnitude, each(sign - infinity));
    if (!negative)
      sum = b.create<arith::SubIOp>(loc, sum, b.create<arith::AndIOp>(loc, shift(x, width - 1), each(one)));
    return b.create<arith::AndIOp>(loc, sum, each(sign));
  }

private:
  Value each(const APInt &bits) { return splat(APInt::getSplat(32, bits)); }

  OpBuilder &b;
  Location loc;
  unsigned width;
  APInt infinity;
  VectorType words;
};
} // namespace

ThreadTile ThreadBuilder::takeOutNonFinite(tile::DotOp op, const ThreadTile &lhs, Value rhs,
                                           const ThreadTile &accumulator) {
  tile::TileType type = typeOf(op.getResult()), lhsType = typeOf(op.getLhs()), rhsType = typeOf(op.getRhs());
  auto sums = cast<tile::FragmentLayoutAttr>(type.getLayout());
  SmallVector<int64_t, 3> shape = getInstructionShape(block.gpu.matrixUnit, sums, bytesOf(lhsType.getElementType()));
  int64_t down, across;
  std::tie(down, across) = sums.getBlocks(type.getShape());
  int64_t steps = getLeftLayout(op, block.gpu).getBlocks(lhsType.getShape()).second;
  auto element = cast<FloatType>(rhsType.getElementType());
  // A row gets an infinity where weights of such elements add up to more than zero; where it gets both, or a NaN, which
  // counts as both, NaN. A loop over both signs for each block of columns, one after the other: a code generator that
  // saw them at once would hold all sums of weights beside what the products hold.
  ThreadTile result = accumulator;
  result.memory = {};
  Type i32 = b.getI32Type();
  for (int64_t n = 0; n < across; ++n) {
    SmallVector<Value> parts;
    for (int64_t m = 0; m < down; ++m)
      parts.push_back(result.parts[m * across + n]);
    auto signs = b.create<scf::ForOp>(loc, constant(0), constant(2), constant(1), parts);
    OpBuilder lb = OpBuilder::atBlockBegin(signs.getBody());
    ThreadBuilder inner(lb, loc, block);
    auto word = [&](int64_t value) -> Value { return lb.create<arith::ConstantIntOp>(loc, value, 32); };
    Value sign = lb.create<arith::IndexCastOp>(loc, i32, signs.getInductionVar());
    SmallVector<Value> counts;
    for (int64_t k = 0; k < steps; ++k) {
      inner.fence(); // a way that is rarely taken: its registers are those of one step
      Value column = inner.loadRhs(op, rhs, n, k).front();
      // Two, of which the bit is the sign's neighbour, where such an element is: what a unit can count.
      WordBits bits(lb, loc, element);
      Value x = bits.flip(bits.from(column), sign);
      Value right = bits.to(bits.shift(bits.findNonFinite(x, /*negative=*/false), 1), column.getType());
      for (int64_t m = 0; m < down; ++m) {
        if (k == 0)
          counts.push_back(lb.create<arith::ConstantOp>(loc, lb.getZeroAttr(parts[m].getType())));
        Value left = inner.lhsPart(op, lhs, m, k);
        counts[m] = lb.create<tile::MmaOp>(loc, parts[m].getType(), left, right, counts[m], shape);
      }
    }
    Value infinity = lb.create<arith::OrIOp>(loc, lb.create<arith::ShLIOp>(loc, sign, word(31)), word(0x7f800000));
    infinity = lb.create<arith::BitcastOp>(loc, lb.getF32Type(), infinity);
    for (auto [m, sum] : llvm::enumerate(signs.getRegionIterArgs())) {
      Value none = lb.create<arith::ConstantOp>(loc, lb.getZeroAttr(sum.getType()));
      Value added = lb.create<vector::BroadcastOp>(loc, sum.getType(), infinity);
      Value any = lb.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OGT, counts[m], none);
      parts[m] = lb.create<arith::AddFOp>(loc, sum, lb.create<arith::SelectOp>(loc, any, added, none));
    }
    lb.create<scf::YieldOp>(loc, parts);
    for (int64_t m = 0; m < down; ++m)
      result.parts[m * across + n] = signs.getResult(m);
  }
  barrier();
  int64_t run = kPieceBytes / bytesOf(element), size = cast<MemRefType>(rhs.getType()).getDimSize(0);
  auto piece = VectorType::get({run}, element);
  auto loop =
      b.create<scf::ForOp>(loc, index.mul(block.thread, constant(run)), constant(size), constant(run * block.threads));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    WordBits bits(b, loc, element);
    Value x = bits.from(b.create<tile::VectorLoadOp>(loc, piece, rhs, loop.getInductionVar()));
    // The sign of each in all of its bits.
    Value found = bits.findNonFinite(x);
    Value all = b.create<arith::MulIOp>(loc, bits.shift(found, element.getWidth() - 1),
                                        bits.splat(APInt::getAllOnes(element.getWidth()).zext(32)));
    x = b.create<arith::AndIOp>(loc, x, b.create<arith::XOrIOp>(loc, all, bits.splat(APInt::getAllOnes(32))));
    b.create<tile::VectorStoreOp>(loc, bits.to(x, piece), rhs, loop.getInductionVar());
  }
  barrier();
  return result;
}

//===----------------------------------------------------------------------===//
// Single multiply-adds
//===----------------------------------------------------------------------===//

/// Rows of a tile that blocks at the edges reach beyond: the last one again, which nobody uses.
static Value clampTo(IndexMath &index, Value x, int64_t size, bool padded) {
  return padded ? index.min(x, index.constant(size - 1)) : x;
}

/// Registers of a thread for as many columns of sums as the head of a product - of scores or of sums - is wide.
static int64_t getHeadWords(tile::DotOp op) {
  tile::TileType type = typeOf(op.getResult());
  int64_t columns = op.getTransposed() ? typeOf(op.getLhs()).getShape()[1] : type.getShape()[1];
  auto wide = tile::TileType::get({type.getShape()[0], columns}, type.getElementType()).withLayout(type.getLayout());
  return countWords(getPartTypes(wide));
}

/// Steps of the contraction that are read at once: those of a piece of sixteen bytes. What a matrix unit multiplies
/// elsewhere is multiplied singly where zeros are skipped, beside that unit's fragments, which leave few registers: a
/// word's elements at once. Beside a wide head's sums, where an assembler gives registers, it is half a piece.
static int64_t getStepRun(tile::DotOp op, const GpuCapabilities &gpu) {
  constexpr int64_t wide = 96;
  int64_t bytes = bytesOf(typeOf(op.getRhs()).getElementType()), depth = typeOf(op.getLhs()).getShape()[1];
  int64_t run = (usesUnit(op, gpu) || bytes == 2 ? 4 : 16) / bytes;
  if (bytes > 2 && gpu.registers == 0 && getHeadWords(op) >= wide)
    run = std::max<int64_t>(run / 2, 1);
  while (depth % run != 0)
    run /= 2;
  return run;
}

ThreadTile ThreadBuilder::multiplyElements(tile::DotOp op, int64_t run, ReadRow readRow, Value rhs,
                                           const ThreadTile &accumulator) {
  tile::TileType type = typeOf(op.getResult()), rhsType = typeOf(op.getRhs());
  auto layout = cast<tile::FragmentLayoutAttr>(type.getLayout());
  int64_t down, across;
  std::tie(down, across) = layout.getBlocks(type.getShape());
  Type sumType = type.getElementType(), element = rhsType.getElementType();
  int64_t columns = type.getShape()[1], depth = typeOf(op.getLhs()).getShape()[1];
  int64_t wide = getRun(layout, 16 / bytesOf(element)), elements = layout.getBlockElements();
  bool padded = across * layout.getBlock()[1] > columns;
  auto loop = b.create<scf::ForOp>(loc, constant(0), constant(depth), constant(run), accumulator.parts);
  OpBuilder lb = OpBuilder::atBlockBegin(loop.getBody());
  ThreadBuilder inner(lb, loc, block);
  Value step = loop.getInductionVar();
  auto takeApart = [&](Value all, int64_t count) {
    SmallVector<Value> values;
    for (int64_t i = 0; i < count; ++i) {
      Value x = count == 1 ? all : lb.create<vector::ExtractOp>(loc, all, i).getResult();
      // As the unit would that does this product elsewhere.
      if (op.getTf32())
        x = lb.create<tile::RoundTf32Op>(loc, x.getType(), x);
      values.push_back(convertFloat(lb, loc, x, sumType));
    }
    return values;
  };
  auto read = [&](Value at, int64_t count) {
    if (count == 1)
      return takeApart(lb.create<memref::LoadOp>(loc, rhs, at), 1);
    return takeApart(lb.create<tile::VectorLoadOp>(loc, VectorType::get({count}, element), rhs, at), count);
  };
  SmallVector<SmallVector<Value>> left; // [row][step]
  for (size_t row = 0, rows = threadRows(layout, type.getShape()[0]).size(); row < rows; ++row)
    left.push_back(takeApart(readRow(inner, row, step), run));
  SmallVector<Value> sums(loop.getRegionIterArgs());
  Value zero = lb.create<arith::ConstantOp>(loc, lb.getZeroAttr(sumType)), firstC = firstColumn(layout);
  // Of the right-hand side, what is read waits for few multiply-adds: columns that lie side by side, one group after
  // the other.
  int64_t waiting = 0, groupWords = wide * run * bytesOf(sumType) / 4;
  inner.fence();
  for (int64_t n = 0; n < across; ++n)
    for (int64_t group = 0; group < elements; group += wide) {
      auto [groupRow, groupColumn] = layout.getOffset(group);
      if (groupRow != 0)
        continue;
      Value column = inner.index.add(firstC, n * layout.getBlock()[1] + groupColumn);
      SmallVector<SmallVector<Value>> right(wide); // [column][step]
      for (int64_t i = 0; op.getTransposed() && i < wide; ++i) {
        Value row = clampTo(inner.index, inner.index.add(column, i), columns, padded);
        right[i] = read(inner.sharedIndex(rhsType, row, step), run);
      }
      for (int64_t s = 0; !op.getTransposed() && s < run; ++s) {
        // A padded column is read where the tile's last piece is.
        Value at = padded ? inner.index.min(column, inner.constant(llvm::alignDown(columns - 1, wide))) : column;
        for (auto [i, value] : llvm::enumerate(read(inner.sharedIndex(rhsType, inner.index.add(step, s), at), wide)))
          right[i].push_back(value);
      }
      for (int64_t m = 0; m < down; ++m)
        for (int64_t e = 0; e < elements; ++e) {
          int64_t i = layout.getOffset(e).second - groupColumn;
          if (i < 0 || i >= wide)
            continue;
          Value &part = sums[m * across + n];
          Value sum = lb.create<vector::ExtractOp>(loc, part, e);
          for (int64_t s = 0; s < run; ++s) {
            Value x = left[rowIndex(layout, m, e)][s];
            Value next = lb.create<math::FmaOp>(loc, x, right[i][s], sum);
            if (op.getSkipZeros()) {
              Value skipped = lb.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OEQ, x, zero);
              next = lb.create<arith::SelectOp>(loc, skipped, sum, next);
            }
            sum = next;
          }
          part = lb.create<vector::InsertOp>(loc, sum, part, e);
        }
      if (waiting += groupWords; waiting >= kOperandRegisters) {
        inner.fence();
        waiting = 0;
      }
    }
  lb.create<scf::YieldOp>(loc, sums);
  return {SmallVector<Value>(loop.getResults()), {}};
}

ThreadTile ThreadBuilder::dotElements(tile::DotOp op, tile::TileType lhsType, Value lhs, Value rhs,
                                      const ThreadTile &accumulator) {
  tile::TileType type = typeOf(op.getResult());
  auto layout = cast<tile::FragmentLayoutAttr>(type.getLayout());
  int64_t rows = type.getShape()[0];
  int64_t run = getStepRun(op, block.gpu);
  bool padded = layout.getWarpRows(rows) * layout.getWarps() > rows;
  SmallVector<Value> at;
  for (int64_t offset : threadRows(layout, rows))
    at.push_back(clampTo(index, index.add(firstRow(layout, rows), offset), rows, padded));
  auto readRow = [&](ThreadBuilder &inner, size_t row, Value step) -> Value {
    Value place = inner.sharedIndex(lhsType, at[row], step);
    if (run == 1)
      return inner.b.create<memref::LoadOp>(loc, lhs, place);
    return inner.b.create<tile::VectorLoadOp>(loc, VectorType::get({run}, lhsType.getElementType()), lhs, place);
  };
  return multiplyElements(op, run, readRow, rhs, accumulator);
}

ThreadTile ThreadBuilder::dotInPlace(tile::DotOp op, Value rhs, const ThreadTile &accumulator) {
  auto load = op.getLhs().getDefiningOp<tile::LoadOp>();
  tile::TileType type = typeOf(op.getResult()), lhsType = typeOf(op.getLhs());
  auto layout = cast<tile::FragmentLayoutAttr>(type.getLayout());
  Type element = lhsType.getElementType(), stored = cast<MemRefType>(load.getSource().getType()).getElementType();
  int64_t run = getStepRun(op, block.gpu);
  SharedCopy copy{lhsType, load.getSource(), load.getOffsets(), load.getValid(), load.getGrouped()};
  Value rows = extents(b, loc, load.getValid(), lhsType.getShape()).first;
  // Where there is no row, there is none to read in its place.
  auto exists = b.create<scf::IfOp>(loc, getPartTypes(type),
                                    b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::sgt, rows, constant(0)),
                                    /*withElseRegion=*/true);
  exists.getElseBodyBuilder().create<scf::YieldOp>(loc, accumulator.parts);
  OpBuilder ob = exists.getThenBodyBuilder();
  ThreadBuilder outer(ob, loc, block);
  SmallVector<Value> numbers;
  for (int64_t offset : threadRows(layout, lhsType.getShape()[0])) {
    Value row = outer.index.add(firstRow(layout, lhsType.getShape()[0]), offset);
    numbers.push_back(outer.index.min(row, outer.index.add(rows, -1)));
  }
  auto multiply = [&](OpBuilder branch, const PieceSource *source) {
    ThreadBuilder at(branch, loc, block);
    Value flat = source ? at.flatten(copy, *source) : Value();
    SmallVector<Value> starts;
    SmallVector<SmallVector<Value>> indices;
    for (Value row : numbers) {
      if (source)
        starts.push_back(at.rowStart(copy, *source, row));
      else
        indices.push_back(at.rowIndices(load.getSource(), load.getOffsets(), row, load.getGrouped(), true));
    }
    auto readRow = [&](ThreadBuilder &inner, size_t row, Value step) -> Value {
      if (source && run > 1) {
        Value all = inner.readNeighbours(VectorType::get({run}, stored), flat, inner.index.add(starts[row], step));
        return convertFloat(inner.b, loc, all, element);
      }
      auto readOne = [&](int64_t s) {
        SmallVector<Value> place(indices[row]);
        place.back() = inner.index.add(inner.index.add(step, s), load.getOffsets().back());
        return convertFloat(inner.b, loc, inner.b.create<memref::LoadOp>(loc, load.getSource(), place), element);
      };
      if (run == 1)
        return readOne(0);
      auto vector = VectorType::get({run}, element);
      Value all = inner.b.create<arith::ConstantOp>(loc, inner.b.getZeroAttr(vector));
      for (int64_t s = 0; s < run; ++s)
        all = inner.b.create<vector::InsertOp>(loc, readOne(s), all, s);
      return all;
    };
    branch.create<scf::YieldOp>(loc, at.multiplyElements(op, run, readRow, rhs, accumulator).parts);
  };
  if (run == 1) {
    multiply(ob, nullptr);
    return {SmallVector<Value>(exists.getResults()), {}};
  }
  PieceSource source = outer.findPieces(copy, run * bytesOf(stored));
  auto branch = ob.create<scf::IfOp>(loc, getPartTypes(type), source.whole, /*withElseRegion=*/true);
  multiply(branch.getThenBodyBuilder(), &source);
  multiply(branch.getElseBodyBuilder(), nullptr);
  ob.create<scf::YieldOp>(loc, branch.getResults());
  return {SmallVector<Value>(exists.getResults()), {}};
}

/// Whether any element of the right-hand side, in shared memory, is NaN or infinite as the unit sees it: the same for
/// all threads of the block.
Value ThreadBuilder::hasNonFinite(tile::DotOp op, Value memory, Value flag) {
  auto element = cast<FloatType>(typeOf(op.getRhs()).getElementType());
  int64_t run = 16 / bytesOf(element), count = cast<MemRefType>(memory.getType()).getDimSize(0);
  Value none = b.create<arith::ConstantIntOp>(loc, 0, 32), one = b.create<arith::ConstantIntOp>(loc, 1, 32);
  Value origin = constant(0);
  Value isFirst = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, block.thread, origin);
  barrier();
  auto clear = b.create<scf::IfOp>(loc, isFirst, /*withElseRegion=*/false);
  clear.getThenBodyBuilder().create<memref::StoreOp>(loc, none, flag, origin);
  barrier();
  auto vector = VectorType::get({run}, element);
  Value start = index.mul(block.thread, constant(run));
  b.create<scf::ForOp>(loc, start, constant(count), constant(run * block.threads), ValueRange{},
                       [&](OpBuilder &lb, Location, Value at, ValueRange) {
                         WordBits bits(lb, loc, element, op.getTf32());
                         Value x = bits.from(lb.create<tile::VectorLoadOp>(loc, vector, memory, at));
                         Value all =
                             lb.create<vector::ReductionOp>(loc, vector::CombiningKind::OR, bits.findNonFinite(x));
                         Value any = lb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ne, all, none);
                         auto found = lb.create<scf::IfOp>(loc, any, /*withElseRegion=*/false);
                         found.getThenBodyBuilder().create<memref::AtomicRMWOp>(loc, arith::AtomicRMWKind::ori, one,
                                                                                flag, ValueRange{origin});
                         lb.create<scf::YieldOp>(loc);
                       });
  barrier();
  Value seen = b.create<memref::LoadOp>(loc, flag, ValueRange{origin});
  // The word is written again, or serves others.
  barrier();
  return b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ne, seen, none);
}

ThreadTile ThreadBuilder::skipZeros(tile::DotOp op, const ThreadTile &lhs, const ThreadTile &rhs,
                                    const ThreadTile &accumulator, Value flag) {
  SmallVector<Type> types;
  for (Value part : accumulator.parts)
    types.push_back(part.getType());
  auto branch = b.create<scf::IfOp>(loc, types, hasNonFinite(op, rhs.memory, flag), true);
  OpBuilder tb = branch.getThenBodyBuilder(), eb = branch.getElseBodyBuilder();
  tb.create<scf::YieldOp>(loc, ThreadBuilder(tb, loc, block).takeOutNonFinite(op, lhs, rhs.memory, accumulator).parts);
  eb.create<scf::YieldOp>(loc, accumulator.parts);
  return {SmallVector<Value>(branch.getResults()), {}};
}

ThreadTile ThreadBuilder::dot(tile::DotOp op, const ThreadTile &lhs, const ThreadTile &rhs,
                              const ThreadTile &accumulator, Value scratch, Value flag) {
  tile::TileType lhsType = typeOf(op.getLhs());
  auto left = dyn_cast<tile::FragmentLayoutAttr>(lhsType.getLayout());
  if (isa<tile::InPlaceLayoutAttr>(lhsType.getLayout()))
    return dotInPlace(op, rhs.memory, accumulator);
  // What AMD's units are kept from is behind us: skipZeros.
  if (usesUnit(op, block.gpu) && takesColumns(block.gpu.matrixUnit))
    return dotFragments(op, lhs, rhs, accumulator);
  // Query rows in shared memory are a matrix unit's operand, too: a warpgroup's, or a warp's where they are wide.
  if (!left && (op.getSkipZeros() || !usesUnit(op, block.gpu)))
    return dotElements(op, lhsType, lhs.memory, rhs.memory, accumulator);
  if (!op.getSkipZeros())
    return dotFragments(op, lhs, rhs, accumulator);
  // Zero times NaN is NaN in a matrix unit, so where the right-hand side holds one, elements are multiplied one by one.
  SmallVector<Type> types;
  for (Value part : accumulator.parts)
    types.push_back(part.getType());
  auto branch = b.create<scf::IfOp>(loc, types, hasNonFinite(op, rhs.memory, flag), true);
  {
    OpBuilder ib = branch.getThenBodyBuilder();
    // A way that is rarely taken: its addresses would take registers beside the unit's products.
    ThreadBlock own = block;
    ThreadBuilder inner(ib, loc, own);
    inner.renumberThread();
    tile::TileType inMemory =
        lhsType.withLayout(getSharedLayout(b.getContext(), lhsType.getShape(), bytesOf(lhsType.getElementType()),
                                           block.gpu.matrixUnit, /*transposed=*/false));
    inner.barrier();
    inner.writeShared(inMemory, left, lhs, scratch);
    inner.barrier();
    ThreadTile exact = inner.dotElements(op, inMemory, scratch, rhs.memory, accumulator);
    ib.create<scf::YieldOp>(loc, exact.parts);
  }
  OpBuilder eb = branch.getElseBodyBuilder();
  ThreadTile fast = ThreadBuilder(eb, loc, block).dotFragments(op, lhs, rhs, accumulator);
  eb.create<scf::YieldOp>(loc, fast.parts);
  return {SmallVector<Value>(branch.getResults()), {}};
}

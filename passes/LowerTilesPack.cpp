//===- LowerTilesPack.cpp - Operands into panels --------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Packing. Rows that are contiguous in memory are read in vectors, also in part where rows or columns end, and are
/// transposed or interleaved in registers; other memory is copied by its elements. The unit that moves is the group of
/// `kpack` contracted elements that the layout keeps together: a 32-bit lane for pairs of bf16.
///
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "passes/LowerTiles.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::cpu;

void cpu::transposeBlocks(OpBuilder &b, Location loc, SmallVectorImpl<Value> &vectors) {
  int64_t n = vectors.size(), lanes = cast<VectorType>(vectors.front().getType()).getNumElements();
  // A round swaps the off-diagonal h x h blocks.
  for (int64_t h = n / 2; h >= 1; h /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t k = 0; k < lanes; ++k) {
      low.push_back(k & h ? lanes + k - h : k);
      high.push_back(k & h ? lanes + k : k + h);
    }
    for (int64_t i = 0; i < n; ++i) {
      if (i & h)
        continue;
      Value x = vectors[i], y = vectors[i + h];
      vectors[i] = b.create<vector::ShuffleOp>(loc, x, y, low);
      vectors[i + h] = b.create<vector::ShuffleOp>(loc, x, y, high);
    }
  }
}

namespace {

/// Element i of each vector, then element i + 1 of each: a power of two of vectors becomes one.
Value interleaved(OpBuilder &b, Location loc, ArrayRef<Value> vectors) {
  if (vectors.size() == 1)
    return vectors.front();
  SmallVector<Value> even, odd;
  for (auto [i, vector] : llvm::enumerate(vectors))
    (i % 2 ? odd : even).push_back(vector);
  Value x = interleaved(b, loc, even), y = interleaved(b, loc, odd);
  return b.create<vector::InterleaveOp>(loc, x, y);
}

struct Packer {
  Location loc;
  Value source;
  ValueRange offsets;
  /// Rows that exist.
  Value valid;
  Value destination;
  SmallVector<Value> indices;
  tile::PanelLayoutAttr layout;
  bool maskedMemory;
  int64_t width = layout.getWidth(), lanes = layout.getLanes(), kpack = layout.getKpack();
  int64_t columns = cast<MemRefType>(source.getType()).getShape().back();
  Type from = cast<MemRefType>(source.getType()).getElementType();
  Type element = cast<MemRefType>(destination.getType()).getElementType();

  Value read(OpBuilder &b, Value row, Value column) {
    SmallVector<Value> at = rowOf(b, loc, offsets, row);
    at.back() = IndexBuilder{b, loc}.add(at.back(), column);
    return convertFloat(b, loc, b.create<memref::LoadOp>(loc, source, at), element);
  }
  SmallVector<Value> to(OpBuilder &b, ValueRange last) {
    SmallVector<Value> at(indices);
    ValueRange outer = last.drop_back(2);
    at.append(outer.begin(), outer.end());
    auto [group, position] = placeInPanel(b, loc, layout, last[last.size() - 2], last.back());
    at.append({group, position});
    return at;
  }
  void store(OpBuilder &b, Value value, ValueRange last) {
    if (isa<VectorType>(value.getType()))
      b.create<vector::StoreOp>(loc, value, destination, to(b, last));
    else
      b.create<memref::StoreOp>(loc, value, destination, to(b, last));
  }
  Value zeros(OpBuilder &b, Type type) { return b.create<arith::ConstantOp>(loc, type, b.getZeroAttr(type)); }

  /// `size` elements of row `row` from `column` on, in the destination's type: the first `count`, and zeros. Where the
  /// row is not `present` (i1; null: it is) all are zeros; row `other` exists in any case.
  Value readVector(OpBuilder &b, Value row, Value column, int64_t size, int64_t count, Value present, Value other) {
    auto type = VectorType::get({size}, from);
    auto maskType = VectorType::get({size}, b.getI1Type());
    if (present && !(maskedMemory && from == element))
      row = b.create<arith::SelectOp>(loc, present, row, other);
    SmallVector<Value> at = rowOf(b, loc, offsets, row);
    at.back() = IndexBuilder{b, loc}.add(at.back(), column);
    // Elements of 16 bits that are only there to be widened are no type of the target's: as such it reads whole vectors
    // and nothing else.
    if (maskedMemory && from == element && (present || count < size)) {
      SmallVector<bool> bits(size, false);
      std::fill_n(bits.begin(), count, true);
      Value mask = b.create<arith::ConstantOp>(loc, DenseElementsAttr::get(maskType, bits));
      if (present)
        mask = b.create<arith::AndIOp>(loc, mask, b.create<vector::BroadcastOp>(loc, maskType, present));
      return b.create<vector::MaskedLoadOp>(loc, type, source, at, mask, zeros(b, type));
    }
    auto wide = VectorType::get({size}, element);
    Value result;
    if (count == size) {
      result = convertFloat(b, loc, b.create<vector::LoadOp>(loc, type, source, at), element);
    } else {
      result = zeros(b, wide);
      Value first = at.back();
      for (int64_t i = 0; i < count; ++i) {
        at.back() = IndexBuilder{b, loc}.add(first, IndexBuilder{b, loc}.constant(i));
        Value x = convertFloat(b, loc, b.create<memref::LoadOp>(loc, source, at), element);
        result = b.create<vector::InsertOp>(loc, x, result, i);
      }
    }
    if (present)
      result = b.create<arith::SelectOp>(loc, present, result, zeros(b, wide));
    return result;
  }

  /// Groups of a panel that a register of a matrix unit takes and that do not exist are zeros.
  void clearGroups(OpBuilder &b, ValueRange panel, Value begin, Value end) {
    Value zero = zeros(b, VectorType::get({lanes * kpack}, element));
    buildLoop(b, loc, begin, end, 1, [&](OpBuilder &b, Value group) {
      for (int64_t c = 0; c < layout.getUnitWidth(); c += lanes * kpack) {
        SmallVector<Value> last(panel);
        last.append({group, IndexBuilder{b, loc}.constant(c)});
        store(b, zero, last);
      }
    });
  }

  //===--------------------------------------------------------------------===//
  // Transposed: destination[d / kpack][row * kpack + d % kpack] = source[row][d]
  //===--------------------------------------------------------------------===//

  void transposeElements(OpBuilder &b) {
    IndexBuilder index{b, loc};
    Value zero = index.constant(0), one = zeros(b, element);
    buildLoop(b, loc, zero, index.constant(layout.getNumGroups(columns)), 1, [&](OpBuilder &b, Value k) {
      buildLoop(b, loc, zero, IndexBuilder{b, loc}.constant(layout.getUnitWidth()), 1,
                [&](OpBuilder &b, Value c) { store(b, one, {k, c}); });
    });
    buildLoop(b, loc, zero, valid, 1, [&](OpBuilder &b, Value row) {
      buildLoop(b, loc, zero, IndexBuilder{b, loc}.constant(columns), 1, [&](OpBuilder &b, Value d) {
        IndexBuilder index{b, loc};
        Value group = index.constant(kpack);
        Value k = kpack == 1 ? d : b.create<arith::DivUIOp>(loc, d, group).getResult();
        Value rest = kpack == 1 ? zero : b.create<arith::RemUIOp>(loc, d, group).getResult();
        store(b, read(b, row, d), {k, index.add(index.mul(row, kpack), rest)});
      });
    });
  }

  /// One square of `lanes` rows and `lanes` groups of columns, of which `count` columns exist.
  void transposeOne(OpBuilder &b, Value row, Value column, int64_t count, bool allRows) {
    IndexBuilder index{b, loc};
    auto unit = b.getIntegerType(element.getIntOrFloatBitWidth() * kpack);
    auto unitsType = VectorType::get({lanes}, unit), elementsType = VectorType::get({lanes * kpack}, element);
    SmallVector<Value> square;
    for (int64_t r = 0; r < lanes; ++r) {
      Value at = index.add(row, index.constant(r));
      Value present = allRows ? Value() : b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, at, valid);
      Value x = readVector(b, at, column, lanes * kpack, count, present, row);
      square.push_back(kpack == 1 ? x : b.create<vector::BitCastOp>(loc, unitsType, x).getResult());
    }
    transposeBlocks(b, loc, square);
    Value group = kpack == 1 ? column : b.create<arith::DivUIOp>(loc, column, index.constant(kpack)).getResult();
    Value first = index.mul(row, kpack);
    for (int64_t r = 0, n = llvm::divideCeil(count, kpack); r < n; ++r) {
      Value x = kpack == 1 ? square[r] : b.create<vector::BitCastOp>(loc, elementsType, square[r]).getResult();
      store(b, x, {index.add(group, index.constant(r)), first});
    }
  }

  /// The rows `[begin, end)`, in squares.
  void transposeVectors(OpBuilder &b, Value begin, Value end, bool allRows) {
    int64_t step = lanes * kpack, whole = columns / step * step;
    buildLoop(b, loc, begin, end, lanes, [&](OpBuilder &b, Value row) {
      IndexBuilder index{b, loc};
      if (whole)
        buildLoop(b, loc, index.constant(0), index.constant(whole), step,
                  [&](OpBuilder &b, Value d) { transposeOne(b, row, d, step, allRows); });
      if (whole < columns)
        transposeOne(b, row, index.constant(whole), columns - whole, allRows);
    });
  }

  void packTransposed(OpBuilder &b, bool unit) {
    IndexBuilder index{b, loc};
    if (!unit || !llvm::isPowerOf2_64(lanes) || !llvm::isPowerOf2_64(kpack))
      return transposeElements(b);
    int64_t groups = llvm::divideCeil(columns, kpack);
    if (groups < layout.getNumGroups(columns))
      clearGroups(b, {}, index.constant(groups), index.constant(layout.getNumGroups(columns)));
    Value whole = index.mul(b.createOrFold<arith::DivUIOp>(loc, valid, index.constant(lanes)), lanes);
    transposeVectors(b, index.constant(0), whole, /*allRows=*/true);
    transposeVectors(b, whole, valid, /*allRows=*/false);
  }

  //===--------------------------------------------------------------------===//
  // Rows: destination[panel][row / kpack][c * kpack + row % kpack] = source[row][panel * width + c]
  //===--------------------------------------------------------------------===//

  /// The group of rows from `row` on, into `group`.
  void packGroup(OpBuilder &b, Value row, Value group, bool unit, bool allRows) {
    IndexBuilder index{b, loc};
    int64_t panels = llvm::divideCeil(columns, width);
    SmallVector<Value> rows, present;
    for (int64_t j = 0; j < kpack; ++j) {
      rows.push_back(index.add(row, index.constant(j)));
      present.push_back(allRows || j == 0
                            ? Value()
                            : b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, rows.back(), valid).getResult());
    }
    for (int64_t p = 0; p < panels; ++p) {
      Value panel = index.constant(p);
      int64_t count = std::min(width, columns - p * width);
      auto emitVector = [&](OpBuilder &b, Value c, int64_t existing) {
        IndexBuilder index{b, loc};
        SmallVector<Value> vectors;
        for (int64_t j = 0; j < kpack; ++j)
          vectors.push_back(
              readVector(b, rows[j], index.add(c, index.constant(p * width)), lanes, existing, present[j], row));
        store(b, interleaved(b, loc, vectors), {panel, group, index.mul(c, kpack)});
      };
      if (unit) {
        int64_t whole = count / lanes * lanes;
        if (whole)
          buildLoop(b, loc, index.constant(0), index.constant(whole), lanes,
                    [&](OpBuilder &b, Value c) { emitVector(b, c, lanes); });
        if (whole < count)
          emitVector(b, index.constant(whole), count - whole);
        Value zero = zeros(b, VectorType::get({lanes * kpack}, element));
        for (int64_t c = llvm::alignTo(count, lanes); c < width; c += lanes)
          store(b, zero, {panel, group, index.constant(c * kpack)});
        continue;
      }
      Value zero = zeros(b, element);
      buildLoop(b, loc, index.constant(0), index.constant(count), 1, [&](OpBuilder &b, Value c) {
        IndexBuilder index{b, loc};
        for (int64_t j = 0; j < kpack; ++j) {
          Value column = index.add(c, index.constant(p * width));
          Value x;
          if (present[j])
            x = b.create<scf::IfOp>(
                     loc, present[j],
                     [&](OpBuilder &b, Location loc) { b.create<scf::YieldOp>(loc, read(b, rows[j], column)); },
                     [&](OpBuilder &b, Location loc) { b.create<scf::YieldOp>(loc, zero); })
                    .getResult(0);
          else
            x = read(b, rows[j], column);
          store(b, x, {panel, group, index.add(index.mul(c, kpack), index.constant(j))});
        }
      });
      buildLoop(b, loc, index.constant(count * kpack), index.constant(layout.getUnitWidth()), 1,
                [&](OpBuilder &b, Value c) { store(b, zero, {panel, group, c}); });
    }
  }

  void packRows(OpBuilder &b, bool unit) {
    IndexBuilder index{b, loc};
    Value first = indices.pop_back_val();
    Value divisor = index.constant(kpack);
    if (kpack > 1)
      first = b.create<arith::DivUIOp>(loc, first, divisor);
    auto pack = [&](OpBuilder &b, Value row, bool allRows) {
      Value group = kpack == 1 ? row : b.create<arith::DivUIOp>(loc, row, divisor).getResult();
      packGroup(b, row, IndexBuilder{b, loc}.add(first, group), unit, allRows);
    };
    if (kpack == 1)
      return buildLoop(b, loc, index.constant(0), valid, 1, [&](OpBuilder &b, Value row) { pack(b, row, true); });
    Value whole = b.create<arith::MulIOp>(loc, b.create<arith::DivUIOp>(loc, valid, divisor), divisor);
    buildLoop(b, loc, index.constant(0), whole, kpack, [&](OpBuilder &b, Value row) { pack(b, row, true); });
    // The rows of a group that do not exist are zeros, as what they are multiplied by is.
    buildLoop(b, loc, whole, valid, kpack, [&](OpBuilder &b, Value row) { pack(b, row, false); });
    if (int64_t depth = layout.getDepth()) {
      Value begin = index.add(first, index.ceilDiv(valid, kpack));
      Value end = index.add(first, index.mul(index.ceilDiv(valid, depth), depth / kpack));
      for (int64_t p = 0, panels = llvm::divideCeil(columns, width); p < panels; ++p)
        clearGroups(b, index.constant(p), begin, end);
    }
  }
};

} // namespace

std::pair<Value, Value> cpu::placeInPanel(OpBuilder &b, Location loc, tile::PanelLayoutAttr layout, Value group,
                                          Value position) {
  int64_t depth = layout.getDepth(), unit = layout.getUnitWidth();
  if (depth == 0)
    return {group, position};
  // In blocks of `groups` groups; in a block one piece a vector, with the groups outermost.
  int64_t groups = depth / layout.getKpack(), vector = layout.getLanes() * layout.getKpack();
  IndexBuilder index{b, loc};
  auto split = [&](Value x, int64_t by) -> std::pair<Value, Value> {
    if (auto constant = getConstantIntValue(x))
      return {index.constant(*constant / by), index.constant(*constant % by)};
    Value divisor = index.constant(by);
    return {b.create<arith::DivUIOp>(loc, x, divisor), b.create<arith::RemUIOp>(loc, x, divisor)};
  };
  auto [block, inBlock] = split(group, groups);
  auto [piece, inPiece] = split(position, vector);
  Value offset = index.add(index.add(index.mul(piece, groups * vector), index.mul(inBlock, vector)), inPiece);
  auto [row, column] = split(offset, unit);
  return {index.add(index.mul(block, groups), row), column};
}

void cpu::emitPack(OpBuilder &b, Location loc, Value source, ValueRange offsets, Value valid, Value destination,
                   ValueRange indices, bool transposed, tile::PanelLayoutAttr layout, bool maskedMemory) {
  dispatchOnStride(b, loc, source, [&](OpBuilder &b, Value source, bool unit) {
    Packer packer{loc, source, offsets, valid, destination, SmallVector<Value>(indices), layout, maskedMemory};
    if (transposed)
      packer.packTransposed(b, unit);
    else
      packer.packRows(b, unit);
  });
}

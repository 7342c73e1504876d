//===- LowerTilesDotInPlace.cpp - Products that read memory in place ------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Products of few rows with an operand that is read once, from memory. They are bound by that memory, so nothing is
/// packed: vectors run along the operand's rows, are widened in registers, and the arithmetic only has to keep up.
///
/// q * k^T: one vector of partial sums for each pair of a row and a key. As many of them as a vector has lanes are
/// summed together: log2(lanes) rounds of blend, shuffle and add, each of which halves the vectors, cost about 3
/// operations a pair where a sum of each on its own would cost 4 rounds. p * v: the operand's rows are added up with
/// broadcast weights.
///
/// Arithmetic and memory overlap only if lines are asked for evenly and in an order that the hardware's prefetchers
/// follow: keys in a few long streams, values from their start to their end. Software asks for little: few lines can be
/// on their way from the first-level cache at once, and asking for each of them holds up those that are read.
///
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "passes/LowerTiles.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::cpu;

namespace {

/// A vector's worth of an operand's row: `count` columns from `column` on. Where a row does not end at a whole vector,
/// the last one is read so that it ends with the row, and moved to its place.
struct Chunk {
  int64_t column, count;
};

struct InPlaceEmitter {
  Location loc;
  int64_t lanes;
  /// Scratch, and its element type.
  Value lhs, accumulator, result;
  Type element;
  /// The operand: memory of two dimensions whose rows are contiguous.
  Value source;
  Value numRows, numKeys;
  SmallVector<Chunk> chunks;
  function_ref<Value(MemRefType)> allocate;

  /// What products ask memory for beforehand.
  struct Prefetching {
    /// How many keys ahead blocks of rows (of keys alone) and single rows ask.
    Value keys, keysOfRow;
    /// The block of rows that asks for the lines of part i, of as many parts as a block has: each asks for its share,
    /// so that memory is not idle while keys in a cache are multiplied with the next rows.
    SmallVector<Value> blocks;
  };
  Prefetching prefetching = {};

  /// bf16 operands whose products are added in pairs (tile.group_dot): they are not widened, and a vector has twice as
  /// many of them.
  bool pairs = false;
  /// The same of p * v, whose accumulators have no pairs.
  bool inPairs = false;
  int64_t width() const { return pairs ? 2 * lanes : lanes; }

  VectorType type() const { return VectorType::get({lanes}, element); }
  Value zero(OpBuilder &b) const { return b.create<arith::ConstantOp>(loc, type(), b.getZeroAttr(type())); }
  bool isWhole(const Chunk &chunk) const { return chunk.count == width(); }

  /// Rows of one block of a product, and what is left for single rows. With 16 lanes a block of 4 rows and 4 keys or
  /// vectors has as many accumulators as lanes, and loads half a vector for each multiplication.
  int64_t blockRows() const { return lanes >= 16 ? 4 : lanes >= 4 ? 2 : 1; }

  /// How many rows are taken in blocks. Three of four rows are, too: scratch has room for the fourth.
  Value rowsInBlocks(OpBuilder &b) const { return rowsInBlocks(b, blockRows()); }
  Value rowsInBlocks(OpBuilder &b, int64_t rows) const {
    IndexBuilder index{b, loc};
    if (rows == 1)
      return index.constant(0);
    Value up = rows == 4 ? index.add(numRows, index.constant(1)) : numRows;
    Value whole = b.create<arith::DivUIOp>(loc, up, index.constant(rows));
    return index.mul(whole, rows);
  }

  /// The operand's columns `column` (a chunk's, or a value) of row `row`, widened.
  Value readVector(OpBuilder &b, Value row, Value column) const { return readVector(b, source, row, column); }
  Value readVector(OpBuilder &b, Value memory, Value row, Value column) const {
    auto stored = VectorType::get({width()}, cast<MemRefType>(memory.getType()).getElementType());
    Value vector = b.create<vector::LoadOp>(loc, stored, memory, ValueRange{row, column});
    return pairs ? vector : convertFloat(b, loc, vector, element);
  }
  Value read(OpBuilder &b, Value row, const Chunk &chunk) const { return read(b, source, row, chunk); }
  Value read(OpBuilder &b, Value memory, Value row, const Chunk &chunk) const {
    IndexBuilder index{b, loc};
    if (isWhole(chunk))
      return readVector(b, memory, row, index.constant(chunk.column));
    Value last = readVector(b, memory, row, index.constant(chunk.column - (width() - chunk.count)));
    SmallVector<int64_t> lanesOfLast;
    for (int64_t lane = 0; lane < width(); ++lane)
      lanesOfLast.push_back(lane < chunk.count ? lane + width() - chunk.count : width());
    Value none = b.create<arith::ConstantOp>(loc, last.getType(), b.getZeroAttr(last.getType()));
    return b.create<vector::ShuffleOp>(loc, last, none, lanesOfLast);
  }

  /// sum + lhs * rhs.
  Value multiplyAdd(OpBuilder &b, Value left, Value right, Value sum) const {
    if (pairs)
      return b.create<tile::GroupDotOp>(loc, sum.getType(), left, right, sum);
    return b.create<vector::FMAOp>(loc, left, right, sum);
  }

  /// Lane i of the result is the sum of the lanes of vector i, of as many vectors as lanes.
  Value sumEach(OpBuilder &b, SmallVector<Value> vectors) const {
    for (int64_t half = lanes / 2; half >= 1; half /= 2) {
      SmallVector<int64_t> straight, crossed;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        straight.push_back(lane & half ? lanes + lane : lane);
        crossed.push_back(lane & half ? lanes + lane - half : lane + half);
      }
      SmallVector<Value> next;
      for (int64_t i = 0; i < half; ++i) {
        Value x = vectors[i], y = vectors[i + half];
        Value kept = b.create<vector::ShuffleOp>(loc, x, y, straight),
              moved = b.create<vector::ShuffleOp>(loc, x, y, crossed);
        next.push_back(b.create<arith::AddFOp>(loc, kept, moved));
      }
      vectors = std::move(next);
    }
    return vectors[0];
  }

  void storeScores(OpBuilder &b, Value scores, Value row, Value key) const {
    if (accumulator) {
      Value before =
          b.create<vector::LoadOp>(loc, cast<VectorType>(scores.getType()), accumulator, ValueRange{row, key});
      scores = b.create<arith::AddFOp>(loc, scores, before);
    }
    b.create<vector::StoreOp>(loc, scores, result, ValueRange{row, key});
  }

  /// Blocks of rows ask for each line of the keys some way ahead in its stream, single rows for a line a key, far
  /// ahead: that brings the hardware's prefetchers to the next page.
  Prefetching preparePrefetching(OpBuilder &b, Value inBlocks, int64_t rows) const {
    IndexBuilder index{b, loc};
    constexpr int64_t bytesAhead = 2048, elementsAheadOfRow = 4096;
    int64_t columns = chunks.back().column + chunks.back().count;
    auto keysIn = [&](int64_t elements) { return index.constant(std::max<int64_t>(elements / columns, 1)); };
    Prefetching result{keysIn(bytesAhead / storedBytes()), keysIn(elementsAheadOfRow), {}};
    Value blocks = b.create<arith::DivUIOp>(loc, inBlocks, index.constant(rows));
    blocks = b.create<arith::MaxSIOp>(loc, blocks, index.constant(1));
    for (int64_t part = 0; part < 4; ++part)
      result.blocks.push_back(index.mul(b.create<arith::RemUIOp>(loc, index.constant(part), blocks).getResult(), rows));
    return result;
  }

  /// How far ahead the block of rows from `row` on asks for the lines of part `part`: 0, which is in a cache, for what
  /// is another block's share.
  Value keysAhead(OpBuilder &b, Value row, int64_t part) const {
    IndexBuilder index{b, loc};
    Value mine = prefetching.blocks[part % prefetching.blocks.size()];
    Value isMine = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, row, mine);
    return b.create<arith::SelectOp>(loc, isMine, prefetching.keys, index.constant(0));
  }
  /// The same for a row of its own.
  Value keysAhead(OpBuilder &b, Value row) const {
    IndexBuilder index{b, loc};
    Value isFirst = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, row, index.constant(0));
    return b.create<arith::SelectOp>(loc, isFirst, prefetching.keysOfRow, index.constant(0));
  }

  /// Asks for the cache line of one vector; in the second-level cache, as the first one has too few lines in flight.
  void prefetch(OpBuilder &b, Value key, Value ahead, Value column) const {
    ask(b, b.create<arith::AddIOp>(loc, key, ahead), column, /*locality=*/2);
  }
  void ask(OpBuilder &b, Value row, Value column, int64_t locality) const {
    b.create<memref::PrefetchOp>(loc, source, ValueRange{row, column}, /*isWrite=*/false, locality,
                                 /*isDataCache=*/true);
  }
  int64_t storedBytes() const { return cast<MemRefType>(source.getType()).getElementTypeBitWidth() / 8; }
  /// Vectors that share a cache line.
  int64_t vectorsPerLine() const {
    constexpr int64_t lineBytes = 64;
    return std::max<int64_t>(lineBytes / (width() * storedBytes()), 1);
  }

  /// The products of `rows` rows from `row` on with as many keys as there are lanes for each of them: lane r * keys + k
  /// is row r's product with key `keyIndices[k]`.
  Value emitScoresOfBlock(OpBuilder &b, int64_t rows, Value row, ArrayRef<Value> keyIndices) {
    IndexBuilder index{b, loc};
    int64_t keys = keyIndices.size();
    SmallVector<Value> rowIndices, ahead, sums(lanes, zero(b));
    for (int64_t r = 0; r < rows; ++r)
      rowIndices.push_back(index.add(row, index.constant(r)));
    for (int64_t k = 0; k < keys; ++k)
      ahead.push_back(keysAhead(b, row, k));
    using Reader = function_ref<Value(Value memory, Value row)>;
    auto accumulate = [&](OpBuilder &b, SmallVectorImpl<Value> &sums, Reader read, Value column, bool asks) {
      SmallVector<Value> left;
      for (Value r : rowIndices)
        left.push_back(read(lhs, r));
      for (int64_t k = 0; k < keys; ++k) {
        if (asks)
          prefetch(b, keyIndices[k], ahead[k], column);
        Value right = read(source, keyIndices[k]);
        for (int64_t r = 0; r < rows; ++r)
          sums[r * keys + k] = multiplyAdd(b, left[r], right, sums[r * keys + k]);
      }
    };
    int64_t whole = llvm::count_if(chunks, [&](const Chunk &chunk) { return isWhole(chunk); });
    // A line is asked for once, however many vectors it holds.
    int64_t perLine = vectorsPerLine();
    if (whole % perLine != 0)
      perLine = 1;
    if (whole) {
      auto loop = b.create<scf::ForOp>(
          loc, index.constant(0), index.constant(whole * width()), index.constant(perLine * width()), sums,
          [&](OpBuilder &b, Location loc, Value first, ValueRange carried) {
            IndexBuilder index{b, loc};
            SmallVector<Value> next(carried);
            for (int64_t v = 0; v < perLine; ++v) {
              Value column = index.add(first, index.constant(v * width()));
              auto read = [&](Value memory, Value row) { return readVector(b, memory, row, column); };
              accumulate(b, next, read, column, /*asks=*/v == 0);
            }
            b.create<scf::YieldOp>(loc, next);
          });
      sums = SmallVector<Value>(loop.getResults());
    }
    if (!isWhole(chunks.back()))
      accumulate(
          b, sums, [&](Value memory, Value row) { return read(b, memory, row, chunks.back()); },
          index.constant(chunks.back().column), /*asks=*/true);
    return sumEach(b, sums);
  }

  /// The part of a block's products that is row r's.
  Value partOf(OpBuilder &b, Value products, int64_t r, int64_t keys) const {
    if (keys == lanes)
      return products;
    return b.create<vector::ExtractStridedSliceOp>(loc, products, r * keys, keys, 1);
  }

  /// The products of the rows in blocks with the first keys, in as many streams as a block has keys: key k of a block
  /// is of part k of the keys, each of which is read from its start to its end. Neighbouring keys, read column by
  /// column, would look to the hardware's prefetchers like steps of a row's length, at half the speed. Returns how many
  /// keys were done.
  Value emitScoresInStreams(OpBuilder &b, int64_t rows, int64_t mostRows, Value inBlocks) {
    IndexBuilder index{b, loc};
    int64_t streams = lanes / rows, blocks = llvm::divideCeil(mostRows, rows);
    Value partial = allocate(MemRefType::get({blocks * streams, lanes}, element));
    // Vectors of `streams` keys' scores are stored, so each stream is a multiple of that long.
    Value length = b.create<arith::DivUIOp>(loc, numKeys, index.constant(streams * streams));
    length = index.mul(length, streams);
    Value anyBlock = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ne, inBlocks, index.constant(0));
    length = b.create<arith::SelectOp>(loc, anyBlock, length, index.constant(0));
    SmallVector<Value> starts;
    for (int64_t s = 0; s < streams; ++s)
      starts.push_back(index.mul(length, s));
    auto placeOf = [&](OpBuilder &b, Value row, Value t) -> Value {
      IndexBuilder index{b, loc};
      Value block = b.create<arith::DivUIOp>(loc, row, index.constant(rows));
      return b.create<arith::AddIOp>(loc, index.mul(block, streams), t);
    };
    buildLoop(b, loc, index.constant(0), length, streams, [&](OpBuilder &b, Value first) {
      IndexBuilder index{b, loc};
      buildLoop(b, loc, index.constant(0), index.constant(streams), 1, [&](OpBuilder &b, Value t) {
        Value key = b.create<arith::AddIOp>(loc, first, t);
        SmallVector<Value> keys;
        for (Value start : starts)
          keys.push_back(b.create<arith::AddIOp>(loc, start, key));
        buildLoop(b, loc, IndexBuilder{b, loc}.constant(0), inBlocks, rows, [&](OpBuilder &b, Value row) {
          Value products = emitScoresOfBlock(b, rows, row, keys);
          b.create<vector::StoreOp>(loc, products, partial,
                                    ValueRange{placeOf(b, row, t), IndexBuilder{b, loc}.constant(0)});
        });
      });
      buildLoop(b, loc, index.constant(0), inBlocks, rows, [&](OpBuilder &b, Value row) {
        IndexBuilder index{b, loc};
        SmallVector<Value> vectors;
        for (int64_t t = 0; t < streams; ++t)
          vectors.push_back(b.create<vector::LoadOp>(
              loc, type(), partial, ValueRange{placeOf(b, row, index.constant(t)), index.constant(0)}));
        transposeBlocks(b, loc, vectors);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t s = 0; s < streams; ++s)
            storeScores(b, partOf(b, vectors[s], r, streams), index.add(row, index.constant(r)),
                        b.create<arith::AddIOp>(loc, starts[s], first));
      });
    });
    return index.mul(length, streams);
  }

  /// The products of one row with `lanes` keys from `key` on. Keys are read one after the other, as memory likes it
  /// best; their partial sums wait in scratch.
  void emitScoresOfRow(OpBuilder &b, Value partial, Value row, Value key, Value end) {
    IndexBuilder index{b, loc};
    Value ahead = keysAhead(b, row);
    SmallVector<Value> left;
    for (const Chunk &chunk : chunks)
      left.push_back(read(b, lhs, row, chunk));
    // There are `lanes` keys, which LLVM need not know: it would unroll the loop and read keys in an order that the
    // hardware's prefetchers do not follow, at half the speed.
    Value count = index.min(b.create<arith::SubIOp>(loc, end, key), index.constant(lanes));
    buildLoop(b, loc, index.constant(0), count, 1, [&](OpBuilder &b, Value k) {
      Value at = b.create<arith::AddIOp>(loc, key, k), sum = zero(b);
      prefetch(b, at, ahead, index.constant(0));
      for (auto [chunk, query] : llvm::zip(chunks, left))
        sum = multiplyAdd(b, query, read(b, at, chunk), sum);
      b.create<vector::StoreOp>(loc, sum, partial, ValueRange{k, index.constant(0)});
    });
    SmallVector<Value> sums;
    for (int64_t k = 0; k < lanes; ++k)
      sums.push_back(b.create<vector::LoadOp>(loc, type(), partial, ValueRange{index.constant(k), index.constant(0)}));
    storeScores(b, sumEach(b, sums), row, key);
  }

  /// result = accumulator + lhs * source^T. What is not done in streams is done in groups of `lanes` keys. The last
  /// group begins early enough to end with the last key, and some keys are done twice; there are at least `lanes` keys
  /// in memory.
  void emitScores(OpBuilder &b, int64_t mostRows) {
    IndexBuilder index{b, loc};
    Value partial = allocate(MemRefType::get({lanes, lanes}, element));
    Value inBlocks = rowsInBlocks(b), end = b.create<arith::MaxSIOp>(loc, numKeys, index.constant(lanes));
    Value last = b.create<arith::SubIOp>(loc, end, index.constant(lanes));
    int64_t rows = blockRows(), keys = lanes / rows;
    prefetching = preparePrefetching(b, inBlocks, rows);
    if (rows > 1) {
      Value done = emitScoresInStreams(b, rows, mostRows, inBlocks);
      buildLoop(b, loc, done, numKeys, lanes, [&](OpBuilder &b, Value group) {
        IndexBuilder index{b, loc};
        Value key = index.min(group, last);
        buildLoop(b, loc, index.constant(0), index.constant(lanes), keys, [&](OpBuilder &b, Value k) {
          IndexBuilder index{b, loc};
          SmallVector<Value> keyIndices;
          for (int64_t i = 0; i < keys; ++i)
            keyIndices.push_back(index.add(b.create<arith::AddIOp>(loc, key, k), index.constant(i)));
          buildLoop(b, loc, index.constant(0), inBlocks, rows, [&](OpBuilder &b, Value row) {
            Value products = emitScoresOfBlock(b, rows, row, keyIndices);
            for (int64_t r = 0; r < rows; ++r)
              storeScores(b, partOf(b, products, r, keys), IndexBuilder{b, loc}.add(row, index.constant(r)),
                          keyIndices[0]);
          });
        });
      });
    }
    buildLoop(b, loc, index.constant(0), numKeys, lanes, [&](OpBuilder &b, Value group) {
      Value key = IndexBuilder{b, loc}.min(group, last);
      buildLoop(b, loc, inBlocks, numRows, 1,
                [&](OpBuilder &b, Value row) { emitScoresOfRow(b, partial, row, key, end); });
    });
  }

  /// The weighted sum of the keys `[begin, end)`, for `rows` rows of weights and the chunks of `block` moved right by
  /// `shift` columns. Memory is read as it lies there. bf16 is multiplied in pairs by blocks of rows: for a single row
  /// interleaving is more work than widening.
  void emitValuesOfBlock(OpBuilder &b, int64_t rows, Value row, ArrayRef<Chunk> block, Value shift, Value begin,
                         Value end, bool skipZeros) {
    IndexBuilder index{b, loc};
    if (inPairs && rows > 1 && !skipZeros)
      return emitPairsOfBlock(b, rows, row, block, shift, begin, end);
    SmallVector<Value> rowIndices, columns, sums;
    for (int64_t r = 0; r < rows; ++r)
      rowIndices.push_back(index.add(row, index.constant(r)));
    for (const Chunk &chunk : block)
      columns.push_back(index.add(index.constant(chunk.column), shift));
    bool asks = rows == 1 && block.front().column == 0, asksForNext = rows > 1 && block.size() < chunks.size();
    Value ahead = asks ? keysAhead(b, row) : Value();
    int64_t shareLine = vectorsPerLine();
    for (Value r : rowIndices)
      for (Value c : columns)
        sums.push_back(accumulator ? b.create<vector::LoadOp>(loc, type(), accumulator, ValueRange{r, c}).getResult()
                                   : zero(b));
    auto loop = b.create<scf::ForOp>(
        loc, begin, end, index.constant(1), sums, [&](OpBuilder &b, Location loc, Value key, ValueRange carried) {
          SmallVector<Value> next(carried), right;
          if (asks)
            prefetch(b, key, ahead, columns.front());
          for (auto [c, chunk] : llvm::enumerate(block)) {
            // The next part of the row follows this one into the first-level cache, so that rows are read as they lie.
            if (asksForNext && c % shareLine == 0)
              ask(b, key, IndexBuilder{b, loc}.add(columns[c], index.constant(block.size() * lanes)), /*locality=*/3);
            right.push_back(isWhole(chunk) ? readVector(b, key, columns[c]) : read(b, key, chunk));
          }
          for (int64_t r = 0; r < rows; ++r) {
            Value weight = b.create<memref::LoadOp>(loc, lhs, ValueRange{rowIndices[r], key});
            Value wide = b.create<vector::BroadcastOp>(loc, type(), convertFloat(b, loc, weight, element)), used;
            // Zero times NaN is NaN: what is masked is not added at all.
            if (skipZeros)
              used = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::UNE, wide, zero(b));
            for (size_t c = 0; c < block.size(); ++c) {
              Value &sum = next[r * block.size() + c];
              Value more = b.create<vector::FMAOp>(loc, wide, right[c], sum);
              sum = used ? b.create<arith::SelectOp>(loc, used, more, sum).getResult() : more;
            }
          }
          b.create<scf::YieldOp>(loc, next);
        });
    for (int64_t r = 0; r < rows; ++r)
      for (size_t c = 0; c < block.size(); ++c)
        b.create<vector::StoreOp>(loc, loop.getResult(r * block.size() + c), result,
                                  ValueRange{rowIndices[r], columns[c]});
  }

  /// Weights of keys `key` and the next one, for all columns; of `key` alone and 0 if it is the `last`.
  Value broadcastPair(OpBuilder &b, Value row, Value key, bool last) const {
    Type stored = cast<MemRefType>(lhs.getType()).getElementType();
    Value bits;
    if (last) {
      Value one = b.create<memref::LoadOp>(loc, lhs, ValueRange{row, key});
      bits = b.create<arith::ExtUIOp>(loc, b.getI32Type(), b.create<arith::BitcastOp>(loc, b.getI16Type(), one));
    } else {
      Value two = b.create<vector::LoadOp>(loc, VectorType::get({2}, stored), lhs, ValueRange{row, key});
      bits = b.create<vector::ExtractOp>(
          loc, b.create<vector::BitCastOp>(loc, VectorType::get({1}, b.getI32Type()), two), 0);
    }
    Value wide = b.create<vector::BroadcastOp>(loc, VectorType::get({lanes}, b.getI32Type()), bits);
    return b.create<vector::BitCastOp>(loc, VectorType::get({2 * lanes}, stored), wide);
  }

  /// emitValuesOfBlock on pairs of keys, whose rows are interleaved. What lies beyond the last column is not stored.
  void emitPairsOfBlock(OpBuilder &b, int64_t rows, Value row, ArrayRef<Chunk> block, Value shift, Value begin,
                        Value end) {
    IndexBuilder index{b, loc};
    SmallVector<Value> rowIndices, columns, sums;
    for (int64_t r = 0; r < rows; ++r)
      rowIndices.push_back(index.add(row, index.constant(r)));
    for (const Chunk &chunk : block)
      columns.push_back(index.add(index.constant(chunk.column), shift));
    for (Value r : rowIndices)
      for (Value c : columns)
        sums.push_back(b.create<vector::LoadOp>(loc, type(), accumulator, ValueRange{r, c}));
    // Two chunks share a vector of each row; the last vector ends with the row.
    int64_t rowEnd = chunks.back().column + chunks.back().count;
    auto startOf = [&](const Chunk &chunk) {
      return std::min(chunk.column / (2 * lanes) * (2 * lanes), rowEnd - 2 * lanes);
    };
    auto stored = VectorType::get({2 * lanes}, cast<MemRefType>(source.getType()).getElementType());
    auto step = [&](OpBuilder &b, Value key, ValueRange carried, bool last) {
      SmallVector<Value> next(carried), right;
      Value first, second, following = b.create<arith::AddIOp>(loc, key, index.constant(1));
      int64_t start = -1;
      for (const Chunk &chunk : block) {
        if (startOf(chunk) != start) {
          start = startOf(chunk);
          Value column = index.add(index.constant(start), shift);
          first = b.create<vector::LoadOp>(loc, stored, source, ValueRange{key, column});
          if (last) {
            second = b.create<arith::ConstantOp>(loc, stored, b.getZeroAttr(stored));
          } else {
            second = b.create<vector::LoadOp>(loc, stored, source, ValueRange{following, column});
          }
        }
        SmallVector<int64_t> interleaved;
        for (int64_t lane = 0; lane < lanes; ++lane) {
          int64_t from = std::min(chunk.column - start + lane, 2 * lanes - 1);
          interleaved.append({from, 2 * lanes + from});
        }
        right.push_back(b.create<vector::ShuffleOp>(loc, first, second, interleaved));
      }
      for (int64_t r = 0; r < rows; ++r) {
        Value weights = broadcastPair(b, rowIndices[r], key, last);
        for (size_t c = 0; c < block.size(); ++c) {
          Value &sum = next[r * block.size() + c];
          sum = b.create<tile::GroupDotOp>(loc, sum.getType(), weights, right[c], sum);
        }
      }
      b.create<scf::YieldOp>(loc, next);
    };
    Value even = b.create<arith::SubIOp>(loc, end, b.create<arith::RemUIOp>(loc, end, index.constant(2)));
    auto loop = b.create<scf::ForOp>(
        loc, begin, even, index.constant(2), sums,
        [&](OpBuilder &b, Location, Value key, ValueRange carried) { step(b, key, carried, false); });
    auto rest = b.create<scf::ForOp>(
        loc, even, end, index.constant(1), loop.getResults(),
        [&](OpBuilder &b, Location, Value key, ValueRange carried) { step(b, key, carried, true); });
    for (int64_t r = 0; r < rows; ++r)
      for (size_t c = 0; c < block.size(); ++c)
        b.create<vector::StoreOp>(loc, rest.getResult(r * block.size() + c), result,
                                  ValueRange{rowIndices[r], columns[c]});
  }

  /// All columns, at most `most` chunks at a time. Blocks of whole chunks are a loop.
  void emitValuesOfRows(OpBuilder &b, int64_t rows, Value row, int64_t most, Value begin, Value end, bool skipZeros) {
    IndexBuilder index{b, loc};
    ArrayRef<Chunk> rest = chunks;
    int64_t whole = llvm::count_if(chunks, [&](const Chunk &chunk) { return isWhole(chunk); });
    if (int64_t blocks = whole / most; blocks > 1) {
      buildLoop(b, loc, index.constant(0), index.constant(blocks * most * lanes), most * lanes,
                [&](OpBuilder &b, Value shift) {
                  emitValuesOfBlock(b, rows, row, rest.take_front(most), shift, begin, end, skipZeros);
                });
      rest = rest.drop_front(blocks * most);
    }
    for (; !rest.empty(); rest = rest.drop_front(std::min<size_t>(most, rest.size())))
      emitValuesOfBlock(b, rows, row, rest.take_front(most), index.constant(0), begin, end, skipZeros);
  }

  /// Rows of a block of p * v: as many as leave accumulators for all columns, so that rows of memory are read as they
  /// lie there. Halves of them, one after the other, would be read at half the speed. Only where each vector is widened
  /// by instructions that take as long as multiplying it for two rows, it is widened once for all rows, part by part.
  int64_t blockRowsOfValues() const {
    int64_t rows = blockRows(), columns = valueChunks();
    bool isWhole = llvm::all_of(chunks, [&](const Chunk &chunk) { return this->isWhole(chunk); });
    if (cast<MemRefType>(source.getType()).getElementType().isF16() && isWhole && columns == 2 * mostSums() / rows)
      return rows;
    while (rows > 1 && rows * columns > mostSums())
      rows /= 2;
    return rows;
  }
  /// Accumulators of a block. Twice as many registers hold what they are multiplied with.
  int64_t mostSums() const { return 4 * blockRows(); }
  int64_t valueChunks() const { return chunks.size(); }

  /// result = accumulator + lhs * source, keys in groups that stay in the first-level cache for all rows; accumulator
  /// is result.
  void emitValues(OpBuilder &b, bool skipZeros) {
    IndexBuilder index{b, loc};
    constexpr int64_t groupKeys = 16;
    int64_t rows = blockRowsOfValues();
    Value inBlocks = rowsInBlocks(b, rows);
    prefetching = preparePrefetching(b, inBlocks, rows);
    buildLoop(b, loc, index.constant(0), numKeys, groupKeys, [&](OpBuilder &b, Value begin) {
      IndexBuilder index{b, loc};
      Value end = index.min(b.create<arith::AddIOp>(loc, begin, index.constant(groupKeys)), numKeys);
      if (rows > 1)
        buildLoop(b, loc, index.constant(0), inBlocks, rows, [&](OpBuilder &b, Value row) {
          emitValuesOfRows(b, rows, row, /*most=*/mostSums() / rows, begin, end, skipZeros);
        });
      buildLoop(b, loc, inBlocks, numRows, 1, [&](OpBuilder &b, Value row) {
        emitValuesOfRows(b, 1, row, /*most=*/mostSums(), begin, end, skipZeros);
      });
    });
  }
};

} // namespace

void cpu::emitDotInPlace(OpBuilder &b, tile::DotOp op, int64_t lanes, const TileBuffer &lhs, const TileBuffer &rhs,
                         Value accumulator, Value result, function_ref<Value(MemRefType)> allocate) {
  Location loc = op.getLoc();
  IndexBuilder index{b, loc};
  auto rhsType = cast<tile::TileType>(op.getRhs().getType());
  int64_t rows = cast<tile::TileType>(op.getLhs().getType()).getShape()[0];
  InPlaceEmitter emitter{loc,           lanes,
                         lhs.memory,    accumulator,
                         result,        cast<MemRefType>(result.getType()).getElementType(),
                         /*source=*/{}, lhs.rows ? lhs.rows : index.constant(rows),
                         rhs.rows,
                         /*chunks=*/{}, allocate};
  bool transposed = op.getTransposed();
  auto isBf16 = [](Value memory) { return cast<MemRefType>(memory.getType()).getElementType().isBF16(); };
  bool inPairs = isBf16(lhs.memory) && isBf16(rhs.memory) && rhsType.getShape()[1] >= 2 * lanes && lanes > 1;
  emitter.pairs = transposed && inPairs;
  emitter.inPairs = !transposed && inPairs;
  // A copy pads short rows to one whole vector.
  int64_t columns = std::max(rhsType.getShape()[1], lanes);
  for (int64_t column = 0; column < columns; column += emitter.width())
    emitter.chunks.push_back({column, std::min(emitter.width(), columns - column)});
  emitter.source = emitReadableRows(b, loc, rhs, rhsType.getShape(), lanes, transposed ? lanes : 0, allocate);
  if (transposed)
    emitter.emitScores(b, rows);
  else
    emitter.emitValues(b, op.getSkipZeros());
}

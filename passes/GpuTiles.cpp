//===- GpuTiles.cpp - Tiles that fit a block of threads -------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/GpuTiles.h"
#include "passes/GpuUnits.h"

using namespace mlir;
using namespace flashc;

/// Threads of a subgroup that hold neighbouring columns of a block.
static constexpr int64_t kThreadsAcross = 8;

ElementBlock flashc::chooseElementBlock(int64_t bytes, int64_t width, int64_t keys) {
  ElementBlock block{4, 16 / bytes};
  while (block.columns > 1 && keys % (kThreadsAcross * block.columns) != 0)
    block.columns /= 2;
  // 32-bit registers: accumulators, scores, and rows of operands that wait for their multiply-adds.
  const int64_t most = bytes == 8 ? 164 : 176;
  auto registers = [&]() -> int64_t {
    int64_t across = llvm::divideCeil(width, kThreadsAcross * block.columns) * block.columns;
    return block.rows * (across + llvm::divideCeil(keys, kThreadsAcross) + 8) * (bytes / 4);
  };
  while (block.rows > 1 && registers() > most)
    block.rows /= 2;
  return block;
}

tile::FragmentLayoutAttr flashc::getElementLayout(MLIRContext *context, ElementBlock block, unsigned subgroupSize,
                                                  int64_t warps) {
  // Each pair is the row and column that one bit of a lane's or an element's number adds.
  SmallVector<int64_t> lanes, registers;
  auto addBit = [](SmallVector<int64_t> &bits, int64_t row, int64_t column) {
    bits.push_back(row);
    bits.push_back(column);
  };
  for (int64_t i = 1; i < kThreadsAcross; i *= 2)
    addBit(lanes, 0, i * block.columns);
  int64_t down = subgroupSize / kThreadsAcross;
  for (int64_t i = 1; i < down; i *= 2)
    addBit(lanes, i * block.rows, 0);
  for (int64_t i = 1; i < block.columns; i *= 2)
    addBit(registers, 0, i);
  for (int64_t i = 1; i < block.rows; i *= 2)
    addBit(registers, i, 0);
  return tile::FragmentLayoutAttr::get(context, warps, {down * block.rows, kThreadsAcross * block.columns}, lanes,
                                       registers);
}

tile::FragmentLayoutAttr flashc::getRowLayout(MLIRContext *context, int64_t columns, int64_t bytes,
                                              unsigned subgroupSize, int64_t warps) {
  int64_t piece = 16 / bytes;
  while (piece > 1 && piece / 2 * subgroupSize >= columns)
    piece /= 2;
  SmallVector<int64_t> lanes, registers;
  for (int64_t i = 1; i < subgroupSize; i *= 2)
    lanes.append({0, i * piece});
  for (int64_t i = 1; i < piece; i *= 2)
    registers.append({0, i});
  return tile::FragmentLayoutAttr::get(context, warps, {1, subgroupSize * piece}, lanes, registers);
}

QueryPlace BlockTiles::placeQueries(tile::FragmentLayoutAttr sums, int64_t sharedBytes, int64_t registers) const {
  if (unit == MatrixUnit::None)
    return countSharedBytes(QueryPlace::Shared) <= sharedBytes ? QueryPlace::Shared : QueryPlace::Global;
  if (takesColumns(unit))
    return countRegisters(sums, QueryPlace::Registers) <= registers ||
                   countSharedBytes(QueryPlace::Shared) > sharedBytes
               ? QueryPlace::Registers
               : QueryPlace::Shared;
  // Of mma's sixteen rows a thread holds a quarter of a register a column of queries and half a one of accumulators.
  constexpr int64_t most = 160;
  if (unit == MatrixUnit::Mma && headDim / 4 + valueHeadDim / 2 > most)
    return QueryPlace::Shared;
  return QueryPlace::Registers;
}

/// Bytes of a tile in shared memory.
static int64_t sizeOf(int64_t rows, int64_t columns, int64_t elementBytes) {
  int64_t panel = columns * elementBytes > 64 ? 128 : 64;
  return llvm::alignTo(rows * llvm::alignTo(columns * elementBytes, panel), 1024);
}

int64_t BlockTiles::countCopied(tile::FragmentLayoutAttr sums) const {
  int64_t threads = sums.getWarps() * sums.getSubgroupSize();
  // A unit of values is four rows' pieces of sixteen bytes.
  int64_t key = llvm::divideCeil(sizeOf(keys, headDim, operandBytes) / 16, threads) * 4;
  return std::max<int64_t>(key, llvm::divideCeil(keys * valueHeadDim * operandBytes / 64, threads) * 16);
}

int64_t BlockTiles::countRegisters(tile::FragmentLayoutAttr sums, QueryPlace place) const {
  auto held = [&](tile::FragmentLayoutAttr layout, int64_t columns, int64_t bytes) {
    auto [down, across] = layout.getBlocks({queries, columns});
    return down * across * layout.getBlockElements() * bytes / 4;
  };
  tile::FragmentLayoutAttr left = getLhsLayout(unit, sums);
  int64_t count = held(sums, valueHeadDim, 4) + held(sums, keys, 4) + held(left, keys, operandBytes);
  if (place == QueryPlace::Registers)
    count += held(left, headDim, operandBytes);
  return count + std::min(countCopied(sums), kMostAtOnce * 4) + kOperandRegisters +
         getOtherRegisters(sums.getSubgroupSize());
}

int64_t BlockTiles::countSharedBytes(QueryPlace place) const {
  auto tile = [&](int64_t rows, int64_t columns) { return sizeOf(rows, columns, operandBytes); };
  int64_t query = tile(queries, headDim), key = tile(keys, headDim);
  // Units that take columns have values that way, and the word of all threads where keys were.
  if (takesColumns(unit))
    return key + tile(llvm::alignTo(valueHeadDim, 32), keys) + (place == QueryPlace::Shared ? query : 0);
  int64_t products = key + tile(keys, valueHeadDim) + tile(queries, keys) + 1024;
  if (unit != MatrixUnit::Mma)
    return place == QueryPlace::Shared ? products + query : products;
  // Results, and queries that go to registers, pass through shared memory.
  products = std::max(products, key + tile(queries, valueHeadDim));
  return place == QueryPlace::Shared ? products + query : std::max(products, query);
}

BlockTiles flashc::chooseUnitTiles(MLIRContext *context, BlockTiles tiles, unsigned subgroupSize, int64_t sharedBytes,
                                   int64_t registers) {
  struct Candidate {
    int64_t rows, keys;
  };
  // More rows of a wave read keys and values less often, more keys of a tile rescale sums less often.
  constexpr Candidate mfma[] = {{32, 64}, {32, 32}, {16, 64}, {16, 32}}, wmma[] = {{16, 32}, {16, 16}};
  constexpr int64_t waves = 4;
  ArrayRef<Candidate> candidates = tiles.unit == MatrixUnit::Mfma ? ArrayRef(mfma) : ArrayRef(wmma);
  auto choose = [&](Candidate candidate) {
    BlockTiles chosen = tiles;
    chosen.queries = tiles.queries ? tiles.queries : waves * candidate.rows;
    chosen.keys = tiles.keys ? tiles.keys : candidate.keys;
    return chosen;
  };
  struct Demand {
    int64_t blocks;
    bool waits;
  };
  // The next tile is better smaller and on its way than whole and waited for.
  for (auto [blocks, waits] : {Demand{2, true}, Demand{1, true}, Demand{1, false}})
    for (Candidate candidate : candidates) {
      BlockTiles chosen = choose(candidate);
      tile::FragmentLayoutAttr sums =
          getAccumulatorLayout(context, tiles.unit, subgroupSize, /*warps=*/1, chosen.queries);
      sums = getAccumulatorLayout(context, tiles.unit, subgroupSize,
                                  std::clamp<int64_t>(chosen.queries / sums.getBlock()[0], 1, waves), chosen.queries);
      QueryPlace place = chosen.placeQueries(sums, sharedBytes / blocks, registers);
      if (chosen.countRegisters(sums, place) <= registers && chosen.countSharedBytes(place) <= sharedBytes / blocks &&
          (!waits || chosen.countCopied(sums) <= getMostWaiting(subgroupSize)))
        return chosen;
    }
  return choose(candidates.back());
}

BlockTiles flashc::chooseElementTiles(BlockTiles tiles, int64_t sumBytes, unsigned subgroupSize, int64_t sharedBytes) {
  struct Candidate {
    int64_t warps, keys;
  };
  constexpr Candidate copied[] = {{4, 32}, {4, 16}, {2, 32}};
  constexpr Candidate inPlace[] = {{4, 32}, {4, 16}, {4, 8}, {2, 8}, {1, 8}};
  auto choose = [&](Candidate candidate) {
    BlockTiles chosen = tiles;
    if (!chosen.keys)
      chosen.keys = candidate.keys;
    if (!chosen.queries) {
      ElementBlock block = chooseElementBlock(sumBytes, chosen.valueHeadDim, chosen.keys);
      chosen.queries = candidate.warps * block.rows * (subgroupSize / kThreadsAcross);
    }
    return chosen;
  };
  for (Candidate candidate : copied)
    if (BlockTiles chosen = choose(candidate); chosen.countSharedBytes(QueryPlace::Shared) <= sharedBytes)
      return chosen;
  for (Candidate candidate : inPlace)
    if (BlockTiles chosen = choose(candidate); chosen.countSharedBytes(QueryPlace::Global) <= sharedBytes)
      return chosen;
  return choose(std::end(inPlace)[-1]);
}

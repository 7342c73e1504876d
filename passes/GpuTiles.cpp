//===- GpuTiles.cpp - Tiles that fit a block of threads -------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/GpuTiles.h"

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

QueryPlace BlockTiles::placeQueries(int64_t sharedBytes) const {
  if (unit == MatrixUnit::None)
    return countSharedBytes(QueryPlace::Shared) <= sharedBytes ? QueryPlace::Shared : QueryPlace::Global;
  // Of mma's sixteen rows a thread holds a quarter of a register a column of queries and half a one of accumulators.
  constexpr int64_t most = 160;
  if (unit == MatrixUnit::Mma && headDim / 4 + valueHeadDim / 2 > most)
    return QueryPlace::Shared;
  return QueryPlace::Registers;
}

int64_t BlockTiles::countSharedBytes(QueryPlace place) const {
  constexpr int64_t piece = 1024;
  auto tile = [&](int64_t rows, int64_t columns) -> int64_t {
    int64_t panel = columns * operandBytes > 64 ? 128 : 64;
    return llvm::alignTo(rows * llvm::alignTo(columns * operandBytes, panel), piece);
  };
  int64_t query = tile(queries, headDim), key = tile(keys, headDim);
  int64_t products = key + tile(keys, valueHeadDim) + tile(queries, keys) + piece;
  if (unit != MatrixUnit::Mma)
    return place == QueryPlace::Shared ? products + query : products;
  // Results, and queries that go to registers, pass through shared memory.
  products = std::max(products, key + tile(queries, valueHeadDim));
  return place == QueryPlace::Shared ? products + query : std::max(products, query);
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

//===- ChooseTileSizes.cpp - Tile sizes of an attention nobody tuned -----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ChooseTileSizes.h"

#include <algorithm>

using namespace flashc;

/// For products in AMX tiles, whose blocks of 2 x 2 tiles do 1,024 FLOP a cycle: 128 rows share what of keys and values
/// comes into the first-level cache, so that even the last level, at some 8 bytes a cycle, feeds them. Scores and
/// weights are streamed through the second level: with more keys the sums are loaded, stored and scaled less often, up
/// to where a panel of values and its weights fill the first level.
static AttentionTiles chooseForMatrixTiles(const AttentionShape &shape) {
  constexpr int64_t blockRows = 32, granule = 32;
  auto atMost = [](int64_t most, int64_t size, int64_t multiple) {
    return size < 0 ? most : std::clamp((size + multiple - 1) / multiple * multiple, multiple, most);
  };
  return {atMost(128, shape.queries, blockRows), atMost(256, shape.keys, granule), granule};
}

AttentionTiles flashc::chooseTileSizes(const AttentionShape &shape, const CpuCapabilities &cpu) {
  if (cpu.amxBf16 && shape.operandBytes == 2)
    return chooseForMatrixTiles(shape);
  // Nominal rates and not measured ones: what a compiler makes of a module does not depend on where it runs.
  const CpuCostModel model(CpuLimits::nominal(cpu.vectorBytes, cpu.vectorRegisters, cpu.l1Bytes, cpu.l2Bytes));
  const TileSizes best = model.rank(shape).front().tiles;
  return {best.rows, best.keys, model.granule(shape)};
}

AttentionTiles flashc::chooseFewTileSizes(const AttentionShape &shape, const CpuCapabilities &cpu) {
  AttentionTiles sizes;
  sizes.queries = cpu.amxBf16 && shape.operandBytes == 2 ? CpuCostModel::fewRows : CpuCostModel::fewRowsOfMany;
  sizes.granule = 4 * std::max<int64_t>(1, cpu.vectorBytes / shape.computeBytes);
  sizes.keys = CpuCostModel::fewKeys;
  sizes.split = CpuCostModel::fewSplit(shape);
  return sizes;
}

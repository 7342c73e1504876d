//===- ChooseTileSizes.cpp - Tile sizes of an attention nobody tuned -----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ChooseTileSizes.h"

#include <algorithm>

using namespace flashc;

AttentionTiles flashc::chooseTileSizes(const AttentionShape &shape, const CpuCapabilities &cpu) {
  // Nominal rates and not measured ones: what a compiler makes of a module does not depend on where it runs.
  const CpuCostModel model(CpuLimits::nominal(cpu.vectorBytes, cpu.vectorRegisters, cpu.l1Bytes, cpu.l2Bytes));
  const TileSizes best = model.rank(shape).front().tiles;
  return {best.rows, best.keys, model.granule(shape)};
}

AttentionTiles flashc::chooseFewTileSizes(const AttentionShape &shape, const CpuCapabilities &cpu) {
  AttentionTiles sizes;
  sizes.queries = CpuCostModel::fewRows;
  sizes.granule = 4 * std::max<int64_t>(1, cpu.vectorBytes / shape.computeBytes);
  sizes.keys = CpuCostModel::fewKeys;
  sizes.split = CpuCostModel::fewSplit(shape);
  return sizes;
}

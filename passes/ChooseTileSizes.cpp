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
  auto roundUp = [](int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; };
  AttentionTiles sizes;
  // Beyond this, multiplications take longer than reading, and packing begins to pay.
  sizes.queries = 16;
  sizes.granule = 4 * std::max<int64_t>(1, cpu.vectorBytes / shape.computeBytes);
  // Long enough that what is done once a row and tile does not show, and short enough that scores stay in the first-level
  // cache and values that several rows read in the second.
  sizes.keys = 256;
  // Some ten microseconds of work a task, against less than one to start it.
  constexpr int64_t taskBytes = 512 << 10;
  int64_t keyBytes = (shape.headDim + shape.valueHeadDim) * shape.storedBytes;
  sizes.split = roundUp(std::clamp<int64_t>(taskBytes / keyBytes, 512, 8192), sizes.keys);
  return sizes;
}

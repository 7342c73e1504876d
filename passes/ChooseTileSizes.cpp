//===- ChooseTileSizes.cpp - Tile sizes of an attention nobody tuned -----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ChooseTileSizes.h"

using namespace flashc;

AttentionTiles flashc::chooseTileSizes(const AttentionShape &shape, const CpuCapabilities &cpu) {
  // Nominal rates and not measured ones: what a compiler makes of a module does not depend on where it runs.
  const CpuCostModel model(CpuLimits::nominal(cpu.vectorBytes, cpu.vectorRegisters, cpu.l1Bytes, cpu.l2Bytes));
  const TileSizes best = model.rank(shape).front().tiles;
  return {best.rows, best.keys, model.granule(shape)};
}

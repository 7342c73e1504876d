//===- ChooseTileSizes.cpp - The cost model of tile sizes ----------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ChooseTileSizes.h"

#include <algorithm>

using namespace flashc;

static int64_t roundUp(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

TileSizes flashc::chooseTileSizes(const TiledProblem &problem, const CpuCapabilities &cpu) {
  // A product keeps 6 rows x 4 vectors of accumulators in 32 registers, with 4 vectors of its right-hand side and one
  // broadcast beside them; 6 x 2 in 16 registers. Fewer rows would load the right-hand side too often, more would
  // spill.
  constexpr int64_t blockRows = 6;
  int64_t blockVectors = cpu.vectorRegisters >= 32 ? 4 : 2;
  int64_t lanes = std::max<int64_t>(1, cpu.vectorBytes / problem.computeBytes);

  TileSizes sizes;
  sizes.granule = blockVectors * lanes;
  // Four blocks of rows share every panel of keys that comes into the first-level cache.
  sizes.queries = 4 * blockRows;
  if (problem.queryLength >= 0)
    sizes.queries = std::min(sizes.queries, std::max(blockRows, roundUp(problem.queryLength, blockRows)));
  // The scores of a tile, written by one product and read by the next, are as large as the first-level cache: they are
  // streamed, and half of a tile stays until it is used.
  int64_t rowBytes = sizes.queries * problem.computeBytes;
  sizes.keys = std::clamp<int64_t>(cpu.l1Bytes / rowBytes, 1, 512) / sizes.granule * sizes.granule;
  sizes.keys = std::max(sizes.keys, sizes.granule);
  if (problem.keyLength >= 0)
    sizes.keys = std::min(sizes.keys, std::max(sizes.granule, roundUp(problem.keyLength, sizes.granule)));
  return sizes;
}

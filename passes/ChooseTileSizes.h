//===- ChooseTileSizes.h - The cost model of tile sizes ------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// How large the tiles of an attention are on a CPU, from what is known of its vector unit and caches. All that is
/// specific to a CPU about tile sizes is here.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_CHOOSETILESIZES_H
#define FLASHC_PASSES_CHOOSETILESIZES_H

#include "passes/CpuCapabilities.h"

namespace flashc {

/// Rows and keys of a tile, and the keys that loop bounds are rounded to (see `#attn.tiles`).
struct TileSizes {
  int64_t queries = 0, keys = 0, granule = 0;
};

/// What is known of an attention; a length below 0 is dynamic.
struct TiledProblem {
  int64_t headDim = 0, valueHeadDim = 0;
  int64_t queryLength = -1, keyLength = -1;
  /// Bytes of one score: the size of the compute type.
  int64_t computeBytes = 4;
};

/// Tile sizes for one core: the register block of the products decides granule and rows, the first-level cache the
/// keys.
TileSizes chooseTileSizes(const TiledProblem &problem, const CpuCapabilities &cpu);

} // namespace flashc

#endif // FLASHC_PASSES_CHOOSETILESIZES_H

//===- ChooseTileSizes.h - Tile sizes of an attention nobody tuned -------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// How large the tiles of an attention are on a CPU, from what is known of its vector unit and caches: the first choice
/// of the cost model that the tuner ranks its candidates by.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_CHOOSETILESIZES_H
#define FLASHC_PASSES_CHOOSETILESIZES_H

#include "passes/CpuCapabilities.h"
#include "runtime/CostModel.h"

namespace flashc {

/// What `#attn.tiles` says: rows, keys, and the keys that loop bounds are rounded to.
struct AttentionTiles {
  int64_t queries = 0, keys = 0, granule = 0;
  /// Of the form for few rows: keys that a task attends.
  int64_t split = 0;
};

/// Tile sizes for one core of `cpu`; the same on every machine.
AttentionTiles chooseTileSizes(const AttentionShape &shape, const CpuCapabilities &cpu);

/// Tile sizes of the form for few query rows, which is bound by reading keys and values once.
AttentionTiles chooseFewTileSizes(const AttentionShape &shape, const CpuCapabilities &cpu);

} // namespace flashc

#endif // FLASHC_PASSES_CHOOSETILESIZES_H

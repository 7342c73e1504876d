//===- GpuTiles.h - Tiles that fit a block of threads ---------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What a block of threads has room for, in registers and in shared memory, and the layouts that are chosen by it. Tile
/// sizes and layouts are decided by two passes, from the same functions.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_GPUTILES_H
#define FLASHC_PASSES_GPUTILES_H

#include "dialects/Tile/Tile.h"
#include "passes/GpuCapabilities.h"

namespace flashc {

/// Rows and columns that a thread holds of each block of a product by single multiply-adds: powers of two.
struct ElementBlock {
  int64_t rows, columns;
};

/// For sums of `bytes` each, accumulators of `width` columns and scores of `keys` columns: columns fill a piece of
/// sixteen bytes where tiles are wide enough, and rows are as many as a thread's registers hold, at most four.
ElementBlock chooseElementBlock(int64_t bytes, int64_t width, int64_t keys);

/// The accumulators of such products: eight threads side by side, the others of a subgroup below each other.
tile::FragmentLayoutAttr getElementLayout(mlir::MLIRContext *context, ElementBlock block, unsigned subgroupSize,
                                          int64_t warps);

/// For tiles of `columns` elements of `bytes` that no product makes or reads: a subgroup has whole rows, of which
/// neighbouring threads hold neighbouring pieces of at most sixteen bytes.
tile::FragmentLayoutAttr getRowLayout(mlir::MLIRContext *context, int64_t columns, int64_t bytes, unsigned subgroupSize,
                                      int64_t warps);

/// Where the scores' product finds the query rows.
enum class QueryPlace {
  Registers, ///< in the unit's fragments
  Shared,    ///< in shared memory
  Global,    ///< where the caller has them, read again for each tile of keys
};

/// The tiles of one attention in one block.
struct BlockTiles {
  MatrixUnit unit;
  int64_t headDim, valueHeadDim;
  /// Bytes of an element in shared memory.
  int64_t operandBytes;
  int64_t queries, keys;

  /// Registers where a matrix unit's threads have them beside the accumulators, else shared memory; single
  /// multiply-adds read the caller's where `sharedBytes` are not enough for that.
  QueryPlace placeQueries(int64_t sharedBytes) const;
  /// Shared memory that the lowering takes: keys, values, weights where elements may be multiplied one by one, and what
  /// passes through on the way to and from memory; each on its own kilobyte.
  int64_t countSharedBytes(QueryPlace place) const;
  int64_t countSharedBytes(int64_t sharedBytes) const { return countSharedBytes(placeQueries(sharedBytes)); }
};

/// The largest tiles of `tiles`' head dims that fit into `sharedBytes` where products are single multiply-adds, best
/// first in `queries` and `keys`; those that are not 0 already stay. Where none fits, the smallest.
BlockTiles chooseElementTiles(BlockTiles tiles, int64_t sumBytes, unsigned subgroupSize, int64_t sharedBytes);

} // namespace flashc

#endif // FLASHC_PASSES_GPUTILES_H

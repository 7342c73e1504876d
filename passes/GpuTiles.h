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

/// Registers of 32 bits that operands take which are read before the first of them is multiplied: enough to hide the
/// reads of a product that follow it, and little beside what a thread holds for good.
inline constexpr int64_t kOperandRegisters = 32;
/// Those for all that is no element of a tile: addresses, of which 32 threads need more, masks, a row's maximum and
/// sum.
inline constexpr int64_t getOtherRegisters(unsigned subgroupSize) { return subgroupSize == 32 ? 80 : 64; }
/// The most for a thread's share of a tile that waits to be written to shared memory: an eighth of what each of two
/// waves of 64 has, a sixteenth with 32 threads, whose products take more.
inline constexpr int64_t getMostWaiting(unsigned subgroupSize) { return subgroupSize / 2; }

/// Pieces of sixteen bytes that are read before the first one is written where all of them do not wait.
inline constexpr int64_t kMostAtOnce = 8;

/// The tiles of one attention in one block.
struct BlockTiles {
  MatrixUnit unit;
  int64_t headDim, valueHeadDim;
  /// Bytes of an element in shared memory.
  int64_t operandBytes;
  int64_t queries, keys;

  /// Registers where a matrix unit's threads have them beside the accumulators, else shared memory; single
  /// multiply-adds read the caller's where `sharedBytes` are not enough for that. `sums` is the layout of accumulators,
  /// and `registers` are a thread's.
  QueryPlace placeQueries(tile::FragmentLayoutAttr sums, int64_t sharedBytes, int64_t registers) const;
  /// Registers of 32 bits that a thread of a unit that takes columns has in use where it needs most: rows of queries,
  /// accumulators, scores and weights, what waits to be copied, and all else.
  int64_t countRegisters(tile::FragmentLayoutAttr sums, QueryPlace place) const;
  /// Those for a thread's share of a tile of keys or values on its way to shared memory.
  int64_t countCopied(tile::FragmentLayoutAttr sums) const;
  /// Shared memory that the lowering takes: keys, values, weights where elements may be multiplied one by one, and what
  /// passes through on the way to and from memory; each on its own kilobyte.
  int64_t countSharedBytes(QueryPlace place) const;
};

/// Tiles for units that take columns: the largest that leave room for two blocks in `sharedBytes` and a thread's
/// `registers`, and whose copies wait in those, else for one block, else the smallest; sizes that are not 0 already
/// stay.
BlockTiles chooseUnitTiles(mlir::MLIRContext *context, BlockTiles tiles, unsigned subgroupSize, int64_t sharedBytes,
                           int64_t registers);

/// The largest tiles of `tiles`' head dims that fit into `sharedBytes` where products are single multiply-adds, best
/// first in `queries` and `keys`; those that are not 0 already stay. Where none fits, the smallest.
BlockTiles chooseElementTiles(BlockTiles tiles, int64_t sumBytes, unsigned subgroupSize, int64_t sharedBytes);

} // namespace flashc

#endif // FLASHC_PASSES_GPUTILES_H

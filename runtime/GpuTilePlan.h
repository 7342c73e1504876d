//===- GpuTilePlan.h - how attention is cut into tiles on a GPU -----------------===//
//
// Free of MLIR and LLVM: the compiler's passes choose tiles and layouts by these functions, and the tuner's cost model
// says by them which tiles the passes take, and what of a multiprocessor they need.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_GPUTILEPLAN_H
#define FLASHC_RUNTIME_GPUTILEPLAN_H

#include "runtime/GpuCapabilities.h"
#include "runtime/ScoreTraits.h"
#include "runtime/TileSizes.h"

#include <cstdint>

namespace flashc {

/// What a warpgroup multiplies at once: rows, the most columns of the right-hand side, steps of the contraction; and
/// its threads.
inline constexpr int64_t kWarpgroupRows = 64, kWarpgroupColumns = 256, kWarpgroupSteps = 16, kWarpgroupThreads = 128;

/// The most subgroups - warpgroups, where those multiply - that share a tile.
inline constexpr int64_t kMostSubgroups = 4;

/// Registers of 32 bits that operands take which are read before the first of them is multiplied: enough to hide the
/// reads of a product that follow it, and little beside what a thread holds for good.
inline constexpr int64_t kOperandRegisters = 32;
/// The most for a thread's share of a tile that waits to be written to shared memory: an eighth of what each of two
/// waves of 64 has, a sixteenth with 32 threads, whose products take more.
constexpr int64_t getMostWaiting(int64_t subgroupSize) { return subgroupSize / 2; }
/// Pieces of sixteen bytes that are read before the first one is written where all of them do not wait.
inline constexpr int64_t kMostAtOnce = 8;

/// Those of a thread of units that take columns.
inline constexpr int64_t kRegistersOfWave = 256;

/// Whether turns over keys, without masks, keep the addresses of what they read and write, where `sums` registers of a
/// thread's `registers` go from turn to turn: half of all, and a quarter with 32 threads, which hold operands twice.
/// Those of a subgroup alone do not: it waits for memory anyway.
constexpr bool keepsAddresses(int64_t subgroupSize, int64_t subgroups, int64_t sums, int64_t registers) {
  return subgroups > 1 && sums * (subgroupSize == 32 ? 4 : 2) <= registers;
}

/// How a tile is divided among threads that copy it to shared memory through their registers: `total` units, `across`
/// of them side by side, of pieces of sixteen bytes from `rows` rows of `columns` elements each.
struct CopyUnits {
  int64_t across = 1, total = 0, rows = 1, columns = 1;
};
/// For a tile that lies there in `rows` rows of `columns` elements, padded to whole panels of `panelBytes`:
/// `transposed`, they are the tile's columns, and a thread has pieces of four rows of the tile, so that it writes as
/// many neighbours.
CopyUnits getCopyUnits(int64_t rows, int64_t columns, int64_t elementBytes, int64_t panelBytes, bool transposed);

/// Whether a unit takes the right-hand side with the elements of a column as neighbours, whichever way it comes. Code
/// for such units is allocated by a code generator that has to be given few enough values.
constexpr bool takesColumns(MatrixUnit unit) { return unit == MatrixUnit::Mfma || unit == MatrixUnit::Wmma; }

/// Whether float32 can be multiplied in tf32 where `unit` is the best one there is: by its warps.
constexpr bool takesTf32(MatrixUnit unit) { return unit == MatrixUnit::Mma || unit == MatrixUnit::Wgmma; }
/// Steps of the contraction of an instruction on tf32.
inline constexpr int64_t kTf32Steps = 8;

/// The unit for a tile of `rows` rows, where `available` is the best one there is: fewer rows than a warpgroup's are
/// left to its warps.
MatrixUnit getUnitForRows(MatrixUnit available, int64_t rows);

/// Threads that multiply together, where `subgroupSize` execute together.
int64_t getUnitThreads(MatrixUnit unit, int64_t subgroupSize);

/// A block of a tile that the threads which multiply together hold in registers.
struct FragmentBlock {
  int64_t rows = 1, columns = 1;
  /// Elements of each thread, more than its share where several threads hold the same.
  int64_t elements = 1;
};

/// A block of a unit's sums. `rows` are the tile's, where a unit has instructions of several heights: fewer than four
/// subgroups of the higher ones take the lower ones. Nothing for MatrixUnit::None.
FragmentBlock getUnitSums(MatrixUnit unit, int64_t rows);
/// A block of a unit's left-hand side, of elements of `elementBytes`, beside sums whose blocks have `height` rows.
FragmentBlock getUnitLeft(MatrixUnit unit, int64_t height, int64_t elementBytes);

/// Rows and columns that a thread holds of each block of a product by single multiply-adds: powers of two.
struct ElementBlock {
  int64_t rows, columns;
};

/// For sums of `bytes` each, accumulators of `width` columns and scores of `keys` columns: columns fill a piece of
/// sixteen bytes where tiles are wide enough, and rows are as many as a thread's registers hold, at most four.
ElementBlock chooseElementBlock(int64_t bytes, int64_t width, int64_t keys);

/// Threads of a subgroup that hold neighbouring columns of such a block; the others are below them.
inline constexpr int64_t kThreadsAcross = 8;

/// All of a subgroup's threads' blocks side by side and below each other.
FragmentBlock getSubgroupBlock(ElementBlock block, int64_t subgroupSize);

/// Bytes of the rows of a panel in shared memory, within which pieces are permuted (swizzled), for tiles with rows of
/// `rowBytes` bytes: not below what the columns of one block of any unit take.
constexpr int64_t getPanelBytes(int64_t rowBytes) { return rowBytes > 64 ? 128 : 64; }
/// What memory of a tile begins at.
inline constexpr int64_t kSharedAlignment = 1024;
/// Shared memory of a tile: its rows in whole panels.
int64_t countTileBytes(int64_t rows, int64_t columns, int64_t elementBytes);

/// Where the scores' product finds the query rows.
enum class QueryPlace {
  Registers, ///< in the unit's fragments
  Shared,    ///< in shared memory
  Global,    ///< where the caller has them, read again for each tile of keys
};

/// The tiles of one attention in one block of threads.
struct BlockTiles {
  MatrixUnit unit = MatrixUnit::None;
  int64_t subgroupSize = 32;
  int64_t headDim = 0, valueHeadDim = 0;
  /// Bytes of an element in shared memory, and of a sum.
  int64_t operandBytes = 4, sumBytes = 4;
  int64_t queries = 0, keys = 0;
  /// Whether a masked weight may stand beside a NaN.
  bool skipsZeros = false;

  /// A block of the sums, whatever multiplies.
  FragmentBlock getSums() const;
  /// Those that share the rows, and all of their threads; one that only copies is not among them.
  int64_t countSubgroups() const;
  int64_t countThreads() const;
  /// Rows that are computed: each subgroup has whole blocks, as many as the one that has most.
  int64_t countRows() const;

  /// Registers where a matrix unit's threads have them beside the accumulators, else shared memory; single
  /// multiply-adds read the caller's where `sharedBytes` are not enough for that. `registers` are a thread's, of units
  /// that take columns.
  QueryPlace placeQueries(int64_t sharedBytes, int64_t registers) const;
  /// Registers of 32 bits of a thread for the sums of the output and the scores alone.
  int64_t countAccumulators() const;
  /// Those that a thread has in use where it needs most: rows of queries, accumulators, scores and weights, of units
  /// that take columns what waits to be copied, and all else. Where an assembler gives them, an estimate.
  int64_t countRegisters(QueryPlace place) const;
  /// As many blocks as a multiprocessor's registers are enough for at a time, where an assembler gives them: it is told
  /// so, as it would else spill a few for blocks that it guesses to be worth it. `others` are a thread's registers for
  /// what masks and scores need beside elements.
  int64_t countBlocksAtATime(QueryPlace place, int64_t others) const;
  /// Those for a thread's share of a tile of keys on its way to shared memory, and of one of values.
  int64_t countCopiedKeys() const;
  int64_t countCopiedValues() const;
  /// Shared memory that the lowering takes: keys, values, weights where elements may be multiplied one by one, a word
  /// of all threads, and what passes through on the way to and from memory; each on its own kilobyte.
  int64_t countSharedBytes(QueryPlace place) const;

private:
  /// Registers of a thread for a tile of so many columns in `block`s.
  int64_t countHeld(const FragmentBlock &block, int64_t columns, int64_t elementBytes) const;
};

/// One attention on one kind of GPU.
struct GpuTileProblem {
  /// What multiplies its elements.
  MatrixUnit unit = MatrixUnit::None;
  int64_t subgroupSize = 32;
  /// Of a block, on every device of the target.
  int64_t sharedBytes = 0;
  /// Of a thread, where the unit takes columns.
  int64_t registers = 0;
  int64_t headDim = 0, valueHeadDim = 0;
  /// Bytes of an element in shared memory, and of a sum.
  int64_t operandBytes = 4, sumBytes = 4;
  /// What takes registers beside the scores: a function's values, a bias' addresses, what is read of each key, both
  /// ends of a window.
  ScoreTraits scores;
};

/// How a problem is done.
struct GpuTilePlan {
  /// The form for many query rows, and that for few, whose blocks each attend `split` keys.
  BlockTiles many, few;
  int64_t split = 0;
  /// What rows and keys of `many` are multiples of: whole products.
  int64_t rowUnit = 1, keyUnit = 1;
  /// Of `many`.
  QueryPlace queries = QueryPlace::Registers;
  int64_t registers = 0, sharedBytes = 0;
};

/// Rows, keys and split of `wanted` stay where they are not 0, but for keys, which become whole products. What the
/// problem cannot have is for the caller to refuse: rows that are not a multiple of `rowUnit`, and more registers or
/// shared bytes than it has.
GpuTilePlan planGpuTiles(const GpuTileProblem &problem, const TileSizes &wanted);

/// Registers of a thread where one warpgroup copies for `consumers` that multiply; 0 = as many as an instruction can
/// name. One that `looks` through what is said of each key to know which tiles are next needs more of
/// them, as many as sums of `columns` columns leave.
struct RoleRegisters {
  int64_t producer = 0, consumer = 0;
};
RoleRegisters getRoleRegisters(int64_t consumers, bool looks = false, int64_t columns = 0);

} // namespace flashc

#endif // FLASHC_RUNTIME_GPUTILEPLAN_H

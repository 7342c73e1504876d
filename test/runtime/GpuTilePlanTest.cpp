//===- GpuTilePlanTest.cpp - what tiles of a GPU need --------------------------===//

#include "runtime/GpuTilePlan.h"

#include <gtest/gtest.h>

#include <utility>

using namespace flashc;

namespace {
/// One of `headDim` and 16-bit elements, or of sums of `elementBytes` where the chip has no unit for them.
GpuTileProblem problemOf(const char *chip, int64_t headDim, int64_t elementBytes, bool skipsZeros = false) {
  const GpuCapabilities &gpu = *findGpuCapabilities(chip);
  GpuTileProblem problem;
  problem.unit = elementBytes == 2 ? gpu.matrixUnit : MatrixUnit::None;
  problem.subgroupSize = gpu.subgroupSize;
  problem.sharedBytes = gpu.sharedBytes;
  problem.registers = gpu.registers;
  problem.headDim = problem.valueHeadDim = headDim;
  problem.operandBytes = elementBytes;
  problem.sumBytes = elementBytes == 8 ? 8 : 4;
  problem.scores.hasMask = skipsZeros;
  return problem;
}

TileSizes sizesOf(const BlockTiles &tiles) { return {tiles.queries, tiles.keys, 0}; }
} // namespace

TEST(GpuTilePlan, KnowsTheChipsThatCodeIsMadeFor) {
  EXPECT_EQ(findGpuCapabilities("sm_86")->sharedBytes, 99 << 10);
  EXPECT_EQ(findGpuCapabilities("sm_90")->matrixUnit, MatrixUnit::Mma);
  EXPECT_EQ(findGpuCapabilities("sm_90a")->matrixUnit, MatrixUnit::Wgmma);
  EXPECT_EQ(findGpuCapabilities("gfx942")->subgroupSize, 64u);
  EXPECT_EQ(findGpuCapabilities("gfx803"), nullptr);
  EXPECT_EQ(findGpuCapabilities(""), nullptr);
}

TEST(GpuTilePlan, ChoosesTilesByHeadDim) {
  const GpuTilePlan masked = planGpuTiles(problemOf("sm_90a", 64, 2, /*skipsZeros=*/true), {});
  EXPECT_EQ(sizesOf(masked.many), (TileSizes{192, 112, 0}));
  EXPECT_EQ(masked.many.unit, MatrixUnit::Wgmma);
  EXPECT_EQ(masked.many.countThreads(), 3 * 128);
  // One warp has the few rows.
  EXPECT_EQ(sizesOf(masked.few), (TileSizes{16, 64, 0}));
  EXPECT_EQ(masked.few.unit, MatrixUnit::Mma);
  EXPECT_EQ(masked.few.countThreads(), 32);
  EXPECT_EQ(masked.split, 512);
  GpuTileProblem biased = problemOf("sm_90a", 64, 2, /*skipsZeros=*/true);
  biased.scores.hasBias = true;
  EXPECT_EQ(sizesOf(planGpuTiles(biased, {}).many), (TileSizes{128, 64, 0}));
  // What belongs to each key takes registers, which two warpgroups have more of: 224 - 44 - 64 for sums are 116 keys.
  GpuTileProblem scored = problemOf("sm_90a", 128, 2, /*skipsZeros=*/true);
  scored.scores.hasScore = true;
  EXPECT_EQ(sizesOf(planGpuTiles(scored, {}).many), (TileSizes{128, 112, 0}));
  // And more where that is read, also by the producer, who looks through it: 200 - 72 - 64 are 64.
  GpuTileProblem read = problemOf("sm_90a", 128, 2, /*skipsZeros=*/true);
  read.scores.readsKeys = true;
  EXPECT_EQ(sizesOf(planGpuTiles(read, {}).many), (TileSizes{128, 64, 0}));
  EXPECT_EQ(planGpuTiles(read, {}).few.keys, 32);
  EXPECT_EQ(getRoleRegisters(2, /*looks=*/true, /*columns=*/128).consumer, 200);
  EXPECT_EQ(getRoleRegisters(2, /*looks=*/true, /*columns=*/192).consumer, 216);
  GpuTileProblem windowed = problemOf("sm_90a", 64, 2, /*skipsZeros=*/true);
  windowed.scores.hasWindow = true;
  EXPECT_EQ(sizesOf(planGpuTiles(windowed, {}).many), (TileSizes{128, 128, 0}));
  // Heads beyond what one instruction adds up are left to warps.
  EXPECT_EQ(planGpuTiles(problemOf("sm_90a", 512, 2), {}).many.unit, MatrixUnit::Mma);
  EXPECT_EQ(sizesOf(planGpuTiles(problemOf("sm_80", 128, 2), {}).many), (TileSizes{64, 64, 0}));
  EXPECT_EQ(sizesOf(planGpuTiles(problemOf("sm_80", 256, 8), {}).many), (TileSizes{16, 16, 0}));
}

TEST(GpuTilePlan, KeepsWhatIsWanted) {
  const GpuTileProblem problem = problemOf("sm_90a", 128, 2);
  // Rows that are no warpgroup's are its warps'.
  const GpuTilePlan low = planGpuTiles(problem, {48, 0, 0});
  EXPECT_EQ(low.many.unit, MatrixUnit::Mma);
  EXPECT_EQ(low.many.queries, 48);
  EXPECT_EQ(low.rowUnit, 16);
  // Four subgroups at most; each has whole products.
  EXPECT_EQ(low.many.countSubgroups(), 3);
  EXPECT_EQ(planGpuTiles(problem, {80, 64, 0}).many.countSubgroups(), 4);
  EXPECT_EQ(planGpuTiles(problem, {80, 64, 0}).many.countRows(), 128);
  // Keys are whole products, of which the second takes them sixteen at a time; parts are whole tiles.
  EXPECT_EQ(planGpuTiles(problem, {64, 40, 100}).many.keys, 48);
  EXPECT_EQ(planGpuTiles(problem, {64, 40, 100}).split, 144);
  EXPECT_EQ(planGpuTiles(problemOf("sm_80", 64, 2), {64, 40, 0}).many.keys, 48);
  EXPECT_EQ(planGpuTiles(problemOf("gfx942", 64, 2), {64, 40, 0}).many.keys, 64);
  EXPECT_EQ(planGpuTiles(problemOf("sm_80", 64, 4), {64, 40, 0}).many.keys, 40);
  EXPECT_EQ(planGpuTiles(problemOf("sm_80", 64, 4), {64, 44, 0}).many.keys, 48);
  // One wave has a word of its own, for which there is no room beside 64 keys and values of 256 columns.
  const GpuTilePlan full = planGpuTiles(problemOf("gfx90a", 256, 2), {64, 64, 0});
  EXPECT_EQ(full.sharedBytes, 64 << 10);
  EXPECT_EQ(sizesOf(full.few), (TileSizes{16, 32, 0}));
  // What is not possible is said, not changed.
  EXPECT_EQ(planGpuTiles(problem, {24, 64, 0}).many.queries, 24);
  EXPECT_GT(planGpuTiles(problemOf("sm_80", 128, 2), {64, 512, 0}).sharedBytes, 99 << 10);
}

TEST(GpuTilePlan, CountsWhatLiesInSharedMemory) {
  // Two tiles of keys and values each, rows, a word, and weights where zeros have to be skipped.
  EXPECT_EQ(planGpuTiles(problemOf("sm_90a", 128, 2), {128, 128, 0}).sharedBytes, (4 * 32 + 32 + 1) << 10);
  EXPECT_EQ(planGpuTiles(problemOf("sm_90a", 128, 2, true), {128, 128, 0}).sharedBytes, (4 * 32 + 32 + 1 + 32) << 10);
  // Values of AMD's units by columns: 128 rows of 64 elements beside 64 of 128. The word is where keys were, unless a
  // single wave takes too many of the next ones along.
  EXPECT_EQ(planGpuTiles(problemOf("gfx942", 128, 2), {128, 64, 0}).sharedBytes, (16 + 16) << 10);
  EXPECT_EQ(planGpuTiles(problemOf("gfx942", 128, 2), {16, 64, 0}).sharedBytes, (16 + 16 + 1) << 10);
  // WMMA's wide rows, too: beside 64 registers of sums, 16 each of scores, of weights and of copies, 32 of operands and
  // 28 others, 64 of rows are too many for seven eighths of them.
  const GpuTilePlan wide = planGpuTiles(problemOf("gfx1100", 128, 2), {64, 32, 0});
  EXPECT_EQ(wide.queries, QueryPlace::Shared);
  EXPECT_EQ(wide.sharedBytes, (8 + 8 + 16) << 10);
  EXPECT_EQ(wide.registers, 64 + 16 + 16 + 16 + 32 + 28);
  EXPECT_EQ(planGpuTiles(problemOf("gfx1100", 64, 2), {64, 32, 0}).sharedBytes, (4 + 4) << 10);
  // float32 of 256 columns: 32 rows of a kilobyte do not fit beside keys, values, weights and a word, and stay outside.
  const GpuTilePlan outside = planGpuTiles(problemOf("gfx90a", 256, 4), {32, 16, 0});
  EXPECT_EQ(outside.queries, QueryPlace::Global);
  EXPECT_EQ(outside.sharedBytes, (16 + 16 + 2 + 1) << 10);
  EXPECT_EQ(planGpuTiles(problemOf("gfx90a", 64, 4), {32, 16, 0}).sharedBytes, (4 + 4 + 2 + 1 + 8) << 10);
  // mma.sync: rows and results pass through.
  EXPECT_EQ(planGpuTiles(problemOf("sm_80", 128, 2), {192, 16, 0}).sharedBytes, (4 + 48) << 10);
  // Rows that registers do not hold stay.
  EXPECT_EQ(planGpuTiles(problemOf("sm_80", 256, 2), {64, 32, 0}).queries, QueryPlace::Shared);
}

TEST(GpuTilePlan, TakesFewKeysWhereRowsInPlaceMeetAMaskThatReads) {
  GpuTileProblem problem = problemOf("sm_80", 256, 4, /*skipsZeros=*/true);
  EXPECT_EQ(sizesOf(planGpuTiles(problem, {}).many), (TileSizes{64, 32, 0}));
  EXPECT_EQ(planGpuTiles(problem, {}).queries, QueryPlace::Global);
  problem.scores.readsKeys = true;
  EXPECT_EQ(sizesOf(planGpuTiles(problem, {}).many), (TileSizes{64, 8, 0}));
}

TEST(GpuTilePlan, LeavesRegistersForMasksThatReadKeysTogether) {
  auto keysOf = [](int64_t headDim, bool often) {
    GpuTileProblem problem = problemOf("sm_90a", headDim, 2, /*skipsZeros=*/true);
    problem.scores.readsKeys = true;
    problem.scores.readsKeysOften = often;
    return planGpuTiles(problem, {}).many.keys;
  };
  EXPECT_EQ(keysOf(64, false), 96);
  EXPECT_EQ(keysOf(64, true), 64);
  EXPECT_EQ(keysOf(128, true), 48);
  // Of 40 columns the third step of sixteen is half empty, and takes registers like a whole one.
  EXPECT_EQ(keysOf(40, false), 80);
  EXPECT_EQ(keysOf(48, false), 96);
}

TEST(GpuTilePlan, CountsTheBlocksThatRegistersAreEnoughFor) {
  const GpuTilePlan plan = planGpuTiles(problemOf("sm_80", 64, 2, /*skipsZeros=*/true), {});
  // Sums, scores, weights and queries are 96 registers, all else 64; three blocks have 170 a thread.
  EXPECT_EQ(plan.many.countBlocksAtATime(plan.queries, 0), 3);
  EXPECT_EQ(plan.many.countBlocksAtATime(plan.queries, 10), 3);
  EXPECT_EQ(plan.many.countBlocksAtATime(plan.queries, 11), 2);
  EXPECT_EQ(plan.few.countBlocksAtATime(plan.queries, 0), 1);
  // Sums of two words each take twice as many, and their exponentials are polynomials.
  const GpuTilePlan wide = planGpuTiles(problemOf("sm_80", 40, 8), {}),
                    narrow = planGpuTiles(problemOf("sm_80", 40, 4), {});
  EXPECT_EQ(wide.many.countBlocksAtATime(wide.queries, 0), 2);
  EXPECT_EQ(narrow.many.countBlocksAtATime(narrow.queries, 0), 4);
}

TEST(GpuTilePlan, GivesTf32WordsForElements) {
  auto planOf = [](const char *chip, int64_t headDim) {
    GpuTileProblem problem = problemOf(chip, headDim, 4, /*skipsZeros=*/true);
    problem.unit = MatrixUnit::Mma;
    const GpuTilePlan plan = planGpuTiles(problem, {});
    EXPECT_LE(plan.sharedBytes, problem.sharedBytes) << chip << " D" << headDim;
    EXPECT_EQ(plan.few.countThreads(), 32);
    return plan;
  };
  // Sums, scores, weights, rows of queries: a half of a word a column each.
  const GpuTilePlan narrow = planOf("sm_80", 64);
  EXPECT_EQ(sizesOf(narrow.many), (TileSizes{64, 64, 0}));
  EXPECT_EQ(narrow.registers, 32 + 32 + 32 + 32 + 32);
  EXPECT_EQ(narrow.sharedBytes, (16 + 16 + 16 + 1) << 10);
  EXPECT_EQ(sizesOf(planOf("sm_80", 128).many), (TileSizes{64, 32, 0}));
  EXPECT_EQ(planOf("sm_80", 96).queries, QueryPlace::Registers);
  // Wide rows stay in shared memory, where there is room for them.
  EXPECT_EQ(planOf("sm_80", 128).queries, QueryPlace::Shared);
  EXPECT_EQ(sizesOf(planOf("sm_80", 192).many), (TileSizes{64, 16, 0}));
  EXPECT_EQ(sizesOf(planOf("sm_80", 256).many), (TileSizes{32, 16, 0}));
  EXPECT_EQ(sizesOf(planOf("sm_90a", 256).many), (TileSizes{64, 32, 0}));
  EXPECT_EQ(planOf("sm_90a", 256).many.unit, MatrixUnit::Mma);
}

TEST(GpuTilePlan, DefaultsFitEveryChip) {
  for (const char *chip : {"sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100"})
    for (int64_t headDim = 8; headDim <= 256; headDim += 8)
      for (int64_t bytes : {2, 4, 8})
        for (bool skipsZeros : {false, true}) {
          const GpuTileProblem problem = problemOf(chip, headDim, bytes, skipsZeros);
          const GpuTilePlan plan = planGpuTiles(problem, {});
          const BlockTiles &few = plan.few;
          EXPECT_LE(plan.sharedBytes, problem.sharedBytes) << chip << " D" << headDim << " " << bytes << " bytes";
          EXPECT_LE(few.countSharedBytes(few.placeQueries(problem.sharedBytes, problem.registers)), problem.sharedBytes)
              << chip << " D" << headDim << " " << bytes << " bytes";
          EXPECT_EQ(plan.many.queries % plan.rowUnit, 0);
          EXPECT_EQ(plan.many.keys % plan.keyUnit, 0);
          EXPECT_EQ(plan.split % few.keys, 0);
          EXPECT_EQ(few.countSubgroups(), 1);
          // Its own choice is what it makes of that.
          const GpuTilePlan again = planGpuTiles(problem, {plan.many.queries, plan.many.keys, plan.split});
          EXPECT_EQ(sizesOf(again.many), sizesOf(plan.many));
          EXPECT_EQ(again.sharedBytes, plan.sharedBytes);
        }
}

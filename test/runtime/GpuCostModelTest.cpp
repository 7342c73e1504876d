//===- GpuCostModelTest.cpp - which tiles a GPU can run, and which are fast ----===//

#include "runtime/GpuCostModel.h"
#include "runtime/DeviceFacts.h"
#include "runtime/TunedKernel.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace flashc;

namespace {
AttentionShape shapeOf(int64_t headDim, int64_t storedBytes, const std::string &target = "") {
  AttentionShape shape;
  shape.headDim = shape.valueHeadDim = headDim;
  shape.storedBytes = storedBytes;
  shape.computeBytes = storedBytes == 8 ? 8 : 4;
  shape.operandBytes = shape.computeBytes;
  shape.batch = 1;
  shape.heads = shape.kvHeads = 32;
  shape.queries = shape.keys = 4096;
  shape.target = target;
  return shape;
}

/// One query of each of `heads` heads, which share eight key heads.
AttentionShape decodeOf(int64_t heads, int64_t keys) {
  AttentionShape shape = shapeOf(128, 2);
  shape.queries = 1;
  shape.keys = keys;
  shape.heads = heads;
  shape.kvHeads = 8;
  return shape;
}

GpuCostModel modelOf(const char *chip) { return GpuCostModel(*findGpuChip(chip)); }
} // namespace

TEST(GpuCostModel, SaysWhatIsIllegalAndWhatWouldBeLegal) {
  const GpuCostModel a100 = modelOf("sm_80");
  const AttentionShape shape = shapeOf(128, 2);
  EXPECT_EQ(a100.whyIllegal(shape, {64, 64, 0}), "");
  EXPECT_EQ(a100.whyIllegal(shape, {24, 64, 0}),
            "expected query rows in multiples of 16, what one product on sm_80 has, got 24");
  EXPECT_EQ(a100.whyIllegal(shape, {64, 40, 0}),
            "expected keys in multiples of 16, what one product on sm_80 has, got 40");
  EXPECT_EQ(a100.whyIllegal(shape, {0, 64, 0}), "expected tiles of at least 1 row and 1 key, got 0 x 64");
  EXPECT_EQ(a100.whyIllegal(shape, {64, 64, 100}), "expected a split in multiples of the 64 keys of a tile, got 100");
  // Four warps have 32 rows each: a register of a thread for each column.
  EXPECT_EQ(a100.whyIllegal(shape, {128, 128, 0}),
            "expected at most the 255 registers of a thread on sm_80, got 256 for the sums and scores of tiles of "
            "128 x 128 and head dim 128");
  // Keys and values of 192 rows of 256 bytes, weights of 64 rows of 384 bytes, and a kilobyte: 2 * 48 + 24 + 1 KiB.
  EXPECT_EQ(a100.whyIllegal(shape, {64, 192, 0}),
            "expected at most the 101376 bytes of shared memory of a block on sm_80, got 123904 for tiles of 64 x 192 "
            "and head dims 128 and 128");
  // A thread has an eighth of four rows' sums and scores, each in two registers.
  AttentionShape doubles = shapeOf(8, 8);
  doubles.valueHeadDim = 256;
  EXPECT_EQ(modelOf("sm_90a").whyIllegal(doubles, {64, 32, 0}),
            "expected at most the 255 registers of a thread on sm_90a, got 288 for the sums and scores of tiles of "
            "64 x 32 and head dim 256");
  EXPECT_EQ(modelOf("sm_90a").whyIllegal(doubles, {16, 32, 0}), "");
  AttentionShape wide = shapeOf(128, 8);
  EXPECT_EQ(a100.whyIllegal(wide, {16, 32, 0}), "");
  EXPECT_EQ(a100.whyIllegal(wide, {16, 128, 0}).substr(0, 26), "expected at most the 10137");
}

TEST(GpuCostModel, OneBlockFitsTheRegisters) {
  // Four warpgroups beside the one that copies: 65,536 / 640, in steps of 8; sums and scores of 128 and 128.
  const GpuCostModel h100 = modelOf("sm_90a");
  EXPECT_EQ(h100.whyIllegal(shapeOf(128, 2), {256, 128, 0}),
            "expected at most the 96 registers of a thread on sm_90a, got 128 for the sums and scores of tiles of "
            "256 x 128 and head dim 128");
  EXPECT_EQ(h100.whyIllegal(shapeOf(128, 2), {192, 64, 0}), "");
  EXPECT_EQ(h100.whyIllegal(shapeOf(64, 2), {192, 128, 0}), "");
  // Four warps share a tile, however high it is.
  EXPECT_EQ(modelOf("sm_80").whyIllegal(shapeOf(64, 2), {192, 64, 0}), "");
  EXPECT_LT(modelOf("sm_80").predict(shapeOf(64, 2), {128, 64, 0}),
            modelOf("sm_80").predict(shapeOf(64, 2), {96, 64, 0})); // one of the four would have nothing to do
  EXPECT_EQ(modelOf("sm_80").whyIllegal(shapeOf(64, 2), {320, 64, 0}).substr(0, 41),
            "expected at most the 255 registers of a t");
  // As many as two waves of a SIMD leave each other.
  EXPECT_EQ(modelOf("gfx942").whyIllegal(shapeOf(64, 2), {512, 96, 0}).substr(0, 41),
            "expected at most the 256 registers of a t");
}

TEST(GpuCostModel, KnowsWhatIsDoneToScores) {
  // Of narrow heads that takes longer than their products, and one vector unit does it all.
  const GpuCostModel mi300 = modelOf("gfx942");
  const double plain = mi300.predict(shapeOf(32, 2), {128, 64, 0});
  for (bool ScoreTraits::*has :
       {&ScoreTraits::hasScore, &ScoreTraits::hasBias, &ScoreTraits::hasSoftcap, &ScoreTraits::readsKeys}) {
    AttentionShape shape = shapeOf(32, 2);
    shape.scores.*has = true;
    EXPECT_GT(mi300.predict(shape, {128, 64, 0}), plain);
  }
  // Where the producer looks through what is said of keys, the three others have 144 registers, else 152: 64 columns'
  // sums and 88 keys' scores.
  AttentionShape looking = shapeOf(128, 2);
  EXPECT_EQ(modelOf("sm_90a").whyIllegal(looking, {192, 176, 0}), "");
  looking.scores.readsKeys = true;
  EXPECT_EQ(modelOf("sm_90a").whyIllegal(looking, {192, 176, 0}),
            "expected at most the 144 registers of a thread on sm_90a, got 152 for the sums and scores of tiles of "
            "192 x 176 and head dim 128");
}

TEST(GpuCostModel, Tf32IsAUnitsOwn) {
  AttentionShape shape = shapeOf(128, 4);
  const GpuCostModel a100 = modelOf("sm_80");
  const double exact = a100.predict(shape, {64, 32, 0});
  shape.tf32 = true;
  EXPECT_EQ(a100.whyIllegal(shape, {64, 40, 0}),
            "expected keys in multiples of 16, what one product on sm_80 has, got 40");
  EXPECT_LT(2 * a100.predict(shape, {64, 32, 0}), exact);
  EXPECT_LT(a100.predict(shapeOf(128, 2), {64, 32, 0}), a100.predict(shape, {64, 32, 0}));
}

TEST(GpuCostModel, ATargetsRulesAndNotTheDevices) {
  // Code for sm_80 on a device that could run sm_90a's.
  const GpuCostModel h100 = modelOf("sm_90a");
  EXPECT_NE(h100.whyIllegal(shapeOf(128, 2), {64, 192, 0}),
            h100.whyIllegal(shapeOf(128, 2, "nvptx:sm_80"), {64, 192, 0}));
  // Fewer rows than a warpgroup's are its warps'.
  EXPECT_EQ(h100.whyIllegal(shapeOf(128, 2), {16, 64, 0}), "");
  EXPECT_EQ(h100.whyIllegal(shapeOf(128, 2), {24, 64, 0}),
            "expected query rows in multiples of 16, what one product on sm_90a has, got 24");
  EXPECT_EQ(h100.whyIllegal(shapeOf(128, 2, "nvptx:sm_80"), {16, 64, 0}), "");
  EXPECT_NE(h100.whyIllegal(shapeOf(128, 2, "nvptx:sm_80"), {128, 192, 0}), "");
  EXPECT_EQ(h100.whyIllegal(shapeOf(128, 2), {128, 176, 0}), "");
  // A device with less shared memory than its chip's largest.
  GpuLimits limits;
  limits.sharedPerBlock = 48 << 10;
  EXPECT_NE(GpuCostModel(*findGpuChip("sm_80"), limits).whyIllegal(shapeOf(128, 2), {64, 128, 0}), "");
}

TEST(GpuCostModel, RanksLegalTilesOnEveryChip) {
  for (const char *chip : {"sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100"})
    for (int64_t headDim : {8, 40, 64, 96, 128, 192, 256})
      for (int64_t bytes : {2, 4, 8}) {
        if (bytes == 2 && headDim == 256 && std::string(chip) == "gfx1100")
          continue; // what WMMA's smallest tiles take is more than there is
        const GpuCostModel model = modelOf(chip);
        const AttentionShape shape = shapeOf(headDim, bytes);
        const std::vector<RankedTiles> ranked = model.rank(shape);
        ASSERT_FALSE(ranked.empty()) << chip << " D" << headDim << " " << bytes << " bytes";
        EXPECT_TRUE(std::is_sorted(ranked.begin(), ranked.end(),
                                   [](const RankedTiles &a, const RankedTiles &b) { return a.seconds < b.seconds; }));
        for (const RankedTiles &each : ranked) {
          EXPECT_EQ(model.whyIllegal(shape, each.tiles), "");
          EXPECT_GT(each.seconds, 0);
        }
      }
}

TEST(GpuCostModel, IsNeverFasterThanTheProducts) {
  // 2 * 32 heads * 4,096 * 4,096 * 256 multiply-adds' operations at 312 and 989 TFLOP/s.
  const double flops = 2.0 * 32 * 4096 * 4096 * 256;
  for (auto [chip, peak] :
       {std::pair("sm_80", 312e12), std::pair("sm_90a", 989.5e12), std::pair("gfx942", 1307.5e12)}) {
    const double best = modelOf(chip).rank(shapeOf(128, 2)).front().seconds;
    EXPECT_GT(best, flops / peak) << chip;
    EXPECT_LT(best, 6 * flops / peak) << chip;
  }
  // Half of the work under a diagonal, and a little more.
  AttentionShape causal = shapeOf(128, 2);
  causal.causal = true;
  const GpuCostModel a100 = modelOf("sm_80");
  const double full = a100.predict(shapeOf(128, 2), {64, 64, 0}), half = a100.predict(causal, {64, 64, 0});
  EXPECT_GT(half, 0.45 * full);
  EXPECT_LT(half, 0.65 * full);
}

TEST(GpuCostModel, WideTilesPayOnHopper) {
  // A warpgroup's products with 128 keys each beside those with 16.
  const GpuCostModel h100 = modelOf("sm_90a");
  EXPECT_LT(h100.predict(shapeOf(128, 2), {128, 128, 0}), h100.predict(shapeOf(128, 2), {64, 16, 0}));
  // And with those of its warps.
  for (int64_t headDim : {64, 96, 128, 192, 256})
    EXPECT_EQ(h100.rank(shapeOf(headDim, 2)).front().tiles.rows % 64, 0) << headDim;
}

TEST(GpuCostModel, FewRowsChooseASplit) {
  const GpuCostModel a100 = modelOf("sm_80");
  AttentionShape decode = decodeOf(32, 32768);
  ASSERT_TRUE(a100.isFew(decode));
  const std::vector<RankedTiles> ranked = a100.rank(decode);
  ASSERT_GT(ranked.size(), 3u);
  for (const RankedTiles &each : ranked) {
    EXPECT_EQ(each.tiles.rows, ranked.front().tiles.rows);
    EXPECT_EQ(each.tiles.split % each.tiles.keys, 0);
    EXPECT_GT(each.tiles.split, 0);
  }
  // Eight heads in one part each leave most of 108 multiprocessors without work.
  EXPECT_LT(ranked.front().tiles.split, 8192);
  // No faster than the memory: 8 * 32,768 * 256 elements of two bytes.
  EXPECT_GT(ranked.front().seconds, 8.0 * 32768 * 256 * 2 / 2039e9);
  // One warp's or wave's rows, which are sixteen there: of four heads, two, or one at a time.
  for (const char *chip : {"sm_80", "gfx942"})
    for (int64_t queries : {4, 5, 16}) {
      decode.queries = queries;
      EXPECT_TRUE(modelOf(chip).isFew(decode)) << chip << " " << queries;
    }
  decode.queries = 17;
  EXPECT_FALSE(a100.isFew(decode));
  EXPECT_FALSE(modelOf("gfx942").isFew(decode));
}

TEST(GpuCostModel, HeadsThatDoNotFitATileTogetherReadKeysAgain) {
  const GpuCostModel h100 = modelOf("sm_90a");
  const auto secondsOf = [&](int64_t heads) {
    AttentionShape decode = decodeOf(heads, 8192);
    decode.batch = 64;
    return h100.rank(decode).front().seconds;
  };
  EXPECT_LT(secondsOf(128), secondsOf(256));
  EXPECT_LT(secondsOf(256), 2.1 * secondsOf(128));
}

TEST(GpuCostModel, KeysNameTheGpu) {
  TunedKernel kernel;
  kernel.dtype = "bf16";
  kernel.headDim = kernel.valueHeadDim = 128;
  kernel.target = "nvptx:sm_90a";
  EXPECT_EQ(kernel.shape({1, 8, 8, 128, 128}).target, "nvptx:sm_90a");
  EXPECT_EQ(kernel.key(), "forward bf16 d128 for nvptx:sm_90a");
}

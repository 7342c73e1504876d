//===- CostModelTest.cpp - ranking of tile sizes --------------------------------===//

#include "runtime/CostModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

using namespace flashc;

namespace {
AttentionShape shapeOf(int64_t headDim, int64_t queries, int64_t keys) {
  AttentionShape shape;
  shape.headDim = shape.valueHeadDim = headDim;
  shape.batch = 1;
  shape.heads = shape.kvHeads = 8;
  shape.queries = queries;
  shape.keys = keys;
  return shape;
}

std::vector<AttentionShape> manyShapes() {
  std::vector<AttentionShape> shapes;
  for (int64_t headDim : {1, 40, 64, 128, 256, 4096})
    for (int64_t queries : {0, 1, 16, 17, 197, 4096})
      for (int64_t keys : {0, 1, 197, 1024, 131072})
        for (int64_t bytes : {4, 8}) {
          AttentionShape shape = shapeOf(headDim, queries, keys);
          shape.computeBytes = shape.operandBytes = shape.storedBytes = bytes;
          shapes.push_back(shape);
        }
  shapes.emplace_back();
  return shapes;
}

std::vector<CpuCostModel> manyModels() {
  CpuLimits amx = CpuLimits::nominal(64, 32, 48 << 10, 2 << 20);
  amx.tileGflops = 3800;
  return {CpuCostModel(CpuLimits::nominal(64, 32, 48 << 10, 1 << 20)),
          CpuCostModel(CpuLimits::nominal(32, 16, 32 << 10, 256 << 10)),
          CpuCostModel(CpuLimits::nominal(16, 16, 16 << 10, 128 << 10)),
          CpuCostModel(CpuLimits::nominal(16, 32, 64 << 10, 512 << 10)), CpuCostModel(amx)};
}

TEST(CostModel, ShapesAreCompletedAndForgotten) {
  AttentionShape shape;
  shape.heads = 12;
  shape.queries = 2048;
  const AttentionShape known = shape.completed(8, 1024);
  EXPECT_EQ(known.batch, 1);
  EXPECT_EQ(known.heads, 12);
  EXPECT_EQ(known.kvHeads, 12);
  EXPECT_EQ(known.queries, 2048);
  EXPECT_EQ(known.keys, 2048);
  // Not fewer keys than the middling length.
  EXPECT_EQ(shapeOf(64, 1, -1).completed(8, 1024).keys, 1024);
  EXPECT_EQ(AttentionShape().completed(8, 1024).heads, 8);
  const AttentionShape any = known.ofAnySize();
  EXPECT_EQ(any.batch, 1);
  EXPECT_EQ(std::max({any.heads, any.kvHeads, any.queries, any.keys}), -1);
}

TEST(CostModel, RanksLegalTilesOnlyFastestFirst) {
  for (const CpuCostModel &model : manyModels())
    for (const AttentionShape &shape : manyShapes()) {
      const std::vector<RankedTiles> ranked = model.rank(shape);
      ASSERT_FALSE(ranked.empty());
      std::set<TileSizes> seen;
      for (size_t i = 0; i < ranked.size(); ++i) {
        EXPECT_EQ(model.whyIllegal(shape, ranked[i].tiles), "");
        EXPECT_TRUE(std::isfinite(ranked[i].seconds));
        EXPECT_GT(ranked[i].seconds, 0);
        EXPECT_EQ(ranked[i].seconds, model.predict(shape, ranked[i].tiles));
        EXPECT_TRUE(seen.insert(ranked[i].tiles).second) << "listed twice";
        if (i)
          EXPECT_LE(ranked[i - 1].seconds, ranked[i].seconds);
      }
    }
}

TEST(CostModel, SaysWhyTilesAreIllegal) {
  const CpuCostModel model(CpuLimits::nominal(64, 32, 48 << 10, 1 << 20));
  const AttentionShape shape = shapeOf(64, 1024, 1024);
  EXPECT_EQ(model.whyIllegal(shape, {24, 512, 0}), "");
  EXPECT_EQ(model.whyIllegal(shape, {0, 512, 0}), "expected tiles of at least 1 row and 1 key, got 0 x 512");
  EXPECT_EQ(model.whyIllegal(shape, {24, 100, 0}),
            "expected keys in multiples of 64, the columns of a register block, got 100");
  EXPECT_EQ(model.whyIllegal(shape, {24, 512, 700}), "expected a split in multiples of 64 keys, got 700");
  EXPECT_EQ(model.whyIllegal(shape, {1024, 512, 0}), "expected tiles of at most 262144 elements, got 1024 x 512");
  EXPECT_EQ(model.whyIllegal(shape, {384, 640, 0}), "expected at most 1048576 bytes of scratch, got 1179648");
}

TEST(CostModel, GrowsWithTheProblem) {
  for (const CpuCostModel &model : manyModels()) {
    const auto best = [&](const AttentionShape &shape) { return model.rank(shape).front().seconds; };
    for (int64_t length : {64, 197, 512, 1024, 4096})
      EXPECT_LT(best(shapeOf(64, length, length)), best(shapeOf(64, 2 * length, 2 * length)));
    EXPECT_LT(best(shapeOf(64, 1024, 1024)), best(shapeOf(128, 1024, 1024)));
    EXPECT_LT(best(shapeOf(64, 1, 4096)), best(shapeOf(64, 1, 32768)));
    AttentionShape causal = shapeOf(64, 4096, 4096);
    causal.causal = true;
    EXPECT_LT(best(causal), 0.7 * best(shapeOf(64, 4096, 4096)));
    AttentionShape window = causal;
    window.window = 128;
    EXPECT_LT(best(window), 0.5 * best(causal));
  }
}

TEST(CostModel, PredictsNoMoreThanTheMachineGives) {
  const CpuLimits limits = CpuLimits::nominal(64, 32, 48 << 10, 1 << 20);
  const CpuCostModel model(limits);
  for (int64_t headDim : {64, 128, 256}) {
    const AttentionShape shape = shapeOf(headDim, 4096, 4096);
    const double flops = 4.0 * 8 * 4096 * 4096 * static_cast<double>(headDim);
    const double rate = flops / model.rank(shape).front().seconds * 1e-9;
    EXPECT_LT(rate, limits.f32Gflops * static_cast<double>(limits.units));
    EXPECT_GT(rate, 0.6 * limits.f32Gflops * static_cast<double>(limits.units));
  }
}

TEST(CostModel, FollowsWhatWasMeasured) {
  // Wide tiles of few rows would be padding for a short sequence.
  const CpuCostModel model(CpuLimits::nominal(64, 32, 48 << 10, 1 << 20));
  EXPECT_LE(model.rank(shapeOf(64, 30, 30)).front().tiles.keys, 64);
  // Low precision products gain by their own rate.
  CpuLimits fast = CpuLimits::nominal(64, 32, 48 << 10, 1 << 20);
  AttentionShape shape = shapeOf(128, 4096, 4096);
  shape.storedBytes = shape.operandBytes = 2;
  const double widened = CpuCostModel(fast).rank(shape).front().seconds;
  fast.productGflops = 2 * fast.f32Gflops;
  EXPECT_LT(CpuCostModel(fast).rank(shape).front().seconds, 0.75 * widened);
}

TEST(CostModel, FeedsAMatrixUnitWithManyRows) {
  // The Sapphire-Rapids class: the third level gives 29 GB/s, tiles take 3.8 TFLOP/s.
  CpuLimits limits = CpuLimits::nominal(64, 32, 48 << 10, 2 << 20);
  limits.tileGflops = 3800;
  limits.l3Gbps = 29;
  AttentionShape shape = shapeOf(128, 4096, 4096);
  shape.storedBytes = shape.operandBytes = 2;
  const CpuCostModel model(limits);
  const TileSizes tiles = model.rank(shape).front().tiles;
  EXPECT_GE(tiles.rows, 128);
  EXPECT_EQ(tiles.rows % 32, 0);
  EXPECT_EQ(tiles.keys % 32, 0);
  EXPECT_LT(model.predict(shape, {128, 256, 0}), 0.8 * model.predict(shape, {32, 256, 0}));
}

TEST(CostModel, KnowsWhichRowsAreFew) {
  CpuLimits limits = CpuLimits::nominal(64, 32, 48 << 10, 1 << 20);
  const CpuCostModel model(limits);
  EXPECT_TRUE(model.isFew(shapeOf(64, 16, 20)));
  EXPECT_FALSE(model.isFew(shapeOf(64, 17, 20)));
  EXPECT_TRUE(model.isFew(shapeOf(64, 32, 512)));
  EXPECT_FALSE(model.isFew(shapeOf(64, 33, 512)));
  EXPECT_FALSE(model.isFew(shapeOf(64, -1, -1)));
  // A matrix unit does the products of more.
  limits.tileGflops = 3800;
  AttentionShape shape = shapeOf(64, 32, 512);
  shape.storedBytes = shape.operandBytes = 2;
  EXPECT_FALSE(CpuCostModel(limits).isFew(shape));
}

TEST(CostModel, SplitsAShortQueryOfOneHeadOverTheCores) {
  CpuLimits limits;
  limits.units = 8;
  limits.dramAllGbps = 150;
  AttentionShape shape = shapeOf(128, 1, 65536);
  shape.heads = shape.kvHeads = 1;
  const TileSizes tiles = CpuCostModel(limits).rank(shape).front().tiles;
  EXPECT_GT(tiles.split, 0);
  EXPECT_LE(tiles.split, 65536 / 8);
}
} // namespace

/// The passes of a GPU's target take the tiles that the cost model calls legal, as they are.
#include "TestKernels.h"

#include "compiler/DeviceCode.h"
#include "compiler/KernelSpec.h"
#include "compiler/Pipelines.h"
#include "dialects/Attention/Attention.h"
#include "runtime/GpuCostModel.h"

#include "mlir/Pass/PassManager.h"

#include <algorithm>
#include <set>

using namespace flashc;

namespace {

constexpr const char *kChips[] = {"sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100"};

struct Case {
  int32_t dtype;
  int64_t headDim;
  bool causal;
};

class GpuTileSizesTest : public flashc::test::CompilerTest {
protected:
  static AttentionShape shapeOf(const Case &test) {
    AttentionShape shape;
    shape.headDim = shape.valueHeadDim = test.headDim;
    shape.storedBytes = test.dtype == FLASHC_F64 ? 8 : test.dtype == FLASHC_F32 ? 4 : 2;
    shape.computeBytes = shape.operandBytes = test.dtype == FLASHC_F64 ? 8 : 4;
    shape.causal = test.causal;
    return shape;
  }

  /// Runs the first stages of the chip's target; whether they take `tiles`.
  mlir::OwningOpRef<mlir::ModuleOp> lower(const char *chip, const Case &test, const TileSizes &tiles,
                                          llvm::StringRef lastStage) {
    messages.clear();
    KernelSpec spec;
    spec.headDim = test.headDim;
    spec.dtype = test.dtype;
    spec.mask = test.causal ? "causal(top_left)" : "";
    spec.lse = true;
    auto module = buildKernelModule(context, spec);
    EXPECT_TRUE(mlir::succeeded(module)) << messages;
    auto emulated = target(("emulated:" + llvm::Twine(chip)).str());
    PipelineOptions options;
    options.tiles = tiles;
    options.gpu = emulated->getDevice()->getCapabilities();
    options.maskBounds = true;
    options.bf16Operands = true;
    for (const Stage &stage : emulated->getStages()) {
      mlir::PassManager pm(&context, mlir::ModuleOp::getOperationName());
      pm.enableVerifier(false);
      stage.populate(pm, options);
      if (failed(pm.run(**module)))
        return {};
      if (stage.name == lastStage)
        break;
    }
    return std::move(*module);
  }

  /// The tiles for many rows.
  static TileSizes readTiles(mlir::ModuleOp module) {
    TileSizes tiles;
    module.walk([&](attn::SdpaOp op) {
      if (attn::TilesAttr assigned = *op.getTiles(); assigned.getSplit() == 0)
        tiles = {assigned.getQueries(), assigned.getKeys(), 0};
    });
    return tiles;
  }
};

TEST_F(GpuTileSizesTest, RulesAreTheTargets) {
  for (const char *chip : kChips) {
    auto emulated = target(("emulated:" + llvm::Twine(chip)).str());
    GpuTileRules rules;
    ASSERT_TRUE(GpuTileRules::find(chip, 2, rules)) << chip;
    EXPECT_EQ(rules.sharedBytes, emulated->getDevice()->getCapabilities().sharedBytes) << chip;
  }
}

TEST_F(GpuTileSizesTest, AllLegalTilesAreTakenAsTheyAre) {
  for (const char *chip : kChips)
    for (Case test : {Case{FLASHC_BF16, 64, true}, {FLASHC_F32, 256, false}}) {
      const GpuCostModel model(*findGpuChip(chip));
      for (const RankedTiles &each : model.rank(shapeOf(test))) {
        auto module = lower(chip, test, each.tiles, "tiled");
        ASSERT_TRUE(module) << chip << ": " << each.tiles.rows << " x " << each.tiles.keys << ": " << messages;
        EXPECT_TRUE(readTiles(*module) == each.tiles) << chip << ": " << each.tiles.rows << " x " << each.tiles.keys;
      }
    }
}

TEST_F(GpuTileSizesTest, WhatIsRankedIsLowered) {
  for (const char *chip : kChips)
    for (Case test : {Case{FLASHC_BF16, 64, true},
                      {FLASHC_F16, 128, false},
                      {FLASHC_BF16, 256, true},
                      {FLASHC_F32, 256, false},
                      {FLASHC_F64, 40, true}}) {
      const GpuCostModel model(*findGpuChip(chip));
      const std::vector<RankedTiles> ranked = model.rank(shapeOf(test));
      // What WMMA's smallest tiles take there is more than there is.
      if (llvm::StringRef(chip) == "gfx1100" && test.headDim == 256 && test.dtype == FLASHC_BF16)
        continue;
      ASSERT_FALSE(ranked.empty()) << chip << " D" << test.headDim;
      auto smaller = [](const RankedTiles &a, const RankedTiles &b) {
        return a.tiles.rows * a.tiles.keys < b.tiles.rows * b.tiles.keys;
      };
      std::set<TileSizes> chosen = {ranked.front().tiles,
                                    std::min_element(ranked.begin(), ranked.end(), smaller)->tiles,
                                    std::max_element(ranked.begin(), ranked.end(), smaller)->tiles};
      for (const TileSizes &tiles : chosen)
        EXPECT_TRUE(lower(chip, test, tiles, "kernels"))
            << chip << " D" << test.headDim << ": " << tiles.rows << " x " << tiles.keys << ": "
            << llvm::StringRef(messages).split('\n').first.str();
    }
}
} // namespace

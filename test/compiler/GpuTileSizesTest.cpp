/// The plan of a GPU's tiles, the passes that lower them and the cost model that ranks them say the same.
#include "TestKernels.h"

#include "compiler/DeviceCode.h"
#include "compiler/KernelSpec.h"
#include "compiler/Pipelines.h"
#include "dialects/Attention/Attention.h"
#include "passes/GpuKernels.h"
#include "passes/GpuUnits.h"
#include "runtime/GpuCostModel.h"
#include "runtime/Rounding.h"
#include "runtime/TunedKernel.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Pass/PassManager.h"

#include <algorithm>
#include <set>

using namespace flashc;

namespace {

constexpr const char *kChips[] = {"sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100"};

/// A kernel by what tiles depend on; `what` is done to scores is one of kScores.
struct Case {
  int32_t dtype;
  int64_t headDim;
  std::string what;
  bool tf32 = false;
};

const std::string kFull, kCausal = "causal(top_left)";
/// Masks, and "bias", "score" and "softcap".
const char *const kScores[] = {"",
                               "causal(top_left)",
                               "window(100,20,bottom_right)",
                               "causal(top_left) & window(127,0,top_left)",
                               "window(-1,-1,top_left)",
                               "window(-1,5,top_left)",
                               "prefix_lm(top_left)",
                               "key_lengths",
                               "key_padding",
                               "causal(top_left) & segments",
                               "tensor",
                               "bias",
                               "score",
                               "softcap"};

std::string nameOf(const char *chip, const Case &test, const TileSizes &tiles) {
  return std::string(chip) + (test.tf32 ? " tf32 D" : std::string(" ") + flashc_dtype_name(test.dtype) + " D") +
         std::to_string(test.headDim) + " " + test.what + ": " + std::to_string(tiles.rows) + " x " +
         std::to_string(tiles.keys);
}

class GpuTileSizesTest : public flashc::test::CompilerTest {
protected:
  static KernelSpec specOf(const Case &test) {
    KernelSpec spec;
    spec.headDim = test.headDim;
    spec.dtype = test.dtype;
    spec.tf32 = test.tf32;
    spec.lse = true;
    if (test.what == "bias")
      spec.biasDType = FLASHC_F32;
    else if (test.what == "score")
      spec.score = test.dtype == FLASHC_F64 ? "%x = arith.addf %s, %s : f64\n attn.yield %x : f64"
                                            : "%x = arith.addf %s, %s : f32\n attn.yield %x : f32";
    else if (test.what == "softcap")
      spec.softcap = 30;
    else
      spec.mask = test.what;
    return spec;
  }

  /// What the tuner and the cost model know of a kernel: its description, as kernel.json has it.
  AttentionShape shapeOf(const Case &test) {
    llvm::json::Object description = describeSpec(context, specOf(test));
    if (test.what == "bias")
      description["operands"] = llvm::json::Array{llvm::json::Object{{"name", "bias"}}};
    std::string text;
    llvm::raw_string_ostream(text) << llvm::json::Value(std::move(description));
    return TunedKernel::parse(text)->shape({-1, -1, -1, -1, -1});
  }

  GpuTilePlan planOf(const char *chip, const Case &test, const TileSizes &tiles) {
    return planGpuTiles(getTileProblem(shapeOf(test), *findGpuCapabilities(chip)), tiles);
  }

  /// Runs the stages of the chip's target up to `lastStage`; null where they do not take `tiles`.
  mlir::OwningOpRef<mlir::ModuleOp> lower(const char *chip, const Case &test, const TileSizes &tiles,
                                          llvm::StringRef lastStage) {
    messages.clear();
    auto module = buildKernelModule(context, specOf(test));
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

  /// The tiles for many rows, or for few.
  static TileSizes readTiles(mlir::ModuleOp module, bool few = false) {
    TileSizes tiles;
    module.walk([&](attn::SdpaOp op) {
      attn::TilesAttr assigned = *op.getTiles();
      if ((assigned.getSplit() != 0) == few)
        tiles = {assigned.getQueries(), assigned.getKeys(), assigned.getSplit()};
    });
    return tiles;
  }
};

TEST_F(GpuTileSizesTest, CapabilitiesAreTheTargets) {
  for (const char *chip : kChips) {
    auto emulated = target(("emulated:" + llvm::Twine(chip)).str());
    const GpuCapabilities &gpu = emulated->getDevice()->getCapabilities();
    EXPECT_EQ(findGpuCapabilities(chip)->matrixUnit, gpu.matrixUnit) << chip;
    EXPECT_EQ(findGpuCapabilities(chip)->sharedBytes, gpu.sharedBytes) << chip;
    EXPECT_EQ(gpu.subgroupSize, static_cast<unsigned>(findGpuChip(chip)->subgroupSize)) << chip;
  }
}

TEST_F(GpuTileSizesTest, LayoutsHaveThePlansBlocks) {
  context.loadDialect<tile::TileDialect>();
  for (MatrixUnit unit : {MatrixUnit::Mma, MatrixUnit::Wgmma, MatrixUnit::Mfma, MatrixUnit::Wmma})
    for (int64_t rows : {16, 64, 128}) {
      const std::string name = toString(unit).str() + ", " + std::to_string(rows) + " rows";
      tile::FragmentLayoutAttr sums = getAccumulatorLayout(&context, unit, /*subgroupSize=*/32, /*warps=*/1, rows);
      const FragmentBlock ofSums = getUnitSums(unit, rows);
      EXPECT_EQ(sums.getBlock(), llvm::ArrayRef<int64_t>({ofSums.rows, ofSums.columns})) << name;
      EXPECT_EQ(sums.getBlockElements(), ofSums.elements) << name;
      EXPECT_EQ(sums.getSubgroupSize(), getUnitThreads(unit, 32)) << name;
      for (int64_t bytes : {2, 4}) {
        if (bytes == 4 && unit != MatrixUnit::Mma) // tf32 is NVIDIA's warps' alone
          continue;
        const FragmentBlock ofLeft = getUnitLeft(unit, ofSums.rows, bytes);
        for (bool transposed : {false, true}) {
          tile::FragmentLayoutAttr left = getLhsLayout(unit, sums, bytes, transposed);
          EXPECT_EQ(left.getBlock(), llvm::ArrayRef<int64_t>({ofLeft.rows, ofLeft.columns})) << name;
          EXPECT_EQ(left.getBlockElements(), ofLeft.elements) << name;
          EXPECT_EQ(left.getSubgroupSize(), getUnitThreads(unit, 32)) << name;
        }
      }
    }
  for (unsigned subgroupSize : {32, 64})
    for (ElementBlock block : {ElementBlock{4, 4}, {2, 1}, {1, 2}}) {
      tile::FragmentLayoutAttr layout = getElementLayout(&context, block, subgroupSize, /*warps=*/2);
      const FragmentBlock whole = getSubgroupBlock(block, subgroupSize);
      EXPECT_EQ(layout.getBlock(), llvm::ArrayRef<int64_t>({whole.rows, whole.columns}));
      EXPECT_EQ(layout.getBlockElements(), whole.elements);
      EXPECT_EQ(layout.getSubgroupSize(), subgroupSize);
    }
}

TEST_F(GpuTileSizesTest, TilesInSharedMemoryHaveThePlansSize) {
  context.loadDialect<tile::TileDialect>();
  for (int64_t rows : {16, 48, 64})
    for (int64_t columns : {8, 32, 40, 64, 96, 256})
      for (int64_t bytes : {2, 4, 8}) {
        tile::SharedLayoutAttr layout =
            getSharedLayout(&context, {rows, columns}, bytes, MatrixUnit::None, /*transposed=*/false);
        EXPECT_EQ(roundUp(layout.getBytes({rows, columns}, bytes), kSharedAlignment),
                  countTileBytes(rows, columns, bytes))
            << rows << " x " << columns << ", " << bytes << " bytes";
      }
}

TEST_F(GpuTileSizesTest, DefaultsAreThePlans) {
  struct Element {
    int32_t dtype;
    bool tf32;
  };
  for (const char *chip : kChips)
    for (Element element : {Element{FLASHC_BF16, false}, {FLASHC_F32, false}, {FLASHC_F32, true}, {FLASHC_F64, false}})
      for (int64_t headDim : {8, 40, 64, 96, 128, 192, 256})
        for (const char *what : kScores) {
          if (element.tf32 && !takesTf32(findGpuCapabilities(chip)->matrixUnit))
            continue;
          const Case test{element.dtype, headDim, what, element.tf32};
          auto module = lower(chip, test, {}, "tiled");
          ASSERT_TRUE(module) << nameOf(chip, test, {}) << messages;
          const GpuTilePlan plan = planOf(chip, test, {});
          EXPECT_EQ(readTiles(*module), (TileSizes{plan.many.queries, plan.many.keys, 0})) << nameOf(chip, test, {});
          EXPECT_EQ(readTiles(*module, /*few=*/true), (TileSizes{plan.few.queries, plan.few.keys, plan.split}))
              << nameOf(chip, test, {});
        }
}

TEST_F(GpuTileSizesTest, WhatIsLegalIsTakenAsItIsAndNothingElse) {
  const TileSizes grid[] = {{16, 16, 0},  {16, 64, 64},  {24, 64, 0},  {32, 40, 0},  {64, 48, 96},  {64, 512, 0},
                            {128, 64, 0}, {128, 176, 0}, {192, 96, 0}, {256, 32, 0}, {64, 64, 128}, {40, 32, 0}};
  for (const char *chip : kChips)
    for (Case test : {Case{FLASHC_BF16, 64, kFull},
                      {FLASHC_F16, 256, kCausal},
                      {FLASHC_F32, 128, kCausal},
                      {FLASHC_F64, 72, kFull}})
      for (const TileSizes &tiles : grid) {
        const std::string why = GpuCostModel(*findGpuChip(chip)).whyIllegal(shapeOf(test), tiles);
        auto module = lower(chip, test, tiles, "tiled");
        const TileSizes many = module ? readTiles(*module) : TileSizes();
        const bool same = many.rows == tiles.rows && many.keys == tiles.keys;
        // Where an assembler gives registers, the passes do not count them: such tiles are right, and slow.
        const bool isOfAssembler = !takesColumns(planOf(chip, test, tiles).many.unit);
        const bool isSlow = isOfAssembler && why.find("registers of a thread") != std::string::npos;
        EXPECT_EQ(why.empty() || isSlow, same) << nameOf(chip, test, tiles) << ": model '" << why
                                               << "', passes: " << many.rows << " x " << many.keys << " " << messages;
      }
}

TEST_F(GpuTileSizesTest, AllLegalTilesAreTakenAsTheyAre) {
  for (const char *chip : kChips)
    for (Case test : {Case{FLASHC_BF16, 64, kCausal}, {FLASHC_BF16, 128, "segments"}, {FLASHC_F32, 256, kFull}}) {
      const GpuCostModel model(*findGpuChip(chip));
      for (const RankedTiles &each : model.rank(shapeOf(test))) {
        auto module = lower(chip, test, each.tiles, "tiled");
        ASSERT_TRUE(module) << nameOf(chip, test, each.tiles) << ": " << messages;
        EXPECT_TRUE(readTiles(*module) == each.tiles) << nameOf(chip, test, each.tiles);
      }
    }
}

TEST_F(GpuTileSizesTest, WhatIsRankedIsLoweredInThePlansMemory) {
  for (const char *chip : kChips)
    for (Case test : {Case{FLASHC_BF16, 8, kCausal},
                      {FLASHC_BF16, 64, kCausal},
                      {FLASHC_BF16, 96, "bias"},
                      {FLASHC_F16, 128, kFull},
                      {FLASHC_BF16, 256, kCausal},
                      {FLASHC_F32, 256, kFull},
                      {FLASHC_F64, 40, kCausal}}) {
      const GpuCostModel model(*findGpuChip(chip));
      const std::vector<RankedTiles> ranked = model.rank(shapeOf(test));
      // What WMMA's smallest tiles take there is more than there is.
      if (llvm::StringRef(chip) == "gfx1100" && test.headDim == 256 && test.dtype == FLASHC_BF16)
        continue;
      ASSERT_FALSE(ranked.empty()) << chip << " D" << test.headDim;
      auto smaller = [](const RankedTiles &a, const RankedTiles &b) {
        return a.tiles.rows * a.tiles.keys < b.tiles.rows * b.tiles.keys;
      };
      std::set<TileSizes> chosen = {{},
                                    ranked.front().tiles,
                                    std::min_element(ranked.begin(), ranked.end(), smaller)->tiles,
                                    std::max_element(ranked.begin(), ranked.end(), smaller)->tiles};
      for (const TileSizes &tiles : chosen) {
        auto module = lower(chip, test, tiles, "threads");
        ASSERT_TRUE(module) << nameOf(chip, test, tiles) << ": " << llvm::StringRef(messages).split('\n').first.str();
        const GpuTilePlan plan = planOf(chip, test, tiles);
        // Where a producer feeds the others, pipes make use of all memory that there is.
        const GpuCapabilities &gpu = *findGpuCapabilities(chip);
        const int64_t ofFew = plan.few.countSharedBytes(plan.few.placeQueries(gpu.sharedBytes, gpu.registers));
        const int64_t most = gpu.tma ? gpu.sharedBytes : std::max(plan.sharedBytes, ofFew);
        EXPECT_LE(most, gpu.sharedBytes) << nameOf(chip, test, tiles);
        const int64_t threads = plan.many.countThreads(), withProducer = threads + (gpu.tma ? kWarpgroupThreads : 0);
        bool found = false;
        module->walk([&](mlir::scf::ForallOp loop) {
          auto block = loop->getAttrOfType<mlir::IntegerAttr>(kThreadsAttr);
          auto bytes = loop->getAttrOfType<mlir::IntegerAttr>(kSharedBytesAttr);
          if (!block || !bytes)
            return;
          found |= block.getInt() == threads || block.getInt() == withProducer;
          EXPECT_LE(bytes.getInt(), most) << nameOf(chip, test, tiles);
        });
        EXPECT_TRUE(found) << nameOf(chip, test, tiles) << ": no block of " << threads << " threads";
      }
    }
}
} // namespace

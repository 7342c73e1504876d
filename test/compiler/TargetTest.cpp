/// The grammar of targets and what each says of its machine.
#include "compiler/DeviceCode.h"
#include "compiler/TargetRegistry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace flashc;
using testing::HasSubstr;

namespace {
std::string errorOf(llvm::StringRef text) {
  auto target = parseTarget(text);
  EXPECT_FALSE(bool(target)) << text.str();
  return target ? "" : llvm::toString(target.takeError());
}
const CpuCapabilities &capabilitiesOf(llvm::StringRef text) {
  static std::vector<std::shared_ptr<const Target>> kept;
  kept.push_back(llvm::cantFail(parseTarget(text)));
  return kept.back()->getVariants().back().capabilities;
}

TEST(Target, LevelsDifferInTheirVectors) {
  EXPECT_EQ(capabilitiesOf("cpu:x86-64").vectorBytes, 16u);
  EXPECT_FALSE(capabilitiesOf("cpu:x86-64").fma);
  EXPECT_EQ(capabilitiesOf("cpu:x86-64-v2").vectorBytes, 16u);
  EXPECT_EQ(capabilitiesOf("cpu:x86-64-v3").vectorBytes, 32u);
  EXPECT_TRUE(capabilitiesOf("cpu:x86-64-v3").fma);
  EXPECT_EQ(capabilitiesOf("cpu:x86-64-v3").vectorRegisters, 16u);
  EXPECT_EQ(capabilitiesOf("cpu:x86-64-v4").vectorBytes, 64u);
  EXPECT_EQ(capabilitiesOf("cpu:x86-64-v4").vectorRegisters, 32u);
  EXPECT_FALSE(capabilitiesOf("cpu:x86-64-v4").bf16Dot);
  EXPECT_TRUE(capabilitiesOf("cpu:znver4").bf16Dot);
  EXPECT_TRUE(capabilitiesOf("cpu:sapphirerapids").amxBf16);
  EXPECT_EQ(capabilitiesOf("cpu:aarch64").vectorRegisters, 32u);
}

TEST(Target, FeaturesAddAndTakeAway) {
  EXPECT_TRUE(capabilitiesOf("cpu:x86-64-v4,+avx512bf16").bf16Dot);
  EXPECT_EQ(capabilitiesOf("cpu:znver4,-avx512f").vectorBytes, 32u);
  EXPECT_TRUE(capabilitiesOf("cpu:x86-64-v2,+avx2,+fma").fma);
}

TEST(Target, PlainCpuHoldsSeveralLevels) {
  auto target = llvm::cantFail(parseTarget("cpu"));
  ASSERT_EQ(target->getVariants().size(), 5u);
  EXPECT_EQ(target->getVariants()[0].name, "x86-64");
  EXPECT_EQ(target->getVariants()[1].name, "x86-64-v3");
  EXPECT_EQ(target->getVariants()[2].name, "x86-64-v4");
  EXPECT_FALSE(target->getVariants()[2].onlyForPairs);
  EXPECT_EQ(target->getVariants()[3].name, "x86-64-v4,+avx512bf16");
  EXPECT_TRUE(target->getVariants()[3].onlyForPairs);
  EXPECT_EQ(target->getVariants()[4].name, "x86-64-v4,+avx512bf16,+amx-bf16");
  EXPECT_TRUE(target->getVariants()[4].onlyForPairs);
  EXPECT_TRUE(target->getVariants()[4].capabilities.amxBf16);
  EXPECT_EQ(target->getName(), "cpu");
}

TEST(Target, NamesParseToThemselves) {
  for (llvm::StringRef text : {"cpu", "cpu:x86-64-v3", "cpu:znver4,-avx512f", "cpu:aarch64", "cpu:neoverse-v2"}) {
    auto target = llvm::cantFail(parseTarget(text));
    EXPECT_EQ(target->getName(), text);
    EXPECT_EQ(llvm::cantFail(parseTarget(target->getName()))->getVariants()[0].cpu, target->getVariants()[0].cpu);
  }
  // The host's name says all that was found, so that it can be a part of a key and be parsed elsewhere.
  auto host = llvm::cantFail(parseTarget("host"));
  auto again = parseTarget(host->getName());
  ASSERT_TRUE(bool(again)) << llvm::toString(again.takeError());
  EXPECT_EQ((*again)->getVariants()[0].features, host->getVariants()[0].features);
}

TEST(Target, GpusHaveAHostAndADevice) {
  for (llvm::StringRef text : {"nvptx:sm_80", "nvptx:sm_90a", "amdgpu:gfx90a", "amdgpu:gfx942", "amdgpu:gfx1100",
                               "emulated:sm_80", "emulated:gfx942"}) {
    auto target = llvm::cantFail(parseTarget(text));
    EXPECT_EQ(target->getName(), text);
    EXPECT_EQ(target->getArchitecture(), "x86_64");
    ASSERT_EQ(target->getVariants().size(), 1u);
    EXPECT_EQ(target->getVariants()[0].name, "x86-64");
    ASSERT_NE(target->getDevice(), nullptr);
    EXPECT_EQ(target->getDevice()->getChip(), text.split(':').second);
  }
  EXPECT_EQ(llvm::cantFail(parseTarget("cpu"))->getDevice(), nullptr);
  auto capabilities = [](llvm::StringRef text) {
    return llvm::cantFail(parseTarget(text))->getDevice()->getCapabilities();
  };
  EXPECT_EQ(capabilities("nvptx:sm_80").matrixUnit, MatrixUnit::Mma);
  EXPECT_EQ(capabilities("nvptx:sm_90a").matrixUnit, MatrixUnit::Wgmma);
  EXPECT_EQ(capabilities("nvptx:sm_90a").sharedBytes, 227 << 10);
  EXPECT_EQ(capabilities("amdgpu:gfx942").subgroupSize, 64u);
  EXPECT_EQ(capabilities("emulated:gfx1100").matrixUnit, MatrixUnit::Wmma);
}

TEST(Target, ErrorsListWhatIsKnown) {
  EXPECT_EQ(errorOf("gpu"),
            "unknown target 'gpu': expected one of cpu, host, nvptx, amdgpu, emulated, for example cpu, "
            "cpu:x86-64-v3, host, nvptx:sm_80 or amdgpu:gfx942");
  EXPECT_EQ(errorOf("nvptx:sm_70"),
            "unknown chip 'sm_70' in target 'nvptx:sm_70': expected one of sm_80, sm_86, sm_87, sm_89, sm_90, sm_90a; "
            "code for sm_80 runs on everything newer");
  EXPECT_THAT(errorOf("nvptx"), HasSubstr("unknown chip '' in target 'nvptx': expected one of sm_80"));
  EXPECT_EQ(errorOf("amdgpu:gfx906"),
            "unknown chip 'gfx906' in target 'amdgpu:gfx906': expected one of gfx90a, gfx942, gfx1100");
  EXPECT_EQ(errorOf("emulated:znver5"), "unknown chip 'znver5' in target 'emulated:znver5': expected one of sm_80, "
                                        "sm_86, sm_87, sm_89, sm_90, sm_90a, gfx90a, gfx942, gfx1100");
  EXPECT_THAT(errorOf(""), HasSubstr("unknown target ''"));
  EXPECT_THAT(errorOf("cpu:znver99"), HasSubstr("unknown CPU 'znver99' in target 'cpu:znver99': expected x86-64, "
                                                "x86-64-v2, x86-64-v3, x86-64-v4, aarch64, or a CPU that LLVM knows"));
  EXPECT_THAT(errorOf("cpu:i686"), HasSubstr("unknown CPU 'i686'"));
  EXPECT_EQ(errorOf("cpu:x86-64-v4,+avx512bf61"),
            "unknown feature '+avx512bf61' for x86_64-unknown-linux-gnu: did you mean '+avx512bf16'?");
  EXPECT_THAT(errorOf("cpu:x86-64,+nothinglikeit"), HasSubstr("for example +avx2"));
  EXPECT_EQ(errorOf("cpu:x86-64,avx2"), "malformed feature 'avx2': expected +NAME or -NAME");
  EXPECT_EQ(errorOf("host:avx2"), "target 'host' takes no detail, but 'host:avx2' was given");
}
} // namespace

// The instructions' micro-tests on the emulated chips.

#include "emulator/EmulatedGpu.h"
#include "emulator/TensorMap.h"
#include "test/emulator/MicroTest.h"

#include <gtest/gtest.h>

namespace flashc::test {
namespace {

/// Runs a micro-test; what is wrong with its outcome, or nothing.
std::string problemOf(const MicroTest &test, emulator::AsyncOrder order, uint64_t seed) {
  auto image = emulator::loadImage(test.ir, *emulator::findChip(test.chip));
  if (!image)
    return !test.finding.empty() && image.error().message.find(test.finding) != std::string::npos
               ? ""
               : image.error().message;
  // 16 bytes of alignment for the copy engine.
  auto aligned = [](std::vector<uint8_t> &storage, size_t bytes) {
    storage.resize(bytes + 16);
    return storage.data() + (-reinterpret_cast<uintptr_t>(storage.data()) & 15);
  };
  std::vector<uint8_t> inputStorage, outputStorage;
  uint8_t *input = aligned(inputStorage, test.input.size()), *output = aligned(outputStorage, test.expected.size());
  std::memcpy(input, test.input.data(), test.input.size());

  alignas(64) uint8_t map[128];
  void *params[] = {&input, &output, map};
  if (test.map) {
    flashc_tensor_map what = *test.map;
    what.address = test.mapsOutput ? output : input;
    if (auto error = emulator::encodeTensorMap(what, map))
      return error->message;
  }
  emulator::Launch launch;
  launch.kernel = "micro";
  launch.blocks = test.blocks;
  launch.threads = test.threads;
  launch.sharedBytes = test.sharedBytes;
  launch.params = params;
  launch.memory.add({reinterpret_cast<uint64_t>(input), test.input.size(), false, "in"});
  launch.memory.add({reinterpret_cast<uint64_t>(output), test.expected.size(), true, "out"});
  launch.asyncOrder = order;
  launch.seed = seed;
  auto finding = emulator::launchKernel(**image, launch);
  std::string text = finding ? finding->text() : "";
  if (!test.finding.empty())
    return text.find(test.finding) != std::string::npos
               ? ""
               : "expected a finding '" + test.finding + "', got '" + text + "'";
  if (finding)
    return text;
  return describeDifference(test, std::vector<uint8_t>(output, output + test.expected.size()));
}

class Micro : public testing::TestWithParam<MicroTest> {};

TEST_P(Micro, CompletesLate) { EXPECT_EQ(problemOf(GetParam(), emulator::AsyncOrder::Late, 0), ""); }

TEST_P(Micro, CompletesAtAnyTime) {
  for (uint64_t seed = 0; seed < 3; ++seed)
    EXPECT_EQ(problemOf(GetParam(), emulator::AsyncOrder::Random, seed), "");
}

std::string nameOf(const testing::TestParamInfo<MicroTest> &info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Block, Micro, testing::ValuesIn(blockTests()), nameOf);
INSTANTIATE_TEST_SUITE_P(Warp, Micro, testing::ValuesIn(warpTests()), nameOf);
INSTANTIATE_TEST_SUITE_P(AmdMatrix, Micro, testing::ValuesIn(amdMatrixTests()), nameOf);
INSTANTIATE_TEST_SUITE_P(AmdLanes, Micro, testing::ValuesIn(amdLaneTests()), nameOf);
INSTANTIATE_TEST_SUITE_P(Wgmma, Micro, testing::ValuesIn(wgmmaTests()), nameOf);
INSTANTIATE_TEST_SUITE_P(TensorCopies, Micro, testing::ValuesIn(tensorCopyTests()), nameOf);
INSTANTIATE_TEST_SUITE_P(Clusters, Micro, testing::ValuesIn(clusterTests()), nameOf);
INSTANTIATE_TEST_SUITE_P(Pipeline, Micro, testing::ValuesIn(pipelineTests()), nameOf);

} // namespace
} // namespace flashc::test

//===- DeviceFactsTest.cpp - what is measured of a device ----------------------===//

#include "runtime/DeviceFacts.h"
#include "test/runtime/TestFolder.h"

#include <cmath>
#include <thread>

using namespace flashc;
using flashc::test::TestFolder;

namespace {
/// A device that counts how often it is measured.
class CountingDevice final : public Device {
public:
  DeviceInfo describe() const override {
    DeviceInfo info;
    info.family = "fake";
    info.identity = identity;
    return info;
  }
  DeviceFacts measure() override {
    ++measured;
    return {{"f32-fma-gflops", 100.0}, {"dram-read-gbps", 10.0}};
  }
  std::unique_ptr<CostModel> costModel(const DeviceFacts &) const override { return nullptr; }
  Result<std::unique_ptr<LoadedKernel>> load(const Artifact &) override { return Error{FLASHC_ERROR_TARGET, "fake"}; }
  std::optional<Error> launch(const flashc_kernel &, const flashc_args &, void *) override { return std::nullopt; }
  Result<Timing> time(const flashc_kernel &, const flashc_args &, const TimeOptions &) override { return Timing(); }

  std::string identity = "fake, 1 unit";
  std::atomic<int> measured{0};
};

// Orders that hold on every machine, with room for noise; no absolute speeds.
TEST(DeviceFacts, OfTheCpuAreSane) {
  Device &cpu = cpuDevice();
  const DeviceFacts facts = cpu.measure();
  for (const auto &[name, value] : facts) {
    EXPECT_TRUE(std::isfinite(value)) << name;
    EXPECT_GE(value, 0) << name;
  }
  ASSERT_TRUE(facts.count("f32-fma-gflops") && facts.count("f64-fma-gflops") && facts.count("l1-read-gbps") &&
              facts.count("l2-read-gbps") && facts.count("dram-read-gbps") && facts.count("dram-read-gbps-all"));
  EXPECT_GT(fact(facts, "f32-fma-gflops"), 0.1);
  EXPECT_GT(fact(facts, "f32-fma-gflops"), 1.3 * fact(facts, "f64-fma-gflops"));
  EXPECT_GT(fact(facts, "l1-read-gbps"), fact(facts, "dram-read-gbps"));
  EXPECT_GT(fact(facts, "l1-bytes"), 1024);
  EXPECT_GT(fact(facts, "l2-bytes"), fact(facts, "l1-bytes"));
}

TEST(DeviceFacts, NamesWhatTheInstructionSetHas) {
  Device &cpu = cpuDevice();
  const std::string features = " " + cpu.describe().features + " ";
  const DeviceFacts facts = cpu.measure();
  EXPECT_EQ(facts.count("amx-bf16-gflops"), features.find(" amx-bf16 ") != std::string::npos);
  EXPECT_EQ(facts.count("bf16-dot-gflops"),
            features.find("512-bf16 ") != std::string::npos || features.find("neon-bf16 ") != std::string::npos);
  EXPECT_EQ(fact(facts, "no such fact", 7), 7);
}

TEST(DeviceFacts, AreMeasuredOnceAndKept) {
  TestFolder folder;
  CountingDevice device;
  {
    TuningStore store(folder.path);
    EXPECT_EQ(deviceFacts(device, store).at("f32-fma-gflops"), 100);
    EXPECT_EQ(deviceFacts(device, store), deviceFacts(device, store));
  }
  TuningStore later(folder.path);
  EXPECT_EQ(deviceFacts(device, later).at("dram-read-gbps"), 10);
  EXPECT_EQ(device.measured, 1);
  device.identity = "another";
  deviceFacts(device, later);
  EXPECT_EQ(device.measured, 2);
}

TEST(DeviceFacts, AreMeasuredOnceByManyThreads) {
  TestFolder folder;
  CountingDevice device;
  TuningStore store(folder.path);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] { EXPECT_EQ(deviceFacts(device, store).size(), 2u); });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(device.measured, 1);
}

TEST(DeviceFacts, AreKeptInMemoryWithoutAFolder) {
  TestFolder folder;
  test::writeText(folder / "file", "");
  CountingDevice device;
  TuningStore store(folder / "file");
  EXPECT_EQ(deviceFacts(device, store).size(), 2u);
  EXPECT_EQ(deviceFacts(device, store).size(), 2u);
  EXPECT_EQ(device.measured, 1);
}
} // namespace

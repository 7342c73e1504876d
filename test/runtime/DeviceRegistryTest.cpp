// The devices of a process: those that a library brings, and libraries that bring none.

#include "runtime/devices/Device.h"

#include <gmock/gmock.h>

using namespace flashc;
using ::testing::HasSubstr;

namespace {

TEST(DeviceLibrary, SaysWhyItCannotBeUsed) {
  std::optional<Error> error = loadDeviceLibrary("/no/such/devices.so");
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message, HasSubstr("/no/such/devices.so: cannot open shared object file"));
  error = loadDeviceLibrary(FAKE_CUDA);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message, std::string(FAKE_CUDA) + ": expected a library with \"flashc_device_library\"");
}

TEST(DeviceRegistry, TakesDevicesOfALibrary) {
  class Named final : public Device {
  public:
    explicit Named(const char *architecture) : architecture(architecture) {}
    DeviceInfo describe() const override {
      DeviceInfo info;
      info.name = "test:0";
      info.family = "test";
      info.architecture = architecture;
      return info;
    }
    DeviceFacts measure() override { return {}; }
    std::unique_ptr<CostModel> costModel(const DeviceFacts &) const override { return nullptr; }
    Result<std::unique_ptr<LoadedKernel>> load(const Artifact &) override { return Error{FLASHC_ERROR_TARGET, ""}; }
    std::optional<Error> launch(const flashc_kernel &, const flashc_args &, void *) override { return std::nullopt; }
    Result<Timing> time(const flashc_kernel &, const flashc_args &, const TimeOptions &) override { return Timing(); }
    const char *architecture;
  };
  EXPECT_FALSE(deviceForTarget("test:a"));
  registerDevice(std::make_unique<Named>("first"));
  Result<Device *> device = deviceForTarget("test:a");
  ASSERT_TRUE(device);
  EXPECT_EQ((*device)->describe().architecture, "first");
  const size_t count = devices().size();
  registerDevice(std::make_unique<Named>("second"));
  EXPECT_EQ(devices().size(), count) << "one of the same name takes its place";
  EXPECT_EQ((*deviceNamed("test:0"))->describe().architecture, "second");
  EXPECT_EQ(devices().front(), &cpuDevice());
}

} // namespace

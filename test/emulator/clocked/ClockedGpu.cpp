// A GPU with a clock, for tests of tuning on GPUs: an emulated chip in the place of the emulator's own, whose time is
// what its launches would take at a rate of so many blocks and bytes of shared memory a second. Loaded by
// FLASHC_DEVICE_LIBRARY.

#include "emulator/EmulatedDevice.h"

#include <cstring>

using namespace flashc;

namespace {
class ClockedGpu final : public EmulatedDevice {
public:
  using EmulatedDevice::EmulatedDevice;

  DeviceInfo describe() const override {
    DeviceInfo info = EmulatedDevice::describe();
    info.identity = "Clocked GPU, " + info.architecture + ", 4 units";
    return info;
  }
  bool hasClock() const override { return true; }

  Result<Timing> time(const flashc_kernel &kernel, const flashc_args &args, const TimeOptions &) override {
    seconds = 0;
    if (std::optional<Error> error = launch(kernel, args))
      return *error;
    return Timing{seconds, seconds, 1};
  }

protected:
  std::optional<Error> start(const flashc_device_function &function, const DeviceCall &call, int64_t blocks,
                             void *const *params, void *stream) override {
    seconds += static_cast<double>(blocks) * (1e-4 + 1e-8 * function.shared_bytes);
    return EmulatedDevice::start(function, call, blocks, params, stream);
  }

private:
  double seconds = 0;
};
} // namespace

extern "C" __attribute__((visibility("default"))) void
flashc_device_library(const char *build, void (*add)(void *registry, Device *device), void *registry) {
  if (std::strcmp(build, deviceLibraryBuild()) != 0)
    return;
  for (const emulator::Chip &chip : emulator::chips())
    add(registry, new ClockedGpu(chip)); // lives as long as the process
}

//===- EmulatedDevice.h - an emulated GPU as a device of the runtime -----------===//
#ifndef FLASHC_EMULATOR_EMULATEDDEVICE_H
#define FLASHC_EMULATOR_EMULATEDDEVICE_H

#include "emulator/EmulatedGpu.h"
#include "runtime/devices/LaunchingDevice.h"

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

namespace flashc {

/// Runs kernels for `emulated:CHIP`: their images are LLVM IR, which it executes on the CPU, in the host's memory,
/// before a launch returns. Each launch may touch the call's tensors - outputs alone may be written - and its
/// workspace, which begins as bytes that are NaN in every floating type. What is wrong with a kernel comes back as
/// FLASHC_ERROR_DEVICE with the finding's text.
class EmulatedDevice : public LaunchingDevice {
public:
  /// Async work completes as late as it may; the environment's FLASHC_EMULATED_ORDER=random:SEED says otherwise.
  explicit EmulatedDevice(const emulator::Chip &chip);

  /// For tests: what is executed instead of an image's text, for one kernel of it. To be set before the first launch.
  using Rewrite = std::function<std::string(std::string_view text, std::string_view kernel)>;
  void setRewrite(Rewrite function) { rewrite = std::move(function); }
  /// Which of the bugs that the rewrite plants shows; lives as long as this device.
  void setPlanting(emulator::Planting *which) { planting = which; }
  /// How many host threads run blocks; 0: as many as there are.
  void setWorkers(unsigned count) { workers = count; }
  void setAsyncOrder(emulator::AsyncOrder newOrder, uint64_t newSeed) {
    order = newOrder;
    seed = newSeed;
  }

  DeviceInfo describe() const override;
  bool hasClock() const override { return false; }
  Result<int> suitability(std::string_view target) const override;
  void forget(const flashc_kernel_info *info) override;

protected:
  std::optional<Error> start(const flashc_device_function &function, const DeviceCall &call, int64_t blocks,
                             void *const *params, void *stream) override;
  std::optional<Error> encode(void *map, const flashc_tensor_map &what) override;
  /// More than the blocks that run at a time, so that kernels which split their work do.
  int32_t concurrentBlocks() const override { return 8; }
  /// Few, so that blocks which take several pieces of work do.
  int32_t multiprocessorCount() const override { return 3; }
  Result<void *> takeWorkspace(size_t bytes, void *stream) override;

private:
  struct CachedImage {
    const flashc_kernel_info *owner;
    std::shared_ptr<const emulator::Image> image;
  };
  Result<std::shared_ptr<const emulator::Image>> find(const flashc_device_function &function,
                                                      const flashc_kernel_info *owner);

  const emulator::Chip &chip;
  emulator::AsyncOrder order = emulator::AsyncOrder::Late;
  uint64_t seed = 0;
  Rewrite rewrite;
  emulator::Planting *planting = nullptr;
  unsigned workers = 0;
  std::mutex mutex;
  /// By name, hash and length of the text: the address of a kernel's image may be another's later.
  std::map<std::tuple<std::string, size_t, size_t>, CachedImage> images;
};

/// Adds `emulated:sm_80` and the other chips to the runtime's devices; further calls do nothing.
void registerEmulatedDevices();

} // namespace flashc

#endif // FLASHC_EMULATOR_EMULATEDDEVICE_H

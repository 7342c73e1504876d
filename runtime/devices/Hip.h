//===- Hip.h - AMD GPUs through libamdhip64 -----------------------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_HIP_H
#define FLASHC_RUNTIME_DEVICES_HIP_H

#include "runtime/devices/GpuDevice.h"

namespace flashc {

/// An AMD GPU, "hip:0". It runs code objects for its very chip.
class HipDevice final : public GpuDevice {
public:
  /// The device at `ordinal`, or why it cannot be used.
  static Result<std::unique_ptr<HipDevice>> create(const std::shared_ptr<GpuDriver> &driver, int ordinal);
  ~HipDevice() override;

  Result<int> suitability(std::string_view target) const override;

protected:
  std::optional<Error> identify() override;
  int enter(uintptr_t &saved) const override;
  void leave(uintptr_t saved) const override;
  std::optional<Error> checkImage(const flashc_device_function &function) const override;
  std::optional<Error> prepare(void *handle, const flashc_device_function &function) override;

private:
  HipDevice(std::shared_ptr<GpuDriver> driver, int ordinal) : GpuDevice(std::move(driver), ordinal) {}

  bool opened = false;
};

/// The machine's AMD GPUs; the error says why there are none. `library` as in GpuDriver::open.
Result<std::vector<std::unique_ptr<GpuDevice>>> findHipDevices(const std::string &library = "");

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_HIP_H

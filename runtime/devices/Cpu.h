//===- Cpu.h - the machine's own processor as a device ------------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_CPU_H
#define FLASHC_RUNTIME_DEVICES_CPU_H

#include "runtime/devices/Device.h"

namespace flashc {

/// Runs kernels that come as shared libraries. Artifacts of kind Object are linked by the compiler's JIT, which calls
/// the kernel's functions directly.
class CpuDevice final : public Device {
public:
  DeviceInfo describe() const override;
  DeviceFacts measure() override;
  std::unique_ptr<CostModel> costModel(const DeviceFacts &facts) const override;
  Result<std::unique_ptr<LoadedKernel>> load(const Artifact &artifact) override;
  std::optional<Error> launch(const flashc_kernel &kernel, const flashc_args &args, void *stream) override;
  Result<Timing> time(const flashc_kernel &kernel, const flashc_args &args, const TimeOptions &options) override;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_CPU_H

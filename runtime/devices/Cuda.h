//===- Cuda.h - NVIDIA GPUs through libcuda -----------------------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_CUDA_H
#define FLASHC_RUNTIME_DEVICES_CUDA_H

#include "runtime/devices/GpuDevice.h"

#include <atomic>

namespace flashc {

/// An NVIDIA GPU, "cuda:0", through its primary context, the one that frameworks use. It runs PTX for its architecture
/// and any older one, `sm_90a` on 9.0 alone, and a cubin of its own major version up to its own minor one.
class CudaDevice final : public GpuDevice {
public:
  /// The device at `ordinal`, or why it cannot be used.
  static Result<std::unique_ptr<CudaDevice>> create(const std::shared_ptr<GpuDriver> &driver, int ordinal);
  ~CudaDevice() override;

  Result<int> suitability(std::string_view target) const override;

protected:
  std::optional<Error> identify() override;
  int enter(uintptr_t &saved) const override;
  void leave(uintptr_t saved) const override;
  std::optional<Error> checkImage(const flashc_device_function &function) const override;
  std::optional<Error> prepare(void *handle, const flashc_device_function &function) override;
  std::optional<Error> encode(void *map, const flashc_tensor_map &what) override;

private:
  CudaDevice(std::shared_ptr<GpuDriver> driver, int ordinal) : GpuDevice(std::move(driver), ordinal) {}
  /// The driver's result; retains the context at the first need, as making one takes time and memory of the GPU.
  int retain() const;

  mutable std::atomic<void *> context{nullptr};
  mutable std::mutex retaining;
  int capability = 0; ///< 90 for 9.0
};

/// The machine's NVIDIA GPUs; the error says why there are none. `library` as in GpuDriver::open.
Result<std::vector<std::unique_ptr<GpuDevice>>> findCudaDevices(const std::string &library = "");

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_CUDA_H

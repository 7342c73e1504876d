//===- Device.h - what loads, runs and times a kernel -------------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_DEVICE_H
#define FLASHC_RUNTIME_DEVICES_DEVICE_H

#include "runtime/Artifact.h"
#include "runtime/CostModel.h"
#include "runtime/Error.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace flashc {

/// What a device says of itself.
struct DeviceInfo {
  std::string family;       ///< the first part of the targets it runs: "cpu"
  std::string architecture; ///< "x86_64", "aarch64"; the chip's name for a GPU
  std::string description;  ///< for people: "AMD EPYC 9B45, 2 CPUs"
  std::string features;     ///< what it can do beyond its architecture, separated by blanks: "avx2 avx512 avx512-bf16"
  /// What measurements are kept under: equal for two devices if and only if what is fast on one is fast on the other.
  /// "AuthenticAMD 25/17, AMD EPYC, 2 CPUs, avx2 avx512".
  std::string identity;
  int32_t units = 1;       ///< workers that compute at a time: CPUs, multiprocessors
  int64_t memoryBytes = 0; ///< 0 = not known
};

/// A kernel on a device; unloaded with its last owner.
class LoadedKernel {
public:
  virtual ~LoadedKernel() = default;
  /// The kernel's functions on the host side. Valid as long as the kernel.
  const flashc_kernel &functions() const { return kernel; }
  const flashc_kernel_info &info() const { return *kernel.info; }

protected:
  flashc_kernel kernel{};
};

/// How Device::time measures.
struct TimeOptions {
  int32_t warmups = 2;
  int32_t repeats = 10;     ///< at least so many measured runs,
  double minSeconds = 0.05; ///< and at least so long in all
};

/// The statistic of measured runs, in seconds.
struct Timing {
  double median = 0;
  double best = 0;
  int32_t runs = 0;
};

/// What was measured of a device, by name: "f32-fma-gflops". docs/tuning.md lists names and units; a name that is
/// missing is something that the device does not have.
using DeviceFacts = std::map<std::string, double>;

/// Something that runs kernels. Implementations are stateless beyond what the hardware keeps; all calls are
/// thread-safe.
class Device {
public:
  virtual ~Device() = default;
  virtual DeviceInfo describe() const = 0;

  /// Measures what the device can do. Takes some tens of milliseconds; deviceFacts() remembers it.
  virtual DeviceFacts measure() = 0;

  /// What predicts how fast tiles are on it, from what was measured of it; null where nobody made one.
  virtual std::unique_ptr<CostModel> costModel(const DeviceFacts &facts) const = 0;

  /// Makes an artifact runnable: checks that it is for this device, finds its functions, and asks for its ABI.
  virtual Result<std::unique_ptr<LoadedKernel>> load(const Artifact &artifact) = 0;

  /// Checks the arguments and runs the kernel; on a GPU in the order of `stream`, on a CPU before it returns.
  virtual std::optional<Error> launch(const LoadedKernel &kernel, const flashc_args &args, void *stream = nullptr) = 0;

  /// Runs the kernel repeatedly, caches warm, and reports the median of the times of single runs.
  virtual Result<Timing> time(const LoadedKernel &kernel, const flashc_args &args, const TimeOptions &options = {}) = 0;
};

/// The devices of this machine, never destroyed; the CPU is always the first.
const std::vector<Device *> &devices();

/// The device for a target ("cpu", "cpu:x86-64-v3"), or FLASHC_ERROR_TARGET with what there is.
Result<Device *> deviceForTarget(std::string_view target);

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_DEVICE_H

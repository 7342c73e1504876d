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

class LaunchingDevice;

/// What a device says of itself.
struct DeviceInfo {
  std::string name;         ///< this one's among the machine's devices: "cpu", "cuda:0", "hip:1", "emulated:sm_80"
  std::string family;       ///< the first part of the targets it runs: "cpu", "nvptx", "amdgpu", "emulated"
  std::string architecture; ///< "x86_64", "aarch64"; the chip's name for a GPU: "sm_90", "gfx942"
  std::string description;  ///< for people: "AMD EPYC 9B45, 2 CPUs"
  std::string features;     ///< what it can do beyond its architecture, separated by blanks: "avx2 avx512 avx512-bf16"
  /// What measurements are kept under: equal for two devices if and only if what is fast on one is fast on the other.
  /// "AuthenticAMD 25/17, AMD EPYC, 2 CPUs, avx2 avx512".
  std::string identity;
  std::string driver;      ///< "CUDA driver 12.8"; "" where there is none
  int32_t units = 1;       ///< workers that compute at a time: CPUs, multiprocessors
  int64_t memoryBytes = 0; ///< 0 = not known
  int64_t sharedBytes = 0; ///< the most shared memory of a block; 0 = it has none
};

/// A kernel on a device; unloaded with its last owner.
class LoadedKernel {
public:
  virtual ~LoadedKernel() = default;
  /// The kernel's functions on the host side. Valid as long as the kernel.
  const flashc_kernel &functions() const { return kernel; }
  const flashc_kernel_info &info() const { return *kernel.info; }
  operator const flashc_kernel &() const { return kernel; }

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

/// A place in memory by the devices that can read it.
enum class MemoryPlace {
  Host,    ///< the CPU's
  Device,  ///< this device's
  Other,   ///< another device's
  Unknown, ///< the device cannot tell
};

/// Something that runs kernels. Implementations are stateless beyond what the hardware keeps; all calls are
/// thread-safe.
class Device {
public:
  virtual ~Device() = default;
  virtual DeviceInfo describe() const = 0;

  /// How well kernels for `target` suit the device, more being better; FLASHC_ERROR_TARGET, with expected and actual,
  /// where it cannot run them.
  virtual Result<int> suitability(std::string_view target) const;

  /// Measures what the device can do. Takes some tens of milliseconds; deviceFacts() remembers it.
  virtual DeviceFacts measure() = 0;

  /// What predicts how fast tiles are on it, from what was measured of it; null where nobody made one.
  virtual std::unique_ptr<CostModel> costModel(const DeviceFacts &facts) const = 0;

  /// Makes an artifact runnable: checks that it is for this device, finds its functions, and asks for its ABI.
  virtual Result<std::unique_ptr<LoadedKernel>> load(const Artifact &artifact) = 0;

  /// Checks the arguments and runs the kernel; on a GPU in the order of `stream` (null: its default stream) and without
  /// waiting, else before it returns. The tensors lie in the device's memory. args.host matters to a CPU alone.
  virtual std::optional<Error> launch(const flashc_kernel &kernel, const flashc_args &args, void *stream = nullptr) = 0;

  /// Whether time() says how fast a kernel is on what the device stands for. Not of an emulated one, whose time is the
  /// emulator's.
  virtual bool hasClock() const { return true; }

  /// Runs the kernel repeatedly, caches warm, and reports the median of the times of single runs.
  virtual Result<Timing> time(const flashc_kernel &kernel, const flashc_args &args,
                              const TimeOptions &options = {}) = 0;

  //===--------------------------------------------------------------------===//
  // Memory. A device that computes in the host's memory inherits all of it.
  //===--------------------------------------------------------------------===//

  /// Whether the device's memory is the host's: a tensor of either is one of both.
  virtual bool usesHostMemory() const { return true; }
  /// Whose memory `pointer` points into.
  virtual MemoryPlace placeOf(const void *pointer) const { return MemoryPlace::Host; }

  /// Uninitialised memory of the device, aligned to 256 bytes; FLASHC_ERROR_MEMORY, with what was asked for and what
  /// there is, when it has no more. 0 bytes are legal.
  virtual Result<void *> allocate(size_t bytes);
  /// Gives memory of allocate() back after the work that was launched with it. Null is allowed.
  virtual std::optional<Error> free(void *memory);

  /// Copy `bytes` in the order of `stream`; the host's memory is read, or was written, when they return.
  virtual std::optional<Error> copyToDevice(void *to, const void *from, size_t bytes, void *stream = nullptr);
  virtual std::optional<Error> copyToHost(void *to, const void *from, size_t bytes, void *stream = nullptr);
  /// Sets `bytes` to zero in the order of `stream`.
  virtual std::optional<Error> zero(void *memory, size_t bytes, void *stream = nullptr);
  /// Waits for what was launched on `stream`; errors of that work come out here.
  virtual std::optional<Error> synchronize(void *stream = nullptr);

  /// Makes `later` wait for what is on `earlier` now, without making the host wait.
  virtual std::optional<Error> orderStreams(void *earlier, void *later) { return std::nullopt; }

  /// What ran on it slower than it could have, and why; see Fallbacks.h.
  virtual std::vector<std::string> fallbacks() const { return {}; }
  virtual size_t fallbackCount() const { return 0; }

  /// Keeps `what` alive until the work that is on `stream` now has ended, without waiting for it. A device that runs
  /// kernels before launch() returns has nothing to wait for.
  virtual void keepUntilDone(std::shared_ptr<void> what, void *stream) {}

  /// This device where it launches functions, else null: for callers that have a workspace of their own.
  virtual LaunchingDevice *launching() { return nullptr; }

  /// Forgets what the device keeps of a kernel that is about to be unloaded: its image, by the address of its info.
  virtual void forget(const flashc_kernel_info *info) {}
};

/// The machine's processor.
Device &cpuDevice();

/// The devices of this machine and those that a linked library has registered, never destroyed; the CPU is the first,
/// GPUs follow in their drivers' order. The first call looks for drivers.
std::vector<Device *> devices();

/// Those that anybody has asked for yet, the CPU not among them: what may hold something of a kernel.
std::vector<Device *> knownDevices();

/// A kind of device that this machine could have, and why it has none.
struct AbsentDevice {
  std::string name; ///< "cuda", "hip"
  std::string reason;
};
std::vector<AbsentDevice> absentDevices();

/// Adds a device that a library outside of the runtime implements; one of the same name takes its place for later
/// calls. Returns the device, which is never destroyed.
Device &registerDevice(std::unique_ptr<Device> device);

/// Adds the devices of a library that was built beside this runtime (the emulated GPUs'), which the devices of the
/// environment's FLASHC_DEVICE_LIBRARY are, too; the error says why it cannot be used.
std::optional<Error> loadDeviceLibrary(const std::string &path);

/// What such a library exports as "flashc_device_library": calls `add` with each of its devices, which it keeps for
/// ever. `build` is deviceLibraryBuild() of the caller: the library adds nothing where its own is another.
using DeviceLibraryEntry = void (*)(const char *build, void (*add)(void *registry, Device *device), void *registry);
const char *deviceLibraryBuild();

/// The device that suits a target ("cpu", "nvptx:sm_80", "emulated:sm_90a") best, or FLASHC_ERROR_TARGET with what
/// there is and why it does not do.
Result<Device *> deviceForTarget(std::string_view target);

/// The device called `name`: "cuda:0", "cpu".
Result<Device *> deviceNamed(std::string_view name);

/// Tells every device that a kernel is about to be unloaded.
void forgetKernel(const flashc_kernel_info *info);

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_DEVICE_H

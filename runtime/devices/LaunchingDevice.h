//===- LaunchingDevice.h - a device that a kernel's host side launches on -----===//
//
// A kernel for a GPU is a host function that computes sizes and calls the host's `launch` for each of its device
// functions (runtime.h). Here is that host, for GPUs behind a driver and for emulated ones alike.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_LAUNCHINGDEVICE_H
#define FLASHC_RUNTIME_DEVICES_LAUNCHINGDEVICE_H

#include "runtime/Fallbacks.h"
#include "runtime/devices/Device.h"

#include <shared_mutex>
#include <unordered_map>

namespace flashc {

/// A call of a kernel, as far as a device that launches for it may want to know: what memory it is about.
struct DeviceCall {
  const flashc_kernel_info *info = nullptr; ///< what forget() is called with
  const flashc_args *args = nullptr;
  void *workspace = nullptr;
  size_t workspaceBytes = 0;
};

/// Implements loading, calls and timing by start(); a device says what starting means to it.
class LaunchingDevice : public Device {
public:
  LaunchingDevice *launching() override { return this; }
  DeviceFacts measure() override { return {}; }
  /// Of the chip's rates, with what the driver says of the device; of a chip that nobody described those of the
  /// nearest.
  std::unique_ptr<CostModel> costModel(const DeviceFacts &facts) const override;

  /// The artifact is a shared library for the host, which holds the device's images.
  Result<std::unique_ptr<LoadedKernel>> load(const Artifact &artifact) override;

  /// Checks the arguments, takes a workspace of the stream's, and calls NAME_run with a host of this device.
  std::optional<Error> launch(const flashc_kernel &kernel, const flashc_args &args, void *stream = nullptr) override;

  /// Checks the arguments against the kernel's description, and that their memory is this device's.
  std::optional<Error> check(const flashc_kernel &kernel, const flashc_args &args) const;

  /// As launch, without the check and with a workspace of the caller's: memory of this device,
  /// aligned to 64 bytes, of at least what kernel.workspace_size says for hostArgs(args).
  std::optional<Error> launchWith(const flashc_kernel &kernel, const flashc_args &args, void *stream, void *workspace,
                                  size_t workspaceBytes);

  /// The bytes of workspace that a call needs on this device.
  size_t workspaceBytes(const flashc_kernel &kernel, const flashc_args &args) const;

  std::vector<std::string> fallbacks() const override { return taken.texts(); }
  size_t fallbackCount() const override { return taken.count(); }

  /// By the host's clock, each run waited for.
  Result<Timing> time(const flashc_kernel &kernel, const flashc_args &args, const TimeOptions &options = {}) override;

protected:
  /// Starts `blocks` (at least 1) blocks of a device function in the order of `stream`. The function is of an ABI that
  /// this runtime knows and for a target that suits the device; `params` are copied.
  virtual std::optional<Error> start(const flashc_device_function &function, const DeviceCall &call, int64_t blocks,
                                     void *const *params, void *stream) = 0;

  /// Writes 128 bytes. `what` has a rank from 1 to 5, an address of 16-byte alignment and legal strides and boxes.
  /// Without an override: FLASHC_ERROR_TARGET.
  virtual std::optional<Error> encode(void *map, const flashc_tensor_map &what);

  /// How many blocks the device runs at a time; what a kernel's splits are made for.
  virtual int32_t concurrentBlocks() const { return 1; }

  /// How many multiprocessors the device has, for kernels whose blocks take several pieces of work; 0: not known.
  virtual int32_t multiprocessorCount() const { return 0; }

  /// Memory for one call's workspace, free again for later work of the stream when returned to it.
  virtual Result<void *> takeWorkspace(size_t bytes, void *stream);
  virtual std::optional<Error> returnWorkspace(void *workspace, size_t bytes, void *stream);

private:
  struct Call;
  static flashc_status launchService(void *user, const flashc_device_function *function, int64_t blocks,
                                     void *const *params, void *stream);
  static flashc_status encodeService(void *user, void *map, const flashc_tensor_map *what);
  std::optional<Error> checkFunction(const flashc_device_function &function);
  /// Says what a call that went well did without.
  void noteFallbacks(const Call &call, const flashc_kernel_info &info, const flashc_args &args);
  std::optional<Error> checkPlaces(const flashc_kernel_info &info, const flashc_args &args) const;

  /// What was found good of a function at an address. Describing the device again for each launch takes longer than a
  /// launch; another function that has come to lie there differs in what was checked, or is as good.
  struct Checked {
    uint32_t sharedBytes = 0;
    std::string target;
  };
  FallbackLog taken;
  std::shared_mutex checkedMutex;
  std::unordered_map<const flashc_device_function *, Checked> checked;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_LAUNCHINGDEVICE_H

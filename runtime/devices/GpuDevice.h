//===- GpuDevice.h - one GPU behind a driver ----------------------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_GPUDEVICE_H
#define FLASHC_RUNTIME_DEVICES_GPUDEVICE_H

#include "runtime/devices/GpuDriver.h"
#include "runtime/devices/LaunchingDevice.h"

#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace flashc {

/// What CUDA and HIP devices have in common: memory, modules, launches, events. A vendor says what its device is, which
/// images it runs, and how it is made current.
class GpuDevice : public LaunchingDevice {
public:
  ~GpuDevice() override;

  DeviceInfo describe() const override { return info; }
  DeviceFacts measure() override { return facts; }
  bool usesHostMemory() const override { return false; }
  MemoryPlace placeOf(const void *pointer) const override;

  Result<void *> allocate(size_t bytes) override;
  std::optional<Error> free(void *memory) override;
  std::optional<Error> copyToDevice(void *to, const void *from, size_t bytes, void *stream = nullptr) override;
  std::optional<Error> copyToHost(void *to, const void *from, size_t bytes, void *stream = nullptr) override;
  std::optional<Error> zero(void *memory, size_t bytes, void *stream = nullptr) override;
  std::optional<Error> synchronize(void *stream = nullptr) override;
  void forget(const flashc_kernel_info *info) override;

  /// By the device's own events.
  Result<Timing> time(const flashc_kernel &kernel, const flashc_args &args, const TimeOptions &options = {}) override;

  std::optional<Error> orderStreams(void *earlier, void *later) override;
  void keepUntilDone(std::shared_ptr<void> what, void *stream) override;

  /// Its number among the driver's devices, which frameworks use too.
  int ordinal() const { return number; }
  GpuDriver::Vendor vendor() const { return driver->vendor(); }

  /// Memory that is kept for later calls, given back to the driver.
  void releaseWorkspaces();

  /// The vendor's devices, each opened, or why there are none. `DeviceKind` has create(driver, ordinal).
  template <typename DeviceKind>
  static Result<std::vector<std::unique_ptr<GpuDevice>>> findAll(GpuDriver::Vendor vendor, const std::string &library) {
    Result<std::shared_ptr<GpuDriver>> driver = GpuDriver::open(vendor, library);
    if (!driver)
      return driver.error();
    int count = 0;
    if (int code = (*driver)->api().deviceCount(&count))
      return (*driver)->error(vendor == GpuDriver::Vendor::Cuda ? "cuDeviceGetCount" : "hipGetDeviceCount", code);
    std::vector<std::unique_ptr<GpuDevice>> devices;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
      Result<std::unique_ptr<DeviceKind>> device = DeviceKind::create(*driver, ordinal);
      if (!device)
        return device.error();
      devices.push_back(std::move(*device));
    }
    if (devices.empty())
      return Error{FLASHC_ERROR_TARGET, (*driver)->version() + ": no device"};
    return devices;
  }

protected:
  GpuDevice(std::shared_ptr<GpuDriver> driver, int ordinal) : driver(std::move(driver)), number(ordinal) {}

  /// What a vendor calls things, and how it numbers a device's attributes.
  struct Vocabulary {
    const char *family;  ///< "nvptx"
    const char *prefix;  ///< of the driver's functions: "cu"
    const char *units;   ///< "multiprocessors"
    const char *unnamed; ///< a device whose name the driver does not know
    int64_t sharedBytes; ///< of a block where the driver does not say
    int clockRate, memoryClockRate, memoryBusWidth, multiprocessors, l2Bytes, sharedPerBlock;
  };
  /// Asks the driver for what both have: fills in handle, info and facts. `identify` is called in between and sets
  /// info.architecture.
  std::optional<Error> open(const Vocabulary &words);
  virtual std::optional<Error> identify() = 0;

  /// Unloads all modules and gives all memory back; for the destructors of devices, while they can be made current.
  void release();

  /// Makes the device current for as long as the object lives; `code` is the driver's result.
  class Scope {
  public:
    explicit Scope(const GpuDevice &device) : device(device), code(device.enter(saved)) {}
    ~Scope() {
      if (!code)
        device.leave(saved);
    }
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;

  private:
    const GpuDevice &device;
    uintptr_t saved = 0;

  public:
    const int code;
  };

  virtual int enter(uintptr_t &saved) const = 0;
  virtual void leave(uintptr_t saved) const = 0;
  /// Checks the form of an image against the device before the driver sees it.
  virtual std::optional<Error> checkImage(const flashc_device_function &function) const = 0;
  /// Readies a function for its dynamic shared memory.
  virtual std::optional<Error> prepare(void *handle, const flashc_device_function &function) = 0;

  std::optional<Error> start(const flashc_device_function &function, const DeviceCall &call, int64_t blocks,
                             void *const *params, void *stream) override;
  int32_t concurrentBlocks() const override { return info.units; }
  int32_t multiprocessorCount() const override { return info.units; }
  Result<void *> takeWorkspace(size_t bytes, void *stream) override;
  std::optional<Error> returnWorkspace(void *workspace, size_t bytes, void *stream) override;

  /// The driver's error of a call, with the device's name.
  Error error(const std::string &what, int code) const;
  /// The same, or nothing where the code is success.
  std::optional<Error> check(const std::string &what, int code) const;
  int attribute(int name, int otherwise = 0) const;

  const std::shared_ptr<GpuDriver> driver;
  const int number;
  int handle = 0; ///< the driver's
  DeviceInfo info;
  DeviceFacts facts;

private:
  struct Image {
    void *module = nullptr;
    const flashc_kernel_info *owner = nullptr;
  };
  struct Function {
    void *handle = nullptr;
    const void *image = nullptr;
    const flashc_kernel_info *owner = nullptr;
  };
  struct Block {
    void *memory;
    size_t bytes;
  };

  /// What work that may still run reads, and the event behind that work.
  struct Kept {
    void *event;
    std::shared_ptr<void> what;
  };
  /// Lets go of what nothing waits for any more. The device is current. Their owners' destructors run without a lock.
  void letGo(bool all);

  Result<void *> find(const flashc_device_function &function, const flashc_kernel_info *owner);
  Result<void *> loadImage(const flashc_device_function &function);
  bool isCapturing(void *stream) const;

  std::mutex mutex;
  std::map<std::pair<const void *, const flashc_kernel_info *>, Image> images;
  std::unordered_map<const flashc_device_function *, Function> functions;
  /// Workspaces that calls on a stream have ended with; later work on it may use them in its order.
  std::unordered_map<void *, std::vector<Block>> idle;
  std::vector<Kept> kept;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_GPUDEVICE_H

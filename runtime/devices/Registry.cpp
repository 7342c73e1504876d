//===- Registry.cpp - the devices of this machine -----------------------------===//

#include "runtime/devices/Cpu.h"
#include "runtime/devices/Cuda.h"
#include "runtime/devices/Hip.h"
#include "runtime/devices/LaunchingDevice.h"

#include <cstdlib>
#include <dlfcn.h>
#include <functional>
#include <mutex>

using namespace flashc;

static std::optional<Error> loadLibrary(const std::string &path, const std::function<void(Device *)> &add);

namespace {
/// Never destroyed: kernels may run while the process ends.
class Registry {
public:
  static Registry &get() {
    static auto *registry = new Registry();
    return *registry;
  }

  CpuDevice cpu;

  std::vector<Device *> all() {
    findDrivers();
    const std::lock_guard<std::mutex> lock(mutex);
    std::vector<Device *> list{&cpu};
    list.insert(list.end(), gpus.begin(), gpus.end());
    list.insert(list.end(), registered.begin(), registered.end());
    return list;
  }

  /// The devices that anybody has asked for yet: what may hold something of a kernel.
  std::vector<Device *> known() {
    const std::lock_guard<std::mutex> lock(mutex);
    std::vector<Device *> list = gpus;
    list.insert(list.end(), registered.begin(), registered.end());
    return list;
  }

  std::vector<AbsentDevice> missing() {
    findDrivers();
    const std::lock_guard<std::mutex> lock(mutex);
    return absent;
  }

  Device &add(Device *added) {
    const std::string name = added->describe().name;
    const std::lock_guard<std::mutex> lock(mutex);
    for (Device *&other : registered)
      if (other->describe().name == name) {
        other = added; // the replaced one may be in use and stays alive
        return *added;
      }
    registered.push_back(added);
    return *added;
  }

private:
  /// Once, at the first question that is not about the CPU: a driver takes tenths of a second to start.
  void findDrivers() {
    std::call_once(searched, [this] {
      const std::lock_guard<std::mutex> lock(mutex);
      take("cuda", findCudaDevices());
      take("hip", findHipDevices());
      if (const char *path = std::getenv("FLASHC_DEVICE_LIBRARY"); path && *path)
        if (std::optional<Error> error = loadLibrary(path, [this](Device *device) { registered.push_back(device); }))
          absent.push_back({"FLASHC_DEVICE_LIBRARY", error->message});
    });
  }

  void take(const char *name, Result<std::vector<std::unique_ptr<GpuDevice>>> found) {
    if (!found) {
      absent.push_back({name, found.error().message});
      return;
    }
    for (std::unique_ptr<GpuDevice> &device : *found)
      gpus.push_back(device.release());
  }

  std::once_flag searched;
  std::mutex mutex;
  std::vector<Device *> gpus, registered;
  std::vector<AbsentDevice> absent;
};
} // namespace

Device &flashc::cpuDevice() { return Registry::get().cpu; }

std::vector<Device *> flashc::devices() { return Registry::get().all(); }

std::vector<Device *> flashc::knownDevices() { return Registry::get().known(); }

std::vector<AbsentDevice> flashc::absentDevices() { return Registry::get().missing(); }

Device &flashc::registerDevice(std::unique_ptr<Device> device) { return Registry::get().add(device.release()); }

const char *flashc::deviceLibraryBuild() {
  // Libraries of devices share these classes with the runtime.
  static const std::string build = "ABI " + std::to_string(FLASHC_ABI_VERSION) + ", sizes " +
                                   std::to_string(sizeof(DeviceInfo)) + " " + std::to_string(sizeof(LaunchingDevice)) +
                                   " " + std::to_string(sizeof(Error));
  return build.c_str();
}

static std::optional<Error> loadLibrary(const std::string &path, const std::function<void(Device *)> &add) {
  void *library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = ::dlerror();
    return Error{FLASHC_ERROR_IO, reason ? reason : path + ": cannot be loaded"};
  }
  auto *entry = reinterpret_cast<DeviceLibraryEntry>(::dlsym(library, "flashc_device_library"));
  if (!entry)
    return Error{FLASHC_ERROR_FORMAT, path + ": expected a library with \"flashc_device_library\""};
  int count = 0;
  auto counted = [&](Device *device) {
    ++count;
    add(device);
  };
  using Counted = decltype(counted);
  entry(
      deviceLibraryBuild(), [](void *context, Device *device) { (*static_cast<Counted *>(context))(device); },
      &counted);
  if (!count)
    return Error{FLASHC_ERROR_ABI,
                 path + ": expected a library of this build of flashc (" + deviceLibraryBuild() + ")"};
  return std::nullopt;
}

std::optional<Error> flashc::loadDeviceLibrary(const std::string &path) {
  return loadLibrary(path, [](Device *device) { Registry::get().add(device); });
}

void flashc::forgetKernel(const flashc_kernel_info *info) {
  for (Device *device : knownDevices())
    device->forget(info);
}

Result<Device *> flashc::deviceForTarget(std::string_view target) {
  if (target.substr(0, target.find(':')) == "cpu")
    return &cpuDevice();
  Device *best = nullptr;
  int suits = 0;
  std::string known, reasons;
  for (Device *device : devices()) {
    const DeviceInfo info = device->describe();
    Result<int> suitability = device->suitability(target);
    if (suitability && (!best || *suitability > suits)) {
      best = device;
      suits = *suitability;
    }
    known += (known.empty() ? "" : ", ") + info.name;
    // Why a device of another kind does not do needs no words.
    if (!suitability && target.substr(0, target.find(':')) == info.family)
      reasons += "; " + info.name + ": " + suitability.error().message;
  }
  if (best)
    return best;
  for (const AbsentDevice &absent : absentDevices())
    reasons += "; no " + absent.name + " device: " + absent.reason;
  return Error{FLASHC_ERROR_TARGET, "expected a target of a device of this machine (" + known + "), got \"" +
                                        std::string(target) + "\"" + reasons};
}

Result<Device *> flashc::deviceNamed(std::string_view name) {
  std::string known;
  for (Device *device : devices()) {
    const std::string own = device->describe().name;
    if (own == name)
      return device;
    known += (known.empty() ? "" : ", ") + own;
  }
  std::string reasons;
  for (const AbsentDevice &absent : absentDevices())
    reasons += "; no " + absent.name + " device: " + absent.reason;
  return Error{FLASHC_ERROR_TARGET,
               "expected a device of this machine (" + known + "), got \"" + std::string(name) + "\"" + reasons};
}

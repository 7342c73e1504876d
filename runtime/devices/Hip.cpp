//===- Hip.cpp - AMD GPUs through libamdhip64 ---------------------------------===//

#include "runtime/devices/Hip.h"

#include <algorithm>
#include <cstring>

using namespace flashc;

namespace {
/// hipDeviceAttribute_t of HIP 6.
enum Attribute {
  clockRate = 5,
  l2Bytes = 19,
  memoryBusWidth = 59,
  memoryClockRate = 60,
  multiprocessors = 63,
  sharedPerBlock = 74
};
/// hipFunction_attribute.
enum FunctionAttribute { mostThreads = 0, staticShared = 1 };

/// hipDeviceProp_tR0600 as far as it is read: the chip's name at its place, in a buffer that later versions fit, too.
struct Properties {
  char before[1160];
  char architecture[256];
  char after[6000];
};
} // namespace

Result<std::unique_ptr<HipDevice>> HipDevice::create(const std::shared_ptr<GpuDriver> &driver, int ordinal) {
  std::unique_ptr<HipDevice> device(new HipDevice(driver, ordinal));
  const Vocabulary words{"amdgpu",        "hip",          "compute units", "AMD GPU", 64 << 10,      clockRate,
                         memoryClockRate, memoryBusWidth, multiprocessors, l2Bytes,   sharedPerBlock};
  if (std::optional<Error> failure = device->open(words))
    return *failure;
  device->opened = true;
  return device;
}

std::optional<Error> HipDevice::identify() {
  auto properties = std::make_unique<Properties>();
  if (int code = driver->api().deviceProperties(properties.get(), number))
    return error("hipGetDeviceProperties", code);
  const std::string full(properties->architecture, strnlen(properties->architecture, sizeof(properties->architecture)));
  if (full.compare(0, 3, "gfx") != 0)
    return Error{FLASHC_ERROR_TARGET,
                 info.name + ": expected a driver that names the chip, \"gfx...\", got \"" + full + "\""};
  // "gfx942:sramecc+:xnack-": what follows the chip are settings that code objects without them run under, too.
  info.architecture = full.substr(0, full.find(':'));
  if (full.find(':') != std::string::npos)
    info.features = full.substr(full.find(':') + 1);
  std::replace(info.features.begin(), info.features.end(), ':', ' ');
  return std::nullopt;
}

HipDevice::~HipDevice() {
  if (opened)
    release();
}

int HipDevice::enter(uintptr_t &saved) const {
  int current = 0;
  if (int code = driver->api().currentDevice(&current))
    return code;
  saved = static_cast<uintptr_t>(current);
  return current == number ? gpuSuccess : driver->api().setDevice(number);
}

void HipDevice::leave(uintptr_t saved) const {
  if (static_cast<int>(saved) != number)
    (void)driver->api().setDevice(static_cast<int>(saved));
}

Result<int> HipDevice::suitability(std::string_view target) const {
  const std::string own = "amdgpu:" + info.architecture;
  if (target == own)
    return 0;
  return Error{FLASHC_ERROR_TARGET, "expected a kernel for " + own + ", the chip of " + info.name + ", got one for \"" +
                                        std::string(target) + "\""};
}

std::optional<Error> HipDevice::checkImage(const flashc_device_function &function) const {
  if (std::strcmp(function.format, "hsaco") == 0)
    return std::nullopt;
  return Error{FLASHC_ERROR_FORMAT, info.name + ": " + function.name +
                                        ": expected an image that is a code object "
                                        "(hsaco), got " +
                                        function.format};
}

std::optional<Error> HipDevice::prepare(void *entry, const flashc_device_function &function) {
  int threads = 0, shared = 0;
  if (int code = driver->api().functionAttribute(&threads, mostThreads, entry))
    return error("hipFuncGetAttribute", code);
  if (function.threads > static_cast<uint32_t>(threads))
    return Error{FLASHC_ERROR_DEVICE, info.name + ": " + function.name + ": expected at most the " +
                                          std::to_string(threads) + " threads that the kernel was made for, got " +
                                          "blocks of " + std::to_string(function.threads)};
  if (int code = driver->api().functionAttribute(&shared, staticShared, entry))
    return error("hipFuncGetAttribute", code);
  if (shared + static_cast<int64_t>(function.shared_bytes) > info.sharedBytes)
    return Error{FLASHC_ERROR_DEVICE, info.name + ": " + function.name + ": expected at most the " +
                                          std::to_string(info.sharedBytes) + " bytes of LDS of a block, got " +
                                          std::to_string(shared) + " static and " +
                                          std::to_string(function.shared_bytes) + " dynamic bytes"};
  return std::nullopt;
}

Result<std::vector<std::unique_ptr<GpuDevice>>> flashc::findHipDevices(const std::string &library) {
  return GpuDevice::findAll<HipDevice>(GpuDriver::Vendor::Hip, library);
}

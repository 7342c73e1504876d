//===- Cuda.cpp - NVIDIA GPUs through libcuda ---------------------------------===//

#include "runtime/devices/Cuda.h"

#include <cstdlib>
#include <cstring>

using namespace flashc;

namespace {
/// CUdevice_attribute.
enum Attribute {
  clockRate = 13,
  multiprocessors = 16,
  memoryClockRate = 36,
  memoryBusWidth = 37,
  l2Bytes = 38,
  capabilityMajor = 75,
  capabilityMinor = 76,
  sharedPerMultiprocessor = 81,
  registersPerMultiprocessor = 82,
  sharedPerBlock = 97
};
/// CUfunction_attribute.
enum FunctionAttribute { mostThreads = 0, staticShared = 1, dynamicShared = 8 };

/// What every kernel may have; more has to be asked for.
constexpr uint32_t ordinaryShared = 48 << 10;

/// "sm_90a" of "nvptx:sm_90a".
struct Architecture {
  int capability = 0;    ///< 90
  bool specific = false; ///< runs on that very chip alone
};

std::optional<Architecture> parseArchitecture(std::string_view target) {
  constexpr std::string_view prefix = "nvptx:sm_";
  if (target.substr(0, prefix.size()) != prefix)
    return std::nullopt;
  const std::string digits(target.substr(prefix.size()));
  char *end = nullptr;
  Architecture architecture;
  architecture.capability = static_cast<int>(std::strtol(digits.c_str(), &end, 10));
  architecture.specific = *end == 'a';
  if (end == digits.c_str() || (*end && std::strcmp(end, "a") != 0) || architecture.capability < 10)
    return std::nullopt;
  return architecture;
}

/// CUtensorMapDataType, or -1.
int tensorMapType(int32_t dtype) {
  switch (dtype) {
  case FLASHC_F64:
    return 8;
  case FLASHC_F32:
    return 7;
  case FLASHC_F16:
    return 6;
  case FLASHC_BF16:
    return 9;
  case FLASHC_I64:
    return 5;
  case FLASHC_I32:
    return 3;
  case FLASHC_I8:
  case FLASHC_BOOL:
    return 0;
  default:
    return -1;
  }
}

/// 0, 1, 2, 3 for 0, `first`, twice that, four times that.
int powerOf(uint32_t bytes, uint32_t first) {
  for (int power = 0; power < 3; ++power)
    if (bytes == first << power)
      return power + 1;
  return 0;
}
} // namespace

Result<std::unique_ptr<CudaDevice>> CudaDevice::create(const std::shared_ptr<GpuDriver> &driver, int ordinal) {
  std::unique_ptr<CudaDevice> device(new CudaDevice(driver, ordinal));
  const Vocabulary words{"nvptx",         "cu",           "multiprocessors", "NVIDIA GPU", ordinaryShared, clockRate,
                         memoryClockRate, memoryBusWidth, multiprocessors,   l2Bytes,      sharedPerBlock};
  if (std::optional<Error> failure = device->open(words))
    return *failure;
  return device;
}

std::optional<Error> CudaDevice::identify() {
  capability = attribute(capabilityMajor) * 10 + attribute(capabilityMinor);
  info.architecture = "sm_" + std::to_string(capability);
  facts["shared-bytes-multiprocessor"] = attribute(sharedPerMultiprocessor);
  facts["registers-multiprocessor"] = attribute(registersPerMultiprocessor);
  return std::nullopt;
}

int CudaDevice::retain() const {
  const std::lock_guard<std::mutex> lock(retaining);
  void *made = context.load(std::memory_order_relaxed);
  if (made)
    return gpuSuccess;
  const int code = driver->api().contextRetain(&made, handle);
  if (code == gpuSuccess)
    context.store(made, std::memory_order_release);
  return code;
}

CudaDevice::~CudaDevice() {
  if (!context)
    return;
  release();
  (void)driver->api().contextRelease(handle);
}

int CudaDevice::enter(uintptr_t &saved) const {
  void *current = nullptr;
  saved = 0;
  if (!context.load(std::memory_order_acquire))
    if (int code = retain())
      return code;
  // Most callers have it current already: frameworks use the primary context, too.
  void *const own = context.load(std::memory_order_relaxed);
  if (driver->api().contextCurrent(&current) == gpuSuccess && current == own)
    return gpuSuccess;
  const int code = driver->api().contextPush(own);
  saved = code == gpuSuccess;
  return code;
}

void CudaDevice::leave(uintptr_t saved) const {
  void *popped = nullptr;
  if (saved)
    (void)driver->api().contextPop(&popped);
}

Result<int> CudaDevice::suitability(std::string_view target) const {
  const std::optional<Architecture> wanted = parseArchitecture(target);
  if (wanted && wanted->specific && wanted->capability == capability)
    return 10000 + capability;
  if (wanted && !wanted->specific && wanted->capability <= capability)
    return wanted->capability;
  const std::string own = "nvptx:" + info.architecture;
  return Error{FLASHC_ERROR_TARGET,
               "expected a kernel that runs on " + info.name + " (" + info.architecture + "), for " + own +
                   " or an older architecture" + (capability == 90 ? " or nvptx:sm_90a" : "") + ", got one for \"" +
                   std::string(target) + "\"" + (wanted && wanted->specific ? ", which runs on that chip alone" : "")};
}

std::optional<Error> CudaDevice::checkImage(const flashc_device_function &function) const {
  if (std::strcmp(function.format, "ptx") == 0)
    return std::nullopt;
  if (std::strcmp(function.format, "cubin") != 0)
    return Error{FLASHC_ERROR_FORMAT,
                 info.name + ": " + function.name + ": expected an image of PTX or a cubin, got " + function.format};
  const std::optional<Architecture> made = parseArchitecture(function.target);
  if (made && made->capability / 10 == capability / 10 && made->capability <= capability)
    return std::nullopt;
  return Error{FLASHC_ERROR_TARGET, info.name + ": " + function.name + ": expected a cubin for " + info.architecture +
                                        " or an older chip of the same major version, got one for " + function.target};
}

std::optional<Error> CudaDevice::prepare(void *entry, const flashc_device_function &function) {
  const GpuApi &api = driver->api();
  int threads = 0, shared = 0;
  if (int code = api.functionAttribute(&threads, mostThreads, entry))
    return error("cuFuncGetAttribute", code);
  if (function.threads > static_cast<uint32_t>(threads))
    return Error{FLASHC_ERROR_DEVICE,
                 info.name + ": " + function.name + ": expected at most the " + std::to_string(threads) +
                     " threads that its registers leave room for, got blocks of " + std::to_string(function.threads)};
  if (int code = api.functionAttribute(&shared, staticShared, entry))
    return error("cuFuncGetAttribute", code);
  if (shared + static_cast<int64_t>(function.shared_bytes) > info.sharedBytes)
    return Error{FLASHC_ERROR_DEVICE, info.name + ": " + function.name + ": expected at most the " +
                                          std::to_string(info.sharedBytes) +
                                          " bytes of shared memory of a block, got " + std::to_string(shared) +
                                          " static and " + std::to_string(function.shared_bytes) + " dynamic bytes"};
  if (shared + function.shared_bytes <= ordinaryShared)
    return std::nullopt;
  return check("cuFuncSetAttribute",
               api.setFunctionAttribute(entry, dynamicShared, static_cast<int>(function.shared_bytes)));
}

std::optional<Error> CudaDevice::encode(void *map, const flashc_tensor_map &what) {
  if (capability < 90 || !driver->api().tensorMap)
    return Error{FLASHC_ERROR_TARGET, info.name +
                                          ": expected a device of at least sm_90 with a driver of at least "
                                          "CUDA 12, for tensor maps, got " +
                                          info.architecture + " with " + info.driver};
  const int code =
      driver->api().tensorMap(map, tensorMapType(what.dtype), what.rank, const_cast<void *>(what.address), what.size,
                              what.stride_bytes, what.box, what.element_stride, powerOf(what.interleave, 16),
                              powerOf(what.swizzle, 32), powerOf(what.l2_promotion, 64), what.fill_nan ? 1 : 0);
  return check("cuTensorMapEncodeTiled", code);
}

Result<std::vector<std::unique_ptr<GpuDevice>>> flashc::findCudaDevices(const std::string &library) {
  return GpuDevice::findAll<CudaDevice>(GpuDriver::Vendor::Cuda, library);
}

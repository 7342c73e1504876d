//===- GpuDriver.cpp - a GPU vendor's driver, found at run time ---------------===//

#include "runtime/devices/GpuDriver.h"

#include <cstdlib>
#include <dlfcn.h>

using namespace flashc;

namespace {
enum Need { Both, Optional, CudaOnly, CudaOptional, HipOnly };

/// Where a function goes and what the vendors call it. An interface of the driver that has changed since has a suffix.
struct Entry {
  void *place;
  const char *cuda, *hip;
  Need need;
};

std::string describeVersion(GpuDriver::Vendor vendor, int version) {
  if (vendor == GpuDriver::Vendor::Cuda)
    return "CUDA driver " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  return "HIP " + std::to_string(version / 10000000) + "." + std::to_string(version / 100000 % 100);
}
} // namespace

Result<std::shared_ptr<GpuDriver>> GpuDriver::open(Vendor vendor, const std::string &library) {
  const bool cuda = vendor == Vendor::Cuda;
  const char *variable = cuda ? "FLASHC_CUDA_LIBRARY" : "FLASHC_HIP_LIBRARY";
  std::string path = library;
  if (path.empty()) {
    const char *chosen = std::getenv(variable);
    if (chosen && !*chosen)
      return Error{FLASHC_ERROR_TARGET, std::string("turned off by ") + variable + "="};
    path = chosen ? chosen : cuda ? "libcuda.so.1" : "libamdhip64.so";
  }
  // The name without a number comes with a development package alone.
  void *handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  std::string reason;
  if (!handle) {
    const char *text = ::dlerror();
    reason = text ? text : path + ": cannot be loaded";
  }
  if (!handle && path == "libamdhip64.so")
    for (const char *numbered : {"libamdhip64.so.7", "libamdhip64.so.6"})
      if ((handle = ::dlopen(numbered, RTLD_NOW | RTLD_LOCAL)))
        break;
  if (!handle)
    return Error{FLASHC_ERROR_TARGET, "no driver: " + reason};
  std::shared_ptr<GpuDriver> driver(new GpuDriver);
  driver->maker = vendor;
  std::optional<Error> error = driver->find(handle, path);
  if (!error)
    error = driver->start(path);
  if (error)
    return *error;
  return driver;
}

/// Where an entry point is kept, apart from its type.
template <typename Function> static void *place(Function *function) { return static_cast<void *>(function); }

std::optional<Error> GpuDriver::find(void *library, const std::string &path) {
  GpuApi &f = functions;
  const Entry entries[] = {
      {place(&f.init), "cuInit", "hipInit", Both},
      {place(&f.driverVersion), "cuDriverGetVersion", "hipRuntimeGetVersion", Both},
      {place(&f.deviceCount), "cuDeviceGetCount", "hipGetDeviceCount", Both},
      {place(&f.deviceGet), "cuDeviceGet", "hipDeviceGet", Both},
      {place(&f.deviceName), "cuDeviceGetName", "hipDeviceGetName", Both},
      {place(&f.deviceMemory), "cuDeviceTotalMem_v2", "hipDeviceTotalMem", Both},
      {place(&f.deviceAttribute), "cuDeviceGetAttribute", "hipDeviceGetAttribute", Both},
      {place(&f.memoryInfo), "cuMemGetInfo_v2", "hipMemGetInfo", Both},
      {place(&f.allocate), "cuMemAlloc_v2", "hipMalloc", Both},
      {place(&f.free), "cuMemFree_v2", "hipFree", Both},
      {place(&f.allocateAsync), "cuMemAllocAsync", "hipMallocAsync", Optional},
      {place(&f.freeAsync), "cuMemFreeAsync", "hipFreeAsync", Optional},
      {place(&f.copyToDevice), "cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync", Both},
      {place(&f.copyToHost), "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync", Both},
      {place(&f.fill), "cuMemsetD8Async", "hipMemsetD8Async", Both},
      {place(&f.moduleLoad), "cuModuleLoadDataEx", "hipModuleLoadDataEx", Both},
      {place(&f.moduleUnload), "cuModuleUnload", "hipModuleUnload", Both},
      {place(&f.moduleFunction), "cuModuleGetFunction", "hipModuleGetFunction", Both},
      {place(&f.functionAttribute), "cuFuncGetAttribute", "hipFuncGetAttribute", Both},
      {place(&f.setFunctionAttribute), "cuFuncSetAttribute", nullptr, CudaOnly},
      {place(&f.launch), "cuLaunchKernel", "hipModuleLaunchKernel", Both},
      {place(&f.streamSynchronize), "cuStreamSynchronize", "hipStreamSynchronize", Both},
      {place(&f.streamIsCapturing), "cuStreamIsCapturing", "hipStreamIsCapturing", Optional},
      {place(&f.streamWaitEvent), "cuStreamWaitEvent", "hipStreamWaitEvent", Both},
      {place(&f.contextSynchronize), "cuCtxSynchronize", "hipDeviceSynchronize", Both},
      {place(&f.eventCreate), "cuEventCreate", "hipEventCreateWithFlags", Both},
      {place(&f.eventDestroy), "cuEventDestroy_v2", "hipEventDestroy", Both},
      {place(&f.eventRecord), "cuEventRecord", "hipEventRecord", Both},
      {place(&f.eventSynchronize), "cuEventSynchronize", "hipEventSynchronize", Both},
      {place(&f.eventQuery), "cuEventQuery", "hipEventQuery", Both},
      {place(&f.eventElapsed), "cuEventElapsedTime", "hipEventElapsedTime", Both},
      {place(&f.pointerAttribute), "cuPointerGetAttribute", "hipPointerGetAttribute", Both},
      {place(&f.contextRetain), "cuDevicePrimaryCtxRetain", nullptr, CudaOnly},
      {place(&f.contextRelease), "cuDevicePrimaryCtxRelease_v2", nullptr, CudaOnly},
      {place(&f.contextCurrent), "cuCtxGetCurrent", nullptr, CudaOnly},
      {place(&f.contextPush), "cuCtxPushCurrent_v2", nullptr, CudaOnly},
      {place(&f.contextPop), "cuCtxPopCurrent_v2", nullptr, CudaOnly},
      {place(&f.errorName), "cuGetErrorName", nullptr, CudaOnly},
      {place(&f.errorText), "cuGetErrorString", nullptr, CudaOnly},
      {place(&f.tensorMap), "cuTensorMapEncodeTiled", nullptr, CudaOptional},
      {place(&f.currentDevice), nullptr, "hipGetDevice", HipOnly},
      {place(&f.setDevice), nullptr, "hipSetDevice", HipOnly},
      {place(&f.deviceProperties), nullptr, "hipGetDevicePropertiesR0600", HipOnly},
      {place(&f.hipErrorName), nullptr, "hipGetErrorName", HipOnly},
      {place(&f.hipErrorText), nullptr, "hipGetErrorString", HipOnly},
  };
  const bool cuda = maker == Vendor::Cuda;
  for (const Entry &entry : entries) {
    const char *symbol = cuda ? entry.cuda : entry.hip;
    if (!symbol)
      continue;
    void *address = ::dlsym(library, symbol);
    const bool required = entry.need == Both || entry.need == (cuda ? CudaOnly : HipOnly);
    if (!address && required)
      return Error{FLASHC_ERROR_TARGET, path + ": expected a driver with \"" + symbol + "\" (" +
                                            (cuda ? "CUDA 11" : "ROCm 6") + " or newer), got one without"};
    *static_cast<void **>(entry.place) = address;
  }
  return std::nullopt;
}

std::optional<Error> GpuDriver::start(const std::string &path) {
  const bool cuda = maker == Vendor::Cuda;
  if (int code = functions.init(0)) {
    Error failure = error(cuda ? "cuInit" : "hipInit", code);
    return Error{FLASHC_ERROR_TARGET, path + ": " + failure.message};
  }
  int version = 0;
  if (int code = functions.driverVersion(&version))
    return error(cuda ? "cuDriverGetVersion" : "hipRuntimeGetVersion", code);
  versionText = describeVersion(maker, version);
  major = cuda ? version / 1000 : version / 10000000;
  return std::nullopt;
}

Error GpuDriver::error(const std::string &what, int code) const {
  const char *name = nullptr, *text = nullptr;
  if (maker == Vendor::Hip) {
    name = functions.hipErrorName(code);
    text = functions.hipErrorText(code);
  } else if (functions.errorName(code, &name) || functions.errorText(code, &text)) {
    name = nullptr;
  }
  flashc_status status = FLASHC_ERROR_DEVICE;
  if (code == gpuOutOfMemory)
    status = FLASHC_ERROR_MEMORY;
  else if (code == gpuNoBinary || code == gpuUnsupportedPtx)
    status = FLASHC_ERROR_TARGET;
  else if (code == gpuInvalidImage || code == gpuInvalidPtx)
    status = FLASHC_ERROR_FORMAT;
  return {status,
          what + ": " + (name ? name : "error " + std::to_string(code)) + (text ? std::string(": ") + text : "")};
}

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

std::optional<Error> GpuDriver::find(void *library, const std::string &path) {
  GpuApi &f = functions;
  const Entry entries[] = {
      {&f.init, "cuInit", "hipInit", Both},
      {&f.driverVersion, "cuDriverGetVersion", "hipRuntimeGetVersion", Both},
      {&f.deviceCount, "cuDeviceGetCount", "hipGetDeviceCount", Both},
      {&f.deviceGet, "cuDeviceGet", "hipDeviceGet", Both},
      {&f.deviceName, "cuDeviceGetName", "hipDeviceGetName", Both},
      {&f.deviceMemory, "cuDeviceTotalMem_v2", "hipDeviceTotalMem", Both},
      {&f.deviceAttribute, "cuDeviceGetAttribute", "hipDeviceGetAttribute", Both},
      {&f.memoryInfo, "cuMemGetInfo_v2", "hipMemGetInfo", Both},
      {&f.allocate, "cuMemAlloc_v2", "hipMalloc", Both},
      {&f.free, "cuMemFree_v2", "hipFree", Both},
      {&f.allocateAsync, "cuMemAllocAsync", "hipMallocAsync", Optional},
      {&f.freeAsync, "cuMemFreeAsync", "hipFreeAsync", Optional},
      {&f.copyToDevice, "cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync", Both},
      {&f.copyToHost, "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync", Both},
      {&f.fill, "cuMemsetD8Async", "hipMemsetD8Async", Both},
      {&f.moduleLoad, "cuModuleLoadDataEx", "hipModuleLoadDataEx", Both},
      {&f.moduleUnload, "cuModuleUnload", "hipModuleUnload", Both},
      {&f.moduleFunction, "cuModuleGetFunction", "hipModuleGetFunction", Both},
      {&f.functionAttribute, "cuFuncGetAttribute", "hipFuncGetAttribute", Both},
      {&f.setFunctionAttribute, "cuFuncSetAttribute", nullptr, CudaOnly},
      {&f.launch, "cuLaunchKernel", "hipModuleLaunchKernel", Both},
      {&f.streamSynchronize, "cuStreamSynchronize", "hipStreamSynchronize", Both},
      {&f.streamIsCapturing, "cuStreamIsCapturing", "hipStreamIsCapturing", Optional},
      {&f.streamWaitEvent, "cuStreamWaitEvent", "hipStreamWaitEvent", Both},
      {&f.contextSynchronize, "cuCtxSynchronize", "hipDeviceSynchronize", Both},
      {&f.eventCreate, "cuEventCreate", "hipEventCreateWithFlags", Both},
      {&f.eventDestroy, "cuEventDestroy_v2", "hipEventDestroy", Both},
      {&f.eventRecord, "cuEventRecord", "hipEventRecord", Both},
      {&f.eventSynchronize, "cuEventSynchronize", "hipEventSynchronize", Both},
      {&f.eventElapsed, "cuEventElapsedTime", "hipEventElapsedTime", Both},
      {&f.pointerAttribute, "cuPointerGetAttribute", "hipPointerGetAttribute", Both},
      {&f.contextRetain, "cuDevicePrimaryCtxRetain", nullptr, CudaOnly},
      {&f.contextRelease, "cuDevicePrimaryCtxRelease_v2", nullptr, CudaOnly},
      {&f.contextCurrent, "cuCtxGetCurrent", nullptr, CudaOnly},
      {&f.contextPush, "cuCtxPushCurrent_v2", nullptr, CudaOnly},
      {&f.contextPop, "cuCtxPopCurrent_v2", nullptr, CudaOnly},
      {&f.errorName, "cuGetErrorName", nullptr, CudaOnly},
      {&f.errorText, "cuGetErrorString", nullptr, CudaOnly},
      {&f.tensorMap, "cuTensorMapEncodeTiled", nullptr, CudaOptional},
      {&f.currentDevice, nullptr, "hipGetDevice", HipOnly},
      {&f.setDevice, nullptr, "hipSetDevice", HipOnly},
      {&f.deviceProperties, nullptr, "hipGetDevicePropertiesR0600", HipOnly},
      {&f.hipErrorName, nullptr, "hipGetErrorName", HipOnly},
      {&f.hipErrorText, nullptr, "hipGetErrorString", HipOnly},
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

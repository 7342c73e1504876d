//===- GpuDriver.h - a GPU vendor's driver, found at run time -----------------===//
//
// CUDA's driver API and HIP have the same functions under other names. What this runtime uses of them is declared here,
// so that neither's headers nor libraries are needed to build it, and neither's libraries to start it.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_GPUDRIVER_H
#define FLASHC_RUNTIME_DEVICES_GPUDRIVER_H

#include "runtime/Error.h"

#include <memory>
#include <optional>
#include <string>

namespace flashc {

/// The functions of a driver. 0 is success; every other result is one of the driver's own codes, which CUDA and HIP
/// number alike. Handles and device addresses are pointers. One that is not required may be null.
struct GpuApi {
  int (*init)(unsigned flags);
  int (*driverVersion)(int *version);
  int (*deviceCount)(int *count);
  int (*deviceGet)(int *device, int ordinal);
  int (*deviceName)(char *name, int size, int device);
  int (*deviceMemory)(size_t *bytes, int device);
  int (*deviceAttribute)(int *value, int attribute, int device);
  int (*memoryInfo)(size_t *free, size_t *total);
  int (*allocate)(void **memory, size_t bytes);
  int (*free)(void *memory);
  int (*allocateAsync)(void **memory, size_t bytes, void *stream); ///< not required
  int (*freeAsync)(void *memory, void *stream);                    ///< not required
  int (*copyToDevice)(void *to, const void *from, size_t bytes, void *stream);
  int (*copyToHost)(void *to, void *from, size_t bytes, void *stream);
  int (*fill)(void *memory, unsigned char value, size_t bytes, void *stream);
  int (*moduleLoad)(void **module, const void *image, unsigned numOptions, int *options, void **values);
  int (*moduleUnload)(void *module);
  int (*moduleFunction)(void **function, void *module, const char *name);
  int (*functionAttribute)(int *value, int attribute, void *function);
  int (*setFunctionAttribute)(void *function, int attribute, int value); ///< CUDA
  int (*launch)(void *function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,
                unsigned blockZ, unsigned sharedBytes, void *stream, void **params, void **extra);
  int (*streamSynchronize)(void *stream);
  int (*streamIsCapturing)(void *stream, int *status); ///< not required
  int (*streamWaitEvent)(void *stream, void *event, unsigned flags);
  int (*contextSynchronize)();
  int (*eventCreate)(void **event, unsigned flags);
  int (*eventDestroy)(void *event);
  int (*eventRecord)(void *event, void *stream);
  int (*eventSynchronize)(void *event);
  int (*eventQuery)(void *event);
  int (*eventElapsed)(float *milliseconds, void *begin, void *end);
  int (*pointerAttribute)(void *value, int attribute, void *pointer);

  // CUDA alone: a device's context is made current for the time of a call.
  int (*contextRetain)(void **context, int device);
  int (*contextRelease)(int device);
  int (*contextCurrent)(void **context);
  int (*contextPush)(void *context);
  int (*contextPop)(void **context);
  int (*errorName)(int error, const char **name);
  int (*errorText)(int error, const char **text);
  int (*tensorMap)(void *map, int type, uint32_t rank, void *address, const uint64_t *sizes, const uint64_t *strides,
                   const uint32_t *box, const uint32_t *elementStrides, int interleave, int swizzle, int promotion,
                   int fill); ///< not required

  // HIP alone: a device is made current.
  int (*currentDevice)(int *ordinal);
  int (*setDevice)(int ordinal);
  int (*deviceProperties)(void *properties, int ordinal);
  const char *(*hipErrorName)(int error);
  const char *(*hipErrorText)(int error);
};

/// Codes that mean the same in both drivers.
enum GpuResult {
  gpuSuccess = 0,
  gpuInvalidValue = 1,
  gpuOutOfMemory = 2,
  gpuNoDevice = 100,
  gpuInvalidImage = 200,
  gpuNoBinary = 209,
  gpuInvalidPtx = 218,
  gpuUnsupportedPtx = 222,
  gpuNotReady = 600
};

/// An opened driver; never closed, as drivers do not survive that.
class GpuDriver {
public:
  enum class Vendor { Cuda, Hip };

  /// Opens `library`; where that is empty, what the vendor's environment variable says (FLASHC_CUDA_LIBRARY,
  /// FLASHC_HIP_LIBRARY; set but empty means that there is none), else the system's libcuda.so.1 or libamdhip64.so.
  /// Initialises the driver. The error is the reason why the machine has no device of this kind.
  static Result<std::shared_ptr<GpuDriver>> open(Vendor vendor, const std::string &library = "");

  const GpuApi &api() const { return functions; }
  Vendor vendor() const { return maker; }
  /// "cuda", "hip".
  const char *name() const { return maker == Vendor::Cuda ? "cuda" : "hip"; }
  /// "CUDA driver 12.8", "HIP 6.4".
  const std::string &version() const { return versionText; }
  int majorVersion() const { return major; }

  /// "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY: out of memory" as an error; `what` is the function, in CUDA's words.
  Error error(const std::string &what, int code) const;

private:
  GpuDriver() = default;
  std::optional<Error> find(void *library, const std::string &path);
  std::optional<Error> start(const std::string &path);

  GpuApi functions{};
  Vendor maker = Vendor::Cuda;
  std::string versionText;
  int major = 0;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_GPUDRIVER_H

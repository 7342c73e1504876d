// A driver of an emulated chip, with the functions of CUDA's and of HIP's that scripts/micro_tests.py calls: what runs
// the instruction tests on a chip runs them here, and by its results nobody can tell the two apart. A module is LLVM
// IR.
//
// FLASHC_DRIVER_CHIP names the chip. A module that holds "; driver: hang", "; driver: crash", "; driver: fault" or
// "; driver: wrong" has that happen at its launch. After a fault the process gets nothing but errors, as on a GPU.

#include "emulator/EmulatedGpu.h"
#include "emulator/TensorMap.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <unistd.h>

using namespace flashc;
using namespace flashc::emulator;

namespace {
enum Status { Success = 0, InvalidValue = 1, OutOfMemory = 2, InvalidImage = 200, NotFound = 500, Fault = 700 };

struct Module {
  std::shared_ptr<const Image> image;
  std::string trouble;
};

const Chip *chip() {
  static const Chip *const found = [] {
    const char *name = std::getenv("FLASHC_DRIVER_CHIP");
    return name ? findChip(name) : nullptr;
  }();
  return found;
}

std::map<uint64_t, size_t> allocations;
bool faulted = false;

int allocate(void **memory, size_t bytes) {
  if (faulted)
    return Fault;
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*memory)
    return OutOfMemory;
  allocations[reinterpret_cast<uint64_t>(*memory)] = bytes;
  return Success;
}

int release(void *memory) {
  if (!allocations.erase(reinterpret_cast<uint64_t>(memory)))
    return InvalidValue;
  std::free(memory);
  return faulted ? Fault : Success;
}

int copy(void *to, const void *from, size_t bytes) {
  if (!faulted)
    std::memcpy(to, from, bytes);
  return faulted ? Fault : Success;
}

int load(Module **module, const char *text) {
  if (faulted)
    return Fault;
  auto image = loadImage(text, *chip());
  if (!image) {
    std::fprintf(stderr, "%s\n", image.error().message.c_str());
    return InvalidImage;
  }
  std::string trouble;
  if (const char *found = std::strstr(text, "; driver: "))
    trouble = std::string(found + 10, std::strcspn(found + 10, "\n"));
  *module = new Module{*image, trouble};
  return Success;
}

int unload(Module *module) {
  delete module;
  return faulted ? Fault : Success;
}

int find(Module **function, Module *module, const char *name) {
  for (const std::string &kernel : module->image->kernels())
    if (kernel == name)
      return *function = module, faulted ? Fault : Success;
  return NotFound;
}

int launch(Module *function, unsigned blocks, unsigned threads, unsigned shared, void **params) {
  if (faulted)
    return Fault;
  if (function->trouble == "hang")
    for (;;)
      pause();
  if (function->trouble == "crash")
    std::raise(SIGSEGV);
  Launch what;
  what.kernel = "micro";
  what.blocks = blocks;
  what.threads = threads;
  what.sharedBytes = shared;
  what.params = params;
  for (const auto &[begin, bytes] : allocations)
    what.memory.add({begin, bytes, true, "memory"});
  const auto finding = launchKernel(*function->image, what);
  if (finding)
    std::fprintf(stderr, "%s\n", finding->text().c_str());
  // The kernel's second parameter is where its results are.
  if (function->trouble == "wrong")
    **static_cast<unsigned char **>(params[1]) ^= 1;
  faulted = finding || function->trouble == "fault";
  return Success;
}
} // namespace

#define DRIVER_API extern "C" __attribute__((visibility("default")))

// CUDA's, of an NVIDIA chip.
DRIVER_API int cuInit(unsigned) { return chip() && chip()->vendor == Vendor::Nvidia ? Success : InvalidValue; }
DRIVER_API int cuDeviceGet(int *device, int ordinal) { return *device = 0, ordinal ? InvalidValue : Success; }
DRIVER_API int cuDeviceGetAttribute(int *value, int attribute, int) {
  const int capability = std::atoi(std::string(chip()->name).c_str() + 3);
  *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 0;
  return Success;
}
DRIVER_API int cuDevicePrimaryCtxRetain(void **context, int) {
  static int any;
  return *context = &any, Success;
}
DRIVER_API int cuCtxSetCurrent(void *context) { return context ? Success : InvalidValue; }
DRIVER_API int cuCtxSynchronize() { return faulted ? Fault : Success; }
DRIVER_API int cuMemAlloc_v2(void **memory, size_t bytes) { return allocate(memory, bytes); }
DRIVER_API int cuMemFree_v2(void *memory) { return release(memory); }
DRIVER_API int cuMemcpyHtoD_v2(void *to, const void *from, size_t bytes) { return copy(to, from, bytes); }
DRIVER_API int cuMemcpyDtoH_v2(void *to, const void *from, size_t bytes) { return copy(to, from, bytes); }
DRIVER_API int cuModuleLoadData(Module **module, const char *image) { return load(module, image); }
DRIVER_API int cuModuleUnload(Module *module) { return unload(module); }
DRIVER_API int cuModuleGetFunction(Module **function, Module *module, const char *name) {
  return find(function, module, name);
}
DRIVER_API int cuFuncSetAttribute(Module *, int attribute, int bytes) {
  return attribute == 8 && bytes <= 227 << 10 ? Success : InvalidValue;
}
DRIVER_API int cuLaunchKernel(Module *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned ty,
                              unsigned tz, unsigned shared, void *stream, void **params, void **extra) {
  if (y != 1 || z != 1 || ty != 1 || tz != 1 || stream || extra)
    return InvalidValue;
  return launch(function, x, threads, shared, params);
}
DRIVER_API int cuTensorMapEncodeTiled(void *map, int kind, uint32_t rank, void *address, const uint64_t *size,
                                      const uint64_t *strides, const uint32_t *box, const uint32_t *elementStrides,
                                      int interleave, int swizzle, int promotion, int fill) {
  flashc_tensor_map what = {};
  what.dtype = kind == 8 ? FLASHC_F64 : kind == 7 ? FLASHC_F32 : kind == 6 ? FLASHC_F16 : FLASHC_BF16;
  what.rank = rank;
  what.address = address;
  for (uint32_t i = 0; i < rank && i < 5; ++i) {
    what.size[i] = size[i];
    what.box[i] = box[i];
    what.element_stride[i] = elementStrides[i];
    if (i + 1 < rank)
      what.stride_bytes[i] = strides[i];
  }
  what.interleave = uint32_t(interleave) * 16;
  what.swizzle = swizzle ? 16u << swizzle : 0;
  what.l2_promotion = promotion ? 32u << promotion : 0;
  what.fill_nan = uint32_t(fill);
  if (const auto error = encodeTensorMap(what, map)) {
    std::fprintf(stderr, "%s\n", error->message.c_str());
    return InvalidValue;
  }
  return Success;
}

// HIP's, of one of AMD's.
DRIVER_API int hipInit(unsigned) { return chip() && chip()->vendor == Vendor::Amd ? Success : InvalidValue; }
DRIVER_API int hipGetDeviceProperties(char *properties, int) {
  // Somewhere among them, with the chip's settings behind it.
  std::strcpy(properties + 396, (std::string(chip()->name) + ":sramecc+:xnack-").c_str());
  return Success;
}
DRIVER_API int hipMalloc(void **memory, size_t bytes) { return allocate(memory, bytes); }
DRIVER_API int hipFree(void *memory) { return release(memory); }
DRIVER_API int hipMemcpyHtoD(void *to, const void *from, size_t bytes) { return copy(to, from, bytes); }
DRIVER_API int hipMemcpyDtoH(void *to, const void *from, size_t bytes) { return copy(to, from, bytes); }
DRIVER_API int hipModuleLoadData(Module **module, const char *image) { return load(module, image); }
DRIVER_API int hipModuleUnload(Module *module) { return unload(module); }
DRIVER_API int hipModuleGetFunction(Module **function, Module *module, const char *name) {
  return find(function, module, name);
}
DRIVER_API int hipModuleLaunchKernel(Module *function, unsigned x, unsigned y, unsigned z, unsigned threads,
                                     unsigned ty, unsigned tz, unsigned shared, void *stream, void **params,
                                     void **extra) {
  return cuLaunchKernel(function, x, y, z, threads, ty, tz, shared, stream, params, extra);
}
DRIVER_API int hipDeviceSynchronize() { return faulted ? Fault : Success; }

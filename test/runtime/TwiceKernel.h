/// A kernel for the fake drivers: y = 2 x, which they compute.
#ifndef FLASHC_TEST_RUNTIME_TWICEKERNEL_H
#define FLASHC_TEST_RUNTIME_TWICEKERNEL_H

#include "TestKernel.h"

namespace flashc::test {

/// What the host side of the kernel launches; each test has its own.
struct Launched {
  flashc_device_function function{};
  flashc_tensor_map map{};
  bool encodes = false;
  alignas(64) char encoded[128] = {};
  int32_t multiprocessors = -1; ///< what the host said
};
inline thread_local Launched *launched = nullptr;

inline size_t workspaceSize(const flashc_args *) { return 1000; }

/// y = 2 x, on the device.
inline flashc_status run(const flashc_args *args, void *stream, void *workspace, size_t) {
  if (!args->host || !args->host->launch)
    return FLASHC_ERROR_TARGET;
  launched->multiprocessors = args->host->multiprocessors;
  if (launched->encodes)
    if (flashc_status status = args->host->encode_tensor_map(args->host->user, launched->encoded, &launched->map))
      return status;
  int64_t count = args->tensors[0].size[0];
  void *x = args->tensors[0].data, *y = args->tensors[1].data;
  void *params[] = {static_cast<void *>(&x), static_cast<void *>(&y), &count, static_cast<void *>(&workspace)};
  const int64_t threads = launched->function.threads;
  return args->host->launch(args->host->user, &launched->function, (count + threads - 1) / threads, params, stream);
}

inline const flashc_operand_info operands[] = {operand("x", FLASHC_F32, {FLASHC_SIZE_QUERIES}),
                                               operand("y", FLASHC_F32, {FLASHC_SIZE_QUERIES}, FLASHC_OPERAND_OUTPUT)};
inline const flashc_kernel_info kernelInfo{
    FLASHC_ABI_VERSION, sizeof(flashc_kernel_info), "twice", "nvptx:sm_80", 2, 0, operands, "{}"};
inline const flashc_kernel kernel{&kernelInfo, workspaceSize, run};
inline const uint32_t paramBytes[] = {8, 8, 8, 8};

} // namespace flashc::test

#endif // FLASHC_TEST_RUNTIME_TWICEKERNEL_H

//===- Kernel.cpp - calling a kernel, with a workspace that stays -----------===//

#include "runtime/CallWork.h"
#include "runtime/Error.h"
#include "runtime/FloatMode.h"
#include "runtime/devices/Device.h"

#include <cstdlib>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

using namespace flashc;

namespace {

constexpr size_t kernelAlignment = 64;
constexpr size_t hugePage = size_t(2) << 20;

/// Memory aligned to 64 bytes, or null. Large blocks ask for huge pages: packed keys and values are read over and over.
void *allocateAligned(size_t size) {
  const size_t alignment = size >= hugePage ? hugePage : kernelAlignment;
  void *memory = nullptr;
  if (posix_memalign(&memory, alignment, size) != 0)
    return nullptr;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (alignment == hugePage)
    madvise(memory, size & ~(hugePage - 1), MADV_HUGEPAGE); // advice: without it the memory works as well
#endif
  return memory;
}

/// The calling thread's memory for kernels: it grows to the largest call and stays until the thread ends.
class Workspace {
public:
  ~Workspace() { std::free(memory); }

  /// At least `size` bytes, or null. What an earlier call kept there is lost.
  void *get(size_t size) {
    if (size > capacity) {
      release();
      memory = allocateAligned(size);
      capacity = memory ? size : 0;
    }
    return memory;
  }

  void release() {
    std::free(memory);
    memory = nullptr;
    capacity = 0;
  }

  bool inUse = false;

private:
  void *memory = nullptr;
  size_t capacity = 0;
};

thread_local Workspace workspace;

/// The thread's workspace, or memory of its own for a kernel that runs inside another kernel's task.
class WorkspaceLease {
public:
  explicit WorkspaceLease(size_t size) : nested(workspace.inUse) {
    if (size == 0)
      return;
    pointer = nested ? allocateAligned(size) : workspace.get(size);
    workspace.inUse = true;
  }
  ~WorkspaceLease() {
    if (nested)
      std::free(pointer);
    else
      workspace.inUse = false;
  }
  WorkspaceLease(const WorkspaceLease &) = delete;
  WorkspaceLease &operator=(const WorkspaceLease &) = delete;

  void *pointer = nullptr;

private:
  const bool nested;
};

/// A kernel whose target is another device than the CPU: on the default stream of the device that suits it best.
flashc_status runOnDevice(const flashc_kernel &kernel, const flashc_args &args) {
  Result<Device *> device = deviceForTarget(kernel.info->target);
  if (!device)
    return setLastError(device.error().status, "%.63s: %s", kernel.info->name, device.error().message.c_str());
  if (std::optional<Error> error = (*device)->launch(kernel, args))
    return setLastError(*error);
  return FLASHC_OK;
}

bool isForCpu(const flashc_kernel_info &info) {
  return std::strncmp(info.target, "cpu", 3) == 0 && (info.target[3] == ':' || info.target[3] == '\0');
}
} // namespace

flashc_status flashc_kernel_run_unchecked(const flashc_kernel *kernel, const flashc_args *given) {
  if (!isForCpu(*kernel->info))
    return runOnDevice(*kernel, *given);
  flashc_args chosen = *given;
  // Waking a worker would take longer than a small call does. Results do not depend on who runs the tasks.
  if (estimateWork(*kernel->info, chosen) < smallCallWork)
    chosen.host = nullptr;
  const flashc_args *args = &chosen;
  const size_t size = kernel->workspace_size(args);
  const WorkspaceLease lease(size);
  if (size && !lease.pointer)
    return setLastError(FLASHC_ERROR_MEMORY, "%.63s: no memory for a workspace of %zu bytes", kernel->info->name, size);
  // Also for the code outside of the tasks, and for a host that does not do it, so that all hosts give the same bits.
  const ScopedFloatMode scope(FloatMode::FlushToZero);
  const flashc_status status = kernel->run(args, nullptr, lease.pointer, size);
  if (status != FLASHC_OK)
    return setLastError(status, "%.63s: the kernel refused the call: %s", kernel->info->name,
                        flashc_status_string(status));
  return FLASHC_OK;
}

flashc_status flashc_kernel_run(const flashc_kernel *kernel, const flashc_args *args) {
  if (!kernel || !kernel->info || !kernel->workspace_size || !kernel->run)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_kernel_run: expected a kernel, got null");
  if (flashc_status status = flashc_check_args(kernel->info, args, nullptr, 0))
    return status;
  return flashc_kernel_run_unchecked(kernel, args);
}

void flashc_workspace_release(void) {
  if (!workspace.inUse)
    workspace.release();
}

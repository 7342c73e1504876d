/// Runs kernels given as IR text on the emulated chips.
#ifndef FLASHC_TEST_EMULATOR_RUNKERNEL_H
#define FLASHC_TEST_EMULATOR_RUNKERNEL_H

#include "emulator/EmulatedGpu.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace flashc::test {

/// What a kernel of sm_80 starts with.
inline const char *const nvptxHeader = R"(
target datalayout = "e-i64:64-i128:128-v16:16-v32:32-n16:32:64"
target triple = "nvptx64-nvidia-cuda"
)";

/// One kernel with its buffers, each a parameter that is a pointer.
class KernelRun {
public:
  emulator::Launch launch;

  KernelRun(const std::string &ir, const char *chip = "sm_80") {
    const bool nvidia = std::string(chip).rfind("sm_", 0) == 0;
    auto loaded = emulator::loadImage((nvidia ? nvptxHeader : "") + ir, *emulator::findChip(chip));
    if (loaded)
      image = *loaded;
    else
      problem = loaded.error().message;
  }

  template <typename T> void buffer(const char *name, std::vector<T> &data, bool writable = true) {
    pointers.push_back(data.data());
    launch.memory.add({reinterpret_cast<uint64_t>(data.data()), data.size() * sizeof(T), writable, name});
  }

  /// "" or the finding's text.
  std::string run() {
    if (!image)
      return problem;
    std::vector<void *> params;
    for (void *&pointer : pointers)
      params.push_back(&pointer);
    launch.params = params.data();
    const std::string kernel = image->kernels().front();
    launch.kernel = kernel;
    const auto finding = emulator::launchKernel(*image, launch);
    return finding ? finding->text() : "";
  }

private:
  std::shared_ptr<const emulator::Image> image;
  std::string problem;
  std::vector<void *> pointers;
};

} // namespace flashc::test

#endif // FLASHC_TEST_EMULATOR_RUNKERNEL_H

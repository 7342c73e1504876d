//===- EmulatedGpu.h - executes a kernel's LLVM IR on the CPU ------------------===//
#ifndef FLASHC_EMULATOR_EMULATEDGPU_H
#define FLASHC_EMULATOR_EMULATEDGPU_H

#include "emulator/Block.h"
#include "emulator/Chip.h"
#include "emulator/Finding.h"
#include "emulator/GlobalMemory.h"
#include "runtime/Error.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace flashc::emulator {

/// A module made executable: its kernels as host code that calls the emulator. Immutable, shared by launches.
class Image {
public:
  virtual ~Image() = default;
  virtual const Chip &chip() const = 0;
  /// The names of its kernels.
  virtual std::vector<std::string> kernels() const = 0;
};

struct Launch {
  std::string_view kernel;
  int64_t blocks = 1;
  unsigned threads = 1;          ///< of a block
  uint64_t sharedBytes = 0;      ///< dynamic, of a block
  void *const *params = nullptr; ///< the address of each parameter's value, as cuLaunchKernel takes them
  GlobalMemory memory;           ///< what the kernel may touch
  AsyncOrder asyncOrder = AsyncOrder::Late;
  uint64_t seed = 0;            ///< of random orders
  unsigned workers = 1;         ///< host threads, each with whole blocks
  Planting *planting = nullptr; ///< of a kernel with planted bugs
};

/// Makes a module's text executable for a chip, all of its kernels or one: FLASHC_ERROR_FORMAT for text that is no IR,
/// FLASHC_ERROR_TARGET for an instruction that the emulator does not know, by name.
Result<std::shared_ptr<const Image>> loadImage(std::string_view irText, const Chip &chip, std::string_view kernel = {});

/// Runs a kernel to its end. The first finding, if any; of several workers', the one of the lowest block.
std::optional<Finding> launchKernel(const Image &image, const Launch &launch);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_EMULATEDGPU_H

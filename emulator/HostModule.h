//===- HostModule.h - a GPU's module as a module for the host ------------------===//
//
// Three steps, on the module itself and then into a new one:
//   prepareModule      kernels alone, everything else inlined; no constant expression of shared memory
//   instrumentKernel   loads, stores and instructions of the GPU become calls of the emulator
//   makeHostModule     address spaces fall away, the host's data layout replaces the kernel's
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_EMULATOR_HOSTMODULE_H
#define FLASHC_EMULATOR_HOSTMODULE_H

#include "emulator/Access.h"
#include "emulator/AsmProgram.h"
#include "emulator/Chip.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/ModuleSlotTracker.h"

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace flashc::emulator {

/// What the host code of an image refers to by address; lives as long as it.
struct ImageParts {
  std::deque<AccessSite> accesses;
  std::deque<Call> calls;
  std::deque<AsmProgram> programs;
  /// Shared memory that variables take, before the dynamic part, and the places of the variables.
  uint64_t staticShared = 0;
  llvm::DenseMap<const llvm::GlobalVariable *, uint64_t> sharedOffsets;
  std::vector<std::string> kernels;
  /// Blocks of a cluster in x, y and z, by kernel; of those that say so.
  std::map<std::string, std::array<unsigned, 3>, std::less<>> clusters;
  /// Bytes of the image's constants and variables, in the order of the table `flashc.variables`.
  std::vector<std::pair<std::string, uint64_t>> variables;
  std::vector<bool> variableWritable;
};

/// Whether a function with a body is an entry: by calling convention or, on NVIDIA, by nvvm.annotations.
bool isKernel(const llvm::Function &function);

/// A module that has been parsed and verified. Fills in the places of shared variables.
Result<std::vector<llvm::Function *>> prepareModule(llvm::Module &module, ImageParts &parts);

/// Puts the thread as first parameter before the kernel's own and instruments the body; the old function is erased.
Result<llvm::Function *> instrumentKernel(llvm::Function &kernel, const Chip &chip, ImageParts &parts);

/// A module with a function `void NAME(ptr thread, ptr params)` for each instrumented kernel.
std::unique_ptr<llvm::Module> makeHostModule(llvm::Module &module, llvm::ArrayRef<llvm::Function *> kernels,
                                             const llvm::DataLayout &layout, llvm::StringRef triple, ImageParts &parts);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_HOSTMODULE_H

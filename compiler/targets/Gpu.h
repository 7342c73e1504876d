/// What the GPU targets share: a host that launches, and the tools that make binaries.
#ifndef FLASHC_COMPILER_TARGETS_GPU_H
#define FLASHC_COMPILER_TARGETS_GPU_H

#include "compiler/DeviceCode.h"
#include "compiler/Target.h"

namespace flashc {

/// The chips of each vendor by name; null for a name that is not one of them.
std::unique_ptr<DeviceTarget> createNvptxDevice(llvm::StringRef chip);
std::unique_ptr<DeviceTarget> createAmdgpuDevice(llvm::StringRef chip);
/// "sm_80, sm_86, ..." for messages.
std::string getNvptxChips();
std::string getAmdgpuChips();

/// A target called `name` whose kernels are launched on `device` by an x86-64 host of any level.
llvm::Expected<std::shared_ptr<const Target>> createGpuTarget(llvm::StringRef name,
                                                              std::unique_ptr<DeviceTarget> device);

/// LLVM's code generator for the triple.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createGpuMachine(llvm::StringRef triple, llvm::StringRef chip,
                                                                      llvm::StringRef features, int optLevel);

/// The path of a program: what the environment's `variable` says and nothing else where that is set, else the first of
/// `names` on the PATH or in one of `folders`; "" without one.
std::string findTool(llvm::StringRef variable, llvm::ArrayRef<llvm::StringRef> names,
                     llvm::ArrayRef<std::string> folders);

/// What to add to an error of a tool that was not found: that the environment's `variable` names what cannot be run; ""
/// where it is not set.
std::string describeMissingTool(llvm::StringRef variable);

/// Runs `program`, which reads a file of `input` and writes another, without a shell; gives the written file's bytes.
/// `arguments` get both paths. `suffix` is the input file's. An error holds what the program said; `log` gets it where
/// it succeeds.
llvm::Expected<std::string> runTool(
    llvm::StringRef program, llvm::StringRef input, llvm::StringRef suffix,
    llvm::function_ref<llvm::SmallVector<std::string>(llvm::StringRef inputPath, llvm::StringRef outputPath)> arguments,
    std::string *log = nullptr);

} // namespace flashc

#endif // FLASHC_COMPILER_TARGETS_GPU_H

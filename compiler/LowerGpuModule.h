/// The conversion of device code to the vendors' dialects.
#ifndef FLASHC_COMPILER_LOWERGPUMODULE_H
#define FLASHC_COMPILER_LOWERGPUMODULE_H

#include "mlir/Pass/Pass.h"

#include <memory>

namespace flashc {

/// `--lower-gpu-to-nvvm` and `--lower-gpu-to-rocdl`, on a gpu.module whose mathematical functions are LLVM's intrinsics
/// already (check-gpu-math, convert-math-to-llvm): functions, control flow, arithmetic, memory, vectors and the GPU
/// dialect become the LLVM dialect and the vendor's. Upstream's convert-gpu-to-nvvm and convert-gpu-to-rocdl refuse
/// these intrinsics in favour of a library of the vendor, which is not here; for the rest their patterns are used.
std::unique_ptr<mlir::Pass> createLowerGpuToNvvmPass();
std::unique_ptr<mlir::Pass> createLowerGpuToRocdlPass();
void registerLowerGpuModulePasses();

} // namespace flashc

#endif // FLASHC_COMPILER_LOWERGPUMODULE_H

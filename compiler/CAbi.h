/// The C face of a kernel: NAME_workspace_size and NAME_run of runtime/include/flashc/runtime.h.
#ifndef FLASHC_COMPILER_CABI_H
#define FLASHC_COMPILER_CABI_H

#include "compiler/KernelInterface.h"

#include "mlir/Pass/Pass.h"

namespace flashc {

/// Adds `@NAME_workspace_size` and `@NAME_run` for the kernel `func`, which plan-workspace and
/// outline-parallel-tasks or outline-gpu-kernels have given a workspace and a host, and the latter a stream and a
/// status to return. They check every argument and return a flashc_status; `func` becomes private. NAME_query is data
/// and is added to the LLVM module (compiler/Dispatch.h).
mlir::LogicalResult emitCAbi(mlir::func::FuncOp func);

/// `--emit-c-abi`: emitCAbi for every public function.
std::unique_ptr<mlir::Pass> createEmitCAbiPass();
void registerEmitCAbiPass();

} // namespace flashc

#endif // FLASHC_COMPILER_CABI_H

/// A kernel in parts that LLVM compiles beside each other.
///
/// Most of a kernel is the bodies of its tasks - the form for many rows, the form for few, packing, merging - and none
/// of them calls another: the C functions hand their addresses to the host's parallel_for. Each can be optimised and
/// compiled on a thread of its own, in an LLVMContext of its own.
#ifndef FLASHC_COMPILER_CODEPARTS_H
#define FLASHC_COMPILER_CODEPARTS_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <string>
#include <vector>

namespace flashc {

/// A task's function in a module of its own, and the name of that function.
struct TaskModule {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::string name;
};

struct KernelTasks {
  std::vector<TaskModule> tasks;
  /// Global variables that stayed behind and are used by tasks.
  std::vector<std::string> shared;
};

/// Moves each task out of `module`, whose functions are func's or LLVM's. A declaration stays behind; functions that
/// the task uses are copied, of global variables it gets declarations. Tasks and these variables get names that no
/// other variant has ("NAME_task0.1" for variant 1); LLVM's linkage and visibility are up to the caller.
KernelTasks takeTasks(mlir::ModuleOp module, unsigned variant);

/// Calls work(0), ..., work(count - 1), in any order, on as many threads as there are CPUs for this process; returns
/// when all have ended. The calling thread takes part, alone where no thread can be had.
void parallelFor(size_t count, llvm::function_ref<void(size_t)> work);

} // namespace flashc

#endif // FLASHC_COMPILER_CODEPARTS_H

// Every pass of flashc. One pass a file: Name.cpp, --kebab-name, test/passes/kebab-name.mlir.
#ifndef FLASHC_PASSES_TD
#define FLASHC_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// From a lowered function to one that a host can call
//===----------------------------------------------------------------------===//

def PlanWorkspace : Pass<"plan-workspace", "mlir::ModuleOp"> {
  let summary = "Carve every function-level allocation out of one workspace argument";
  let description = [{
    Each public function gets one more argument, `%workspace: memref<?xi8>`, 64-byte aligned, and every `memref.alloc`
    in its body becomes a view of it. A private function `@NAME_workspace_bytes` with the function's own arguments gives
    the number of bytes, by the same arithmetic. Allocations whose live ranges do not meet share bytes when all their
    sizes are static. Deallocations disappear.

    An allocation inside a loop or a branch, or one whose size comes from anything but constants and the sizes of
    arguments, is refused.

    Before:
    ```mlir
    func.func @f(%x: memref<?xf32>) {
      %c0 = arith.constant 0 : index
      %n = memref.dim %x, %c0 : memref<?xf32>
      %t = memref.alloc(%n) : memref<?xf32>
      memref.copy %x, %t : memref<?xf32> to memref<?xf32>
      return
    }
    ```
    After:
    ```mlir
    func.func @f(%x: memref<?xf32>, %workspace: memref<?xi8> {flashc.workspace}) {
      %c0 = arith.constant 0 : index
      %n = memref.dim %x, %c0 : memref<?xf32>
      %offset = arith.constant 0 : index
      %t = memref.view %workspace[%offset][%n] : memref<?xi8> to memref<?xf32>
      ...
      memref.copy %x, %t : memref<?xf32> to memref<?xf32>
      return
    }
    func.func private @f_workspace_bytes(%x: memref<?xf32>) -> index {
      ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect"];
  let statistics = [Statistic<"numCarved", "num-carved", "Allocations that became views of the workspace">];
}

def OutlineParallelTasks : Pass<"outline-parallel-tasks", "mlir::ModuleOp"> {
  let summary = "Turn each top-level scf.forall into a task function and a call of the host's parallel_for";
  let description = [{
    Each public function gets one more argument, `%host: !llvm.ptr` (a `flashc_host *`, or null). Each `scf.forall` at
    its top level becomes a private function `@NAME_task<N>(%context: !llvm.ptr, %task: i64, %worker: i32)`. What the
    body captures travels in a struct on the caller's stack; constants are rebuilt in the task. Task numbers follow the
    row-major order of the loop's dimensions, so the order of the dimensions decides the order of the tasks. With a null
    host, one worker or at most one task, the tasks run on the calling thread.

    Before:
    ```mlir
    func.func @f(%x: memref<?xf32>, %n: index) {
      %zero = arith.constant 0.0 : f32
      scf.forall (%i) in (%n) {
        memref.store %zero, %x[%i] : memref<?xf32>
      }
      return
    }
    ```
    After:
    ```mlir
    func.func @f(%x: memref<?xf32>, %n: index, %host: !llvm.ptr {flashc.host}) {
      ...
      // host->parallel_for(host->user, n, f_task0, context), where context = {x}
      llvm.call %parallel_for(%user, %count, %task_function, %context)
          : !llvm.ptr, (!llvm.ptr, i64, !llvm.ptr, !llvm.ptr) -> ()
      ...
    func.func private @f_task0(%context: !llvm.ptr, %task: i64, %worker: i32) ... {
      ...
      %zero = arith.constant 0.000000e+00 : f32
      %i = arith.index_cast %task : i64 to index
      memref.store %zero, %x_again[%i] : memref<?xf32>
      return
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::func::FuncDialect", "mlir::scf::SCFDialect",
                           "mlir::LLVM::LLVMDialect"];
  let statistics = [Statistic<"numTasks", "num-tasks", "Task functions outlined">];
}

#endif // FLASHC_PASSES_TD

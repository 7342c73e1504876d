// The passes between a CPU's vector code and its tasks. A file of its own, as others need not be built again for them.
#ifndef FLASHC_PASSES_TASKPASSES_TD
#define FLASHC_PASSES_TASKPASSES_TD

include "mlir/Pass/PassBase.td"

def PlaceLargeScratch : Pass<"place-large-scratch", "mlir::func::FuncOp"> {
  let summary = "Move a task's large buffers from its stack to memory with a slot for each worker";
  let description = [{
    A task runs on a thread that somebody else made, with a stack of a size that nobody promises: 8 MB in a Linux program, 512 KB
    or 128 KB elsewhere. Where the `memref.alloca`s of a parallel loop that becomes tasks need more than `stack-bytes` together,
    the largest ones become views of one `memref.alloc` of the function, which plan-workspace makes a part of the workspace,
    until the others fit.

    Before, with `stack-bytes=1024`:
    ```mlir
    func.func @f(%x: memref<?xf32>, %n: index) {
      scf.forall (%i) in (%n) {
        %small = memref.alloca() : memref<16xf32>
        %large = memref.alloca() : memref<24x512xf32>
        %c0 = arith.constant 0 : index
        %v = memref.load %x[%i] : memref<?xf32>
        memref.store %v, %small[%c0] : memref<16xf32>
        memref.store %v, %large[%c0, %c0] : memref<24x512xf32>
      }
      return
    }
    ```
    After:
    ```mlir
    %workers = tile.workers
    %slot = arith.constant 49152 : index
    %bytes = arith.muli %workers, %slot : index
    %memory = memref.alloc(%bytes) {alignment = 64 : i64} : memref<?xi8>
    scf.forall (%i) in (%n) {
      %worker = tile.worker
      ...
      %at = arith.muli %worker, %size : index
      %large = memref.view %memory[%at][] : memref<?xi8> to memref<24x512xf32>
      ...
      %small = memref.alloca() : memref<16xf32>
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "flashc::tile::TileDialect"];
  let options = [Option<"stackBytes", "stack-bytes", "int64_t", "98304",
                        "The most bytes of buffers that stay on the stack of a task">];
  let statistics = [Statistic<"numMoved", "num-moved", "Buffers that were moved">];
}

def ShareLoops : Pass<"share-loops", "mlir::ModuleOp"> {
  let summary = "Make one function of loops that a task has more than once";
  let description = [{
    The loops over full and over partial tiles hold the same products. Loops of one function that are equal but for the values
    that they take from outside, have no results and at least `least-operations`, become calls of one function, outer loops
    before those inside them: less code is compiled, and less of it lies in the instruction cache. Constants are repeated in the
    function, so that what is known of them stays known; loops that use tiles of a matrix unit stay where they are.

    Before, with `least-operations=4`:
    ```mlir
    func.func @f(%x: memref<?xf32>, %n: index, %m: index) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %two = arith.constant 2.0 : f32
      scf.for %i = %c0 to %n step %c1 {
        %v = memref.load %x[%i] : memref<?xf32>
        %w = arith.mulf %v, %two : f32
        memref.store %w, %x[%i] : memref<?xf32>
      }
      scf.for %i = %c0 to %m step %c1 {
        %v = memref.load %x[%i] : memref<?xf32>
        %w = arith.mulf %v, %two : f32
        memref.store %w, %x[%i] : memref<?xf32>
      }
      return
    }
    ```
    After:
    ```mlir
    call @f_shared0(%n, %x) : (index, memref<?xf32>) -> ()
    call @f_shared0(%m, %x) : (index, memref<?xf32>) -> ()
    ...
    func.func private @f_shared0(%n: index, %x: memref<?xf32>) attributes {passthrough = ["noinline"]} {
      ...
      scf.for %i = %c0 to %n step %c1 {
    ```
  }];
  let dependentDialects = ["mlir::func::FuncDialect"];
  let options = [Option<"leastOperations", "least-operations", "int64_t", "96",
                        "The fewest operations of a loop that becomes a function, those inside it and itself included">];
  let statistics = [Statistic<"numShared", "num-shared", "Loops that became calls of another one's function">];
}

#endif // FLASHC_PASSES_TASKPASSES_TD

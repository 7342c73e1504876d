// Passes on the GPUs' loops that look through what a mask says of keys. A file of its own, as others need not be built
// again for them.
#ifndef FLASHC_PASSES_SCANPASSES_TD
#define FLASHC_PASSES_SCANPASSES_TD

include "mlir/Pass/PassBase.td"

def ShareScans : Pass<"share-scans", "mlir::func::FuncOp"> {
  let summary = "Divide loops that look through numbers in memory among the lanes of each subgroup";
  let description = [{
    A mask that reads keys - segments, flags, a tensor - looks through many of them to know which tiles a block attends. All
    threads of a block need the answer, and each would read every number. A loop with a step of one whose results are minima,
    maxima, sums, ANDs or ORs of integers that do not depend on one another becomes a loop of which each lane does the turns
    of its own number, and an exchange of what the lanes have found. All lanes make as many turns: beyond the last number one
    reads the last again, which a sum does not count.

    With `uniform` the result is that of the first lane, which a code generator with registers for whole subgroups knows to be
    the same for all.

    Before:
    ```mlir
    func.func @f(%x: memref<?xi32>, %lo: index, %hi: index, %n: index, %out: memref<?xi32>) {
      %c1 = arith.constant 1 : index
      %least = arith.constant -2147483648 : i32
      scf.forall (%i) in (%n) {
        %most = scf.for %j = %lo to %hi step %c1 iter_args(%found = %least) -> (i32) {
          %v = memref.load %x[%j] : memref<?xi32>
          %larger = arith.maxsi %found, %v : i32
          scf.yield %larger : i32
        }
        memref.store %most, %out[%i] : memref<?xi32>
      } {flashc.threads = 128 : i64}
      return
    }
    ```
    After:
    ```mlir
    %thread = gpu.thread_id x
    %lane = arith.remui %thread, %c32 : index
    ...
    %last = arith.addi %hi, %minus_one : index
    %found = scf.for %j = %lo to %hi step %c32 iter_args(%so_far = %least) -> (i32) {
      %own = arith.addi %j, %lane : index
      %at = arith.minsi %own, %last : index
      %v = memref.load %x[%at] : memref<?xi32>
      ...
    }
    ...
    %other, %valid = gpu.shuffle xor %found, %c1_i32, %c32_i32 : i32
    %both = arith.maxsi %found, %other : i32
    ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::gpu::GPUDialect", "mlir::vector::VectorDialect"];
  let options = [
    Option<"subgroupSize", "subgroup-size", "unsigned", "32", "Threads that execute together">,
    Option<"uniform", "uniform", "bool", "false", "Whether to have the first lane say what all have found">];
  let statistics = [Statistic<"numShared", "num-shared", "Loops divided among lanes">];
}

def SkipIdleTurns : Pass<"skip-idle-turns", "mlir::func::FuncOp"> {
  let summary = "Know a loop's next turn that does something before this one ends";
  let description = [{
    A loop over keys leaves out tiles that a mask leaves empty: such a turn hands on what it was given. Behind that branch
    nothing of another turn can be started early, and what comes around the loop is the old or the new. Where a turn only reads
    before it decides, the turns that do something are counted first, and each of them looks for the next one: the loop carries
    that turn's variable, as the loads for it want to know, and its body has no branch.

    Before:
    ```mlir
    func.func @f(%x: memref<?xi32>, %start: vector<8xf32>, %lo: index, %hi: index, %c64: index) -> vector<8xf32> {
      %none = arith.constant 0 : i32
      %sums = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %start) -> (vector<8xf32>) {
        %v = memref.load %x[%j] : memref<?xi32>
        %empty = arith.cmpi eq, %v, %none : i32
        %next = scf.if %empty -> (vector<8xf32>) {
          scf.yield %sum : vector<8xf32>
        } else {
          %more = arith.addf %sum, %sum : vector<8xf32>
          scf.yield %more : vector<8xf32>
        }
        scf.yield %next : vector<8xf32>
      }
      return %sums : vector<8xf32>
    }
    ```
    After:
    ```mlir
    %found:2 = scf.for %j = %lo to %hi step %c64 iter_args(%count = %c0, %first = %hi) -> (index, index) {
      ...
    }
    ...
    %sums:2 = scf.for %t = %zero to %found#0 step %one iter_args(%position = %found#1, %sum = %start) -> (index, vector<8xf32>) {
      %following = arith.addi %position, %c64 : index
      %next = scf.while (%at = %following) : (index) -> index {
        %inside = arith.cmpi slt, %at, %hi : index
        %idle = scf.if %inside -> (i1) {
          %w = memref.load %x[%at] : memref<?xi32>
          %empty = arith.cmpi eq, %w, %none : i32
          scf.yield %empty : i1
        } else {
          ...
          scf.yield %false : i1
        }
        scf.condition(%idle) %at : index
      } do {
      ...
      }
      %more = arith.addf %sum, %sum : vector<8xf32>
      scf.yield %next, %more : index, vector<8xf32>
    }
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numLoops", "num-loops", "Loops that look for their next turn">];
}

#endif // FLASHC_PASSES_SCANPASSES_TD

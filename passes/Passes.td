// Every pass of flashc. One pass a file: Name.cpp, --kebab-name, test/passes/kebab-name.mlir.
#ifndef FLASHC_PASSES_TD
#define FLASHC_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// From an attention to tile operations, for every target
//===----------------------------------------------------------------------===//

def AssignTileSizes : Pass<"assign-tile-sizes", "mlir::func::FuncOp"> {
  let summary = "Choose the tile sizes of each attention";
  let description = [{
    Sizes that the caller gave in an operation's `tiles` attribute stay. The others follow from the options and the cost
    model: as many rows as the registers hold accumulators for, as many keys as their scores fit the first-level cache.

    Before:
    ```mlir
    func.func @f(%q: memref<?x?x?x64xf32>, %kv: memref<?x?x?x64xf32>, %out: memref<?x?x?x64xf32>) {
      attn.sdpa ins(%q, %kv, %kv : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
                outs(%out : memref<?x?x?x64xf32>)
      return
    }
    ```
    After:
    ```mlir
    attn.sdpa ... {tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
    ```
  }];
  let options = [
    Option<"queries", "queries", "int64_t", "0", "Query rows a tile; 0 = choose">,
    Option<"keys", "keys", "int64_t", "0", "Keys a tile; 0 = choose">,
    Option<"granule", "granule", "int64_t", "0", "Keys that loop bounds are rounded to; 0 = choose">,
    Option<"vectorBytes", "vector-bytes", "unsigned", "64", "Bytes of a native vector register">,
    Option<"vectorRegisters", "vector-registers", "unsigned", "32", "How many native vector registers there are">,
    Option<"l1Bytes", "l1-bytes", "int64_t", "49152", "Bytes of the first-level data cache">];
  let statistics = [Statistic<"numAssigned", "num-assigned", "Attentions that were given tile sizes">];
}

def TileQueries : Pass<"tile-queries", "mlir::func::FuncOp"> {
  let summary = "Divide each attention into blocks of query rows, in parallel over batch entries and heads";
  let description = [{
    One task attends all keys of one head for one block of query rows; `position` says where the block stands in the whole.
    Under a causal mask the blocks with the most keys come first. A group of query heads reads its key head in place.

    Before:
    ```mlir
    func.func @f(%q: memref<?x?x?x64xf32>, %kv: memref<?x?x?x64xf32>, %out: memref<?x?x?x64xf32>) {
      attn.sdpa ins(%q, %kv, %kv : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
                outs(%out : memref<?x?x?x64xf32>)
                {tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
      return
    }
    ```
    After:
    ```mlir
    scf.forall (%b, %h, %block) in (%batch, %heads, %blocks) {
      ...
      %rows_here = memref.subview %q[%b, %h, %i, 0] [1, 1, %rows, 64] [1, 1, 1, 1] ...
      attn.sdpa ins(...) outs(...) position(%b, %h, %i, %zero, %queries, %keys) ...
    }
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numTiled", "num-tiled", "Attentions that were divided">];
}

def ConvertToOnline : Pass<"convert-to-online", "mlir::func::FuncOp"> {
  let summary = "Turn each block's attention into an online softmax over all keys";
  let description = [{
    A block of query rows begins with acc = 0, max = -inf, sum = 0 and ends with `attn.normalize`. Between them stands one
    `attn.online` over all keys, which `tile-keys` divides.

    Before:
    ```mlir
    func.func @f(%q: memref<1x1x24x64xf32>, %kv: memref<1x1x?x64xf32>, %out: memref<1x1x24x64xf32>,
                 %b: index, %h: index, %i: index, %queries: index, %keys: index) {
      %zero = arith.constant 0 : index
      attn.sdpa ins(%q, %kv, %kv : memref<1x1x24x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>)
                outs(%out : memref<1x1x24x64xf32>) position(%b, %h, %i, %zero, %queries, %keys)
                {scale = 0.125 : f64, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
      return
    }
    ```
    After:
    ```mlir
    %acc = tile.splat %none : f32 -> <24x64xf32>
    %max = tile.splat %minus_infinity : f32 -> <24xf32>
    %sum = tile.splat %none : f32 -> <24xf32>
    %acc_end, %max_end, %sum_end = attn.online ins(...) state(%acc, %max, %sum : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
        position(%b, %h, %i, %zero, %queries, %keys) ...
    attn.normalize %acc_end, %max_end, %sum_end rows(%rows) outs(...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "flashc::tile::TileDialect"];
  let statistics = [Statistic<"numConverted", "num-converted", "Blocks that became online">];
}

def TileKeys : Pass<"tile-keys", "mlir::func::FuncOp"> {
  let summary = "Divide each online softmax into a loop over tiles of keys";
  let description = [{
    Each step of the loop attends one tile of keys and hands the state (acc, max, sum) on. `#attn.bounds` is added, as the
    last tile may reach beyond the last key.

    Before:
    ```mlir
    func.func @f(%q: memref<?x64xf32>, %kv: memref<?x64xf32>, %b: index, %h: index, %i: index, %queries: index, %keys: index,
                 %acc: !tile.tile<24x64xf32>, %max: !tile.tile<24xf32>, %sum: !tile.tile<24xf32>)
        -> (!tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>) {
      %zero = arith.constant 0 : index
      %state:3 = attn.online ins(%q, %kv, %kv : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
          state(%acc, %max, %sum : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
          position(%b, %h, %i, %zero, %queries, %keys)
          {scale = 0.125 : f64, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
      return %state#0, %state#1, %state#2 : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>
    }
    ```
    After:
    ```mlir
    %state:3 = scf.for %j = %zero to %keys_here step %tile iter_args(%a = %acc, %m = %max, %s = %sum)
        -> (!tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>) {
      ...
      %k_tile = memref.subview %kv[%j, 0] [%n, 64] [1, 1] ...
      ... attn.online ins(%q, %k_tile, ... masks [#attn.bounds] position(%b, %h, %i, %j, %queries, %keys) ...
      scf.yield ...
    }
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numLoops", "num-loops", "Loops over keys">];
}

def SplitMaskedTiles : Pass<"split-masked-tiles", "mlir::func::FuncOp"> {
  let summary = "Split each loop over keys where masks stop to matter";
  let description = [{
    The masks tell, for the block of query rows, which keys some row attends and which keys every row attends. Keys that no
    row attends are in no loop; where every row attends, a loop without masks runs; what is left before and after it keeps
    its masks. Here, under a causal mask: tiles before the diagonal without a mask, then those that it crosses.

    Before:
    ```mlir
    func.func @f(%q: memref<24x64xf32>, %kv: memref<512x64xf32>, %b: index, %h: index, %i: index, %queries: index, %keys: index,
                 %acc: !tile.tile<24x64xf32>, %max: !tile.tile<24xf32>, %sum: !tile.tile<24xf32>) -> (!tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>) {
      %zero = arith.constant 0 : index
      %tile = arith.constant 512 : index
      %end = memref.dim %kv, %zero : memref<512x64xf32>
      %state:3 = scf.for %j = %zero to %end step %tile iter_args(%a = %acc, %m = %max, %s = %sum) -> (!tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>) {
        %left = arith.subi %end, %j : index
        %n = arith.minsi %left, %tile : index
        %k = memref.subview %kv[%j, 0] [%n, 64] [1, 1]
            : memref<512x64xf32> to memref<?x64xf32, strided<[64, 1], offset: ?>>
        %next:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32, strided<[64, 1], offset: ?>>,
                                               memref<?x64xf32, strided<[64, 1], offset: ?>>)
            state(%a, %m, %s : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
            masks [#attn.causal<top_left>, #attn.bounds] position(%b, %h, %i, %j, %queries, %keys)
            {scale = 0.125 : f64, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
        scf.yield %next#0, %next#1, %next#2 : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>
      }
      return %state#0, %state#1, %state#2 : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>
    }
    ```
    After:
    ```mlir
    %full:3 = scf.for %j = %zero to %diagonal step %tile iter_args(%a = %acc, %m = %max, %s = %sum) ... {
      ...
      %0, %1, %2 = attn.online ins(...) state(%a, %m, %s : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
          position(...) ...
    }
    ...
    %all:3 = scf.for %j1 = %diagonal to %end step %tile1 iter_args(%a1 = %full#0, %m1 = %full#1, %s1 = %full#2) ... {
      ...
      %3, %4, %5 = attn.online ins(...) state(%a1, %m1, %s1 : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
          masks [#attn.causal<top_left>, #attn.bounds] position(...) ...
    }
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let statistics = [
    Statistic<"numFullLoops", "num-full-loops", "Loops over tiles without a mask">,
    Statistic<"numPartialLoops", "num-partial-loops", "Loops over tiles with masks, of loops that were split">,
    Statistic<"numUnsplit", "num-unsplit", "Loops that have no full tile">];
}

def DecomposeOnline : Pass<"decompose-online", "mlir::func::FuncOp"> {
  let summary = "Expand the online softmax into tile operations";
  let description = [{
    One step, with the scores x of its tile in units of log2 (Milakov and Gimelshein, 2018; Dao et al., 2022):

        max' = max(max, rowmax(x))    alpha = exp2(max - max')    p = exp2(x - max')
        sum' = alpha * sum + rowsum(p)    acc' = alpha * acc + p * v

    A row that has attended nothing keeps its state, and no infinity is subtracted from another. `attn.normalize` becomes
    the division and the store.

    Before:
    ```mlir
    func.func @f(%q: memref<24x64xf32>, %k: memref<512x64xf32>, %v: memref<512x64xf32>,
                 %b: index, %h: index, %i: index, %j: index, %queries: index, %keys: index,
                 %acc: !tile.tile<24x64xf32>, %max: !tile.tile<24xf32>, %sum: !tile.tile<24xf32>) -> (!tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>) {
      %acc_next, %max_next, %sum_next = attn.online ins(%q, %k, %v : memref<24x64xf32>, memref<512x64xf32>, memref<512x64xf32>)
          state(%acc, %max, %sum : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>) position(%b, %h, %i, %j, %queries, %keys)
          {scale = 0.125 : f64, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
      return %acc_next, %max_next, %sum_next : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>
    }
    ```
    After:
    ```mlir
    %x = tile.dot %q_tile, %k_tile, %none transposed : <24x64xf32>, <512x64xf32> -> <24x512xf32>
    ...
    tile.reduce max ...
    math.exp2 ...
    tile.reduce sum ...
    %acc_next = tile.dot %p, %v_tile, %acc_scaled : <24x512xf32>, <512x64xf32> -> <24x64xf32>
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::math::MathDialect", "mlir::memref::MemRefDialect",
                           "flashc::tile::TileDialect"];
  let statistics = [Statistic<"numSteps", "num-steps", "Steps of an online softmax that were expanded">];
}

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

// Every pass of flashc. One pass a file: Name.cpp, --kebab-name, test/passes/kebab-name.mlir.
#ifndef FLASHC_PASSES_TD
#define FLASHC_PASSES_TD

include "mlir/Pass/PassBase.td"
include "passes/CpuPasses.td"
include "passes/GpuPasses.td"
include "passes/ModulePasses.td"

//===----------------------------------------------------------------------===//
// From an attention to tile operations, for every target
//===----------------------------------------------------------------------===//

def AssignTileSizes : Pass<"assign-tile-sizes", "mlir::func::FuncOp"> {
  let summary = "Choose the tile sizes of each attention";
  let description = [{
    The sizes come from the options, else from the cost model that the tuner ranks its candidates by
    (`runtime/CostModel.h`), with nominal rates instead of measured ones: the register block of the products (6 rows of 4
    vectors with 32 vector registers, 6 of 2 with 16) gives the granule, and rows and keys are what the model predicts to be
    fastest, mostly scores that fill the first-level cache. An operation that has sizes keeps them.

    With `few-queries` the operation gets sizes of the form for few query rows, too: 32 rows (16 where a matrix unit does
    the products of more), tiles of 256 keys, and splits of as many keys as are half a megabyte.

    Sizes that contradict each other, and tiles of more than 262144 elements, are refused.

    Before:
    ```mlir
    func.func @f(%q: memref<?x8x?x64xf32>, %k: memref<?x8x?x64xf32>) {
      attn.sdpa ins(%q, %k, %k : memref<?x8x?x64xf32>, memref<?x8x?x64xf32>, memref<?x8x?x64xf32>)
                outs(%q : memref<?x8x?x64xf32>)
      return
    }
    ```
    After:
    ```mlir
    func.func @f(%q: memref<?x8x?x64xf32>, %k: memref<?x8x?x64xf32>) {
      attn.sdpa ins(%q, %k, %k : memref<?x8x?x64xf32>, memref<?x8x?x64xf32>, memref<?x8x?x64xf32>)
                outs(%q : memref<?x8x?x64xf32>)
                {tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
      return
    }
    ```
  }];
  let options = [
    Option<"queries", "queries", "int64_t", "0", "Query rows a tile; 0 = choose">,
    Option<"keys", "keys", "int64_t", "0", "Keys a tile; 0 = choose; rounded up to a granule that is chosen">,
    Option<"granule", "granule", "int64_t", "0", "Keys that loop bounds are rounded to; 0 = choose">,
    Option<"fewQueries", "few-queries", "int64_t", "0",
           "Query rows up to which the heads of a group share a tile and keys are split; 0 = never, -1 = choose">,
    Option<"split", "split", "int64_t", "0", "Keys a task attends in that form; 0 = choose; rounded up to a granule">,
    Option<"vectorBytes", "vector-bytes", "unsigned", "64", "Bytes of a native vector register">,
    Option<"vectorRegisters", "vector-registers", "unsigned", "32", "How many native vector registers there are">,
    Option<"l1Bytes", "l1-bytes", "int64_t", "49152", "Bytes of the first-level data cache">,
    Option<"bf16Operands", "bf16-operands", "bool", "false",
           "Products take bf16 as it is instead of widening it first">,
    Option<"matrixTiles", "matrix-tiles", "bool", "false",
           "Products of bf16 are done in a matrix unit's tiles of 16 rows of 64 bytes (AMX)">];
  let statistics = [Statistic<"numAssigned", "num-assigned", "Attentions that were given tile sizes">];
}

def TileQueries : Pass<"tile-queries", "mlir::func::FuncOp"> {
  let summary = "Divide each attention into blocks of query rows, in parallel over batch entries and heads";
  let description = [{
    Each `attn.sdpa` becomes an `scf.forall` over batch entries, query heads and blocks of `tiles.queries` rows, around an
    `attn.sdpa` on one block, whose `position` says where in the whole it lies. The key head of query head `h` is
    `h / (Hq / Hkv)`: grouped heads share it, nothing is copied. Where a mask lets later rows attend more keys, the blocks
    with most keys come first, so that no thread is left with a long one at the end.

    Where the tile sizes have a `few` form and the rows of all query heads of a key head are no more than its `queries`,
    the loop is over batch entries, key heads and splits of the keys instead, around an `attn.sdpa` of all those rows on one
    split; `attn.merge_splits` joins the parts in a second loop. More than 16 rows take that form over 512 keys and more
    only: packing pays for less. With `divide-heads` it is for all operations with as few query rows: where those of all
    heads are more, as many heads as fit are together, and the loop is over parts of them, too. Which form it is is asked at
    run time, where the sizes are dynamic. An operation inside a loop or a branch has the first form only.

    Tensors and operations without tile sizes are refused.

    Before:
    ```mlir
    func.func @f(%q: memref<2x8x48x64xf32>, %k: memref<2x2x?x64xf32>) {
      attn.sdpa ins(%q, %k, %k : memref<2x8x48x64xf32>, memref<2x2x?x64xf32>, memref<2x2x?x64xf32>)
                outs(%q : memref<2x8x48x64xf32>)
                {tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
      return
    }
    ```
    After:
    ```mlir
    scf.forall (%b, %h, %t) in (2, 8, 2) {
      ...
      %i0 = arith.muli %t, %c24 : index
      ...
      %kh = arith.divui %h, %c4 : index
      ...
      %query = memref.subview %q[%b, %h, %i0, 0] [1, 1, 24, 64] [1, 1, 1, 1] ...
      %key = memref.subview %k[%b, %kh, 0, 0] [1, 1, %sk, 64] [1, 1, 1, 1] ...
      attn.sdpa ins(%query, %key, %value ...
          position(%b, %h, %i0, %zero, %sq, %sk) {scale = 1.250000e-01 : f64, ...
    }
    ```
  }];
  let options = [Option<"divideHeads", "divide-heads", "bool", "false",
                        "Whether few query rows stay few whatever the number of heads that share a key head">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numTiled", "num-tiled", "Attentions that were divided">,
                    Statistic<"numSplit", "num-split", "Attentions that got a form for few query rows">];
}

def ConvertToOnline : Pass<"convert-to-online", "mlir::func::FuncOp"> {
  let summary = "Turn each block's attention into an online softmax over all keys";
  let description = [{
    The attention of one block of query rows becomes an empty state (acc = 0, max = -inf, sum = 0), one `attn.online` over
    all keys, on memory of two dimensions, and `attn.normalize`, which writes the output and the lse.

    An operation that tile-queries has not divided is refused.

    Before:
    ```mlir
    func.func @f(%q: memref<1x1x24x64xf32>, %k: memref<1x1x?x64xf32>, %p: index) {
      attn.sdpa ins(%q, %k, %k : memref<1x1x24x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>)
                outs(%q : memref<1x1x24x64xf32>) position(%p, %p, %p, %p, %p, %p)
                {tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
      return
    }
    ```
    After:
    ```mlir
    %acc = tile.splat %zero : f32 -> <24x64xf32>
    %max = tile.splat %lowest : f32 -> <24xf32>
    %sum = tile.splat %zero : f32 -> <24xf32>
    %a, %m, %l = attn.online ins(%query, %key, %value : memref<24x64xf32, ...
        state(%acc, %max, %sum : ...
        position(%p, %p, %p, %p, %p, %p) {scale = 1.250000e-01 : f64, ...
    attn.normalize %a, %m, %l rows(%c24) outs(%out : memref<24x64xf32, ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "flashc::tile::TileDialect"];
  let statistics = [Statistic<"numConverted", "num-converted", "Blocks that became online">];
}

def TileKeys : Pass<"tile-keys", "mlir::func::FuncOp"> {
  let summary = "Divide each online softmax into a loop over tiles of keys";
  let description = [{
    Each `attn.online` over all keys becomes an `scf.for` over tiles of `tiles.keys` keys that carries the state. The loop
    runs over the keys that the masks' `classify` leaves possible, rounded outward to the granule: empty tiles before and
    after cost nothing. A mask whose empty tiles are known only from its operands (`tileIsEmpty`) skips them inside the
    loop. `#attn.bounds` joins the masks, as the last tile may reach beyond the last key. With `mask-bounds=false` it does
    not: what exists is then said by the tiles' extents alone, which a target's reductions respect (as a CPU's do, whose
    tail costs a few lanes of one vector), and a loop without other masks is not split.

    Before:
    ```mlir
    func.func @f(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !tile.tile<24x64xf32>, %max: !tile.tile<24xf32>,
                 %sum: !tile.tile<24xf32>, %i0: index, %s: index) -> !tile.tile<24x64xf32> {
      %c0 = arith.constant 0 : index
      %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
          state(%acc, %max, %sum : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
          masks [#attn.causal<top_left>] position(%c0, %c0, %i0, %c0, %s, %s)
          {scale = 0.125, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
      return %0#0 : !tile.tile<24x64xf32>
    }
    ```
    After:
    ```mlir
    %end = arith.addi %i0, %c24 : index
    ...
    %hi = arith.minsi %rounded, %count : index
    ...
    %0:3 = scf.for %j = %zero to %hi step %c512 iter_args(%a = %acc, %m = %max, %l = %sum) -> ... {
      %left = arith.subi %hi, %j : index
      %n = arith.minsi %left, %c512 : index
      ...
      %key = memref.subview %k[%j, 0] [%n, 64] [1, 1] ...
      %a1, %m1, %l1 = attn.online ins(%q, %key, %value ... state(%a, %m, %l ...
          masks [#attn.causal<top_left>, #attn.bounds] position(%c0, %c0, %i0, %j, %s, %s) ...
      scf.yield %a1, %m1, %l1 : ...
    }
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let options = [Option<"maskBounds", "mask-bounds", "bool", "true",
                        "Whether a mask says which keys of the last tile exist">];
  let statistics = [Statistic<"numLoops", "num-loops", "Loops over keys">];
}

def SplitMaskedTiles : Pass<"split-masked-tiles", "mlir::func::FuncOp"> {
  let summary = "Split each loop over keys where masks stop to matter";
  let description = [{
    Each loop that tile-keys makes becomes up to three: partial tiles, full tiles, partial tiles. The middle one runs over
    the keys that every row of the block attends by the masks' `classify`, rounded inward to the granule, and has no mask
    at all. A loop that is known to be empty is not emitted; a loop with a mask that is never full stays as it is. Behind full tiles
    the bounds alone leave less than a granule: that loop has one turn at most, and says so (`flashc.one_turn`).

    Before:
    ```mlir
    func.func @f(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !tile.tile<24x64xf32>, %max: !tile.tile<24xf32>,
                 %sum: !tile.tile<24xf32>, %p: index) -> !tile.tile<24x64xf32> {
      %c0 = arith.constant 0 : index
      %c512 = arith.constant 512 : index
      %count = memref.dim %k, %c0 : memref<?x64xf32>
      %0:3 = scf.for %j = %c0 to %count step %c512 iter_args(%a = %acc, %m = %max, %l = %sum)
          -> (!tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>) {
        %left = arith.subi %count, %j : index
        %n = arith.minsi %left, %c512 : index
        %kt = memref.subview %k[%j, 0] [%n, 64] [1, 1] : memref<?x64xf32> to memref<?x64xf32, strided<[64, 1], offset: ?>>
        %1:3 = attn.online ins(%q, %kt, %kt : memref<24x64xf32>, memref<?x64xf32, strided<[64, 1], offset: ?>>,
                                              memref<?x64xf32, strided<[64, 1], offset: ?>>)
            state(%a, %m, %l : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
            masks [#attn.bounds] position(%p, %p, %p, %j, %p, %count)
            {scale = 0.125, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
        scf.yield %1#0, %1#1, %1#2 : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>
      }
      return %0#0 : !tile.tile<24x64xf32>
    }
    ```
    After:
    ```mlir
    %full:3 = scf.for %j = %lo to %middle step ... {
      ...
      attn.online ... position(%p, %p, %p, %j, %p, %count) ...
    }
    ...
    %rest:3 = scf.for %j1 = %middle to %count step ... iter_args(%a = %full#0, %m = %full#1, %l = %full#2) ... {
      ...
      attn.online ... masks [#attn.bounds] position(%p, %p, %p, %j1, %p, %count) ...
    }
    ...
    return %rest#0 : !tile.tile<24x64xf32>
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let statistics = [
    Statistic<"numFullLoops", "num-full-loops", "Loops over tiles without a mask">,
    Statistic<"numPartialLoops", "num-partial-loops", "Loops over tiles with masks, of loops that were split">,
    Statistic<"numUnsplit", "num-unsplit", "Loops that have no full tile">];
}

def DecomposeMerge : Pass<"decompose-merge", "mlir::func::FuncOp"> {
  let summary = "Expand attn.merge into linalg on rows and elements";
  let description = [{
    With the larger logarithm `m` of a row taken out of the exponentials, nothing overflows:

        e_a = exp(lse_a - m)    e_b = exp(lse_b - m)    lse = m + log(e_a + e_b)    out = (e_a out_a + e_b out_b) / (e_a + e_b)

    The weights are computed once a row, in the wider of the types of out and lse. Where one side is empty the other's row is
    unchanged, to the bit; where both are, the row is empty. On memrefs both outs may be updated in place.

    Before:
    ```mlir
    func.func @f(%oa: tensor<?x?x?x64xf32>, %la: tensor<?x?x?xf32>, %ob: tensor<?x?x?x64xf32>, %lb: tensor<?x?x?xf32>)
        -> tensor<?x?x?x64xf32> {
      %0:2 = attn.merge ins(%oa, %la, %ob, %lb : tensor<?x?x?x64xf32>, tensor<?x?x?xf32>, tensor<?x?x?x64xf32>, tensor<?x?x?xf32>)
          outs(%oa, %la : tensor<?x?x?x64xf32>, tensor<?x?x?xf32>) -> tensor<?x?x?x64xf32>, tensor<?x?x?xf32>
      return %0#0 : tensor<?x?x?x64xf32>
    }
    ```
    After:
    ```mlir
    %weights:3 = linalg.generic {...} ins(%la, %lb : ...) outs(%a, %b, %la : ...) {
    ...
    %out = linalg.generic {...} ins(%weights#0, %oa, %weights#1, %ob : ...) outs(%oa : tensor<?x?x?x64xf32>) {
    ...
    return %out : tensor<?x?x?x64xf32>
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::linalg::LinalgDialect", "mlir::math::MathDialect",
                           "mlir::memref::MemRefDialect", "mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numDecomposed", "num-decomposed", "Merges expanded">];
}

def DecomposeMergeSplits : Pass<"decompose-merge-splits", "mlir::func::FuncOp"> {
  let summary = "Expand attn.merge_splits into a loop over parts that carries the state of an online softmax";
  let description = [{
    A part is what attending its keys has left: with `x` its lse in units of log2, it joins the state as one more key of
    score x whose value is its output,

        max' = max(max, x)    alpha = exp2(max - max')    beta = exp2(x - max')
        sum' = alpha * sum + beta    acc' = alpha * acc + beta * out

    and `attn.normalize` ends it. Parts are taken in order, so the result does not depend on which thread made which.

    Before:
    ```mlir
    func.func @f(%parts: memref<?x4x2x64xf32>, %lse: memref<?x4x2xf32>, %out: memref<4x2x64xbf16>) {
      attn.merge_splits ins(%parts, %lse : memref<?x4x2x64xf32>, memref<?x4x2xf32>) outs(%out : memref<4x2x64xbf16>)
          {tiles = #attn.tiles<queries = 16, keys = 256, granule = 64, compute = f32, split = 2048>}
      return
    }
    ```
    After:
    ```mlir
    %state:3 = scf.for %n = %zero to %count step %one iter_args(%acc = ..., %max = ..., %sum = ...) ... {
      ...
      %part_lse = tile.load %lse_n[%zero, %zero] grouped valid(%rows) : ... -> <16xf32>
      ...
      %part = tile.load %part_n[%zero, %zero, %zero] grouped valid(%rows, %c64) : ... -> <16x64xf32>
      ...
      %larger = tile.map ins(%max, %log : ...
      ...
      scf.yield %new_acc, %larger, %new_sum : ...
    }
    attn.normalize %state#0, %state#1, %state#2 rows(%rows) outs(%out : memref<4x2x64xbf16>) ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::math::MathDialect", "mlir::memref::MemRefDialect",
                           "mlir::scf::SCFDialect", "flashc::tile::TileDialect"];
  let statistics = [Statistic<"numDecomposed", "num-decomposed", "Merges expanded">];
}

def DecomposeOnline : Pass<"decompose-online", "mlir::func::FuncOp"> {
  let summary = "Expand the online softmax into tile operations";
  let description = [{
    The recurrence, once for every target (Milakov and Gimelshein, 2018; Dao et al., 2022). With `x` the scores of a step in
    units of log2:

        max' = max(max, rowmax(x))    alpha = exp2(max - max')    p = exp2(x - max')
        sum' = alpha * sum + rowsum(p)    acc' = alpha * acc + p * v

    Scores that are nothing but scaled products are not scaled by a pass of their own: the positive factor
    `scale * log2(e)` is applied to the rows' maxima and inside the exponential. Otherwise one `tile.map` computes the score
    in the order that `attn.sdpa` defines, and log2(e) is applied after everything that is not linear. All masks are one
    conjunction of their predicates on positions; a score that is not attended is replaced by -inf, whatever it was. The
    rows of the query block are read once, before the loops over keys. A row that has attended nothing has max = -inf; 0 is
    subtracted in its place, so that no NaN arises.

    Before:
    ```mlir
    func.func @f(%q: memref<24x64xf32>, %k: memref<512x64xf32>, %acc: !tile.tile<24x64xf32>, %max: !tile.tile<24xf32>,
                 %sum: !tile.tile<24xf32>, %p: index) -> !tile.tile<24x64xf32> {
      %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<512x64xf32>, memref<512x64xf32>)
          state(%acc, %max, %sum : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
          position(%p, %p, %p, %p, %p, %p)
          {scale = 0.125, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
      return %0#0 : !tile.tile<24x64xf32>
    }
    ```
    After:
    ```mlir
    %query = tile.load %q[%z, %z] valid(%c24, %c64) : memref<24x64xf32> -> <24x64xf32>
    ...
    %key = tile.load %k[...
    %s = tile.dot %query, %key, %none transposed : <24x64xf32>, <512x64xf32> -> <24x512xf32>
    ...
    %largest = tile.reduce max %s, %lowest : <24x512xf32> -> <24xf32>
    ...
    %new = tile.map ins(%max, %largest : !tile.tile<24xf32>, !tile.tile<24xf32>) {
    ...
    %alpha = tile.map ins(%max, %base : ...
    %p = tile.map ins(%s, %base : !tile.tile<24x512xf32>, !tile.tile<24xf32>) {
      ...
      %x = math.fma %score, %factor, %minus : f32
      %e = math.exp2 %x {tile.nonpositive} : f32
      ...
    %old_sum = tile.map ins(%sum, %alpha : ...
    %new_sum = tile.reduce sum %p, %old_sum : <24x512xf32> -> <24xf32>
    %old_acc = tile.map ins(%acc, %alpha : ...
    %value = tile.load %k[...
    %new_acc = tile.dot %p, %value, %old_acc : <24x512xf32>, <512x64xf32> -> <24x64xf32>
    return %new_acc : !tile.tile<24x64xf32>
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::math::MathDialect", "mlir::memref::MemRefDialect",
                           "flashc::tile::TileDialect"];
  let statistics = [Statistic<"numSteps", "num-steps", "Steps of an online softmax that were expanded">];
}

//===----------------------------------------------------------------------===//
// From a lowered function to one that a host can call
//===----------------------------------------------------------------------===//

def HoistBranchAllocations : Pass<"hoist-branch-allocations", "mlir::func::FuncOp"> {
  let summary = "Allocate before a branch what is needed inside it";
  let description = [{
    A kernel that chooses between forms of one attention needs other memory for each. Every `memref.alloc` in a branch at
    the function's top level moves before the branch, with what computes its size; its first dynamic size is 0 where the branch
    is not taken. An allocation whose size has to be read from memory stays where it is.

    Before:
    ```mlir
    func.func @f(%x: memref<?xf32>, %y: memref<?xf32>, %long: i1) {
      scf.if %long {
        %c0 = arith.constant 0 : index
        %n = memref.dim %x, %c0 : memref<?xf32>
        %t = memref.alloc(%n) : memref<?xf32>
        memref.copy %y, %t : memref<?xf32> to memref<?xf32>
      }
      return
    }
    ```
    After:
    ```mlir
    %n = memref.dim %x, %c0 : memref<?xf32>
    ...
    %kept = arith.select %long, %n, %none : index
    %t = memref.alloc(%kept) : memref<?xf32>
    scf.if %long {
      memref.copy %y, %t : memref<?xf32> to memref<?xf32>
    }
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect"];
  let statistics = [Statistic<"numHoisted", "num-hoisted", "Allocations that were moved before a branch">];
}

def PlanWorkspace : Pass<"plan-workspace", "mlir::ModuleOp"> {
  let summary = "Carve every function-level allocation out of one workspace argument";
  let description = [{
    Each public function gets one more argument, `%workspace: memref<?xi8>`, 64-byte aligned, and every `memref.alloc`
    in its body becomes a view of it. A private function `@NAME_workspace_bytes` with the function's own arguments gives
    the number of bytes, by the same arithmetic. Deallocations disappear.

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
    its top level, or in a branch there, becomes a private function
    `@NAME_task<N>(%context: !llvm.ptr, %task: i64, %worker: i32)`. What the
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

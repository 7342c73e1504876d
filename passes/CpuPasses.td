// The passes that give tiles layouts, memory and native vectors on a CPU.
#ifndef FLASHC_PASSES_CPUPASSES_TD
#define FLASHC_PASSES_CPUPASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// From tiles to a CPU's native vectors
//===----------------------------------------------------------------------===//

def AssignTileLayouts : Pass<"assign-tile-layouts", "mlir::func::FuncOp"> {
  let summary = "Say how each matrix tile is blocked in native vector registers";
  let description = [{
    The right-hand side of a product gets panels, every other matrix tile register blocks: `block-rows` rows of as many
    vectors side by side as the register file holds beside one column of the right-hand side and one broadcast.

    Before, for AVX-512:
    ```mlir
    func.func @f(%q: memref<24x64xf32>, %k: memref<512x64xf32>, %s: memref<24x512xf32>) {
      %zero = arith.constant 0 : index
      %none = arith.constant 0.0 : f32
      %q_tile = tile.load %q[%zero, %zero] : memref<24x64xf32> -> !tile.tile<24x64xf32>
      %k_tile = tile.load %k[%zero, %zero] : memref<512x64xf32> -> !tile.tile<512x64xf32>
      %acc = tile.splat %none : f32 -> !tile.tile<24x512xf32>
      %scores = tile.dot %q_tile, %k_tile, %acc transposed
          : !tile.tile<24x64xf32>, !tile.tile<512x64xf32> -> !tile.tile<24x512xf32>
      tile.store %scores, %s[%zero, %zero] : !tile.tile<24x512xf32>, memref<24x512xf32>
      return
    }
    ```
    After:
    ```mlir
    %scores = tile.dot %q_tile, %k_tile, %acc transposed
        : <24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>,
          <512x64xf32, #tile.panels<width = 64, lanes = 16>>
       -> <24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
    ```
  }];
  let dependentDialects = ["flashc::tile::TileDialect"];
  let options = [
    Option<"vectorBytes", "vector-bytes", "int64_t", "64", "Bytes of a native vector">,
    Option<"vectorRegisters", "vector-registers", "int64_t", "32", "Native vector registers">,
    Option<"blockRows", "block-rows", "int64_t", "6", "Rows of a register block">,
    Option<"matrixTiles", "matrix-tiles", "bool", "false",
           "Products of bf16 are done in a matrix unit's tiles of 16 rows of 64 bytes (AMX)">];
  let statistics = [Statistic<"numAssigned", "num-assigned", "Tiles that got a layout">];
}

def PackOperands : Pass<"pack-operands", "mlir::func::FuncOp"> {
  let summary = "Pack the right-hand sides of products once, before the loop over query blocks";
  let description = [{
    Keys and values are read by every query block of every head of their group. They are copied once into the order in
    which the products read them (keys transposed in panels, values in panels, both widened to the element type of the
    tile) by parallel loops before the loop over query blocks; a `tile.load` of a part of them becomes a `tile.view` of
    packed memory. Loads whose memory cannot be followed to the outside of the loop are left to be packed where they are
    used.

    Before:
    ```mlir
    func.func @f(%q: memref<24x64xf32>, %k: memref<?x?x?x64xf32>, %s: memref<24x512xf32>, %batches: index, %heads: index) {
      %zero = arith.constant 0 : index
      %d = arith.constant 64 : index
      %keys = arith.constant 512 : index
      %none = arith.constant 0.0 : f32
      scf.forall (%b, %h) in (%batches, %heads) {
        %head = memref.subview %k[%b, %h, 0, 0] [1, 1, %keys, 64] [1, 1, 1, 1]
            : memref<?x?x?x64xf32> to memref<?x64xf32, strided<[64, 1], offset: ?>>
        %q_tile = tile.load %q[%zero, %zero] : memref<24x64xf32> -> !tile.tile<24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
        %k_tile = tile.load %head[%zero, %zero] valid(%keys, %d)
            : memref<?x64xf32, strided<[64, 1], offset: ?>> -> !tile.tile<512x64xf32, #tile.panels<width = 64, lanes = 16>>
        %acc = tile.splat %none : f32 -> !tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
        %scores = tile.dot %q_tile, %k_tile, %acc transposed
            : !tile.tile<24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>, !tile.tile<512x64xf32, #tile.panels<width = 64, lanes = 16>>
           -> !tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
        tile.store %scores, %s[%zero, %zero]
            : !tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>, memref<24x512xf32>
      }
      return
    }
    ```
    After:
    ```mlir
    %packed = memref.alloc(%batches_of_k, %heads_of_k, %strips) ... : memref<?x?x?x64x64xf32>
    ...
    scf.forall (%bk, %hk, %strip) in ... {
      ...
      tile.pack %k[%bk, %hk, %first, %column] valid(%rows) into %packed[%bk, %hk, %strip] transposed ...
    }
    scf.forall (%b, %h) in (%batches, %heads) {
      ...
      %k_tile = tile.view %packed[%b, %h, %first_strip] valid(%keys) : memref<?x?x?x64x64xf32>
          -> <512x64xf32, #tile.panels<width = 64, lanes = 16>>
    ```
  }];
  let dependentDialects = ["flashc::tile::TileDialect", "mlir::arith::ArithDialect", "mlir::memref::MemRefDialect",
                           "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numPacked", "num-packed", "Operands that are packed before the loop">];
}

def FusePacking : Pass<"fuse-packing", "mlir::func::FuncOp"> {
  let summary = "Pack operands in the tasks that need them";
  let description = [{
    Parallel loops that only pack operands of the parallel loop after them become part of it: an iteration that needs a
    head's operands packed first does its share of packing them (`tile.cooperate`). There is one parallel loop, without a
    hand-over in which all but the last thread wait, and what is packed is used while it is in a near cache.

    Where there are heads enough for all workers (32 for each, or a single worker) a task does the iterations of whole
    heads, a few heads where there are very many, and packs each head into memory of its worker that stays in the cache;
    otherwise a task is one iteration and each head has memory of its own. Which of both is chosen when the kernel is
    called; the results are the same to the bit. A task of whole heads asks for the memory of the next iteration before
    it works on one, where that is little: a small problem is over before the hardware knows what it reads.

    Before:
    ```mlir
    func.func @f(%q: !tile.tile<24x64xf32>, %k: memref<?x?x64xf32>, %heads: index, %blocks: index, %n: index) {
      %c0 = arith.constant 0 : index
      %c64 = arith.constant 64 : index
      %packed = memref.alloc(%heads, %n) {alignment = 64 : i64} : memref<?x?x64x64xf32>
      scf.forall (%h, %strip) in (%heads, %n) {
        %first = arith.muli %strip, %c64 : index
        tile.pack %k[%h, %first, %c0] valid(%c64) into %packed[%h, %strip] transposed <width = 64, lanes = 16>
            : memref<?x?x64xf32>, memref<?x?x64x64xf32>
      }
      scf.forall (%h, %t) in (%heads, %blocks) {
        %kt = tile.view %packed[%h, %c0] valid(%c64) : memref<?x?x64x64xf32> -> !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16>>
      }
      return
    }
    ```
    After:
    ```mlir
    %workers = tile.workers
    ...
    %slots = arith.select %whole, %workers, %heads : index
    %packed = memref.alloc(%slots, %n) ... : memref<?x?x64x64xf32>
    %states = memref.alloc(%slots) ... : memref<?x8xi64>
    ...
    scf.forall (%task) in ... {
      %worker = tile.worker
      ...
      scf.for %i = ... {
        ...
        %slot = arith.select %whole, %worker, %h : index
        ...
        tile.cooperate %states[%slot, %zero] parts(%n) : memref<?x8xi64> {
        ^bb0(%strip: index):
          %first = arith.muli %strip, %c64 : index
          tile.pack %k[%h, %first, %c0] valid(%c64) into %packed[%slot, %strip] transposed ...
        }
        ...
        %kt = tile.view %packed[%slot, %c0] valid(%c64) ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numFused", "num-fused", "Packing loops that became part of another loop">];
}

def LowerCooperation : Pass<"lower-cooperation", "mlir::func::FuncOp"> {
  let summary = "Share jobs between threads by atomic counters";
  let description = [{
    A `tile.cooperate` becomes a loop that takes part after part by an atomic addition, executes them, and then waits
    until those that others took are executed too.

    Before, with `pause=llvm.x86.sse2.pause`:
    ```mlir
    func.func @f(%state: memref<8xi64>, %m: memref<?xf32>, %n: index, %x: f32) {
      %c0 = arith.constant 0 : index
      tile.cooperate %state[%c0] parts(%n) : memref<8xi64> {
      ^bb0(%part: index):
        memref.store %x, %m[%part] : memref<?xf32>
      }
      return
    }
    ```
    After:
    ```mlir
    %now = llvm.load %word atomic acquire ...
    ...
    scf.if %missing {
      ...
      %before = llvm.atomicrmw add %word, %one monotonic ...
      ...
      scf.while ... {
        ...
        memref.store %x, %m[%part] : memref<?xf32>
        ...
        %executed = llvm.atomicrmw add %word, %high release ...
        ...
      }
      scf.while ... {
        %later = llvm.load %word atomic acquire ...
        ...
      } do {
        llvm.call_intrinsic "llvm.x86.sse2.pause"() : () -> ()
        scf.yield
      }
    }
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::LLVM::LLVMDialect", "mlir::memref::MemRefDialect",
                           "mlir::scf::SCFDialect"];
  let options = [Option<"pause", "pause", "std::string", "\"\"", "The intrinsic that a waiting thread calls over and over">];
  let statistics = [Statistic<"numLowered", "num-lowered", "Shared jobs">];
}

def LowerTilesToVector : Pass<"lower-tiles-to-vector", "mlir::func::FuncOp"> {
  let summary = "Replace tile operations by loops over native vectors";
  let description = [{
    Tiles get scratch on the task's stack, products become register-blocked micro-kernels whose accumulators are separate
    native vectors, and the maps and reductions between two products become one loop over rows in which they share passes
    over the columns. Needs layouts (assign-tile-layouts).

    Before:
    ```mlir
    func.func @f(%x: memref<24x512xf32>, %m: memref<24xf32>, %out: memref<24xf32>) {
      %zero = arith.constant 0 : index
      %x_tile = tile.load %x[%zero, %zero] : memref<24x512xf32> -> !tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
      %m_tile = tile.load %m[%zero] : memref<24xf32> -> !tile.tile<24xf32>
      %max = tile.reduce max %x_tile, %m_tile
          : !tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>> -> !tile.tile<24xf32>
      tile.store %max, %out[%zero] : !tile.tile<24xf32>, memref<24xf32>
      return
    }
    ```
    After:
    ```mlir
    scf.for %r = ... {
      ...
      scf.for %c = ... iter_args(%a0 = ... -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>) {
        ...
        %v = vector.load %scratch[%r, %c] : memref<24x528xf32>, vector<16xf32>
        %above = arith.cmpf ogt, %a0, %v : vector<16xf32>
        %max = arith.select %above, %a0, %v : vector<16xi1>, vector<16xf32>
        ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect",
                           "mlir::vector::VectorDialect", "mlir::LLVM::LLVMDialect"];
  let options = [Option<"maskedMemory", "masked-memory", "bool", "false",
                        "The target reads a part of a vector as fast as the whole">];
}

def ExpandMath : Pass<"expand-math"> {
  let summary = "Replace mathematical functions by arithmetic that every target vectorises";
  let description = [{
    exp2, exp, log, tanh and fused multiply-add on f32 and f64, scalars and vectors, and conversions of bf16 and f16, become
    polynomials and integer operations: a call of the C library for each element would cost more than the products.
    exp2 is a minimax polynomial on [-1/2, 1/2] with relative error below 2^-24 (f32) and 2^-52 (f64); results below the
    smallest normal number are 0. With `scale-instruction` its scaling uses AVX-512's `vscalef`. Where `tile.precision`
    says that 8 bits of an exp2 matter, its degree is 3 and its relative error below 2^-13. `tile.group_dot` becomes one
    instruction with `bf16-dot`, else it multiplies widened elements. With `exp2-intrinsic`, a GPU's instruction takes
    the polynomial's place for f32, one element at a time, and its estimate of a reciprocal, with a correction, that of f32's
    divisions, but for those of 1.

    Before, with `scale-instruction=true`:
    ```mlir
    func.func @f(%x: vector<16xf32>) -> vector<16xf32> {
      %p = math.exp2 %x : vector<16xf32>
      return %p : vector<16xf32>
    }
    ```
    After:
    ```mlir
    %n = math.roundeven %x : vector<16xf32>
    %f = arith.subf %x, %n : vector<16xf32>
    %1 = llvm.intr.fmuladd(%c5, %f, %c4) : (vector<16xf32>, vector<16xf32>, vector<16xf32>) -> vector<16xf32>
    ...
    %p = llvm.call_intrinsic "llvm.x86.avx512.mask.scalef.ps.512"(%poly, %n, ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::LLVM::LLVMDialect", "mlir::math::MathDialect",
                           "mlir::vector::VectorDialect"];
  let options = [
    Option<"scaleInstruction", "scale-instruction", "bool", "false", "The target has AVX-512's vscalef">,
    Option<"f16Convert", "f16-convert", "bool", "false", "The target converts vectors between f32 and f16">,
    Option<"bf16Dot", "bf16-dot", "bool", "false",
           "The target multiplies and adds pairs of bf16 and rounds vectors to it (AVX512-BF16, NEON's bf16)">,
    Option<"exp2Intrinsic", "exp2-intrinsic", "std::string", "\"\"",
           "LLVM's intrinsic that computes exp2 of one f32; none = a polynomial">];
  let statistics = [Statistic<"numExpanded", "num-expanded", "Operations that were expanded">];
}

#endif // FLASHC_PASSES_CPUPASSES_TD

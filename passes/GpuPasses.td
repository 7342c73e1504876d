//===- GpuPasses.td - Passes of the GPU targets ---------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_GPUPASSES_TD
#define FLASHC_GPUPASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// From tiles to threads
//===----------------------------------------------------------------------===//

def AssignGpuTileSizes : Pass<"assign-gpu-tile-sizes", "mlir::func::FuncOp"> {
  let summary = "Choose the tile sizes of each attention for a GPU's blocks of threads";
  let description = [{
    Rows and keys are as many as a block's shared memory and its threads' registers hold: four subgroups of the matrix unit's
    rows, and 64 keys, or fewer for wide heads and for products without a matrix unit; of `wgmma` 128 or 192 rows and 80 to 176 keys by
    head dim. Without a matrix unit a thread has fewer rows where heads are wide, and query rows that do not fit are read in
    place. 16-bit operands stay as they are where a matrix unit takes them; float32 ones that are asked to be multiplied in tf32 are
    `mma`'s, and units without it refuse. Each operation also gets a form for few query rows, of
    one subgroup. What does not fit even in the smallest tiles is refused.

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
                {tiles = #attn.tiles<queries = 64, keys = 32, granule = 32, compute = f32,
                    few = #attn.tiles<queries = 16, keys = 32, granule = 32, compute = f32, split = 512>>}
      return
    }
    ```
  }];
  let options = [
    Option<"matrixUnit", "matrix-unit", "std::string", "\"none\"",
           "What multiplies 16-bit elements: none, mma, wgmma, mfma or wmma">,
    Option<"subgroupSize", "subgroup-size", "unsigned", "32", "Threads that execute together">,
    Option<"sharedBytes", "shared-bytes", "int64_t", "101376", "Shared memory that a block may use">,
    Option<"registers", "registers", "int64_t", "256", "Registers of a thread of units that take columns (mfma, wmma)">,
    Option<"queries", "queries", "int64_t", "0", "Query rows a tile; 0 = choose">,
    Option<"keys", "keys", "int64_t", "0", "Keys a tile; 0 = choose">,
    Option<"split", "split", "int64_t", "0", "Keys a block attends in the form for few rows; 0 = choose">];
}

def AssignFragments : Pass<"assign-fragments", "mlir::func::FuncOp"> {
  let summary = "Say which thread holds which element of each tile";
  let description = [{
    Each iteration of a parallel loop is done by a block of threads. What is computed has the layout of the products'
    accumulators, divided among as many subgroups as the tiles have rows for, at most four; the right-hand side of
    a product is in shared memory; the left-hand side is in the unit's fragments, or in shared memory where products are
    single multiply-adds or registers do not hold wide query rows beside the accumulators. Query rows that fit in neither are
    read in place. Tiles that are computed become operands by `tile.convert`. A loop without products, as the merge of parts
    is, takes threads along the rows, each with neighbouring pieces of sixteen bytes.
    With `matrix-unit=wgmma` tiles of whole warpgroups' rows (64 each) are theirs, and what is loaded for the left-hand
    side is in shared memory, too; other tiles are `mma`'s. A loop for NVIDIA also says how many of its blocks a
    multiprocessor's registers are for (`nvvm.minctasm`): its assembler would else guess, and spill a few for more blocks.

    Before, with `matrix-unit=mma`:
    ```mlir
    func.func @f(%m: memref<64x64xbf16>, %out: memref<64x64xf32>, %n: index) {
      %z = arith.constant 0 : index
      %f = arith.constant 0.0 : f32
      scf.forall (%i) in (%n) {
        %q = tile.load %m[%z, %z] : memref<64x64xbf16> -> !tile.tile<64x64xbf16>
        %k = tile.load %m[%z, %z] : memref<64x64xbf16> -> !tile.tile<64x64xbf16>
        %zero = tile.splat %f : f32 -> !tile.tile<64x64xf32>
        %s = tile.dot %q, %k, %zero transposed
            : !tile.tile<64x64xbf16>, !tile.tile<64x64xbf16> -> !tile.tile<64x64xf32>
        tile.store %s, %out[%z, %z] : !tile.tile<64x64xf32>, memref<64x64xf32>
      }
      return
    }
    ```
    After:
    ```mlir
    scf.forall (%i) in (%n) {
      %q = tile.load %m[%z, %z] : memref<64x64xbf16> -> <64x64xbf16, #tile.fragment<warps = 1, block = [16, 16], ...
      %k = tile.load %m[%z, %z] : memref<64x64xbf16> -> <64x64xbf16, #tile.shared<panel = 128>>
      ...
      %s = tile.dot %q, %k, %zero transposed : ... -> <64x64xf32, #tile.fragment<warps = 1, block = [16, 8], ...
    } {flashc.threads = 32 : i64, nvvm.minctasm = 4 : i32}
    ```
  }];
  let options = [
    Option<"matrixUnit", "matrix-unit", "std::string", "\"none\"",
           "What multiplies 16-bit elements: none, mma, wgmma, mfma or wmma">,
    Option<"subgroupSize", "subgroup-size", "unsigned", "32", "Threads that execute together">,
    Option<"sharedBytes", "shared-bytes", "int64_t", "101376", "Shared memory that a block may use">,
    Option<"registers", "registers", "int64_t", "256", "Registers of a thread of units that take columns (mfma, wmma)">];
}

def MakePersistent : Pass<"make-persistent", "mlir::func::FuncOp"> {
  let summary = "Start as many blocks as there are multiprocessors, and let each do several iterations";
  let description = [{
    For the loops whose loads a producer may do (specialize-roles): it then fetches what the next iteration begins with while the
    consumers end this one. Block b does items b, b + n, b + 2 n and so on, with n the number of blocks. Items of all heads of
    a section come block by block of queries, so that the longest ones, which the loop has first, are begun first and a round of blocks
    has items of about one length; a section is as many heads as have their keys and values in `cache-bytes` together. (The static
    scheduler of FlashAttention-3, Shah et al., 2024.) Where the number of multiprocessors is not known, each item has its block.

    Before:
    ```mlir
    #acc = #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
    #lhs = #tile.fragment<warps = 4, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
    #rhs = #tile.shared<panel = 128>
    func.func @f(%q: !tile.tile<64x64xbf16, #lhs>, %keys: memref<?x?x?x64xbf16>, %none: !tile.tile<64x64xf32, #acc>,
                 %out: memref<64x64xf32>, %batch: index, %heads: index, %blocks: index, %hi: index) {
      %z = arith.constant 0 : index
      %c64 = arith.constant 64 : index
      scf.forall (%b, %h, %i) in (%batch, %heads, %blocks) {
        %sums = scf.for %j = %z to %hi step %c64 iter_args(%sum = %none) -> (!tile.tile<64x64xf32, #acc>) {
          %k = tile.load %keys[%b, %h, %j, %z] : memref<?x?x?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
          %s = tile.dot %q, %k, %sum transposed
              : !tile.tile<64x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<64x64xf32, #acc>
          scf.yield %s : !tile.tile<64x64xf32, #acc>
        }
        tile.store %sums, %out[%z, %z] : !tile.tile<64x64xf32, #acc>, memref<64x64xf32>
      } {flashc.threads = 128 : i64}
      return
    }
    ```
    After:
    ```mlir
    %units = tile.multiprocessors
    ...
    scf.forall (%first) in (%n) {
      scf.for %item = %first to %total step %n {
        ...
        %sums = scf.for %j = ...
        tile.store %sums, %out[...] : ...
      }
    } {flashc.threads = 128 : i64}
    ```
  }];
  let options = [
    Option<"cacheBytes", "cache-bytes", "int64_t", "33554432",
           "What keys and values of the heads that are worked on at once may take of the device's cache">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect",
                           "flashc::tile::TileDialect"];
  let statistics = [Statistic<"numPersistent", "num-persistent", "Loops whose blocks do several iterations">];
}

def SpecializeRoles : Pass<"specialize-roles", "mlir::func::FuncOp"> {
  let summary = "Let a warpgroup of its own load what products read";
  let description = [{
    In a loop of blocks of whole warpgroups, products of 16-bit elements read their tiles from pipes: each block gets 128 threads more,
    the producer, who runs through the same loops and branches and pushes a tile wherever there was a load. The other threads, the
    consumers, pop it before its first reader and release it behind its last one; for a product that was started, that is behind its
    `tile.await`. Tiles of one type from one memory share a pipe, whose number of stages is what `shared-bytes` has room for.

    What the copy unit can know of the memory is described before the loop, and the producer leaves the copies to it; memory that it
    does not take the producer's threads copy. With two and three warpgroups of consumers the producer gives registers to them.

    Before:
    ```mlir
    #acc = #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
    #lhs = #tile.fragment<warps = 4, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
    #rhs = #tile.shared<panel = 128>
    func.func @f(%q: !tile.tile<64x64xbf16, #lhs>, %keys: memref<?x64xbf16>, %none: !tile.tile<64x64xf32, #acc>,
                 %out: memref<64x64xf32>, %n: index, %hi: index) {
      %z = arith.constant 0 : index
      %c64 = arith.constant 64 : index
      scf.forall (%i) in (%n) {
        %sums = scf.for %j = %z to %hi step %c64 iter_args(%sum = %none) -> (!tile.tile<64x64xf32, #acc>) {
          %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
          %s = tile.dot %q, %k, %sum transposed
              : !tile.tile<64x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<64x64xf32, #acc>
          scf.yield %s : !tile.tile<64x64xf32, #acc>
        }
        tile.store %sums, %out[%z, %z] : !tile.tile<64x64xf32, #acc>, memref<64x64xf32>
      } {flashc.threads = 128 : i64}
      return
    }
    ```
    After:
    ```mlir
    %map, %usable = tile.tensor_map %keys rows 64 <panel = 128> : memref<?x64xbf16>
    scf.forall (%i) in (%n) {
      %pipe = tile.pipe stages 2 : <64x64xbf16, #tile.shared<panel = 128>>
      tile.roles producer threads 128 {
        ...
        %pushed = scf.for %j = ... iter_args(%m = ...) -> (index) {
          tile.push %keys[%j, %z] into %pipe at %m by %map if %usable : ...
        ...
      } consumers threads 128 {
        ...
          %k = tile.pop %pipe at %o : ...
          %s = tile.dot %q, %k, %sum transposed : ...
          tile.release %pipe at %o : ...
        ...
      }
    } {flashc.threads = 256 : i64}
    ```
  }];
  let options = [
    Option<"sharedBytes", "shared-bytes", "int64_t", "101376", "Shared memory that a block may use">,
    Option<"stages", "stages", "int64_t", "2", "The most tiles of a pipe">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::scf::SCFDialect", "flashc::tile::TileDialect"];
  let statistics = [Statistic<"numSpecialized", "num-specialized", "Loops of blocks with roles">];
}

def ScheduleCopies : Pass<"schedule-copies", "mlir::func::FuncOp"> {
  let summary = "Load tiles of keys and values while the products before them are computed";
  let description = [{
    In a loop over keys whose products take their right-hand sides from shared memory, the values' load starts before the
    scores' product and the next keys' load before the values' product, so that one tile of each is enough: when all threads wait for
    the values, the keys have been read, and the other way round. The last turn loads no rows. (The schedule of FlashAttention-2, Dao,
    2023.) A loop with one turn at most (`flashc.one_turn`, of split-masked-tiles) has no next keys: it loads its own where it did,
    then its values beside the scores.

    Before:
    ```mlir
    #lhs = #tile.fragment<warps = 1, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
    #acc = #tile.fragment<warps = 1, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
    #rhs = #tile.shared<panel = 128>
    func.func @f(%q: !tile.tile<16x64xbf16, #lhs>, %keys: memref<?x64xbf16>, %values: memref<?x64xbf16>,
                 %p: !tile.tile<16x64xbf16, #lhs>, %none: !tile.tile<16x64xf32, #acc>, %lo: index, %hi: index, %n: index) {
      %z = arith.constant 0 : index
      %c64 = arith.constant 64 : index
      scf.forall (%i) in (%n) {
        %sums = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none) -> (!tile.tile<16x64xf32, #acc>) {
          %rows = arith.subi %hi, %j : index
          %k = tile.load %keys[%j, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
          %s = tile.dot %q, %k, %none transposed
              : !tile.tile<16x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<16x64xf32, #acc>
          %v = tile.load %values[%j, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
          %o = tile.dot %p, %v, %sum
              : !tile.tile<16x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<16x64xf32, #acc>
          scf.yield %o : !tile.tile<16x64xf32, #acc>
        }
      }
      return
    }
    ```
    After:
    ```mlir
    %first = tile.load %keys[%lo, %z] async valid(%all, %c64) : ...
    %sums:2 = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none, %pending = %first) -> ...
      %k = tile.await %pending : ...
      %started = tile.load %values[%j, %z] async valid(%rows, %c64) : ...
      %s = tile.dot %q, %k, %none transposed : ...
      %v = tile.await %started : ...
      %next = tile.load %keys[%following, %z] async valid(%left, %c64) : ...
      %o = tile.dot %p, %v, %sum : ...
      scf.yield %o, %next : ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect"];
  let statistics = [Statistic<"numScheduled", "num-scheduled", "Loops whose loads overlap with products">];
}

def ScheduleProducts : Pass<"schedule-products", "mlir::func::FuncOp"> {
  let summary = "Start the next tile's scores before this tile's values are multiplied";
  let description = [{
    A warpgroup's products run by themselves. In a loop over keys each turn starts the scores of its tile, then the product of the
    weights and values of the tile before; it computes its own weights while that runs. So the first weights are computed before the
    loop, and the last values multiplied behind it, if there is any turn. (The two-stage pipeline of FlashAttention-3, Shah et
    al., 2024.) Several warpgroups take turns at starting products, so that one's run beside the other's exponentials; not for heads
    wider than 128, whose products take longer than that. Products that skip zeros stay as they are, and so do those of a loop
    with one turn at most (`flashc.one_turn`).

    Before:
    ```mlir
    #acc = #tile.fragment<warps = 1, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
    #lhs = #tile.fragment<warps = 1, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>
    #mem = #tile.shared<panel = 128>
    func.func @f(%q: !tile.tile<64x64xbf16, #mem>, %keys: memref<?x64xbf16>, %values: memref<?x64xbf16>,
                 %none: !tile.tile<64x64xf32, #acc>, %lo: index, %hi: index, %n: index) {
      %z = arith.constant 0 : index
      %c64 = arith.constant 64 : index
      scf.forall (%i) in (%n) {
        %sums = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none) -> (!tile.tile<64x64xf32, #acc>) {
          %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !tile.tile<64x64xbf16, #mem>
          %s = tile.dot %q, %k, %none transposed
              : !tile.tile<64x64xbf16, #mem>, !tile.tile<64x64xbf16, #mem> -> !tile.tile<64x64xf32, #acc>
          %p = tile.map ins(%s : !tile.tile<64x64xf32, #acc>) {
          ^bb0(%x: f32):
            %y = arith.truncf %x : f32 to bf16
            tile.yield %y : bf16
          } -> !tile.tile<64x64xbf16, #acc>
          %w = tile.convert %p : !tile.tile<64x64xbf16, #acc> -> !tile.tile<64x64xbf16, #lhs>
          %v = tile.load %values[%j, %z] : memref<?x64xbf16> -> !tile.tile<64x64xbf16, #mem>
          %o = tile.dot %w, %v, %sum
              : !tile.tile<64x64xbf16, #lhs>, !tile.tile<64x64xbf16, #mem> -> !tile.tile<64x64xf32, #acc>
          scf.yield %o : !tile.tile<64x64xf32, #acc>
        }
      }
      return
    }
    ```
    After:
    ```mlir
    %sums = scf.if %any -> ... {
      %k0 = tile.load %keys[%lo, %z] : ...
      %s0 = tile.dot %q, %k0, %none transposed : ...
      %w0 = tile.convert ...
      %turns:3 = scf.for %j = %second to %hi step %c64 iter_args(%sum = %none, %w = %w0, %before = %lo) -> ...
        %k = tile.load %keys[%j, %z] : ...
        %s = tile.dot %q, %k, %none transposed async : ...
        %v = tile.load %values[%before, %z] : ...
        %o = tile.dot %w, %v, %sum async : ...
        %scores = tile.await %s : ...
        %done = tile.await %o : ...
        %next = tile.convert ...
        scf.yield %done, %next, %j : ...
      %last = tile.load %values[%turns#2, %z] : ...
      %all = tile.dot %turns#1, %last, %turns#0 : ...
      scf.yield %all : ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numScheduled", "num-scheduled", "Loops whose products overlap with their softmax">];
}

def LowerTilesToThreads : Pass<"lower-tiles-to-threads", "mlir::func::FuncOp"> {
  let summary = "Turn each parallel loop over tiles into the code of one thread of a block";
  let description = [{
    Tiles become what one thread holds of them: vectors of its blocks of a fragment, through loops and branches. Loads to
    shared memory are shared by the threads, sixteen bytes at a time where strides and alignment allow, and stand between
    barriers. Maps are evaluated on a thread's own elements, reductions go on from its own to those of its row's lanes, products
    are `tile.mma` or multiply-adds. Where zeros have to be skipped beside a matrix unit, the block first looks for NaN and infinities
    in the values; only where there are some are elements multiplied one by one.

    Roles become a branch on the thread's number. A tile of a pipe is waited for at two barriers in shared memory for each stage; it is
    pushed by one thread, who starts a copy of a box for each of the tile's panels, or by all threads of the producer.

    The loop says in `flashc.shared_bytes` how much shared memory its blocks need.

    Before:
    ```mlir
    #rows = #tile.fragment<warps = 1, block = [16, 32], lanes = [0, 4, 0, 8, 0, 16, 4, 0, 8, 0], registers = [0, 1, 0, 2, 1, 0, 2, 0]>
    func.func @f(%m: memref<16x32xf32>, %f: f32, %n: index) {
      %z = arith.constant 0 : index
      scf.forall (%i) in (%n) {
        %x = tile.splat %f : f32 -> !tile.tile<16x32xf32, #rows>
        tile.store %x, %m[%z, %z] : !tile.tile<16x32xf32, #rows>, memref<16x32xf32>
      } {flashc.threads = 32 : i64}
      return
    }
    ```
    After:
    ```mlir
    scf.forall (%i) in (%n) {
      %thread = gpu.thread_id x
      ...
      %own = vector.broadcast %f : f32 to vector<16xf32>
      ...
      %element = vector.extract %own[0] : f32 from vector<16xf32>
      memref.store %element, %m[%row, %column] : memref<16x32xf32>
      ...
    } {flashc.shared_bytes = 0 : i64, flashc.threads = 32 : i64}
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::gpu::GPUDialect", "mlir::math::MathDialect",
                           "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect", "mlir::vector::VectorDialect"];
  let options = [
    Option<"matrixUnit", "matrix-unit", "std::string", "\"none\"",
           "What multiplies 16-bit elements: none, mma, wgmma, mfma or wmma">,
    Option<"subgroupSize", "subgroup-size", "unsigned", "32", "Threads that execute together">,
    Option<"sharedBytes", "shared-bytes", "int64_t", "101376", "Shared memory that a block may use">,
    Option<"asyncCopy", "async-copy", "bool", "false", "Whether threads start copies and wait for them later">,
    Option<"registers", "registers", "int64_t", "0",
           "Registers of a thread, where reads are kept from running ahead; 0 where an assembler schedules">,
    Option<"unalignedAccess", "unaligned-access", "bool", "false",
           "Whether an access to neighbours in global memory may begin at any of them">];
}

def ConvertTileToNvvm : Pass<"convert-tile-to-nvvm", "mlir::gpu::GPUModuleOp"> {
  let summary = "Turn what a thread does into NVIDIA's instructions";
  let description = [{
    `tile.mma` becomes `mma.sync`, `tile.load_matrix` `ldmatrix`, `tile.copy_async` and its groups `cp.async`, `tile.copy_box`
    `cp.async.bulk.tensor`, barriers `mbarrier` and `bar.sync`, registers of a role `setmaxnreg`, and vectors of float32 are rounded to 16
    bits in pairs. A warpgroup's product becomes one statement of inline assembly with its `wgmma`s, between a fence for the
    registers and the group's end. Memory spaces are numbers by now (lower-gpu-memory).

    Before:
    ```mlir
    gpu.module @f_device {
      gpu.func @f_kernel0(%a: vector<8xbf16>, %b: vector<4xbf16>, %c: vector<4xf32>) kernel {
        %d = tile.mma %a, %b, %c shape [16, 8, 16] : vector<8xbf16>, vector<4xbf16>, vector<4xf32>
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    %r = llvm.call_intrinsic "llvm.nvvm.mma.m16n8k16.row.col.bf16"(%a0, %a1, %a2, %a3, %b0, %b1, %c0, %c1, %c2, %c3) : ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::LLVM::LLVMDialect", "mlir::NVVM::NVVMDialect"];
}

def ConvertTileToRocdl : Pass<"convert-tile-to-rocdl", "mlir::gpu::GPUModuleOp"> {
  let summary = "Turn what a thread does into AMD's instructions";
  let description = [{
    `tile.mma` becomes MFMAs or a WMMA of the transposed product: the unit's columns are the tile's rows, so that the scores that a
    lane has are the weights that it passes on. `tile.load_or_zero` becomes a buffer load that is out of bounds where nothing
    exists, and an exchange with a near lane (`gpu.shuffle xor`) an instruction that does not go through LDS.

    Before:
    ```mlir
    gpu.module @f_device {
      gpu.func @f_kernel0(%a: vector<8xf16>, %b: vector<8xf16>, %c: vector<16xf32>) kernel {
        %d = tile.mma %a, %b, %c shape [32, 32, 16] : vector<8xf16>, vector<8xf16>, vector<16xf32>
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    gpu.func @f_kernel0(%a: vector<8xf16>, %b: vector<8xf16>, %c: vector<16xf32>) kernel {
      ...
      %half = llvm.call_intrinsic "llvm.amdgcn.mfma.f32.32x32x8f16"(%b0, %a0, %c, %none, %none, %none) : ...
      %d = llvm.call_intrinsic "llvm.amdgcn.mfma.f32.32x32x8f16"(%b1, %a1, %half, %zero, %zero, %zero) : ...
    ```
  }];
  let options = [
    Option<"subgroupSize", "subgroup-size", "unsigned", "64", "Threads of a wave: 64 on CDNA, 32 on RDNA">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::LLVM::LLVMDialect", "mlir::ROCDL::ROCDLDialect"];
}

//===----------------------------------------------------------------------===//
// From blocks of threads to kernels
//===----------------------------------------------------------------------===//

def OutlineGpuKernels : Pass<"outline-gpu-kernels", "mlir::ModuleOp"> {
  let summary = "Turn each top-level scf.forall of blocks into a kernel and a call of the host's launch";
  let description = [{
    The body of such a loop is the code of one thread, one iteration is a block of `flashc.threads` threads with
    `flashc.shared_bytes` bytes of dynamic shared memory. It becomes a kernel `@NAME_kernel<N>` in `gpu.module
    @NAME_device`; blocks have one dimension and are numbered in row-major order of the loop's. What the body captures
    travels as parameters: of a memref the address of its first element, the sizes and the strides that its type leaves
    open; constants are rebuilt.

    Each public function gets two more arguments, `%host` (a `flashc_host *` that has a `launch`) and `%stream`, and
    returns a `flashc_status`: that of the first launch that fails, after which there is none. A loop without iterations
    is not launched. `@NAME_kernel<N>_function` names the kernel's `flashc_device_function`, which is defined with the
    image.

    Before:
    ```mlir
    func.func @f(%x: memref<?xf32, strided<[?]>>, %n: index) {
      %zero = arith.constant 0.0 : f32
      scf.forall (%i) in (%n) {
        %t = gpu.thread_id x
        %first = arith.muli %i, %t : index
        memref.store %zero, %x[%first] : memref<?xf32, strided<[?]>>
      } {flashc.threads = 128 : i64, flashc.shared_bytes = 0 : i64}
      return
    }
    ```
    After:
    ```mlir
    func.func @f(%x: memref<?xf32, strided<[?]>>, %n: index, %host: !llvm.ptr {flashc.host}, %stream: !llvm.ptr {flashc.stream}) -> i32 {
      ...
      // host->launch(host->user, &f_kernel0_function, n, {x, its size, its stride}, stream)
      %status = llvm.call %launch(%user, %function, %blocks, %parameters, %stream)
          : !llvm.ptr, (!llvm.ptr, !llvm.ptr, i64, !llvm.ptr, !llvm.ptr) -> i32
      ...
    gpu.module @f_device {
      gpu.func @f_kernel0(%data: !llvm.ptr<1>, %size: i64, %stride: i64) kernel ...
        ...
        %memory = builtin.unrealized_conversion_cast ...
        ...
        %block = gpu.block_id x
        %thread = gpu.thread_id x
        ...
        memref.store %value, %memory[%element] : memref<?xf32, strided<[?]>>
        gpu.return
    ```
  }];
  let options = [
    Option<"sharedBytes", "shared-bytes", "int64_t", "0",
           "Bytes of shared memory that a block of the target may use; 0 = not checked">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::func::FuncDialect", "mlir::gpu::GPUDialect",
                           "mlir::LLVM::LLVMDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numKernels", "num-kernels", "Kernels outlined">];
}

def LowerGpuMemory : Pass<"lower-gpu-memory", "mlir::gpu::GPUModuleOp"> {
  let summary = "Number the address spaces of device code, and give dynamic shared memory a name";
  let description = [{
    `#gpu.address_space` becomes the number that NVIDIA's and AMD's code generators share: 1 is global, 3 shared and 5
    private. `gpu.dynamic_shared_memory` becomes the address of an external array without a size, aligned to 1024 bytes.

    Before:
    ```mlir
    gpu.module @f_device {
      gpu.func @f_kernel0() kernel attributes {flashc.shared_bytes = 4096 : i64} {
        %bytes = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
        %zero = arith.constant 0 : index
        %value = arith.constant 0 : i8
        memref.store %value, %bytes[%zero] : memref<?xi8, #gpu.address_space<workgroup>>
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    gpu.module @f_device {
      llvm.mlir.global external @flashc_shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
      gpu.func @f_kernel0() kernel ...
        %address = llvm.mlir.addressof @flashc_shared : !llvm.ptr<3>
        ...
        memref.store %value, %bytes[%zero] : memref<?xi8, 3>
    ```
  }];
  let dependentDialects = ["mlir::LLVM::LLVMDialect"];
  let statistics = [Statistic<"numReplaced", "num-replaced", "Uses of dynamic shared memory that were replaced">];
}

def ExpandPowers : Pass<"expand-powers"> {
  let summary = "Make powers of exponentials and logarithms";
  let description = [{
    x^y is 2^(y log2 |x|), with the sign and the special cases of C's `pow`. A logarithm's error is multiplied by y, so
    it is computed to about twice the type's digits: powers are as exact as the exponential. Small whole exponents that are
    known are products. On f32 and f64.

    Before:
    ```mlir
    func.func @f(%x: f32, %y: f32) -> f32 {
      %0 = math.powf %x, %y : f32
      return %0 : f32
    }
    ```
    After:
    ```mlir
    func.func @f(%x: f32, %y: f32) -> f32 {
      ...
      %0 = math.exp2 ... : f32
      ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::LLVM::LLVMDialect", "mlir::math::MathDialect"];
  let statistics = [Statistic<"numExpanded", "num-expanded", "Powers that were expanded">];
}

def CheckGpuMath : Pass<"check-gpu-math", "mlir::gpu::GPUModuleOp"> {
  let summary = "Refuse mathematical functions that no GPU has an instruction for and no pass expanded";
  let description = [{
    There is no library to call on a device. What is left after approximate-math, expand-powers and expand-math has to be one of
    the functions that both vendors' code generators know: absolute values, rounding, square roots, copying a sign, fused
    multiply-add and counting bits. Anything else is an error at its place. The module is not changed.

    Before:
    ```mlir
    gpu.module @f_device {
      gpu.func @f_kernel0(%x: f64) kernel {
        %y = math.sqrt %x : f64
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    %y = math.sqrt %x : f64
    ```
  }];
  let statistics = [Statistic<"numChecked", "num-checked", "Mathematical functions that were looked at">];
}

def ResolveBitCasts : Pass<"resolve-bit-casts", "mlir::gpu::GPUModuleOp"> {
  let summary = "Make bit casts of what conversions left between types of one size";
  let description = [{
    Upstream's conversion to ROCDL takes bf16 for i16 and leaves casts to and from it where others keep the type.

    Before:
    ```mlir
    gpu.module @f_device {
      gpu.func @f_kernel0(%x: i16) kernel {
        %y = builtin.unrealized_conversion_cast %x : i16 to bf16
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    %y = llvm.bitcast %x : i16 to bf16
    ```
  }];
  let dependentDialects = ["mlir::LLVM::LLVMDialect"];
  let statistics = [Statistic<"numCasts", "num-casts", "Casts that became bit casts">];
}

#endif // FLASHC_GPUPASSES_TD

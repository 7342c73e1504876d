// RUN: flash-opt %s --assign-fragments=matrix-unit=mma | FileCheck %s
// RUN: flash-opt %s --assign-fragments=matrix-unit=wgmma | FileCheck %s
// RUN: flash-opt %s --assign-fragments=matrix-unit=mma --lower-tiles-to-threads="matrix-unit=mma async-copy=true" --canonicalize --cse | FileCheck %s --check-prefix=THREADS

// Products in tf32 on NVIDIA's matrix unit, warps' own on Hopper, too. Queries and keys come along the contraction as ldmatrix
// brings them: a lane has columns t and t + 4. Weights are what the lane has of the scores, columns 2t and 2t + 1, in another order
// of registers; values follow.
// CHECK-LABEL: @attend
// CHECK: tile.load %{{.*}} -> <64x64xf32, #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 1, 0, 2, 1, 0, 2, 0, 4, 0], registers = [8, 0, 0, 4]>>
// CHECK: tile.load %{{.*}} -> <32x64xf32, #tile.shared<panel = 128>>
// CHECK: tile.dot {{.*}} transposed tf32 {{.*}} -> <64x32xf32, #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>>
// CHECK: %[[W:.*]] = tile.convert %{{.*}} -> <64x32xf32, #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [8, 0, 0, 1]>>
// CHECK: tile.dot %[[W]], {{.*}} tf32
// CHECK: } {flashc.threads = 128 : i64, nvvm.minctasm = 3 : i32}

// Queries are rounded once, before the loop. In the loop a load of matrices serves two products of scores; of values each lane reads
// single words; weights change registers, and no lane asks another.
// THREADS-LABEL: @attend
// THREADS: tile.copy_async
// THREADS: tile.load_matrix {{.*}} -> vector<4xf32>
// THREADS: tile.round_tf32 %{{.*}} : vector<4xf32>
// THREADS: scf.for
// THREADS: tile.load_matrix {{.*}} -> vector<4xf32>
// THREADS: tile.round_tf32 %{{.*}} : vector<2xf32>
// THREADS: tile.mma {{.*}} shape [16, 8, 8] : vector<4xf32>, vector<2xf32>, vector<4xf32>
// THREADS: arith.subf
// THREADS-NOT: gpu.shuffle{{.*}} : f32
// THREADS: tile.round_tf32 %{{.*}} : vector<4xf32>
// THREADS-NOT: gpu.shuffle{{.*}} : f32
// THREADS: memref.load %{{.*}} : memref<2048xf32, #gpu.address_space<workgroup>>
// THREADS: tile.round_tf32 %{{.*}} : vector<2xf32>
// THREADS: tile.mma
func.func @attend(%q: memref<64x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %o: memref<64x64xf32>, %n: index) {
  %z = arith.constant 0 : index
  %c32 = arith.constant 32 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %query = tile.load %q[%z, %z] : memref<64x64xf32> -> !tile.tile<64x64xf32>
    %start = tile.splat %zero : f32 -> !tile.tile<64x64xf32>
    %acc = scf.for %j = %z to %n step %c32 iter_args(%sums = %start) -> !tile.tile<64x64xf32> {
      %key = tile.load %k[%j, %z] valid(%c32, %c64) : memref<?x64xf32> -> !tile.tile<32x64xf32>
      %none = tile.splat %zero : f32 -> !tile.tile<64x32xf32>
      %s = tile.dot %query, %key, %none transposed tf32 : !tile.tile<64x64xf32>, !tile.tile<32x64xf32> -> !tile.tile<64x32xf32>
      %low = tile.splat %zero : f32 -> !tile.tile<64xf32>
      %m = tile.reduce max %s, %low : !tile.tile<64x32xf32> -> !tile.tile<64xf32>
      %p = tile.map ins(%s, %m : !tile.tile<64x32xf32>, !tile.tile<64xf32>) {
      ^bb0(%x: f32, %most: f32):
        %y = arith.subf %x, %most : f32
        tile.yield %y : f32
      } -> !tile.tile<64x32xf32>
      %value = tile.load %v[%j, %z] valid(%c32, %c64) : memref<?x64xf32> -> !tile.tile<32x64xf32>
      %next = tile.dot %p, %value, %sums tf32 : !tile.tile<64x32xf32>, !tile.tile<32x64xf32> -> !tile.tile<64x64xf32>
      scf.yield %next : !tile.tile<64x64xf32>
    }
    tile.store %acc, %o[%z, %z] : !tile.tile<64x64xf32>, memref<64x64xf32>
  }
  return
}

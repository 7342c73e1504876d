// Where LLVM's code generator allocates registers, it is kept from filling them with what is not needed yet.
// RUN: flash-opt %s --assign-fragments="matrix-unit=mfma subgroup-size=64 shared-bytes=65536 registers=256" --lower-tiles-to-threads="matrix-unit=mfma subgroup-size=64 shared-bytes=65536 registers=256 unaligned-access" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,LLVM
// RUN: flash-opt %s --assign-fragments="matrix-unit=mfma subgroup-size=64 shared-bytes=65536 registers=256" --lower-tiles-to-threads="matrix-unit=mfma subgroup-size=64 shared-bytes=65536 unaligned-access" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,OTHERS

// A fence behind as many operands as 32 registers hold, here all of the product's: eight of four registers each. Another
// target's assembler needs none.
// CHECK-LABEL: func.func @product(
// LLVM: tile.schedule_fence
// OTHERS-NOT: tile.schedule_fence
// CHECK-COUNT-32: tile.mma
// LLVM: tile.schedule_fence
// OTHERS-NOT: tile.schedule_fence
func.func @product(%q: memref<128x64xbf16>, %k: memref<64x64xbf16>, %o: memref<128x64xf32>, %n: index) {
  %z = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %query = tile.load %q[%z, %z] : memref<128x64xbf16> -> !tile.tile<128x64xbf16>
    %key = tile.load %k[%z, %z] : memref<64x64xbf16> -> !tile.tile<64x64xbf16>
    %none = tile.splat %zero : f32 -> !tile.tile<128x64xf32>
    %s = tile.dot %query, %key, %none transposed : !tile.tile<128x64xbf16>, !tile.tile<64x64xbf16> -> !tile.tile<128x64xf32>
    tile.store %s, %o[%z, %z] : !tile.tile<128x64xf32>, memref<128x64xf32>
  }
  return
}

// Turns that a mask crosses do not know that the thread's number is what it was before, so that nothing computed from it
// waits in registers; rows are divided before the loop, since a division is a branch.
// CHECK-LABEL: func.func @masked(
// CHECK: %[[LEAST:.*]] = arith.maxsi
// CHECK: %[[THREAD:.*]] = gpu.thread_id
// LLVM: arith.divui %{{.*}}, %[[LEAST]]
// CHECK: scf.for
// LLVM-NEXT: %[[WORD:.*]] = arith.index_castui %[[THREAD]] : index to i32
// LLVM-NEXT: %[[SAME:.*]], %{{.*}} = gpu.shuffle xor %[[WORD]], %c0_i32
// LLVM-NEXT: %[[AGAIN:.*]] = arith.index_castui %[[SAME]] : i32 to index
// LLVM: arith.remui %[[AGAIN]]
// LLVM-NOT: arith.divui %{{.*}}, %[[LEAST]]
// OTHERS-NOT: gpu.shuffle
// OTHERS: arith.divui %{{.*}}, %[[LEAST]]
// CHECK: scf.yield
func.func @masked(%k: memref<?x64xbf16>, %q: memref<128x64xbf16>, %o: memref<128x64xf32>, %size: index, %n: index) {
  %z = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  %least = arith.maxsi %size, %c1 : index
  scf.forall (%i) in (%n) {
    %query = tile.load %q[%z, %z] : memref<128x64xbf16> -> !tile.tile<128x64xbf16>
    %none = tile.splat %zero : f32 -> !tile.tile<128x64xf32>
    %r = scf.for %j = %z to %n step %c64 iter_args(%sum = %none) -> (!tile.tile<128x64xf32>) {
      %key = tile.load %k[%j, %z] valid(%c64, %c64) : memref<?x64xbf16> -> !tile.tile<64x64xbf16>
      %s = tile.dot %query, %key, %sum transposed : !tile.tile<128x64xbf16>, !tile.tile<64x64xbf16> -> !tile.tile<128x64xf32>
      %m = tile.map ins(%s : !tile.tile<128x64xf32>) origin(%z, %j) {
      ^bb0(%x: f32, %row: index, %column: index):
        %head = arith.divui %row, %least : index
        %inside = arith.cmpi ule, %column, %head : index
        %y = arith.select %inside, %x, %zero : f32
        tile.yield %y : f32
      } -> !tile.tile<128x64xf32>
      scf.yield %m : !tile.tile<128x64xf32>
    }
    tile.store %r, %o[%z, %z] : !tile.tile<128x64xf32>, memref<128x64xf32>
  }
  return
}

// Neighbours are read wherever they begin. Those at the end of a row of 111 end with it: they are read one element before
// their place and moved. What is written there goes one by one.
// CHECK-LABEL: func.func @uneven(
// CHECK: %[[FROM:.*]] = arith.minsi %[[COLUMN:.*]], %c109
// CHECK: %[[READ:.*]] = vector.load {{.*}} : memref<?xbf16>, vector<2xbf16>
// CHECK: %[[ENDS:.*]] = arith.cmpi sgt, %[[COLUMN]], %c109
// CHECK: arith.select %[[ENDS]]
// CHECK: scf.if
// CHECK: vector.store {{.*}} : memref<?xbf16>, vector<2xbf16>
// CHECK: } else {
// CHECK: arith.cmpi eq, %{{.*}}, %c110
// CHECK: memref.store %{{.*}} : memref<?xbf16>
func.func @uneven(%q: memref<?x111xbf16, strided<[?, ?], offset: ?>>, %o: memref<?x111xbf16, strided<[?, ?], offset: ?>>, %rows: index, %n: index) {
  %z = arith.constant 0 : index
  %c111 = arith.constant 111 : index
  scf.forall (%i) in (%n) {
    %a = tile.load %q[%z, %z] valid(%rows, %c111) : memref<?x111xbf16, strided<[?, ?], offset: ?>> -> !tile.tile<16x112xf32>
    tile.store %a, %o[%z, %z] valid(%rows, %c111) : !tile.tile<16x112xf32>, memref<?x111xbf16, strided<[?, ?], offset: ?>>
  }
  return
}

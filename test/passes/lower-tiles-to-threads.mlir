// RUN: flash-opt %s --assign-fragments=matrix-unit=mma --lower-tiles-to-threads="matrix-unit=mma async-copy=true" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,MMA
// RUN: flash-opt %s --assign-fragments --lower-tiles-to-threads --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,NONE

// Of a tile with one element a row, each lane of a row holds the element; one of them writes it.
// CHECK-LABEL: @rows
// CHECK: %[[T:.*]] = gpu.thread_id x
// CHECK: %[[LANE:.*]] = arith.remui %[[T]], %c32
// CHECK: arith.andi %[[LANE]], %c7
// CHECK: scf.if
// CHECK-NEXT: memref.store
// CHECK: flashc.shared_bytes = 0 : i64
func.func @rows(%m: memref<16xf32>, %x: f32, %n: index) {
  %z = arith.constant 0 : index
  scf.forall (%i) in (%n) {
    %t = tile.splat %x : f32 -> !tile.tile<16xf32>
    tile.store %t, %m[%z] : !tile.tile<16xf32>, memref<16xf32>
  }
  return
}

// The left-hand side passes through shared memory on its way to fragments. The right-hand side comes to shared memory in
// sixteen-byte pieces where rows begin at them, else by elements, before a barrier; then 16x8x16 products, two columns'
// blocks a load. Copying by elements is rare: it takes the thread's number anew, so that no address waits for it.
// CHECK-LABEL: @product
// CHECK: gpu.dynamic_shared_memory
// MMA: tile.copy_async
// MMA: } else {
// MMA: %[[SAME:.*]], %{{.*}} = gpu.shuffle xor %{{.*}}, %c0_i32
// MMA: %[[AGAIN:.*]] = arith.index_castui %[[SAME]] : i32 to index
// MMA: %[[FIRST:.*]] = arith.remui %[[AGAIN]], %c32
// MMA: scf.for %{{.*}} = %[[FIRST]] to
// MMA: memref.store
// MMA: tile.copy_commit
// MMA: tile.copy_wait 0
// MMA: gpu.barrier
// MMA-COUNT-5: tile.load_matrix
// MMA-NOT: tile.load_matrix
// The sums leave in pairs where rows begin at them.
// MMA: tile.vector_store %{{.*}} : vector<2xf32>, memref<?xf32>
// NONE: scf.for
// NONE: tile.vector_load
// NONE: math.fma
func.func @product(%q: memref<16x16xf16>, %k: memref<?x?xf16, strided<[?, ?]>>, %o: memref<16x64xf32>, %n: index) {
  %z = arith.constant 0 : index
  %c16 = arith.constant 16 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %query = tile.load %q[%z, %z] : memref<16x16xf16> -> !tile.tile<16x16xf16>
    %key = tile.load %k[%z, %z] valid(%c64, %c16) : memref<?x?xf16, strided<[?, ?]>> -> !tile.tile<64x16xf16>
    %none = tile.splat %zero : f32 -> !tile.tile<16x64xf32>
    %s = tile.dot %query, %key, %none transposed : !tile.tile<16x16xf16>, !tile.tile<64x16xf16> -> !tile.tile<16x64xf32>
    tile.store %s, %o[%z, %z] : !tile.tile<16x64xf32>, memref<16x64xf32>
  }
  return
}

// Where the unit would make NaN of zero times infinity, a thread multiplies its elements one by one, with addresses that it
// computes there: the unit's products do not have them beside their sums.
// CHECK-LABEL: @rarely
// MMA: %[[THREAD:.*]] = gpu.thread_id x
// MMA: memref.atomic_rmw ori
// MMA: scf.if
// MMA: %[[SAME:.*]], %{{.*}} = gpu.shuffle xor %{{.*}}, %c0_i32
// MMA: %[[AGAIN:.*]] = arith.index_castui %[[SAME]] : i32 to index
// MMA: %[[HERE:.*]] = arith.remui %[[AGAIN]], %c32
// MMA: arith.remui %[[HERE]], %c32
// MMA: scf.for
// MMA-NOT: %[[THREAD]]
// MMA: math.fma
// MMA: } else {
// MMA: tile.mma
func.func @rarely(%k: memref<64x64xf16>, %o: memref<64x64xf32>, %x: f16, %n: index) {
  %z = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %weights = tile.splat %x : f16 -> !tile.tile<64x64xf16>
    %values = tile.load %k[%z, %z] : memref<64x64xf16> -> !tile.tile<64x64xf16>
    %none = tile.splat %zero : f32 -> !tile.tile<64x64xf32>
    %s = tile.dot %weights, %values, %none skip_zeros : !tile.tile<64x64xf16>, !tile.tile<64x64xf16> -> !tile.tile<64x64xf32>
    tile.store %s, %o[%z, %z] : !tile.tile<64x64xf32>, memref<64x64xf32>
  }
  return
}

// A row's maximum: a thread's own elements, then those of the lanes of its row; a warp has four whole rows.
// CHECK-LABEL: @maximum
// CHECK-COUNT-20: gpu.shuffle xor
// CHECK-NOT: gpu.shuffle
// CHECK: arith.maxnumf
func.func @maximum(%x: memref<16x32xf32>, %m: memref<16xf32>, %n: index) {
  %z = arith.constant 0 : index
  %lowest = arith.constant 0xFF800000 : f32
  scf.forall (%i) in (%n) {
    %t = tile.load %x[%z, %z] : memref<16x32xf32> -> !tile.tile<16x32xf32>
    %start = tile.splat %lowest : f32 -> !tile.tile<16xf32>
    %r = tile.reduce max %t, %start : !tile.tile<16x32xf32> -> !tile.tile<16xf32>
    tile.store %r, %m[%z] : !tile.tile<16xf32>, memref<16xf32>
  }
  return
}

// What the block has stored other threads may load: they meet in between. Other memory is nobody else's.
// CHECK-LABEL: @stored
// CHECK: memref.store
// CHECK: gpu.barrier
// CHECK: memref.load
// CHECK-NOT: gpu.barrier
// CHECK: memref.load
func.func @stored(%x: f32, %other: memref<16xf32>, %out: memref<16xf32>, %n: index) {
  %z = arith.constant 0 : index
  %parts = memref.alloc() : memref<16xf32>
  scf.forall (%i) in (%n) {
    %t = tile.splat %x : f32 -> !tile.tile<16xf32>
    tile.store %t, %parts[%z] : !tile.tile<16xf32>, memref<16xf32>
    %read = tile.load %parts[%z] : memref<16xf32> -> !tile.tile<16xf32>
    %more = tile.load %other[%z] : memref<16xf32> -> !tile.tile<16xf32>
    %sum = tile.map ins(%read, %more : !tile.tile<16xf32>, !tile.tile<16xf32>) {
    ^bb0(%a: f32, %b: f32):
      %s = arith.addf %a, %b : f32
      tile.yield %s : f32
    } -> !tile.tile<16xf32>
    tile.store %sum, %out[%z] : !tile.tile<16xf32>, memref<16xf32>
  }
  return
}

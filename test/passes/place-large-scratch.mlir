// RUN: flash-opt %s --place-large-scratch=stack-bytes=4096 | FileCheck %s
// RUN: flash-opt %s --place-large-scratch --plan-workspace --outline-parallel-tasks | FileCheck %s --check-prefix=ALL

// The largest buffers go until the rest fits. Loops run one after the other and share a worker's slot, which is as large as
// what the hungriest of them moves: 128 x 256 f32 and 64 x 64 f64.
// CHECK-LABEL: func @two_loops
// CHECK: %[[N:.*]] = tile.workers
// CHECK: %[[SLOT:.*]] = arith.constant 163840 : index
// CHECK: %[[BYTES:.*]] = arith.muli %[[N]], %[[SLOT]] : index
// CHECK: %[[MEMORY:.*]] = memref.alloc(%[[BYTES]]) {alignment = 64 : i64} : memref<?xi8>
func.func @two_loops(%x: memref<?xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  // CHECK: scf.forall
  scf.forall (%i) in (%n) {
    // CHECK: %[[W:.*]] = tile.worker
    // CHECK: %[[SIZE:.*]] = arith.constant 163840 : index
    // CHECK: %[[AT:.*]] = arith.muli %[[W]], %[[SIZE]] : index
    // CHECK: %[[A:.*]] = memref.view %[[MEMORY]][%[[AT]]][] : memref<?xi8> to memref<128x256xf32>
    // CHECK: %[[A_BYTES:.*]] = arith.constant 131072 : index
    // CHECK: %[[NEXT:.*]] = arith.addi %[[AT]], %[[A_BYTES]] : index
    // CHECK: %[[B:.*]] = memref.view %[[MEMORY]][%[[NEXT]]][] : memref<?xi8> to memref<64x64xf64>
    // CHECK: %[[C:.*]] = memref.alloca() : memref<32x32xf32>
    %b = memref.alloca() : memref<64x64xf64>
    %c = memref.alloca() : memref<32x32xf32>
    %a = memref.alloca() : memref<128x256xf32>
    %v = memref.load %x[%i] : memref<?xf32>
    %w = arith.extf %v : f32 to f64
    // CHECK: memref.store %{{.*}}, %[[A]][
    // CHECK: memref.store %{{.*}}, %[[B]][
    // CHECK: memref.store %{{.*}}, %[[C]][
    memref.store %v, %a[%c0, %c0] : memref<128x256xf32>
    memref.store %w, %b[%c0, %c0] : memref<64x64xf64>
    memref.store %v, %c[%c0, %c0] : memref<32x32xf32>
  }
  // CHECK: scf.forall
  // CHECK: memref.view %[[MEMORY]][%{{.*}}][] : memref<?xi8> to memref<100x100xi8>
  // CHECK-NOT: memref.alloca
  scf.forall (%i) in (%n) {
    %d = memref.alloca() : memref<100x100xi8>
    %one = arith.constant 1 : i8
    memref.store %one, %d[%c0, %c0] : memref<100x100xi8>
  }
  return
}

// What fits stays.
// CHECK-LABEL: func @small
func.func @small(%x: memref<?xf32>, %n: index) {
  // CHECK-NOT: tile.worker
  // CHECK: memref.alloca() : memref<1024xf32>
  scf.forall (%i) in (%n) {
    %a = memref.alloca() : memref<1024xf32>
    %v = memref.load %x[%i] : memref<?xf32>
    memref.store %v, %a[%i] : memref<1024xf32>
  }
  return
}

// On the way to a kernel: 128 KB in 96 KB are too many, and the workspace grows by a slot a worker.
// ALL-LABEL: func @two_loops(
// ALL-SAME: %[[WORKERS:[a-z0-9]+]]: index {flashc.workers}
// ALL-LABEL: func private @two_loops_task0
// ALL: memref.view %{{.*}} : memref<?xi8> to memref<128x256xf32>
// ALL: memref.alloca() : memref<64x64xf64>
// ALL: memref.alloca() : memref<32x32xf32>
// ALL-LABEL: func private @two_loops_workspace_bytes
// ALL: %[[SLOT:.*]] = arith.constant 131072 : index
// ALL: arith.muli %{{.*}}, %[[SLOT]] : index

// The buffer that is the body's first operation goes before another one.
// CHECK-LABEL: func @first
// CHECK: scf.forall
// CHECK: %[[LARGE:.*]] = memref.view {{.*}} to memref<64x64xf64>
// CHECK: %[[SMALL:.*]] = memref.view {{.*}} to memref<64x64xf32>
// CHECK-NOT: memref.alloca
func.func @first(%n: index) {
  scf.forall (%i) in (%n) {
    %large = memref.alloca() : memref<64x64xf64>
    %small = memref.alloca() : memref<64x64xf32>
    %zero = arith.constant 0.0 : f32
    %none = arith.constant 0.0 : f64
    memref.store %none, %large[%i, %i] : memref<64x64xf64>
    memref.store %zero, %small[%i, %i] : memref<64x64xf32>
  }
  return
}

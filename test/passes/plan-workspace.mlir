// RUN: flash-opt %s --plan-workspace --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func @one(
// CHECK-SAME:    %[[X:.*]]: memref<?x64xf32>, %[[W:.*]]: memref<?xi8> {flashc.workspace})
func.func @one(%x: memref<?x64xf32>) {
  // CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
  // CHECK-DAG: %[[N:.*]] = memref.dim %[[X]], %[[C0]]
  // CHECK: %[[T:.*]] = memref.view %[[W]][%[[C0]]][%[[N]]] : memref<?xi8> to memref<?x64xf32>
  // CHECK: memref.copy %[[X]], %[[T]]
  // CHECK-NOT: memref.dealloc
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?x64xf32>
  %t = memref.alloc(%n) : memref<?x64xf32>
  memref.copy %x, %t : memref<?x64xf32> to memref<?x64xf32>
  memref.dealloc %t : memref<?x64xf32>
  return
}

// The size is counted with overflow noted: 256 bytes a row, rounded up to 64.
// CHECK-LABEL: func private @one_workspace_bytes(
// CHECK-SAME:    %[[X:.*]]: memref<?x64xf32>) -> index
// CHECK: %[[N:.*]] = memref.dim %[[X]]
// CHECK: arith.mului_extended %[[N]], %c256
// CHECK: arith.select %{{.*}}, %c-1, %{{.*}} : index

// A second allocation begins where the first ends, whatever element types they have.
// CHECK-LABEL: func @two(
func.func @two(%x: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %n = memref.dim %x, %c0 : memref<?xf64>
  // CHECK: %[[N:.*]] = memref.dim
  // CHECK: memref.view %{{.*}}[%c0][] : memref<?xi8> to memref<3xi1>
  // CHECK: memref.view %{{.*}}[%c64][%[[N]]] : memref<?xi8> to memref<?xbf16>
  %flags = memref.alloc() : memref<3xi1>
  %half = memref.alloc(%n) {alignment = 64 : i64} : memref<?xbf16>
  // The third's size is the second's, and its begin follows from it.
  // CHECK: %[[BYTES:.*]] = arith.muli %[[N]], %c2
  // CHECK: %[[UP:.*]] = arith.addi %[[BYTES]], %c63
  // CHECK: %[[EVEN:.*]] = arith.andi %[[UP]], %c-64
  // CHECK: %[[AT:.*]] = arith.addi %[[EVEN]], %c64
  // CHECK: memref.view %{{.*}}[%[[AT]]][%{{.*}}] : memref<?xi8> to memref<?xf32>
  %m = memref.dim %half, %c0 : memref<?xbf16>
  %twice = arith.muli %m, %c2 : index
  %last = memref.alloc(%twice) : memref<?xf32>
  call @use(%flags, %half, %last) : (memref<3xi1>, memref<?xbf16>, memref<?xf32>) -> ()
  return
}

// Nothing to allocate: no bytes. A private function is left alone.
// CHECK-LABEL: func private @none_workspace_bytes
// CHECK-NEXT: %[[ZERO:.*]] = arith.constant 0
// CHECK-NEXT: return %[[ZERO]]
func.func @none(%x: memref<?xf32>) {
  return
}
// CHECK-LABEL: func private @use
// CHECK-NOT: flashc.workspace
func.func private @use(memref<3xi1>, memref<?xbf16>, memref<?xf32>)

// Memory with a place for each worker: their number is an argument of both functions.
// CHECK-LABEL: func @places
// CHECK-SAME: %{{.*}}: memref<?xf32>, %[[WORKERS:.*]]: index {flashc.workers}, %{{.*}}: memref<?xi8> {flashc.workspace}
// CHECK: memref.view %{{.*}}[%{{.*}}][%[[WORKERS]]] : memref<?xi8> to memref<?x16xf32>
// CHECK-LABEL: func private @places_workspace_bytes
// CHECK-SAME: %{{.*}}: memref<?xf32>, %[[N:.*]]: index) -> index
// CHECK: arith.mului_extended {{.*}}%[[N]]
func.func @places(%x: memref<?xf32>) {
  %n = tile.workers
  %m = memref.alloc(%n) : memref<?x16xf32>
  call @use_places(%m) : (memref<?x16xf32>) -> ()
  return
}
func.func private @use_places(memref<?x16xf32>)

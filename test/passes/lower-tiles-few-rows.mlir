// RUN: flash-opt %s --assign-tile-layouts --lower-tiles-to-vector --canonicalize | FileCheck %s

// What a loop carries has as many rows as the left-hand side of its product: no others are filled beforehand, or touched after it.
// CHECK-LABEL: func @carried
// CHECK-SAME: (%{{.*}}: memref<?x64xf32>, %{{.*}}: memref<256x64xf32>, %{{.*}}: memref<32x256xf32>, %[[ROWS:.*]]: index, %{{.*}}: index)
func.func @carried(%q: memref<?x64xf32>, %k: memref<256x64xf32>, %s: memref<32x256xf32>, %rows: index, %n: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %d = arith.constant 64 : index
  %none = arith.constant 0.0 : f32
  %q_tile = tile.load %q[%zero, %zero] valid(%rows, %d) : memref<?x64xf32> -> !tile.tile<32x64xf32>
  %acc = tile.splat %none : f32 -> !tile.tile<32x256xf32>
  // CHECK: scf.for %[[R:.*]] = %c0 to %[[ROWS]] step %c1 {
  // CHECK-NEXT: scf.for %[[C:.*]] = %c0 to %c272 step %c1 {
  // CHECK-NEXT: memref.store %{{.*}}, %[[CARRIED:.*]][%[[R]], %[[C]]] : memref<36x272xf32>
  %sum = scf.for %i = %zero to %n step %one iter_args(%before = %acc) -> !tile.tile<32x256xf32> {
    %k_tile = tile.load %k[%zero, %zero] streamed : memref<256x64xf32> -> !tile.tile<256x64xf32>
    %next = tile.dot %q_tile, %k_tile, %before transposed
        : !tile.tile<32x64xf32>, !tile.tile<256x64xf32> -> !tile.tile<32x256xf32>
    scf.yield %next : !tile.tile<32x256xf32>
  }
  tile.store %sum, %s[%zero, %zero] : !tile.tile<32x256xf32>, memref<32x256xf32>
  return
}

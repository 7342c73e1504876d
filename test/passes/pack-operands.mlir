// RUN: flash-opt %s --assign-tile-layouts --pack-operands | FileCheck %s

!mem = memref<?x?x?x64xf32, strided<[?, ?, ?, ?], offset: ?>>
!head = memref<?x64xf32, strided<[?, ?], offset: ?>>

// The keys of all heads are packed once, in strips of 64, before the loop over query blocks; the loop reads a strip.
// CHECK-LABEL: func @keys
// CHECK-SAME:    %{{.*}}, %[[K:.*]]: memref<?x?x?x64xf32, {{.*}}>, %[[B:.*]]: index, %[[H:.*]]: index, %[[T:.*]]: index, %[[N:.*]]: index
// CHECK:       %[[PACKED:.*]] = memref.alloc(%{{.*}}, %{{.*}}, %{{.*}}) {alignment = 64 : i64} : memref<?x?x?x64x64xf32>
// CHECK:       scf.forall (%[[BB:.*]], %[[G:.*]], %[[S:.*]]) in
// CHECK:         tile.pack %[[K]][%[[BB]], %[[G]], %{{.*}}, %{{.*}}] valid(%{{.*}}) into %[[PACKED]][%[[BB]], %[[G]], %[[S]]] transposed <width = 64, lanes = 16>
// CHECK:       scf.forall (%[[B1:.*]], %[[H1:.*]], %{{.*}}) in (%[[B]], %[[H]], %[[T]])
// CHECK:         scf.for %[[J:.*]] =
// CHECK:           %[[STRIP:.*]] = arith.divui %[[J]], %{{.*}}
// CHECK:           tile.view %[[PACKED]][%[[B1]], %[[H1]], %[[STRIP]]] valid(%[[N]])
// CHECK-NOT:       tile.load
func.func @keys(%q: !tile.tile<24x64xf32>, %k: !mem, %B: index, %H: index, %T: index, %n: index) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c512 = arith.constant 512 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%b, %h, %t) in (%B, %H, %T) {
    %z = tile.splat %zero : f32 -> !tile.tile<24x512xf32>
    %kh = memref.subview %k[%b, %h, 0, 0] [1, 1, %n, 64] [1, 1, 1, 1] : !mem to !head
    scf.for %j = %c0 to %n step %c512 {
      %kj = memref.subview %kh[%j, 0] [%n, 64] [1, 1] : !head to !head
      %kt = tile.load %kj[%c0, %c0] valid(%n, %c64) : !head -> !tile.tile<512x64xf32>
      %s = tile.dot %q, %kt, %z transposed : !tile.tile<24x64xf32>, !tile.tile<512x64xf32> -> !tile.tile<24x512xf32>
    }
  }
  return
}

// Memory that a strided view reaches cannot be followed: it is packed where it is used.
// CHECK-LABEL: func @strided
// CHECK-NOT:     tile.pack
// CHECK:         tile.load
func.func @strided(%q: !tile.tile<24x64xf32>, %k: !head, %T: index, %n: index) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%t) in (%T) {
    %z = tile.splat %zero : f32 -> !tile.tile<24x512xf32>
    %kj = memref.subview %k[0, 0] [%n, 64] [2, 1] : !head to !head
    %kt = tile.load %kj[%c0, %c0] valid(%n, %c64) : !head -> !tile.tile<512x64xf32>
    %s = tile.dot %q, %kt, %z transposed : !tile.tile<24x64xf32>, !tile.tile<512x64xf32> -> !tile.tile<24x512xf32>
  }
  return
}

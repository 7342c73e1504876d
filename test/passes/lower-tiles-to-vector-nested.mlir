// RUN: flash-opt %s --lower-tiles-to-vector --canonicalize | FileCheck %s

!acc = !tile.tile<6x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>

// A function's own parallel loop becomes tasks, each with scratch of its own. Inside another loop the scratch would
// be allocated again and again, so it is taken once, where the function begins.
// CHECK-LABEL: func @own
// CHECK:       scf.forall
// CHECK-NEXT:    memref.alloca
func.func @own(%m: memref<6x64xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  scf.forall (%i) in (%n) {
    %x = tile.load %m[%c0, %c0] : memref<6x64xf32> -> !acc
    tile.store %x, %m[%c0, %c0] : !acc, memref<6x64xf32>
  }
  return
}

// CHECK-LABEL: func @nested
// CHECK:       memref.alloca
// CHECK:       scf.for
// CHECK-NEXT:    scf.forall
// CHECK-NOT:       memref.alloca
func.func @nested(%m: memref<6x64xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %j = %c0 to %n step %c1 {
    scf.forall (%i) in (%n) {
      %x = tile.load %m[%c0, %c0] : memref<6x64xf32> -> !acc
      tile.store %x, %m[%c0, %c0] : !acc, memref<6x64xf32>
    }
  }
  return
}

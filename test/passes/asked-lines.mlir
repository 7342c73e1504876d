// RUN: flash-opt %s --lower-tiles-to-vector --canonicalize --cse | FileCheck %s

!acc = !tile.tile<6x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
!panels = !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16>>

// A product in a task with a list of lines asks for one a step, if its loop has no more steps than lines are left.
// CHECK-LABEL: func @product
// CHECK:       %[[LINES:.*]] = memref.alloca() {tile.asked_lines} : memref<2049xindex>
// CHECK:       %[[STATE:.*]] = memref.alloca() {tile.asked_state} : memref<2xindex>
// CHECK:       scf.for
// CHECK:         %[[NEXT:.*]] = memref.load %[[STATE]][%c0]
// CHECK:         %[[END:.*]] = memref.load %[[STATE]][%c1]
// CHECK:         %[[AFTER:.*]] = arith.addi %[[NEXT]], %c64
// CHECK:         %[[ASKS:.*]] = arith.cmpi ule, %[[AFTER]], %[[END]]
// CHECK:         %[[FIRST:.*]] = arith.select %[[ASKS]], %[[NEXT]], %c2048
// CHECK:         %[[STRIDE:.*]] = arith.select %[[ASKS]], %c1, %c0
// CHECK:         %[[LEFT:.*]] = arith.select %[[ASKS]], %[[AFTER]], %[[NEXT]]
// CHECK:         memref.store %[[LEFT]], %[[STATE]][%c0]
// CHECK:         scf.for %[[K:.*]] = %c0 to %c64
// CHECK:           %[[MOVED:.*]] = arith.muli %[[K]], %[[STRIDE]]
// CHECK:           %[[AT:.*]] = arith.addi %[[FIRST]], %[[MOVED]]
// CHECK:           %[[ADDRESS:.*]] = memref.load %[[LINES]][%[[AT]]]
// CHECK:           "llvm.intr.prefetch"
// CHECK-COUNT-24:  vector.fma
func.func @product(%p: memref<6x64xf32>, %v: memref<1x64x64xf32>, %o: memref<6x64xf32>) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  %lines = memref.alloca() {tile.asked_lines} : memref<2049xindex>
  %state = memref.alloca() {tile.asked_state} : memref<2xindex>
  %a = tile.load %p[%c0, %c0] : memref<6x64xf32> -> !acc
  %b = tile.view %v[%c0] valid(%c64) : memref<1x64x64xf32> -> !panels
  %z = tile.splat %zero : f32 -> !acc
  %r = tile.dot %a, %b, %z : !acc, !panels -> !acc
  tile.store %r, %o[%c0, %c0] : !acc, memref<6x64xf32>
  return
}

// Short rows: some rows' maxima come before the same rows' exponentials.
// CHECK-LABEL: func @rows
// CHECK:       scf.for %[[BLOCK:.*]] = %c0 to %c24 step %c6
// CHECK:         scf.for %[[R:.*]] = %[[BLOCK]] to
// CHECK:           arith.cmpf ogt
// CHECK-NOT:       arith.subf
// CHECK:         scf.for %[[R:.*]] = %[[BLOCK]] to
// CHECK:           arith.subf
// CHECK:           arith.addf
func.func @rows(%m: memref<24x64xf32>, %o: memref<24x64xf32>, %l: memref<24xf32>) {
  %c0 = arith.constant 0 : index
  %least = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0.0 : f32
  %x = tile.load %m[%c0, %c0] : memref<24x64xf32> -> !tile.tile<24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
  %none = tile.splat %least : f32 -> !tile.tile<24xf32>
  %nothing = tile.splat %zero : f32 -> !tile.tile<24xf32>
  %max = tile.reduce max %x, %none : !tile.tile<24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>> -> !tile.tile<24xf32>
  %y = tile.map ins(%x, %max : !tile.tile<24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>, !tile.tile<24xf32>) {
  ^bb0(%e: f32, %t: f32):
    %d = arith.subf %e, %t : f32
    tile.yield %d : f32
  } -> !tile.tile<24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
  %sum = tile.reduce sum %y, %nothing : !tile.tile<24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>> -> !tile.tile<24xf32>
  tile.store %y, %o[%c0, %c0] : !tile.tile<24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>, memref<24x64xf32>
  tile.store %sum, %l[%c0] : !tile.tile<24xf32>, memref<24xf32>
  return
}

// RUN: flash-opt %s --lower-tiles-to-vector --canonicalize --cse | FileCheck %s

!acc = !tile.tile<6x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
!rows = !tile.tile<6xf32>

// The accumulators of a register block are separate vectors carried by the contraction loop: 24 products a step, one
// broadcast a row.
// CHECK-LABEL: func @product
// CHECK:       %[[ACC:.*]] = memref.alloca() {alignment = 64 : i64} : memref<6x64xf32>
// CHECK:       scf.for %{{.*}} = %{{.*}} to %{{.*}} step %{{.*}} iter_args(
// CHECK-COUNT-4: vector.load
// CHECK:         vector.broadcast
// CHECK-COUNT-4: vector.fma
// CHECK:         vector.broadcast
// CHECK-COUNT-20: vector.fma
// CHECK-NOT:     vector.fma
// CHECK:         scf.yield
// CHECK-COUNT-24: vector.store %{{.*}}, %[[ACC]]
func.func @product(%p: memref<6x64xf32>, %v: memref<1x64x64xf32>, %o: memref<6x64xf32>) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  %a = tile.load %p[%c0, %c0] : memref<6x64xf32> -> !acc
  %b = tile.view %v[%c0] valid(%c64) : memref<1x64x64xf32> -> !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16>>
  %z = tile.splat %zero : f32 -> !acc
  %r = tile.dot %a, %b, %z : !acc, !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16>> -> !acc
  tile.store %r, %o[%c0, %c0] : !acc, memref<6x64xf32>
  return
}

!wide = !tile.tile<6x80xf32, #tile.registers<rows = 6, vectors = 3, lanes = 16>>

// Of the last panel what pads it is not multiplied: 80 columns are panels of three vectors and of two, not of three.
// CHECK-LABEL: func @last_panel
// CHECK:       scf.for %{{.*}} iter_args(
// CHECK-COUNT-18: vector.fma
// CHECK-NOT:     vector.fma
// CHECK:         scf.yield
// CHECK:       scf.for %{{.*}} iter_args(
// CHECK-COUNT-12: vector.fma
// CHECK-NOT:     vector.fma
// CHECK:         scf.yield
func.func @last_panel(%p: memref<6x64xf32>, %v: memref<2x64x48xf32>, %o: memref<6x80xf32>) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  %a = tile.load %p[%c0, %c0] : memref<6x64xf32> -> !acc
  %b = tile.view %v[%c0] valid(%c64) : memref<2x64x48xf32> -> !tile.tile<64x80xf32, #tile.panels<width = 48, lanes = 16>>
  %z = tile.splat %zero : f32 -> !wide
  %r = tile.dot %a, %b, %z : !acc, !tile.tile<64x80xf32, #tile.panels<width = 48, lanes = 16>> -> !wide
  tile.store %r, %o[%c0, %c0] : !wide, memref<6x80xf32>
  return
}

// A row's maximum is needed before its exponentials, so a row takes two passes over its columns and no more: the
// exponentials, their sum and their place in memory share the second.
// CHECK-LABEL: func @softmax
// CHECK:       %[[X:.*]] = memref.alloca() {alignment = 64 : i64} : memref<6x64xf32>
// CHECK:       scf.for %[[R:.*]] = %c0 to %c6 step %c1 {
// CHECK:         vector.load %[[X]][%[[R]],
// CHECK:         arith.cmpf ogt
// CHECK:         vector.shuffle
// CHECK:         vector.load %[[X]][%[[R]],
// CHECK:         math.exp2 %{{.*}} : vector<16xf32>
// CHECK:         vector.store %{{.*}}, %[[X]][%[[R]],
// CHECK:         arith.addf
// CHECK-NOT:     vector.load %[[X]][%[[R]]{{.*}}max
func.func @softmax(%m: memref<6x64xf32>, %o: memref<6x64xf32>, %l: memref<6xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %least = arith.constant 0xFF800000 : f32
  %x = tile.load %m[%c0, %c0] : memref<6x64xf32> -> !acc
  %none = tile.splat %least : f32 -> !rows
  %max = tile.reduce max %x, %none : !acc -> !rows
  %p = tile.map ins(%x, %max : !acc, !rows) {
  ^bb0(%e: f32, %top: f32):
    %d = arith.subf %e, %top : f32
    %y = math.exp2 %d : f32
    tile.yield %y : f32
  } -> !acc
  %empty = tile.splat %zero : f32 -> !rows
  %sum = tile.reduce sum %p, %empty : !acc -> !rows
  tile.store %p, %o[%c0, %c0] : !acc, memref<6x64xf32>
  tile.store %sum, %l[%c0] : !rows, memref<6xf32>
  return
}

// What both branches leave lies in one place, which nothing else is given while it may still be read.
// CHECK-LABEL: func @branches
// CHECK:       scf.if
// CHECK:         vector.store %{{.*}}, %[[PLACE:.*]][
// CHECK:       } else {
// CHECK:         vector.store %{{.*}}, %[[PLACE]][
// CHECK-NOT:   vector.store %{{.*}}, %[[PLACE]][
// CHECK:       vector.load %[[PLACE]][
func.func @branches(%m: memref<6x64xf32>, %n: memref<6x64xf32>, %o: memref<6x64xf32>, %c: i1) {
  %c0 = arith.constant 0 : index
  %r = scf.if %c -> (!acc) {
    %x = tile.load %m[%c0, %c0] : memref<6x64xf32> -> !acc
    scf.yield %x : !acc
  } else {
    %y = tile.load %n[%c0, %c0] : memref<6x64xf32> -> !acc
    scf.yield %y : !acc
  }
  %z = tile.load %m[%c0, %c0] : memref<6x64xf32> -> !acc
  tile.store %r, %o[%c0, %c0] : !acc, memref<6x64xf32>
  tile.store %z, %n[%c0, %c0] : !acc, memref<6x64xf32>
  return
}

// A mask is scalar code; it becomes vectors over the columns, and what depends on the row alone stays scalar.
// CHECK-LABEL: func @mask
// CHECK:       %[[I:.*]] = vector.broadcast %{{.*}} : index to vector<16xindex>
// CHECK:       arith.cmpi sle, %{{.*}}, %{{.*}} : vector<16xindex>
// CHECK:       arith.select %{{.*}}, %{{.*}}, %{{.*}} : vector<16xi1>, vector<16xf32>
func.func @mask(%m: memref<6x64xf32>, %o: memref<6x64xf32>, %i0: index, %j0: index) {
  %c0 = arith.constant 0 : index
  %least = arith.constant 0xFF800000 : f32
  %x = tile.load %m[%c0, %c0] : memref<6x64xf32> -> !acc
  %y = tile.map ins(%x : !acc) origin(%i0, %j0) {
  ^bb0(%e: f32, %i: index, %j: index):
    %in = arith.cmpi sle, %j, %i : index
    %r = arith.select %in, %e, %least : f32
    tile.yield %r : f32
  } -> !acc
  tile.store %y, %o[%c0, %c0] : !acc, memref<6x64xf32>
  return
}

// Of 5 to 64 keys only as many vectors as hold them are computed, in blocks of two vectors, or one and twice the rows,
// and the lanes beyond the last key take no part in the maximum.
// CHECK-LABEL: func @tail
// CHECK-SAME:  %[[N:[a-z0-9]+]]: index
// CHECK:       %[[ROUNDED:.*]] = arith.muli %{{.*}}, %c16
// CHECK:       %[[WHOLE:.*]] = arith.divui %[[ROUNDED]], %c64
// CHECK:       scf.for %{{.*}} = %c0 to %[[WHOLE]] step %c1
// CHECK-COUNT-24: vector.fma
// CHECK-NOT:   vector.fma
// CHECK:       scf.for %{{.*}} = %c0 to %[[PAIRS:.*]] step %c32
// CHECK-COUNT-12: vector.fma
// CHECK-NOT:   vector.fma
// CHECK:       scf.for %{{.*}} = %[[PAIRS]] to %{{.*}} step %c16
// CHECK-COUNT-12: vector.fma
// CHECK-NOT:   vector.fma
// CHECK:       scf.for %{{.*}} = %{{.*}} to %[[N]] step %c16
// CHECK:         %[[INSIDE:.*]] = arith.cmpi sgt, %{{.*}}, %{{.*}} : vector<16xi32>
// CHECK:         arith.select %[[INSIDE]], %{{.*}}, %{{.*}} : vector<16xi1>, vector<16xf32>
// CHECK:         arith.cmpf ogt
func.func @tail(%n: index, %q: memref<12x64xf32>, %k: memref<1x64x64xf32>, %l: memref<12xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %least = arith.constant 0xFF800000 : f32
  %a = tile.load %q[%c0, %c0] : memref<12x64xf32> -> !tile.tile<12x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
  %b = tile.view %k[%c0] valid(%n) : memref<1x64x64xf32> -> !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16>>
  %z = tile.splat %zero : f32 -> !tile.tile<12x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
  %s = tile.dot %a, %b, %z transposed
      : !tile.tile<12x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>, !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16>>
     -> !tile.tile<12x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
  %none = tile.splat %least : f32 -> !tile.tile<12xf32>
  %max = tile.reduce max %s, %none : !tile.tile<12x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>> -> !tile.tile<12xf32>
  tile.store %max, %l[%c0] : !tile.tile<12xf32>, memref<12xf32>
  return
}

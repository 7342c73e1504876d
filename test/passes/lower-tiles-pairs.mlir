// RUN: flash-opt %s --lower-tiles-to-vector="masked-memory" --canonicalize --cse | FileCheck %s
// RUN: flash-opt %s --lower-tiles-to-vector --canonicalize --cse | FileCheck %s --check-prefix=ELEMENTS

!acc = !tile.tile<6x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
!pairs = !tile.tile<6x64xbf16, #tile.registers<rows = 6, vectors = 4, lanes = 16>>

// Products of pairs: 32 steps contract 64 elements; a pair of the left-hand side is broadcast as one integer.
// CHECK-LABEL: func @product
// CHECK:       scf.for %[[K:.*]] = %c0 to %c32 step %c1 iter_args(
// CHECK-COUNT-4: vector.load %{{.*}} : memref<1x32x128xbf16>, vector<32xbf16>
// CHECK:         %[[AT:.*]] = arith.muli %[[K]], %c2
// CHECK:         %[[PAIR:.*]] = vector.load %{{.*}}[%{{.*}}, %[[AT]]] : memref<6x64xbf16>, vector<2xbf16>
// CHECK:         %[[ONE:.*]] = vector.bitcast %[[PAIR]] : vector<2xbf16> to vector<1xi32>
// CHECK:         vector.broadcast %{{.*}} : i32 to vector<16xi32>
// CHECK:         vector.bitcast %{{.*}} : vector<16xi32> to vector<32xbf16>
// CHECK-COUNT-24: tile.group_dot
// CHECK-NOT:     tile.group_dot
func.func @product(%p: memref<6x64xbf16>, %v: memref<1x32x128xbf16>, %o: memref<6x64xf32>) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  %a = tile.load %p[%c0, %c0] : memref<6x64xbf16> -> !pairs
  %b = tile.view %v[%c0] valid(%c64)
      : memref<1x32x128xbf16> -> !tile.tile<64x64xbf16, #tile.panels<width = 64, lanes = 16, kpack = 2>>
  %z = tile.splat %zero : f32 -> !acc
  %r = tile.dot %a, %b, %z : !pairs, !tile.tile<64x64xbf16, #tile.panels<width = 64, lanes = 16, kpack = 2>> -> !acc
  tile.store %r, %o[%c0, %c0] : !acc, memref<6x64xf32>
  return
}

// A NaN or infinite value beside a zero: one pass over the pairs finds it, and then single elements are widened.
// CHECK-LABEL: func @skip_zeros
// CHECK:       tile.group_dot %cst{{.*}}, %{{.*}}, %{{.*}} : vector<32xbf16>, vector<16xf32>
// CHECK:       arith.cmpf uno
// CHECK:       scf.if
// CHECK:         arith.cmpf une
// CHECK:         vector.shuffle %{{.*}} [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30] : vector<32xbf16>, vector<32xbf16>
// CHECK:         arith.extf %{{.*}} : vector<16xbf16> to vector<16xf32>
// CHECK:         vector.fma
// CHECK:         vector.shuffle %{{.*}} [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31] : vector<32xbf16>, vector<32xbf16>
// CHECK:       } else {
// CHECK-COUNT-24: tile.group_dot
func.func @skip_zeros(%p: memref<6x64xbf16>, %v: memref<1x32x128xbf16>, %m: memref<6x64xf32>, %o: memref<6x64xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %a = tile.load %p[%c0, %c0] : memref<6x64xbf16> -> !pairs
  %b = tile.view %v[%c0] valid(%n)
      : memref<1x32x128xbf16> -> !tile.tile<64x64xbf16, #tile.panels<width = 64, lanes = 16, kpack = 2>>
  %z = tile.load %m[%c0, %c0] : memref<6x64xf32> -> !acc
  %r = tile.dot %a, %b, %z skip_zeros : !pairs, !tile.tile<64x64xbf16, #tile.panels<width = 64, lanes = 16, kpack = 2>> -> !acc
  tile.store %r, %o[%c0, %c0] : !acc, memref<6x64xf32>
  return
}

// Keys: pairs of a row move as 32-bit units through the transpose. 81 columns are two squares of 32 and 17 columns of a
// third. The last square may lack rows: they are masked out, or another row is read and not used.
// CHECK-LABEL: func @pack_keys
// CHECK:       scf.for
// CHECK:         vector.load %{{.*}} : memref<?x81xbf16>, vector<32xbf16>
// CHECK:         vector.bitcast %{{.*}} : vector<32xbf16> to vector<16xi32>
// CHECK:         vector.shuffle {{.*}} : vector<16xi32>, vector<16xi32>
// CHECK:         vector.bitcast %{{.*}} : vector<16xi32> to vector<32xbf16>
// CHECK:         vector.store %{{.*}} : memref<4x41x128xbf16>, vector<32xbf16>
// CHECK:         vector.maskedload
// CHECK:       scf.for
// CHECK-NOT:     vector.load
// CHECK:         vector.maskedload
// CHECK-NOT:     memref.load
// ELEMENTS-LABEL: func @pack_keys
// ELEMENTS-NOT:  vector.maskedload
// ELEMENTS:      memref.load
// ELEMENTS:      scf.for
// ELEMENTS:        %[[AT:.*]] = arith.addi %[[FIRST:.*]], %c1 : index
// ELEMENTS:        %[[EXISTS:.*]] = arith.cmpi slt, %[[AT]],
// ELEMENTS:        %[[ROW:.*]] = arith.select %[[EXISTS]], %[[AT]], %[[FIRST]] : index
// ELEMENTS:        %[[X:.*]] = vector.load
// ELEMENTS:        arith.select %[[EXISTS]], %[[X]], %{{.*}} : vector<32xbf16>
func.func @pack_keys(%k: memref<?x81xbf16>, %packed: memref<4x41x128xbf16>, %i: index, %n: index, %s: index) {
  %c0 = arith.constant 0 : index
  tile.pack %k[%i, %c0] valid(%n) into %packed[%s] transposed <width = 64, lanes = 16, kpack = 2>
      : memref<?x81xbf16>, memref<4x41x128xbf16>
  return
}

// Values: two rows are interleaved; the second row of the last pair may not exist and is zero then.
// CHECK-LABEL: func @pack_values
// CHECK:       scf.for
// CHECK:         %[[X:.*]] = vector.load %{{.*}} : memref<?x64xbf16>, vector<16xbf16>
// CHECK:         %[[Y:.*]] = vector.load %{{.*}} : memref<?x64xbf16>, vector<16xbf16>
// CHECK:         vector.interleave %[[X]], %[[Y]] : vector<16xbf16> -> vector<32xbf16>
// CHECK:       scf.for
// CHECK:         vector.load
// CHECK:         vector.maskedload
func.func @pack_values(%v: memref<?x64xbf16>, %packed: memref<1x256x128xbf16>, %i: index, %n: index, %row: index) {
  %c0 = arith.constant 0 : index
  tile.pack %v[%i, %c0] valid(%n) into %packed[%row] <width = 64, lanes = 16, kpack = 2>
      : memref<?x64xbf16>, memref<1x256x128xbf16>
  return
}

// RUN: flash-opt %s --lower-tiles-to-vector="masked-memory" --canonicalize --cse | FileCheck %s

!acc = !tile.tile<32x64xf32, #tile.registers<rows = 32, vectors = 4, lanes = 16, height = 16>>
!narrow = !tile.tile<32x40xf32, #tile.registers<rows = 32, vectors = 2, lanes = 16, height = 16>>
!q = !tile.tile<32x40xbf16, #tile.registers<rows = 32, vectors = 2, lanes = 16, height = 16>>
!p = !tile.tile<32x64xbf16, #tile.registers<rows = 32, vectors = 4, lanes = 16, height = 16>>
!kv = !tile.tile<64x40xbf16, #tile.panels<width = 32, lanes = 16, kpack = 2, depth = 32>>

// 40 elements are contracted in two steps of 32. Rows of scratch lie an odd number of lines of 64 bytes apart: 3 for
// 64 elements of bf16, 5 for 64 of f32.
// CHECK-LABEL: func @scores
// CHECK-DAG:   %[[Q:.*]] = memref.alloca() {{.*}} : memref<32x96xbf16>
// CHECK-DAG:   %[[S:.*]] = memref.alloca() {{.*}} : memref<32x80xf32>
// CHECK-DAG:   %[[LINE:.*]] = arith.constant 64 : i64
// CHECK-DAG:   %[[QROW:.*]] = arith.constant 192 : i64
// CHECK-DAG:   %[[SROW:.*]] = arith.constant 320 : i64
// CHECK:       llvm.call_intrinsic "llvm.x86.tilezero"(%c0_i8)
// CHECK-NEXT:  llvm.call_intrinsic "llvm.x86.tilezero"(%c1_i8)
// CHECK-NEXT:  llvm.call_intrinsic "llvm.x86.tilezero"(%c2_i8)
// CHECK-NEXT:  llvm.call_intrinsic "llvm.x86.tilezero"(%c3_i8)
// CHECK-COUNT-4: llvm.call_intrinsic "llvm.x86.tdpbf16ps"
// CHECK:         llvm.call_intrinsic "llvm.x86.tileloadd64"(%c4_i8, %{{.*}}, %[[QROW]])
// CHECK:         llvm.call_intrinsic "llvm.x86.tileloadd64"(%c6_i8, %{{.*}}, %[[LINE]])
// CHECK:         llvm.call_intrinsic "llvm.x86.tileloadd64"(%c7_i8, %{{.*}}, %[[LINE]])
// CHECK:         llvm.call_intrinsic "llvm.x86.tileloadd64"(%c5_i8, %{{.*}}, %[[QROW]])
// CHECK-NEXT:    llvm.call_intrinsic "llvm.x86.tdpbf16ps"(%c0_i8, %c4_i8, %c6_i8)
// CHECK-NEXT:    llvm.call_intrinsic "llvm.x86.tdpbf16ps"(%c1_i8, %c4_i8, %c7_i8)
// CHECK-NEXT:    llvm.call_intrinsic "llvm.x86.tdpbf16ps"(%c2_i8, %c5_i8, %c6_i8)
// CHECK-NEXT:    llvm.call_intrinsic "llvm.x86.tdpbf16ps"(%c3_i8, %c5_i8, %c7_i8)
// CHECK:       llvm.call_intrinsic "llvm.x86.tilestored64"(%c0_i8, %{{.*}}, %[[SROW]])
// CHECK:       llvm.call_intrinsic "llvm.x86.tilestored64"(%c1_i8, %{{.*}}, %[[SROW]])
// CHECK:       llvm.call_intrinsic "llvm.x86.tilestored64"(%c2_i8, %{{.*}}, %[[SROW]])
// CHECK:       llvm.call_intrinsic "llvm.x86.tilestored64"(%c3_i8, %{{.*}}, %[[SROW]])
func.func @scores(%m: memref<32x40xbf16>, %k: memref<2x32x64xbf16>, %o: memref<32x64xf32>) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  %a = tile.load %m[%c0, %c0] : memref<32x40xbf16> -> !q
  %b = tile.view %k[%c0] valid(%c64) : memref<2x32x64xbf16> -> !kv
  %z = tile.splat %zero : f32 -> !acc
  %r = tile.dot %a, %b, %z transposed : !q, !kv -> !acc
  tile.store %r, %o[%c0, %c0] : !acc, memref<32x64xf32>
  return
}

// 40 columns are a panel of two tiles and one tile of the next. Weights beyond the last key's vector that a step of 32
// takes are made zeros; the sums are carried on.
// CHECK-LABEL: func @outputs
// CHECK:       scf.for
// CHECK:         vector.store %{{.*}} : memref<32x96xbf16>, vector<16xbf16>
// CHECK:       llvm.call_intrinsic "llvm.x86.tileloadd64"(%c0_i8
// CHECK-COUNT-4: llvm.call_intrinsic "llvm.x86.tdpbf16ps"
// CHECK-COUNT-4: llvm.call_intrinsic "llvm.x86.tilestored64"
// CHECK:       llvm.call_intrinsic "llvm.x86.tileloadd64"(%c0_i8
// CHECK:       llvm.call_intrinsic "llvm.x86.tdpbf16ps"(%c0_i8, %c4_i8, %c6_i8)
// CHECK-NEXT:  llvm.call_intrinsic "llvm.x86.tdpbf16ps"(%c2_i8, %c5_i8, %c6_i8)
// CHECK-NOT:   llvm.x86.tdpbf16ps
func.func @outputs(%m: memref<32x64xbf16>, %v: memref<2x32x64xbf16>, %i: memref<32x40xf32>, %o: memref<32x40xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %a = tile.load %m[%c0, %c0] : memref<32x64xbf16> -> !p
  %b = tile.view %v[%c0] valid(%n) : memref<2x32x64xbf16> -> !kv
  %z = tile.load %i[%c0, %c0] : memref<32x40xf32> -> !narrow
  %r = tile.dot %a, %b, %z : !p, !kv -> !narrow
  tile.store %r, %o[%c0, %c0] : !narrow, memref<32x40xf32>
  return
}

// Keys: of each 32 x 32 elements of a strip, 16 keys are one kilobyte, 8 rows of packed memory; 24 of 64 contracted columns do
// not exist.
// CHECK-LABEL: func @pack_keys
// CHECK:       vector.store %{{.*}}, %{{.*}} : memref<2x32x64xbf16>, vector<32xbf16>
func.func @pack_keys(%k: memref<?x40xbf16>, %p: memref<2x32x64xbf16>, %i: index, %n: index) {
  %c0 = arith.constant 0 : index
  tile.pack %k[%i, %c0] valid(%n) into %p[%c0] transposed <width = 32, lanes = 16, kpack = 2, depth = 32>
      : memref<?x40xbf16>, memref<2x32x64xbf16>
  return
}

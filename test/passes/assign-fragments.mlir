// RUN: flash-opt %s --assign-fragments=matrix-unit=mma | FileCheck %s --check-prefixes=CHECK,MMA
// RUN: flash-opt %s --assign-fragments=matrix-unit=wgmma | FileCheck %s --check-prefixes=CHECK,WGMMA
// RUN: flash-opt %s --assign-fragments="matrix-unit=mfma subgroup-size=64" | FileCheck %s --check-prefixes=CHECK,MFMA
// RUN: flash-opt %s --assign-fragments | FileCheck %s --check-prefixes=CHECK,NONE

// A product's operands: the left-hand side in the unit's fragments, or in shared memory for single multiply-adds; the
// right-hand side in shared memory. What is computed becomes an operand by a conversion.
// CHECK-LABEL: @attend
// MMA: tile.load %{{.*}} -> <64x64xbf16, #tile.fragment<warps = 4, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>>
// WGMMA: tile.load %{{.*}} -> <64x64xbf16, #tile.shared<panel = 128>>
// MFMA: tile.load %{{.*}} -> <64x64xbf16, #tile.fragment<warps = 4, block = [16, 32], lanes = [1, 0, 2, 0, 4, 0, 8, 0, 0, 8, 0, 16], registers = [0, 1, 0, 2, 0, 4]>>
// NONE: tile.load %{{.*}} -> <64x64xbf16, #tile.shared<panel = 128>>
// MMA: tile.load %{{.*}} -> <32x64xbf16, #tile.shared<panel = 128>>
// MFMA: tile.load %{{.*}} -> <32x64xbf16, #tile.shared<panel = 128, spread = true>>
// MMA: tile.dot {{.*}} -> <64x32xf32, #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>>
// WGMMA: tile.dot {{.*}} -> <64x32xf32, #tile.fragment<warps = 1, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>>
// MFMA: tile.dot {{.*}} -> <64x32xf32, #tile.fragment<warps = 4, block = [16, 32],
// NONE: tile.dot {{.*}} -> <64x32xf32, #tile.fragment<warps = 4, block = [16, 32],
// MFMA: tile.load %{{.*}} -> <32x64xbf16, #tile.shared<panel = 64, transposed = true, spread = true>>
// CHECK: %[[W:.*]] = tile.convert %{{.*}} : <64x32xbf16, #tile.fragment<
// WGMMA-SAME: -> <64x32xbf16, #tile.fragment<warps = 1, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>>
// CHECK: tile.dot %[[W]],
// NVIDIA's assembler is told how many blocks at a time these registers are for.
// MMA: } {flashc.threads = 128 : i64, nvvm.minctasm = 3 : i32}
// WGMMA: } {flashc.threads = 128 : i64}
// MFMA: } {flashc.threads = 256 : i64}
// NONE: } {flashc.threads = 128 : i64}
func.func @attend(%q: memref<64x64xbf16>, %k: memref<32x64xbf16>, %v: memref<32x64xbf16>, %o: memref<64x64xf32>, %n: index) {
  %z = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %query = tile.load %q[%z, %z] : memref<64x64xbf16> -> !tile.tile<64x64xbf16>
    %key = tile.load %k[%z, %z] : memref<32x64xbf16> -> !tile.tile<32x64xbf16>
    %none = tile.splat %zero : f32 -> !tile.tile<64x32xf32>
    %s = tile.dot %query, %key, %none transposed : !tile.tile<64x64xbf16>, !tile.tile<32x64xbf16> -> !tile.tile<64x32xf32>
    %start = tile.splat %zero : f32 -> !tile.tile<64xf32>
    %m = tile.reduce max %s, %start : !tile.tile<64x32xf32> -> !tile.tile<64xf32>
    %p = tile.map ins(%s, %m : !tile.tile<64x32xf32>, !tile.tile<64xf32>) {
    ^bb0(%x: f32, %y: f32):
      %d = arith.subf %x, %y : f32
      %r = arith.truncf %d : f32 to bf16
      tile.yield %r : bf16
    } -> !tile.tile<64x32xbf16>
    %value = tile.load %v[%z, %z] : memref<32x64xbf16> -> !tile.tile<32x64xbf16>
    %acc = tile.splat %zero : f32 -> !tile.tile<64x64xf32>
    %out = tile.dot %p, %value, %acc : !tile.tile<64x32xbf16>, !tile.tile<32x64xbf16> -> !tile.tile<64x64xf32>
    tile.store %out, %o[%z, %z] : !tile.tile<64x64xf32>, memref<64x64xf32>
  }
  return
}

// A few rows are one subgroup's.
// CHECK-LABEL: @few
// CHECK: tile.splat {{.*}}#tile.fragment<warps = 1,
// MMA: } {flashc.threads = 32 : i64}
// MFMA: } {flashc.threads = 64 : i64}
func.func @few(%m: memref<16xf32>, %n: index) {
  %z = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %x = tile.splat %zero : f32 -> !tile.tile<16xf32>
    tile.store %x, %m[%z] : !tile.tile<16xf32>, memref<16xf32>
  }
  return
}

// What masks compare positions with and read of keys takes registers, too, so that fewer blocks fit.
// CHECK-LABEL: @masked
// MMA: } {flashc.threads = 128 : i64, nvvm.minctasm = 2 : i32}
// NONE: } {flashc.threads = 128 : i64}
func.func @masked(%q: memref<64x64xbf16>, %said: memref<64xindex>, %o: memref<64x64xf32>, %n: index) {
  %z = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %query = tile.load %q[%z, %z] : memref<64x64xbf16> -> !tile.tile<64x64xbf16>
    %key = tile.load %q[%z, %z] : memref<64x64xbf16> -> !tile.tile<64x64xbf16>
    %none = tile.splat %zero : f32 -> !tile.tile<64x64xf32>
    %s = tile.dot %query, %key, %none transposed : !tile.tile<64x64xbf16>, !tile.tile<64x64xbf16> -> !tile.tile<64x64xf32>
    %p = tile.map ins(%s : !tile.tile<64x64xf32>) origin(%z, %z) {
    ^bb0(%x: f32, %row: index, %column: index):
      %first = memref.load %said[%column] : memref<64xindex>
      %kept = arith.cmpi sge, %row, %first : index
      %y = arith.select %kept, %x, %zero : f32
      %r = arith.truncf %y : f32 to bf16
      tile.yield %r : bf16
    } -> !tile.tile<64x64xbf16>
    %out = tile.dot %p, %key, %none : !tile.tile<64x64xbf16>, !tile.tile<64x64xbf16> -> !tile.tile<64x64xf32>
    %start = tile.splat %zero : f32 -> !tile.tile<64xf32>
    %sum = tile.reduce sum %out, %start : !tile.tile<64x64xf32> -> !tile.tile<64xf32>
    tile.store %out, %o[%z, %z] : !tile.tile<64x64xf32>, memref<64x64xf32>
  }
  return
}

// Rows that are no warpgroup's whole ones, and keys that do not fill its steps, are left to warps.
// CHECK-LABEL: @uneven
// WGMMA: tile.dot {{.*}} -> <96x64xf32, #tile.fragment<warps = 4, block = [16, 8],
// WGMMA: tile.dot {{.*}} -> <64x64xf32, #tile.fragment<warps = 4, block = [16, 8],
func.func @uneven(%q: memref<96x64xbf16>, %o: memref<96x64xf32>, %n: index) {
  %z = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %a = tile.load %q[%z, %z] : memref<96x64xbf16> -> !tile.tile<96x64xbf16>
    %b = tile.load %q[%z, %z] : memref<96x64xbf16> -> !tile.tile<64x64xbf16>
    %none = tile.splat %zero : f32 -> !tile.tile<96x64xf32>
    %rows = tile.splat %zero : f32 -> !tile.tile<96xf32>
    %s = tile.dot %a, %b, %none : !tile.tile<96x64xbf16>, !tile.tile<64x64xbf16> -> !tile.tile<96x64xf32>
    %m = tile.reduce max %s, %rows : !tile.tile<96x64xf32> -> !tile.tile<96xf32>
    tile.store %s, %o[%z, %z] : !tile.tile<96x64xf32>, memref<96x64xf32>
  }
  scf.forall (%i) in (%n) {
    %a = tile.load %q[%z, %z] : memref<96x64xbf16> -> !tile.tile<64x24xbf16>
    %b = tile.load %q[%z, %z] : memref<96x64xbf16> -> !tile.tile<24x64xbf16>
    %none = tile.splat %zero : f32 -> !tile.tile<64x64xf32>
    %rows = tile.splat %zero : f32 -> !tile.tile<64xf32>
    %s = tile.dot %a, %b, %none : !tile.tile<64x24xbf16>, !tile.tile<24x64xbf16> -> !tile.tile<64x64xf32>
    %m = tile.reduce max %s, %rows : !tile.tile<64x64xf32> -> !tile.tile<64xf32>
    tile.store %s, %o[%z, %z] : !tile.tile<64x64xf32>, memref<96x64xf32>
  }
  return
}

// Wide query rows stay in shared memory, from where each product reads them.
// CHECK-LABEL: @wide
// MMA: tile.load %{{.*}} -> <64x256xbf16, #tile.shared<panel = 128>>
// MMA: tile.dot {{.*}} transposed : <64x256xbf16, #tile.shared<panel = 128>>,
// MFMA: tile.load %{{.*}} -> <64x256xbf16, #tile.fragment<
func.func @wide(%q: memref<64x256xbf16>, %k: memref<32x256xbf16>, %o: memref<64x256xf32>, %n: index) {
  %z = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %query = tile.load %q[%z, %z] : memref<64x256xbf16> -> !tile.tile<64x256xbf16>
    %key = tile.load %k[%z, %z] : memref<32x256xbf16> -> !tile.tile<32x256xbf16>
    %none = tile.splat %zero : f32 -> !tile.tile<64x32xf32>
    %s = tile.dot %query, %key, %none transposed : !tile.tile<64x256xbf16>, !tile.tile<32x256xbf16> -> !tile.tile<64x32xf32>
    %start = tile.splat %zero : f32 -> !tile.tile<64xf32>
    %m = tile.reduce max %s, %start : !tile.tile<64x32xf32> -> !tile.tile<64xf32>
    %p = tile.map ins(%s, %m : !tile.tile<64x32xf32>, !tile.tile<64xf32>) {
    ^bb0(%x: f32, %y: f32):
      %d = arith.subf %x, %y : f32
      %r = arith.truncf %d : f32 to bf16
      tile.yield %r : bf16
    } -> !tile.tile<64x32xbf16>
    %acc = tile.splat %zero : f32 -> !tile.tile<64x256xf32>
    %out = tile.dot %p, %key, %acc : !tile.tile<64x32xbf16>, !tile.tile<32x256xbf16> -> !tile.tile<64x256xf32>
    tile.store %out, %o[%z, %z] : !tile.tile<64x256xf32>, memref<64x256xf32>
  }
  return
}

// Query rows that shared memory does not hold beside keys and values are read in place.
// CHECK-LABEL: @exact
// NONE: tile.load %{{.*}} -> <32x256xf64, #tile.in_place<lanes = 1>>
// NONE: tile.load %{{.*}} -> <16x256xf64, #tile.shared<panel = 128>>
// NONE: tile.dot {{.*}} -> <32x16xf64, #tile.fragment<warps = 4, block = [4, 16],
func.func @exact(%q: memref<32x256xf64>, %k: memref<16x256xf64>, %o: memref<32x256xf64>, %n: index) {
  %z = arith.constant 0 : index
  %zero = arith.constant 0.0 : f64
  scf.forall (%i) in (%n) {
    %query = tile.load %q[%z, %z] : memref<32x256xf64> -> !tile.tile<32x256xf64>
    %key = tile.load %k[%z, %z] : memref<16x256xf64> -> !tile.tile<16x256xf64>
    %none = tile.splat %zero : f64 -> !tile.tile<32x16xf64>
    %s = tile.dot %query, %key, %none transposed : !tile.tile<32x256xf64>, !tile.tile<16x256xf64> -> !tile.tile<32x16xf64>
    %start = tile.splat %zero : f64 -> !tile.tile<32xf64>
    %m = tile.reduce max %s, %start : !tile.tile<32x16xf64> -> !tile.tile<32xf64>
    %p = tile.map ins(%s, %m : !tile.tile<32x16xf64>, !tile.tile<32xf64>) {
    ^bb0(%x: f64, %y: f64):
      %d = arith.subf %x, %y : f64
      tile.yield %d : f64
    } -> !tile.tile<32x16xf64>
    %value = tile.load %k[%z, %z] : memref<16x256xf64> -> !tile.tile<16x256xf64>
    %acc = tile.splat %zero : f64 -> !tile.tile<32x256xf64>
    %out = tile.dot %p, %value, %acc : !tile.tile<32x16xf64>, !tile.tile<16x256xf64> -> !tile.tile<32x256xf64>
    tile.store %out, %o[%z, %z] : !tile.tile<32x256xf64>, memref<32x256xf64>
  }
  return
}

// Without a product, threads lie along the rows.
// CHECK-LABEL: @merge
// MMA: tile.load %{{.*}} -> <16x256xf32, #tile.fragment<warps = 4, block = [1, 128], lanes = [0, 4, 0, 8, 0, 16, 0, 32, 0, 64], registers = [0, 1, 0, 2]>>
// MFMA: tile.load %{{.*}} -> <16x256xf32, #tile.fragment<warps = 4, block = [1, 256], lanes = [0, 4, 0, 8, 0, 16, 0, 32, 0, 64, 0, 128], registers = [0, 1, 0, 2]>>
func.func @merge(%p: memref<16x256xf32>, %w: memref<16xf32>, %n: index) {
  %z = arith.constant 0 : index
  scf.forall (%i) in (%n) {
    %part = tile.load %p[%z, %z] : memref<16x256xf32> -> !tile.tile<16x256xf32>
    %weight = tile.load %w[%z] : memref<16xf32> -> !tile.tile<16xf32>
    %r = tile.map ins(%part, %weight : !tile.tile<16x256xf32>, !tile.tile<16xf32>) {
    ^bb0(%x: f32, %y: f32):
      %d = arith.mulf %x, %y : f32
      tile.yield %d : f32
    } -> !tile.tile<16x256xf32>
    tile.store %r, %p[%z, %z] : !tile.tile<16x256xf32>, memref<16x256xf32>
  }
  return
}

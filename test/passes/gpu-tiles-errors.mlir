// RUN: not flash-opt %s --split-input-file --assign-gpu-tile-sizes="queries=22 matrix-unit=mma" 2>&1 | FileCheck %s --check-prefix=ROWS
// RUN: not flash-opt %s --split-input-file --assign-gpu-tile-sizes=shared-bytes=65536 2>&1 | FileCheck %s --check-prefix=SIZES
// RUN: not flash-opt %s --split-input-file --assign-gpu-tile-sizes="queries=1024 keys=64" 2>&1 | FileCheck %s --check-prefix=GIVEN
// RUN: not flash-opt %s --split-input-file --assign-gpu-tile-sizes=keys=-16 2>&1 | FileCheck %s --check-prefix=NEGATIVE
// RUN: not flash-opt %s --split-input-file --assign-gpu-tile-sizes=subgroup-size=16 2>&1 | FileCheck %s --check-prefix=SUBGROUP
// RUN: not flash-opt %s --split-input-file --assign-fragments=matrix-unit=mma 2>&1 | FileCheck %s --check-prefix=MIXED
// RUN: not flash-opt %s --split-input-file --assign-fragments=matrix-unit=cube 2>&1 | FileCheck %s --check-prefix=UNIT
// RUN: not flash-opt %s --split-input-file --assign-fragments=subgroup-size=16 2>&1 | FileCheck %s --check-prefix=SUBGROUP
// RUN: not flash-opt %s --split-input-file --assign-gpu-tile-sizes 2>&1 | FileCheck %s --check-prefix=TF32
// RUN: not flash-opt %s --split-input-file --assign-fragments="matrix-unit=mfma subgroup-size=64" 2>&1 | FileCheck %s --check-prefix=TF32-DOT
// RUN: not flash-opt %s --split-input-file --lower-tiles-to-threads=matrix-unit=mma 2>&1 | FileCheck %s --check-prefix=THREADS

// UNIT: error: expected matrix-unit to be none, mma, wgmma, mfma or wmma, got 'cube'
// SUBGROUP: error: expected subgroup-size to be 32 or 64, got 16
// NEGATIVE: error: expected tiles of 0 (choose) or more query rows, keys and keys of a block, got 0, -16 and 0
// ROWS: error: 'attn.sdpa' op expected tiles of query rows in multiples of 4, what one product of the target has, got 22
// SIZES: error: 'attn.sdpa' op needs {{[0-9]+}} bytes of shared memory for tiles of 4 queries x 8 keys of head dims 2048 and 2048 in 'f32', and the target has 65536; a smaller head dim, or narrower elements, fit
// GIVEN: error: 'attn.sdpa' op needs {{[0-9]+}} bytes of shared memory for tiles of 1024 queries x 64 keys of {{.*}}; smaller tiles, which are chosen where none are given, fit
func.func @wide(%q: memref<1x1x?x2048xf32>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x2048xf32>, memref<1x1x?x2048xf32>, memref<1x1x?x2048xf32>) outs(%q : memref<1x1x?x2048xf32>)
  return
}

// -----

// MIXED: error: 'tile.dot' op takes elements of 'f32', another product of the same loop others; expected one type
// THREADS: error: 'scf.forall' op has no number of threads; run assign-fragments first
func.func @mixed(%n: index) {
  %zero = arith.constant 0.0 : f32
  %half = arith.constant 0.0 : f16
  scf.forall (%i) in (%n) {
    %a = tile.splat %half : f16 -> !tile.tile<16x16xf16>
    %b = tile.splat %zero : f32 -> !tile.tile<16x16xf32>
    %c = tile.dot %a, %a, %b : !tile.tile<16x16xf16>, !tile.tile<16x16xf16> -> !tile.tile<16x16xf32>
    %d = tile.dot %b, %b, %c : !tile.tile<16x16xf32>, !tile.tile<16x16xf32> -> !tile.tile<16x16xf32>
  }
  return
}

// -----

// TF32: error: 'attn.sdpa' op asks for products in tf32, which need a matrix unit mma or wgmma, and the target's is none; expected a target of NVIDIA's (nvptx:CHIP, emulated:sm_80), or exact float32, without 'tf32'
func.func @tf32(%q: memref<1x1x?x64xf32>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>) outs(%q : memref<1x1x?x64xf32>) {tf32}
  return
}

// -----

// TF32-DOT: error: 'tile.dot' op rounds to tf32; expected mma or wgmma for matrix-unit, got mfma
func.func @dot(%n: index) {
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    %a = tile.splat %zero : f32 -> !tile.tile<16x16xf32>
    %b = tile.dot %a, %a, %a tf32 : !tile.tile<16x16xf32>, !tile.tile<16x16xf32> -> !tile.tile<16x16xf32>
  }
  return
}

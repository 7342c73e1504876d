// RUN: flash-opt %s --assign-gpu-tile-sizes="matrix-unit=mfma subgroup-size=64 shared-bytes=65536" | FileCheck %s --check-prefixes=CHECK,MFMA
// RUN: flash-opt %s --assign-gpu-tile-sizes="matrix-unit=wmma subgroup-size=32 shared-bytes=65536" | FileCheck %s --check-prefixes=CHECK,WMMA
// RUN: flash-opt %s --assign-gpu-tile-sizes="matrix-unit=mfma subgroup-size=64 shared-bytes=65536 registers=200" | FileCheck %s --check-prefixes=CHECK,FEW
// RUN: not flash-opt %s --assign-gpu-tile-sizes="matrix-unit=mfma subgroup-size=64 shared-bytes=65536 queries=128 keys=64" 2>&1 | FileCheck %s --check-prefix=ERROR

// What a thread holds decides: rows of queries, sums, scores, weights and the next tile, beside what is read for products. Rows
// that do not fit are read from shared memory.
// CHECK-LABEL: @narrow
// MFMA: tiles = #attn.tiles<queries = 128, keys = 64, {{.*}} few = #attn.tiles<queries = 16, keys = 64,
// WMMA: tiles = #attn.tiles<queries = 64, keys = 32, {{.*}} few = #attn.tiles<queries = 16, keys = 32,
// FEW: tiles = #attn.tiles<queries = 128, keys = 64,
func.func @narrow(%q: memref<1x1x?x64xbf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x64xbf16>, memref<1x1x?x64xbf16>, memref<1x1x?x64xbf16>) outs(%q : memref<1x1x?x64xbf16>)
  return
}

// Fewer keys, and then fewer rows of a wave.
// CHECK-LABEL: @whole
// MFMA: tiles = #attn.tiles<queries = 128, keys = 64,
// WMMA: tiles = #attn.tiles<queries = 64, keys = 32,
// FEW: tiles = #attn.tiles<queries = 64, keys = 64,
func.func @whole(%q: memref<1x1x?x128xf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x128xf16>, memref<1x1x?x128xf16>, memref<1x1x?x128xf16>) outs(%q : memref<1x1x?x128xf16>)
  return
}

// ERROR: error: 'attn.sdpa' op needs {{[0-9]+}} registers a thread for tiles of 128 queries x 64 keys of head dims 256 and 256, and the target has 256; expected smaller tiles
// CHECK-LABEL: @wide
// MFMA: tiles = #attn.tiles<queries = 64, keys = 32,
// WMMA: tiles = #attn.tiles<queries = 64, keys = 16,
// FEW: tiles = #attn.tiles<queries = 64, keys = 32,
func.func @wide(%q: memref<1x1x?x256xbf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x256xbf16>, memref<1x1x?x256xbf16>, memref<1x1x?x256xbf16>) outs(%q : memref<1x1x?x256xbf16>)
  return
}

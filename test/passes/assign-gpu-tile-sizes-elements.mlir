// RUN: flash-opt %s --assign-gpu-tile-sizes="subgroup-size=64 shared-bytes=65536" | FileCheck %s --check-prefixes=CHECK,AMD
// RUN: flash-opt %s --assign-gpu-tile-sizes | FileCheck %s --check-prefixes=CHECK,NVIDIA

// Four subgroups of 16 or 32 rows, and as many keys as shared memory holds beside the rows.
// CHECK-LABEL: @narrow
// NVIDIA: tiles = #attn.tiles<queries = 64, keys = 32, {{.*}} few = #attn.tiles<queries = 16, keys = 32,
// AMD: tiles = #attn.tiles<queries = 128, keys = 16, {{.*}} few = #attn.tiles<queries = 32, keys = 16,
func.func @narrow(%q: memref<1x1x?x64xf32>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>) outs(%q : memref<1x1x?x64xf32>)
  return
}

// Wide rows are fewer a thread, so that its registers hold the sums; those that shared memory does not hold are read in
// place.
// CHECK-LABEL: @wide
// NVIDIA: tiles = #attn.tiles<queries = 16, keys = 16, {{.*}} few = #attn.tiles<queries = 4, keys = 16,
// AMD: tiles = #attn.tiles<queries = 64, keys = 8, {{.*}} few = #attn.tiles<queries = 16, keys = 8,
func.func @wide(%q: memref<1x1x?x256xf64>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x256xf64>, memref<1x1x?x256xf64>, memref<1x1x?x256xf64>) outs(%q : memref<1x1x?x256xf64>)
  return
}

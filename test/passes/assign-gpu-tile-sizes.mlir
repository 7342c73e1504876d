// RUN: flash-opt %s --assign-gpu-tile-sizes="matrix-unit=wgmma shared-bytes=232448" | FileCheck %s
// RUN: flash-opt %s --assign-gpu-tile-sizes="matrix-unit=wgmma shared-bytes=232448 queries=64 keys=40" | FileCheck %s --check-prefix=GIVEN
// RUN: flash-opt %s --assign-gpu-tile-sizes="matrix-unit=mma" | FileCheck %s --check-prefix=MMA

// Warpgroups take tiles by head dim. Two tiles of keys and of values fit, and weights where a masked one may meet a NaN. Few rows are
// left to one warp.
// CHECK-LABEL: @narrow
// CHECK: tiles = #attn.tiles<queries = 192, keys = 96, granule = 96, compute = f32, operand = bf16, few = #attn.tiles<queries = 16, keys = 64, granule = 64, compute = f32, operand = bf16, split = 512>>
// GIVEN-LABEL: @narrow
// GIVEN: tiles = #attn.tiles<queries = 64, keys = 48, granule = 48, compute = f32, operand = bf16, few = #attn.tiles<queries = 16, keys = 48,
// MMA-LABEL: @narrow
// MMA: tiles = #attn.tiles<queries = 64, keys = 64, granule = 64, compute = f32, operand = bf16, few = #attn.tiles<queries = 16, keys = 64,
func.func @narrow(%q: memref<1x1x?x64xbf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x64xbf16>, memref<1x1x?x64xbf16>, memref<1x1x?x64xbf16>) outs(%q : memref<1x1x?x64xbf16>)
  return
}

// CHECK-LABEL: @whole
// CHECK: tiles = #attn.tiles<queries = 128, keys = 128, granule = 128,
func.func @whole(%q: memref<1x1x?x128xf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x128xf16>, memref<1x1x?x128xf16>, memref<1x1x?x128xf16>) outs(%q : memref<1x1x?x128xf16>)
  return
}

// CHECK-LABEL: @masked
// CHECK: tiles = #attn.tiles<queries = 128, keys = 128, granule = 128,
func.func @masked(%q: memref<1x1x?x128xbf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x128xbf16>, memref<1x1x?x128xbf16>, memref<1x1x?x128xbf16>) outs(%q : memref<1x1x?x128xbf16>)
            masks [#attn.causal<top_left>]
  return
}

// CHECK-LABEL: @wide
// CHECK: tiles = #attn.tiles<queries = 128, keys = 64, granule = 64,
func.func @wide(%q: memref<1x1x?x256xbf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x256xbf16>, memref<1x1x?x256xbf16>, memref<1x1x?x256xbf16>) outs(%q : memref<1x1x?x256xbf16>)
  return
}

// CHECK-LABEL: @wide_masked
// CHECK: tiles = #attn.tiles<queries = 128, keys = 64, granule = 64,
func.func @wide_masked(%q: memref<1x1x?x256xbf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x256xbf16>, memref<1x1x?x256xbf16>, memref<1x1x?x256xbf16>) outs(%q : memref<1x1x?x256xbf16>)
            masks [#attn.causal<top_left>]
  return
}

// What is read of each key takes registers of both roles; what is known of an entry of the batch does not. A window's ends are numbers
// of each row.
// CHECK-LABEL: @segments
// CHECK: tiles = #attn.tiles<queries = 128, keys = 64, granule = 64,
func.func @segments(%q: memref<1x1x?x128xbf16>, %ids: memref<1x?xi32>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x128xbf16>, memref<1x1x?x128xbf16>, memref<1x1x?x128xbf16>) outs(%q : memref<1x1x?x128xbf16>)
            masks [#attn.segments] (%ids, %ids : memref<1x?xi32>, memref<1x?xi32>)
  return
}

// CHECK-LABEL: @lengths
// CHECK: tiles = #attn.tiles<queries = 192, keys = 112, granule = 112,
func.func @lengths(%q: memref<1x1x?x64xbf16>, %lengths: memref<1xi32>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x64xbf16>, memref<1x1x?x64xbf16>, memref<1x1x?x64xbf16>) outs(%q : memref<1x1x?x64xbf16>)
            masks [#attn.key_lengths] (%lengths : memref<1xi32>)
  return
}

// CHECK-LABEL: @windowed
// CHECK: tiles = #attn.tiles<queries = 128, keys = 128, granule = 128,
func.func @windowed(%q: memref<1x1x?x64xbf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x64xbf16>, memref<1x1x?x64xbf16>, memref<1x1x?x64xbf16>) outs(%q : memref<1x1x?x64xbf16>)
            masks [#attn.window<127, 0, top_left>]
  return
}

// Heads beyond what one instruction adds up, and other types, are not theirs.
// CHECK-LABEL: @widest
// CHECK: tiles = #attn.tiles<queries = 64, keys = 32,
func.func @widest(%q: memref<1x1x?x512xbf16>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x512xbf16>, memref<1x1x?x512xbf16>, memref<1x1x?x512xbf16>) outs(%q : memref<1x1x?x512xbf16>)
  return
}

// CHECK-LABEL: @exact
// CHECK: tiles = #attn.tiles<queries = 64, keys = 32, granule = 32, compute = f32, few =
func.func @exact(%q: memref<1x1x?x64xf32>) {
  attn.sdpa ins(%q, %q, %q : memref<1x1x?x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>) outs(%q : memref<1x1x?x64xf32>)
  return
}

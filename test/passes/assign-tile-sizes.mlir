// RUN: flash-opt %s --assign-tile-sizes | FileCheck %s --check-prefixes=CHECK,WIDE
// RUN: flash-opt %s --assign-tile-sizes="vector-bytes=32 vector-registers=16 l1-bytes=32768" | FileCheck %s --check-prefixes=CHECK,NARROW
// RUN: flash-opt %s --assign-tile-sizes="queries=12 keys=96 granule=32" | FileCheck %s --check-prefixes=CHECK,GIVEN
// RUN: flash-opt %s --assign-tile-sizes="keys=100" | FileCheck %s --check-prefixes=CHECK,ROUNDED
// RUN: flash-opt %s --assign-tile-sizes=bf16-operands | FileCheck %s --check-prefixes=CHECK,PAIRS

// The register block of a product gives the granule; scores that fill the first-level cache are the fastest.
// CHECK-LABEL: func @dynamic
func.func @dynamic(%x: memref<?x?x?x64xf32>) {
  // WIDE: tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
  // NARROW: tiles = #attn.tiles<queries = 24, keys = 384, granule = 16, compute = f32>
  // ROUNDED: tiles = #attn.tiles<queries = 24, keys = 128, granule = 64, compute = f32>
  // GIVEN: tiles = #attn.tiles<queries = 12, keys = 96, granule = 32, compute = f32>
  attn.sdpa ins(%x, %x, %x : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
            outs(%x : memref<?x?x?x64xf32>)
  return
}

// Scores of float64 are twice as large.
// CHECK-LABEL: func @double
func.func @double(%x: memref<?x?x?x64xf64>) {
  // WIDE: tiles = #attn.tiles<queries = 18, keys = 384, granule = 32, compute = f64>
  // NARROW: tiles = #attn.tiles<queries = 12, keys = 384, granule = 8, compute = f64>
  attn.sdpa ins(%x, %x, %x : memref<?x?x?x64xf64>, memref<?x?x?x64xf64>, memref<?x?x?x64xf64>)
            outs(%x : memref<?x?x?x64xf64>)
  return
}

// Tiles are no larger than a static length needs, in whole register blocks; bfloat16 is computed in float32.
// CHECK-LABEL: func @short
func.func @short(%q: memref<1x12x1x80xbf16>, %k: memref<1x12x197x80xbf16>) {
  // WIDE: tiles = #attn.tiles<queries = 6, keys = 256, granule = 64, compute = f32>
  // NARROW: tiles = #attn.tiles<queries = 6, keys = 208, granule = 16, compute = f32>
  // PAIRS: tiles = #attn.tiles<queries = 6, keys = 256, granule = 64, compute = f32, operand = bf16>
  attn.sdpa ins(%q, %k, %k : memref<1x12x1x80xbf16>, memref<1x12x197x80xbf16>, memref<1x12x197x80xbf16>)
            outs(%q : memref<1x12x1x80xbf16>)
  return
}

// Sizes that are there already stay.
// CHECK-LABEL: func @given
func.func @given(%x: tensor<1x1x100x64xf32>) -> tensor<1x1x100x64xf32> {
  // CHECK: tiles = #attn.tiles<queries = 8, keys = 48, granule = 16, compute = f32>
  %0 = attn.sdpa ins(%x, %x, %x : tensor<1x1x100x64xf32>, tensor<1x1x100x64xf32>, tensor<1x1x100x64xf32>)
                 outs(%x : tensor<1x1x100x64xf32>)
                 {tiles = #attn.tiles<queries = 8, keys = 48, granule = 16, compute = f32>} -> tensor<1x1x100x64xf32>
  return %0 : tensor<1x1x100x64xf32>
}

// RUN: flash-opt %s --split-input-file --verify-diagnostics --convert-to-online

func.func @tensors(%x: tensor<1x1x20x64xf32>) -> tensor<1x1x20x64xf32> {
  // expected-error @below {{'attn.sdpa' op expected memrefs, got 'tensor<1x1x20x64xf32>'; bufferize first}}
  %0 = attn.sdpa ins(%x, %x, %x : tensor<1x1x20x64xf32>, tensor<1x1x20x64xf32>, tensor<1x1x20x64xf32>)
                 outs(%x : tensor<1x1x20x64xf32>) -> tensor<1x1x20x64xf32>
  return %0 : tensor<1x1x20x64xf32>
}

// -----

func.func @no_tiles(%x: memref<1x1x20x64xf32>) {
  // expected-error @below {{'attn.sdpa' op expected tile sizes; run assign-tile-sizes first}}
  attn.sdpa ins(%x, %x, %x : memref<1x1x20x64xf32>, memref<1x1x20x64xf32>, memref<1x1x20x64xf32>)
            outs(%x : memref<1x1x20x64xf32>)
  return
}

// -----

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
func.func @many_heads(%x: memref<1x8x20x64xf32>) {
  // expected-error @below {{'attn.sdpa' op expected one batch entry and one head, got 'memref<1x8x20x64xf32>'; run tile-queries first}}
  attn.sdpa ins(%x, %x, %x : memref<1x8x20x64xf32>, memref<1x8x20x64xf32>, memref<1x8x20x64xf32>)
            outs(%x : memref<1x8x20x64xf32>) {tiles = #tiles}
  return
}

// -----

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
func.func @many_rows(%x: memref<1x1x?x64xf32>, %p: index) {
  // expected-error @below {{'attn.sdpa' op expected a block of at most 24 query rows with a position; run tile-queries first}}
  attn.sdpa ins(%x, %x, %x : memref<1x1x?x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>)
            outs(%x : memref<1x1x?x64xf32>) position(%p, %p, %p, %p, %p, %p) {tiles = #tiles}
  return
}

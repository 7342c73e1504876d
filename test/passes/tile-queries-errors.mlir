// RUN: flash-opt %s --split-input-file --verify-diagnostics --tile-queries

func.func @tensors(%x: tensor<1x1x100x64xf32>) -> tensor<1x1x100x64xf32> {
  // expected-error @below {{'attn.sdpa' op expected memrefs, got 'tensor<1x1x100x64xf32>'; bufferize first}}
  %0 = attn.sdpa ins(%x, %x, %x : tensor<1x1x100x64xf32>, tensor<1x1x100x64xf32>, tensor<1x1x100x64xf32>)
                 outs(%x : tensor<1x1x100x64xf32>) -> tensor<1x1x100x64xf32>
  return %0 : tensor<1x1x100x64xf32>
}

// -----

func.func @no_tiles(%x: memref<?x?x?x64xf32>) {
  // expected-error @below {{'attn.sdpa' op expected tile sizes; run assign-tile-sizes first}}
  attn.sdpa ins(%x, %x, %x : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
            outs(%x : memref<?x?x?x64xf32>)
  return
}

func.func @attention(%q: memref<?x?x?x64xf32>, %k: memref<?x?x?x64xf32>, %v: memref<?x?x?x64xf32>,
                     %out: memref<?x?x?x64xf32>) {
  attn.sdpa ins(%q, %k, %v : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
            outs(%out : memref<?x?x?x64xf32>) masks [#attn.causal<top_left>]
  return
}

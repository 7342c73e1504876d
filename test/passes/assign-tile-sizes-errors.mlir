// RUN: flash-opt %s --split-input-file --verify-diagnostics --assign-tile-sizes="queries=12 keys=100 granule=32"

func.func @keys_not_granules(%x: memref<?x?x?x64xf32>) {
  // expected-error @below {{'attn.sdpa' op cannot have these tiles: expected a granule that divides the 100 keys, got 32}}
  attn.sdpa ins(%x, %x, %x : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
            outs(%x : memref<?x?x?x64xf32>)
  return
}

// -----

func.func @too_many_scores(%x: memref<?x?x?x64xf32>) {
  // expected-error @below {{'attn.sdpa' op expected tiles of at most 262144 elements, got 1024 queries x 512 (keys)}}
  attn.sdpa ins(%x, %x, %x : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
            outs(%x : memref<?x?x?x64xf32>)
            {tiles = #attn.tiles<queries = 1024, keys = 512, granule = 64, compute = f32>}
  return
}

// -----

func.func @too_large_head_dim(%q: memref<?x?x?x64xf32>, %v: memref<?x?x?x65536xf32>) {
  // expected-error @below {{expected tiles of at most 262144 elements, got 6 queries x 65536 (head dimension of the values)}}
  attn.sdpa ins(%q, %q, %v : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x65536xf32>)
            outs(%v : memref<?x?x?x65536xf32>)
            {tiles = #attn.tiles<queries = 6, keys = 512, granule = 64, compute = f32>}
  return
}

// -----

func.func @tf32(%x: memref<?x?x?x64xf32>) {
  // expected-error @below {{'attn.sdpa' op asks for products in tf32, which no CPU has; expected a target of NVIDIA's (nvptx:CHIP, emulated:sm_80), or exact float32, without 'tf32'}}
  attn.sdpa ins(%x, %x, %x : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
            outs(%x : memref<?x?x?x64xf32>) {tf32}
  return
}

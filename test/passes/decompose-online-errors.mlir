// RUN: flash-opt %s --split-input-file --verify-diagnostics --decompose-online

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
func.func @many_keys(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !tile.tile<24x64xf32>, %rows: !tile.tile<24xf32>,
                     %p: index) -> !tile.tile<24x64xf32> {
  // expected-error @below {{'attn.online' op expected at most 512 keys, got 'memref<?x64xf32>'; run tile-keys first}}
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %rows, %rows : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
                     position(%p, %p, %p, %p, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0 : !tile.tile<24x64xf32>
}

// -----

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
func.func @many_rows(%q: memref<25x64xf32>, %k: memref<512x64xf32>, %acc: !tile.tile<24x64xf32>,
                     %rows: !tile.tile<24xf32>, %p: index) -> !tile.tile<24x64xf32> {
  // expected-error @below {{'attn.online' op expected at most 24 query rows, got 'memref<25x64xf32>'; run tile-queries first}}
  %0:3 = attn.online ins(%q, %k, %k : memref<25x64xf32>, memref<512x64xf32>, memref<512x64xf32>)
                     state(%acc, %rows, %rows : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
                     position(%p, %p, %p, %p, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0 : !tile.tile<24x64xf32>
}

// RUN: flash-opt %s | FileCheck %s
// RUN: flash-opt %s --verify-roundtrip -o %t
// RUN: flash-opt %s | flash-opt | FileCheck %s
// RUN: flash-opt %s --mlir-print-op-generic | flash-opt | FileCheck %s
// RUN: flash-opt %s --emit-bytecode | flash-opt --accept-bytecode | FileCheck %s

// CHECK-LABEL: func @memory
// CHECK-SAME: (%[[Q:.*]]: memref<?x8x?x64xf32>, %[[K:.*]]: memref<?x2x?x64xf32>, %[[V:.*]]: memref<?x2x?x64xf32>, %[[OUT:.*]]: memref<?x8x?x64xf32>, %[[LSE:.*]]: memref<?x8x?xf32>, %[[LENGTHS:.*]]: memref<?xi32>)
func.func @memory(%q: memref<?x8x?x64xf32>, %k: memref<?x2x?x64xf32>, %v: memref<?x2x?x64xf32>,
                  %out: memref<?x8x?x64xf32>, %lse: memref<?x8x?xf32>, %lengths: memref<?xi32>) {
  // CHECK: attn.sdpa ins(%[[Q]], %[[K]], %[[V]] : memref<?x8x?x64xf32>, memref<?x2x?x64xf32>, memref<?x2x?x64xf32>)
  // CHECK-SAME: outs(%[[OUT]], %[[LSE]] : memref<?x8x?x64xf32>, memref<?x8x?xf32>)
  // CHECK-SAME: masks [#attn.causal<bottom_right>, #attn.key_lengths] (%[[LENGTHS]] : memref<?xi32>)
  // CHECK-SAME: {scale = 1.250000e-01 : f64}
  attn.sdpa ins(%q, %k, %v : memref<?x8x?x64xf32>, memref<?x2x?x64xf32>, memref<?x2x?x64xf32>)
            outs(%out, %lse : memref<?x8x?x64xf32>, memref<?x8x?xf32>)
            masks [#attn.causal<bottom_right>, #attn.key_lengths] (%lengths : memref<?xi32>)
            {scale = 0.125 : f64}
  // CHECK-NEXT: return
  return
}

// CHECK-LABEL: func @tensors
func.func @tensors(%q: tensor<2x4x10x24xbf16>, %k: tensor<2x4x17x24xbf16>, %v: tensor<2x4x17x40xbf16>,
                   %out: tensor<2x4x10x40xf32>, %lse: tensor<2x4x10xf32>, %bias: tensor<1x4x10x17xf32>)
    -> (tensor<2x4x10x40xf32>, tensor<2x4x10xf32>) {
  // CHECK: %[[R:.*]]:2 = attn.sdpa ins({{.*}} : tensor<2x4x10x24xbf16>, tensor<2x4x17x24xbf16>, tensor<2x4x17x40xbf16>)
  // CHECK-SAME: outs({{.*}} : tensor<2x4x10x40xf32>, tensor<2x4x10xf32>)
  // CHECK-SAME: bias(%{{.*}} : tensor<1x4x10x17xf32>) score {
  // CHECK-NEXT: ^bb0(%[[S:.*]]: f32, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index):
  // CHECK-NEXT:   %[[X:.*]] = arith.negf %[[S]] : f32
  // CHECK-NEXT:   attn.yield %[[X]] : f32
  // CHECK-NEXT: } {softcap = 3.000000e+01 : f64} -> tensor<2x4x10x40xf32>, tensor<2x4x10xf32>
  %0:2 = attn.sdpa ins(%q, %k, %v : tensor<2x4x10x24xbf16>, tensor<2x4x17x24xbf16>, tensor<2x4x17x40xbf16>)
      outs(%out, %lse : tensor<2x4x10x40xf32>, tensor<2x4x10xf32>) bias(%bias : tensor<1x4x10x17xf32>)
      score {
      ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
        %x = arith.negf %s : f32
        attn.yield %x : f32
      } {softcap = 30.0 : f64} -> tensor<2x4x10x40xf32>, tensor<2x4x10xf32>
  return %0#0, %0#1 : tensor<2x4x10x40xf32>, tensor<2x4x10xf32>
}

// CHECK-LABEL: func @masks
func.func @masks(%q: memref<?x?x?x8xf64>, %out: memref<?x?x?x8xf64>, %lengths: memref<?xi64>, %flags: memref<?x?xi8>,
                 %segments: memref<?x?xi32>, %mask: memref<1x?x1x?xi1>) {
  // CHECK: attn.sdpa
  // CHECK-SAME: masks [#attn.causal<top_left>, #attn.window<127, -1, bottom_right>, #attn.key_lengths, #attn.key_padding, #attn.prefix_lm<top_left>, #attn.segments, #attn.tensor, #attn.bounds]
  // CHECK-SAME: (%{{.*}} : memref<?xi64>, memref<?x?xi8>, memref<?xi64>, memref<?x?xi32>, memref<?x?xi32>, memref<1x?x1x?xi1>)
  // CHECK-SAME: {tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f64>}
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x8xf64>, memref<?x?x?x8xf64>, memref<?x?x?x8xf64>)
            outs(%out : memref<?x?x?x8xf64>)
            masks [#attn.causal<top_left>, #attn.window<127, -1, bottom_right>, #attn.key_lengths, #attn.key_padding,
                   #attn.prefix_lm<top_left>, #attn.segments, #attn.tensor, #attn.bounds]
                  (%lengths, %flags, %lengths, %segments, %segments, %mask
                   : memref<?xi64>, memref<?x?xi8>, memref<?xi64>, memref<?x?xi32>, memref<?x?xi32>, memref<1x?x1x?xi1>)
            {tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f64>}
  return
}

// CHECK-LABEL: func @part
func.func @part(%q: memref<1x1x24x64xf32>, %k: memref<1x1x?x64xf32>, %out: memref<1x1x24x64xf32>,
                %b: index, %h: index, %i: index, %j: index, %sq: index, %sk: index) {
  // CHECK: masks [#attn.causal<top_left>] position(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}){{$}}
  attn.sdpa ins(%q, %k, %k : memref<1x1x24x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>)
            outs(%out : memref<1x1x24x64xf32>) masks [#attn.causal<top_left>] position(%b, %h, %i, %j, %sq, %sk)
  return
}

// CHECK-LABEL: func @online
func.func @online(%q: memref<24x64xbf16>, %k: memref<?x64xbf16>, %v: memref<?x40xbf16>, %bias: memref<1x?x?x1xf32>,
                  %acc: !tile.tile<24x40xf32>, %max: !tile.tile<24xf32>, %sum: !tile.tile<24xf32>,
                  %b: index, %h: index, %i: index, %j: index, %sq: index, %sk: index)
    -> (!tile.tile<24x40xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>) {
  // CHECK: %{{.*}}, %{{.*}}, %{{.*}} = attn.online ins(%{{.*}} : memref<24x64xbf16>, memref<?x64xbf16>, memref<?x40xbf16>)
  // CHECK-SAME: state(%{{.*}} : !tile.tile<24x40xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
  // CHECK-SAME: masks [#attn.causal<top_left>, #attn.bounds] bias(%{{.*}} : memref<1x?x?x1xf32>) position(
  // CHECK-SAME: {scale = 1.250000e-01 : f64, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
  %0:3 = attn.online ins(%q, %k, %v : memref<24x64xbf16>, memref<?x64xbf16>, memref<?x40xbf16>)
      state(%acc, %max, %sum : !tile.tile<24x40xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
      masks [#attn.causal<top_left>, #attn.bounds] bias(%bias : memref<1x?x?x1xf32>)
      position(%b, %h, %i, %j, %sq, %sk)
      {scale = 0.125 : f64, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
  return %0#0, %0#1, %0#2 : !tile.tile<24x40xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>
}

// CHECK-LABEL: func @normalize
func.func @normalize(%acc: !tile.tile<24x40xf32>, %max: !tile.tile<24xf32>, %sum: !tile.tile<24xf32>, %rows: index,
                     %out: memref<?x40xbf16>, %lse: memref<?xf32>) {
  // CHECK: attn.normalize %{{.*}}, %{{.*}}, %{{.*}} rows(%{{.*}}) outs(%{{.*}} : memref<?x40xbf16>) lse(%{{.*}} : memref<?xf32>) : <24x40xf32>, <24xf32>, <24xf32>
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<?x40xbf16>) lse(%lse : memref<?xf32>)
      : !tile.tile<24x40xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>
  return
}

// CHECK-LABEL: func @merge
func.func @merge(%oa: tensor<?x?x?x64xbf16>, %la: tensor<?x?x?xf32>, %ob: tensor<?x?x?x64xbf16>, %lb: tensor<?x?x?xf32>)
    -> (tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>) {
  // CHECK: attn.merge ins(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>, tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>)
  // CHECK-SAME: outs(%{{.*}}, %{{.*}} : tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>) -> tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>
  %0:2 = attn.merge ins(%oa, %la, %ob, %lb : tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>, tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>)
      outs(%oa, %la : tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>) -> tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>
  return %0#0, %0#1 : tensor<?x?x?x64xbf16>, tensor<?x?x?xf32>
}

// CHECK-LABEL: func @tf32
func.func @tf32(%q: memref<?x?x?x64xf32>) {
  // CHECK: attn.sdpa
  // CHECK-SAME: {tf32, tiles = #attn.tiles<queries = 64, keys = 32, granule = 32, compute = f32, operand = tf32>}
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
            outs(%q : memref<?x?x?x64xf32>)
            {tf32, tiles = #attn.tiles<queries = 64, keys = 32, granule = 32, compute = f32, operand = tf32>}
  return
}

// RUN: flash-opt %s --fold-transposes-into-attention | FileCheck %s

#id = affine_map<(a, b, c, d) -> (a, b, c, d)>
#swap = affine_map<(a, b, c, d) -> (a, c, b, d)>

// CHECK-LABEL: func.func @views
// CHECK-SAME: %[[Q:.*]]: memref<2x6x4x8xf32>, %[[K:.*]]: memref<2x6x4x8xf32>, %[[OUT:.*]]: memref<2x6x4x8xf32>
// CHECK-DAG: %[[QV:.*]] = memref.transpose %[[Q]] (d0, d1, d2, d3) -> (d0, d2, d1, d3)
// CHECK-DAG: %[[KV:.*]] = memref.transpose %[[K]] (d0, d1, d2, d3) -> (d0, d2, d1, d3)
// CHECK-DAG: %[[OV:.*]] = memref.transpose %[[OUT]] (d0, d1, d2, d3) -> (d0, d2, d1, d3)
// CHECK: attn.sdpa ins(%[[QV]], %[[KV]], %[[KV]] : {{.*}}) outs(%[[OV]] :
// CHECK-NOT: linalg
func.func @views(%q: memref<2x6x4x8xf32>, %k: memref<2x6x4x8xf32>, %out: memref<2x6x4x8xf32>) {
  %qt = memref.alloc() : memref<2x4x6x8xf32>
  %kt = memref.alloc() : memref<2x4x6x8xf32>
  %ot = memref.alloc() : memref<2x4x6x8xf32>
  linalg.generic {indexing_maps = [#swap, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
    ins(%q : memref<2x6x4x8xf32>) outs(%qt : memref<2x4x6x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    linalg.yield %x : f32
  }
  linalg.transpose ins(%k : memref<2x6x4x8xf32>) outs(%kt : memref<2x4x6x8xf32>) permutation = [0, 2, 1, 3]
  attn.sdpa ins(%qt, %kt, %kt : memref<2x4x6x8xf32>, memref<2x4x6x8xf32>, memref<2x4x6x8xf32>) outs(%ot : memref<2x4x6x8xf32>)
  linalg.transpose ins(%ot : memref<2x4x6x8xf32>) outs(%out : memref<2x6x4x8xf32>) permutation = [0, 2, 1, 3]
  return
}

// What is written in between, or read elsewhere, stays a copy.
// CHECK-LABEL: func.func @copies
// CHECK: linalg.transpose
// CHECK: linalg.fill
// CHECK-NOT: memref.transpose
// CHECK: attn.sdpa
// CHECK: linalg.transpose
func.func @copies(%q: memref<2x6x4x8xf32>, %k: memref<2x4x6x8xf32>, %out: memref<2x6x4x8xf32>, %again: memref<2x4x6x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %qt = memref.alloc() : memref<2x4x6x8xf32>
  %ot = memref.alloc() : memref<2x4x6x8xf32>
  linalg.transpose ins(%q : memref<2x6x4x8xf32>) outs(%qt : memref<2x4x6x8xf32>) permutation = [0, 2, 1, 3]
  linalg.fill ins(%zero : f32) outs(%q : memref<2x6x4x8xf32>)
  attn.sdpa ins(%qt, %k, %k : memref<2x4x6x8xf32>, memref<2x4x6x8xf32>, memref<2x4x6x8xf32>) outs(%ot : memref<2x4x6x8xf32>)
  linalg.transpose ins(%ot : memref<2x4x6x8xf32>) outs(%out : memref<2x6x4x8xf32>) permutation = [0, 2, 1, 3]
  memref.copy %ot, %again : memref<2x4x6x8xf32> to memref<2x4x6x8xf32>
  return
}

// RUN: flash-opt %s --convert-to-online | FileCheck %s

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>

// One block of query rows: an empty state, one online softmax over all keys, and the result from the final state.
// CHECK-LABEL: func @block
// CHECK-SAME: (%[[Q:[^:]*]]: memref<1x1x24x64xbf16>, %[[K:[^:]*]]: memref<1x1x?x64xbf16>, %[[V:[^:]*]]: memref<1x1x?x40xbf16>, %[[OUT:[^:]*]]: memref<1x1x24x40xbf16>, %[[LSE:[^:]*]]: memref<1x1x24xf32>, %[[LENGTHS:[^:]*]]: memref<?xi32>, %[[P:[^:]*]]: index)
func.func @block(%q: memref<1x1x24x64xbf16>, %k: memref<1x1x?x64xbf16>, %v: memref<1x1x?x40xbf16>,
                 %out: memref<1x1x24x40xbf16>, %lse: memref<1x1x24xf32>, %lengths: memref<?xi32>, %p: index) {
  // CHECK-DAG: %[[Q2:.*]] = memref.subview %[[Q]][0, 0, 0, 0] [1, 1, 24, 64] {{.*}} to memref<24x64xbf16
  // CHECK-DAG: %[[K2:.*]] = memref.subview %[[K]][0, 0, 0, 0] {{.*}} to memref<?x64xbf16
  // CHECK-DAG: %[[V2:.*]] = memref.subview %[[V]][0, 0, 0, 0] {{.*}} to memref<?x40xbf16
  // CHECK-DAG: %[[OUT2:.*]] = memref.subview %[[OUT]][0, 0, 0, 0] {{.*}} to memref<24x40xbf16
  // CHECK-DAG: %[[LSE2:.*]] = memref.subview %[[LSE]][0, 0, 0] {{.*}} to memref<24xf32
  // CHECK-DAG: %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
  // CHECK-DAG: %[[LOWEST:.*]] = arith.constant 0xFF800000 : f32
  // CHECK: %[[ACC:.*]] = tile.splat %[[ZERO]] : f32 -> <24x40xf32>
  // CHECK: %[[MAX:.*]] = tile.splat %[[LOWEST]] : f32 -> <24xf32>
  // CHECK: %[[SUM:.*]] = tile.splat %[[ZERO]] : f32 -> <24xf32>
  // CHECK: %[[A:.*]], %[[M:.*]], %[[L:.*]] = attn.online ins(%[[Q2]], %[[K2]], %[[V2]] :
  // CHECK-SAME: state(%[[ACC]], %[[MAX]], %[[SUM]] :
  // CHECK-SAME: masks [#attn.key_lengths] (%[[LENGTHS]] : memref<?xi32>)
  // CHECK-SAME: position(%[[P]], %[[P]], %[[P]], %[[P]], %[[P]], %[[P]])
  // CHECK-SAME: {scale = 1.250000e-01 : f64, softcap = 3.000000e+01 : f64
  // CHECK: attn.normalize %[[A]], %[[M]], %[[L]] rows(%c24) outs(%[[OUT2]] : {{.*}}) lse(%[[LSE2]] :
  // CHECK-NOT: attn.sdpa
  attn.sdpa ins(%q, %k, %v : memref<1x1x24x64xbf16>, memref<1x1x?x64xbf16>, memref<1x1x?x40xbf16>)
            outs(%out, %lse : memref<1x1x24x40xbf16>, memref<1x1x24xf32>)
            masks [#attn.key_lengths] (%lengths : memref<?xi32>) position(%p, %p, %p, %p, %p, %p)
            {softcap = 30.0, tiles = #tiles}
  return
}

// A view of a view is one view; without an lse none is written; the score function goes along.
// CHECK-LABEL: func @view
// CHECK-SAME: (%[[X:[^:]*]]: memref<?x8x?x64xf64>, %[[P:[^:]*]]: index)
func.func @view(%x: memref<?x8x?x64xf64>, %p: index) {
  %c6 = arith.constant 6 : index
  // CHECK: %[[ROWS:.*]] = arith.minsi
  %rows = arith.minsi %p, %c6 : index
  %q = memref.subview %x[%p, %p, %p, 0] [1, 1, %rows, 64] [1, 1, 1, 1]
      : memref<?x8x?x64xf64> to memref<1x1x?x64xf64, strided<[?, ?, 64, 1], offset: ?>>
  %k = memref.subview %x[%p, %p, 0, 0] [1, 1, %p, 64] [1, 1, 1, 1]
      : memref<?x8x?x64xf64> to memref<1x1x?x64xf64, strided<[?, ?, 64, 1], offset: ?>>
  // CHECK: %[[Q:.*]] = memref.subview %[[X]][%[[P]], %[[P]], %[[P]], 0] [1, 1, %[[ROWS]], 64] [1, 1, 1, 1] : memref<?x8x?x64xf64> to memref<?x64xf64, strided<[64, 1], offset: ?>>
  // CHECK: %[[K:.*]] = memref.subview %[[X]][%[[P]], %[[P]], 0, 0] [1, 1, %[[P]], 64] {{.*}} to memref<?x64xf64
  // CHECK-NOT: memref<1x1x
  // CHECK: attn.online ins(%[[Q]], %[[K]], %{{.*}} :
  // CHECK-SAME: !tile.tile<6x64xf64>, !tile.tile<6xf64>, !tile.tile<6xf64>
  // CHECK-SAME: score {
  // CHECK: arith.negf
  // CHECK: attn.normalize {{.*}} rows(%[[ROWS]]) outs(%{{.*}} : memref<?x64xf64, strided<[64, 1], offset: ?>>) :
  attn.sdpa ins(%q, %k, %k : memref<1x1x?x64xf64, strided<[?, ?, 64, 1], offset: ?>>, memref<1x1x?x64xf64, strided<[?, ?, 64, 1], offset: ?>>, memref<1x1x?x64xf64, strided<[?, ?, 64, 1], offset: ?>>)
            outs(%q : memref<1x1x?x64xf64, strided<[?, ?, 64, 1], offset: ?>>)
            position(%p, %p, %p, %p, %p, %p) score {
            ^bb0(%s: f64, %b: index, %h: index, %i: index, %j: index):
              %y = arith.negf %s : f64
              attn.yield %y : f64
            } {tiles = #attn.tiles<queries = 6, keys = 64, granule = 8, compute = f64>}
  return
}

// RUN: flash-opt %s --tile-queries | FileCheck %s
// RUN: flash-opt %s --tile-queries --tile-queries | FileCheck %s

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>

// CHECK-LABEL: func @dynamic
// CHECK-SAME: (%[[Q:[^:]*]]: memref<?x?x?x64xf32>, %[[K:[^:]*]]: memref<?x?x?x64xf32>, %[[V:[^:]*]]: memref<?x?x?x40xf32>, %[[OUT:[^:]*]]: memref<?x?x?x40xf32>, %[[LSE:[^:]*]]: memref<?x?x?xf32>)
func.func @dynamic(%q: memref<?x?x?x64xf32>, %k: memref<?x?x?x64xf32>, %v: memref<?x?x?x40xf32>,
                   %out: memref<?x?x?x40xf32>, %lse: memref<?x?x?xf32>) {
  // CHECK-DAG: %[[B:.*]] = memref.dim %[[Q]], %c0
  // CHECK-DAG: %[[HQ:.*]] = memref.dim %[[Q]], %c1
  // CHECK-DAG: %[[SQ:.*]] = memref.dim %[[Q]], %c2
  // CHECK-DAG: %[[HKV:.*]] = memref.dim %[[K]], %c1
  // CHECK-DAG: %[[SK:.*]] = memref.dim %[[K]], %c2
  // No key heads: the group is still at least 1, and nothing is divided by 0.
  // CHECK: %[[DIVISOR:.*]] = arith.maxsi %[[HKV]], %{{.*}}
  // CHECK: %[[RATIO:.*]] = arith.divui %[[HQ]], %[[DIVISOR]]
  // CHECK: %[[GROUP:.*]] = arith.maxsi %[[RATIO]], %{{.*}}
  // CHECK: %[[BLOCKS:.*]] = arith.divui %{{.*}}, %c24
  // CHECK: scf.forall (%[[I:.*]], %[[H:.*]], %[[T:.*]]) in (%[[B]], %[[HQ]], %[[BLOCKS]])
  // CHECK:   %[[FIRST:.*]] = arith.muli %[[T]], %{{.*}}
  // CHECK:   %[[LEFT:.*]] = arith.subi %[[SQ]], %[[FIRST]]
  // CHECK:   %[[ROWS:.*]] = arith.minsi %[[LEFT]], %{{.*}}
  // CHECK:   %[[KH:.*]] = arith.divui %[[H]], %[[GROUP]]
  // CHECK:   %[[QT:.*]] = memref.subview %[[Q]][%[[I]], %[[H]], %[[FIRST]], 0] [1, 1, %[[ROWS]], 64]
  // CHECK:   %[[KT:.*]] = memref.subview %[[K]][%[[I]], %[[KH]], 0, 0] [1, 1, %[[SK]], 64]
  // CHECK:   %[[VT:.*]] = memref.subview %[[V]][%[[I]], %[[KH]], 0, 0] [1, 1, %[[SK]], 40]
  // CHECK:   %[[OT:.*]] = memref.subview %[[OUT]][%[[I]], %[[H]], %[[FIRST]], 0] [1, 1, %[[ROWS]], 40]
  // CHECK:   %[[LT:.*]] = memref.subview %[[LSE]][%[[I]], %[[H]], %[[FIRST]]] [1, 1, %[[ROWS]]]
  // CHECK:   attn.sdpa ins(%[[QT]], %[[KT]], %[[VT]] :
  // CHECK-SAME: outs(%[[OT]], %[[LT]] :
  // CHECK-SAME: position(%[[I]], %[[H]], %[[FIRST]], %{{.*}}, %[[SQ]], %[[SK]])
  // CHECK-SAME: {scale = 1.250000e-01 : f64
  attn.sdpa ins(%q, %k, %v : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x40xf32>)
            outs(%out, %lse : memref<?x?x?x40xf32>, memref<?x?x?xf32>) {tiles = #tiles}
  return
}

// Static sizes leave static loops: 8 heads on 2, two blocks of exactly 24 rows, and the longest one first.
// CHECK-LABEL: func @static_causal
func.func @static_causal(%q: memref<2x8x48x64xf32>, %k: memref<2x2x48x64xf32>) {
  // CHECK: scf.forall (%{{.*}}, %[[H:.*]], %[[T:.*]]) in (2, 8, 2)
  // CHECK:   %[[REVERSED:.*]] = arith.subi %c1{{[_0-9]*}}, %[[T]]
  // CHECK:   %[[FIRST:.*]] = arith.muli %[[REVERSED]], %{{.*}}
  // CHECK:   %[[KH:.*]] = arith.divui %[[H]], %c4
  // CHECK:   memref.subview %{{.*}}[%{{.*}}, %[[H]], %[[FIRST]], 0] [1, 1, 24, 64]
  // CHECK:   memref.subview %{{.*}}[%{{.*}}, %[[KH]], 0, 0] [1, 1, 48, 64]
  // CHECK:   attn.sdpa
  // CHECK-SAME: masks [#attn.causal<top_left>]
  attn.sdpa ins(%q, %k, %k : memref<2x8x48x64xf32>, memref<2x2x48x64xf32>, memref<2x2x48x64xf32>)
            outs(%q : memref<2x8x48x64xf32>) masks [#attn.causal<top_left>] {tiles = #tiles}
  return
}

// A part of a larger attention: positions are the whole's; bias and mask operands are not divided; the score function goes along.
// CHECK-LABEL: func @part
// CHECK-SAME: %[[BIAS:[^ ]*]]: memref<1x8x?x?xf32>, %[[LENGTHS:[^ ]*]]: memref<?xi32>, %[[P:[^ ]*]]: index
func.func @part(%x: memref<?x8x?x64xf32>, %bias: memref<1x8x?x?xf32>, %lengths: memref<?xi32>, %p: index) {
  // CHECK: scf.forall (%[[I:.*]], %[[H:.*]], %{{.*}}) in
  // CHECK-DAG: %[[BATCH:.*]] = arith.addi %[[P]], %[[I]]
  // CHECK-DAG: %[[HEAD:.*]] = arith.addi %[[P]], %[[H]]
  // CHECK: attn.sdpa
  // CHECK-SAME: masks [#attn.key_lengths] (%[[LENGTHS]] : memref<?xi32>) bias(%[[BIAS]] : memref<1x8x?x?xf32>)
  // CHECK-SAME: position(%[[BATCH]], %[[HEAD]], %{{.*}}, %[[P]], %[[P]], %[[P]]) score {
  // CHECK: arith.negf
  attn.sdpa ins(%x, %x, %x : memref<?x8x?x64xf32>, memref<?x8x?x64xf32>, memref<?x8x?x64xf32>)
            outs(%x : memref<?x8x?x64xf32>) masks [#attn.key_lengths] (%lengths : memref<?xi32>)
            bias(%bias : memref<1x8x?x?xf32>) position(%p, %p, %p, %p, %p, %p) score {
            ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
              %y = arith.negf %s : f32
              attn.yield %y : f32
            } {tiles = #tiles}
  return
}

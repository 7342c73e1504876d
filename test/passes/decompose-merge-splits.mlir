// RUN: flash-opt %s --decompose-merge-splits --canonicalize | FileCheck %s

#tiles = #attn.tiles<queries = 16, keys = 256, granule = 64, compute = f32, split = 2048>

// Each part joins the state of an online softmax as one key would whose score is the part's lse.
// CHECK-LABEL: func @merge
// CHECK-SAME: (%[[PARTS:.*]]: memref<?x4x?x64xf32>, %[[PARTLSE:.*]]: memref<?x4x?xf32>, %[[OUT:.*]]: memref<4x?x64xbf16>, %[[LSE:.*]]: memref<4x?xf32>)
func.func @merge(%parts: memref<?x4x?x64xf32>, %part_lse: memref<?x4x?xf32>, %out: memref<4x?x64xbf16>, %lse: memref<4x?xf32>) {
  // CHECK-DAG: %[[LOG2E:.*]] = arith.constant 1.44269{{.*}} : f32
  // CHECK-DAG: %[[LOWEST:.*]] = arith.constant 0xFF800000 : f32
  // CHECK: %[[ROWS:.*]] = arith.muli
  // CHECK: %[[STATE:.*]]:3 = scf.for %[[N:.*]] = %{{.*}} iter_args(%[[ACC:.*]] = %{{.*}}, %[[MAX:.*]] = %{{.*}}, %[[SUM:.*]] = %{{.*}}) -> (!tile.tile<16x64xf32>, !tile.tile<16xf32>, !tile.tile<16xf32>)
  // CHECK: %[[ONELSE:.*]] = memref.subview %[[PARTLSE]][%[[N]], 0, 0]
  // CHECK: %[[X:.*]] = tile.load %[[ONELSE]][%{{.*}}, %{{.*}}] grouped valid(%[[ROWS]])
  // CHECK: %[[ONE:.*]] = memref.subview %[[PARTS]][%[[N]], 0, 0, 0]
  // CHECK: %[[PART:.*]] = tile.load %[[ONE]][%{{.*}}, %{{.*}}, %{{.*}}] grouped valid(%[[ROWS]], %{{.*}})
  // CHECK: %[[LOG:.*]] = tile.map ins(%[[X]]
  // CHECK:   arith.mulf %{{.*}}, %[[LOG2E]]
  // CHECK: %[[LARGER:.*]] = tile.map ins(%[[MAX]], %[[LOG]]
  // CHECK:   arith.maxnumf
  // CHECK: %[[BASE:.*]] = tile.map ins(%[[LARGER]]
  // CHECK:   arith.cmpf oeq, %{{.*}}, %[[LOWEST]]
  // CHECK: %[[BEFORE:.*]] = tile.map ins(%[[MAX]], %[[BASE]]
  // CHECK:   math.exp2 {{.*}} {tile.nonpositive}
  // CHECK: %[[NOW:.*]] = tile.map ins(%[[LOG]], %[[BASE]]
  // CHECK: %[[NEWSUM:.*]] = tile.map ins(%[[SUM]], %[[BEFORE]], %[[NOW]]
  // CHECK: %[[NEWACC:.*]] = tile.map ins(%[[ACC]], %[[PART]], %[[BEFORE]], %[[NOW]]
  // CHECK: scf.yield %[[NEWACC]], %[[LARGER]], %[[NEWSUM]]
  // CHECK: attn.normalize %[[STATE]]#0, %[[STATE]]#1, %[[STATE]]#2 rows(%[[ROWS]]) outs(%[[OUT]] : memref<4x?x64xbf16>) lse(%[[LSE]] : memref<4x?xf32>)
  attn.merge_splits ins(%parts, %part_lse : memref<?x4x?x64xf32>, memref<?x4x?xf32>) outs(%out : memref<4x?x64xbf16>)
                    lse(%lse : memref<4x?xf32>) {tiles = #tiles}
  return
}

// A single part is the result.
// CHECK-LABEL: func @single
// CHECK-SAME: (%{{.*}}, %{{.*}}, %[[OUT:.*]]: memref<4x?x64xbf16>, %[[LSE:.*]]: memref<4x?xf32>)
func.func @single(%parts: memref<1x4x?x64xf32>, %part_lse: memref<1x4x?xf32>, %out: memref<4x?x64xbf16>, %lse: memref<4x?xf32>) {
  // CHECK-NOT: scf.for
  // CHECK-NOT: tile.map
  // CHECK-DAG: %[[X:.*]] = tile.load {{.*}} -> <16xf32>
  // CHECK-DAG: %[[PART:.*]] = tile.load {{.*}} -> <16x64xf32>
  // CHECK: tile.store %[[PART]], %[[OUT]]
  // CHECK: tile.store %[[X]], %[[LSE]]
  // CHECK-NOT: attn.normalize
  attn.merge_splits ins(%parts, %part_lse : memref<1x4x?x64xf32>, memref<1x4x?xf32>) outs(%out : memref<4x?x64xbf16>)
                    lse(%lse : memref<4x?xf32>) {tiles = #tiles}
  return
}

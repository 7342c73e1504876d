// RUN: flash-opt %s --tile-keys | FileCheck %s
// RUN: flash-opt %s --tile-keys --tile-keys | FileCheck %s

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
!acc = !tile.tile<24x64xf32>
!rows = !tile.tile<24xf32>

// CHECK-LABEL: func @full
// CHECK-SAME: (%[[Q:[^:]*]]: memref<?x64xf32>, %[[K:[^:]*]]: memref<?x64xf32>, %[[V:[^:]*]]: memref<?x64xf32>, %[[A:[^:]*]]: !tile.tile<24x64xf32>, %[[M:[^:]*]]: !tile.tile<24xf32>, %[[L:[^:]*]]: !tile.tile<24xf32>, %[[B:[^:]*]]: index, %[[I0:[^:]*]]: index, %[[SQ:[^:]*]]: index, %[[SK:[^:]*]]: index)
func.func @full(%q: memref<?x64xf32>, %k: memref<?x64xf32>, %v: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows,
                %b: index, %i0: index, %sq: index, %sk: index) -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: %[[COUNT:.*]] = memref.dim %[[K]], %{{.*}}
  // CHECK: %[[LOOP:.*]]:3 = scf.for %[[J:.*]] = %{{.*}} to %[[COUNT]] step %[[KEYS:.*]] iter_args(%[[AT:.*]] = %[[A]], %[[MT:.*]] = %[[M]], %[[LT:.*]] = %[[L]])
  // CHECK:   %[[LEFT:.*]] = arith.subi %[[COUNT]], %[[J]]
  // CHECK:   %[[N:.*]] = arith.minsi %[[LEFT]], %[[KEYS]]
  // CHECK:   %[[KT:.*]] = memref.subview %[[K]][%[[J]], 0] [%[[N]], 64] [1, 1]
  // CHECK:   %[[VT:.*]] = memref.subview %[[V]][%[[J]], 0] [%[[N]], 64] [1, 1]
  // CHECK:   %[[ONLINE:.*]], %[[M1:.*]], %[[L1:.*]] = attn.online ins(%[[Q]], %[[KT]], %[[VT]] :
  // CHECK-SAME: state(%[[AT]], %[[MT]], %[[LT]] :
  // CHECK-SAME: masks [#attn.bounds]
  // CHECK-SAME: position(%[[B]], %[[B]], %[[I0]], %[[J]], %[[SQ]], %[[SK]])
  // CHECK:   scf.yield %[[ONLINE]], %[[M1]], %[[L1]]
  // CHECK: return %[[LOOP]]#0, %[[LOOP]]#1, %[[LOOP]]#2
  %0:3 = attn.online ins(%q, %k, %v : memref<?x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     position(%b, %b, %i0, %c0, %sq, %sk) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// Keys beyond the diagonal of the last row, rounded up to the granule, cost nothing.
// CHECK-LABEL: func @causal
// CHECK-SAME: (%{{.*}}, %[[I0:[^:]*]]: index, %[[SQ:[^:]*]]: index, %[[SK:[^:]*]]: index)
func.func @causal(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows,
                  %i0: index, %sq: index, %sk: index) -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: %[[I1:.*]] = arith.addi %[[I0]], %c24
  // CHECK: %[[OFFSET:.*]] = arith.subi %[[SK]], %[[SQ]]
  // CHECK: %[[END:.*]] = arith.addi %[[I1]], %[[OFFSET]]
  // CHECK: %[[AT_MOST:.*]] = arith.minsi %[[END]], %[[COUNT:.*]] : index
  // CHECK: %[[AT_LEAST:.*]] = arith.maxsi %[[AT_MOST]], %{{.*}}
  // CHECK: %[[UP:.*]] = arith.addi %[[AT_LEAST]], %c63
  // CHECK: %[[GRANULES:.*]] = arith.divui %[[UP]], %c64
  // CHECK: %[[ROUNDED:.*]] = arith.muli %[[GRANULES]], %c64
  // CHECK: %[[HI:.*]] = arith.minsi %[[ROUNDED]], %[[COUNT]]
  // CHECK: scf.for %{{.*}} = %{{.*}} to %[[HI]] step
  // CHECK: masks [#attn.causal<bottom_right>, #attn.bounds]
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) masks [#attn.causal<bottom_right>]
                     position(%c0, %c0, %i0, %c0, %sq, %sk) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// A static number of keys that is a multiple of the tile leaves whole tiles. The window's left end is where the loop begins.
// CHECK-LABEL: func @window
func.func @window(%q: memref<24x64xf32>, %k: memref<1024x64xf32>, %acc: !acc, %max: !rows, %sum: !rows,
                  %i0: index, %sq: index, %sk: index) -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: %[[LEFT:.*]] = arith.addi %{{.*}}, %c-127
  // CHECK: %[[AT_MOST:.*]] = arith.minsi %[[LEFT]], %{{.*}}
  // CHECK: %[[AT_LEAST:.*]] = arith.maxsi %[[AT_MOST]], %{{.*}}
  // CHECK: %[[GRANULES:.*]] = arith.divui %[[AT_LEAST]], %c64
  // CHECK: %[[LO:.*]] = arith.muli %[[GRANULES]], %c64
  // CHECK: scf.for %{{.*}} = %[[LO]] to %c1024{{.*}} step
  // CHECK: masks [#attn.window<127, -1, top_left>, #attn.bounds]
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<1024x64xf32>, memref<1024x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) masks [#attn.window<127, -1, top_left>]
                     position(%c0, %c0, %i0, %c0, %sq, %sk) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// CHECK-LABEL: func @static
func.func @static(%q: memref<24x64xf32>, %k: memref<1024x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index)
    -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: scf.for %[[J:.*]] = %{{.*}} to %c1024{{.*}} step %c512
  // CHECK-NEXT: memref.subview %{{.*}}[%[[J]], 0] [512, 64] [1, 1]
  // CHECK-NEXT: memref.subview
  // CHECK-NEXT: attn.online
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<1024x64xf32>, memref<1024x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// Which tiles segments leave empty is known only from their values: a step asks first.
// CHECK-LABEL: func @segments
func.func @segments(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows,
                    %p: index, %qs: memref<?x?xi32>, %ks: memref<?x?xi32>) -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: scf.for {{.*}} iter_args(%[[A:.*]] = %{{.*}}, %[[M:.*]] = %{{.*}}, %[[L:.*]] = %{{.*}}) -> (!tile.tile
  // CHECK:   %[[EMPTY:.*]] = arith.ori
  // CHECK:   %[[IF:.*]]:3 = scf.if %[[EMPTY]]
  // CHECK:     scf.yield %[[A]], %[[M]], %[[L]]
  // CHECK:   } else {
  // CHECK:     attn.online {{.*}} masks [#attn.segments, #attn.bounds]
  // CHECK:   scf.yield %[[IF]]#0, %[[IF]]#1, %[[IF]]#2
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     masks [#attn.segments] (%qs, %ks : memref<?x?xi32>, memref<?x?xi32>)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

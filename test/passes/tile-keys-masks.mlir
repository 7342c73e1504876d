// RUN: flash-opt %s --tile-keys --decompose-online --canonicalize --cse | FileCheck %s

// What each mask leaves of the keys, and which scores it keeps.

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
!acc = !tile.tile<24x64xf32>
!rows = !tile.tile<24xf32>

// CHECK-LABEL: func @window
// CHECK-SAME: %[[I0:[^ ]*]]: index, %[[SQ:[^ ]*]]: index, %[[SK:[^ ]*]]: index)
func.func @window(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %i0: index,
                  %sq: index, %sk: index) -> !acc {
  %c0 = arith.constant 0 : index
  // CHECK: %[[OFFSET:.*]] = arith.subi %[[SK]], %[[SQ]]
  // CHECK: %[[FIRST:.*]] = arith.addi %[[I0]], %[[OFFSET]]
  // CHECK: %[[END:.*]] = arith.addi %{{.*}}, %[[OFFSET]]
  // CHECK: arith.addi %[[FIRST]], %c-100
  // CHECK: arith.addi %[[END]], %c7
  // CHECK: scf.for
  // CHECK: tile.map
  // CHECK-NEXT: ^bb0(%{{.*}}: f32, %[[I:.*]]: index, %[[J:.*]]: index):
  // CHECK-NEXT: %[[D:.*]] = arith.addi %[[I]], %[[OFFSET]]
  // CHECK-NEXT: %[[LEFT:.*]] = arith.addi %[[D]], %c-100
  // CHECK-NEXT: arith.cmpi sge, %[[J]], %[[LEFT]]
  // CHECK-NEXT: %[[RIGHT:.*]] = arith.addi %[[D]], %c7
  // CHECK-NEXT: arith.cmpi sle, %[[J]], %[[RIGHT]]
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) masks [#attn.window<100, 7, bottom_right>]
                     position(%c0, %c0, %i0, %c0, %sq, %sk) {scale = 0.125, tiles = #tiles}
  return %0#0 : !acc
}

// CHECK-LABEL: func @key_lengths
// CHECK-SAME: %[[LENGTHS:[^ ]*]]: memref<?xi32>)
func.func @key_lengths(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index,
                       %lengths: memref<?xi32>) -> !acc {
  %c0 = arith.constant 0 : index
  // CHECK: %[[LENGTH:.*]] = memref.load %[[LENGTHS]]
  // CHECK: %[[KEYS:.*]] = arith.index_cast %[[LENGTH]]
  // CHECK: arith.minsi %[[KEYS]], %{{.*}}
  // CHECK: scf.for
  // CHECK: %[[AGAIN:.*]] = memref.load %[[LENGTHS]]
  // CHECK: %[[KEYS_AGAIN:.*]] = arith.index_cast %[[AGAIN]]
  // CHECK: tile.map
  // CHECK-NEXT: ^bb0(%{{.*}}: f32, %{{.*}}: index, %[[J:.*]]: index):
  // CHECK-NEXT: arith.cmpi slt, %[[J]], %[[KEYS_AGAIN]]
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) masks [#attn.key_lengths] (%lengths : memref<?xi32>)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0 : !acc
}

// CHECK-LABEL: func @prefix_lm
// CHECK-SAME: %[[I0:[^ ]*]]: index, %[[PREFIX:[^ ]*]]: memref<?xi64>)
func.func @prefix_lm(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %i0: index,
                     %prefix: memref<?xi64>) -> !acc {
  %c0 = arith.constant 0 : index
  // CHECK: %[[END:.*]] = arith.addi %[[I0]], %c24
  // CHECK: memref.load %[[PREFIX]]
  // CHECK: %[[LENGTH:.*]] = arith.index_cast
  // CHECK: arith.maxsi %[[LENGTH]], %[[END]]
  // CHECK: scf.for
  // CHECK: tile.map
  // CHECK-NEXT: ^bb0(%{{.*}}: f32, %[[I:.*]]: index, %[[J:.*]]: index):
  // CHECK-NEXT: %[[NEXT:.*]] = arith.addi %[[I]], %c1
  // CHECK-NEXT: %[[LAST:.*]] = arith.maxsi %{{.*}}, %[[NEXT]]
  // CHECK-NEXT: arith.cmpi slt, %[[J]], %[[LAST]]
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     masks [#attn.prefix_lm<top_left>] (%prefix : memref<?xi64>)
                     position(%c0, %c0, %i0, %c0, %i0, %i0) {scale = 0.125, tiles = #tiles}
  return %0#0 : !acc
}

// Rows of a boolean tensor are read until one attends a key of the tile. Broadcast dimensions are index 0, the others are clamped.
// CHECK-LABEL: func @tensor
// CHECK-SAME: %[[MASK:[^ ]*]]: memref<1x?x?x?xi8>)
func.func @tensor(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index,
                  %mask: memref<1x?x?x?xi8>) -> !acc {
  %c0 = arith.constant 0 : index
  // CHECK: scf.for
  // CHECK:   %[[ANY:.*]] = scf.for {{.*}} iter_args(%[[FOUND:.*]] = %false) -> (i1)
  // CHECK:     scf.if %[[FOUND]] -> (i1)
  // CHECK:       scf.for
  // CHECK:         memref.load %[[MASK]][%c0, %{{.*}}, %{{.*}}, %{{.*}}]
  // CHECK:   scf.if %[[ANY]]
  // CHECK:   tile.map
  // CHECK-NEXT: ^bb0(%{{.*}}: f32, %[[I:.*]]: index, %[[J:.*]]: index):
  // CHECK-NEXT: %[[ROW:.*]] = arith.minsi %[[I]], %{{.*}}
  // CHECK-NEXT: %[[COLUMN:.*]] = arith.minsi %[[J]], %{{.*}}
  // CHECK-NEXT: %[[FLAG:.*]] = memref.load %[[MASK]][%c0, %{{.*}}, %[[ROW]], %[[COLUMN]]]
  // CHECK-NEXT: arith.cmpi ne, %[[FLAG]], %c0_i8
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) masks [#attn.tensor] (%mask : memref<1x?x?x?xi8>)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0 : !acc
}

// CHECK-LABEL: func @segments
// CHECK-SAME: %[[QUERIES:[^ ]*]]: memref<?x?xi32>, %[[KEYS:[^ ]*]]: memref<?x?xi32>)
func.func @segments(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index,
                    %qs: memref<?x?xi32>, %ks: memref<?x?xi32>) -> !acc {
  %c0 = arith.constant 0 : index
  // The least and the greatest segment of the block's rows, then the keys among them.
  // CHECK: %[[RANGE:.*]]:2 = scf.for
  // CHECK:   memref.load %[[QUERIES]]
  // CHECK: %[[FOUND:.*]]:3 = scf.for
  // CHECK:   %[[KEY:.*]] = memref.load %[[KEYS]]
  // CHECK:   arith.cmpi sge, %[[KEY]], %[[RANGE]]#0
  // CHECK:   arith.cmpi sle, %[[KEY]], %[[RANGE]]#1
  // CHECK: tile.map
  // CHECK: %[[QUERY:.*]] = memref.load %[[QUERIES]]
  // CHECK: %[[KEY1:.*]] = memref.load %[[KEYS]]
  // CHECK-NEXT: arith.cmpi eq, %[[QUERY]], %[[KEY1]]
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     masks [#attn.segments] (%qs, %ks : memref<?x?xi32>, memref<?x?xi32>)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0 : !acc
}

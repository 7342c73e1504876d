// RUN: flash-opt %s --tile-keys --split-masked-tiles | FileCheck %s --check-prefixes=CHECK,ONCE
// RUN: flash-opt %s --tile-keys --canonicalize --cse --split-masked-tiles | FileCheck %s
// RUN: flash-opt %s --tile-keys=mask-bounds=false --split-masked-tiles | FileCheck %s --check-prefix=EXTENT

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
!acc = !tile.tile<24x64xf32>
!rows = !tile.tile<24xf32>

// Without a mask, whole granules are full, and what is left over at the end is partial.
// Where tiles' extents say which keys exist there is nothing to split.
// CHECK-LABEL: func @full
// EXTENT-LABEL: func @full
// EXTENT: scf.for
// EXTENT-NOT: scf.for
// EXTENT-NOT: masks
// EXTENT: return
func.func @full(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index)
    -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: %[[COUNT:.*]] = memref.dim
  // CHECK: %[[GRANULES:.*]] = arith.divui %[[COUNT]], %c64
  // CHECK: %[[WHOLE:.*]] = arith.muli %[[GRANULES]], %c64
  // CHECK: %[[HI:.*]] = arith.maxsi %[[WHOLE]], %c0
  // CHECK: %[[FULL:.*]]:3 = scf.for %{{.*}} = %c0{{[_0-9]*}} to %[[HI]] step
  // CHECK:   attn.online
  // CHECK-NOT: masks
  // CHECK:   scf.yield
  // CHECK: %[[REST:.*]]:3 = scf.for %{{.*}} = %[[HI]] to %[[COUNT]] {{.*}} iter_args(%{{.*}} = %[[FULL]]#0, %{{.*}} = %[[FULL]]#1, %{{.*}} = %[[FULL]]#2)
  // CHECK:   attn.online {{.*}} masks [#attn.bounds]
  // Less than a granule is left.
  // CHECK: } {flashc.one_turn}
  // CHECK: return %[[REST]]#0, %[[REST]]#1, %[[REST]]#2
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// A static number of whole granules needs no partial loop.
// CHECK-LABEL: func @static
func.func @static(%q: memref<24x64xf32>, %k: memref<1024x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index)
    -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: scf.for
  // CHECK-NOT: scf.for
  // CHECK-NOT: masks
  // CHECK: return
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<1024x64xf32>, memref<1024x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// Under a diagonal the first keys are full: two loops, both of several turns. Without the bounds, keys that end where all keys end are full, too.
// CHECK-LABEL: func @causal
// EXTENT-LABEL: func @causal(
// EXTENT: %[[COUNT:.*]] = memref.dim
// EXTENT: %[[IS_END:.*]] = arith.cmpi eq, %[[END:.*]], %[[HI:[^ ]*]] : index
// EXTENT: arith.select %[[IS_END]], %[[END]], %{{.*}} : index
// EXTENT: scf.for
// EXTENT: scf.for %{{.*}} to %[[HI]] step
// EXTENT: masks [#attn.causal<top_left>] position
func.func @causal(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %i0: index,
                  %sq: index, %sk: index) -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: scf.for %{{.*}} = %c0{{[_0-9]*}} to %[[MIDDLE:.*]] step
  // CHECK: attn.online
  // CHECK-NOT: masks
  // CHECK: scf.for %{{.*}} = %[[MIDDLE]] to %{{.*}} step
  // CHECK: attn.online {{.*}} masks [#attn.causal<top_left>, #attn.bounds]
  // CHECK-NOT: scf.for
  // CHECK: return
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) masks [#attn.causal<top_left>]
                     position(%c0, %c0, %i0, %c0, %sq, %sk) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// A window has two ends: three loops. All masks stay together in the partial ones; a bias and a score function stay everywhere.
// CHECK-LABEL: func @window
func.func @window(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %i0: index,
                  %sq: index, %sk: index, %bias: memref<1x1x?x?xf32>, %lengths: memref<?xi64>)
    -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: scf.for %{{.*}} = %[[LO:.*]] to %[[FULL_LO:.*]] step
  // CHECK: attn.online {{.*}} masks [#attn.window<127, 0, bottom_right>, #attn.key_lengths, #attn.bounds] (%{{.*}} : memref<?xi64>) bias
  // CHECK: arith.negf
  // CHECK: scf.for %{{.*}} = %[[FULL_LO]] to %[[FULL_HI:.*]] step
  // CHECK: attn.online
  // CHECK-NOT: masks
  // CHECK-SAME: bias
  // CHECK: arith.negf
  // CHECK: scf.for %{{.*}} = %[[FULL_HI]] to %[[HI:.*]] step
  // CHECK: attn.online {{.*}} masks [#attn.window<127, 0, bottom_right>, #attn.key_lengths, #attn.bounds] (%{{.*}} : memref<?xi64>) bias
  // CHECK: return
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     masks [#attn.window<127, 0, bottom_right>, #attn.key_lengths] (%lengths : memref<?xi64>)
                     bias(%bias : memref<1x1x?x?xf32>) position(%c0, %c0, %i0, %c0, %sq, %sk) score {
                     ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
                       %y = arith.negf %s : f32
                       attn.yield %y : f32
                     } {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// Any element of a boolean tensor may be false: nothing is known to be full, the loop stays.
// CHECK-LABEL: func @tensor
func.func @tensor(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index,
                  %mask: memref<1x1x?x?xi1>) -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: scf.for
  // CHECK: attn.online {{.*}} masks [#attn.causal<top_left>, #attn.tensor, #attn.bounds]
  // CHECK-NOT: scf.for
  // CHECK: return
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     masks [#attn.causal<top_left>, #attn.tensor] (%mask : memref<1x1x?x?xi1>)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// Which keys the flags leave is found once, in one pass over them; where they are consecutive, they are full.
// CHECK-LABEL: func @key_padding
func.func @key_padding(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index,
                       %flags: memref<?x?xi1>) -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: %[[FOUND:.*]]:3 = scf.for %[[J:.*]] = %{{.*}} to %{{.*}} step
  // CHECK:   memref.load %{{.*}}[%{{.*}}, %[[J]]] : memref<?x?xi1>
  // CHECK: arith.subi %[[FOUND]]#1, %[[FOUND]]#0
  // ONCE-NOT: memref.load
  // CHECK: attn.online {{.*}} masks [#attn.key_padding, #attn.bounds]
  // CHECK: attn.online {{.*}}) position
  // CHECK: attn.online {{.*}} masks [#attn.key_padding, #attn.bounds]
  // CHECK: return
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     masks [#attn.key_padding] (%flags : memref<?x?xi1>)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// Only partial tiles are asked whether segments leave them empty.
// CHECK-LABEL: func @segments
func.func @segments(%q: memref<24x64xf32>, %k: memref<?x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index,
                    %qs: memref<?x?xi32>, %ks: memref<?x?xi32>) -> (!acc, !rows, !rows) {
  %c0 = arith.constant 0 : index
  // CHECK: scf.if
  // CHECK: attn.online {{.*}} masks [#attn.segments, #attn.bounds]
  // CHECK: scf.for
  // CHECK-NOT: scf.if
  // CHECK: attn.online {{.*}}) position
  // CHECK: scf.for
  // CHECK: scf.if
  // CHECK: attn.online {{.*}} masks [#attn.segments, #attn.bounds]
  // CHECK: return
  %0:3 = attn.online ins(%q, %k, %k : memref<24x64xf32>, memref<?x64xf32>, memref<?x64xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     masks [#attn.segments] (%qs, %ks : memref<?x?xi32>, memref<?x?xi32>)
                     position(%p, %p, %p, %c0, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// A loop that does more than carry the state through the step is not one that tile-keys made, and stays.
// CHECK-LABEL: func @other_loop
func.func @other_loop(%q: memref<24x64xf32>, %k: memref<1024x64xf32>, %acc: !acc, %max: !rows, %sum: !rows, %p: index,
                      %log: memref<?xindex>) -> !acc {
  %c0 = arith.constant 0 : index
  %c512 = arith.constant 512 : index
  %c1024 = arith.constant 1024 : index
  // CHECK: attn.online {{.*}} masks [#attn.bounds]
  // CHECK: memref.store
  // CHECK: attn.online {{.*}} masks [#attn.bounds]
  // CHECK: return
  %0:3 = scf.for %j = %c0 to %c1024 step %c512 iter_args(%a = %acc, %m = %max, %l = %sum) -> (!acc, !rows, !rows) {
    %t = memref.subview %k[%j, 0] [512, 64] [1, 1] : memref<1024x64xf32> to memref<512x64xf32, strided<[64, 1], offset: ?>>
    %1:3 = attn.online ins(%q, %t, %t : memref<24x64xf32>, memref<512x64xf32, strided<[64, 1], offset: ?>>, memref<512x64xf32, strided<[64, 1], offset: ?>>)
                       state(%a, %m, %l : !acc, !rows, !rows) masks [#attn.bounds]
                       position(%p, %p, %p, %j, %p, %p) {scale = 0.125, tiles = #tiles}
    memref.store %j, %log[%j] : memref<?xindex>
    scf.yield %1#0, %1#1, %1#2 : !acc, !rows, !rows
  }
  %2:3 = scf.for %j = %c0 to %c1024 step %c512 iter_args(%a = %0#0, %m = %0#1, %l = %0#2) -> (!acc, !rows, !rows) {
    %t = memref.subview %k[%j, 0] [512, 64] [1, 1] : memref<1024x64xf32> to memref<512x64xf32, strided<[64, 1], offset: ?>>
    %1:3 = attn.online ins(%q, %t, %t : memref<24x64xf32>, memref<512x64xf32, strided<[64, 1], offset: ?>>, memref<512x64xf32, strided<[64, 1], offset: ?>>)
                       state(%a, %l, %m : !acc, !rows, !rows) masks [#attn.bounds]
                       position(%p, %p, %p, %j, %p, %p) {scale = 0.125, tiles = #tiles}
    scf.yield %1#0, %1#1, %1#2 : !acc, !rows, !rows
  }
  return %2#0 : !acc
}

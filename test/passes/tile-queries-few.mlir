// RUN: flash-opt %s --tile-queries --canonicalize --cse | FileCheck %s
// RUN: flash-opt %s --tile-queries --tile-queries --canonicalize --cse | FileCheck %s
// RUN: flash-opt %s --tile-queries=divide-heads --canonicalize --cse | FileCheck %s --check-prefix=DIVIDE
// RUN: flash-opt %s --tile-queries=divide-heads --tile-queries=divide-heads --canonicalize --cse | FileCheck %s --check-prefix=DIVIDE

#few = #attn.tiles<queries = 16, keys = 256, granule = 64, compute = f32, split = 2048>
#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32, few = #few>

// Which form it is is asked at run time. Heads of a group are rows, and keys are divided among tasks.
// CHECK-LABEL: func @dynamic
// CHECK-SAME: (%[[Q:[^:]*]]: memref<?x?x?x64xbf16>, %[[K:[^:]*]]: memref<?x?x?x64xbf16>, %[[OUT:[^:]*]]: memref<?x?x?x64xbf16>, %[[LSE:[^:]*]]: memref<?x?x?xf32>)
func.func @dynamic(%q: memref<?x?x?x64xbf16>, %k: memref<?x?x?x64xbf16>, %out: memref<?x?x?x64xbf16>, %lse: memref<?x?x?xf32>) {
  // CHECK: %[[RATIO:.*]] = arith.divui
  // CHECK: %[[GROUP:.*]] = arith.maxsi %[[RATIO]]
  // CHECK: %[[ROWS:.*]] = arith.muli %[[GROUP]]
  // CHECK: %[[LAST:.*]] = arith.subi %[[ROWS]], %c1
  // CHECK: %[[FEW:.*]] = arith.cmpi ult, %[[LAST]], %c16
  // CHECK: scf.if %[[FEW]]
  // CHECK:   %[[SPLITS:.*]] = arith.maxsi
  // CHECK:   %[[PARTLSE:.*]] = memref.alloc(%[[SPLITS]], {{.*}}) {alignment = 64 : i64} : memref<?x?x?x?xf32>
  // CHECK:   %[[PARTS:.*]] = memref.alloc(%[[SPLITS]], {{.*}}) {alignment = 64 : i64} : memref<?x?x?x?x64xf32>
  // CHECK:   %[[SINGLE:.*]] = arith.cmpi eq, %[[SPLITS]], %c1
  // CHECK:   scf.forall (%[[B:.*]], %[[KH:.*]], %[[S:.*]]) in (%{{.*}}, %{{.*}}, %[[SPLITS]])
  // CHECK:     %[[HEAD:.*]] = arith.muli %[[KH]], %[[GROUP]]
  // CHECK:     %[[FIRST:.*]] = arith.muli %[[S]], %c2048
  // CHECK:     %[[COUNT:.*]] = arith.minsi
  // CHECK:     memref.subview %[[Q]][%[[B]], %[[HEAD]], 0, 0] [1, %[[GROUP]], %{{.*}}, 64]
  // CHECK:     memref.subview %[[K]][%[[B]], %[[KH]], %[[FIRST]], 0] [1, 1, %[[COUNT]], 64]
  // CHECK:     memref.subview %[[PARTS]][%[[S]], %[[B]], %[[HEAD]], 0, 0] [1, 1, %[[GROUP]], %{{.*}}, 64]
  // CHECK:     memref.subview %[[PARTLSE]][%[[S]], %[[B]], %[[HEAD]], 0]
  // CHECK:     attn.sdpa
  // CHECK-SAME: masks [#attn.causal<bottom_right>]
  // CHECK-SAME: position(%[[B]], %[[HEAD]], %c0{{.*}}, %[[FIRST]],
  // CHECK-SAME: tiles = #attn.tiles<queries = 16, keys = 256, granule = 64, compute = f32, split = 2048>
  // A single part only has to be put in its place.
  // CHECK:     scf.if %[[SINGLE]]
  // CHECK:       attn.merge_splits
  // CHECK:   %[[ENTRIES:.*]] = arith.select %[[SINGLE]], %c0{{.*}}, %{{.*}} : index
  // CHECK:   scf.forall (%[[MB:.*]], %[[MKH:.*]]) in (%[[ENTRIES]], %{{.*}})
  // CHECK:     memref.subview %[[PARTS]][0, %[[MB]], %{{.*}}, 0, 0] [%[[SPLITS]], 1, %[[GROUP]], %{{.*}}, 64]
  // CHECK:     attn.merge_splits
  // CHECK: } else {
  // CHECK:   scf.forall
  // CHECK:     attn.sdpa
  // CHECK-SAME: tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
  attn.sdpa ins(%q, %k, %k : memref<?x?x?x64xbf16>, memref<?x?x?x64xbf16>, memref<?x?x?x64xbf16>)
            outs(%out, %lse : memref<?x?x?x64xbf16>, memref<?x?x?xf32>) masks [#attn.causal<bottom_right>] {tiles = #tiles}
  return
}

// Sizes that are known decide now; one split needs no parts.
// CHECK-LABEL: func @one_split
// CHECK-SAME: (%[[Q:[^:]*]]: memref<2x8x2x64xf32>
func.func @one_split(%q: memref<2x8x2x64xf32>, %k: memref<2x1x300x64xf32>) {
  // CHECK-NOT: scf.if
  // CHECK-NOT: memref.alloc
  // CHECK: scf.forall (%[[B:.*]]) in (2)
  // CHECK:   memref.subview %[[Q]][%[[B]], 0, 0, 0] [1, 8, 2, 64]
  // CHECK-NOT: attn.merge_splits
  // CHECK: return
  attn.sdpa ins(%q, %k, %k : memref<2x8x2x64xf32>, memref<2x1x300x64xf32>, memref<2x1x300x64xf32>)
            outs(%q : memref<2x8x2x64xf32>) {tiles = #tiles}
  return
}

// CHECK-LABEL: func @many_rows
func.func @many_rows(%q: memref<2x8x3x64xf32>, %k: memref<2x1x300x64xf32>) {
  // CHECK-NOT: scf.if
  // CHECK: scf.forall (%{{.*}}, %{{.*}}) in (2, 8)
  // CHECK-NOT: split
  // CHECK: return
  attn.sdpa ins(%q, %k, %k : memref<2x8x3x64xf32>, memref<2x1x300x64xf32>, memref<2x1x300x64xf32>)
            outs(%q : memref<2x8x3x64xf32>) {tiles = #tiles}
  return
}

// Where heads are divided, three rows of eight heads are a tile of five heads and one of three, which follow each other.
// DIVIDE-LABEL: func @divided
// DIVIDE-SAME: (%[[Q:[^:]*]]: memref<2x16x3x64xf32>, %[[K:[^:]*]]: memref<2x2x300x64xf32>
// DIVIDE-NOT: scf.if
// DIVIDE: scf.forall (%[[B:.*]], %[[KH:.*]], %[[PART:.*]]) in (2, 2, 2)
// DIVIDE:   %[[OF:.*]] = arith.muli %[[KH]], %c8
// DIVIDE:   %[[BEFORE:.*]] = arith.muli %[[PART]], %c5
// DIVIDE:   %[[HEAD:.*]] = arith.addi %[[OF]], %[[BEFORE]]
// DIVIDE:   %[[LEFT:.*]] = arith.subi %c8{{.*}}, %[[BEFORE]]
// DIVIDE:   %[[COUNT:.*]] = arith.minsi %[[LEFT]], %c5
// DIVIDE:   memref.subview %[[Q]][%[[B]], %[[HEAD]], 0, 0] [1, %[[COUNT]], 3, 64]
// DIVIDE:   memref.subview %[[K]][%[[B]], %[[KH]], 0, 0] [1, 1, 300, 64]
// DIVIDE:   position(%[[B]], %[[HEAD]],
// DIVIDE-NOT: scf.forall
// DIVIDE: return
func.func @divided(%q: memref<2x16x3x64xf32>, %k: memref<2x2x300x64xf32>) {
  attn.sdpa ins(%q, %k, %k : memref<2x16x3x64xf32>, memref<2x2x300x64xf32>, memref<2x2x300x64xf32>)
            outs(%q : memref<2x16x3x64xf32>) {tiles = #tiles}
  return
}

// Parts of heads are merged as they are computed, and more rows of one head than a tile has are not few.
// DIVIDE-LABEL: func @divided_splits
// DIVIDE-SAME: (%[[Q:[^:]*]]: memref<1x?x?x64xf32>
// DIVIDE: %[[LAST:.*]] = arith.subi %{{.*}}, %c1
// DIVIDE: %[[FEW:.*]] = arith.cmpi ult, %[[LAST]], %c16
// DIVIDE: scf.if %[[FEW]]
// DIVIDE:   scf.forall (%{{.*}}, %[[S:.*]], %{{.*}}) in (%{{.*}}, %{{.*}}, %[[PARTS:.*]])
// DIVIDE:     memref.subview %[[Q]][0, %[[HEAD:.*]], 0, 0] [1, %[[COUNT:.*]], %{{.*}}, 64]
// DIVIDE:     attn.merge_splits
// DIVIDE:   scf.forall (%{{.*}}, %{{.*}}, %[[PART:.*]]) in (%{{.*}}, %{{.*}}, %[[PARTS]])
// DIVIDE:     arith.muli %[[PART]]
// DIVIDE:     attn.merge_splits
// DIVIDE: } else {
func.func @divided_splits(%q: memref<1x?x?x64xf32>, %k: memref<1x?x?x64xf32>) {
  attn.sdpa ins(%q, %k, %k : memref<1x?x?x64xf32>, memref<1x?x?x64xf32>, memref<1x?x?x64xf32>)
            outs(%q : memref<1x?x?x64xf32>) {tiles = #tiles}
  return
}

// Parts need memory, which a loop has none of.
// CHECK-LABEL: func @inside_a_loop
func.func @inside_a_loop(%q: memref<2x8x?x64xf32>, %k: memref<2x1x?x64xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // CHECK: scf.for
  scf.for %i = %c0 to %n step %c1 {
    // CHECK-NOT: scf.if
    // CHECK: scf.forall
    attn.sdpa ins(%q, %k, %k : memref<2x8x?x64xf32>, memref<2x1x?x64xf32>, memref<2x1x?x64xf32>)
              outs(%q : memref<2x8x?x64xf32>) {tiles = #tiles}
  }
  return
}

// More than 16 rows are few over many keys only.
#wide_few = #attn.tiles<queries = 32, keys = 256, granule = 64, compute = f32, split = 2048>
#wide = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32, few = #wide_few>

// CHECK-LABEL: func @wide
func.func @wide(%q: memref<1x8x?x64xf32>, %k: memref<1x1x?x64xf32>) {
  // CHECK-DAG: %[[ROWS:.*]] = arith.muli %{{.*}}, %c8
  // CHECK-DAG: %[[LAST:.*]] = arith.subi %[[ROWS]], %c1
  // CHECK-DAG: %[[ANY:.*]] = arith.cmpi ult, %[[LAST]], %c16
  // CHECK-DAG: %[[MORE:.*]] = arith.cmpi ult, %[[LAST]], %c32
  // CHECK-DAG: %[[MANY:.*]] = arith.cmpi sge, %{{.*}}, %c512
  // CHECK: %[[BOTH:.*]] = arith.andi %[[MORE]], %[[MANY]]
  // CHECK: %[[FEW:.*]] = arith.ori %[[ANY]], %[[BOTH]]
  // CHECK: scf.if %[[FEW]]
  attn.sdpa ins(%q, %k, %k : memref<1x8x?x64xf32>, memref<1x1x?x64xf32>, memref<1x1x?x64xf32>)
            outs(%q : memref<1x8x?x64xf32>) {tiles = #wide}
  return
}

// What is known is decided now.
// CHECK-LABEL: func @known
// CHECK-NOT: scf.if
// CHECK: tiles = #attn.tiles<queries = 24,
func.func @known(%q: memref<1x8x4x64xf32>, %k: memref<1x1x300x64xf32>) {
  attn.sdpa ins(%q, %k, %k : memref<1x8x4x64xf32>, memref<1x1x300x64xf32>, memref<1x1x300x64xf32>)
            outs(%q : memref<1x8x4x64xf32>) {tiles = #wide}
  return
}

// RUN: flash-opt %s --make-persistent=cache-bytes=1048576 --canonicalize --cse | FileCheck %s -enable-var-scope

#acc = #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 4, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#rhs = #tile.shared<panel = 128>

// As many blocks as there are multiprocessors, or items where that is not known; in a section of heads, block by block.
// CHECK-LABEL: func.func @attend(
// CHECK-SAME: %[[KEYS:[^ ]*]]: memref<?x?x?x64xbf16>
// CHECK-DAG: %[[BATCH:.*]] = arith.maxsi %arg4
// CHECK-DAG: %[[HEADS:.*]] = arith.maxsi %arg5
// CHECK-DAG: %[[BLOCKS:.*]] = arith.maxsi %arg6
// CHECK-DAG: %[[ALL:.*]] = arith.muli %[[BATCH]], %[[HEADS]]
// CHECK-DAG: %[[TOTAL:.*]] = arith.muli %[[ALL]], %[[BLOCKS]]
// CHECK-DAG: %[[BYTES:.*]] = arith.muli %{{.*}}, %c128 : index
// CHECK-DAG: %[[FIT:.*]] = arith.divui %c1048576, %{{.*}} : index
// CHECK-DAG: %[[UNITS:.*]] = tile.multiprocessors
// CHECK-DAG: %[[UNKNOWN:.*]] = arith.cmpi eq, %[[UNITS]], %c0
// CHECK-DAG: %[[MOST:.*]] = arith.minsi %[[TOTAL]], %[[UNITS]]
// CHECK: %[[N:.*]] = arith.select %[[UNKNOWN]], %[[TOTAL]], %[[MOST]]
// CHECK: scf.forall (%[[FIRST:.*]]) in (%[[N]]) {
// CHECK: scf.for %[[ITEM:.*]] = %[[FIRST]] to %[[TOTAL]] step %[[N]] {
// CHECK-DAG: %[[ITEM32:.*]] = arith.index_castui %[[ITEM]] : index to i32
// CHECK-DAG: %[[ALL32:.*]] = arith.index_castui %[[ALL]] : index to i32
// CHECK: %[[SECTION:.*]] = arith.divui %[[ITEM32]], %[[ITEMS:.*]] : i32
// CHECK: %[[START:.*]] = arith.muli %[[SECTION]], %[[SIZE:.*]] : i32
// CHECK: %[[INSIDE:.*]] = arith.remui %[[ITEM32]], %[[ITEMS]] : i32
// CHECK: %[[LEFT:.*]] = arith.subi %[[ALL32]], %[[START]]
// CHECK: %[[LEAST:.*]] = arith.minui %[[SIZE]], %[[LEFT]]
// CHECK: %[[WIDTH:.*]] = arith.maxui %[[LEAST]], %c1_i32
// CHECK: %[[I32:.*]] = arith.divui %[[INSIDE]], %[[WIDTH]]
// CHECK: %[[HEAD:.*]] = arith.remui %[[INSIDE]], %[[WIDTH]]
// CHECK: %[[AT:.*]] = arith.addi %[[HEAD]], %[[START]]
// CHECK: %[[H32:.*]] = arith.remui %[[AT]], %{{.*}} : i32
// CHECK: %[[B32:.*]] = arith.divui %[[AT]], %{{.*}} : i32
// CHECK-DAG: %[[B:.*]] = arith.index_castui %[[B32]]
// CHECK-DAG: %[[H:.*]] = arith.index_castui %[[H32]]
// CHECK-DAG: %[[I:.*]] = arith.index_castui %[[I32]]
// CHECK: tile.load %{{.*}}[%[[B]], %[[H]],
// CHECK: tile.store %{{.*}}[%[[I]],
// CHECK: } {flashc.threads = 128 : i64}
func.func @attend(%q: !tile.tile<64x64xbf16, #lhs>, %keys: memref<?x?x?x64xbf16>, %none: !tile.tile<64x64xf32, #acc>,
                  %out: memref<?x64xf32>, %batch: index, %heads: index, %blocks: index, %hi: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%b, %h, %i) in (%batch, %heads, %blocks) {
    %sums = scf.for %j = %z to %hi step %c64 iter_args(%sum = %none) -> (!tile.tile<64x64xf32, #acc>) {
      %k = tile.load %keys[%b, %h, %j, %z] : memref<?x?x?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
      %s = tile.dot %q, %k, %sum transposed : !tile.tile<64x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<64x64xf32, #acc>
      scf.yield %s : !tile.tile<64x64xf32, #acc>
    }
    tile.store %sums, %out[%i, %z] : !tile.tile<64x64xf32, #acc>, memref<?x64xf32>
  } {flashc.threads = 128 : i64}
  return
}

// What a producer has nothing to do with stays.
// CHECK-LABEL: func.func @other(
// CHECK-NOT: tile.multiprocessors
// CHECK: scf.forall (%{{.*}}, %{{.*}}) in (%{{.*}}, %{{.*}}) {
func.func @other(%x: memref<64x64xf32>, %v: !tile.tile<64x64xf32, #acc>, %n: index) {
  %z = arith.constant 0 : index
  scf.forall (%b, %i) in (%n, %n) {
    tile.store %v, %x[%z, %z] : !tile.tile<64x64xf32, #acc>, memref<64x64xf32>
  } {flashc.threads = 128 : i64}
  return
}

// RUN: flash-opt %s --hoist-branch-allocations --allow-unregistered-dialect | FileCheck %s

// One dynamic size of each allocation is 0 where its branch is not taken.
// CHECK-LABEL: func @two_forms
// CHECK-SAME: (%[[X:.*]]: memref<?x?xf32>, %[[SHORT:.*]]: i1)
func.func @two_forms(%x: memref<?x?xf32>, %short: i1) {
  // CHECK: %[[ROWS:.*]] = memref.dim %[[X]], %{{.*}}
  // CHECK: %[[THEN:.*]] = arith.select %[[SHORT]], %[[ROWS]], %c0{{.*}} : index
  // CHECK: %[[A:.*]] = memref.alloc(%[[THEN]]) : memref<?x64xf32>
  // CHECK: %[[TWICE:.*]] = arith.muli %{{.*}}, %{{.*}} : index
  // CHECK: %[[ELSE:.*]] = arith.select %[[SHORT]], %c0{{.*}}, %[[TWICE]] : index
  // CHECK: %[[B:.*]] = memref.alloc(%[[ELSE]], %{{.*}}) {alignment = 64 : i64} : memref<?x?xf32>
  // CHECK: scf.if %[[SHORT]]
  scf.if %short {
    %c0 = arith.constant 0 : index
    %rows = memref.dim %x, %c0 : memref<?x?xf32>
    %a = memref.alloc(%rows) : memref<?x64xf32>
    // What the branch knows of the size is not changed by it.
    // CHECK: "test.use"(%[[A]], %[[ROWS]])
    %size = memref.dim %a, %c0 : memref<?x64xf32>
    "test.use"(%a, %size) : (memref<?x64xf32>, index) -> ()
  } else {
    %c1 = arith.constant 1 : index
    %columns = memref.dim %x, %c1 : memref<?x?xf32>
    %twice = arith.muli %columns, %columns : index
    %b = memref.alloc(%twice, %columns) {alignment = 64 : i64} : memref<?x?xf32>
    // CHECK: "test.use"(%[[B]])
    "test.use"(%b) : (memref<?x?xf32>) -> ()
  }
  return
}

// A size that is read from memory, and memory of a loop, stay.
// CHECK-LABEL: func @stays
func.func @stays(%x: memref<?xindex>, %short: i1) {
  // CHECK: scf.if
  scf.if %short {
    %c0 = arith.constant 0 : index
    // CHECK: memref.load
    %n = memref.load %x[%c0] : memref<?xindex>
    // CHECK: memref.alloc
    %a = memref.alloc(%n) : memref<?xf32>
    "test.use"(%a) : (memref<?xf32>) -> ()
    scf.forall (%i) in (%n) {
      // CHECK: scf.forall
      // CHECK: memref.alloc
      %b = memref.alloc() : memref<4xf32>
      "test.use"(%b) : (memref<4xf32>) -> ()
    }
  }
  return
}

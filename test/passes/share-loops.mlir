// RUN: flash-opt %s --share-loops=least-operations=4 | FileCheck %s

// Nests that differ in what they take from outside: the outer loops are shared, and what is inside them with them.
// CHECK-LABEL: func @nests
// CHECK-SAME: (%[[X:.*]]: memref<?x8xf32>, %[[Y:.*]]: memref<?x8xf32>, %[[N:.*]]: index, %[[M:.*]]: index)
func.func @nests(%x: memref<?x8xf32>, %y: memref<?x8xf32>, %n: index, %m: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  // CHECK: call @nests_shared0(%[[N]], %[[X]]) : (index, memref<?x8xf32>) -> ()
  // CHECK: call @nests_shared0(%[[M]], %[[Y]]) : (index, memref<?x8xf32>) -> ()
  // CHECK-NOT: scf.for
  scf.for %i = %c0 to %n step %c1 {
    scf.for %j = %c0 to %c8 step %c1 {
      %v = memref.load %x[%i, %j] : memref<?x8xf32>
      %w = arith.addf %v, %v : f32
      memref.store %w, %x[%i, %j] : memref<?x8xf32>
    }
  }
  scf.for %i = %c0 to %m step %c1 {
    scf.for %j = %c0 to %c8 step %c1 {
      %v = memref.load %y[%i, %j] : memref<?x8xf32>
      %w = arith.addf %v, %v : f32
      memref.store %w, %y[%i, %j] : memref<?x8xf32>
    }
  }
  return
}
// Constants are the function's own.
// CHECK-LABEL: func private @nests_shared0
// CHECK-SAME: (%[[N:.*]]: index, %[[X:.*]]: memref<?x8xf32>) attributes {passthrough = ["noinline"]}
// CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
// CHECK-DAG: %[[C1:.*]] = arith.constant 1 : index
// CHECK-DAG: %[[C8:.*]] = arith.constant 8 : index
// CHECK: scf.for %{{.*}} = %[[C0]] to %[[N]] step %[[C1]]
// CHECK: scf.for %{{.*}} = %[[C0]] to %[[C8]] step %[[C1]]

// What one loop takes twice may be two values of another, and the other way round is another loop.
// CHECK-LABEL: func @values
// CHECK-SAME: (%[[X:.*]]: memref<?xf32>, %[[N:.*]]: index, %[[A:.*]]: f32, %[[B:.*]]: f32)
func.func @values(%x: memref<?xf32>, %n: index, %a: f32, %b: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // CHECK: call @values_shared0(%[[N]], %[[A]], %[[B]], %[[X]]) : (index, f32, f32, memref<?xf32>) -> ()
  scf.for %i = %c0 to %n step %c1 {
    %v = arith.mulf %a, %b : f32
    memref.store %v, %x[%i] : memref<?xf32>
  }
  // CHECK: call @values_shared0(%[[N]], %[[A]], %[[A]], %[[X]])
  scf.for %i = %c0 to %n step %c1 {
    %v = arith.mulf %a, %a : f32
    memref.store %v, %x[%i] : memref<?xf32>
  }
  return
}

// Loops with results stay.
// CHECK-LABEL: func @sums
// CHECK-COUNT-2: scf.for
// CHECK-NOT: shared
func.func @sums(%x: memref<?xf32>, %n: index, %a: f32) -> f32 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %s = scf.for %i = %c0 to %n step %c1 iter_args(%sum = %a) -> f32 {
    %v = memref.load %x[%i] : memref<?xf32>
    %t = arith.addf %sum, %v : f32
    scf.yield %t : f32
  }
  %t = scf.for %i = %c0 to %n step %c1 iter_args(%sum = %s) -> f32 {
    %v = memref.load %x[%i] : memref<?xf32>
    %t = arith.addf %sum, %v : f32
    scf.yield %t : f32
  }
  return %t : f32
}

// Other constants, other operations, one value in two places, and too little to share.
// CHECK-LABEL: func @others
// CHECK-COUNT-5: scf.for
// CHECK-NOT: shared
func.func @others(%x: memref<?xf32>, %n: index, %a: f32, %b: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  scf.for %i = %c0 to %n step %c1 {
    %v = arith.mulf %a, %a : f32
    memref.store %v, %x[%i] : memref<?xf32>
  }
  scf.for %i = %c0 to %n step %c2 {
    %v = arith.mulf %a, %a : f32
    memref.store %v, %x[%i] : memref<?xf32>
  }
  scf.for %i = %c0 to %n step %c1 {
    %v = arith.addf %a, %a : f32
    memref.store %v, %x[%i] : memref<?xf32>
  }
  scf.for %i = %c0 to %n step %c1 {
    memref.store %a, %x[%i] : memref<?xf32>
  }
  scf.for %i = %c0 to %n step %c1 {
    memref.store %b, %x[%i] : memref<?xf32>
  }
  return
}

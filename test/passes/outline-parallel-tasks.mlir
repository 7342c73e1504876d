// RUN: flash-opt %s --outline-parallel-tasks --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func @loop(
// CHECK-SAME:    %[[X:.*]]: memref<?x?xf32>, %[[B:.*]]: index, %[[S:.*]]: index, %[[HOST:.*]]: !llvm.ptr {flashc.host})
func.func @loop(%x: memref<?x?xf32>, %b: index, %s: index) {
  // The context, with the memref's descriptor, lives on the stack.
  // CHECK: %[[CONTEXT:.*]] = llvm.alloca %{{.*}} x !llvm.struct<(struct<(ptr, ptr, i64, array<2 x i64>, array<2 x i64>)>, i64)>
  // An empty range has no tasks, and a step rounds the count up.
  // CHECK: %[[NB:.*]] = arith.maxsi %[[B]], %c0
  // CHECK: %[[RANGE:.*]] = arith.ceildivsi %[[S]], %c24
  // CHECK: %[[NS:.*]] = arith.maxsi %[[RANGE]], %c0
  // CHECK: %[[COUNT:.*]] = arith.muli %[[NB]], %[[NS]]
  // CHECK: %[[COUNT64:.*]] = arith.index_cast %[[COUNT]] : index to i64
  // Without a host, with one worker or one task: here and now.
  // CHECK: %[[SOME:.*]] = llvm.icmp "ne" %[[HOST]]
  // CHECK: %[[SEVERAL:.*]] = arith.cmpi sgt, %[[COUNT]], %c1
  // CHECK: %[[BOTH:.*]] = arith.andi %[[SOME]], %[[SEVERAL]]
  // CHECK: %[[WORKERS:.*]] = scf.if %[[BOTH]] -> (i32)
  // CHECK: %[[PARALLEL:.*]] = arith.cmpi sgt, %[[WORKERS]], %c1_i32
  // CHECK: scf.if %[[PARALLEL]]
  // CHECK:   llvm.call %{{.*}}(%{{.*}}, %[[COUNT64]], %{{.*}}, %[[CONTEXT]]) : !llvm.ptr, (!llvm.ptr, i64, !llvm.ptr, !llvm.ptr) -> ()
  // CHECK: } else {
  // CHECK:   scf.for %[[I:.*]] = %c0 to %[[COUNT]]
  // CHECK:     func.call @loop_task0(%[[CONTEXT]], %{{.*}}, %c0_i32)
  %one = arith.constant 1.0 : f32
  scf.forall (%i, %j) = (0, 0) to (%b, %s) step (1, 24) {
    %buffer = memref.alloca() : memref<8xf32>
    memref.store %one, %buffer[%i] : memref<8xf32>
    %v = memref.load %buffer[%i] : memref<8xf32>
    memref.store %v, %x[%i, %j] : memref<?x?xf32>
  }
  return
}

// CHECK-LABEL: func private @loop_task0(
// CHECK-SAME:    %[[CTX:.*]]: !llvm.ptr, %[[TASK:.*]]: i64, %{{.*}}: i32)
// CHECK-SAME:    passthrough = ["noinline", "flashc-task"]
// The constant is not captured.
// CHECK-DAG: %[[ONE:.*]] = arith.constant 1.0
// CHECK-DAG: %[[X:.*]] = builtin.unrealized_conversion_cast %{{.*}} to memref<?x?xf32>
// CHECK-DAG: %[[N:.*]] = builtin.unrealized_conversion_cast %{{.*}} : i64 to index
// CHECK: %[[ID:.*]] = arith.index_cast %[[TASK]] : i64 to index
// The last dimension runs fastest.
// CHECK: %[[R:.*]] = arith.remui %[[ID]], %[[N]]
// CHECK: %[[I:.*]] = arith.divui %[[ID]], %[[N]]
// CHECK: %[[J:.*]] = arith.muli %[[R]], %c24
// CHECK: %[[BUFFER:.*]] = memref.alloca()
// CHECK: memref.store %[[ONE]], %[[BUFFER]][%[[I]]]
// CHECK: memref.store %{{.*}}, %[[X]][%[[I]], %[[J]]]
// CHECK: return

// A buffer inside a loop is taken once a task, not once an iteration; a nested parallel loop stays in its task.
// CHECK-LABEL: func private @nested_task0
func.func @nested(%x: memref<?xf32>, %n: index) {
  // CHECK: memref.alloca() : memref<4xf32>
  // CHECK: scf.for
  // CHECK-NOT: memref.alloca
  // CHECK: scf.forall
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    scf.for %j = %c0 to %n step %c1 {
      %buffer = memref.alloca() : memref<4xf32>
      scf.forall (%k) in (4) {
        %v = memref.load %x[%j] : memref<?xf32>
        memref.store %v, %buffer[%k] : memref<4xf32>
        %w = memref.load %buffer[%i] : memref<4xf32>
        memref.store %w, %x[%i] : memref<?xf32>
      }
    }
  }
  return
}

// An iteration's worker is its task's.
// CHECK-LABEL: func private @places_task0
// CHECK-SAME: %{{.*}}: i64, %[[WORKER:.*]]: i32
// CHECK: %[[PLACE:.*]] = arith.index_cast %[[WORKER]] : i32 to index
// CHECK: memref.store %{{.*}}, %{{.*}}[%[[PLACE]]]
func.func @places(%x: memref<?xf32>, %n: index, %v: f32) {
  scf.forall (%i) in (%n) {
    %w = tile.worker
    memref.store %v, %x[%w] : memref<?xf32>
  }
  return
}

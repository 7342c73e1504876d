// RUN: flash-opt %s --outline-gpu-kernels --canonicalize --cse | FileCheck %s

// CHECK: module attributes {gpu.container_module}

// The host's part keeps the loop's size, and its launch.
// CHECK-LABEL: func.func @number(
// CHECK-SAME:    %[[X:.*]]: memref<?xf32, strided<[?], offset: ?>>, %[[N:.*]]: index, %[[HOST:.*]]: !llvm.ptr {flashc.host}, %[[STREAM:.*]]: !llvm.ptr {flashc.stream}) -> i32 {
func.func @number(%x: memref<?xf32, strided<[?], offset: ?>>, %n: index) {
  // CHECK-DAG: %[[FUNCTION:.*]] = llvm.mlir.addressof @number_kernel0_function
  // CHECK-DAG: %[[STATUS:.*]] = llvm.alloca %{{.*}} x i32
  // CHECK-DAG: %[[FRAME:.*]] = llvm.alloca %{{.*}} x !llvm.struct<(i64, i64, i64)>
  // CHECK-DAG: %[[PARAMS:.*]] = llvm.alloca %{{.*}} x !llvm.array<3 x ptr>
  // CHECK-DAG: llvm.store %{{.*}}, %[[STATUS]] : i32
  // The address is that of the first element; the size travels, and the stride.
  // CHECK-DAG: %{{.*}}, %[[OFFSET:.*]], %[[SIZE:.*]], %[[STRIDE:.*]] = memref.extract_strided_metadata %[[X]]
  // CHECK-DAG: %[[DESCRIPTOR:.*]] = builtin.unrealized_conversion_cast %[[X]] : memref<?xf32, strided<[?], offset: ?>> to !llvm.struct
  // CHECK-DAG: %[[ALIGNED:.*]] = llvm.extractvalue %[[DESCRIPTOR]][1]
  // CHECK-DAG: %[[ELEMENTS:.*]] = arith.index_cast %[[OFFSET]] : index to i64
  // CHECK-DAG: llvm.getelementptr %[[ALIGNED]][%[[ELEMENTS]]] : {{.*}}, f32
  // A loop without iterations is not launched, nor anything after a launch that failed.
  // CHECK-DAG: %[[COUNT:.*]] = arith.maxsi %[[N]], %c0
  // CHECK: %[[BLOCKS:.*]] = arith.index_cast %[[COUNT]] : index to i64
  // CHECK: %[[SOME:.*]] = llvm.icmp "sgt" %[[BLOCKS]]
  // CHECK: %[[BEFORE:.*]] = llvm.load %[[STATUS]] : !llvm.ptr -> i32
  // CHECK: %[[GOOD:.*]] = llvm.icmp "eq" %[[BEFORE]]
  // CHECK: %[[BOTH:.*]] = llvm.and %[[SOME]], %[[GOOD]]
  // CHECK: scf.if %[[BOTH]] {
  // CHECK:   %[[RESULT:.*]] = llvm.call %{{.*}}(%{{.*}}, %[[FUNCTION]], %[[BLOCKS]], %[[PARAMS]], %[[STREAM]]) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, i64, !llvm.ptr, !llvm.ptr) -> i32
  // CHECK:   llvm.store %[[RESULT]], %[[STATUS]]
  // CHECK: }
  // CHECK: %[[LAST:.*]] = llvm.load %[[STATUS]]
  // CHECK: return %[[LAST]] : i32
  scf.forall (%i) in (%n) {
    %t = gpu.thread_id x
    %c64 = arith.constant 64 : index
    %first = arith.muli %i, %c64 : index
    %at = arith.addi %first, %t : index
    %at64 = arith.index_cast %at : index to i64
    %value = arith.sitofp %at64 : i64 to f32
    memref.store %value, %x[%at] : memref<?xf32, strided<[?], offset: ?>>
  } {flashc.threads = 64 : i64, flashc.shared_bytes = 128 : i64, nvvm.minctasm = 2 : i32}
  return
}
// CHECK: llvm.mlir.global external constant @number_kernel0_function() {{.*}} : !llvm.struct<(i32, i32, ptr, ptr, ptr, ptr, i64, i32, i32, i32, i32, ptr)>

// CHECK-LABEL: gpu.module @number_device
// CHECK: gpu.func @number_kernel0(%[[DATA:.*]]: !llvm.ptr<1>, %[[SIZE:.*]]: i64, %[[STRIDE:.*]]: i64) kernel attributes
// CHECK-SAME: flashc.param_bytes = array<i32: 8, 8, 8>
// CHECK-SAME: flashc.shared_bytes = 128 : i64
// CHECK-SAME: flashc.threads = 64 : i64
// CHECK-SAME: known_block_size = array<i32: 64, 1, 1>
// CHECK-SAME: nvvm.minctasm = 2 : i32
// CHECK: %[[P:.*]] = llvm.addrspacecast %[[DATA]] : !llvm.ptr<1> to !llvm.ptr
// CHECK: %[[M:.*]] = builtin.unrealized_conversion_cast %{{.*}} to memref<?xf32, strided<[?], offset: ?>>
// CHECK: %[[B:.*]] = gpu.block_id x
// CHECK: %[[T:.*]] = gpu.thread_id x
// CHECK: %[[FIRST:.*]] = arith.muli %[[B]], %c64
// CHECK: memref.store %{{.*}}, %[[M]]
// CHECK: gpu.return

// Two dimensions, and what numbers travel as.
// CHECK-LABEL: gpu.module @numbers_device
// CHECK: gpu.func @numbers_kernel0(
// CHECK-SAME: %[[HALF:.*]]: i16, %[[X:.*]]: !llvm.ptr<1>, %[[FLAG:.*]]: i32, %[[COUNT:.*]]: i64)
// CHECK-SAME: flashc.param_bytes = array<i32: 2, 8, 4, 8>
// CHECK-SAME: flashc.shared_bytes = 0 : i64
// CHECK-DAG: arith.bitcast %[[HALF]] : i16 to f16
// CHECK-DAG: arith.trunci %[[FLAG]] : i32 to i1
// CHECK-DAG: %[[N:.*]] = arith.index_cast %[[COUNT]] : i64 to index
// CHECK: %[[B:.*]] = gpu.block_id x
// CHECK: arith.remui %[[B]], %[[N]]
// CHECK: arith.divui %[[B]], %[[N]]
func.func @numbers(%x: memref<4x8xf16>, %flag: i1, %h: f16, %n: index) {
  scf.forall (%i, %j) in (%n, %n) {
    scf.if %flag {
      memref.store %h, %x[%i, %j] : memref<4x8xf16>
    }
  } {flashc.threads = 32 : i64}
  return
}

// Loops in the branches at the top level.
// CHECK-LABEL: func.func @branches(
// CHECK: scf.if %{{.*}} {
// CHECK:   llvm.call
// CHECK: } else {
// CHECK:   llvm.call
// CHECK: llvm.load
// CHECK: return
// CHECK-LABEL: gpu.module @branches_device
// CHECK: gpu.func @branches_kernel0
// CHECK: gpu.func @branches_kernel1
func.func @branches(%x: memref<?xf32>, %n: index, %few: i1) {
  %one = arith.constant 1.0 : f32
  scf.if %few {
    scf.forall (%i) in (%n) {
      memref.store %one, %x[%i] : memref<?xf32>
    } {flashc.threads = 32 : i64}
  } else {
    scf.forall (%i) in (%n) {
      %t = gpu.thread_id x
      memref.store %one, %x[%t] : memref<?xf32>
    } {flashc.threads = 128 : i64}
  }
  return
}

// A table goes with the code that reads it.
// CHECK-LABEL: gpu.module @table_device
// CHECK: gpu.func @table_kernel0
// CHECK:   memref.get_global @numbers_of_it : memref<2xf32>
// CHECK: memref.global "private" constant @numbers_of_it
memref.global "private" constant @numbers_of_it : memref<2xf32> = dense<[1.0, 2.0]>
func.func @table(%x: memref<?xf32>, %n: index) {
  %table = memref.get_global @numbers_of_it : memref<2xf32>
  scf.forall (%i) in (%n) {
    %v = memref.load %table[%i] : memref<2xf32>
    memref.store %v, %x[%i] : memref<?xf32>
  } {flashc.threads = 32 : i64}
  return
}

// The address of a view is its own and not its source's.
// CHECK-LABEL: func.func @view(
// CHECK-SAME: %[[BYTES:.*]]: memref<?xi8>
// CHECK: %[[VIEW:.*]] = memref.view %[[BYTES]][%c256][]
// CHECK: %[[DESCRIPTOR:.*]] = builtin.unrealized_conversion_cast %[[VIEW]] : memref<4xf32> to !llvm.struct
// CHECK: llvm.extractvalue %[[DESCRIPTOR]][1]
func.func @view(%bytes: memref<?xi8>, %n: index) {
  %shift = arith.constant 256 : index
  %one = arith.constant 1.0 : f32
  %view = memref.view %bytes[%shift][] : memref<?xi8> to memref<4xf32>
  scf.forall (%i) in (%n) {
    memref.store %one, %view[%i] : memref<4xf32>
  } {flashc.threads = 32 : i64}
  return
}

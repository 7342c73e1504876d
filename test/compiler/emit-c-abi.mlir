// RUN: flash-opt %s --plan-workspace --outline-parallel-tasks --emit-c-abi --canonicalize | FileCheck %s

// The kernel is private now; the C functions stand before it.
// CHECK-LABEL: func.func private @copy(
func.func @copy(%x: memref<?x8xf32, strided<[?, 1]>> {flashc.sizes = array<i64: -2, 8>},
                %y: memref<?x8xf32> {flashc.sizes = array<i64: -2, 8>, flashc.output}) {
  memref.copy %x, %y : memref<?x8xf32, strided<[?, 1]>> to memref<?x8xf32>
  return
}

// CHECK-LABEL: llvm.func internal @copy_check(%{{.*}}: !llvm.ptr) -> i32
// Null arguments, then the ABI version, then the number of tensors.
// CHECK: llvm.icmp "eq"
// CHECK: llvm.icmp "ne" %{{.*}}, %{{.*}} : i32
// CHECK: llvm.intr.smul.with.overflow
// CHECK: llvm.ptrtoint

// CHECK-LABEL: llvm.func @copy_workspace_size(%{{.*}}: !llvm.ptr) -> i64
// CHECK: llvm.call @copy_check
// CHECK: call @copy_workspace_bytes

// CHECK-LABEL: llvm.func @copy_run(
// CHECK-SAME: !llvm.ptr, %{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr, %{{.*}}: i64) -> i32
// CHECK: %[[STATUS:.*]] = llvm.call @copy_check
// CHECK: %[[SIZE:.*]] = {{.*}}call @copy_workspace_bytes
// CHECK: call @copy(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) : (memref<?x8xf32, strided<[?, 1]>>, memref<?x8xf32>, memref<?xi8>, !llvm.ptr) -> ()

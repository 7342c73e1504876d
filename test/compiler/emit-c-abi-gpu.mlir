// RUN: flash-opt %s --plan-workspace --outline-gpu-kernels --emit-c-abi | FileCheck %s

func.func @fill(%x: memref<?xf32> {flashc.name = "x", flashc.output}) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1.0 : f32
  %n = memref.dim %x, %zero : memref<?xf32>
  scf.forall (%i) in (%n) {
    memref.store %one, %x[%i] : memref<?xf32>
  } {flashc.threads = 32 : i64}
  return
}

// CHECK-LABEL: func.func private @fill(
// CHECK-SAME: %{{.*}}: !llvm.ptr {flashc.host}, %{{.*}}: !llvm.ptr {flashc.stream}) -> i32

// Without a host that launches there is nothing to do: FLASHC_ERROR_TARGET. A host needs no parallel_for.
// CHECK-LABEL: llvm.func @fill_run(
// CHECK-SAME: %[[ARGS:.*]]: !llvm.ptr, %[[STREAM:.*]]: !llvm.ptr, %{{.*}}: !llvm.ptr, %{{.*}}: i64) -> i32
// CHECK: %[[HOST:.*]] = llvm.load
// CHECK: %[[ISNULL:.*]] = llvm.icmp "eq" %[[HOST]]
// CHECK: llvm.cond_br %[[ISNULL]]
// CHECK: %[[LAUNCH:.*]] = llvm.load
// CHECK: %[[NOLAUNCH:.*]] = llvm.icmp "eq" %[[LAUNCH]]
// CHECK: llvm.cond_br %[[NOLAUNCH]]
// CHECK: %[[STATUS:.*]] = func.call @fill({{.*}}, %[[STREAM]]) : {{.*}} -> i32
// CHECK: llvm.return %[[STATUS]] : i32

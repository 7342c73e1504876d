// RUN: flash-opt %s --lower-gpu-memory --split-input-file | FileCheck %s

gpu.module @device {
  // CHECK: llvm.mlir.global external @flashc_shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
  // CHECK-LABEL: gpu.func @kernel(
  // CHECK-SAME: %{{.*}}: memref<4xf32, 1>, %{{.*}}: memref<4xf32, 5>)
  gpu.func @kernel(%g: memref<4xf32, #gpu.address_space<global>>, %p: memref<4xf32, #gpu.address_space<private>>)
      kernel attributes {flashc.shared_bytes = 256 : i64} {
    // CHECK: %[[ADDRESS:.*]] = llvm.mlir.addressof @flashc_shared : !llvm.ptr<3>
    // The size is what the kernel is launched with.
    // CHECK: llvm.mlir.constant(256 : i64)
    // CHECK: %[[BYTES:.*]] = builtin.unrealized_conversion_cast %{{.*}} to memref<?xi8, 3>
    // CHECK: memref.view %[[BYTES]][%{{.*}}][] : memref<?xi8, 3> to memref<16xf32, 3>
    %bytes = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
    %offset = arith.constant 64 : index
    %view = memref.view %bytes[%offset][] : memref<?xi8, #gpu.address_space<workgroup>> to memref<16xf32, #gpu.address_space<workgroup>>
    %zero = arith.constant 0 : index
    %v = memref.load %view[%zero] : memref<16xf32, #gpu.address_space<workgroup>>
    memref.store %v, %g[%zero] : memref<4xf32, #gpu.address_space<global>>
    gpu.return
  }
}

// -----

// Without dynamic shared memory there is no array.
// CHECK-LABEL: gpu.module @none
// CHECK-NOT: flashc_shared
gpu.module @none {
  gpu.func @kernel() kernel {
    gpu.return
  }
}

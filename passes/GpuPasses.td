//===- GpuPasses.td - Passes of the GPU targets ---------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_GPUPASSES_TD
#define FLASHC_GPUPASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// From blocks of threads to kernels
//===----------------------------------------------------------------------===//

def OutlineGpuKernels : Pass<"outline-gpu-kernels", "mlir::ModuleOp"> {
  let summary = "Turn each top-level scf.forall of blocks into a kernel and a call of the host's launch";
  let description = [{
    The body of such a loop is the code of one thread, one iteration is a block of `flashc.threads` threads with
    `flashc.shared_bytes` bytes of dynamic shared memory. It becomes a kernel `@NAME_kernel<N>` in `gpu.module
    @NAME_device`; blocks have one dimension and are numbered in row-major order of the loop's. What the body captures
    travels as parameters: of a memref the address of its first element, the sizes and the strides that its type leaves
    open; constants are rebuilt.

    Each public function gets two more arguments, `%host` (a `flashc_host *` that has a `launch`) and `%stream`, and
    returns a `flashc_status`: that of the first launch that fails, after which there is none. A loop without iterations
    is not launched. `@NAME_kernel<N>_function` names the kernel's `flashc_device_function`, which is defined with the
    image.

    Before:
    ```mlir
    func.func @f(%x: memref<?xf32, strided<[?]>>, %n: index) {
      %zero = arith.constant 0.0 : f32
      scf.forall (%i) in (%n) {
        %t = gpu.thread_id x
        %first = arith.muli %i, %t : index
        memref.store %zero, %x[%first] : memref<?xf32, strided<[?]>>
      } {flashc.threads = 128 : i64, flashc.shared_bytes = 0 : i64}
      return
    }
    ```
    After:
    ```mlir
    func.func @f(%x: memref<?xf32, strided<[?]>>, %n: index, %host: !llvm.ptr {flashc.host}, %stream: !llvm.ptr {flashc.stream}) -> i32 {
      ...
      // host->launch(host->user, &f_kernel0_function, n, {x, its size, its stride}, stream)
      %status = llvm.call %launch(%user, %function, %blocks, %parameters, %stream)
          : !llvm.ptr, (!llvm.ptr, !llvm.ptr, i64, !llvm.ptr, !llvm.ptr) -> i32
      ...
    gpu.module @f_device {
      gpu.func @f_kernel0(%data: !llvm.ptr<1>, %size: i64, %stride: i64) kernel ...
        ...
        %x = builtin.unrealized_conversion_cast ...
        ...
        %i = gpu.block_id x
        %t = gpu.thread_id x
        ...
        memref.store %zero, %x[%first] : memref<?xf32, strided<[?]>>
        gpu.return
    ```
  }];
  let options = [
    Option<"sharedBytes", "shared-bytes", "int64_t", "0",
           "Bytes of shared memory that a block of the target may use; 0 = not checked">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::func::FuncDialect", "mlir::gpu::GPUDialect",
                           "mlir::LLVM::LLVMDialect", "mlir::memref::MemRefDialect", "mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numKernels", "num-kernels", "Kernels outlined">];
}

def LowerGpuMemory : Pass<"lower-gpu-memory", "mlir::gpu::GPUModuleOp"> {
  let summary = "Number the address spaces of device code, and give dynamic shared memory a name";
  let description = [{
    `#gpu.address_space` becomes the number that NVIDIA's and AMD's code generators share: 1 is global, 3 shared and 5
    private. `gpu.dynamic_shared_memory` becomes the address of an external array without a size, aligned to 1024 bytes.

    Before:
    ```mlir
    gpu.module @f_device {
      gpu.func @f_kernel0() kernel attributes {flashc.shared_bytes = 4096 : i64} {
        %bytes = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
        %zero = arith.constant 0 : index
        %value = arith.constant 0 : i8
        memref.store %value, %bytes[%zero] : memref<?xi8, #gpu.address_space<workgroup>>
        gpu.return
      }
    }
    ```
    After:
    ```mlir
    gpu.module @f_device {
      llvm.mlir.global external @flashc_shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
      gpu.func @f_kernel0() kernel ...
        %address = llvm.mlir.addressof @flashc_shared : !llvm.ptr<3>
        ...
        memref.store %value, %bytes[%zero] : memref<?xi8, 3>
    ```
  }];
  let dependentDialects = ["mlir::LLVM::LLVMDialect"];
  let statistics = [Statistic<"numReplaced", "num-replaced", "Uses of dynamic shared memory that were replaced">];
}

#endif // FLASHC_GPUPASSES_TD

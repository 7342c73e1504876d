// Device code in the vendors' dialects: kernels, the number of a thread, and 16-bit elements as each takes them.
// RUN: flash-opt %s --lower-gpu-to-nvvm | FileCheck %s --check-prefixes=CHECK,NVVM
// RUN: flash-opt %s --lower-gpu-to-rocdl | FileCheck %s --check-prefixes=CHECK,ROCDL

gpu.module @device {
  // NVVM: llvm.func @kernel(%[[OUT:[^ ]*]]: !llvm.ptr<1>, %{{.*}}: bf16) attributes {gpu.kernel, nvvm.kernel
  // AMD's instructions take bf16 as bits.
  // ROCDL: llvm.func @kernel(%[[OUT:[^ ]*]]: !llvm.ptr<1>, %{{.*}}: i16) attributes {gpu.kernel, rocdl.kernel
  // NVVM: nvvm.read.ptx.sreg.tid.x
  // ROCDL: rocdl.workitem.id.x
  // NVVM: nvvm.barrier0
  // ROCDL: rocdl.barrier
  // CHECK: llvm.store %{{.*}}, %{{.*}} : i32, !llvm.ptr<1>
  // CHECK: llvm.return
  gpu.func @kernel(%out: !llvm.ptr<1>, %x: bf16) kernel {
    %thread = gpu.thread_id x
    gpu.barrier
    %number = arith.index_cast %thread : index to i32
    llvm.store %number, %out : i32, !llvm.ptr<1>
    gpu.return
  }
}

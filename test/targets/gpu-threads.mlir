// Code of threads, by hand, through every GPU target: parameters, block and thread numbers, shared memory, a barrier.
// RUN: flash-compile %s --target nvptx:sm_80 --emit asm -o - | FileCheck %s --check-prefix=PTX
// RUN: flash-compile %s --target nvptx:sm_90a --emit asm -o - | FileCheck %s --check-prefix=SM90
// RUN: flash-compile %s --target amdgpu:gfx942 --emit asm -o - | FileCheck %s --check-prefixes=AMD,GFX942
// RUN: flash-compile %s --target amdgpu:gfx1100 --emit asm -o - | FileCheck %s --check-prefixes=AMD,GFX1100
// RUN: flash-compile %s --target emulated:sm_80 --emit llvm -o - | FileCheck %s --check-prefix=IR

// PTX: .target sm_80
// PTX-DAG: .extern .shared .align 1024 .b8 flashc_shared[];
// PTX: .visible .entry reverse_kernel0(
// PTX: .param .u64 reverse_kernel0_param_0
// PTX: .maxntid 64, 1, 1
// PTX: mov.u32 %{{.*}}, %ctaid.x
// PTX: mov.u32 %{{.*}}, %tid.x
// PTX: ex2.approx.ftz.f32
// PTX: st.shared.f32
// PTX: bar.sync 0
// PTX: ld.shared.f32
// PTX: st.global.f32
// SM90: .target sm_90a
// AMD: .amdhsa_kernel reverse_kernel0
// AMD-DAG: .amdhsa_user_sgpr_kernarg_segment_ptr 1
// GFX942-DAG: .max_flat_workgroup_size: 64
// GFX1100-DAG: .wavefront_size: 32
// IR: target triple = "nvptx64-nvidia-cuda"
// IR: @flashc_shared = external {{.*}}addrspace(3) global [0 x i8], align 1024
// IR: define {{.*}}void @reverse_kernel0(i64 {{.*}}, ptr addrspace(1) {{.*}}, i64 {{.*}})
// IR: call {{.*}}float @llvm.nvvm.ex2.approx.ftz.f
func.func @reverse(%out: memref<?xf32> {flashc.name = "out", flashc.output}) {
  %zero = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %size = memref.dim %out, %zero : memref<?xf32>
  %blocks = arith.ceildivui %size, %c64 : index
  scf.forall (%block) in (%blocks) {
    %thread = gpu.thread_id x
    %bytes = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
    %row = memref.view %bytes[%zero][] : memref<?xi8, #gpu.address_space<workgroup>> to memref<64xf32, #gpu.address_space<workgroup>>
    %first = arith.muli %block, %c64 : index
    %at = arith.addi %first, %thread : index
    %number = arith.index_cast %thread : index to i32
    %value = arith.sitofp %number : i32 to f32
    %power = math.exp2 %value : f32
    memref.store %power, %row[%thread] : memref<64xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    %c63 = arith.constant 63 : index
    %mirror = arith.subi %c63, %thread : index
    %mirrored = memref.load %row[%mirror] : memref<64xf32, #gpu.address_space<workgroup>>
    %inside = arith.cmpi ult, %at, %size : index
    scf.if %inside {
      memref.store %mirrored, %out[%at] : memref<?xf32>
    }
  } {flashc.threads = 64 : i64, flashc.shared_bytes = 256 : i64}
  return
}

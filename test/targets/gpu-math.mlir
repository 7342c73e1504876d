// Scalar functions of a user's score reach the code generators of both vendors, without a library.
// RUN: flash-compile %s --target nvptx:sm_80 --emit asm -o - | FileCheck %s --check-prefix=PTX
// RUN: flash-compile %s --target amdgpu:gfx942 --emit asm -o - | FileCheck %s --check-prefix=AMD

// PTX: .visible .entry scores_kernel0
// PTX-NOT: .extern .func
// PTX-DAG: abs.ftz.f32
// PTX-DAG: cvt.rmi.ftz.f32.f32
// PTX-DAG: sqrt.rn.ftz.f32
// PTX-DAG: ex2.approx.ftz.f32
// PTX-DAG: abs.f64
// PTX-DAG: sqrt.rn.f64
// AMD: scores_kernel0:
// AMD-DAG: v_floor_f32
// AMD-DAG: v_exp_f32
// AMD-DAG: v_rsq_f32
func.func @scores(%x: memref<?xf32> {flashc.name = "x", flashc.output}, %y: memref<?xf64> {flashc.name = "y", flashc.output}) {
  %zero = arith.constant 0 : index
  %size = memref.dim %x, %zero : memref<?xf32>
  scf.forall (%block) in (%size) {
    %s = memref.load %x[%block] : memref<?xf32>
    %two = arith.constant 2.0 : f32
    %0 = math.absf %s : f32
    %1 = math.floor %0 : f32
    %2 = math.sqrt %1 : f32
    %3 = math.tanh %2 : f32
    %4 = math.log %3 : f32
    %5 = arith.remf %4, %two : f32
    %6 = arith.maximumf %5, %s : f32
    %7 = math.cos %6 : f32
    %8 = math.rsqrt %7 : f32
    %9 = math.copysign %8, %s : f32
    memref.store %9, %x[%block] : memref<?xf32>
    %d = memref.load %y[%block] : memref<?xf64>
    %10 = math.absf %d : f64
    %11 = math.exp %10 : f64
    %12 = math.sqrt %11 : f64
    %13 = math.roundeven %12 : f64
    %14 = arith.minimumf %13, %d : f64
    memref.store %14, %y[%block] : memref<?xf64>
  } {flashc.threads = 32 : i64, flashc.shared_bytes = 0 : i64}
  return
}

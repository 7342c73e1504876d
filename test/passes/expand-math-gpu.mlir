// RUN: flash-opt %s --expand-math="exp2-intrinsic=llvm.nvvm.ex2.approx.ftz.f f16-convert=true bf16-dot=true" | FileCheck %s

// CHECK-LABEL: func @scalar
// CHECK-SAME:    %[[X:.*]]: f32
func.func @scalar(%x: f32) -> f32 {
  // CHECK-NEXT: %[[P:.*]] = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"(%[[X]]) : (f32) -> f32
  // CHECK-NEXT: return %[[P]]
  %p = math.exp2 %x : f32
  return %p : f32
}

// One element at a time.
// CHECK-LABEL: func @vector
func.func @vector(%x: vector<2xf32>) -> vector<2xf32> {
  // CHECK-COUNT-2: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"
  // CHECK-NOT: llvm.call_intrinsic
  // CHECK: return
  %p = math.exp2 %x {tile.nonpositive} : vector<2xf32>
  return %p : vector<2xf32>
}

// No instruction for f64: the polynomial.
// CHECK-LABEL: func @double
func.func @double(%x: f64) -> f64 {
  // CHECK-NOT: llvm.call_intrinsic
  // CHECK: llvm.intr.fmuladd
  // CHECK: return
  %p = math.exp2 %x : f64
  return %p : f64
}

// What is made of exponentials uses the instruction, too.
// CHECK-LABEL: func @made
func.func @made(%x: f32) -> (f32, f32) {
  // CHECK-COUNT-2: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"
  %e = math.exp %x : f32
  %t = math.tanh %x : f32
  return %e, %t : f32, f32
}

// Between one and two a division is a few multiplications: the reciprocal by a polynomial and a step of Newton's, the quotient and
// its remainder.
// CHECK-LABEL: func @divided
// CHECK-NOT: arith.divf
// CHECK: %[[N:.*]] = arith.subf %{{.*}}, %[[T:.*]] : f32
// CHECK: %[[D:.*]] = arith.addf %[[T]], %{{.*}} : f32
// CHECK: llvm.intr.fmuladd(%{{.*}}, %[[D]], %{{.*}})
// CHECK: %[[R0:.*]] = llvm.intr.fmuladd(%{{.*}}, %[[D]], %{{.*}})
// CHECK: %[[LESS:.*]] = arith.negf %[[D]] : f32
// CHECK: %[[E:.*]] = llvm.intr.fma(%[[LESS]], %[[R0]], %{{.*}})
// CHECK: %[[R:.*]] = llvm.intr.fma(%[[R0]], %[[E]], %[[R0]])
// CHECK: %[[Q:.*]] = arith.mulf %[[N]], %[[R]] : f32
// CHECK: %[[REST:.*]] = llvm.intr.fma(%[[LESS]], %[[Q]], %[[N]])
// CHECK: llvm.intr.fma(%[[REST]], %[[R]], %[[Q]])
// CHECK-NOT: arith.divf
func.func @divided(%x: f32) -> f32 {
  %t = math.tanh %x : f32
  return %t : f32
}

// CHECK-LABEL: func @double_divided
// CHECK: arith.divf
func.func @double_divided(%x: f64) -> f64 {
  %t = math.tanh %x : f64
  return %t : f64
}

// f32 is divided by an estimate of the reciprocal: the quotient, its remainder, the correction. Zeros and infinities stay
// the estimate.
// RUN: flash-opt %s --expand-math="exp2-intrinsic=llvm.nvvm.ex2.approx.ftz.f" --canonicalize | FileCheck %s
// RUN: flash-opt %s --expand-math="exp2-intrinsic=llvm.amdgcn.exp2.f32" | FileCheck %s --check-prefix=AMD
// AMD: llvm.call_intrinsic "llvm.amdgcn.rcp.f32"

// A divisor beyond 2^96 is made smaller, and the quotient with it: its reciprocal could be subnormal.
// CHECK-LABEL: func @general
// CHECK-SAME:    %[[X:.*]]: f32, %[[Y:.*]]: f32
func.func @general(%x: f32, %y: f32) -> f32 {
  // CHECK-DAG: %[[SMALL:.*]] = arith.constant 2.32830644E-10 : f32
  // CHECK-DAG: %[[LIMIT:.*]] = arith.constant 7.92281625E+28 : f32
  // CHECK-DAG: %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
  // CHECK-DAG: %[[ONE:.*]] = arith.constant 1.000000e+00 : f32
  // CHECK: %[[SIZE:.*]] = math.absf %[[Y]]
  // CHECK: %[[LARGE:.*]] = arith.cmpf ogt, %[[SIZE]], %[[LIMIT]]
  // CHECK: %[[SCALE:.*]] = arith.select %[[LARGE]], %[[SMALL]], %[[ONE]]
  // CHECK: %[[D:.*]] = arith.mulf %[[Y]], %[[SCALE]]
  // CHECK: %[[R:.*]] = llvm.call_intrinsic "llvm.nvvm.rcp.approx.ftz.f"(%[[D]])
  // CHECK: %[[E:.*]] = arith.mulf %[[X]], %[[R]]
  // CHECK: %[[LESS:.*]] = arith.negf %[[D]]
  // CHECK: %[[REST:.*]] = llvm.intr.fma(%[[LESS]], %[[E]], %[[X]])
  // CHECK: %[[Q:.*]] = llvm.intr.fma(%[[REST]], %[[R]], %[[E]])
  // CHECK: %[[NONE:.*]] = arith.cmpf ueq, %[[Q]], %[[ZERO]]
  // CHECK: %[[BEST:.*]] = arith.select %[[NONE]], %[[E]], %[[Q]]
  // CHECK: %[[RESULT:.*]] = arith.mulf %[[BEST]], %[[SCALE]]
  // CHECK: return %[[RESULT]]
  %q = arith.divf %x, %y : f32
  return %q : f32
}

// Of a number that is known so is the reciprocal, and that it is a normal number.
// CHECK-LABEL: func @known
func.func @known(%x: f32) -> f32 {
  // CHECK-NOT: llvm.call_intrinsic
  // CHECK-NOT: math.absf
  // CHECK: arith.mulf %{{.*}}, %{{.*}}
  // CHECK-COUNT-2: llvm.intr.fma
  // CHECK: return
  %c = arith.constant 3.0 : f32
  %q = arith.divf %x, %c : f32
  return %q : f32
}

// CHECK-LABEL: func @known_and_large
func.func @known_and_large(%x: f32) -> f32 {
  // CHECK: llvm.call_intrinsic
  %c = arith.constant 1.6e+38 : f32
  %q = arith.divf %x, %c : f32
  return %q : f32
}

// CHECK-LABEL: func @vector
func.func @vector(%x: vector<2xf32>, %y: vector<2xf32>) -> vector<2xf32> {
  // CHECK-COUNT-2: llvm.call_intrinsic "llvm.nvvm.rcp.approx.ftz.f"
  // CHECK-COUNT-2: llvm.intr.fma({{.*}}) : (vector<2xf32>
  // CHECK-NOT: arith.divf
  // CHECK: return
  %q = arith.divf %x, %y : vector<2xf32>
  return %q : vector<2xf32>
}

// A reciprocal is an instruction of its own.
// CHECK-LABEL: func @reciprocal
func.func @reciprocal(%x: f32) -> f32 {
  // CHECK: arith.divf
  %one = arith.constant 1.0 : f32
  %q = arith.divf %one, %x : f32
  return %q : f32
}

// CHECK-LABEL: func @double
func.func @double(%x: f64, %y: f64) -> f64 {
  // CHECK: arith.divf
  %q = arith.divf %x, %y : f64
  return %q : f64
}

// RUN: flash-opt %s --expand-powers --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func @power
// CHECK-SAME:    %[[X:.*]]: f32, %[[Y:.*]]: f32
// CHECK: %[[SIZE:.*]] = math.absf %[[X]]
// CHECK: arith.bitcast %[[SIZE]]
// CHECK: llvm.intr.fma
// CHECK: %[[EXPONENT:.*]] = arith.mulf %[[Y]]
// CHECK: math.exp2 %[[EXPONENT]]
// CHECK: math.copysign
// CHECK-NOT: math.powf
func.func @power(%x: f32, %y: f32) -> f32 {
  %0 = math.powf %x, %y : f32
  return %0 : f32
}

// Known whole exponents are products.
// CHECK-LABEL: func @products
// CHECK-SAME:    %[[X:.*]]: vector<4xf64>
// CHECK-DAG: %[[ONE:.*]] = arith.constant dense<1.0
// CHECK: %[[SQUARE:.*]] = arith.mulf %[[X]], %[[X]]
// CHECK: %[[CUBE:.*]] = arith.mulf %[[X]], %[[SQUARE]]
// CHECK: %[[INVERSE:.*]] = arith.divf %[[ONE]], %[[SQUARE]]
// CHECK: return %[[CUBE]], %[[INVERSE]]
func.func @products(%x: vector<4xf64>) -> (vector<4xf64>, vector<4xf64>) {
  %three = arith.constant dense<3.0> : vector<4xf64>
  %two = arith.constant dense<-2.0> : vector<4xf64>
  %0 = math.powf %x, %three : vector<4xf64>
  %1 = math.powf %x, %two : vector<4xf64>
  return %0, %1 : vector<4xf64>, vector<4xf64>
}

// Scores are computed in f32 and f64; other types are left alone.
// CHECK-LABEL: func @half
// CHECK: math.powf
func.func @half(%x: f16) -> f16 {
  %0 = math.powf %x, %x : f16
  return %0 : f16
}

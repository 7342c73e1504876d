// RUN: flash-opt %s --approximate-math | FileCheck %s

// exp stays: it is expand-math's.
// CHECK-LABEL: func.func @functions
// CHECK-NOT: math.erf
// CHECK-NOT: math.cos
// CHECK: math.exp %{{.*}} : vector<16xf32>
// CHECK-NOT: math.sin
func.func @functions(%x: vector<16xf32>, %y: f32) -> (vector<16xf32>, vector<16xf32>, f32) {
  %0 = math.erf %x : vector<16xf32>
  %1 = math.cos %y : f32
  %2 = math.exp %x : vector<16xf32>
  %3 = math.sin %1 : f32
  return %0, %2, %3 : vector<16xf32>, vector<16xf32>, f32
}

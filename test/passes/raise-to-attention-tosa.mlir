// RUN: flash-opt %s --raise-to-attention | FileCheck %s

// TOSA: products of three dimensions between reshapes, a softmax of reduce, exp and reciprocal, a mask that is selected.
// CHECK-LABEL: func.func @tosa
// CHECK-SAME: %[[Q:.*]]: tensor<2x6x4x8xf32>, %[[K:.*]]: tensor<2x5x4x8xf32>, %[[V:.*]]: tensor<2x5x4x8xf32>, %[[MASK:.*]]: tensor<2x1x6x5xi1>
// CHECK-DAG: %[[Q4:.*]] = linalg.transpose ins(%[[Q]] {{.*}} permutation = [0, 2, 1, 3]
// CHECK-DAG: %[[K4:.*]] = linalg.transpose ins(%[[K]] {{.*}} permutation = [0, 2, 1, 3]
// CHECK-DAG: %[[V4:.*]] = linalg.transpose ins(%[[V]] {{.*}} permutation = [0, 2, 1, 3]
// CHECK: %[[R:.*]]:2 = attn.sdpa ins(%[[Q4]], %[[K4]], %[[V4]] :
// CHECK-SAME: masks [#attn.tensor] (%{{.*}} : tensor<2x1x6x5xi1>) {scale = 2.500000e-01 : f64}
// CHECK: linalg.generic {{.*}} ins(%[[R]]#1, %[[R]]#0, %{{.*}} : tensor<2x4x6xf32>, tensor<2x4x6x8xf32>, tensor<2x4x8xf32>)
// CHECK: arith.select
// CHECK-NOT: tosa.matmul
func.func @tosa(%q: tensor<2x6x4x8xf32>, %k: tensor<2x5x4x8xf32>, %v: tensor<2x5x4x8xf32>, %mask: tensor<2x1x6x5xi1>) -> tensor<2x6x4x8xf32> {
  %heads = "tosa.const"() {value = dense<[0, 2, 1, 3]> : tensor<4xi32>} : () -> tensor<4xi32>
  %last = "tosa.const"() {value = dense<[0, 2, 1]> : tensor<3xi32>} : () -> tensor<3xi32>
  %scale = "tosa.const"() {value = dense<0.25> : tensor<1x1x1x1xf32>} : () -> tensor<1x1x1x1xf32>
  %low = "tosa.const"() {value = dense<-1.0e30> : tensor<1x1x1x1xf32>} : () -> tensor<1x1x1x1xf32>
  %qt = tosa.transpose %q, %heads : (tensor<2x6x4x8xf32>, tensor<4xi32>) -> tensor<2x4x6x8xf32>
  %kt = tosa.transpose %k, %heads : (tensor<2x5x4x8xf32>, tensor<4xi32>) -> tensor<2x4x5x8xf32>
  %vt = tosa.transpose %v, %heads : (tensor<2x5x4x8xf32>, tensor<4xi32>) -> tensor<2x4x5x8xf32>
  %q3 = tosa.reshape %qt {new_shape = array<i64: 8, 6, 8>} : (tensor<2x4x6x8xf32>) -> tensor<8x6x8xf32>
  %k3 = tosa.reshape %kt {new_shape = array<i64: 8, 5, 8>} : (tensor<2x4x5x8xf32>) -> tensor<8x5x8xf32>
  %v3 = tosa.reshape %vt {new_shape = array<i64: 8, 5, 8>} : (tensor<2x4x5x8xf32>) -> tensor<8x5x8xf32>
  %kk = tosa.transpose %k3, %last : (tensor<8x5x8xf32>, tensor<3xi32>) -> tensor<8x8x5xf32>
  %s3 = tosa.matmul %q3, %kk : (tensor<8x6x8xf32>, tensor<8x8x5xf32>) -> tensor<8x6x5xf32>
  %s4 = tosa.reshape %s3 {new_shape = array<i64: 2, 4, 6, 5>} : (tensor<8x6x5xf32>) -> tensor<2x4x6x5xf32>
  %s = tosa.mul %s4, %scale {shift = 0 : i8} : (tensor<2x4x6x5xf32>, tensor<1x1x1x1xf32>) -> tensor<2x4x6x5xf32>
  %masked = tosa.select %mask, %s, %low : (tensor<2x1x6x5xi1>, tensor<2x4x6x5xf32>, tensor<1x1x1x1xf32>) -> tensor<2x4x6x5xf32>
  %m = tosa.reduce_max %masked {axis = 3 : i32} : (tensor<2x4x6x5xf32>) -> tensor<2x4x6x1xf32>
  %d = tosa.sub %masked, %m : (tensor<2x4x6x5xf32>, tensor<2x4x6x1xf32>) -> tensor<2x4x6x5xf32>
  %e = tosa.exp %d : (tensor<2x4x6x5xf32>) -> tensor<2x4x6x5xf32>
  %l = tosa.reduce_sum %e {axis = 3 : i32} : (tensor<2x4x6x5xf32>) -> tensor<2x4x6x1xf32>
  %r = tosa.reciprocal %l : (tensor<2x4x6x1xf32>) -> tensor<2x4x6x1xf32>
  %p = tosa.mul %e, %r {shift = 0 : i8} : (tensor<2x4x6x5xf32>, tensor<2x4x6x1xf32>) -> tensor<2x4x6x5xf32>
  %p3 = tosa.reshape %p {new_shape = array<i64: 8, 6, 5>} : (tensor<2x4x6x5xf32>) -> tensor<8x6x5xf32>
  %o3 = tosa.matmul %p3, %v3 : (tensor<8x6x5xf32>, tensor<8x5x8xf32>) -> tensor<8x6x8xf32>
  %o4 = tosa.reshape %o3 {new_shape = array<i64: 2, 4, 6, 8>} : (tensor<8x6x8xf32>) -> tensor<2x4x6x8xf32>
  %o = tosa.transpose %o4, %heads : (tensor<2x4x6x8xf32>, tensor<4xi32>) -> tensor<2x6x4x8xf32>
  return %o : tensor<2x6x4x8xf32>
}

// Key heads repeated by tosa.tile: query head h reads key head `h mod 2`, so that the query's heads are transposed.
// CHECK-LABEL: func.func @tiled_heads
// CHECK-SAME: %[[Q:.*]]: tensor<1x4x6x8xf32>, %[[K:.*]]: tensor<1x2x5x8xf32>, %[[V:.*]]: tensor<1x2x5x8xf32>
// CHECK: %[[H:.*]] = linalg.transpose {{.*}} permutation = [1, 0, 2, 3]
// CHECK: attn.sdpa ins(%[[H]], %{{.*}} : tensor<2x2x6x8xf32>, tensor<2x1x5x8xf32>, tensor<2x1x5x8xf32>)
func.func @tiled_heads(%q: tensor<1x4x6x8xf32>, %k: tensor<1x2x5x8xf32>, %v: tensor<1x2x5x8xf32>) -> tensor<4x6x8xf32> {
  %last = "tosa.const"() {value = dense<[0, 2, 1]> : tensor<3xi32>} : () -> tensor<3xi32>
  %kr = tosa.tile %k {multiples = array<i64: 1, 2, 1, 1>} : (tensor<1x2x5x8xf32>) -> tensor<1x4x5x8xf32>
  %vr = tosa.tile %v {multiples = array<i64: 1, 2, 1, 1>} : (tensor<1x2x5x8xf32>) -> tensor<1x4x5x8xf32>
  %q3 = tosa.reshape %q {new_shape = array<i64: 4, 6, 8>} : (tensor<1x4x6x8xf32>) -> tensor<4x6x8xf32>
  %k3 = tosa.reshape %kr {new_shape = array<i64: 4, 5, 8>} : (tensor<1x4x5x8xf32>) -> tensor<4x5x8xf32>
  %v3 = tosa.reshape %vr {new_shape = array<i64: 4, 5, 8>} : (tensor<1x4x5x8xf32>) -> tensor<4x5x8xf32>
  %kk = tosa.transpose %k3, %last : (tensor<4x5x8xf32>, tensor<3xi32>) -> tensor<4x8x5xf32>
  %s = tosa.matmul %q3, %kk : (tensor<4x6x8xf32>, tensor<4x8x5xf32>) -> tensor<4x6x5xf32>
  %m = tosa.reduce_max %s {axis = 2 : i32} : (tensor<4x6x5xf32>) -> tensor<4x6x1xf32>
  %d = tosa.sub %s, %m : (tensor<4x6x5xf32>, tensor<4x6x1xf32>) -> tensor<4x6x5xf32>
  %e = tosa.exp %d : (tensor<4x6x5xf32>) -> tensor<4x6x5xf32>
  %l = tosa.reduce_sum %e {axis = 2 : i32} : (tensor<4x6x5xf32>) -> tensor<4x6x1xf32>
  %r = tosa.reciprocal %l : (tensor<4x6x1xf32>) -> tensor<4x6x1xf32>
  %p = tosa.mul %e, %r {shift = 0 : i8} : (tensor<4x6x5xf32>, tensor<4x6x1xf32>) -> tensor<4x6x5xf32>
  %o = tosa.matmul %p, %v3 : (tensor<4x6x5xf32>, tensor<4x5x8xf32>) -> tensor<4x6x8xf32>
  return %o : tensor<4x6x8xf32>
}

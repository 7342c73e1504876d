// RUN: flash-opt %s --decompose-merge | FileCheck %s

// CHECK-DAG: #[[$ROW:.*]] = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
// CHECK-DAG: #[[$ROW_OF:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
// CHECK-DAG: #[[$ELEMENT:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>

// CHECK-LABEL: func @tensors
// CHECK-SAME: (%[[OA:.*]]: tensor<2x4x?x16xbf16>, %[[LA:.*]]: tensor<2x4x?xf32>, %[[OB:.*]]: tensor<2x4x?x16xbf16>, %[[LB:.*]]: tensor<2x4x?xf32>, %[[OUT:.*]]: tensor<2x4x?x16xf32>, %[[LSE:.*]]: tensor<2x4x?xf32>)
func.func @tensors(%oa: tensor<2x4x?x16xbf16>, %la: tensor<2x4x?xf32>, %ob: tensor<2x4x?x16xbf16>,
                   %lb: tensor<2x4x?xf32>, %out: tensor<2x4x?x16xf32>, %lse: tensor<2x4x?xf32>)
    -> (tensor<2x4x?x16xf32>, tensor<2x4x?xf32>) {
  // CHECK: %[[N:.*]] = tensor.dim %[[LSE]]
  // CHECK: %[[TA:.*]] = tensor.empty(%[[N]]) : tensor<2x4x?xf32>
  // CHECK: %[[TB:.*]] = tensor.empty(%[[N]]) : tensor<2x4x?xf32>
  // CHECK: %[[W:.*]]:3 = linalg.generic {indexing_maps = [#[[$ROW]], #[[$ROW]], #[[$ROW]], #[[$ROW]], #[[$ROW]]]
  // CHECK-SAME: ins(%[[LA]], %[[LB]] : {{.*}}) outs(%[[TA]], %[[TB]], %[[LSE]] : {{.*}})
  // CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32, %{{.*}}: f32, %{{.*}}: f32, %{{.*}}: f32):
  // CHECK-DAG: %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
  // CHECK-DAG: %[[LOWEST:.*]] = arith.constant 0xFF800000 : f32
  // CHECK: %[[M:.*]] = arith.maximumf %[[A]], %[[B]]
  // CHECK: %[[EMPTY:.*]] = arith.cmpf oeq, %[[M]], %[[LOWEST]]
  // CHECK: %[[BASE:.*]] = arith.select %[[EMPTY]], %[[ZERO]], %[[M]]
  // CHECK: arith.subf %[[A]], %[[BASE]]
  // CHECK: math.exp
  // CHECK: arith.subf %[[B]], %[[BASE]]
  // CHECK: math.exp
  // CHECK: math.log
  // CHECK: linalg.yield
  // CHECK: %[[O:.*]] = linalg.generic {indexing_maps = [#[[$ROW_OF]], #[[$ELEMENT]], #[[$ROW_OF]], #[[$ELEMENT]], #[[$ELEMENT]]]
  // CHECK-SAME: ins(%[[W]]#0, %[[OA]], %[[W]]#1, %[[OB]] : {{.*}}) outs(%[[OUT]] : tensor<2x4x?x16xf32>)
  // CHECK: arith.extf %{{.*}} : bf16 to f32
  // CHECK: arith.extf %{{.*}} : bf16 to f32
  // CHECK: return %[[O]], %[[W]]#2
  %0:2 = attn.merge
      ins(%oa, %la, %ob, %lb : tensor<2x4x?x16xbf16>, tensor<2x4x?xf32>, tensor<2x4x?x16xbf16>, tensor<2x4x?xf32>)
      outs(%out, %lse : tensor<2x4x?x16xf32>, tensor<2x4x?xf32>) -> tensor<2x4x?x16xf32>, tensor<2x4x?xf32>
  return %0#0, %0#1 : tensor<2x4x?x16xf32>, tensor<2x4x?xf32>
}

// CHECK-LABEL: func @memory
// CHECK-SAME: (%[[OA:.*]]: memref<2x4x8x16xf64>, %[[LA:.*]]: memref<2x4x8xf32>, %[[OB:.*]]: memref<2x4x8x16xf64>, %[[LB:.*]]: memref<2x4x8xf32>)
func.func @memory(%oa: memref<2x4x8x16xf64>, %la: memref<2x4x8xf32>, %ob: memref<2x4x8x16xf64>, %lb: memref<2x4x8xf32>) {
  // CHECK-NEXT: %[[TA:.*]] = memref.alloc() : memref<2x4x8xf64>
  // CHECK-NEXT: %[[TB:.*]] = memref.alloc() : memref<2x4x8xf64>
  // CHECK-NEXT: linalg.generic {{.*}} ins(%[[LA]], %[[LB]] : {{.*}}) outs(%[[TA]], %[[TB]], %[[LA]] : {{.*}})
  // CHECK: linalg.generic {{.*}} ins(%[[TA]], %[[OA]], %[[TB]], %[[OB]] : {{.*}}) outs(%[[OA]] : {{.*}})
  // CHECK: memref.dealloc %[[TA]]
  // CHECK-NEXT: memref.dealloc %[[TB]]
  // CHECK-NEXT: return
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf64>, memref<2x4x8xf32>, memref<2x4x8x16xf64>, memref<2x4x8xf32>)
      outs(%oa, %la : memref<2x4x8x16xf64>, memref<2x4x8xf32>)
  return
}

// RUN: flash-opt %s --raise-to-attention | FileCheck %s

// The attention of a Hugging Face decoder (Llama, eager): grouped heads after RoPE, an additive mask that is an argument.
// By scripts/export_graphs.py --small.

// The mask may hold -inf in a whole row, where this graph gives NaN.
// CHECK-LABEL: func.func @main
// CHECK: %[[R:.*]]:2 = attn.sdpa ins(%{{.*}} : tensor<2x4x6x8xf32>, tensor<2x2x6x8xf32>, tensor<2x2x6x8xf32>)
// CHECK-SAME: bias(%{{.*}} : tensor<2x1x6x6xf32>) {scale = 0.3535533
// CHECK: arith.cmpf oeq, %{{.*}}, %{{.*}} : f32
// CHECK: arith.select
// CHECK-NOT: math.exp
// CHECK-NOT: linalg.batch_matmul

#map4 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map5 = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
#map6 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d3, d4)>
#map7 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>
#map8 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#map9 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, 0)>
func.func @main(%32: tensor<2x4x6x8xf32>, %37: tensor<2x2x6x8xf32>, %transposed_12: tensor<2x2x6x8xf32>, %arg14: tensor<2x1x6x6xf32>) -> tensor<2x6x4x8xf32> {
  %c0_i64 = arith.constant 0 : i64
  %cst = arith.constant 0.000000e+00 : f32
  %cst_0 = arith.constant 0xFF800000 : f32
  %cst_2 = arith.constant 0.35355339059327379 : f64
  %38 = tensor.empty() : tensor<2x2x2x6x8xf32>
  %39 = linalg.generic {indexing_maps = [#map6, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%37 : tensor<2x2x6x8xf32>) outs(%38 : tensor<2x2x2x6x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<2x2x2x6x8xf32>
  %collapsed_20 = tensor.collapse_shape %39 [[0], [1, 2], [3], [4]] : tensor<2x2x2x6x8xf32> into tensor<2x4x6x8xf32>
  %40 = linalg.generic {indexing_maps = [#map6, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%transposed_12 : tensor<2x2x6x8xf32>) outs(%38 : tensor<2x2x2x6x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<2x2x2x6x8xf32>
  %41 = tensor.empty() : tensor<2x4x8x6xf32>
  %transposed_21 = linalg.transpose ins(%collapsed_20 : tensor<2x4x6x8xf32>) outs(%41 : tensor<2x4x8x6xf32>) permutation = [0, 1, 3, 2] 
  %collapsed_22 = tensor.collapse_shape %32 [[0, 1], [2], [3]] : tensor<2x4x6x8xf32> into tensor<8x6x8xf32>
  %collapsed_23 = tensor.collapse_shape %transposed_21 [[0, 1], [2], [3]] : tensor<2x4x8x6xf32> into tensor<8x8x6xf32>
  %42 = tensor.empty() : tensor<8x6x6xf32>
  %43 = linalg.fill ins(%cst : f32) outs(%42 : tensor<8x6x6xf32>) -> tensor<8x6x6xf32>
  %44 = linalg.batch_matmul ins(%collapsed_22, %collapsed_23 : tensor<8x6x8xf32>, tensor<8x8x6xf32>) outs(%43 : tensor<8x6x6xf32>) -> tensor<8x6x6xf32>
  %expanded_24 = tensor.expand_shape %44 [[0, 1], [2], [3]] output_shape [2, 4, 6, 6] : tensor<8x6x6xf32> into tensor<2x4x6x6xf32>
  %45 = tensor.empty() : tensor<2x4x6x6xf32>
  %46 = linalg.generic {indexing_maps = [#map4, #map4], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_24 : tensor<2x4x6x6xf32>) outs(%45 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %86 = arith.truncf %cst_2 : f64 to f32
    %87 = arith.mulf %in, %86 : f32
    linalg.yield %87 : f32
  } -> tensor<2x4x6x6xf32>
  %47 = linalg.generic {indexing_maps = [#map4, #map5, #map4], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%46, %arg14 : tensor<2x4x6x6xf32>, tensor<2x1x6x6xf32>) outs(%45 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: f32, %in_41: f32, %out: f32):
    %86 = arith.addf %in, %in_41 : f32
    linalg.yield %86 : f32
  } -> tensor<2x4x6x6xf32>
  %48 = tensor.empty() : tensor<2x4x6xi64>
  %49 = linalg.fill ins(%c0_i64 : i64) outs(%48 : tensor<2x4x6xi64>) -> tensor<2x4x6xi64>
  %50 = tensor.empty() : tensor<2x4x6xf32>
  %51 = linalg.fill ins(%cst_0 : f32) outs(%50 : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %52:2 = linalg.generic {indexing_maps = [#map4, #map8, #map8], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%47 : tensor<2x4x6x6xf32>) outs(%51, %49 : tensor<2x4x6xf32>, tensor<2x4x6xi64>) {
  ^bb0(%in: f32, %out: f32, %out_41: i64):
    %86 = linalg.index 3 : index
    %87 = arith.index_cast %86 : index to i64
    %88 = arith.maximumf %in, %out : f32
    %89 = arith.cmpf ogt, %in, %out : f32
    %90 = arith.select %89, %87, %out_41 : i64
    linalg.yield %88, %90 : f32, i64
  } -> (tensor<2x4x6xf32>, tensor<2x4x6xi64>)
  %expanded_25 = tensor.expand_shape %52#0 [[0], [1], [2, 3]] output_shape [2, 4, 6, 1] : tensor<2x4x6xf32> into tensor<2x4x6x1xf32>
  %53 = linalg.generic {indexing_maps = [#map4, #map9, #map4], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%47, %expanded_25 : tensor<2x4x6x6xf32>, tensor<2x4x6x1xf32>) outs(%45 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: f32, %in_41: f32, %out: f32):
    %86 = arith.subf %in, %in_41 : f32
    linalg.yield %86 : f32
  } -> tensor<2x4x6x6xf32>
  %54 = linalg.generic {indexing_maps = [#map4, #map4], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%53 : tensor<2x4x6x6xf32>) outs(%45 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %86 = math.exp %in : f32
    linalg.yield %86 : f32
  } -> tensor<2x4x6x6xf32>
  %55 = tensor.empty() : tensor<2x4x6x1xf32>
  %56 = linalg.fill ins(%cst : f32) outs(%55 : tensor<2x4x6x1xf32>) -> tensor<2x4x6x1xf32>
  %57 = linalg.generic {indexing_maps = [#map4, #map9], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%54 : tensor<2x4x6x6xf32>) outs(%56 : tensor<2x4x6x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %86 = arith.addf %in, %out : f32
    linalg.yield %86 : f32
  } -> tensor<2x4x6x1xf32>
  %58 = linalg.generic {indexing_maps = [#map4, #map9, #map4], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%54, %57 : tensor<2x4x6x6xf32>, tensor<2x4x6x1xf32>) outs(%45 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: f32, %in_41: f32, %out: f32):
    %86 = arith.divf %in, %in_41 : f32
    linalg.yield %86 : f32
  } -> tensor<2x4x6x6xf32>
  %collapsed_26 = tensor.collapse_shape %58 [[0, 1], [2], [3]] : tensor<2x4x6x6xf32> into tensor<8x6x6xf32>
  %collapsed_27 = tensor.collapse_shape %40 [[0, 1, 2], [3], [4]] : tensor<2x2x2x6x8xf32> into tensor<8x6x8xf32>
  %59 = tensor.empty() : tensor<8x6x8xf32>
  %60 = linalg.fill ins(%cst : f32) outs(%59 : tensor<8x6x8xf32>) -> tensor<8x6x8xf32>
  %61 = linalg.batch_matmul ins(%collapsed_26, %collapsed_27 : tensor<8x6x6xf32>, tensor<8x6x8xf32>) outs(%60 : tensor<8x6x8xf32>) -> tensor<8x6x8xf32>
  %expanded_28 = tensor.expand_shape %61 [[0, 1], [2], [3]] output_shape [2, 4, 6, 8] : tensor<8x6x8xf32> into tensor<2x4x6x8xf32>
  %62 = tensor.empty() : tensor<2x6x4x8xf32>
  %transposed_29 = linalg.transpose ins(%expanded_28 : tensor<2x4x6x8xf32>) outs(%62 : tensor<2x6x4x8xf32>) permutation = [0, 2, 1, 3] 
  return %transposed_29 : tensor<2x6x4x8xf32>
}


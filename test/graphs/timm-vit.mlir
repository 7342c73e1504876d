// RUN: flash-opt %s --raise-to-attention | FileCheck %s

// An attention of a timm vision transformer, from its fused projection to its output projection.
// By scripts/export_graphs.py --small.

// CHECK-LABEL: func.func @main
// CHECK: tensor.extract_slice %arg0[0, 0] [5, 16] [1, 1]
// CHECK: tensor.extract_slice %arg0[0, 16] [5, 16] [1, 1]
// CHECK: tensor.extract_slice %arg0[0, 32] [5, 16] [1, 1]
// CHECK: attn.sdpa ins({{.*}}) outs({{.*}}) {scale = 0.3535533
// CHECK-NOT: math.exp
// CHECK-NOT: linalg.batch_matmul

#map3 = affine_map<(d0, d1) -> (d0, d1)>
#map4 = affine_map<(d0, d1) -> (d1)>
#map5 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map6 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#map7 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, 0)>
func.func @main(%30: tensor<5x48xf32>, %arg9: tensor<16xf32>, %arg8: tensor<16x16xf32>) -> tensor<5x16xf32> {
  %c0_i64 = arith.constant 0 : i64
  %cst = arith.constant 0.000000e+00 : f32
  %cst_1 = arith.constant 0xFF800000 : f32
  %true = arith.constant true
  %cst_4 = arith.constant dense<0.000000e+00> : tensor<1x2x5x5xf32>
  %cst_5 = arith.constant 0xFFF0000000000000 : f64
  %cst_6 = arith.constant 0.59460355750136051 : f64
  %expanded = tensor.expand_shape %30 [[0, 1], [2, 3, 4]] output_shape [1, 5, 3, 2, 8] : tensor<5x48xf32> into tensor<1x5x3x2x8xf32>
  %31 = tensor.empty() : tensor<3x1x2x5x8xf32>
  %transposed_13 = linalg.transpose ins(%expanded : tensor<1x5x3x2x8xf32>) outs(%31 : tensor<3x1x2x5x8xf32>) permutation = [2, 0, 3, 1, 4] 
  %extracted_slice = tensor.extract_slice %transposed_13[0, 0, 0, 0, 0] [1, 1, 2, 5, 8] [1, 1, 1, 1, 1] : tensor<3x1x2x5x8xf32> to tensor<1x1x2x5x8xf32>
  %extracted_slice_14 = tensor.extract_slice %transposed_13[1, 0, 0, 0, 0] [1, 1, 2, 5, 8] [1, 1, 1, 1, 1] : tensor<3x1x2x5x8xf32> to tensor<1x1x2x5x8xf32>
  %extracted_slice_15 = tensor.extract_slice %transposed_13[2, 0, 0, 0, 0] [1, 1, 2, 5, 8] [1, 1, 1, 1, 1] : tensor<3x1x2x5x8xf32> to tensor<1x1x2x5x8xf32>
  %collapsed_16 = tensor.collapse_shape %extracted_slice [[0, 1], [2], [3], [4]] : tensor<1x1x2x5x8xf32> into tensor<1x2x5x8xf32>
  %collapsed_17 = tensor.collapse_shape %extracted_slice_14 [[0, 1], [2], [3], [4]] : tensor<1x1x2x5x8xf32> into tensor<1x2x5x8xf32>
  %32 = tensor.empty() : tensor<1x2x5x8xf32>
  %33 = linalg.generic {indexing_maps = [#map5, #map5], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%collapsed_16 : tensor<1x2x5x8xf32>) outs(%32 : tensor<1x2x5x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %170 = arith.truncf %cst_6 : f64 to f32
    %171 = arith.mulf %in, %170 : f32
    linalg.yield %171 : f32
  } -> tensor<1x2x5x8xf32>
  %34 = tensor.empty() : tensor<1x2x8x5xf32>
  %transposed_18 = linalg.transpose ins(%collapsed_17 : tensor<1x2x5x8xf32>) outs(%34 : tensor<1x2x8x5xf32>) permutation = [0, 1, 3, 2] 
  %35 = linalg.generic {indexing_maps = [#map5, #map5], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%transposed_18 : tensor<1x2x8x5xf32>) outs(%34 : tensor<1x2x8x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %170 = arith.truncf %cst_6 : f64 to f32
    %171 = arith.mulf %in, %170 : f32
    linalg.yield %171 : f32
  } -> tensor<1x2x8x5xf32>
  %collapsed_19 = tensor.collapse_shape %33 [[0, 1], [2], [3]] : tensor<1x2x5x8xf32> into tensor<2x5x8xf32>
  %collapsed_20 = tensor.collapse_shape %35 [[0, 1], [2], [3]] : tensor<1x2x8x5xf32> into tensor<2x8x5xf32>
  %36 = tensor.empty() : tensor<2x5x5xf32>
  %37 = linalg.fill ins(%cst : f32) outs(%36 : tensor<2x5x5xf32>) -> tensor<2x5x5xf32>
  %38 = linalg.batch_matmul ins(%collapsed_19, %collapsed_20 : tensor<2x5x8xf32>, tensor<2x8x5xf32>) outs(%37 : tensor<2x5x5xf32>) -> tensor<2x5x5xf32>
  %expanded_21 = tensor.expand_shape %38 [[0, 1], [2], [3]] output_shape [1, 2, 5, 5] : tensor<2x5x5xf32> into tensor<1x2x5x5xf32>
  %39 = tensor.empty() : tensor<1x2x5xi64>
  %40 = linalg.fill ins(%c0_i64 : i64) outs(%39 : tensor<1x2x5xi64>) -> tensor<1x2x5xi64>
  %41 = tensor.empty() : tensor<1x2x5xf32>
  %42 = linalg.fill ins(%cst_1 : f32) outs(%41 : tensor<1x2x5xf32>) -> tensor<1x2x5xf32>
  %43:2 = linalg.generic {indexing_maps = [#map5, #map6, #map6], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%expanded_21 : tensor<1x2x5x5xf32>) outs(%42, %40 : tensor<1x2x5xf32>, tensor<1x2x5xi64>) {
  ^bb0(%in: f32, %out: f32, %out_66: i64):
    %170 = linalg.index 3 : index
    %171 = arith.index_cast %170 : index to i64
    %172 = arith.maximumf %in, %out : f32
    %173 = arith.cmpf ogt, %in, %out : f32
    %174 = arith.select %173, %171, %out_66 : i64
    linalg.yield %172, %174 : f32, i64
  } -> (tensor<1x2x5xf32>, tensor<1x2x5xi64>)
  %expanded_22 = tensor.expand_shape %43#0 [[0], [1], [2, 3]] output_shape [1, 2, 5, 1] : tensor<1x2x5xf32> into tensor<1x2x5x1xf32>
  %44 = tensor.empty() : tensor<1x2x5x5xf32>
  %45 = linalg.generic {indexing_maps = [#map5, #map7, #map5], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_21, %expanded_22 : tensor<1x2x5x5xf32>, tensor<1x2x5x1xf32>) outs(%44 : tensor<1x2x5x5xf32>) {
  ^bb0(%in: f32, %in_66: f32, %out: f32):
    %170 = arith.subf %in, %in_66 : f32
    linalg.yield %170 : f32
  } -> tensor<1x2x5x5xf32>
  %46 = linalg.generic {indexing_maps = [#map5, #map5], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%45 : tensor<1x2x5x5xf32>) outs(%44 : tensor<1x2x5x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %170 = math.exp %in : f32
    linalg.yield %170 : f32
  } -> tensor<1x2x5x5xf32>
  %47 = tensor.empty() : tensor<1x2x5x1xf32>
  %48 = linalg.fill ins(%cst : f32) outs(%47 : tensor<1x2x5x1xf32>) -> tensor<1x2x5x1xf32>
  %49 = linalg.generic {indexing_maps = [#map5, #map7], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%46 : tensor<1x2x5x5xf32>) outs(%48 : tensor<1x2x5x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %170 = arith.addf %in, %out : f32
    linalg.yield %170 : f32
  } -> tensor<1x2x5x1xf32>
  %50 = linalg.generic {indexing_maps = [#map5, #map7, #map5], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%46, %49 : tensor<1x2x5x5xf32>, tensor<1x2x5x1xf32>) outs(%44 : tensor<1x2x5x5xf32>) {
  ^bb0(%in: f32, %in_66: f32, %out: f32):
    %170 = arith.divf %in, %in_66 : f32
    linalg.yield %170 : f32
  } -> tensor<1x2x5x5xf32>
  %51 = tensor.empty() : tensor<1x2x5x5xi1>
  %52 = linalg.generic {indexing_maps = [#map5, #map5], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_21 : tensor<1x2x5x5xf32>) outs(%51 : tensor<1x2x5x5xi1>) {
  ^bb0(%in: f32, %out: i1):
    %170 = arith.extf %in : f32 to f64
    %171 = arith.cmpf oeq, %170, %cst_5 : f64
    linalg.yield %171 : i1
  } -> tensor<1x2x5x5xi1>
  %53 = tensor.empty() : tensor<1x2x5x1xi1>
  %54 = linalg.fill ins(%true : i1) outs(%53 : tensor<1x2x5x1xi1>) -> tensor<1x2x5x1xi1>
  %55 = linalg.generic {indexing_maps = [#map5, #map7], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%52 : tensor<1x2x5x5xi1>) outs(%54 : tensor<1x2x5x1xi1>) {
  ^bb0(%in: i1, %out: i1):
    %170 = arith.andi %in, %out : i1
    linalg.yield %170 : i1
  } -> tensor<1x2x5x1xi1>
  %56 = linalg.generic {indexing_maps = [#map7, #map5, #map5, #map5], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%55, %cst_4, %50 : tensor<1x2x5x1xi1>, tensor<1x2x5x5xf32>, tensor<1x2x5x5xf32>) outs(%44 : tensor<1x2x5x5xf32>) {
  ^bb0(%in: i1, %in_66: f32, %in_67: f32, %out: f32):
    %170 = arith.select %in, %in_66, %in_67 : f32
    linalg.yield %170 : f32
  } -> tensor<1x2x5x5xf32>
  %collapsed_23 = tensor.collapse_shape %56 [[0, 1], [2], [3]] : tensor<1x2x5x5xf32> into tensor<2x5x5xf32>
  %collapsed_24 = tensor.collapse_shape %extracted_slice_15 [[0, 1, 2], [3], [4]] : tensor<1x1x2x5x8xf32> into tensor<2x5x8xf32>
  %57 = tensor.empty() : tensor<2x5x8xf32>
  %58 = linalg.fill ins(%cst : f32) outs(%57 : tensor<2x5x8xf32>) -> tensor<2x5x8xf32>
  %59 = linalg.batch_matmul ins(%collapsed_23, %collapsed_24 : tensor<2x5x5xf32>, tensor<2x5x8xf32>) outs(%58 : tensor<2x5x8xf32>) -> tensor<2x5x8xf32>
  %expanded_25 = tensor.expand_shape %59 [[0, 1], [2], [3]] output_shape [1, 2, 5, 8] : tensor<2x5x8xf32> into tensor<1x2x5x8xf32>
  %60 = tensor.empty() : tensor<1x5x2x8xf32>
  %transposed_26 = linalg.transpose ins(%expanded_25 : tensor<1x2x5x8xf32>) outs(%60 : tensor<1x5x2x8xf32>) permutation = [0, 2, 1, 3] 
  %collapsed_27 = tensor.collapse_shape %transposed_26 [[0, 1], [2, 3]] : tensor<1x5x2x8xf32> into tensor<5x16xf32>
  %61 = tensor.empty() : tensor<16x16xf32>
  %transposed_28 = linalg.transpose ins(%arg8 : tensor<16x16xf32>) outs(%61 : tensor<16x16xf32>) permutation = [1, 0] 
  %62 = tensor.empty() : tensor<5x16xf32>
  %63 = linalg.fill ins(%cst : f32) outs(%62 : tensor<5x16xf32>) -> tensor<5x16xf32>
  %64 = linalg.matmul ins(%collapsed_27, %transposed_28 : tensor<5x16xf32>, tensor<16x16xf32>) outs(%63 : tensor<5x16xf32>) -> tensor<5x16xf32>
  %65 = linalg.generic {indexing_maps = [#map3, #map4, #map3], iterator_types = ["parallel", "parallel"]} ins(%64, %arg9 : tensor<5x16xf32>, tensor<16xf32>) outs(%62 : tensor<5x16xf32>) {
  ^bb0(%in: f32, %in_66: f32, %out: f32):
    %170 = arith.addf %in, %in_66 : f32
    linalg.yield %170 : f32
  } -> tensor<5x16xf32>
  return %65 : tensor<5x16xf32>
}


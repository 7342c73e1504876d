// RUN: flash-opt %s --raise-to-attention | FileCheck %s

// The attention of a Hugging Face encoder (Bert, sdpa) with a padding mask, from its projections to its output.
// By scripts/export_graphs.py --small.

// CHECK-LABEL: func.func @main
// CHECK: %[[Q:.*]] = linalg.transpose {{.*}} permutation = [0, 2, 1, 3]
// CHECK: %[[K:.*]] = linalg.transpose {{.*}} permutation = [0, 2, 1, 3]
// CHECK: %[[V:.*]] = linalg.transpose {{.*}} permutation = [0, 2, 1, 3]
// CHECK: attn.sdpa ins(%[[Q]], %[[K]], %[[V]] :
// CHECK-SAME: masks [#attn.key_padding] (%{{.*}} : tensor<2x6xi1>) {scale = 0.3535533
// CHECK-NOT: math.exp
// CHECK-NOT: linalg.batch_matmul

#map = affine_map<(d0) -> (d0)>
#map7 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map8 = affine_map<(d0, d1, d2, d3) -> ()>
#map9 = affine_map<(d0, d1, d2, d3) -> (d0, 0, 0, 0)>
#map10 = affine_map<(d0, d1, d2, d3) -> (0, 0, 0, d3)>
#map11 = affine_map<(d0, d1, d2, d3) -> (0, d1, d2, 0)>
#map12 = affine_map<(d0, d1, d2, d3) -> (d0, d1, 0, d3)>
#map14 = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
#map15 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#map16 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, 0)>
func.func @main(%45: tensor<12x32xf32>, %48: tensor<12x32xf32>, %50: tensor<12x32xf32>, %31: tensor<2x6xi1>) -> tensor<2x6x32xf32> {
  %c2_i64 = arith.constant 2 : i64
  %c0_i64 = arith.constant 0 : i64
  %c6_i64 = arith.constant 6 : i64
  %cst_0 = arith.constant 0.000000e+00 : f32
  %cst_1 = arith.constant 0xFF800000 : f32
  %true = arith.constant true
  %cst_4 = arith.constant dense<0.000000e+00> : tensor<2x4x6x6xf32>
  %cst_5 = arith.constant dense<0.000000e+00> : tensor<f32>
  %cst_6 = arith.constant dense<0xFF800000> : tensor<f32>
  %cst_7 = arith.constant dense<true> : tensor<i1>
  %cst_8 = arith.constant 0.59460355750136051 : f64
  %cst_9 = arith.constant 0xFFF0000000000000 : f64
  %0 = tensor.empty() : tensor<6xi64>
  %1 = linalg.generic {indexing_maps = [#map], iterator_types = ["parallel"]} outs(%0 : tensor<6xi64>) {
  ^bb0(%out: i64):
    %126 = linalg.index 0 : index
    %127 = arith.index_cast %126 : index to i64
    linalg.yield %127 : i64
  } -> tensor<6xi64>
  %32 = tensor.empty() : tensor<2xi64>
  %33 = linalg.generic {indexing_maps = [#map], iterator_types = ["parallel"]} outs(%32 : tensor<2xi64>) {
  ^bb0(%out: i64):
    %126 = linalg.index 0 : index
    %127 = arith.index_cast %126 : index to i64
    linalg.yield %127 : i64
  } -> tensor<2xi64>
  %expanded_15 = tensor.expand_shape %33 [[0, 1, 2, 3]] output_shape [2, 1, 1, 1] : tensor<2xi64> into tensor<2x1x1x1xi64>
  %expanded_16 = tensor.expand_shape %1 [[0, 1, 2, 3]] output_shape [1, 1, 6, 1] : tensor<6xi64> into tensor<1x1x6x1xi64>
  %expanded_17 = tensor.expand_shape %1 [[0, 1, 2, 3]] output_shape [1, 1, 1, 6] : tensor<6xi64> into tensor<1x1x1x6xi64>
  %34 = tensor.empty() : tensor<1x1x6x1xi1>
  %35 = linalg.generic {indexing_maps = [#map7, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_16 : tensor<1x1x6x1xi64>) outs(%34 : tensor<1x1x6x1xi1>) {
  ^bb0(%in: i64, %out: i1):
    %126 = arith.cmpi sge, %in, %c0_i64 : i64
    linalg.yield %126 : i1
  } -> tensor<1x1x6x1xi1>
  %36 = linalg.generic {indexing_maps = [#map8, #map7, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%cst_7, %35 : tensor<i1>, tensor<1x1x6x1xi1>) outs(%34 : tensor<1x1x6x1xi1>) {
  ^bb0(%in: i1, %in_42: i1, %out: i1):
    %126 = arith.andi %in, %in_42 : i1
    linalg.yield %126 : i1
  } -> tensor<1x1x6x1xi1>
  %37 = tensor.empty() : tensor<2x1x1x6xi1>
  %38 = linalg.generic {indexing_maps = [#map9, #map10, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_15, %expanded_17 : tensor<2x1x1x1xi64>, tensor<1x1x1x6xi64>) outs(%37 : tensor<2x1x1x6xi1>) {
  ^bb0(%in: i64, %in_42: i64, %out: i1):
    %126 = arith.cmpi slt, %in, %c0_i64 : i64
    %127 = arith.addi %in, %c2_i64 : i64
    %128 = arith.select %126, %127, %in : i64
    %129 = arith.index_cast %128 : i64 to index
    %130 = arith.cmpi slt, %in_42, %c0_i64 : i64
    %131 = arith.addi %in_42, %c6_i64 : i64
    %132 = arith.select %130, %131, %in_42 : i64
    %133 = arith.index_cast %132 : i64 to index
    %extracted = tensor.extract %31[%129, %133] : tensor<2x6xi1>
    linalg.yield %extracted : i1
  } -> tensor<2x1x1x6xi1>
  %39 = tensor.empty() : tensor<2x1x6x6xi1>
  %40 = linalg.generic {indexing_maps = [#map11, #map12, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%36, %38 : tensor<1x1x6x1xi1>, tensor<2x1x1x6xi1>) outs(%39 : tensor<2x1x6x6xi1>) {
  ^bb0(%in: i1, %in_42: i1, %out: i1):
    %126 = arith.andi %in, %in_42 : i1
    linalg.yield %126 : i1
  } -> tensor<2x1x6x6xi1>
  %expanded_18 = tensor.expand_shape %45 [[0, 1], [2, 3]] output_shape [2, 6, 4, 8] : tensor<12x32xf32> into tensor<2x6x4x8xf32>
  %46 = tensor.empty() : tensor<2x4x6x8xf32>
  %transposed_19 = linalg.transpose ins(%expanded_18 : tensor<2x6x4x8xf32>) outs(%46 : tensor<2x4x6x8xf32>) permutation = [0, 2, 1, 3] 
  %expanded_21 = tensor.expand_shape %48 [[0, 1], [2, 3]] output_shape [2, 6, 4, 8] : tensor<12x32xf32> into tensor<2x6x4x8xf32>
  %expanded_23 = tensor.expand_shape %50 [[0, 1], [2, 3]] output_shape [2, 6, 4, 8] : tensor<12x32xf32> into tensor<2x6x4x8xf32>
  %transposed_24 = linalg.transpose ins(%expanded_23 : tensor<2x6x4x8xf32>) outs(%46 : tensor<2x4x6x8xf32>) permutation = [0, 2, 1, 3] 
  %51 = tensor.empty() : tensor<2x1x6x6xf32>
  %52 = linalg.generic {indexing_maps = [#map7, #map8, #map8, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%40, %cst_5, %cst_6 : tensor<2x1x6x6xi1>, tensor<f32>, tensor<f32>) outs(%51 : tensor<2x1x6x6xf32>) {
  ^bb0(%in: i1, %in_42: f32, %in_43: f32, %out: f32):
    %126 = arith.select %in, %in_42, %in_43 : f32
    linalg.yield %126 : f32
  } -> tensor<2x1x6x6xf32>
  %53 = linalg.generic {indexing_maps = [#map7, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%transposed_19 : tensor<2x4x6x8xf32>) outs(%46 : tensor<2x4x6x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %126 = arith.truncf %cst_8 : f64 to f32
    %127 = arith.mulf %in, %126 : f32
    linalg.yield %127 : f32
  } -> tensor<2x4x6x8xf32>
  %54 = tensor.empty() : tensor<2x4x8x6xf32>
  %transposed_25 = linalg.transpose ins(%expanded_21 : tensor<2x6x4x8xf32>) outs(%54 : tensor<2x4x8x6xf32>) permutation = [0, 2, 3, 1] 
  %55 = linalg.generic {indexing_maps = [#map7, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%transposed_25 : tensor<2x4x8x6xf32>) outs(%54 : tensor<2x4x8x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %126 = arith.truncf %cst_8 : f64 to f32
    %127 = arith.mulf %in, %126 : f32
    linalg.yield %127 : f32
  } -> tensor<2x4x8x6xf32>
  %collapsed_26 = tensor.collapse_shape %53 [[0, 1], [2], [3]] : tensor<2x4x6x8xf32> into tensor<8x6x8xf32>
  %collapsed_27 = tensor.collapse_shape %55 [[0, 1], [2], [3]] : tensor<2x4x8x6xf32> into tensor<8x8x6xf32>
  %56 = tensor.empty() : tensor<8x6x6xf32>
  %57 = linalg.fill ins(%cst_0 : f32) outs(%56 : tensor<8x6x6xf32>) -> tensor<8x6x6xf32>
  %58 = linalg.batch_matmul ins(%collapsed_26, %collapsed_27 : tensor<8x6x8xf32>, tensor<8x8x6xf32>) outs(%57 : tensor<8x6x6xf32>) -> tensor<8x6x6xf32>
  %expanded_28 = tensor.expand_shape %58 [[0, 1], [2], [3]] output_shape [2, 4, 6, 6] : tensor<8x6x6xf32> into tensor<2x4x6x6xf32>
  %59 = tensor.empty() : tensor<2x4x6x6xf32>
  %60 = linalg.generic {indexing_maps = [#map7, #map14, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded_28, %52 : tensor<2x4x6x6xf32>, tensor<2x1x6x6xf32>) outs(%59 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: f32, %in_42: f32, %out: f32):
    %126 = arith.addf %in, %in_42 : f32
    linalg.yield %126 : f32
  } -> tensor<2x4x6x6xf32>
  %61 = tensor.empty() : tensor<2x4x6xi64>
  %62 = linalg.fill ins(%c0_i64 : i64) outs(%61 : tensor<2x4x6xi64>) -> tensor<2x4x6xi64>
  %63 = tensor.empty() : tensor<2x4x6xf32>
  %64 = linalg.fill ins(%cst_1 : f32) outs(%63 : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %65:2 = linalg.generic {indexing_maps = [#map7, #map15, #map15], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%60 : tensor<2x4x6x6xf32>) outs(%64, %62 : tensor<2x4x6xf32>, tensor<2x4x6xi64>) {
  ^bb0(%in: f32, %out: f32, %out_42: i64):
    %126 = linalg.index 3 : index
    %127 = arith.index_cast %126 : index to i64
    %128 = arith.maximumf %in, %out : f32
    %129 = arith.cmpf ogt, %in, %out : f32
    %130 = arith.select %129, %127, %out_42 : i64
    linalg.yield %128, %130 : f32, i64
  } -> (tensor<2x4x6xf32>, tensor<2x4x6xi64>)
  %expanded_29 = tensor.expand_shape %65#0 [[0], [1], [2, 3]] output_shape [2, 4, 6, 1] : tensor<2x4x6xf32> into tensor<2x4x6x1xf32>
  %66 = linalg.generic {indexing_maps = [#map7, #map16, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%60, %expanded_29 : tensor<2x4x6x6xf32>, tensor<2x4x6x1xf32>) outs(%59 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: f32, %in_42: f32, %out: f32):
    %126 = arith.subf %in, %in_42 : f32
    linalg.yield %126 : f32
  } -> tensor<2x4x6x6xf32>
  %67 = linalg.generic {indexing_maps = [#map7, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%66 : tensor<2x4x6x6xf32>) outs(%59 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %126 = math.exp %in : f32
    linalg.yield %126 : f32
  } -> tensor<2x4x6x6xf32>
  %68 = tensor.empty() : tensor<2x4x6x1xf32>
  %69 = linalg.fill ins(%cst_0 : f32) outs(%68 : tensor<2x4x6x1xf32>) -> tensor<2x4x6x1xf32>
  %70 = linalg.generic {indexing_maps = [#map7, #map16], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%67 : tensor<2x4x6x6xf32>) outs(%69 : tensor<2x4x6x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %126 = arith.addf %in, %out : f32
    linalg.yield %126 : f32
  } -> tensor<2x4x6x1xf32>
  %71 = linalg.generic {indexing_maps = [#map7, #map16, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%67, %70 : tensor<2x4x6x6xf32>, tensor<2x4x6x1xf32>) outs(%59 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: f32, %in_42: f32, %out: f32):
    %126 = arith.divf %in, %in_42 : f32
    linalg.yield %126 : f32
  } -> tensor<2x4x6x6xf32>
  %72 = tensor.empty() : tensor<2x4x6x6xi1>
  %73 = linalg.generic {indexing_maps = [#map7, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%60 : tensor<2x4x6x6xf32>) outs(%72 : tensor<2x4x6x6xi1>) {
  ^bb0(%in: f32, %out: i1):
    %126 = arith.extf %in : f32 to f64
    %127 = arith.cmpf oeq, %126, %cst_9 : f64
    linalg.yield %127 : i1
  } -> tensor<2x4x6x6xi1>
  %74 = tensor.empty() : tensor<2x4x6x1xi1>
  %75 = linalg.fill ins(%true : i1) outs(%74 : tensor<2x4x6x1xi1>) -> tensor<2x4x6x1xi1>
  %76 = linalg.generic {indexing_maps = [#map7, #map16], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%73 : tensor<2x4x6x6xi1>) outs(%75 : tensor<2x4x6x1xi1>) {
  ^bb0(%in: i1, %out: i1):
    %126 = arith.andi %in, %out : i1
    linalg.yield %126 : i1
  } -> tensor<2x4x6x1xi1>
  %77 = linalg.generic {indexing_maps = [#map16, #map7, #map7, #map7], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%76, %cst_4, %71 : tensor<2x4x6x1xi1>, tensor<2x4x6x6xf32>, tensor<2x4x6x6xf32>) outs(%59 : tensor<2x4x6x6xf32>) {
  ^bb0(%in: i1, %in_42: f32, %in_43: f32, %out: f32):
    %126 = arith.select %in, %in_42, %in_43 : f32
    linalg.yield %126 : f32
  } -> tensor<2x4x6x6xf32>
  %collapsed_30 = tensor.collapse_shape %77 [[0, 1], [2], [3]] : tensor<2x4x6x6xf32> into tensor<8x6x6xf32>
  %collapsed_31 = tensor.collapse_shape %transposed_24 [[0, 1], [2], [3]] : tensor<2x4x6x8xf32> into tensor<8x6x8xf32>
  %78 = tensor.empty() : tensor<8x6x8xf32>
  %79 = linalg.fill ins(%cst_0 : f32) outs(%78 : tensor<8x6x8xf32>) -> tensor<8x6x8xf32>
  %80 = linalg.batch_matmul ins(%collapsed_30, %collapsed_31 : tensor<8x6x6xf32>, tensor<8x6x8xf32>) outs(%79 : tensor<8x6x8xf32>) -> tensor<8x6x8xf32>
  %expanded_32 = tensor.expand_shape %80 [[0, 1], [2], [3]] output_shape [2, 4, 6, 8] : tensor<8x6x8xf32> into tensor<2x4x6x8xf32>
  %81 = tensor.empty() : tensor<2x6x4x8xf32>
  %transposed_33 = linalg.transpose ins(%expanded_32 : tensor<2x4x6x8xf32>) outs(%81 : tensor<2x6x4x8xf32>) permutation = [0, 2, 1, 3] 
  %collapsed_34 = tensor.collapse_shape %transposed_33 [[0], [1], [2, 3]] : tensor<2x6x4x8xf32> into tensor<2x6x32xf32>
  return %collapsed_34 : tensor<2x6x32xf32>
}


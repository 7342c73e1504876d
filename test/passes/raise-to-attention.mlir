// RUN: flash-opt %s --split-input-file --raise-to-attention | FileCheck %s

// linalg.softmax between two batched products; the key comes transposed.
// CHECK-LABEL: func.func @softmax_operation
// CHECK-SAME: %[[Q:.*]]: tensor<8x16x32xf32>, %[[KT:.*]]: tensor<8x32x20xf32>, %[[V:.*]]: tensor<8x20x24xf32>
// CHECK: %[[Q4:.*]] = tensor.expand_shape %[[Q]]
// CHECK: %[[K:.*]] = linalg.transpose ins(%[[KT]] {{.*}} permutation = [0, 2, 1]
// CHECK: %[[K4:.*]] = tensor.expand_shape %[[K]]
// CHECK: %[[V4:.*]] = tensor.expand_shape %[[V]]
// CHECK: %[[R:.*]] = attn.sdpa ins(%[[Q4]], %[[K4]], %[[V4]] : tensor<8x1x16x32xf32>, tensor<8x1x20x32xf32>, tensor<8x1x20x24xf32>)
// CHECK-SAME: {scale = 1.000000e+00 : f64} -> tensor<8x1x16x24xf32>
// CHECK: %[[OUT:.*]] = tensor.collapse_shape %[[R]]
// CHECK: return %[[OUT]]
func.func @softmax_operation(%q: tensor<8x16x32xf32>, %kt: tensor<8x32x20xf32>, %v: tensor<8x20x24xf32>) -> tensor<8x16x24xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x16x20xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<8x16x20xf32>) -> tensor<8x16x20xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<8x16x32xf32>, tensor<8x32x20xf32>) outs(%init : tensor<8x16x20xf32>) -> tensor<8x16x20xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<8x16x20xf32>) outs(%e : tensor<8x16x20xf32>) -> tensor<8x16x20xf32>
  %eo = tensor.empty() : tensor<8x16x24xf32>
  %io = linalg.fill ins(%zero : f32) outs(%eo : tensor<8x16x24xf32>) -> tensor<8x16x24xf32>
  %o = linalg.batch_matmul ins(%p, %v : tensor<8x16x20xf32>, tensor<8x20x24xf32>) outs(%io : tensor<8x16x24xf32>) -> tensor<8x16x24xf32>
  return %o : tensor<8x16x24xf32>
}

// -----

#s = affine_map<(b, h, i, j) -> (b, h, i, j)>
#row = affine_map<(b, h, i, j) -> (b, h, i)>
#q = affine_map<(b, h, i, j, d) -> (b, i, h, d)>
#k = affine_map<(b, h, i, j, d) -> (b, j, d)>
#sd = affine_map<(b, h, i, j, d) -> (b, h, i, j)>
#p = affine_map<(b, h, i, d, j) -> (b, h, i, j)>
#v = affine_map<(b, h, i, d, j) -> (b, j, d)>
#o = affine_map<(b, h, i, d, j) -> (b, i, h, d)>

// Generics with dynamic sizes: a key that all heads share, the scale on both sides of the product, a reciprocal, a softcap.
// CHECK-LABEL: func.func @generics
// CHECK-SAME: %[[Q:.*]]: tensor<?x?x4x8xf16>, %[[K:.*]]: tensor<?x?x8xf16>, %[[V:.*]]: tensor<?x?x8xf16>
// CHECK-DAG: %[[Q4:.*]] = linalg.transpose ins(%[[Q]] {{.*}} permutation = [0, 2, 1, 3]
// CHECK-DAG: %[[K4:.*]] = tensor.expand_shape %[[K]]
// CHECK-DAG: %[[V4:.*]] = tensor.expand_shape %[[V]]
// CHECK: %[[R:.*]] = attn.sdpa ins(%[[Q4]], %[[K4]], %[[V4]] : tensor<?x4x?x8xf16>, tensor<?x1x?x8xf16>, tensor<?x1x?x8xf16>)
// CHECK-SAME: {scale = 1.250000e-01 : f64, softcap = 5.000000e+01 : f64} -> tensor<?x4x?x8xf32>
// CHECK: linalg.transpose ins(%[[R]] {{.*}} permutation = [0, 2, 1, 3]
func.func @generics(%q: tensor<?x?x4x8xf16>, %k: tensor<?x?x8xf16>, %v: tensor<?x?x8xf16>, %scores: tensor<?x4x?x?xf32>,
                    %rows: tensor<?x4x?xf32>, %out: tensor<?x?x4x8xf32>) -> tensor<?x?x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %half = arith.constant 0.5 : f16
  %quarter = arith.constant 0.25 : f32
  %cap = arith.constant 50.0 : f32
  %one = arith.constant 1.0 : f32
  %scaled = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
    ins(%q : tensor<?x?x4x8xf16>) outs(%q : tensor<?x?x4x8xf16>) {
  ^bb0(%x: f16, %y: f16):
    %0 = arith.mulf %half, %x : f16
    linalg.yield %0 : f16
  } -> tensor<?x?x4x8xf16>
  %s0 = linalg.fill ins(%zero : f32) outs(%scores : tensor<?x4x?x?xf32>) -> tensor<?x4x?x?xf32>
  %s = linalg.generic {indexing_maps = [#q, #k, #sd], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
    ins(%scaled, %k : tensor<?x?x4x8xf16>, tensor<?x?x8xf16>) outs(%s0 : tensor<?x4x?x?xf32>) {
  ^bb0(%x: f16, %y: f16, %z: f32):
    %0 = arith.extf %x : f16 to f32
    %1 = arith.extf %y : f16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %z, %2 : f32
    linalg.yield %3 : f32
  } -> tensor<?x4x?x?xf32>
  %capped = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
    ins(%s : tensor<?x4x?x?xf32>) outs(%scores : tensor<?x4x?x?xf32>) {
  ^bb0(%x: f32, %y: f32):
    %0 = arith.mulf %x, %quarter : f32
    %1 = arith.divf %0, %cap : f32
    %2 = math.tanh %1 : f32
    %3 = arith.mulf %2, %cap : f32
    linalg.yield %3 : f32
  } -> tensor<?x4x?x?xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%rows : tensor<?x4x?xf32>) -> tensor<?x4x?xf32>
  %m = linalg.reduce ins(%capped : tensor<?x4x?x?xf32>) outs(%m0 : tensor<?x4x?xf32>) dimensions = [3]
    (%x: f32, %y: f32) {
      %0 = arith.maximumf %x, %y : f32
      linalg.yield %0 : f32
    }
  %e = linalg.generic {indexing_maps = [#s, #row, #s], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
    ins(%capped, %m : tensor<?x4x?x?xf32>, tensor<?x4x?xf32>) outs(%scores : tensor<?x4x?x?xf32>) {
  ^bb0(%x: f32, %y: f32, %z: f32):
    %0 = arith.subf %x, %y : f32
    %1 = math.exp %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x4x?x?xf32>
  %l0 = linalg.fill ins(%zero : f32) outs(%rows : tensor<?x4x?xf32>) -> tensor<?x4x?xf32>
  %l = linalg.generic {indexing_maps = [#s, #row], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%e : tensor<?x4x?x?xf32>) outs(%l0 : tensor<?x4x?xf32>) {
  ^bb0(%x: f32, %y: f32):
    %0 = arith.addf %y, %x : f32
    linalg.yield %0 : f32
  } -> tensor<?x4x?xf32>
  %p = linalg.generic {indexing_maps = [#s, #row, #s], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
    ins(%e, %l : tensor<?x4x?x?xf32>, tensor<?x4x?xf32>) outs(%scores : tensor<?x4x?x?xf32>) {
  ^bb0(%x: f32, %y: f32, %z: f32):
    %0 = arith.divf %one, %y : f32
    %1 = arith.mulf %x, %0 : f32
    linalg.yield %1 : f32
  } -> tensor<?x4x?x?xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%out : tensor<?x?x4x8xf32>) -> tensor<?x?x4x8xf32>
  %o = linalg.generic {indexing_maps = [#p, #v, #o], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction"]}
    ins(%p, %v : tensor<?x4x?x?xf32>, tensor<?x?x8xf16>) outs(%o0 : tensor<?x?x4x8xf32>) {
  ^bb0(%x: f32, %y: f16, %z: f32):
    %0 = arith.extf %y : f16 to f32
    %1 = arith.mulf %x, %0 : f32
    %2 = arith.addf %z, %1 : f32
    linalg.yield %2 : f32
  } -> tensor<?x?x4x8xf32>
  return %o : tensor<?x?x4x8xf32>
}

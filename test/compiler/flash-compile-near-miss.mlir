// RUN: flash-compile %s --target cpu --remarks -o %t 2>&1 | FileCheck %s --implicit-check-not=remark
// RUN: flash-compile %s --target cpu -o %t 2>&1 | count 0

// Weights that are returned besides have to be computed, so the softmax stays as it is; the remark says so once, however
// many instruction sets the object is for.
// CHECK: flash-compile-near-miss.mlir":16:3): remark: attention was not raised: the scores or the attention weights are also used here
func.func @main(%q: tensor<2x8x16xf32>, %kt: tensor<2x16x8xf32>, %v: tensor<2x8x16xf32>) -> (tensor<2x8x16xf32>, tensor<2x8x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x8x8xf32>
  %o = tensor.empty() : tensor<2x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<2x8x8xf32>) -> tensor<2x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<2x8x16xf32>) -> tensor<2x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x8x16xf32>, tensor<2x16x8xf32>) outs(%e0 : tensor<2x8x8xf32>) -> tensor<2x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<2x8x8xf32>) outs(%e : tensor<2x8x8xf32>) -> tensor<2x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x8x8xf32>, tensor<2x8x16xf32>) outs(%o0 : tensor<2x8x16xf32>) -> tensor<2x8x16xf32>
  return %r, %p : tensor<2x8x16xf32>, tensor<2x8x8xf32>
}

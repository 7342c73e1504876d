// Attention as a framework writes it: batch and heads are one dimension.
func.func @main(%q: tensor<4x40x64xf32>, %k: tensor<4x72x64xf32>, %v: tensor<4x72x64xf32>) -> tensor<4x40x64xf32> {
  %zero = arith.constant 0.0 : f32
  %scale = arith.constant 0.125 : f32
  %e = tensor.empty() : tensor<4x40x72xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<4x40x72xf32>) -> tensor<4x40x72xf32>
  %s = linalg.batch_matmul_transpose_b ins(%q, %k : tensor<4x40x64xf32>, tensor<4x72x64xf32>) outs(%z : tensor<4x40x72xf32>) -> tensor<4x40x72xf32>
  %t = linalg.generic {indexing_maps = [affine_map<(b, i, j) -> (b, i, j)>, affine_map<(b, i, j) -> (b, i, j)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%s : tensor<4x40x72xf32>) outs(%e : tensor<4x40x72xf32>) {
  ^bb0(%x: f32, %o: f32):
    %y = arith.mulf %x, %scale : f32
    linalg.yield %y : f32
  } -> tensor<4x40x72xf32>
  %p = linalg.softmax dimension(2) ins(%t : tensor<4x40x72xf32>) outs(%e : tensor<4x40x72xf32>) -> tensor<4x40x72xf32>
  %f = tensor.empty() : tensor<4x40x64xf32>
  %zf = linalg.fill ins(%zero : f32) outs(%f : tensor<4x40x64xf32>) -> tensor<4x40x64xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x40x72xf32>, tensor<4x72x64xf32>) outs(%zf : tensor<4x40x64xf32>) -> tensor<4x40x64xf32>
  return %r : tensor<4x40x64xf32>
}

// RUN: flash-opt %s --raise-to-attention=remarks=true --verify-diagnostics | FileCheck %s

// Softmaxes between two products that are not attention, or not one that attn.sdpa gives the same result for. All stay.
// CHECK-NOT: attn.sdpa

#s = affine_map<(b, i, j) -> (b, i, j)>
#m = affine_map<(b, i, j) -> (i, j)>
#key = affine_map<(b, i, j) -> (b, j)>

// -10000 is not far below every score.
func.func @weak_mask(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %low = arith.constant -1.0e+04 : f32
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %c = arith.cmpi sge, %i, %j : index
    // expected-remark @below {{attention was not raised: masked scores become -10000.000000, which may still have weight; expected -inf or at most -1e29}}
    %z = arith.select %c, %x, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// A factor for each key is no scale.
func.func @scaled_by_key(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>, %weights: tensor<4x8xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %masked = linalg.generic {indexing_maps = [#s, #key, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %weights : tensor<4x8x8xf32>, tensor<4x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %w: f32, %y: f32):
    // expected-remark @below {{attention was not raised: the score is multiplied by something that is not a finite constant}}
    %z = arith.mulf %x, %w : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// Neither is another function.
func.func @sine(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    // expected-remark @below {{attention was not raised: 'math.sin' between the product and the softmax is not a scale, softcap, bias or mask}}
    %z = math.sin %x : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// A score that is squared.
func.func @squared(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    // expected-remark @below {{attention was not raised: the product enters the score more than once}}
    %z = arith.mulf %x, %x : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// A bias below a tanh.
func.func @tanh_of_bias(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>, %bias: tensor<8x8xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %masked = linalg.generic {indexing_maps = [#s, #m, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %bias : tensor<4x8x8xf32>, tensor<8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %a: f32, %y: f32):
    %b = arith.addf %x, %a : f32
    // expected-remark @below {{attention was not raised: a tanh after a bias, a mask or another tanh is not a softcap}}
    %z = math.tanh %b : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// A sign on the bias.
func.func @negative(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>, %bias: tensor<8x8xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %masked = linalg.generic {indexing_maps = [#s, #m, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %bias : tensor<4x8x8xf32>, tensor<8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %a: f32, %y: f32):
    %b = arith.addf %x, %a : f32
    // expected-remark @below {{attention was not raised: a bias or mask is multiplied by a negative number}}
    %z = arith.negf %b : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// The weights are also a result.
func.func @weights_returned(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> (tensor<4x8x16xf32>, tensor<4x8x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  // expected-remark @below {{attention was not raised: the scores or the attention weights are also used here, so that they have to be computed}}
  return %r, %p : tensor<4x8x16xf32>, tensor<4x8x8xf32>
}

// Dropout.
func.func @dropout(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>, %keep: tensor<4x8x8xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  // expected-remark @below {{attention was not raised: the probabilities are changed by 'arith.mulf' before the second product}}
  %d = arith.mulf %p, %keep : tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%d, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// A product that goes on from another tensor.
func.func @accumulates(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>, %start: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  // expected-remark @below {{attention was not raised: the product is added to a tensor instead of starting from zero}}
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%start : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// The softmax is over half of the keys' scores, the product over the other.
func.func @other_half(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x16xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x16xf32>) outs(%e0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<4x8x16xf32>) outs(%e : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %half = tensor.extract_slice %p[0, 0, 0] [4, 8, 8] [1, 1, 1] : tensor<4x8x16xf32> to tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%half, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%e0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

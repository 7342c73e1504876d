// RUN: flash-opt %s --raise-to-attention | FileCheck %s

#s = affine_map<(b, i, j) -> (b, i, j)>
#m = affine_map<(b, i, j) -> (i, j)>
#key = affine_map<(b, i, j) -> (b, j)>

// Every query attends key 0, so that no row is empty and the -inf never gives NaN.
// CHECK-LABEL: func.func @causal
// CHECK: attn.sdpa
// CHECK-SAME: masks [#attn.causal<top_left>]
// CHECK-NOT: arith.select
func.func @causal(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %low = arith.constant 0xFF800000 : f32
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %c = arith.cmpi sge, %i, %j : index
    %z = arith.select %c, %x, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// The same by an addition, in integers, the other way round.
// CHECK-LABEL: func.func @causal_added
// CHECK: attn.sdpa
// CHECK-SAME: masks [#attn.causal<top_left>]
// CHECK-NOT: arith.select
func.func @causal_added(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %low = arith.constant -3.40282347E+38 : f32
  %none = arith.constant 0 : i32
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %i32 = arith.index_cast %i : index to i32
    %j32 = arith.index_cast %j : index to i32
    %d = arith.subi %j32, %i32 : i32
    %c = arith.cmpi sgt, %d, %none : i32
    %a = arith.select %c, %low, %zero : f32
    %z = arith.addf %x, %a : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// More keys than queries: the diagonal ends in the last key.
// CHECK-LABEL: func.func @bottom_right
// CHECK: attn.sdpa
// CHECK-SAME: masks [#attn.causal<bottom_right>]
// CHECK-NOT: arith.select
func.func @bottom_right(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x12xf32>, %v: tensor<4x12x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x12xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x12xf32>) -> tensor<4x8x12xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x12xf32>) outs(%e0 : tensor<4x8x12xf32>) -> tensor<4x8x12xf32>
  %low = arith.constant 0xFF800000 : f32
  %more = arith.constant 4 : index
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x8x12xf32>) outs(%e : tensor<4x8x12xf32>) {
  ^bb0(%x: f32, %y: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %d = arith.addi %i, %more : index
    %c = arith.cmpi sle, %j, %d : index
    %z = arith.select %c, %x, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x8x12xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x12xf32>) outs(%e : tensor<4x8x12xf32>) -> tensor<4x8x12xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x12xf32>, tensor<4x12x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// More queries than keys by that diagonal: the first four rows are empty, NaN in the graph, and stay so.
// CHECK-LABEL: func.func @bottom_right_empty_rows
// CHECK: %[[R:.*]]:2 = attn.sdpa
// CHECK-SAME: masks [#attn.causal<bottom_right>]
// CHECK: %[[NAN:.*]] = arith.constant 0x7FC00000 : f32
// CHECK: arith.select %{{.*}}, %[[NAN]], %{{.*}}
func.func @bottom_right_empty_rows(%q: tensor<4x12x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x12x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x12x8xf32>
  %o = tensor.empty() : tensor<4x12x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x12x8xf32>) -> tensor<4x12x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x12x16xf32>) -> tensor<4x12x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x12x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x12x8xf32>) -> tensor<4x12x8xf32>
  %low = arith.constant 0xFF800000 : f32
  %more = arith.constant 4 : index
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x12x8xf32>) outs(%e : tensor<4x12x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %d = arith.subi %i, %more : index
    %c = arith.cmpi sle, %j, %d : index
    %z = arith.select %c, %x, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x12x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x12x8xf32>) outs(%e : tensor<4x12x8xf32>) -> tensor<4x12x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x12x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x12x16xf32>) -> tensor<4x12x16xf32>
  return %r : tensor<4x12x16xf32>
}

// A sliding window, by two comparisons.
// CHECK-LABEL: func.func @window
// CHECK: attn.sdpa
// CHECK-SAME: masks [#attn.window<3, 0, top_left>]
// CHECK-NOT: arith.select
func.func @window(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %low = arith.constant -3.40282347E+38 : f32
  %width = arith.constant 4 : index
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %c = arith.cmpi sle, %j, %i : index
    %far = arith.addi %j, %width : index
    %n = arith.cmpi slt, %i, %far : index
    %b = arith.andi %c, %n : i1
    %z = arith.select %b, %x, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// A mask that is always true is none; a comparison with the length is.
// CHECK-LABEL: func.func @always
// CHECK: attn.sdpa
// CHECK-NOT: masks
// CHECK-NOT: arith.select
func.func @always(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %low = arith.constant -3.40282347E+38 : f32
  %length = arith.constant 8 : index
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %c = arith.cmpi slt, %j, %length : index
    %z = arith.select %c, %x, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// A constant that is a causal mask, on a square of 4.
// CHECK-LABEL: func.func @constant
// CHECK: attn.sdpa
// CHECK-SAME: masks [#attn.causal<top_left>]
// CHECK-NOT: arith.select
func.func @constant(%q: tensor<4x4x16xf32>, %kt: tensor<4x16x4xf32>, %v: tensor<4x4x16xf32>) -> tensor<4x4x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x4x4xf32>
  %o = tensor.empty() : tensor<4x4x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4x4xf32>) -> tensor<4x4x4xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x4x16xf32>) -> tensor<4x4x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x4x16xf32>, tensor<4x16x4xf32>) outs(%e0 : tensor<4x4x4xf32>) -> tensor<4x4x4xf32>
  %low = arith.constant 0xFF800000 : f32
  %mask = arith.constant dense<[[true, false, false, false], [true, true, false, false], [true, true, true, false], [true, true, true, true]]> : tensor<4x4xi1>
  %masked = linalg.generic {indexing_maps = [#s, #m, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %mask : tensor<4x4x4xf32>, tensor<4x4xi1>) outs(%e : tensor<4x4x4xf32>) {
  ^bb0(%x: f32, %c: i1, %y: f32):
    %z = arith.select %c, %x, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x4x4xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x4x4xf32>) outs(%e : tensor<4x4x4xf32>) -> tensor<4x4x4xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x4x4xf32>, tensor<4x4x16xf32>) outs(%o0 : tensor<4x4x16xf32>) -> tensor<4x4x16xf32>
  return %r : tensor<4x4x16xf32>
}

// Two bands are no mask of attn: they become a tensor.
// CHECK-LABEL: func.func @two_bands
// CHECK: %[[M:.*]] = linalg.generic
// CHECK: attn.sdpa
// CHECK-SAME: masks [#attn.tensor] (%{{.*}} : tensor<1x1x8x8xi1>)
func.func @two_bands(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %low = arith.constant 0xFF800000 : f32
  %back = arith.constant -4 : index
  %none = arith.constant 0 : index
  %masked = linalg.generic {indexing_maps = [#s, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %y: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %d = arith.subi %j, %i : index
    %far = arith.cmpi sle, %d, %back : index
    %self = arith.cmpi eq, %d, %none : index
    %b = arith.ori %far, %self : i1
    %z = arith.select %b, %x, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// A flag for each key; a row without keys is NaN in the graph.
// CHECK-LABEL: func.func @key_padding
// CHECK-SAME: %[[FLAGS:[^:]*]]: tensor<4x8xi1>)
// CHECK: attn.sdpa
// CHECK-SAME: masks [#attn.key_padding] (%[[FLAGS]] : tensor<4x8xi1>)
// CHECK: arith.select
func.func @key_padding(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>, %flags: tensor<4x8xi1>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %low = arith.constant 0xFF800000 : f32
  %masked = linalg.generic {indexing_maps = [#s, #key, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %flags : tensor<4x8x8xf32>, tensor<4x8xi1>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %c: i1, %y: f32):
    %z = arith.select %c, %x, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// A causal mask and a bias that may be -inf everywhere: only the arithmetic of the graph tells what such a row is.
// CHECK-LABEL: func.func @folded
// CHECK: arith.cmpi
// CHECK: %[[B:.*]] = arith.select
// CHECK: attn.sdpa
// CHECK-NOT: masks
// CHECK-SAME: bias(%{{.*}} : tensor<1x1x8x8xf32>)
func.func @folded(%q: tensor<4x8x16xf32>, %kt: tensor<4x16x8xf32>, %v: tensor<4x8x16xf32>, %bias: tensor<8x8xf32>) -> tensor<4x8x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8x8xf32>
  %o = tensor.empty() : tensor<4x8x16xf32>
  %e0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %o0 = linalg.fill ins(%zero : f32) outs(%o : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<4x8x16xf32>, tensor<4x16x8xf32>) outs(%e0 : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %low = arith.constant -3.40282347E+38 : f32
  %masked = linalg.generic {indexing_maps = [#s, #m, #s], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %bias : tensor<4x8x8xf32>, tensor<8x8xf32>) outs(%e : tensor<4x8x8xf32>) {
  ^bb0(%x: f32, %a: f32, %y: f32):
    %i = linalg.index 1 : index
    %j = linalg.index 2 : index
    %b = arith.addf %x, %a : f32
    %c = arith.cmpi sge, %i, %j : index
    %z = arith.select %c, %b, %low : f32
    linalg.yield %z : f32
  } -> tensor<4x8x8xf32>
  %p = linalg.softmax dimension(2) ins(%masked : tensor<4x8x8xf32>) outs(%e : tensor<4x8x8xf32>) -> tensor<4x8x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<4x8x8xf32>, tensor<4x8x16xf32>) outs(%o0 : tensor<4x8x16xf32>) -> tensor<4x8x16xf32>
  return %r : tensor<4x8x16xf32>
}

// RUN: flash-opt %s --split-input-file --module-to-loops | FileCheck %s

// The result becomes an argument that is written in place; the attention waits on buffers, all else is loops.
// CHECK-LABEL: func.func @project_and_attend
// CHECK-SAME: (%[[X:.*]]: memref<16x32xf32>, %[[W:.*]]: memref<32x32xf32>, %[[KT:.*]]: memref<8x4x20xf32>, %[[V:.*]]: memref<8x20x4xf32>, %[[OUT:.*]]: memref<8x16x4xf32>)
// CHECK-NOT: tensor<
// CHECK-NOT: linalg.
// CHECK: vector.fma
// The result is written where the caller wants it, in whatever shape.
// CHECK: %[[RESULT:.*]] = memref.expand_shape %[[OUT]]
// CHECK: memref.transpose %[[KT]] (d0, d1, d2) -> (d0, d2, d1)
// CHECK: attn.sdpa ins({{.*}} : memref<8x1x16x4xf32, strided<[4, 512, 32, 1]>>, memref<8x1x20x4xf32, strided<[80, 20, 1, 20]>>, memref<8x1x20x4xf32>) outs(%[[RESULT]] :
// CHECK-NOT: vector.store
// CHECK-NOT: tensor<
// CHECK-NOT: linalg.
// CHECK: return{{$}}
func.func @project_and_attend(%x: tensor<16x32xf32>, %w: tensor<32x32xf32>, %kt: tensor<8x4x20xf32>, %v: tensor<8x20x4xf32>) -> tensor<8x16x4xf32> {
  %zero = arith.constant 0.0 : f32
  %ep = tensor.empty() : tensor<16x32xf32>
  %ip = linalg.fill ins(%zero : f32) outs(%ep : tensor<16x32xf32>) -> tensor<16x32xf32>
  %p = linalg.matmul ins(%x, %w : tensor<16x32xf32>, tensor<32x32xf32>) outs(%ip : tensor<16x32xf32>) -> tensor<16x32xf32>
  %heads = tensor.expand_shape %p [[0], [1, 2]] output_shape [16, 8, 4] : tensor<16x32xf32> into tensor<16x8x4xf32>
  %eq = tensor.empty() : tensor<8x16x4xf32>
  %q = linalg.transpose ins(%heads : tensor<16x8x4xf32>) outs(%eq : tensor<8x16x4xf32>) permutation = [1, 0, 2]
  %e = tensor.empty() : tensor<8x16x20xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<8x16x20xf32>) -> tensor<8x16x20xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<8x16x4xf32>, tensor<8x4x20xf32>) outs(%init : tensor<8x16x20xf32>) -> tensor<8x16x20xf32>
  %a = linalg.softmax dimension(2) ins(%s : tensor<8x16x20xf32>) outs(%e : tensor<8x16x20xf32>) -> tensor<8x16x20xf32>
  %eo = tensor.empty() : tensor<8x16x4xf32>
  %io = linalg.fill ins(%zero : f32) outs(%eo : tensor<8x16x4xf32>) -> tensor<8x16x4xf32>
  %o = linalg.batch_matmul ins(%a, %v : tensor<8x16x20xf32>, tensor<8x20x4xf32>) outs(%io : tensor<8x16x4xf32>) -> tensor<8x16x4xf32>
  return %o : tensor<8x16x4xf32>
}

// -----

// Sizes that are not known, and a concatenation.
// CHECK-LABEL: func.func @dynamic
// CHECK-SAME: (%{{.*}}: memref<?x32xf32>, %{{.*}}: memref<32x48xf32>, %[[OUT:.*]]: memref<?x96xf32>)
// CHECK: scf.forall
// CHECK: vector.fma
// CHECK-NOT: tensor<
// CHECK: return{{$}}
func.func @dynamic(%x: tensor<?x32xf32>, %w: tensor<32x48xf32>) -> tensor<?x96xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x32xf32>
  %e = tensor.empty(%n) : tensor<?x48xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<?x48xf32>) -> tensor<?x48xf32>
  %p = linalg.matmul ins(%x, %w : tensor<?x32xf32>, tensor<32x48xf32>) outs(%init : tensor<?x48xf32>) -> tensor<?x48xf32>
  %t = linalg.tanh ins(%p : tensor<?x48xf32>) outs(%e : tensor<?x48xf32>) -> tensor<?x48xf32>
  %r = tensor.concat dim(1) %p, %t : (tensor<?x48xf32>, tensor<?x48xf32>) -> tensor<?x96xf32>
  return %r : tensor<?x96xf32>
}

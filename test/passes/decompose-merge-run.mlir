// The numbers: rows of which one side, the other, both or none attended something.
// RUN: flash-opt %s --decompose-merge --one-shot-bufferize=bufferize-function-boundaries --convert-linalg-to-loops \
// RUN:   --convert-scf-to-cf --expand-strided-metadata --lower-affine --convert-math-to-llvm --convert-math-to-libm --convert-vector-to-llvm --finalize-memref-to-llvm \
// RUN:   --convert-arith-to-llvm --convert-index-to-llvm --convert-cf-to-llvm --convert-func-to-llvm --reconcile-unrealized-casts \
// RUN: | mlir-cpu-runner -e main --entry-point-result=void --shared-libs=%mlir_libs/libmlir_c_runner_utils.so | FileCheck %s

// lse_b - lse_a = ln 3: the weights are 1/4 and 3/4, and lse = lse_a + ln 4.
// CHECK: 0.25
// CHECK-NEXT: 1.386
// An empty side holds NaN, which does not reach the other.
// CHECK-NEXT: 7
// CHECK-NEXT: -2.5
// CHECK-NEXT: 9
// CHECK-NEXT: 80000
// CHECK-NEXT: 0
// CHECK-NEXT: -inf
// Far apart, the smaller side vanishes; equal, both count the same, without overflow.
// CHECK-NEXT: 1
// CHECK-NEXT: 1000
// CHECK-NEXT: 1.5
// CHECK-NEXT: 1000.69
func.func @main() {
  %oa = arith.constant dense<[[[[1.0], [7.0], [0x7FC00000], [0x7FC00000], [1.0], [1.0]]]]> : tensor<1x1x6x1xf32>
  %la = arith.constant dense<[[[0.0, -2.5, 0xFF800000, 0xFF800000, 1000.0, 1000.0]]]> : tensor<1x1x6xf32>
  %ob = arith.constant dense<[[[[0.0], [0x7FC00000], [9.0], [0x7FC00000], [2.0], [2.0]]]]> : tensor<1x1x6x1xf32>
  %lb = arith.constant dense<[[[1.09861228866810969, 0xFF800000, 80000.0, 0xFF800000, -1000.0, 1000.0]]]> : tensor<1x1x6xf32>
  %out = tensor.empty() : tensor<1x1x6x1xf32>
  %lse = tensor.empty() : tensor<1x1x6xf32>
  %0:2 = attn.merge ins(%oa, %la, %ob, %lb : tensor<1x1x6x1xf32>, tensor<1x1x6xf32>, tensor<1x1x6x1xf32>, tensor<1x1x6xf32>)
      outs(%out, %lse : tensor<1x1x6x1xf32>, tensor<1x1x6xf32>) -> tensor<1x1x6x1xf32>, tensor<1x1x6xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c6 = arith.constant 6 : index
  scf.for %i = %c0 to %c6 step %c1 {
    %o = tensor.extract %0#0[%c0, %c0, %i, %c0] : tensor<1x1x6x1xf32>
    %l = tensor.extract %0#1[%c0, %c0, %i] : tensor<1x1x6xf32>
    vector.print %o : f32
    vector.print %l : f32
  }
  return
}

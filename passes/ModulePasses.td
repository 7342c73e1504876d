// The passes that work on whole modules: a framework's graph becomes attentions and parallel loops around them.
#ifndef FLASHC_PASSES_MODULEPASSES_TD
#define FLASHC_PASSES_MODULEPASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// From a framework's graph to attn.sdpa
//===----------------------------------------------------------------------===//

def RaiseToAttention : Pass<"raise-to-attention"> {
  let summary = "Find attention in linalg and tosa and replace it by attn.sdpa";
  let description = [{
    Looks for two products with a softmax between them, in linalg (named operations or generics) and tosa, whatever the
    layouts, and replaces them by one `attn.sdpa` on tensors: heads that share a key by broadcast or repeat become
    grouped heads, a scale anywhere becomes the scale, `cap * tanh(s / cap)` the softcap, additions the bias, and
    comparisons of positions the causal or window mask; other conditions become boolean masks.

    It raises only where the result is the same, rows with nothing to attend to included. With `remarks`, each
    softmax between two products that was not raised gets a remark at the operation that is in the way.

    Before:
    ```mlir
    func.func @attention(%q: tensor<8x128x64xf32>, %kt: tensor<8x64x128xf32>, %v: tensor<8x128x64xf32>) -> tensor<8x128x64xf32> {
      %zero = arith.constant 0.0 : f32
      %scores = tensor.empty() : tensor<8x128x128xf32>
      %init = linalg.fill ins(%zero : f32) outs(%scores : tensor<8x128x128xf32>) -> tensor<8x128x128xf32>
      %s = linalg.batch_matmul ins(%q, %kt : tensor<8x128x64xf32>, tensor<8x64x128xf32>) outs(%init : tensor<8x128x128xf32>) -> tensor<8x128x128xf32>
      %p = linalg.softmax dimension(2) ins(%s : tensor<8x128x128xf32>) outs(%scores : tensor<8x128x128xf32>) -> tensor<8x128x128xf32>
      %out = tensor.empty() : tensor<8x128x64xf32>
      %start = linalg.fill ins(%zero : f32) outs(%out : tensor<8x128x64xf32>) -> tensor<8x128x64xf32>
      %o = linalg.batch_matmul ins(%p, %v : tensor<8x128x128xf32>, tensor<8x128x64xf32>) outs(%start : tensor<8x128x64xf32>) -> tensor<8x128x64xf32>
      return %o : tensor<8x128x64xf32>
    }
    ```
    After:
    ```mlir
    %r = attn.sdpa ins(%q4, %k4, %v4 : ...) outs(%start : tensor<8x1x128x64xf32>) {scale = 1.000000e+00 : f64} -> tensor<8x1x128x64xf32>
    ```
  }];
  let options = [Option<"remarks", "remarks", "bool", /*default=*/"false",
                        "Say for each near miss which operation is in the way, and why">];
  let dependentDialects = ["::flashc::attn::AttentionDialect", "mlir::affine::AffineDialect", "mlir::arith::ArithDialect",
                           "mlir::linalg::LinalgDialect", "mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numRaised", "num-raised", "Attentions that became attn.sdpa">,
                    Statistic<"numNearMisses", "num-near-misses", "Softmaxes between two products that did not">];
}

//===----------------------------------------------------------------------===//
// The rest of a module around its attentions
//===----------------------------------------------------------------------===//

def FuseElementwise : Pass<"fuse-elementwise", "mlir::func::FuncOp"> {
  let summary = "Fuse element-wise operations on tensors into those that read them";
  let description = [{
    Named operations become generics, a softmax that was not raised and a concatenation fall apart, and an element-wise
    operation that one other reads is computed there. A product reads its right side through a transpose or a broadcast
    where it still reads along memory. Results that nobody reads go away.

    An index that a body computes from data (an embedding) is clamped to the tensor's bounds, and the assertions that
    exporters put there disappear: a library does not end its host's process.

    Before:
    ```mlir
    func.func @f(%x: tensor<64xf32>, %y: tensor<64xf32>) -> tensor<64xf32> {
      %e = tensor.empty() : tensor<64xf32>
      %s = linalg.add ins(%x, %y : tensor<64xf32>, tensor<64xf32>) outs(%e : tensor<64xf32>) -> tensor<64xf32>
      %r = linalg.exp ins(%s : tensor<64xf32>) outs(%e : tensor<64xf32>) -> tensor<64xf32>
      return %r : tensor<64xf32>
    }
    ```
    After:
    ```mlir
    %r = linalg.generic ... ins(%x, %y : ...) ... {
    ^bb0(%in: f32, %in_0: f32, %out: f32):
      %0 = arith.addf %in, %in_0 : f32
      %1 = math.exp %0 : f32
      linalg.yield %1 : f32
    } -> tensor<64xf32>
    ```
  }];
  let dependentDialects = ["mlir::affine::AffineDialect", "mlir::arith::ArithDialect", "mlir::linalg::LinalgDialect",
                           "mlir::math::MathDialect", "mlir::tensor::TensorDialect"];
}

def FoldTransposesIntoAttention : Pass<"fold-transposes-into-attention", "mlir::func::FuncOp"> {
  let summary = "Let attention read and write transposed views instead of copies";
  let description = [{
    attn.sdpa takes any strides. A query, key or value that is a transposed copy becomes a view of what was copied, and an
    output of which a transposed copy is made is written through a view of the copy's target.

    Before:
    ```mlir
    func.func @f(%q: memref<2x6x4x8xf32>, %kv: memref<2x4x6x8xf32>, %out: memref<2x4x6x8xf32>) {
      %t = memref.alloc() : memref<2x4x6x8xf32>
      linalg.transpose ins(%q : memref<2x6x4x8xf32>) outs(%t : memref<2x4x6x8xf32>) permutation = [0, 2, 1, 3]
      attn.sdpa ins(%t, %kv, %kv : memref<2x4x6x8xf32>, memref<2x4x6x8xf32>, memref<2x4x6x8xf32>)
                outs(%out : memref<2x4x6x8xf32>)
      return
    }
    ```
    After:
    ```mlir
    %t = memref.transpose %q (d0, d1, d2, d3) -> (d0, d2, d1, d3) : ...
    attn.sdpa ins(%t, %kv, %kv : ...) outs(%out : memref<2x4x6x8xf32>)
    ```
  }];
  let dependentDialects = ["mlir::memref::MemRefDialect"];
  let statistics = [Statistic<"numFolded", "num-folded", "Copies that became views">];
}

def LowerLinalgToVector : Pass<"lower-linalg-to-vector", "mlir::func::FuncOp"> {
  let summary = "Lower structured operations on buffers to parallel loops of vector code";
  let description = [{
    A product becomes register-blocked tiles, along the columns of the result or, where both sides lie along the sum, as
    dot products; any other operation a loop nest that is taken in vectors along one dimension. Enough work to pay for it
    is cut into the tasks of one `scf.forall`. Copies are operations like others.

    Before, with `vector-bytes=64`:
    ```mlir
    func.func @f(%x: memref<64xf32>, %y: memref<64xf32>) {
      linalg.exp ins(%x : memref<64xf32>) outs(%y : memref<64xf32>)
      return
    }
    ```
    After:
    ```mlir
    scf.for %i = %c0 to %c64 step %c16 {
      %0 = vector.load %x[%i] : memref<64xf32>, vector<16xf32>
      %1 = math.exp %0 : vector<16xf32>
      vector.store %1, %y[%i] : memref<64xf32>, vector<16xf32>
    }
    ```
  }];
  let options = [
    Option<"vectorBytes", "vector-bytes", "unsigned", "16", "Bytes of a vector register">,
    Option<"vectorRegisters", "vector-registers", "unsigned", "16", "Vector registers">];
  let dependentDialects = ["mlir::affine::AffineDialect", "mlir::arith::ArithDialect", "mlir::memref::MemRefDialect",
                           "mlir::scf::SCFDialect", "mlir::vector::VectorDialect"];
  let statistics = [Statistic<"numProducts", "num-products", "Products lowered with register blocking">,
                    Statistic<"numNests", "num-nests", "Operations lowered to loop nests">];
}

def ApproximateMath : Pass<"approximate-math"> {
  let summary = "Replace sin, cos, erf and their like by polynomials";
  let description = [{
    The functions of a model around its attentions that expand-math does not know: upstream's single-precision
    approximations, on scalars and vectors.

    Before:
    ```mlir
    func.func @f(%x: vector<16xf32>) -> vector<16xf32> {
      %0 = math.erf %x : vector<16xf32>
      return %0 : vector<16xf32>
    }
    ```
    After:
    ```mlir
    func.func @f(%x: vector<16xf32>) -> vector<16xf32> {
      ...
      %0 = math.fma ... : vector<16xf32>
      ...
    ```
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::math::MathDialect", "mlir::vector::VectorDialect"];
  let statistics = [Statistic<"numApproximated", "num-approximated", "Operations that were looked at">];
}

#endif // FLASHC_PASSES_MODULEPASSES_TD

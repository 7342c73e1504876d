// RUN: flash-opt %s --split-input-file --fuse-elementwise | FileCheck %s

// A chain becomes one operation; the sum that reads it, too.
// CHECK-LABEL: func.func @chain
// CHECK: linalg.generic {{.*}} "reduction"
// CHECK: arith.addf
// CHECK: math.exp
// CHECK: arith.addf
// CHECK-NOT: linalg.generic
func.func @chain(%x: tensor<8x64xf32>, %y: tensor<8x64xf32>) -> tensor<8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x64xf32>
  %s = linalg.add ins(%x, %y : tensor<8x64xf32>, tensor<8x64xf32>) outs(%e : tensor<8x64xf32>) -> tensor<8x64xf32>
  %r = linalg.exp ins(%s : tensor<8x64xf32>) outs(%e : tensor<8x64xf32>) -> tensor<8x64xf32>
  %rows = tensor.empty() : tensor<8xf32>
  %init = linalg.fill ins(%zero : f32) outs(%rows : tensor<8xf32>) -> tensor<8xf32>
  %sum = linalg.reduce { arith.addf } ins(%r : tensor<8x64xf32>) outs(%init : tensor<8xf32>) dimensions = [1]
  return %sum : tensor<8xf32>
}

// -----

// A weight stored [out, in] is read as it lies, once for all batch entries.
// CHECK: #[[$W:.*]] = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: func.func @weight
// CHECK-SAME: %[[X:.*]]: tensor<2x5x16xf32>, %[[W0:.*]]: tensor<24x16xf32>
// CHECK-NOT: linalg.transpose
// CHECK: linalg.generic {indexing_maps = [#{{.*}}, #[[$W]], #{{.*}}], {{.*}} ins(%[[X]], %[[W0]] :
func.func @weight(%x: tensor<2x5x16xf32>, %w: tensor<24x16xf32>) -> tensor<2x5x24xf32> {
  %zero = arith.constant 0.0 : f32
  %et = tensor.empty() : tensor<16x24xf32>
  %t = linalg.transpose ins(%w : tensor<24x16xf32>) outs(%et : tensor<16x24xf32>) permutation = [1, 0]
  %eb = tensor.empty() : tensor<2x16x24xf32>
  %b = linalg.broadcast ins(%t : tensor<16x24xf32>) outs(%eb : tensor<2x16x24xf32>) dimensions = [0]
  %e = tensor.empty() : tensor<2x5x24xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<2x5x24xf32>) -> tensor<2x5x24xf32>
  %r = linalg.batch_matmul ins(%x, %b : tensor<2x5x16xf32>, tensor<2x16x24xf32>) outs(%init : tensor<2x5x24xf32>) -> tensor<2x5x24xf32>
  return %r : tensor<2x5x24xf32>
}

// -----

// An embedding: the assertion goes, the index stays within the table.
// CHECK-LABEL: func.func @embedding
// CHECK: %[[TOP:.*]] = arith.constant 49 : index
// CHECK-NOT: cf.assert
// CHECK: arith.maxsi
// CHECK: %[[ROW:.*]] = arith.minsi %{{.*}}, %[[TOP]]
// CHECK: tensor.extract %{{.*}}[%[[ROW]], %{{.*}}]
func.func @embedding(%ids: tensor<7xi64>, %table: tensor<50x32xf32>) -> tensor<7x32xf32> {
  %c50 = arith.constant 50 : index
  %e = tensor.empty() : tensor<7x32xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, d) -> (i)>, affine_map<(i, d) -> (i, d)>], iterator_types = ["parallel", "parallel"]}
    ins(%ids : tensor<7xi64>) outs(%e : tensor<7x32xf32>) {
  ^bb0(%id: i64, %out: f32):
    %row = arith.index_cast %id : i64 to index
    %column = linalg.index 1 : index
    %inside = arith.cmpi slt, %row, %c50 : index
    cf.assert %inside, "index must be smaller than dim size"
    %value = tensor.extract %table[%row, %column] : tensor<50x32xf32>
    linalg.yield %value : f32
  } -> tensor<7x32xf32>
  return %r : tensor<7x32xf32>
}

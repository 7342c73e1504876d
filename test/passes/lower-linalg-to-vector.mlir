// RUN: flash-opt %s --split-input-file --lower-linalg-to-vector="vector-bytes=64 vector-registers=32" --canonicalize --cse | FileCheck %s

// Along columns: six rows of four vectors, one broadcast a row and step.
// CHECK-LABEL: func.func @columns
// CHECK-SAME: %[[A:.*]]: memref<96x80xf32>, %[[B:.*]]: memref<80x128xf32>, %[[C:.*]]: memref<96x128xf32>
// CHECK: scf.forall (%[[BLOCK:.*]]) in (2)
// CHECK: scf.for %{{.*}} = %{{.*}} to %{{.*}} step %c6
// CHECK-COUNT-24: vector.load %[[C]]
// CHECK: scf.for {{.*}} iter_args
// CHECK-COUNT-4: vector.load %[[B]]
// CHECK: memref.load %[[A]]
// CHECK: vector.broadcast
// CHECK-COUNT-4: vector.fma
// CHECK-COUNT-24: vector.store
// CHECK-NOT: linalg
func.func @columns(%a: memref<96x80xf32>, %b: memref<80x128xf32>, %c: memref<96x128xf32>) {
  linalg.matmul ins(%a, %b : memref<96x80xf32>, memref<80x128xf32>) outs(%c : memref<96x128xf32>)
  return
}

// -----

// Along the sum: both sides are read in vectors, their lanes added at the end, what does not fill a vector one by one.
// CHECK-LABEL: func.func @dots
// CHECK: scf.forall
// CHECK: scf.for {{.*}} iter_args({{.*}}) -> (vector<16xf32>, {{.*}}) {
// CHECK: vector.fma
// CHECK-COUNT-16: vector.reduction <add>, %{{.*}}, %{{.*}} fastmath<reassoc>
// CHECK: scf.for {{.*}} iter_args({{.*}}) -> (f32, {{.*}}) {
func.func @dots(%a: memref<64x100xf32>, %b: memref<128x100xf32>, %c: memref<64x128xf32>) {
  linalg.matmul_transpose_b ins(%a, %b : memref<64x100xf32>, memref<128x100xf32>) outs(%c : memref<64x128xf32>)
  return
}

// -----

// Little work is no task. The bias is a vector, the scale of the row a scalar that is spread.
// CHECK-LABEL: func.func @elementwise
// CHECK-NOT: scf.forall
// CHECK: scf.for %[[I:.*]] =
// CHECK: memref.load %{{.*}}[%[[I]]]
// CHECK: vector.load %{{.*}}[%[[I]], %c0]
// CHECK: vector.broadcast
// CHECK: arith.mulf %{{.*}} : vector<16xf32>
// CHECK: vector.store
// CHECK: arith.mulf %{{.*}} : f32
func.func @elementwise(%x: memref<8x20xf32>, %rows: memref<8xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
    ins(%rows : memref<8xf32>) outs(%x : memref<8x20xf32>) {
  ^bb0(%r: f32, %v: f32):
    %0 = arith.mulf %v, %r : f32
    linalg.yield %0 : f32
  }
  return
}

// -----

// A sum along memory: a vector of partial sums.
// CHECK-LABEL: func.func @row_sums
// CHECK: scf.forall (%{{.*}}) in (8)
// CHECK: %[[V:.*]] = scf.for {{.*}} step %c16 iter_args(%{{.*}} = %{{.*}}) -> (vector<16xf32>)
// CHECK: vector.reduction <add>, %[[V]], %{{.*}} fastmath<reassoc> : vector<16xf32> into f32
func.func @row_sums(%x: memref<512x64xf32>, %s: memref<512xf32>) {
  linalg.reduce { arith.addf } ins(%x : memref<512x64xf32>) outs(%s : memref<512xf32>) dimensions = [1]
  return
}

// -----

// Flags take a byte in memory: they are read one by one. A copy is an operation like others; a gathered row is a vector.
// CHECK-LABEL: func.func @flags_and_rows
// CHECK-NOT: memref.copy
// CHECK: memref.load %{{.*}} : memref<4x16xi1>
// CHECK: vector.insert
// CHECK: arith.select %{{.*}} : vector<16xi1>, vector<16xf32>
// CHECK: vector.load %{{.*}} : memref<50x32xf32>, vector<16xf32>
func.func @flags_and_rows(%m: memref<4x16xi1>, %x: memref<4x16xf32>, %y: memref<4x16xf32>, %ids: memref<7xi64>,
                          %table: memref<50x32xf32>, %out: memref<7x32xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
    ins(%m, %x : memref<4x16xi1>, memref<4x16xf32>) outs(%y : memref<4x16xf32>) {
  ^bb0(%c: i1, %v: f32, %o: f32):
    %0 = arith.select %c, %v, %zero : f32
    linalg.yield %0 : f32
  }
  linalg.generic {indexing_maps = [affine_map<(i, d) -> (i)>, affine_map<(i, d) -> (i, d)>], iterator_types = ["parallel", "parallel"]}
    ins(%ids : memref<7xi64>) outs(%out : memref<7x32xf32>) {
  ^bb0(%id: i64, %o: f32):
    %row = arith.index_cast %id : i64 to index
    %column = linalg.index 1 : index
    %value = memref.load %table[%row, %column] : memref<50x32xf32>
    linalg.yield %value : f32
  }
  memref.copy %x, %y : memref<4x16xf32> to memref<4x16xf32>
  return
}

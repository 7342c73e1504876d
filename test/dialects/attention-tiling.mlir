// RUN: flash-opt %s --transform-interpreter --canonicalize --cse -split-input-file -verify-diagnostics | FileCheck %s

// Parts of one head read that head's keys and say where they lie; the bias stays whole.
// CHECK-LABEL: func @tensors
// CHECK-SAME: (%[[Q:.*]]: tensor<2x8x100x64xf32>, %[[K:.*]]: tensor<2x2x?x64xf32>, %[[OUT:.*]]: tensor<2x8x100x64xf32>, %[[LSE:.*]]: tensor<2x8x100xf32>, %[[BIAS:.*]]: tensor<1x8x1x?xf32>)
// CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
// CHECK-DAG: %[[C2:.*]] = arith.constant 2 : index
// CHECK-DAG: %[[C100:.*]] = arith.constant 100 : index
// CHECK: scf.for %[[B:.*]] = {{.*}} iter_args
// CHECK: scf.for %[[H:.*]] = {{.*}} iter_args
// CHECK: scf.for %[[I:.*]] = {{.*}} iter_args(%[[O:.*]] = %{{.*}}, %[[L:.*]] = %{{.*}})
// CHECK: %[[N:.*]] = affine.min
// CHECK: %[[HK:.*]] = affine.apply #{{.*}}[%[[H]]]
// CHECK: %[[QT:.*]] = tensor.extract_slice %[[Q]][%[[B]], %[[H]], %[[I]], 0] [1, 1, %[[N]], 64]
// CHECK: tensor.extract_slice %[[O]][%[[B]], %[[H]], %[[I]], 0] [1, 1, %[[N]], 64]
// CHECK: tensor.extract_slice %[[L]][%[[B]], %[[H]], %[[I]]] [1, 1, %[[N]]]
// CHECK: %[[SK:.*]] = tensor.dim %[[K]], %[[C2]]
// CHECK: %[[KT:.*]] = tensor.extract_slice %[[K]][%[[B]], %[[HK]], 0, 0] [1, 1, %[[SK]], 64]
// CHECK: attn.sdpa ins(%[[QT]], %[[KT]], %[[KT]]
// CHECK-SAME: masks [#attn.causal<bottom_right>] bias(%[[BIAS]] : {{.*}}) position(%[[B]], %[[H]], %[[I]], %[[C0]], %[[C100]], %[[SK]]) score {
// CHECK: arith.negf
// CHECK: tensor.insert_slice
// CHECK: tensor.insert_slice
func.func @tensors(%q: tensor<2x8x100x64xf32>, %k: tensor<2x2x?x64xf32>, %out: tensor<2x8x100x64xf32>,
                   %lse: tensor<2x8x100xf32>, %bias: tensor<1x8x1x?xf32>)
    -> (tensor<2x8x100x64xf32>, tensor<2x8x100xf32>) {
  %0:2 = attn.sdpa ins(%q, %k, %k : tensor<2x8x100x64xf32>, tensor<2x2x?x64xf32>, tensor<2x2x?x64xf32>)
      outs(%out, %lse : tensor<2x8x100x64xf32>, tensor<2x8x100xf32>)
      masks [#attn.causal<bottom_right>] bias(%bias : tensor<1x8x1x?xf32>) score {
      ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
        %x = arith.negf %s : f32
        attn.yield %x : f32
      } -> tensor<2x8x100x64xf32>, tensor<2x8x100xf32>
  return %0#0, %0#1 : tensor<2x8x100x64xf32>, tensor<2x8x100xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["attn.sdpa"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loops:3 = transform.structured.tile_using_for %op tile_sizes [1, 1, 32]
        : (!transform.any_op) -> (!transform.any_op, !transform.any_op, !transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// On memory there are views; a part of a part lies at the sum of both positions. Sizes that are not static are divided
// where the loop runs.
// CHECK-LABEL: func @memory
// CHECK-SAME: (%[[Q:.*]]: memref<?x?x?x64xf32>, %[[K:.*]]: memref<?x?x?x64xf32>, %[[B0:[^:]*]]: index, %[[H0:[^:]*]]: index, %[[I0:[^:]*]]: index, %[[J0:[^:]*]]: index, %[[SQ:[^:]*]]: index, %[[SK:[^:]*]]: index)
// CHECK-DAG: %[[C1:.*]] = arith.constant 1 : index
// CHECK-DAG: %[[HQ:.*]] = memref.dim %[[Q]], %[[C1]]
// CHECK: scf.for %[[H:.*]] = 
// CHECK-DAG: %[[HKV:.*]] = memref.dim %[[K]], %[[C1]]
// CHECK-DAG: %[[GROUP:.*]] = arith.divui %[[HQ]], %[[HKV]]
// CHECK-DAG: %[[HK:.*]] = arith.divui %[[H]], %[[GROUP]]
// CHECK-DAG: %[[KT:.*]] = memref.subview %[[K]][0, %[[HK]], 0, 0]
// CHECK-DAG: %[[HP:.*]] = affine.apply #{{.*}}
// CHECK: attn.sdpa ins({{.*}}, %[[KT]], %[[KT]] : {{.*}}) position(%[[B0]], %[[HP]], %[[I0]], %[[J0]], %[[SQ]], %[[SK]])
func.func @memory(%q: memref<?x?x?x64xf32>, %k: memref<?x?x?x64xf32>, %b: index, %h: index, %i: index, %j: index,
                  %sq: index, %sk: index) {
  attn.sdpa ins(%q, %k, %k : memref<?x?x?x64xf32>, memref<?x?x?x64xf32>, memref<?x?x?x64xf32>)
      outs(%q : memref<?x?x?x64xf32>) position(%b, %h, %i, %j, %sq, %sk)
  return
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["attn.sdpa"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %op tile_sizes [0, 1, 0]
        : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// Heads that share no key head can be tiled in any number, and loops may be parallel.
// CHECK-LABEL: func @forall
// CHECK: scf.forall (%[[X:.*]], %[[Y:.*]]) in (2, 4) shared_outs(%[[O:.*]] = %{{.*}})
// CHECK-DAG: %[[H:.*]] = affine.apply #{{.*}}(%[[X]])
// CHECK-DAG: %[[I:.*]] = affine.apply #{{.*}}(%[[Y]])
// CHECK: tensor.extract_slice %{{.*}}[0, %[[H]], %[[I]], 0] [2, 4, 32, 64]
// CHECK: tensor.extract_slice %{{.*}}[0, %[[H]], 0, 0] [2, 4, 96, 64]
// CHECK: attn.sdpa
// CHECK: tensor.parallel_insert_slice
func.func @forall(%q: tensor<2x8x128x64xf32>, %k: tensor<2x8x96x64xf32>) -> tensor<2x8x128x64xf32> {
  %0 = attn.sdpa ins(%q, %k, %k : tensor<2x8x128x64xf32>, tensor<2x8x96x64xf32>, tensor<2x8x96x64xf32>)
      outs(%q : tensor<2x8x128x64xf32>) -> tensor<2x8x128x64xf32>
  return %0 : tensor<2x8x128x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["attn.sdpa"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_forall %op tile_sizes [0, 4, 32]
        : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @group(%q: tensor<2x8x128x64xf32>, %k: tensor<2x4x96x64xf32>) -> tensor<2x8x128x64xf32> {
  // expected-error @+3 {{expected tiles of one or of all query heads, as several query heads share a key head}}
  // expected-error @+2 {{faild to tile operation}}
  // expected-error @+1 {{failed to generate tiling loops}}
  %0 = attn.sdpa ins(%q, %k, %k : tensor<2x8x128x64xf32>, tensor<2x4x96x64xf32>, tensor<2x4x96x64xf32>)
      outs(%q : tensor<2x8x128x64xf32>) -> tensor<2x8x128x64xf32>
  return %0 : tensor<2x8x128x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["attn.sdpa"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %op tile_sizes [0, 2, 0]
        : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// RUN: flash-opt %s --canonicalize | FileCheck %s

!q = tensor<2x4x8x16xf32>
!k = tensor<2x4x8x16xf32>
!lse = tensor<2x4x8xf32>

// One query at the end of the keys attends all of them; a window as wide as the lengths leaves nothing out.
// CHECK-LABEL: func @always_true
// CHECK: attn.sdpa ins(%{{.*}}) outs(%{{.*}}) -> tensor<2x4x1x16xf32>
func.func @always_true(%q: tensor<2x4x1x16xf32>, %k: tensor<2x4x?x16xf32>) -> tensor<2x4x1x16xf32> {
  %0 = attn.sdpa ins(%q, %k, %k : tensor<2x4x1x16xf32>, tensor<2x4x?x16xf32>, tensor<2x4x?x16xf32>)
      outs(%q : tensor<2x4x1x16xf32>)
      masks [#attn.causal<bottom_right>, #attn.window<-1, -1, top_left>] -> tensor<2x4x1x16xf32>
  return %0 : tensor<2x4x1x16xf32>
}

// CHECK-LABEL: func @wide_windows
// CHECK: attn.sdpa
// CHECK-SAME: masks [#attn.window<6, 7, top_left>, #attn.window<7, 6, bottom_right>] ->
func.func @wide_windows(%q: !q) -> (!q, !q) {
  %0 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q)
      masks [#attn.window<7, 7, bottom_right>, #attn.window<6, 7, top_left>, #attn.window<7, 6, bottom_right>] -> !q
  // CHECK: attn.sdpa
  // CHECK-NOT: masks
  // CHECK: return
  %1 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q) masks [#attn.window<7, 7, top_left>] -> !q
  return %0, %1 : !q, !q
}

// A dynamic length may be anything.
// CHECK-LABEL: func @unknown_lengths
// CHECK: masks [#attn.causal<top_left>, #attn.window<100, 100, bottom_right>]
func.func @unknown_lengths(%q: memref<?x?x?x8xf32>) {
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x8xf32>, memref<?x?x?x8xf32>, memref<?x?x?x8xf32>) outs(%q : memref<?x?x?x8xf32>)
      masks [#attn.causal<top_left>, #attn.window<100, 100, bottom_right>]
  return
}

// A part attends everything if the whole does, whatever the part's own lengths are.
// CHECK-LABEL: func @part
func.func @part(%q: memref<1x1x1x8xf32>, %b: index, %n: index) {
  %c1 = arith.constant 1 : index
  // CHECK: masks [#attn.causal<bottom_right>] position
  attn.sdpa ins(%q, %q, %q : memref<1x1x1x8xf32>, memref<1x1x1x8xf32>, memref<1x1x1x8xf32>) outs(%q : memref<1x1x1x8xf32>)
      masks [#attn.causal<bottom_right>] position(%b, %b, %b, %b, %n, %n)
  // CHECK: outs(%{{.*}} : memref<1x1x1x8xf32>) position
  attn.sdpa ins(%q, %q, %q : memref<1x1x1x8xf32>, memref<1x1x1x8xf32>, memref<1x1x1x8xf32>) outs(%q : memref<1x1x1x8xf32>)
      masks [#attn.causal<bottom_right>] position(%b, %b, %b, %b, %c1, %n)
  return
}

// CHECK-LABEL: func @constant_operands
// CHECK-SAME: (%{{.*}}, %[[LENGTHS:.*]]: tensor<2xi32>)
func.func @constant_operands(%q: !q, %lengths: tensor<2xi32>) -> (!q, !q) {
  %all = arith.constant dense<[8, 9]> : tensor<2xi32>
  %short = arith.constant dense<[8, 7]> : tensor<2xi32>
  %flags = arith.constant dense<true> : tensor<2x8xi1>
  %mask = arith.constant dense<1> : tensor<1x1x8x8xi8>
  // CHECK: masks [#attn.key_lengths] (%[[LENGTHS]] : tensor<2xi32>)
  %0 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q)
      masks [#attn.key_lengths, #attn.key_padding, #attn.key_lengths, #attn.tensor]
      (%all, %flags, %lengths, %mask : tensor<2xi32>, tensor<2x8xi1>, tensor<2xi32>, tensor<1x1x8x8xi8>) -> !q
  // CHECK: masks [#attn.key_lengths]
  %1 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q) masks [#attn.key_lengths] (%short : tensor<2xi32>) -> !q
  return %0, %1 : !q, !q
}

// CHECK-LABEL: func @join
func.func @join(%q: memref<?x?x?x8xf32>, %prefix: memref<?xi32>, %n: memref<?xi32>) {
  // Of causal and a window, the window whose right side ends at the diagonal.
  // CHECK: masks [#attn.window<127, 0, bottom_right>]
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x8xf32>, memref<?x?x?x8xf32>, memref<?x?x?x8xf32>) outs(%q : memref<?x?x?x8xf32>)
      masks [#attn.causal<bottom_right>, #attn.window<127, 3, bottom_right>]
  // CHECK: masks [#attn.causal<top_left>]
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x8xf32>, memref<?x?x?x8xf32>, memref<?x?x?x8xf32>) outs(%q : memref<?x?x?x8xf32>)
      masks [#attn.window<-1, 0, top_left>]
  // Diagonals of two alignments stay apart.
  // CHECK: masks [#attn.causal<top_left>, #attn.window<127, 3, bottom_right>]
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x8xf32>, memref<?x?x?x8xf32>, memref<?x?x?x8xf32>) outs(%q : memref<?x?x?x8xf32>)
      masks [#attn.causal<top_left>, #attn.window<127, 3, bottom_right>]
  // CHECK: masks [#attn.window<1, 2, top_left>]
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x8xf32>, memref<?x?x?x8xf32>, memref<?x?x?x8xf32>) outs(%q : memref<?x?x?x8xf32>)
      masks [#attn.window<1, -1, top_left>, #attn.window<-1, 2, top_left>]
  // The same lengths twice are one mask, other lengths another.
  // CHECK: masks [#attn.key_lengths, #attn.key_lengths] (%[[PREFIX:.*]], %[[N:.*]] : memref<?xi32>, memref<?xi32>)
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x8xf32>, memref<?x?x?x8xf32>, memref<?x?x?x8xf32>) outs(%q : memref<?x?x?x8xf32>)
      masks [#attn.key_lengths, #attn.key_lengths, #attn.key_lengths] (%prefix, %n, %prefix : memref<?xi32>, memref<?xi32>, memref<?xi32>)
  // CHECK: masks [#attn.causal<top_left>]
  // CHECK-NOT: (%{{.*}} : memref<?xi32>)
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x8xf32>, memref<?x?x?x8xf32>, memref<?x?x?x8xf32>) outs(%q : memref<?x?x?x8xf32>)
      masks [#attn.prefix_lm<top_left>, #attn.causal<top_left>] (%prefix : memref<?xi32>)
  // CHECK: masks [#attn.prefix_lm<top_left>, #attn.causal<bottom_right>] (%[[PREFIX]] : memref<?xi32>)
  attn.sdpa ins(%q, %q, %q : memref<?x?x?x8xf32>, memref<?x?x?x8xf32>, memref<?x?x?x8xf32>) outs(%q : memref<?x?x?x8xf32>)
      masks [#attn.prefix_lm<top_left>, #attn.causal<bottom_right>] (%prefix : memref<?xi32>)
  return
}

// CHECK-LABEL: func @scale
func.func @scale(%q: !q) -> (!q, !q) {
  // CHECK-NOT: scale
  %0 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q) {scale = 0.25 : f64} -> !q
  // CHECK: {scale = 2.600000e-01 : f64}
  %1 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q) {scale = 0.26 : f64} -> !q
  return %0, %1 : !q, !q
}

// CHECK-LABEL: func @score
func.func @score(%q: !q) -> (!q, !q, !q, !q) {
  // CHECK: attn.sdpa ins(%{{.*}}) outs(%{{.*}}) -> tensor
  %0 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q) score {
    ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
      attn.yield %s : f32
    } -> !q
  // CHECK: attn.sdpa ins(%{{.*}}) outs(%{{.*}}) {scale = 5.000000e-01 : f64} -> tensor
  %1 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q) score {
    ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
      %two = arith.constant 2.0 : f32
      %x = arith.mulf %s, %two : f32
      attn.yield %x : f32
    } -> !q
  // Any other factor rounds.
  // CHECK: attn.sdpa {{.*}} score {
  // CHECK: arith.mulf
  // CHECK: } -> tensor
  %2 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q) score {
    ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
      %three = arith.constant 3.0 : f32
      %x = arith.mulf %three, %s : f32
      attn.yield %x : f32
    } -> !q
  // Multiplying what is not the score changes more than the scale.
  // CHECK: attn.sdpa {{.*}} score {
  // CHECK: arith.mulf
  // CHECK: } -> tensor
  %3 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q) score {
    ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
      %two = arith.constant 2.0 : f32
      %t = math.tanh %s : f32
      %x = arith.mulf %t, %two : f32
      attn.yield %x : f32
    } -> !q
  return %0, %1, %2, %3 : !q, !q, !q, !q
}

// CHECK-LABEL: func @zero_bias
// CHECK: attn.sdpa ins(%{{.*}}) outs(%{{.*}}) -> tensor
func.func @zero_bias(%q: !q) -> !q {
  %zeros = arith.constant dense<0.0> : tensor<1x1x8x8xf32>
  %0 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q : !q) bias(%zeros : tensor<1x1x8x8xf32>) -> !q
  return %0 : !q
}

// CHECK-LABEL: func @unused_lse
func.func @unused_lse(%q: !q, %lse: !lse) -> (!q, !lse) {
  // CHECK: %[[A:.*]] = attn.sdpa ins(%{{.*}}) outs(%{{.*}} : tensor<2x4x8x16xf32>) score {
  // CHECK: } {softcap = 3.000000e+01 : f64} -> tensor<2x4x8x16xf32>
  %0:2 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q, %lse : !q, !lse) score {
    ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
      %x = arith.negf %s : f32
      attn.yield %x : f32
    } {softcap = 30.0 : f64} -> !q, !lse
  // CHECK: %[[B:.*]]:2 = attn.sdpa
  %1:2 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q, %lse : !q, !lse) -> !q, !lse
  // An attention that nobody reads is not computed.
  // CHECK-NOT: attn.sdpa
  %2:2 = attn.sdpa ins(%q, %q, %q : !q, !q, !q) outs(%q, %lse : !q, !lse) -> !q, !lse
  // CHECK: return %[[A]], %[[B]]#1
  return %0#0, %1#1 : !q, !lse
}

// CHECK-LABEL: func @casts
// CHECK-SAME: (%[[Q:.*]]: memref<2x4x8x16xf32>, %[[LSE:.*]]: memref<2x4x8xf32>)
func.func @casts(%q: memref<2x4x8x16xf32>, %lse: memref<2x4x8xf32>) {
  %c = memref.cast %q : memref<2x4x8x16xf32> to memref<?x?x?x16xf32>
  %l = memref.cast %lse : memref<2x4x8xf32> to memref<?x?x?xf32>
  // CHECK-NEXT: attn.sdpa ins(%[[Q]], %[[Q]], %[[Q]] : {{.*}}) outs(%[[Q]] : {{.*}})
  attn.sdpa ins(%c, %c, %c : memref<?x?x?x16xf32>, memref<?x?x?x16xf32>, memref<?x?x?x16xf32>) outs(%c : memref<?x?x?x16xf32>)
  // CHECK-NEXT: attn.merge ins(%[[Q]], %[[LSE]], %[[Q]], %[[LSE]] : {{.*}}) outs(%[[Q]], %[[LSE]] : {{.*}})
  attn.merge ins(%c, %l, %c, %l : memref<?x?x?x16xf32>, memref<?x?x?xf32>, memref<?x?x?x16xf32>, memref<?x?x?xf32>)
      outs(%c, %l : memref<?x?x?x16xf32>, memref<?x?x?xf32>)
  return
}

// CHECK-LABEL: func @tensor_casts
// CHECK-SAME: (%[[Q:.*]]: tensor<2x4x8x16xf32>)
// CHECK-NEXT: %[[O:.*]] = attn.sdpa ins(%[[Q]], %[[Q]], %[[Q]] : {{.*}}) outs(%[[Q]] : {{.*}}) -> tensor<2x4x8x16xf32>
// CHECK-NEXT: %[[C:.*]] = tensor.cast %[[O]] : tensor<2x4x8x16xf32> to tensor<?x?x?x16xf32>
// CHECK-NEXT: return %[[C]]
func.func @tensor_casts(%q: !q) -> tensor<?x?x?x16xf32> {
  %c = tensor.cast %q : !q to tensor<?x?x?x16xf32>
  %0 = attn.sdpa ins(%c, %c, %c : tensor<?x?x?x16xf32>, tensor<?x?x?x16xf32>, tensor<?x?x?x16xf32>)
      outs(%c : tensor<?x?x?x16xf32>) -> tensor<?x?x?x16xf32>
  return %0 : tensor<?x?x?x16xf32>
}

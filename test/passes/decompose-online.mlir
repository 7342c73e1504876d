// RUN: flash-opt %s --decompose-online --canonicalize --cse | FileCheck %s

#tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>
!acc = !tile.tile<24x40xf32>
!rows = !tile.tile<24xf32>

// A full tile: two products, one reduction to a maximum, one exponential and one sum; the rest is on rows and the accumulator.
// CHECK-LABEL: func @full
// CHECK-SAME: (%[[Q:[^:]*]]: memref<24x64xf16>, %[[K:[^:]*]]: memref<512x64xf16>, %[[V:[^:]*]]: memref<512x40xf16>, %[[A:[^:]*]]: !tile.tile<24x40xf32>, %[[M:[^:]*]]: !tile.tile<24xf32>, %[[L:[^:]*]]: !tile.tile<24xf32>
func.func @full(%q: memref<24x64xf16>, %k: memref<512x64xf16>, %v: memref<512x40xf16>, %acc: !acc, %max: !rows,
                %sum: !rows, %p: index) -> (!acc, !rows, !rows) {
  // CHECK-DAG: %[[FACTOR:.*]] = arith.constant 0.180336878 : f32
  // CHECK-DAG: %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
  // CHECK-DAG: %[[LOWEST:.*]] = arith.constant 0xFF800000 : f32
  // CHECK: %[[QT:.*]] = tile.load %[[Q]][%c0, %c0] valid(%c24, %c64) : memref<24x64xf16> -> <24x64xf32>
  // CHECK: %[[KT:.*]] = tile.load %[[K]][%c0, %c0] valid(%c512, %c64) : memref<512x64xf16> -> <512x64xf32>
  // CHECK: %[[NONE:.*]] = tile.splat %[[ZERO]] : f32 -> <24x512xf32>
  // CHECK: %[[S:.*]] = tile.dot %[[QT]], %[[KT]], %[[NONE]] transposed
  // CHECK: %[[LOW:.*]] = tile.splat %[[LOWEST]] : f32 -> <24xf32>
  // CHECK: %[[LARGEST:.*]] = tile.reduce max %[[S]], %[[LOW]]
  // CHECK: %[[NEW:.*]] = tile.map ins(%[[M]], %[[LARGEST]] :
  // CHECK-NEXT: ^bb0(%[[OLD:.*]]: f32, %[[X:.*]]: f32):
  // CHECK-NEXT:   %[[Y:.*]] = arith.mulf %[[X]], %[[FACTOR]]
  // CHECK-NEXT:   arith.maxnumf %[[OLD]], %[[Y]]
  // CHECK: %[[BASE:.*]] = tile.map ins(%[[NEW]] :
  // CHECK-NEXT: ^bb0(%[[X:.*]]: f32):
  // CHECK-NEXT:   %[[EMPTY:.*]] = arith.cmpf oeq, %[[X]], %[[LOWEST]]
  // CHECK-NEXT:   arith.select %[[EMPTY]], %[[ZERO]], %[[X]]
  // CHECK: %[[ALPHA:.*]] = tile.map ins(%[[M]], %[[BASE]] :
  // CHECK:   arith.subf
  // CHECK-NEXT: math.exp2
  // CHECK: %[[P:.*]] = tile.map ins(%[[S]], %[[BASE]] :
  // CHECK-NEXT: ^bb0(%[[X:.*]]: f32, %[[AT:.*]]: f32):
  // CHECK-NEXT:   %[[MINUS:.*]] = arith.negf %[[AT]]
  // CHECK-NEXT:   %[[Y:.*]] = math.fma %[[X]], %[[FACTOR]], %[[MINUS]]
  // CHECK-NEXT:   math.exp2 %[[Y]]
  // CHECK: %[[OLD_SUM:.*]] = tile.map ins(%[[L]], %[[ALPHA]] :
  // CHECK: %[[SUM:.*]] = tile.reduce sum %[[P]], %[[OLD_SUM]]
  // CHECK: %[[OLD_ACC:.*]] = tile.map ins(%[[A]], %[[ALPHA]] :
  // CHECK: %[[VT:.*]] = tile.load %[[V]][%c0, %c0] valid(%c512, %c40) : memref<512x40xf16> -> <512x40xf32>
  // CHECK: %[[ACC:.*]] = tile.dot %[[P]], %[[VT]], %[[OLD_ACC]] :
  // CHECK: return %[[ACC]], %[[NEW]], %[[SUM]]
  %0:3 = attn.online ins(%q, %k, %v : memref<24x64xf16>, memref<512x64xf16>, memref<512x40xf16>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     position(%p, %p, %p, %p, %p, %p) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// Masks are one conjunction on positions, and scores that are not attended become -inf; a linear score still is scaled later.
// CHECK-LABEL: func @masked
// CHECK-SAME: (%{{.*}}, %[[B:[^:]*]]: index, %[[I0:[^:]*]]: index, %[[J0:[^:]*]]: index, %[[SQ:[^:]*]]: index, %[[SK:[^:]*]]: index, %[[LENGTHS:[^:]*]]: memref<?xi32>)
func.func @masked(%q: memref<24x64xf32>, %k: memref<512x64xf32>, %v: memref<512x40xf32>, %acc: !acc, %max: !rows,
                  %sum: !rows, %b: index, %i0: index, %j0: index, %sq: index, %sk: index, %lengths: memref<?xi32>)
    -> (!acc, !rows, !rows) {
  // What does not depend on the element stands before the map.
  // CHECK: %[[S:.*]] = tile.dot
  // CHECK-DAG: %[[OFFSET:.*]] = arith.subi %[[SK]], %[[SQ]]
  // CHECK-DAG: %[[LENGTH:.*]] = memref.load %[[LENGTHS]][%[[B]]]
  // CHECK-DAG: %[[KEYS:.*]] = arith.index_cast %[[LENGTH]]
  // CHECK-DAG: %[[END:.*]] = arith.addi %[[J0]], %c512
  // CHECK: %[[X:.*]] = tile.map ins(%[[S]] : !tile.tile<24x512xf32>) origin(%[[I0]], %[[J0]]) {
  // CHECK-NEXT: ^bb0(%[[E:.*]]: f32, %[[I:.*]]: index, %[[J:.*]]: index):
  // CHECK-NEXT:   %[[DIAGONAL:.*]] = arith.addi %[[I]], %[[OFFSET]]
  // CHECK-NEXT:   %[[CAUSAL:.*]] = arith.cmpi sle, %[[J]], %[[DIAGONAL]]
  // CHECK-NEXT:   %[[SHORT:.*]] = arith.cmpi slt, %[[J]], %[[KEYS]]
  // CHECK-NEXT:   %[[BOTH:.*]] = arith.andi %[[CAUSAL]], %[[SHORT]]
  // CHECK-NEXT:   %[[IN:.*]] = arith.cmpi slt, %[[J]], %[[END]]
  // CHECK-NEXT:   %[[ALL:.*]] = arith.andi %[[BOTH]], %[[IN]]
  // CHECK-NEXT:   %[[Y:.*]] = arith.select %[[ALL]], %[[E]], %cst
  // CHECK-NEXT:   tile.yield %[[Y]]
  // CHECK: tile.reduce max %[[X]]
  // CHECK: tile.map ins(%[[X]], %{{.*}} :
  // CHECK: math.fma
  %0:3 = attn.online ins(%q, %k, %v : memref<24x64xf32>, memref<512x64xf32>, memref<512x40xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     masks [#attn.causal<bottom_right>, #attn.key_lengths, #attn.bounds] (%lengths : memref<?xi32>)
                     position(%b, %b, %i0, %j0, %sq, %sk) {scale = 0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// The order of evaluation: scale, score function, softcap, bias, log2(e), masks. What the score function drops stays dropped.
// CHECK-LABEL: func @general
// CHECK-SAME: (%{{.*}}, %[[M:[^:]*]]: !tile.tile<24xf32>, %{{[^:]*}}: !tile.tile<24xf32>, %[[B:[^:]*]]: index, %{{.*}}, %[[BIAS:[^:]*]]: memref<1x8x?x?xbf16>)
func.func @general(%q: memref<24x64xf32>, %k: memref<512x64xf32>, %v: memref<512x40xf32>, %acc: !acc, %max: !rows,
                   %sum: !rows, %b: index, %h: index, %i0: index, %j0: index, %sk: index, %bias: memref<1x8x?x?xbf16>)
    -> (!acc, !rows, !rows) {
  // CHECK: %[[S:.*]] = tile.dot
  // CHECK: %[[BH:.*]] = arith.addi %[[B]], %{{.*}}
  // CHECK: %[[X:.*]] = tile.map ins(%[[S]] :
  // CHECK-NEXT: ^bb0(%[[E:.*]]: f32, %[[I:.*]]: index, %[[J:.*]]: index):
  // CHECK:   %[[SCALED:.*]] = arith.mulf %[[E]], %{{.*}}
  // CHECK:   arith.cmpi eq, %[[BH]], %[[J]]
  // CHECK:   %[[SCORE:.*]] = arith.select %{{.*}}, %{{.*}}, %[[SCALED]]
  // CHECK:   %[[DROPPED:.*]] = arith.cmpf oeq, %[[SCORE]], %[[LOWEST:.*]] : f32
  // CHECK:   arith.mulf %[[SCORE]], %{{.*}}
  // CHECK:   %[[BENT:.*]] = math.tanh
  // CHECK:   %[[CAPPED:.*]] = arith.mulf %[[BENT]], %{{.*}}
  // CHECK:   arith.minsi %[[I]],
  // CHECK:   arith.minsi %[[J]],
  // CHECK:   %[[LOADED:.*]] = memref.load %[[BIAS]][%c0, %{{.*}}, %{{.*}}, %{{.*}}]
  // CHECK:   %[[WIDE:.*]] = arith.extf %[[LOADED]] : bf16 to f32
  // CHECK:   %[[TOO_LOW:.*]] = arith.cmpf olt, %[[WIDE]], %{{.*}} : f32
  // CHECK:   %[[FINITE:.*]] = arith.select %[[TOO_LOW]], %{{.*}}, %[[WIDE]]
  // CHECK:   %[[BIASED:.*]] = arith.addf %[[CAPPED]], %[[FINITE]]
  // CHECK:   %[[MASKED:.*]] = arith.cmpf oeq, %[[WIDE]], %[[LOWEST]] : f32
  // CHECK:   %[[EITHER:.*]] = arith.ori %[[DROPPED]], %[[MASKED]] : i1
  // CHECK:   %[[LOG2:.*]] = arith.mulf %[[BIASED]], %{{.*}}
  // CHECK:   %[[KEPT:.*]] = arith.select %[[EITHER]], %[[LOWEST]], %[[LOG2]]
  // CHECK:   %[[IN:.*]] = arith.cmpi slt, %[[J]], %{{.*}}
  // CHECK:   arith.select %[[IN]], %[[KEPT]], %[[LOWEST]]
  // CHECK: %[[NEW:.*]] = tile.reduce max %[[X]], %[[M]]
  // CHECK: tile.map ins(%[[X]], %{{.*}} :
  // CHECK-NOT: math.fma
  // CHECK: return
  %0:3 = attn.online ins(%q, %k, %v : memref<24x64xf32>, memref<512x64xf32>, memref<512x40xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) masks [#attn.bounds]
                     bias(%bias : memref<1x8x?x?xbf16>) position(%b, %h, %i0, %j0, %sk, %sk) score {
                     ^bb0(%s: f32, %bb: index, %hh: index, %i: index, %j: index):
                       %lowest = arith.constant 0xFF800000 : f32
                       %bh = arith.addi %bb, %hh : index
                       %drop = arith.cmpi eq, %bh, %j : index
                       %y = arith.select %drop, %lowest, %s : f32
                       attn.yield %y : f32
                     } {scale = 0.125, softcap = 30.0, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// A factor that is not positive may turn the order of scores around: it is applied to each of them first.
// CHECK-LABEL: func @negative_scale
func.func @negative_scale(%q: memref<24x64xf32>, %k: memref<512x64xf32>, %v: memref<512x40xf32>, %acc: !acc,
                          %max: !rows, %sum: !rows, %p: index) -> (!acc, !rows, !rows) {
  // CHECK: %[[S:.*]] = tile.dot
  // CHECK: %[[X:.*]] = tile.map ins(%[[S]] :
  // CHECK: tile.reduce max %[[X]]
  %0:3 = attn.online ins(%q, %k, %v : memref<24x64xf32>, memref<512x64xf32>, memref<512x40xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows)
                     position(%p, %p, %p, %p, %p, %p) {scale = -0.125, tiles = #tiles}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// A score function may yield what comes from above it.
// CHECK-LABEL: func @constant_score
// CHECK-SAME: %[[CONSTANT:[^ ]*]]: f32)
func.func @constant_score(%q: memref<24x64xf32>, %k: memref<512x64xf32>, %v: memref<512x40xf32>, %acc: !acc,
                          %max: !rows, %sum: !rows, %p: index, %constant: f32) -> !acc {
  // CHECK: %[[LOG2:.*]] = arith.mulf %[[CONSTANT]], %{{.*}}
  // CHECK: %[[X:.*]] = tile.map
  // CHECK:   tile.yield %[[LOG2]]
  // CHECK: tile.reduce max %[[X]]
  %0:3 = attn.online ins(%q, %k, %v : memref<24x64xf32>, memref<512x64xf32>, memref<512x40xf32>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) position(%p, %p, %p, %p, %p, %p) score {
                     ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
                       attn.yield %constant : f32
                     } {scale = 0.125, tiles = #tiles}
  return %0#0 : !acc
}

// The query rows are read once, before the loop over keys.
// CHECK-LABEL: func @loop
func.func @loop(%x: memref<?x64xf32>, %k: memref<512x64xf32>, %v: memref<512x40xf32>, %acc: !acc, %max: !rows,
                %sum: !rows, %p: index) -> !acc {
  %c0 = arith.constant 0 : index
  %c24 = arith.constant 24 : index
  %c512 = arith.constant 512 : index
  // CHECK: %[[Q:.*]] = memref.subview
  // CHECK-NEXT: %[[QT:.*]] = tile.load %[[Q]]
  // CHECK: scf.for
  // CHECK: tile.dot %[[QT]], %{{.*}} transposed
  // CHECK: tile.dot %[[QT]], %{{.*}} transposed
  %rows = arith.minsi %p, %c24 : index
  %q = memref.subview %x[%p, 0] [%rows, 64] [1, 1] : memref<?x64xf32> to memref<?x64xf32, strided<[64, 1], offset: ?>>
  %0:3 = scf.for %j = %c0 to %p step %c512 iter_args(%a = %acc, %m = %max, %l = %sum) -> (!acc, !rows, !rows) {
    %1:3 = attn.online ins(%q, %k, %v : memref<?x64xf32, strided<[64, 1], offset: ?>>, memref<512x64xf32>, memref<512x40xf32>)
                       state(%a, %m, %l : !acc, !rows, !rows)
                       position(%p, %p, %p, %j, %p, %p) {scale = 0.125, tiles = #tiles}
    scf.yield %1#0, %1#1, %1#2 : !acc, !rows, !rows
  }
  %2:3 = attn.online ins(%q, %k, %v : memref<?x64xf32, strided<[64, 1], offset: ?>>, memref<512x64xf32>, memref<512x40xf32>)
                     state(%0#0, %0#1, %0#2 : !acc, !rows, !rows)
                     position(%p, %p, %p, %p, %p, %p) {scale = 0.125, tiles = #tiles}
  return %2#0 : !acc
}

// A row that attended nothing gives 0 and -inf; lse is a natural logarithm, the maximum one to base 2.
// CHECK-LABEL: func @normalize
// CHECK-SAME: (%[[A:[^:]*]]: !tile.tile<24x40xf32>, %[[M:[^:]*]]: !tile.tile<24xf32>, %[[L:[^:]*]]: !tile.tile<24xf32>, %[[ROWS:[^:]*]]: index, %[[OUT:[^:]*]]: memref<?x40xbf16>, %[[LSE:[^:]*]]: memref<?xf32>)
func.func @normalize(%acc: !acc, %max: !rows, %sum: !rows, %rows: index, %out: memref<?x40xbf16>,
                     %lse: memref<?xf32>) {
  // CHECK-DAG: %[[LN2:.*]] = arith.constant 0.693147182 : f32
  // CHECK: %[[INVERSE:.*]] = tile.map ins(%[[L]] :
  // CHECK:   arith.divf
  // CHECK:   arith.cmpf oeq
  // CHECK:   arith.select
  // CHECK: %[[RESULT:.*]] = tile.map ins(%[[A]], %[[INVERSE]] :
  // CHECK: tile.store %[[RESULT]], %[[OUT]][%c0, %c0] valid(%[[ROWS]], %c40)
  // CHECK: %[[LOG:.*]] = tile.map ins(%[[M]], %[[L]] :
  // CHECK-NEXT: ^bb0(%[[MAX:.*]]: f32, %[[SUM:.*]]: f32):
  // CHECK-NEXT:   %[[LN:.*]] = math.log %[[SUM]]
  // CHECK-NEXT:   %[[X:.*]] = math.fma %[[MAX]], %[[LN2]], %[[LN]]
  // CHECK-NEXT:   %[[EMPTY:.*]] = arith.cmpf oeq, %[[SUM]], %{{.*}}
  // CHECK-NEXT:   arith.select %[[EMPTY]], %{{.*}}, %[[X]]
  // CHECK: tile.store %[[LOG]], %[[LSE]][%c0] valid(%[[ROWS]])
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<?x40xbf16>) lse(%lse : memref<?xf32>)
      : !acc, !rows, !rows
  return
}

// Products of bf16: queries, keys and values stay as they are, the probabilities are rounded for the product, and the sum
// is of those that were not rounded. Nobody sees the sum, so 8 bits of the exponential are enough.
// CHECK-LABEL: func @pairs
func.func @pairs(%q: memref<24x64xbf16>, %k: memref<512x64xbf16>, %v: memref<512x40xbf16>, %acc: !acc, %max: !rows,
                 %sum: !rows, %p: index) -> (!acc, !rows, !rows) {
  // CHECK: %[[Q:.*]] = tile.load %{{.*}} : memref<24x64xbf16> -> <24x64xbf16>
  // CHECK: %[[K:.*]] = tile.load %{{.*}} : memref<512x64xbf16> -> <512x64xbf16>
  // CHECK: tile.dot %[[Q]], %[[K]], %{{.*}} transposed : <24x64xbf16>, <512x64xbf16> -> <24x512xf32>
  // CHECK: math.exp2 %{{[^{]*}} {tile.nonpositive} : f32
  // CHECK: %[[P:.*]] = tile.map
  // CHECK:   math.exp2 %{{.*}} {tile.nonpositive, tile.precision = 8 : i64} : f32
  // CHECK: } -> <24x512xf32>
  // CHECK: %[[W:.*]] = tile.map ins(%[[P]] :
  // CHECK:   arith.truncf %{{.*}} : f32 to bf16
  // CHECK: } -> <24x512xbf16>
  // CHECK: tile.reduce sum %[[P]],
  // CHECK: %[[V:.*]] = tile.load %{{.*}} : memref<512x40xbf16> -> <512x40xbf16>
  // CHECK: tile.dot %[[W]], %[[V]], %{{.*}} : <24x512xbf16>, <512x40xbf16> -> <24x40xf32>
  %0:3 = attn.online ins(%q, %k, %v : memref<24x64xbf16>, memref<512x64xbf16>, memref<512x40xbf16>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) position(%p, %p, %p, %p, %p, %p)
                     {scale = 0.125, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32, operand = bf16>}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

// The logarithm of the sum is a result: its exponentials keep all bits.
// CHECK-LABEL: func @visible_sum
// CHECK-NOT: tile.precision
func.func @visible_sum(%q: memref<24x64xbf16>, %k: memref<512x64xbf16>, %v: memref<512x40xbf16>, %acc: !acc, %max: !rows,
                       %sum: !rows, %p: index, %out: memref<?x40xbf16>, %lse: memref<?xf32>) {
  %0:3 = attn.online ins(%q, %k, %v : memref<24x64xbf16>, memref<512x64xbf16>, memref<512x40xbf16>)
                     state(%acc, %max, %sum : !acc, !rows, !rows) position(%p, %p, %p, %p, %p, %p)
                     {scale = 0.125, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32, operand = bf16>}
  attn.normalize %0#0, %0#1, %0#2 rows(%p) outs(%out : memref<?x40xbf16>) lse(%lse : memref<?xf32>) : !acc, !rows, !rows
  return
}

// Products in tf32 round tiles of float32 themselves; the sum is of weights that were not rounded, as with narrow operands.
// CHECK-LABEL: func @tf32
func.func @tf32(%q: memref<24x64xf32>, %k: memref<512x64xf32>, %v: memref<512x40xf32>, %acc: !acc, %max: !rows, %sum: !rows,
                %p: index) -> (!acc, !rows, !rows) {
  // CHECK: tile.dot %{{.*}}, %{{.*}}, %{{.*}} transposed tf32 : <24x64xf32>, <512x64xf32> -> <24x512xf32>
  // CHECK: %[[P:.*]] = tile.map ins(%{{.*}}, %{{.*}} : !tile.tile<24x512xf32>, !tile.tile<24xf32>)
  // CHECK: tile.reduce sum %[[P]],
  // CHECK: tile.dot %[[P]], %{{.*}}, %{{.*}} tf32 : <24x512xf32>, <512x40xf32> -> <24x40xf32>
  %0:3 = attn.online ins(%q, %k, %v : memref<24x64xf32>, memref<512x64xf32>, memref<512x40xf32>)
      state(%acc, %max, %sum : !acc, !rows, !rows) position(%p, %p, %p, %p, %p, %p)
      {scale = 0.125 : f64, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32, operand = tf32>}
  return %0#0, %0#1, %0#2 : !acc, !rows, !rows
}

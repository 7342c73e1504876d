// RUN: flash-opt %s --allow-unregistered-dialect --fuse-packing --canonicalize --cse | FileCheck %s

!kt = !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16>>

// Both operands are packed by the loop that reads them; query heads in groups of %g share a key head.
// CHECK-LABEL: func @attention
// CHECK-SAME:    %[[K:[a-z0-9]+]]: memref<?x?x?x64xf32>, %[[V:[a-z0-9]+]]: memref<?x?x?x64xf32>, %[[B:[a-z0-9]+]]: index, %[[H:[a-z0-9]+]]: index, %[[G:[a-z0-9]+]]: index, %[[T:[a-z0-9]+]]: index, %[[N:[a-z0-9]+]]: index
// CHECK:       %[[ITERATIONS:.*]] = arith.muli %[[G]], %[[T]]
// CHECK:       %[[WORKERS:.*]] = tile.workers
// CHECK:       %[[MANY:.*]] = arith.cmpi uge
// CHECK:       %[[ALONE:.*]] = arith.cmpi eq, %[[WORKERS]], %c1
// CHECK:       %[[WHOLE:.*]] = arith.ori %[[MANY]], %[[ALONE]]
// CHECK:       %[[CHUNK:.*]] = arith.select %[[WHOLE]], %{{.*}}, %c1
// CHECK:       %[[S0:.*]] = arith.select %[[WHOLE]], %[[WORKERS]], %[[B]]
// CHECK:       %[[S1:.*]] = arith.select %[[WHOLE]], %c1, %[[H]]
// CHECK:       %[[PK:.*]] = memref.alloc(%[[S0]], %[[S1]], %[[N]]) {{.*}} : memref<?x?x?x64x64xf32>
// CHECK:       %[[PV:.*]] = memref.alloc(%[[S0]], %[[S1]], %{{.*}}) {{.*}} : memref<?x?x1x?x64xf32>
// CHECK:       %[[STATES:.*]] = memref.alloc(%[[S0]], %[[S1]]) {{.*}} : memref<?x?x8xi64>
// CHECK:       memref.store %c0_i64, %[[STATES]]
// CHECK-NOT:   tile.pack
// CHECK:       scf.forall (%[[TASK:.*]]) in
// CHECK:         %[[WORKER:.*]] = tile.worker
// CHECK:         %[[FIRST:.*]] = arith.muli %[[TASK]], %[[CHUNK]]
// CHECK:         scf.for %[[I:.*]] = %[[FIRST]] to
// CHECK:           %[[ROW:.*]] = arith.divui %[[I]], %[[T]]
// CHECK:           %[[BATCH:.*]] = arith.divui %[[ROW]], %{{.*}}
// CHECK:           %[[HEAD:.*]] = arith.divui %{{.*}}, %[[G]]
// CHECK:           %[[W0:.*]] = arith.select %[[WHOLE]], %[[WORKER]], %[[BATCH]] :
// CHECK:           %[[W1:.*]] = arith.select %[[WHOLE]], %c0, %[[HEAD]]
// CHECK:           scf.if
// CHECK-NEXT:        memref.store %c0_i64, %[[STATES]][%[[W0]], %[[W1]], %c0]
// CHECK:           %[[PARTS:.*]] = arith.addi %[[N]], %[[N]]
// CHECK:           tile.cooperate %[[STATES]][%[[W0]], %[[W1]], %c0] parts(%[[PARTS]])
// CHECK:           ^bb0(%[[PART:.*]]: index):
// CHECK:             arith.cmpi ult, %[[PART]], %[[N]]
// CHECK:             scf.if
// CHECK:               tile.pack %[[K]][%[[BATCH]], %[[HEAD]], {{.*}} into %[[PK]][%[[W0]], %[[W1]], %[[PART]]] transposed
// CHECK:             } else {
// CHECK:               tile.pack %[[V]][%[[BATCH]], %[[HEAD]], {{.*}} into %[[PV]][%[[W0]], %[[W1]],
// CHECK:           tile.view %[[PK]][%[[W0]], %[[W1]], %c0]
// CHECK:           tile.view %[[PV]][%[[W0]], %[[W1]], %c0]
func.func @attention(%k: memref<?x?x?x64xf32>, %v: memref<?x?x?x64xf32>, %B: index, %H: index, %g: index, %T: index,
                     %n: index) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %rows = arith.muli %n, %c64 : index
  %heads = arith.muli %H, %g : index
  %pk = memref.alloc(%B, %H, %n) {alignment = 64 : i64} : memref<?x?x?x64x64xf32>
  scf.forall (%b, %h, %s) in (%B, %H, %n) {
    %first = arith.muli %s, %c64 : index
    tile.pack %k[%b, %h, %first, %c0] valid(%c64) into %pk[%b, %h, %s] transposed <width = 64, lanes = 16>
        : memref<?x?x?x64xf32>, memref<?x?x?x64x64xf32>
  }
  %pv = memref.alloc(%B, %H, %rows) {alignment = 64 : i64} : memref<?x?x1x?x64xf32>
  scf.forall (%b, %h, %s) in (%B, %H, %n) {
    %first = arith.muli %s, %c64 : index
    tile.pack %v[%b, %h, %first, %c0] valid(%c64) into %pv[%b, %h, %first] <width = 64, lanes = 16>
        : memref<?x?x?x64xf32>, memref<?x?x1x?x64xf32>
  }
  scf.forall (%b, %h, %t) in (%B, %heads, %T) {
    %kh = arith.divui %h, %g : index
    %kt = tile.view %pk[%b, %kh, %c0] valid(%c64) : memref<?x?x?x64x64xf32> -> !kt
    %vt = tile.view %pv[%b, %kh, %c0] valid(%c64) : memref<?x?x1x?x64xf32> -> !kt
    "test.use"(%kt, %vt) : (!kt, !kt) -> ()
  }
  return
}

// Heads in another order than the iterations': each keeps its own memory, and a task is an iteration.
// CHECK-LABEL: func @reversed
// CHECK-NOT:   tile.worker
// CHECK:       scf.forall
// CHECK:         tile.cooperate %{{.*}}[%{{.*}}, %c0] parts
// CHECK:           tile.pack
// CHECK:         tile.view
func.func @reversed(%k: memref<?x?x64xf32>, %H: index, %T: index, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %pk = memref.alloc(%H, %n) {alignment = 64 : i64} : memref<?x?x64x64xf32>
  scf.forall (%h, %s) in (%H, %n) {
    %first = arith.muli %s, %c64 : index
    tile.pack %k[%h, %first, %c0] valid(%c64) into %pk[%h, %s] transposed <width = 64, lanes = 16>
        : memref<?x?x64xf32>, memref<?x?x64x64xf32>
  }
  %last = arith.subi %H, %c1 : index
  scf.forall (%h, %t) in (%H, %T) {
    %kh = arith.subi %last, %h : index
    %kt = tile.view %pk[%kh, %c0] valid(%c64) : memref<?x?x64x64xf32> -> !kt
    "test.use"(%kt) : (!kt) -> ()
  }
  return
}

// Packed memory that something else reads, too, is packed beforehand.
// CHECK-LABEL: func @shared
// CHECK:       scf.forall
// CHECK:         tile.pack
// CHECK-NOT:   tile.cooperate
func.func @shared(%k: memref<?x?x64xf32>, %H: index, %T: index, %n: index) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %pk = memref.alloc(%H, %n) {alignment = 64 : i64} : memref<?x?x64x64xf32>
  scf.forall (%h, %s) in (%H, %n) {
    %first = arith.muli %s, %c64 : index
    tile.pack %k[%h, %first, %c0] valid(%c64) into %pk[%h, %s] transposed <width = 64, lanes = 16>
        : memref<?x?x64xf32>, memref<?x?x64x64xf32>
  }
  "test.use"(%pk) : (memref<?x?x64x64xf32>) -> ()
  scf.forall (%h, %t) in (%H, %T) {
    %kt = tile.view %pk[%h, %c0] valid(%c64) : memref<?x?x64x64xf32> -> !kt
    "test.use"(%kt) : (!kt) -> ()
  }
  return
}

// A task of whole heads lists the lines that the next iteration works on, and in a head's first iteration those of the
// next head's keys. What no product has asked for by the end is asked for there.
// CHECK-LABEL: func @next
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: memref<?x?x64xbf16>, %[[K:[a-z0-9]+]]: memref<?x?x64xbf16>,
// CHECK:       %[[WHOLE:.*]] = arith.ori
// CHECK:       scf.forall
// CHECK:         %[[LINES:.*]] = memref.alloca() {{.*}}tile.asked_lines} : memref<2049xindex>
// CHECK:         %[[STATE:.*]] = memref.alloca() {{.*}}tile.asked_state} : memref<2xindex>
// CHECK:         scf.for %[[I:.*]] =
// CHECK:           %[[FIRST:.*]] = arith.cmpi eq, %{{.*}}, %c0
// CHECK:           %[[MORE:.*]] = arith.addi %[[I]], %c1
// CHECK:           %[[ONCE:.*]] = arith.andi %{{.*}}, %[[FIRST]]
// CHECK:           memref.subview %[[K]]
// CHECK:           %[[KEY_LINES:.*]] = arith.muli %{{.*}}, %c128
// CHECK:           %[[ROOM:.*]] = arith.cmpi ule, %[[KEY_LINES]], %c2048
// CHECK:           arith.andi %[[ONCE]], %[[ROOM]]
// CHECK:           scf.for %[[R:.*]] =
// CHECK:             %[[ADDRESS:.*]] = vector.broadcast
// CHECK:             %[[BOTH:.*]] = arith.addi %[[ADDRESS]], %{{.*}} : vector<2xindex>
// CHECK:             vector.store %[[BOTH]], %[[LINES]]
// CHECK:           %[[LAST:.*]] = arith.cmpi ult, %[[MORE]], %{{.*}}
// CHECK:           %[[NEXT:.*]] = arith.select %[[LAST]], %[[MORE]], %[[I]]
// CHECK:           %[[T:.*]] = arith.remui %[[NEXT]], %{{.*}}
// CHECK:           %[[H:.*]] = arith.divui %[[NEXT]], %{{.*}}
// CHECK:           %[[ROW:.*]] = arith.muli %[[T]], %c24
// CHECK:           memref.subview %[[Q]][%[[H]], %[[ROW]], 0]
// CHECK:           scf.for
// CHECK:             vector.store %{{.*}}, %[[LINES]]
// CHECK:           memref.store %{{.*}}, %[[STATE]][%c1]
// CHECK:           tile.cooperate
// CHECK:           "test.use"
// CHECK:           memref.load %[[STATE]][%c0]
// CHECK:           scf.for %[[AT:.*]] =
// CHECK:             memref.load %[[LINES]][%[[AT]]]
// CHECK:             "llvm.intr.prefetch"
func.func @next(%q: memref<?x?x64xbf16>, %k: memref<?x?x64xbf16>, %H: index, %g: index, %T: index, %n: index) {
  %c0 = arith.constant 0 : index
  %c24 = arith.constant 24 : index
  %c64 = arith.constant 64 : index
  %keys = arith.muli %n, %c64 : index
  %heads = arith.muli %H, %g : index
  %pk = memref.alloc(%H, %n) {alignment = 64 : i64} : memref<?x?x64x64xf32>
  scf.forall (%h, %s) in (%H, %n) {
    %first = arith.muli %s, %c64 : index
    tile.pack %k[%h, %first, %c0] valid(%c64) into %pk[%h, %s] transposed <width = 64, lanes = 16>
        : memref<?x?x64xbf16>, memref<?x?x64x64xf32>
  }
  scf.forall (%h, %t) in (%heads, %T) {
    %kh = arith.divui %h, %g : index
    %kt = tile.view %pk[%kh, %c0] valid(%c64) : memref<?x?x64x64xf32> -> !kt
    %row = arith.muli %t, %c24 : index
    %rows = memref.subview %q[%h, %row, 0] [1, 24, 64] [1, 1, 1]
        : memref<?x?x64xbf16> to memref<24x64xbf16, strided<[64, 1], offset: ?>>
    %all = memref.subview %k[%kh, 0, 0] [1, %keys, 64] [1, 1, 1]
        : memref<?x?x64xbf16> to memref<?x64xbf16, strided<[64, 1], offset: ?>>
    "test.use"(%kt, %rows, %all) : (!kt, memref<24x64xbf16, strided<[64, 1], offset: ?>>, memref<?x64xbf16, strided<[64, 1], offset: ?>>) -> ()
  }
  return
}

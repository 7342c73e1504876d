// RUN: flash-opt %s --schedule-products --split-input-file | FileCheck %s
// RUN: flash-opt %s --schedule-products --schedule-copies --split-input-file | FileCheck %s

#acc = #tile.fragment<warps = 1, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 1, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>
#mem = #tile.shared<panel = 128>
!shared = !tile.tile<64x64xbf16, #mem>
!sums = !tile.tile<64x64xf32, #acc>
!rows = !tile.tile<64xf32, #acc>
!weights = !tile.tile<64x64xbf16, #acc>
!left = !tile.tile<64x64xbf16, #lhs>

// CHECK-LABEL: func @overlap(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: !tile.tile<64x64xbf16, #tile.shared<panel = 128>>, %[[KEYS:[a-z0-9]+]]: memref<?x64xbf16>, %[[VALUES:[a-z0-9]+]]: memref<?x64xbf16>
// CHECK-SAME: %[[NONE:[a-z0-9]+]]: !tile.tile<64x64xf32, {{[^%]*}}%[[M:[a-z0-9]+]]: !tile.tile<64xf32, {{[^%]*}}%[[LO:[a-z0-9]+]]: index, %[[HI:[a-z0-9]+]]: index
func.func @overlap(%q: !shared, %keys: memref<?x64xbf16>, %values: memref<?x64xbf16>, %none: !sums, %m: !rows, %lo: index,
                   %hi: index, %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  // CHECK: %[[C64:.*]] = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    // CHECK: %[[ANY:.*]] = arith.cmpi slt, %[[LO]], %[[HI]] : index
    // CHECK: scf.if %[[ANY]] -> (
    // The first weights, with the sums that were handed in.
    // CHECK: %[[K0:.*]] = tile.load %[[KEYS]][%[[LO]], %{{.*}}]
    // CHECK: %[[S0:.*]] = tile.dot %[[Q]], %[[K0]], %[[NONE]] transposed :
    // CHECK: %[[M0:.*]] = tile.reduce max %[[S0]], %[[M]]
    // CHECK: %[[P0:.*]] = tile.map ins(%[[S0]], %[[M0]]
    // CHECK: %[[W0:.*]] = tile.convert %[[P0]]
    // CHECK: %[[O0:.*]] = tile.map ins(%[[NONE]], %[[M0]]
    // CHECK: %[[SECOND:.*]] = arith.addi %[[LO]], %[[C64]]
    // CHECK: %[[TURNS:.*]]:4 = scf.for %[[J:.*]] = %[[SECOND]] to %[[HI]] step %[[C64]] iter_args(%[[SUM:.*]] = %[[O0]], %[[MAX:.*]] = %[[M0]], %[[W:.*]] = %[[W0]], %[[BEFORE:.*]] = %[[LO]])
    // The scores of this turn and the values of the one before are under way at once.
    // CHECK: %[[K:.*]] = tile.load %[[KEYS]][%[[J]], %{{.*}}]
    // CHECK: %[[S:.*]] = tile.dot %[[Q]], %[[K]], %[[NONE]] transposed async :
    // CHECK: %[[V:.*]] = tile.load %[[VALUES]][%[[BEFORE]], %{{.*}}]
    // CHECK: %[[O:.*]] = tile.dot %[[W]], %[[V]], %[[SUM]] async :
    // CHECK: %[[DONE:.*]] = tile.await %[[S]]
    // CHECK: %[[M1:.*]] = tile.reduce max %[[DONE]], %[[MAX]]
    // The weights' registers are free, and the sums there.
    // CHECK: %[[ADDED:.*]] = tile.await %[[O]]
    // CHECK: %[[P:.*]] = tile.map ins(%[[DONE]], %[[M1]]
    // CHECK: %[[NEXT:.*]] = tile.convert %[[P]]
    // CHECK: %[[SCALED:.*]] = tile.map ins(%[[ADDED]], %[[M1]]
    // CHECK: scf.yield %[[SCALED]], %[[M1]], %[[NEXT]], %[[J]]
    // CHECK: %[[LAST:.*]] = tile.load %[[VALUES]][%[[TURNS]]#3, %{{.*}}]
    // CHECK: %[[OUT:.*]] = tile.dot %[[TURNS]]#2, %[[LAST]], %[[TURNS]]#0 :
    // CHECK: scf.yield %[[OUT]], %[[TURNS]]#1
    // CHECK: } else {
    // CHECK: scf.yield %[[NONE]], %[[M]]
    %t:2 = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none, %max = %m) -> (!sums, !rows) {
      %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !shared
      %s = tile.dot %q, %k, %none transposed : !shared, !shared -> !sums
      %m1 = tile.reduce max %s, %max : !sums -> !rows
      %p = tile.map ins(%s, %m1 : !sums, !rows) {
      ^bb0(%x: f32, %y: f32):
        %d = arith.subf %x, %y : f32
        %r = arith.truncf %d : f32 to bf16
        tile.yield %r : bf16
      } -> !weights
      %scaled = tile.map ins(%sum, %m1 : !sums, !rows) {
      ^bb0(%x: f32, %y: f32):
        %d = arith.mulf %x, %y : f32
        tile.yield %d : f32
      } -> !sums
      %v = tile.load %values[%j, %z] : memref<?x64xbf16> -> !shared
      %w = tile.convert %p : !weights -> !left
      %o = tile.dot %w, %v, %scaled : !left, !shared -> !sums
      scf.yield %o, %m1 : !sums, !rows
    }
  }
  return
}

// -----

#acc = #tile.fragment<warps = 1, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 1, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>
#mem = #tile.shared<panel = 128>
!shared = !tile.tile<64x64xbf16, #mem>
!sums = !tile.tile<64x64xf32, #acc>
!weights = !tile.tile<64x64xbf16, #acc>
!left = !tile.tile<64x64xbf16, #lhs>

// A single turn has no next one to start.
// CHECK-LABEL: func @once(
// CHECK: scf.for
// CHECK-NOT: async
func.func @once(%q: !shared, %keys: memref<?x64xbf16>, %none: !sums, %lo: index, %hi: index, %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %t = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none) -> (!sums) {
      %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !shared
      %s = tile.dot %q, %k, %none transposed : !shared, !shared -> !sums
      %p = tile.map ins(%s : !sums) {
      ^bb0(%x: f32):
        %r = arith.truncf %x : f32 to bf16
        tile.yield %r : bf16
      } -> !weights
      %w = tile.convert %p : !weights -> !left
      %o = tile.dot %w, %k, %sum : !left, !shared -> !sums
      scf.yield %o : !sums
    } {flashc.one_turn}
  }
  return
}

// -----

#acc = #tile.fragment<warps = 1, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 1, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>
#mem = #tile.shared<panel = 128>
!shared = !tile.tile<64x64xbf16, #mem>
!sums = !tile.tile<64x64xf32, #acc>
!left = !tile.tile<64x64xbf16, #lhs>

// Whether zeros matter is decided before a product.
// CHECK-LABEL: func @skipping(
// CHECK-NOT: async
func.func @skipping(%q: !shared, %keys: memref<?x64xbf16>, %w: !left, %none: !sums, %lo: index, %hi: index, %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %s = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none) -> (!sums) {
      %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !shared
      %s = tile.dot %q, %k, %none transposed : !shared, !shared -> !sums
      %o = tile.dot %w, %k, %sum skip_zeros : !left, !shared -> !sums
      scf.yield %o : !sums
    }
  }
  return
}

// -----

#acc = #tile.fragment<warps = 1, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
#mem = #tile.shared<panel = 128>
!shared = !tile.tile<64x64xbf16, #mem>
!sums = !tile.tile<64x64xf32, #acc>

// Scores that depend on what the turn before hands on cannot be computed ahead, and sums that somebody else sees are not to be had.
// CHECK-LABEL: func @chained(
// CHECK-NOT: async
func.func @chained(%q: !shared, %keys: memref<?x64xbf16>, %none: !sums, %lo: index, %hi: index, %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %t:2 = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none, %at = %z) -> (!sums, index) {
      %k = tile.load %keys[%at, %z] : memref<?x64xbf16> -> !shared
      %s = tile.dot %q, %k, %none transposed : !shared, !shared -> !sums
      %o = tile.dot %q, %k, %sum : !shared, !shared -> !sums
      %following = arith.addi %at, %c64 : index
      scf.yield %o, %following : !sums, index
    }
    %u:2 = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none, %before = %none) -> (!sums, !sums) {
      %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !shared
      %s = tile.dot %q, %k, %none transposed : !shared, !shared -> !sums
      %o = tile.dot %q, %k, %sum : !shared, !shared -> !sums
      scf.yield %o, %sum : !sums, !sums
    }
  }
  return
}

// -----

#acc = #tile.fragment<warps = 2, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 2, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>
#mem = #tile.shared<panel = 128>
!queries = !tile.tile<128x64xbf16, #mem>
!shared = !tile.tile<64x64xbf16, #mem>
!sums = !tile.tile<128x64xf32, #acc>
!weights = !tile.tile<128x64xbf16, #acc>
!left = !tile.tile<128x64xbf16, #lhs>

// Two warpgroups take turns at starting their products.
// CHECK-LABEL: func @turns(
// CHECK: scf.for
// CHECK: tile.take_turn of 2
// CHECK-NEXT: tile.dot {{.*}} transposed async
// CHECK: tile.dot {{.*}} async
// CHECK-NEXT: tile.pass_turn of 2
// CHECK-NEXT: tile.await
func.func @turns(%q: !queries, %keys: memref<?x64xbf16>, %values: memref<?x64xbf16>, %none: !sums, %lo: index, %hi: index,
                 %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %t = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none) -> (!sums) {
      %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !shared
      %s = tile.dot %q, %k, %none transposed : !queries, !shared -> !sums
      %p = tile.map ins(%s : !sums) {
      ^bb0(%x: f32):
        %r = arith.truncf %x : f32 to bf16
        tile.yield %r : bf16
      } -> !weights
      %v = tile.load %values[%j, %z] : memref<?x64xbf16> -> !shared
      %w = tile.convert %p : !weights -> !left
      %o = tile.dot %w, %v, %sum : !left, !shared -> !sums
      scf.yield %o : !sums
    }
  }
  return
}

// -----

#acc = #tile.fragment<warps = 2, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 2, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>
#mem = #tile.shared<panel = 128>
!queries = !tile.tile<128x192xbf16, #mem>
!shared = !tile.tile<64x192xbf16, #mem>
!scores = !tile.tile<128x64xf32, #acc>
!sums = !tile.tile<128x192xf32, #acc>
!left = !tile.tile<128x64xbf16, #lhs>

// Wide products keep the unit busy in any order.
// CHECK-LABEL: func @wide(
// CHECK-NOT: tile.take_turn
// CHECK: tile.dot {{.*}} transposed async
// CHECK-NOT: tile.pass_turn
func.func @wide(%q: !queries, %keys: memref<?x192xbf16>, %none: !scores, %sums: !sums, %w: !left, %lo: index, %hi: index, %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %t = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %sums) -> (!sums) {
      %k = tile.load %keys[%j, %z] : memref<?x192xbf16> -> !shared
      %s = tile.dot %q, %k, %none transposed : !queries, !shared -> !scores
      %o = tile.dot %w, %k, %sum : !left, !shared -> !sums
      scf.yield %o : !sums
    }
  }
  return
}

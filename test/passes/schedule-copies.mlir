// RUN: flash-opt %s --schedule-copies --split-input-file | FileCheck %s

#lhs = #tile.fragment<warps = 1, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#acc = #tile.fragment<warps = 1, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#rhs = #tile.shared<panel = 128>
!weights = !tile.tile<16x64xbf16, #lhs>
!sums = !tile.tile<16x64xf32, #acc>
!shared = !tile.tile<64x64xbf16, #rhs>

// CHECK-LABEL: func @overlap(
// CHECK-SAME: %[[KEYS:[a-z0-9]+]]: memref<?x64xbf16>, %[[VALUES:[a-z0-9]+]]: memref<?x64xbf16>
// CHECK-SAME: %[[LO:[a-z0-9]+]]: index, %[[HI:[a-z0-9]+]]: index, %{{[a-z0-9]+}}: index)
func.func @overlap(%q: !weights, %keys: memref<?x64xbf16>, %values: memref<?x64xbf16>, %p: !weights, %none: !sums,
                   %lo: index, %hi: index, %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    // The first keys, of which there may be none.
    // CHECK: %[[FIRST:.*]] = tile.load %[[KEYS]][%[[LO]], %{{.*}}] async valid
    // CHECK: scf.for %[[J:.*]] = %[[LO]] to %[[HI]] step %[[STEP:.*]] iter_args(%{{.*}}, %[[PENDING:.*]] = %[[FIRST]])
    %s = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none) -> (!sums) {
      %rows = arith.subi %hi, %j : index
      // CHECK: %[[K:.*]] = tile.await %[[PENDING]]
      // CHECK: %[[STARTED:.*]] = tile.load %[[VALUES]][%[[J]], %{{.*}}] async
      // CHECK: tile.dot %{{.*}}, %[[K]], %{{.*}} transposed
      %k = tile.load %keys[%j, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !shared
      %scores = tile.dot %q, %k, %none transposed : !weights, !shared -> !sums
      // CHECK: %[[V:.*]] = tile.await %[[STARTED]]
      // CHECK: %[[FOLLOWING:.*]] = arith.addi %[[J]], %[[STEP]]
      // CHECK: %[[NEXT:.*]] = tile.load %[[KEYS]][%[[FOLLOWING]], %{{.*}}] async
      // CHECK: tile.dot %{{.*}}, %[[V]]
      // CHECK: scf.yield %{{.*}}, %[[NEXT]]
      %v = tile.load %values[%j, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !shared
      %o = tile.dot %p, %v, %sum : !weights, !shared -> !sums
      scf.yield %o : !sums
    }
    // What was started is waited for.
    // CHECK: tile.await
  }
  return
}

// -----

#lhs = #tile.fragment<warps = 1, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#acc = #tile.fragment<warps = 1, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#rhs = #tile.shared<panel = 128>
!weights = !tile.tile<16x64xbf16, #lhs>
!sums = !tile.tile<16x64xf32, #acc>
!shared = !tile.tile<64x64xbf16, #rhs>

// A loop with one turn has no next keys; its values come while the scores are computed.
// CHECK-LABEL: func @once(
// CHECK-SAME: %[[KEYS:[a-z0-9]+]]: memref<?x64xbf16>, %[[VALUES:[a-z0-9]+]]: memref<?x64xbf16>
func.func @once(%q: !weights, %keys: memref<?x64xbf16>, %values: memref<?x64xbf16>, %p: !weights, %none: !sums,
                %lo: index, %hi: index, %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    // CHECK-NOT: tile.load
    // CHECK: scf.for %[[J:.*]] = %{{.*}} iter_args(%{{[a-z0-9]*}} = %{{[a-z0-9]*}}) ->
    // CHECK: %[[K:.*]] = tile.load %[[KEYS]][%[[J]], %{{.*}}] valid(%[[ROWS:[a-z0-9]*]],
    // CHECK: %[[AT:.*]] = arith.addi %[[J]], %{{.*}}
    // CHECK: %[[STARTED:.*]] = tile.load %[[VALUES]][%[[AT]], %{{.*}}] async valid(%[[ROWS]],
    // CHECK: tile.dot %{{.*}}, %[[K]], %{{.*}} transposed
    // CHECK: %[[V:.*]] = tile.await %[[STARTED]]
    // CHECK: tile.dot %{{.*}}, %[[V]]
    // CHECK-NOT: tile.load
    // CHECK: return
    %s = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none) -> (!sums) {
      %rows = arith.subi %hi, %j : index
      %k = tile.load %keys[%j, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !shared
      %scores = tile.dot %q, %k, %none transposed : !weights, !shared -> !sums
      %at = arith.addi %j, %n : index
      %v = tile.load %values[%at, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !shared
      %o = tile.dot %p, %v, %sum : !weights, !shared -> !sums
      scf.yield %o : !sums
    } {flashc.one_turn}
  }
  return
}

// -----

#lhs = #tile.fragment<warps = 1, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#acc = #tile.fragment<warps = 1, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#rhs = #tile.shared<panel = 128>
!weights = !tile.tile<16x64xbf16, #lhs>
!sums = !tile.tile<16x64xf32, #acc>
!shared = !tile.tile<64x64xbf16, #rhs>

// A load that does not say how many rows there are cannot be made for a turn that there may not be.
// CHECK-LABEL: func @whole(
// CHECK-NOT: async
func.func @whole(%q: !weights, %keys: memref<?x64xbf16>, %values: memref<?x64xbf16>, %p: !weights, %none: !sums,
                 %lo: index, %hi: index, %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %s = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none) -> (!sums) {
      %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !shared
      %scores = tile.dot %q, %k, %none transposed : !weights, !shared -> !sums
      %v = tile.load %values[%j, %z] : memref<?x64xbf16> -> !shared
      %o = tile.dot %p, %v, %sum : !weights, !shared -> !sums
      scf.yield %o : !sums
    }
  }
  return
}

// -----

#lhs = #tile.fragment<warps = 1, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#acc = #tile.fragment<warps = 1, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#rhs = #tile.shared<panel = 128>
!weights = !tile.tile<16x64xbf16, #lhs>
!sums = !tile.tile<16x64xf32, #acc>
!shared = !tile.tile<64x64xbf16, #rhs>

// Nor one whose place a turn hands on to the next.
// CHECK-LABEL: func @chained(
// CHECK-NOT: async
func.func @chained(%q: !weights, %keys: memref<?x64xbf16>, %values: memref<?x64xbf16>, %p: !weights, %none: !sums,
                   %lo: index, %hi: index, %n: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %s:2 = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %none, %at = %z) -> (!sums, index) {
      %rows = arith.subi %hi, %j : index
      %k = tile.load %keys[%at, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !shared
      %scores = tile.dot %q, %k, %none transposed : !weights, !shared -> !sums
      %v = tile.load %values[%at, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !shared
      %o = tile.dot %p, %v, %sum : !weights, !shared -> !sums
      %following = arith.addi %at, %c64 : index
      scf.yield %o, %following : !sums, index
    }
  }
  return
}

// -----

#lhs = #tile.fragment<warps = 1, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#acc = #tile.fragment<warps = 1, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#rhs = #tile.shared<panel = 128>
!weights = !tile.tile<16x64xbf16, #lhs>
!sums = !tile.tile<16x64xf32, #acc>
!shared = !tile.tile<64x64xbf16, #rhs>

// Of 128 keys each turn has 64: that there are none after the last is the loop's to say.
// CHECK-LABEL: func @static_keys(
func.func @static_keys(%q: !weights, %keys: memref<128x64xbf16>, %values: memref<128x64xbf16>, %p: !weights, %none: !sums,
                       %n: index) {
  // CHECK-DAG: %[[TILE:.*]] = arith.constant 64 : index
  // CHECK-DAG: %[[END:.*]] = arith.constant 128 : index
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c128 = arith.constant 128 : index
  scf.forall (%i) in (%n) {
    // CHECK: scf.for %[[J:.*]] = %{{.*}} to %[[END]] step %[[TILE]]
    %s = scf.for %j = %z to %c128 step %c64 iter_args(%sum = %none) -> (!sums) {
      %k = tile.load %keys[%j, %z] valid(%c64, %c64) : memref<128x64xbf16> -> !shared
      %scores = tile.dot %q, %k, %none transposed : !weights, !shared -> !sums
      // CHECK: %[[FOLLOWING:.*]] = arith.addi %[[J]], %[[TILE]]
      // CHECK: %[[LEFT:.*]] = arith.subi %[[END]], %[[FOLLOWING]]
      // CHECK: %[[THERE:.*]] = arith.minsi %[[LEFT]], %[[TILE]]
      // CHECK: %[[ROWS:.*]] = arith.maxsi %[[THERE]], %{{.*}}
      // CHECK: tile.load %{{.*}}[%[[FOLLOWING]], %{{.*}}] async valid(%[[ROWS]], %[[TILE]])
      %v = tile.load %values[%j, %z] valid(%c64, %c64) : memref<128x64xbf16> -> !shared
      %o = tile.dot %p, %v, %sum : !weights, !shared -> !sums
      scf.yield %o : !sums
    }
  }
  return
}

// -----

#lhs = #tile.fragment<warps = 1, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#acc = #tile.fragment<warps = 1, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#rhs = #tile.shared<panel = 128>

// Where turns hand on the position of the next one, its keys are fetched ahead, too.
// CHECK-LABEL: func.func @chosen(
// CHECK-SAME: %[[FIRST:[a-z0-9]*]]: index
// CHECK: tile.load %{{.*}}[%[[FIRST]], %{{.*}}] async
// CHECK: scf.for {{.*}} iter_args(%[[AT:[a-z0-9]*]] = %[[FIRST]],
// CHECK: tile.await
// CHECK: tile.load %{{.*}}[%[[AT]], %{{.*}}] async
// CHECK: %[[NEXT:.*]] = arith.muli %[[AT]],
// CHECK: tile.load %{{.*}}[%[[NEXT]], %{{.*}}] async
func.func @chosen(%first: index, %q: !tile.tile<16x64xbf16, #lhs>, %keys: memref<?x64xbf16>, %values: memref<?x64xbf16>,
                  %p: !tile.tile<16x64xbf16, #lhs>, %none: !tile.tile<16x64xf32, #acc>, %count: index, %hi: index,
                  %n: index) {
  %z = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %sums:2 = scf.for %t = %z to %count step %c1 iter_args(%j = %first, %sum = %none) -> (index, !tile.tile<16x64xf32, #acc>) {
      %next = arith.muli %j, %c2 : index
      %rows = arith.subi %hi, %j : index
      %k = tile.load %keys[%j, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
      %s = tile.dot %q, %k, %none transposed : !tile.tile<16x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<16x64xf32, #acc>
      %v = tile.load %values[%j, %z] valid(%rows, %c64) : memref<?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
      %o = tile.dot %p, %v, %sum : !tile.tile<16x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<16x64xf32, #acc>
      scf.yield %next, %o : index, !tile.tile<16x64xf32, #acc>
    }
  } {flashc.threads = 32 : i64}
  return
}

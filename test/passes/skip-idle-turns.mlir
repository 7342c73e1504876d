// RUN: flash-opt %s --skip-idle-turns --canonicalize --cse | FileCheck %s -enable-var-scope

// CHECK-LABEL: func.func @skips(
// CHECK-SAME: %[[X:.*]]: memref<?xi32>, %[[START:.*]]: vector<8xf32>, %[[LO:.*]]: index, %[[HI:.*]]: index
// CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
// CHECK-DAG: %[[C1:.*]] = arith.constant 1 : index
// CHECK-DAG: %[[C64:.*]] = arith.constant 64 : index
// How many turns do something, and the first that does.
// CHECK: %[[FOUND:.*]]:2 = scf.for %[[J:.*]] = %[[LO]] to %[[HI]] step %[[C64]] iter_args(%[[COUNT:.*]] = %[[C0]], %[[FIRST:.*]] = %[[HI]])
// CHECK: memref.load %[[X]][%[[J]]]
// CHECK: %[[IDLE:.*]] = arith.cmpi eq
// CHECK: %[[ONE:.*]] = arith.select %[[IDLE]], %[[C0]], %[[C1]]
// CHECK: arith.addi %[[COUNT]], %[[ONE]]
// CHECK: %[[HERE:.*]] = arith.select %[[IDLE]], %[[HI]], %[[J]]
// CHECK: arith.minsi %[[FIRST]], %[[HERE]]
// Each looks for the next before it does anything else.
// CHECK: %[[SUMS:.*]]:2 = scf.for %{{.*}} = %[[C0]] to %[[FOUND]]#0 step %[[C1]] iter_args(%[[AT:.*]] = %[[FOUND]]#1, %[[SUM:.*]] = %[[START]])
// CHECK-NEXT: %[[AFTER:.*]] = arith.addi %[[AT]], %[[C64]]
// CHECK-NEXT: %[[NEXT:.*]] = scf.while (%[[FROM:.*]] = %[[AFTER]])
// CHECK: arith.cmpi slt, %[[FROM]], %[[HI]]
// CHECK: scf.if
// CHECK: memref.load %[[X]][%[[FROM]]]
// CHECK: scf.condition
// CHECK: %[[ROWS:.*]] = arith.subi %[[HI]], %[[AT]]
// CHECK-NOT: scf.if
// CHECK: vector.splat
// CHECK: %[[MORE:.*]] = arith.addf %[[SUM]],
// CHECK: scf.yield %[[NEXT]], %[[MORE]]
// CHECK: return %[[SUMS]]#1
func.func @skips(%x: memref<?xi32>, %start: vector<8xf32>, %lo: index, %hi: index) -> vector<8xf32> {
  %c64 = arith.constant 64 : index
  %none = arith.constant 0 : i32
  %sums = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %start) -> (vector<8xf32>) {
    %rows = arith.subi %hi, %j : index
    %v = memref.load %x[%j] : memref<?xi32>
    %empty = arith.cmpi eq, %v, %none : i32
    %next = scf.if %empty -> (vector<8xf32>) {
      scf.yield %sum : vector<8xf32>
    } else {
      %number = arith.index_cast %rows : index to i32
      %float = arith.sitofp %number : i32 to f32
      %all = vector.splat %float : vector<8xf32>
      %more = arith.addf %sum, %all : vector<8xf32>
      scf.yield %more : vector<8xf32>
    }
    scf.yield %next : vector<8xf32>
  }
  return %sums : vector<8xf32>
}

// A turn that writes before it decides, one whose idle way does something, and one that decides by what it is handed.
// CHECK-LABEL: func.func @others(
// CHECK-NOT: scf.while
// CHECK: return
func.func @others(%x: memref<?xi32>, %start: i32, %lo: index, %hi: index) -> (i32, i32, i32) {
  %c64 = arith.constant 64 : index
  %none = arith.constant 0 : i32
  %a = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %start) -> (i32) {
    %v = memref.load %x[%j] : memref<?xi32>
    memref.store %none, %x[%j] : memref<?xi32>
    %empty = arith.cmpi eq, %v, %none : i32
    %next = scf.if %empty -> (i32) {
      scf.yield %sum : i32
    } else {
      %more = arith.muli %sum, %v : i32
      scf.yield %more : i32
    }
    scf.yield %next : i32
  }
  %b = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %start) -> (i32) {
    %v = memref.load %x[%j] : memref<?xi32>
    %empty = arith.cmpi eq, %v, %none : i32
    %next = scf.if %empty -> (i32) {
      memref.store %sum, %x[%j] : memref<?xi32>
      scf.yield %sum : i32
    } else {
      %more = arith.muli %sum, %v : i32
      scf.yield %more : i32
    }
    scf.yield %next : i32
  }
  %c = scf.for %j = %lo to %hi step %c64 iter_args(%sum = %start) -> (i32) {
    %v = memref.load %x[%j] : memref<?xi32>
    %empty = arith.cmpi eq, %v, %sum : i32
    %next = scf.if %empty -> (i32) {
      scf.yield %sum : i32
    } else {
      %more = arith.muli %sum, %v : i32
      scf.yield %more : i32
    }
    scf.yield %next : i32
  }
  return %a, %b, %c : i32, i32, i32
}

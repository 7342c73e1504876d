// RUN: flash-opt %s --share-scans --canonicalize --cse | FileCheck %s -enable-var-scope
// RUN: flash-opt %s --share-scans="subgroup-size=64 uniform=true" --canonicalize --cse | FileCheck %s --check-prefix=WAVE

// Minima and maxima begin with what the loop began with, and may see a number twice: lanes beyond the end read the last.
// CHECK-LABEL: func.func @range(
// CHECK-SAME: %[[X:.*]]: memref<?xi32>, %[[LO:.*]]: index, %[[HI:.*]]: index, %[[LEAST:.*]]: i32
// CHECK-DAG: %[[ONE:.*]] = arith.constant 1 : i32
// CHECK-DAG: %[[SIXTEEN:.*]] = arith.constant 16 : i32
// CHECK-DAG: %[[SIZE:.*]] = arith.constant 32 : index
// CHECK: %[[THREAD:.*]] = gpu.thread_id x
// CHECK: %[[LANE:.*]] = arith.remui %[[THREAD]], %[[SIZE]]
// CHECK: %[[LAST:.*]] = arith.addi %[[HI]], %{{.*}}
// CHECK: %[[FOUND:.*]]:2 = scf.for %[[J:.*]] = %[[LO]] to %[[HI]] step %[[SIZE]] iter_args(%[[MOST:.*]] = %[[LEAST]],
// CHECK: %[[OWN:.*]] = arith.addi %[[J]], %[[LANE]]
// CHECK: %[[AT:.*]] = arith.minsi %[[OWN]], %[[LAST]]
// CHECK: %[[V:.*]] = memref.load %[[X]][%[[AT]]]
// CHECK: arith.maxsi %[[MOST]], %[[V]]
// CHECK: gpu.shuffle xor %[[FOUND]]#0, %[[ONE]],
// CHECK-NEXT: arith.maxsi %[[FOUND]]#0,
// CHECK: gpu.shuffle xor %{{.*}}, %[[SIXTEEN]],
// CHECK-NOT: gpu.shuffle idx
// WAVE-LABEL: func.func @range(
// WAVE: scf.for {{.*}} step %c64
// WAVE: gpu.shuffle xor %{{.*}}, %c32_i32, %c64_i32 : i32
// WAVE: gpu.shuffle idx %{{.*}}, %c0_i32, %c64_i32 : i32
func.func @range(%x: memref<?xi32>, %lo: index, %hi: index, %least: i32, %n: index, %out: memref<?xi32>) {
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    %found:2 = scf.for %j = %lo to %hi step %c1 iter_args(%most = %least, %few = %least) -> (i32, i32) {
      %v = memref.load %x[%j] : memref<?xi32>
      %larger = arith.maxsi %most, %v : i32
      %smaller = arith.minui %v, %few : i32
      scf.yield %larger, %smaller : i32, i32
    }
    %both = arith.xori %found#0, %found#1 : i32
    memref.store %both, %out[%i] : memref<?xi32>
  } {flashc.threads = 128 : i64}
  return
}

// A sum begins with nothing in every lane, counts no number twice, and its start once. 64 bits go as two words.
// CHECK-LABEL: func.func @count(
// CHECK-SAME: memref<?xi8>, %{{[a-z0-9]+}}: index, %[[HI:[a-z0-9]+]]: index, %[[START:[a-z0-9]+]]: index
// CHECK-DAG: %[[NONE:.*]] = arith.constant 0 : index
// CHECK: scf.for {{.*}} iter_args(%[[SUM:.*]] = %[[NONE]])
// CHECK: %[[OWN:.*]] = arith.addi
// CHECK: %[[EXISTS:.*]] = arith.cmpi slt, %[[OWN]], %[[HI]]
// CHECK: %[[NEW:.*]] = arith.select %[[EXISTS]], %{{.*}}, %[[NONE]]
// CHECK: arith.addi %[[SUM]], %[[NEW]]
// CHECK-COUNT-10: gpu.shuffle xor
// CHECK: %[[ALL:.*]] = arith.addi
// CHECK-NEXT: %[[RESULT:.*]] = arith.addi %[[START]], %[[ALL]]
// CHECK-NEXT: memref.store %[[RESULT]]
func.func @count(%flags: memref<?xi8>, %lo: index, %hi: index, %start: index, %n: index, %out: memref<?xindex>) {
  %c1 = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %none = arith.constant 0 : i8
  scf.forall (%i) in (%n) {
    %sum = scf.for %j = %lo to %hi step %c1 iter_args(%found = %start) -> (index) {
      %flag = memref.load %flags[%j] : memref<?xi8>
      %yes = arith.cmpi ne, %flag, %none : i8
      %one = arith.select %yes, %c1, %c0 : index
      %more = arith.addi %found, %one : index
      scf.yield %more : index
    }
    memref.store %sum, %out[%i] : memref<?xindex>
  } {flashc.threads = 128 : i64}
  return
}

// Left alone: what hands on more than what it found, what writes, and what is no block's.
// CHECK-LABEL: func.func @others(
// CHECK-NOT: gpu.shuffle
// CHECK: return
func.func @others(%x: memref<?xi32>, %hi: index, %least: i32, %n: index, %out: memref<?xi32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.forall (%i) in (%n) {
    %depends = scf.for %j = %c0 to %hi step %c1 iter_args(%found = %least) -> (i32) {
      %v = memref.load %x[%j] : memref<?xi32>
      %w = arith.subi %v, %found : i32
      %most = arith.maxsi %found, %w : i32
      scf.yield %most : i32
    }
    %writes = scf.for %j = %c0 to %hi step %c1 iter_args(%found = %depends) -> (i32) {
      %v = memref.load %x[%j] : memref<?xi32>
      memref.store %v, %out[%j] : memref<?xi32>
      %most = arith.maxsi %found, %v : i32
      scf.yield %most : i32
    }
    memref.store %writes, %out[%i] : memref<?xi32>
  } {flashc.threads = 128 : i64}
  scf.forall (%i) in (%n) {
    %most = scf.for %j = %c0 to %hi step %c1 iter_args(%found = %least) -> (i32) {
      %v = memref.load %x[%j] : memref<?xi32>
      %larger = arith.maxsi %found, %v : i32
      scf.yield %larger : i32
    }
    memref.store %most, %out[%i] : memref<?xi32>
  }
  return
}

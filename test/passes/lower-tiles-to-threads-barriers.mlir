// RUN: flash-opt %s --lower-tiles-to-threads | FileCheck %s

!bytes = memref<?xi8, #gpu.address_space<workgroup>>
!tile = memref<32xf32, #gpu.address_space<workgroup>>

// Before the first access and behind the last one there is nothing to order.
// CHECK-LABEL: func @ends(
// CHECK-NOT: gpu.barrier
// CHECK: memref.store
// CHECK: gpu.barrier
// CHECK: memref.load
// CHECK-NOT: gpu.barrier
func.func @ends(%n: index, %x: f32, %at: index) {
  %z = arith.constant 0 : index
  scf.forall (%i) in (%n) {
    %memory = gpu.dynamic_shared_memory : !bytes
    %a = memref.view %memory[%z][] : !bytes to !tile
    gpu.barrier
    memref.store %x, %a[%at] : !tile
    gpu.barrier
    %y = memref.load %a[%at] : !tile
    gpu.barrier
  } {flashc.threads = 32 : i64}
  return
}

// Parts of shared memory are told apart, and of a loop the next turn is seen: a tile is written again.
// CHECK-LABEL: func @turns(
// CHECK: scf.for %
// CHECK-NEXT: memref.store
// CHECK-NEXT: memref.store
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: memref.load
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: }
func.func @turns(%n: index, %x: f32, %at: index) {
  %z = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c128 = arith.constant 128 : index
  scf.forall (%i) in (%n) {
    %memory = gpu.dynamic_shared_memory : !bytes
    %a = memref.view %memory[%z][] : !bytes to !tile
    %b = memref.view %memory[%c128][] : !bytes to !tile
    scf.for %j = %z to %n step %c1 {
      memref.store %x, %a[%at] : !tile
      gpu.barrier
      memref.store %x, %b[%at] : !tile
      gpu.barrier
      %y = memref.load %a[%at] : !tile
      gpu.barrier
    }
  } {flashc.threads = 32 : i64}
  return
}

// A copy writes until it has been waited for, and others may read behind a barrier after that.
// CHECK-LABEL: func @copies(
// CHECK: tile.copy_async
// CHECK-NEXT: tile.copy_commit
// CHECK-NEXT: tile.copy_wait
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: memref.load
func.func @copies(%n: index, %from: memref<?xf32>, %at: index, %exists: i1) {
  %z = arith.constant 0 : index
  scf.forall (%i) in (%n) {
    %memory = gpu.dynamic_shared_memory : !bytes
    %a = memref.view %memory[%z][] : !bytes to !tile
    tile.copy_async %from[%at], %a[%at] if %exists : memref<?xf32>, !tile
    tile.copy_commit
    tile.copy_wait 0
    gpu.barrier
    %y = memref.load %a[%at] : !tile
    gpu.barrier
  } {flashc.threads = 32 : i64}
  return
}

// The wait for a copy that was started before is nothing that the stores before it are ordered with.
// CHECK-LABEL: func @waits(
// CHECK: tile.copy_commit
// CHECK-NEXT: memref.load
// CHECK-NEXT: memref.store
// CHECK-NEXT: tile.copy_wait
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: memref.load
func.func @waits(%n: index, %from: memref<?xf32>, %x: f32, %at: index, %exists: i1) {
  %z = arith.constant 0 : index
  %c128 = arith.constant 128 : index
  scf.forall (%i) in (%n) {
    %memory = gpu.dynamic_shared_memory : !bytes
    %a = memref.view %memory[%z][] : !bytes to !tile
    %b = memref.view %memory[%c128][] : !bytes to !tile
    tile.copy_async %from[%at], %a[%at] if %exists : memref<?xf32>, !tile
    tile.copy_commit
    %before = memref.load %b[%at] : !tile
    memref.store %x, %b[%at] : !tile
    gpu.barrier
    tile.copy_wait 0
    gpu.barrier
    %y = memref.load %a[%at] : !tile
  } {flashc.threads = 32 : i64}
  return
}

// What an operation does not say may be anything.
// CHECK-LABEL: func @unknown(
// CHECK: gpu.barrier
// CHECK-NEXT: llvm.inline_asm
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: memref.load
func.func @unknown(%n: index, %x: f32, %at: index) {
  %z = arith.constant 0 : index
  scf.forall (%i) in (%n) {
    %memory = gpu.dynamic_shared_memory : !bytes
    %a = memref.view %memory[%z][] : !bytes to !tile
    memref.store %x, %a[%at] : !tile
    gpu.barrier
    llvm.inline_asm has_side_effects "wgmma.fence.sync.aligned;", "" : () -> ()
    gpu.barrier
    %y = memref.load %a[%at] : !tile
  } {flashc.threads = 32 : i64}
  return
}

// A branch that has a barrier on one side only is a way without one.
// CHECK-LABEL: func @branches(
// CHECK: memref.store
// CHECK-NEXT: scf.if
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: memref.load
// CHECK: }
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: memref.store
func.func @branches(%n: index, %x: f32, %at: index, %c: i1) {
  %z = arith.constant 0 : index
  scf.forall (%i) in (%n) {
    %memory = gpu.dynamic_shared_memory : !bytes
    %a = memref.view %memory[%z][] : !bytes to !tile
    memref.store %x, %a[%at] : !tile
    scf.if %c {
      gpu.barrier
      %y = memref.load %a[%at] : !tile
    }
    gpu.barrier
    memref.store %x, %a[%at] : !tile
  } {flashc.threads = 32 : i64}
  return
}

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

// A unit reads from a product's start until it is waited for. The word is none of what it reads.
// CHECK-LABEL: func @units(
// CHECK: scf.for %
// CHECK-NEXT: memref.store
// CHECK-NEXT: tile.proxy_fence
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: %{{.*}} = tile.warpgroup_mma
// CHECK-NEXT: memref.store
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: %{{.*}} = memref.load
// CHECK-NEXT: %{{.*}} = tile.warpgroup_wait
// CHECK-NEXT: gpu.barrier
// CHECK-NEXT: }
!left = memref<4096xbf16, #gpu.address_space<workgroup>>
!right = memref<512xbf16, #gpu.address_space<workgroup>>
func.func @units(%n: index, %x: bf16, %y: f32, %at: index) {
  %z = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8192 = arith.constant 8192 : index
  %c9216 = arith.constant 9216 : index
  scf.forall (%i) in (%n) {
    %memory = gpu.dynamic_shared_memory : !bytes
    %q = memref.view %memory[%z][] : !bytes to !left
    %k = memref.view %memory[%c8192][] : !bytes to !right
    %word = memref.view %memory[%c9216][] : !bytes to !tile
    scf.for %j = %z to %n step %c1 {
      memref.store %x, %k[%at] : !right
      tile.proxy_fence
      gpu.barrier
      %s = tile.warpgroup_mma (%q)[%z], %k[%z] transposed {lhs_tile = !tile.tile<64x64xbf16, #tile.shared<panel = 128>>,
                                                          rhs_tile = !tile.tile<8x64xbf16, #tile.shared<panel = 128>>}
          : (!left), !right -> vector<4xf32>
      memref.store %y, %word[%z] : !tile
      gpu.barrier
      %seen = memref.load %word[%z] : !tile
      gpu.barrier
      %done = tile.warpgroup_wait 0 (%s) : (vector<4xf32>) -> vector<4xf32>
      gpu.barrier
    }
  } {flashc.threads = 128 : i64}
  return
}

// Parts of a pipe are told from what is beside it, wherever its stage is. Between the two, threads of a role meet three times.
// CHECK-LABEL: func @word(
// CHECK: tile.mbarrier_init
// CHECK: gpu.barrier
// CHECK: scf.for %
// CHECK: tile.mbarrier_wait
// CHECK-NEXT: %{{.*}} = memref.load
// CHECK-NEXT: memref.store
// CHECK-NEXT: tile.barrier 1 threads 128
// CHECK-NEXT: %{{.*}} = memref.atomic_rmw
// CHECK-NEXT: tile.barrier 1 threads 128
// CHECK-NEXT: %{{.*}} = memref.load
// CHECK-NEXT: tile.barrier 1 threads 128
// CHECK-NOT: tile.barrier
// CHECK: tile.mbarrier_arrive
// What one thread hands on others have written.
// CHECK: } else {
// CHECK: tile.mbarrier_wait
// CHECK: tile.proxy_fence
// CHECK-NEXT: tile.barrier 2 threads 128
// CHECK: tile.mbarrier_arrive
func.func @word(%n: index, %from: memref<16x64xbf16>, %x: i32, %part: index) {
  %z = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c128 = arith.constant 128 : index
  %c256 = arith.constant 256 : index
  scf.forall (%i) in (%n) {
    %p = tile.pipe stages 2 : !tile.pipe<16x64xbf16, #tile.shared<panel = 128>>
    tile.roles producer threads 128 registers 56 {
      scf.for %j = %z to %n step %c1 {
        tile.push %from[%z, %z] into %p at %j : memref<16x64xbf16>, !tile.pipe<16x64xbf16, #tile.shared<panel = 128>>
      }
    } consumers threads 128 registers 224 {
      %memory = gpu.dynamic_shared_memory : !bytes
      %word = memref.view %memory[%c256][] : !bytes to memref<1xi32, #gpu.address_space<workgroup>>
      %stage = arith.remui %part, %c2 : index
      %begin = arith.muli %stage, %c128 : index
      %piece = memref.view %memory[%begin][] : !bytes to !tile
      scf.for %j = %z to %n step %c1 {
        %t = tile.pop %p at %j
            : !tile.pipe<16x64xbf16, #tile.shared<panel = 128>> -> !tile.tile<16x64xbf16, #tile.shared<panel = 128>>
        %least = memref.load %piece[%z] : !tile
        tile.barrier 1 threads 128
        memref.store %x, %word[%z] : memref<1xi32, #gpu.address_space<workgroup>>
        tile.barrier 1 threads 128
        %old = memref.atomic_rmw ori %x, %word[%z] : (i32, memref<1xi32, #gpu.address_space<workgroup>>) -> i32
        tile.barrier 1 threads 128
        %seen = memref.load %word[%z] : memref<1xi32, #gpu.address_space<workgroup>>
        tile.barrier 1 threads 128
        tile.release %p at %j : !tile.pipe<16x64xbf16, #tile.shared<panel = 128>>
      }
    }
  } {flashc.threads = 256 : i64}
  return
}

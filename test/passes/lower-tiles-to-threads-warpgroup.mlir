// RUN: flash-opt %s --lower-tiles-to-threads="matrix-unit=wgmma async-copy shared-bytes=232448" --split-input-file --verify-diagnostics | FileCheck %s

#acc = #tile.fragment<warps = 2, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 2, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>
#mem = #tile.shared<panel = 128>

// A warpgroup multiplies its own 64 rows of the queries where they lie, and all of its keys. What was copied is shown to the unit before
// threads meet. The scores are awaited while the product that was started after them may still be under way.
// CHECK-LABEL: @products
// CHECK: %[[T:.*]] = gpu.thread_id x
// CHECK: %[[N:.*]] = arith.divui %[[T]], %c128
// CHECK: %[[WORD:.*]] = arith.index_cast %[[N]] : index to i32
// CHECK: %[[FIRST:.*]], %{{.*}} = gpu.shuffle idx %[[WORD]],
// CHECK: %[[GROUP:.*]] = arith.index_cast %[[FIRST]] : i32 to index
// The last warpgroup gives the first one the first turn.
// CHECK: %[[LAST:.*]] = arith.cmpi eq, %[[GROUP]], %{{.*}}
// CHECK: scf.if %[[LAST]] {
// CHECK: tile.named_barrier %{{.*}} threads 256 arrive
// CHECK: tile.copy_wait 0
// CHECK-NEXT: tile.proxy_fence
// CHECK: tile.copy_wait 0
// CHECK-NEXT: tile.proxy_fence
// CHECK-NEXT: gpu.barrier
// CHECK: %[[ROW:.*]] = arith.muli %[[GROUP]], %c64
// CHECK: %[[AT:.*]] = arith.muli %[[ROW]], %c64
// CHECK: %[[S:.*]]:2 = tile.warpgroup_mma(%{{.*}}) [%[[AT]]], %{{.*}}[%{{.*}}] transposed {lhs_tile = !tile.tile<128x64xbf16, #tile.shared<panel = 128>>, rhs_tile = !tile.tile<16x64xbf16, #tile.shared<panel = 128>>}
// CHECK: %[[O:.*]]:8 = tile.warpgroup_mma(%{{.*}}), %{{.*}}[%{{.*}}] accumulate(
// CHECK: tile.named_barrier %{{.*}} threads 256 arrive
// CHECK: %[[DONE:.*]]:2 = tile.warpgroup_wait 1(%[[S]]#0, %[[S]]#1)
// CHECK: tile.warpgroup_wait 0(%[[O]]#0,
// CHECK: flashc.threads = 256 : i64
func.func @products(%m: memref<128x64xbf16>, %out: memref<128x16xf32>, %f: f32, %n: index) {
  %z = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %half = arith.constant 1.0 : bf16
  scf.forall (%i) in (%n) {
    %q = tile.load %m[%z, %z] : memref<128x64xbf16> -> !tile.tile<128x64xbf16, #mem>
    %k = tile.load %m[%z, %z] : memref<128x64xbf16> -> !tile.tile<16x64xbf16, #mem>
    %none = tile.splat %zero : f32 -> !tile.tile<128x16xf32, #acc>
    %w = tile.splat %half : bf16 -> !tile.tile<128x16xbf16, #lhs>
    %before = tile.splat %f : f32 -> !tile.tile<128x64xf32, #acc>
    tile.take_turn of 2
    %s = tile.dot %q, %k, %none transposed async
        : !tile.tile<128x64xbf16, #mem>, !tile.tile<16x64xbf16, #mem> -> !tile.tile<128x16xf32, #acc>
    %o = tile.dot %w, %k, %before async
        : !tile.tile<128x16xbf16, #lhs>, !tile.tile<16x64xbf16, #mem> -> !tile.tile<128x64xf32, #acc>
    tile.pass_turn of 2
    %done = tile.await %s : !tile.tile<128x16xf32, #acc>
    %added = tile.await %o : !tile.tile<128x64xf32, #acc>
    tile.store %done, %out[%z, %z] : !tile.tile<128x16xf32, #acc>, memref<128x16xf32>
  } {flashc.threads = 256 : i64}
  return
}

// -----

#acc = #tile.fragment<warps = 1, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 1, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>
#mem = #tile.shared<panel = 128>

// Where values hold NaN, elements are multiplied one by one; elsewhere the unit does it, and is waited for.
// CHECK-LABEL: @skipping
// CHECK: scf.if
// CHECK: math.fma
// CHECK: } else {
// CHECK: tile.warpgroup_mma
// CHECK-NEXT: tile.warpgroup_wait 0
func.func @skipping(%m: memref<16x64xbf16>, %out: memref<64x64xf32>, %f: f32, %h: bf16, %n: index) {
  %z = arith.constant 0 : index
  scf.forall (%i) in (%n) {
    %v = tile.load %m[%z, %z] : memref<16x64xbf16> -> !tile.tile<16x64xbf16, #mem>
    %w = tile.splat %h : bf16 -> !tile.tile<64x16xbf16, #lhs>
    %before = tile.splat %f : f32 -> !tile.tile<64x64xf32, #acc>
    %o = tile.dot %w, %v, %before skip_zeros
        : !tile.tile<64x16xbf16, #lhs>, !tile.tile<16x64xbf16, #mem> -> !tile.tile<64x64xf32, #acc>
    tile.store %o, %out[%z, %z] : !tile.tile<64x64xf32, #acc>, memref<64x64xf32>
  } {flashc.threads = 128 : i64}
  return
}

// -----

#acc = #tile.fragment<warps = 1, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 1, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#mem = #tile.shared<panel = 128>
func.func @warps(%m: memref<16x64xbf16>, %f: f32, %h: bf16, %n: index) {
  %z = arith.constant 0 : index
  scf.forall (%i) in (%n) {
    %v = tile.load %m[%z, %z] : memref<16x64xbf16> -> !tile.tile<16x64xbf16, #mem>
    %w = tile.splat %h : bf16 -> !tile.tile<16x16xbf16, #lhs>
    %before = tile.splat %f : f32 -> !tile.tile<16x64xf32, #acc>
    // expected-error @below {{can be started with `async` by warpgroups only, got '!tile.tile<16x64xf32, #tile.fragment<warps = 1, block = [16, 8],}}
    %o = tile.dot %w, %v, %before async
        : !tile.tile<16x16xbf16, #lhs>, !tile.tile<16x64xbf16, #mem> -> !tile.tile<16x64xf32, #acc>
  } {flashc.threads = 32 : i64}
  return
}

// -----

func.func @nobody(%n: index) {
  scf.forall (%i) in (%n) {
    // expected-error @below {{is of warpgroups; expected products of theirs in the same loop}}
    tile.take_turn of 2
  } {flashc.threads = 256 : i64}
  return
}

// RUN: flash-opt %s --lower-tiles-to-threads="matrix-unit=mma async-copy=true" --canonicalize --cse --split-input-file | FileCheck %s -enable-var-scope

#acc = #tile.fragment<warps = 8, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 8, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#rhs = #tile.shared<panel = 128>
!pipe = !tile.pipe<64x96xbf16, #rhs>

// CHECK-LABEL: func.func @roles(
// CHECK-SAME: %[[M:[^ ]*]]: memref<?x?x96xbf16>, %[[MAP:[^ ]*]]: !tile.tensor_map, %[[OK:[^ ]*]]: i1
// CHECK: scf.forall
// CHECK-DAG: %[[THREAD:.*]] = gpu.thread_id x
// CHECK-DAG: %[[ALL:.*]] = gpu.dynamic_shared_memory
// Two stages of two panels of 8 KiB, then their four barriers.
// CHECK: %[[BARS:.*]] = memref.view %[[ALL]][%c32768][] : memref<?xi8, #gpu.address_space<workgroup>> to memref<4xi64, #gpu.address_space<workgroup>>
// CHECK: scf.if
// CHECK-NEXT: tile.mbarrier_init %[[BARS]][%c0] arrivals 1
// CHECK-NEXT: tile.mbarrier_init %[[BARS]][%c1] arrivals 1
// CHECK-NEXT: tile.mbarrier_init %[[BARS]][%c2] arrivals 8
// CHECK-NEXT: tile.mbarrier_init %[[BARS]][%c3] arrivals 8
// CHECK-NEXT: tile.mbarrier_fence
// CHECK: gpu.barrier
// CHECK: %[[CONSUMES:.*]] = arith.cmpi ult, %[[THREAD]], %c256
// CHECK: scf.if %[[CONSUMES]] {
// CHECK: tile.set_registers 240 increase
// CHECK: %[[STAGE:.*]] = arith.remui %{{.*}}, %c2
// CHECK: %[[TURN:.*]] = arith.divui %{{.*}}, %c2
// CHECK: %[[PARITY:.*]] = arith.andi %[[TURN]], %c1
// CHECK: tile.mbarrier_wait %[[BARS]][%[[STAGE]]] parity %[[PARITY]]
// CHECK: tile.load_matrix
// CHECK: tile.subgroup_barrier
// CHECK: scf.if
// CHECK-NEXT: tile.mbarrier_arrive %[[BARS]][%{{.*}}] : memref
// CHECK: } else {
// CHECK: tile.set_registers 24{{$}}
// CHECK: scf.if %[[OK]] {
// One thread starts a copy for each panel.
// CHECK: scf.if
// CHECK: tile.mbarrier_wait %[[BARS]]
// CHECK: tile.mbarrier_arrive %[[BARS]][%[[FULL:.*]]] bytes 16384
// CHECK: tile.copy_box %[[MAP]][%[[B:.*]], %[[J:.*]], %{{.*}}], %[[TO:.*]][%c0] arrives %[[BARS]][%[[FULL]]]
// CHECK: tile.copy_box %[[MAP]][%[[B]], %[[J]], %{{.*}}], %[[TO]][%c4096] arrives %[[BARS]][%[[FULL]]]
// CHECK: } else {
// All threads copy, and one of them says that it is done.
// CHECK: tile.mbarrier_wait %[[BARS]]
// CHECK: tile.copy_async
// CHECK: tile.copy_commit
// CHECK: tile.copy_wait 0
// CHECK-NEXT: tile.proxy_fence
// CHECK-NEXT: tile.barrier 2 threads 128
// CHECK: tile.mbarrier_arrive %[[BARS]][%[[FULL]]] : memref
// CHECK: } {flashc.shared_bytes = 32800 : i64, flashc.threads = 384 : i64}
func.func @roles(%m: memref<?x?x96xbf16>, %map: !tile.tensor_map, %ok: i1, %out: memref<128x64xf32>, %b: index,
                 %j: index, %n: index, %count: index) {
  %z = arith.constant 0 : index
  %f = arith.constant 0.0 : f32
  %h = arith.constant 0.0 : bf16
  scf.forall (%i) in (%count) {
    %p = tile.pipe stages 2 : !pipe
    tile.roles producer threads 128 registers 24 {
      tile.push %m[%b, %j, %z] into %p at %n by %map if %ok : memref<?x?x96xbf16>, !pipe
    } consumers threads 256 registers 240 {
      %k = tile.pop %p at %n : !pipe -> !tile.tile<64x96xbf16, #rhs>
      %q = tile.splat %h : bf16 -> !tile.tile<128x96xbf16, #lhs>
      %none = tile.splat %f : f32 -> !tile.tile<128x64xf32, #acc>
      %s = tile.dot %q, %k, %none transposed : !tile.tile<128x96xbf16, #lhs>, !tile.tile<64x96xbf16, #rhs> -> !tile.tile<128x64xf32, #acc>
      tile.release %p at %n : !pipe
      tile.store %s, %out[%z, %z] : !tile.tile<128x64xf32, #acc>, memref<128x64xf32>
    }
  } {flashc.threads = 384 : i64}
  return
}

// -----

#acc = #tile.fragment<warps = 1, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 1, block = [64, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0, 0, 8]>
#rhs = #tile.shared<panel = 128>
!pipe = !tile.pipe<16x64xbf16, #rhs>

// What only warpgroups' products have read, which have been awaited, no lane still reads.
// CHECK-LABEL: func.func @products(
// CHECK: tile.warpgroup_wait 0
// CHECK-NOT: tile.subgroup_barrier
// CHECK: tile.mbarrier_arrive
func.func @products(%m: memref<16x64xbf16>, %out: memref<64x64xf32>, %n: index, %count: index) {
  %z = arith.constant 0 : index
  %f = arith.constant 0.0 : f32
  %h = arith.constant 0.0 : bf16
  scf.forall (%i) in (%count) {
    %p = tile.pipe stages 2 : !pipe
    tile.roles producer threads 128 {
      tile.push %m[%z, %z] into %p at %n : memref<16x64xbf16>, !pipe
    } consumers threads 128 {
      %v = tile.pop %p at %n : !pipe -> !tile.tile<16x64xbf16, #rhs>
      %w = tile.splat %h : bf16 -> !tile.tile<64x16xbf16, #lhs>
      %none = tile.splat %f : f32 -> !tile.tile<64x64xf32, #acc>
      %s = tile.dot %w, %v, %none async : !tile.tile<64x16xbf16, #lhs>, !tile.tile<16x64xbf16, #rhs> -> !tile.tile<64x64xf32, #acc>
      %o = tile.await %s : !tile.tile<64x64xf32, #acc>
      tile.release %p at %n : !pipe
      tile.store %o, %out[%z, %z] : !tile.tile<64x64xf32, #acc>, memref<64x64xf32>
    }
  } {flashc.threads = 256 : i64}
  return
}

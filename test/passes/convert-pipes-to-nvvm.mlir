// RUN: flash-opt %s --convert-tile-to-nvvm | FileCheck %s

// The assembler takes the registers of roles seriously where a multiprocessor has one block.
// CHECK: gpu.func @k({{.*}}) kernel attributes {nvvm.minctasm = 1 : i32}
// CHECK: llvm.inline_asm has_side_effects asm_dialect = att "mbarrier.init.shared::cta.b64 [$0], $1;", "r,r,~{memory}" %{{.*}}, %{{.*}} : (i32, i32) -> ()
// CHECK: llvm.inline_asm has_side_effects asm_dialect = att "fence.mbarrier_init.release.cluster;", "~{memory}"
// CHECK: llvm.inline_asm has_side_effects asm_dialect = att "mbarrier.arrive.shared::cta.b64 _, [$0];", "r,~{memory}" %{{.*}} : (i32) -> ()
// CHECK: llvm.inline_asm has_side_effects asm_dialect = att "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "r,r,~{memory}"
// CHECK: llvm.inline_asm has_side_effects asm_dialect = att "{{.*}}mbarrier.try_wait.parity.shared::cta.b64 %done, [$0], $1;{{.*}}bra again;{{.*}}", "r,r,~{memory}"
// The contiguous coordinate is the first.
// CHECK-DAG: %[[I:.*]] = arith.index_cast %arg3 : index to i32
// CHECK-DAG: %[[J:.*]] = arith.index_cast %arg4 : index to i32
// CHECK: llvm.inline_asm has_side_effects asm_dialect = att "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, {$3, $4}], [$2];", "r,l,r,r,r,~{memory}" %{{.*}}, %{{.*}}, %{{.*}}, %[[J]], %[[I]] : (i32, !llvm.ptr, i32, i32, i32) -> ()
// CHECK: llvm.inline_asm has_side_effects asm_dialect = att "fence.proxy.async.shared::cta;", "~{memory}"
// CHECK: nvvm.barrier id = %{{.*}} number_of_threads = %{{.*}}
// CHECK: nvvm.bar.warp.sync %{{.*}} : i32
// CHECK: %[[SAME:.*]] = llvm.inline_asm has_side_effects asm_dialect = att "", "=l,0" %{{.*}} : (i64) -> i64
// CHECK: arith.index_cast %[[SAME]] : i64 to index
// CHECK: nvvm.setmaxregister increase 240
// CHECK: nvvm.setmaxregister decrease 24
gpu.module @k_device {
  gpu.func @k(%map: !tile.tensor_map, %m: memref<?xbf16, 3>, %bars: memref<?xi64, 3>, %i: index, %j: index) kernel {
    tile.mbarrier_init %bars[%i] arrivals 4 : memref<?xi64, 3>
    tile.mbarrier_fence
    tile.mbarrier_arrive %bars[%i] : memref<?xi64, 3>
    tile.mbarrier_arrive %bars[%i] bytes 16384 : memref<?xi64, 3>
    tile.mbarrier_wait %bars[%i] parity %j : memref<?xi64, 3>
    tile.copy_box %map[%i, %j], %m[%j] arrives %bars[%i] : memref<?xbf16, 3>, memref<?xi64, 3>
    tile.proxy_fence
    tile.barrier 1 threads 256
    tile.subgroup_barrier
    %same = tile.opaque %i
    tile.set_registers 240 increase
    tile.set_registers 24
    gpu.return
  }
}

// RUN: flash-opt %s --pass-pipeline="builtin.module(gpu.module(convert-tile-to-nvvm))" --split-input-file --verify-diagnostics | FileCheck %s

gpu.module @device {
  // CHECK-LABEL: gpu.func @bf16
  // CHECK: llvm.call_intrinsic "llvm.nvvm.mma.m16n8k16.row.col.bf16"({{.*}}) : (i32, i32, i32, i32, i32, i32, f32, f32, f32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
  gpu.func @bf16(%a: vector<8xbf16>, %b: vector<4xbf16>, %c: vector<4xf32>) {
    %d = tile.mma %a, %b, %c shape [16, 8, 16] : vector<8xbf16>, vector<4xbf16>, vector<4xf32>
    gpu.return
  }

  // CHECK-LABEL: gpu.func @f16
  // CHECK: llvm.call_intrinsic "llvm.nvvm.mma.m16n8k16.row.col.f32.f32"({{.*}}) : (vector<2xf16>, vector<2xf16>, vector<2xf16>, vector<2xf16>, vector<2xf16>, vector<2xf16>, f32, f32, f32, f32)
  gpu.func @f16(%a: vector<8xf16>, %b: vector<4xf16>, %c: vector<4xf32>) {
    %d = tile.mma %a, %b, %c shape [16, 8, 16] : vector<8xf16>, vector<4xf16>, vector<4xf32>
    gpu.return
  }

  // A register of tf32 holds one element; it is rounded by an instruction of its own. Rows of four words are what sixteen-byte rows
  // of an 8x8 matrix are to ldmatrix.
  // CHECK-LABEL: gpu.func @tf32
  // CHECK: nvvm.ldmatrix %{{.*}} {layout = #nvvm.mma_layout<row>, num = 4 : i32}
  // CHECK: llvm.bitcast %{{.*}} : vector<4xi32> to vector<4xf32>
  // CHECK-COUNT-4: llvm.call_intrinsic "llvm.nvvm.f2tf32.rna"(%{{.*}}) : (f32) -> i32
  // CHECK-NOT: f2tf32
  // CHECK: llvm.call_intrinsic "llvm.nvvm.mma.m16n8k8.row.col.tf32"({{.*}}) : (i32, i32, i32, i32, i32, i32, f32, f32, f32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
  // CHECK: llvm.call_intrinsic "llvm.nvvm.f2tf32.rna"
  gpu.func @tf32(%s: memref<?xf32, 3>, %i: index, %b: vector<2xf32>, %c: vector<4xf32>, %x: f32) {
    %a = tile.load_matrix %s[%i] : memref<?xf32, 3> -> vector<4xf32>
    %r = tile.round_tf32 %a : vector<4xf32>
    %d = tile.mma %r, %b, %c shape [16, 8, 8] : vector<4xf32>, vector<2xf32>, vector<4xf32>
    %y = tile.round_tf32 %x : f32
    gpu.return
  }

  // Without `exists`, no byte is read. The group is closed and awaited as it is written.
  // CHECK-LABEL: gpu.func @memory
  // CHECK: nvvm.ldmatrix %{{.*}} {layout = #nvvm.mma_layout<row>, num = 4 : i32}
  // CHECK: nvvm.ldmatrix %{{.*}} {layout = #nvvm.mma_layout<col>, num = 4 : i32}
  // CHECK: %[[BYTES:.*]] = arith.select %{{.*}}, %c16_i32, %c0_i32
  // CHECK: llvm.call_intrinsic "llvm.nvvm.cp.async.cg.shared.global.16.s"(%{{.*}}, %{{.*}}, %[[BYTES]]) : (!llvm.ptr<3>, !llvm.ptr<1>, i32)
  // CHECK: nvvm.cp.async.commit.group
  // CHECK: nvvm.cp.async.wait.group 1
  // CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<8xbf16>
  // CHECK: llvm.store %{{.*}}, %{{.*}} {alignment = 16 : i64} : vector<8xbf16>, !llvm.ptr<3>
  gpu.func @memory(%g: memref<?xbf16, 1>, %s: memref<?xbf16, 3>, %i: index, %e: i1) {
    %x = tile.load_matrix %s[%i] : memref<?xbf16, 3> -> vector<8xbf16>
    %y = tile.load_matrix %s[%i] transposed : memref<?xbf16, 3> -> vector<8xbf16>
    tile.copy_async %g[%i], %s[%i] if %e : memref<?xbf16, 1>, memref<?xbf16, 3>
    tile.copy_commit
    tile.copy_wait 1
    %z = tile.vector_load %s[%i] : memref<?xbf16, 3> -> vector<8xbf16>
    tile.vector_store %z, %s[%i] : vector<8xbf16>, memref<?xbf16, 3>
    gpu.return
  }

  // A warpgroup's product is one statement: a fence for the registers, a step of sixteen at a time, the end of the group. The first
  // step of sums that begin at zero does not read them. Keys lie along the contraction, in steps of 32 bytes and panels of 16 rows.
  // CHECK-LABEL: gpu.func @scores
  // CHECK: %[[Q:.*]] = llvm.or %{{.*}}, %{{.*}} : i64
  // CHECK: llvm.inline_asm has_side_effects asm_dialect = att "{
  // CHECK-SAME: wgmma.fence.sync.aligned;\0A
  // CHECK-SAME: setp.ne.b32 sum, 0, 0;\0A
  // CHECK-SAME: add.s64 left, $8, 0;\0Aadd.s64 right, $9, 0;\0A
  // CHECK-SAME: wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {$0, $1, $2, $3, $4, $5, $6, $7}, left, right, sum, 1, 1, 0, 0;\0A
  // CHECK-SAME: setp.ne.b32 sum, 1, 0;\0A
  // CHECK-SAME: add.s64 left, $8, 2;\0Aadd.s64 right, $9, 2;\0A
  // CHECK-SAME: add.s64 left, $8, 512;\0Aadd.s64 right, $9, 128;\0A
  // CHECK-SAME: wgmma.commit_group.sync.aligned;
  // CHECK-SAME: "=f,=f,=f,=f,=f,=f,=f,=f,l,l,~{memory}"
  gpu.func @scores(%q: memref<5120xbf16, 3>, %k: memref<1280xbf16, 3>, %i: index) {
    %s:2 = tile.warpgroup_mma (%q)[%i], %k[%i] transposed
        {lhs_tile = !tile.tile<64x80xbf16, #tile.shared<panel = 128>>, rhs_tile = !tile.tile<16x80xbf16, #tile.shared<panel = 128>>}
        : (memref<5120xbf16, 3>), memref<1280xbf16, 3> -> vector<4xf32>, vector<4xf32>
    gpu.return
  }

  // Weights come in registers, values lie across the contraction, in steps of sixteen rows. The wait passes the sums on.
  // CHECK-LABEL: gpu.func @sums
  // CHECK: llvm.inline_asm
  // CHECK-SAME: setp.ne.b32 sum, 1, 0;\0A
  // CHECK-SAME: add.s64 right, $16, 0;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {$0, $1, $2, $3}, {$8, $9, $10, $11}, right, sum, 1, 1, 1;\0A
  // CHECK-SAME: add.s64 right, $16, 64;\0Awgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {$0, $1, $2, $3}, {$12, $13, $14, $15}, right, sum, 1, 1, 1;\0A
  // CHECK-SAME: "=f,=f,=f,=f,0,1,2,3,r,r,r,r,r,r,r,r,l,~{memory}"
  // CHECK: llvm.inline_asm
  // CHECK-SAME: "wgmma.wait_group.sync.aligned 1;", "=f,=f,=f,=f,0,1,2,3,~{memory}"
  gpu.func @sums(%p: vector<8xf16>, %v: memref<1024xf16, 3>, %c: vector<4xf32>, %i: index) {
    %s = tile.warpgroup_mma (%p, %p), %v[%i] accumulate(%c : vector<4xf32>) {rhs_tile = !tile.tile<32x8xf16, #tile.shared<panel = 64>>}
        : (vector<8xf16>, vector<8xf16>), memref<1024xf16, 3> -> vector<4xf32>
    %d = tile.warpgroup_wait 1 (%s) : (vector<4xf32>) -> vector<4xf32>
    gpu.return
  }

  // CHECK-LABEL: gpu.func @turns
  // CHECK: "bar.sync $0, $1;"
  // CHECK: "bar.arrive $0, $1;"
  gpu.func @turns(%i: index) {
    tile.named_barrier %i threads 256
    tile.named_barrier %i threads 256 arrive
    gpu.return
  }

  // Pairs are rounded together; the second element is the instruction's first operand.
  // CHECK-LABEL: gpu.func @rounding
  // CHECK: %[[X0:.*]] = llvm.extractelement
  // CHECK: %[[X1:.*]] = llvm.extractelement
  // CHECK: llvm.call_intrinsic "llvm.nvvm.ff2bf16x2.rn"(%[[X1]], %[[X0]])
  gpu.func @rounding(%x: vector<2xf32>) {
    %y = arith.truncf %x : vector<2xf32> to vector<2xbf16>
    gpu.return
  }
}

// -----

gpu.module @device {
  gpu.func @shape(%a: vector<4xbf16>, %c: vector<16xf32>) {
    // expected-error @below {{expected 16x8x16 products of 16-bit elements, or 16x8x8 products of f32, into f32}}
    %d = tile.mma %a, %a, %c shape [32, 32, 8] : vector<4xbf16>, vector<4xbf16>, vector<16xf32>
    gpu.return
  }
}

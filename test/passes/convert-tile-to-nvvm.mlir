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
    // expected-error @below {{expected 16x8x16 products of 16-bit elements into f32}}
    %d = tile.mma %a, %a, %c shape [32, 32, 8] : vector<4xbf16>, vector<4xbf16>, vector<16xf32>
    gpu.return
  }
}

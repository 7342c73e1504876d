// RUN: flash-opt %s --convert-tile-to-rocdl --split-input-file --verify-diagnostics | FileCheck %s

gpu.module @device {
  // The product is the transposed one, so the operands change places; bf16 travels as bits. Each instruction takes half of
  // what a lane has of the contraction.
  // CHECK-LABEL: gpu.func @mfma(
  // CHECK-SAME: %[[A:.*]]: vector<8xbf16>, %[[B:.*]]: vector<8xbf16>, %[[C:.*]]: vector<16xf32>)
  // CHECK: %[[RHS:.*]] = llvm.bitcast %[[B]] : vector<8xbf16> to vector<8xi16>
  // CHECK: %[[LHS:.*]] = llvm.bitcast %[[A]] : vector<8xbf16> to vector<8xi16>
  // CHECK: %[[B0:.*]] = llvm.shufflevector %[[RHS]], %[[RHS]] [0, 1, 2, 3]
  // CHECK: %[[A0:.*]] = llvm.shufflevector %[[LHS]], %[[LHS]] [0, 1, 2, 3]
  // CHECK: %[[SUM:.*]] = llvm.call_intrinsic "llvm.amdgcn.mfma.f32.32x32x8bf16.1k"(%[[B0]], %[[A0]], %[[C]],
  // CHECK: %[[B1:.*]] = llvm.shufflevector %[[RHS]], %[[RHS]] [4, 5, 6, 7]
  // CHECK: %[[A1:.*]] = llvm.shufflevector %[[LHS]], %[[LHS]] [4, 5, 6, 7]
  // CHECK: llvm.call_intrinsic "llvm.amdgcn.mfma.f32.32x32x8bf16.1k"(%[[B1]], %[[A1]], %[[SUM]],
  gpu.func @mfma(%a: vector<8xbf16>, %b: vector<8xbf16>, %c: vector<16xf32>) {
    %d = tile.mma %a, %b, %c shape [32, 32, 16] : vector<8xbf16>, vector<8xbf16>, vector<16xf32>
    gpu.return
  }

  // Few rows: 32 columns are two instructions', each with its own half of the accumulators.
  // CHECK-LABEL: gpu.func @low(
  // CHECK: llvm.shufflevector %{{.*}}, %{{.*}} [0, 1, 2, 3] : vector<8xf32>
  // CHECK-COUNT-2: llvm.call_intrinsic "llvm.amdgcn.mfma.f32.16x16x16f16"
  // CHECK: llvm.shufflevector %{{.*}}, %{{.*}} [4, 5, 6, 7] : vector<8xf32>
  // CHECK: llvm.shufflevector %{{.*}}, %{{.*}} [8, 9, 10, 11] : vector<16xf16>
  // CHECK: llvm.call_intrinsic "llvm.amdgcn.mfma.f32.16x16x16f16"
  // CHECK: llvm.shufflevector %{{.*}}, %{{.*}} [12, 13, 14, 15] : vector<16xf16>
  // CHECK: llvm.call_intrinsic "llvm.amdgcn.mfma.f32.16x16x16f16"
  gpu.func @low(%a: vector<8xf16>, %b: vector<16xf16>, %c: vector<8xf32>) {
    %d = tile.mma %a, %b, %c shape [16, 32, 32] : vector<8xf16>, vector<16xf16>, vector<8xf32>
    gpu.return
  }

  // What does not exist is beyond a buffer's end.
  // CHECK-LABEL: gpu.func @buffer(
  // CHECK-COUNT-2: llvm.call_intrinsic "llvm.amdgcn.readfirstlane"
  // CHECK: rocdl.make.buffer.rsrc
  // CHECK: llvm.select %{{.*}}, %{{.*}}, %{{.*}} : i1, i32
  // CHECK: llvm.call_intrinsic "llvm.amdgcn.raw.ptr.buffer.load"
  gpu.func @buffer(%m: memref<?xbf16>, %i: index, %o: index, %e: i1) {
    %x = tile.load_or_zero %m[%i + %o] if %e : memref<?xbf16> -> vector<8xbf16>
    gpu.return
  }

  // What an index adds last is the instruction's own.
  // CHECK-LABEL: gpu.func @parted(
  // CHECK: %[[SHARE:.*]] = llvm.getelementptr %{{.*}}[%{{.*}}]
  // CHECK: %[[ADDRESS:.*]] = llvm.getelementptr %[[SHARE]][512]
  // CHECK: llvm.load %[[ADDRESS]] {alignment = 16 : i64}
  gpu.func @parted(%m: memref<4096xbf16, 3>, %i: index) {
    %c512 = arith.constant 512 : index
    %at = arith.addi %i, %c512 : index
    %x = tile.vector_load %m[%at] : memref<4096xbf16, 3> -> vector<8xbf16>
    gpu.return
  }

  // Lanes that are neighbours exchange without LDS.
  // CHECK-LABEL: gpu.func @exchange(
  // CHECK: llvm.call_intrinsic "llvm.amdgcn.update.dpp"
  // CHECK: gpu.shuffle xor
  gpu.func @exchange(%x: f32) {
    %c2 = arith.constant 2 : i32
    %c32 = arith.constant 32 : i32
    %c64 = arith.constant 64 : i32
    %a, %v = gpu.shuffle xor %x, %c2, %c64 : f32
    %b, %w = gpu.shuffle xor %a, %c32, %c64 : f32
    gpu.return
  }

  // A larger number is one instruction; a fence is for the code generator.
  // CHECK-LABEL: gpu.func @maximum(
  // CHECK: llvm.intr.maxnum(%{{.*}}, %{{.*}}) : (f32, f32) -> f32
  // CHECK: rocdl.sched.barrier 0
  gpu.func @maximum(%x: f32, %y: f32) {
    %z = arith.maxnumf %x, %y : f32
    tile.schedule_fence
    gpu.return
  }

  // CHECK-LABEL: gpu.func @wmma(
  // CHECK-SAME: %[[A:.*]]: vector<16xf16>, %[[B:.*]]: vector<16xf16>, %[[C:.*]]: vector<8xf32>)
  // CHECK: llvm.call_intrinsic "llvm.amdgcn.wmma.f32.16x16x16.f16"(%[[B]], %[[A]], %[[C]])
  gpu.func @wmma(%a: vector<16xf16>, %b: vector<16xf16>, %c: vector<8xf32>) {
    %d = tile.mma %a, %b, %c shape [16, 16, 16] : vector<16xf16>, vector<16xf16>, vector<8xf32>
    gpu.return
  }
}

// -----

gpu.module @device {
  gpu.func @shape(%a: vector<8xf16>, %b: vector<4xf16>, %c: vector<4xf32>) {
    // expected-error @below {{expected 32x32x16, 16x32x32 or 16x16x16 products}}
    %d = tile.mma %a, %b, %c shape [16, 8, 16] : vector<8xf16>, vector<4xf16>, vector<4xf32>
    gpu.return
  }
}

// -----

gpu.module @device {
  gpu.func @wide(%a: vector<4xf32>, %c: vector<16xf32>) {
    // expected-error @below {{expected products of 16-bit elements into f32}}
    %d = tile.mma %a, %a, %c shape [32, 32, 8] : vector<4xf32>, vector<4xf32>, vector<16xf32>
    gpu.return
  }
}

// -----

gpu.module @device {
  gpu.func @other() {
    // expected-error @below {{has no form in ROCDL}}
    tile.copy_commit
    gpu.return
  }
}

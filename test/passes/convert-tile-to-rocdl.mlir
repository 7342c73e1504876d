// RUN: flash-opt %s --pass-pipeline="builtin.module(gpu.module(convert-tile-to-rocdl))" --split-input-file --verify-diagnostics | FileCheck %s

gpu.module @device {
  // The product is the transposed one, so the operands change places; bf16 travels as bits.
  // CHECK-LABEL: gpu.func @mfma(
  // CHECK-SAME: %[[A:.*]]: vector<4xbf16>, %[[B:.*]]: vector<4xbf16>, %[[C:.*]]: vector<16xf32>)
  // CHECK: %[[RHS:.*]] = llvm.bitcast %[[B]] : vector<4xbf16> to vector<4xi16>
  // CHECK: %[[LHS:.*]] = llvm.bitcast %[[A]] : vector<4xbf16> to vector<4xi16>
  // CHECK: llvm.call_intrinsic "llvm.amdgcn.mfma.f32.32x32x8bf16.1k"(%[[RHS]], %[[LHS]], %[[C]],
  gpu.func @mfma(%a: vector<4xbf16>, %b: vector<4xbf16>, %c: vector<16xf32>) {
    %d = tile.mma %a, %b, %c shape [32, 32, 8] : vector<4xbf16>, vector<4xbf16>, vector<16xf32>
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
    // expected-error @below {{expected 32x32x8 or 16x16x16 products}}
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

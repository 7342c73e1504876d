// RUN: flash-opt %s --resolve-bit-casts | FileCheck %s

gpu.module @device {
  // CHECK-LABEL: gpu.func @casts
  // CHECK: llvm.bitcast %{{.*}} : i16 to bf16
  // CHECK: llvm.bitcast %{{.*}} : vector<4xbf16> to vector<4xi16>
  // What is not of one size is left to others.
  // CHECK: builtin.unrealized_conversion_cast %{{.*}} : index to i64
  gpu.func @casts(%x: i16, %y: vector<4xbf16>, %i: index) -> (bf16, vector<4xi16>, i64) {
    %0 = builtin.unrealized_conversion_cast %x : i16 to bf16
    %1 = builtin.unrealized_conversion_cast %y : vector<4xbf16> to vector<4xi16>
    %2 = builtin.unrealized_conversion_cast %i : index to i64
    gpu.return %0, %1, %2 : bf16, vector<4xi16>, i64
  }
}

// RUN: flash-opt %s --expand-math | FileCheck %s
// RUN: flash-opt %s --expand-math=scale-instruction | FileCheck %s --check-prefix=SCALE
// RUN: flash-opt %s --expand-math=f16-convert | FileCheck %s --check-prefix=NATIVE
// RUN: flash-opt %s --expand-math=bf16-dot | FileCheck %s --check-prefix=PAIRS

// Rounding to an integer is the addition of 1.5 * 2^23, which leaves the integer where the exponent is built from.
// CHECK-LABEL: func @exp2
// CHECK-NOT:   math.exp2
// CHECK:       %[[SHIFTED:.*]] = arith.addf %{{.*}}, %{{.*}} : vector<8xf32>
// CHECK-COUNT-5: llvm.intr.fmuladd
// CHECK:       arith.shli
// CHECK:       arith.addi
// SCALE-LABEL: func @exp2
// SCALE-NOT:   scalef
func.func @exp2(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.exp2 %x : vector<8xf32>
  return %y : vector<8xf32>
}

// A whole AVX-512 register has an instruction for the scaling.
// SCALE-LABEL: func @wide
// SCALE:       math.roundeven %{{.*}} : vector<16xf32>
// SCALE-COUNT-5: llvm.intr.fmuladd
// SCALE:       llvm.call_intrinsic "llvm.x86.avx512.mask.scalef.ps.512"
func.func @wide(%x: vector<16xf32>) -> vector<16xf32> {
  %y = math.exp2 %x : vector<16xf32>
  return %y : vector<16xf32>
}

// float64 takes eleven terms.
// CHECK-LABEL: func @double
// CHECK-COUNT-11: llvm.intr.fmuladd
// CHECK-NOT:   llvm.intr.fmuladd
func.func @double(%x: f64) -> f64 {
  %y = math.exp2 %x : f64
  return %y : f64
}

// CHECK-LABEL: func @others
// CHECK-NOT:   math.
func.func @others(%x: f32, %y: vector<4xf64>) -> (f32, vector<4xf64>, f32) {
  %0 = math.log %x : f32
  %1 = math.tanh %y : vector<4xf64>
  %2 = math.exp %0 : f32
  %3 = math.fma %2, %x, %0 : f32
  return %2, %1, %3 : f32, vector<4xf64>, f32
}

// Rounding to bf16 is integer arithmetic: without the instruction LLVM would call a function for each element.
// CHECK-LABEL: func @bf16
// CHECK-NOT:   arith.truncf
// CHECK:       arith.trunci %{{.*}} : vector<16xi32> to vector<16xi16>
// CHECK-NOT:   arith.extf
// CHECK:       arith.extui %{{.*}} : vector<16xi16> to vector<16xi32>
func.func @bf16(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = arith.truncf %x : vector<16xf32> to vector<16xbf16>
  %1 = arith.extf %0 : vector<16xbf16> to vector<16xf32>
  return %1 : vector<16xf32>
}

// So are conversions of f16, where the target has no instruction.
// CHECK-LABEL: func @half_conversion
// CHECK-NOT:   arith.truncf
// CHECK-NOT:   arith.extf
// NATIVE-LABEL: func @half_conversion
// NATIVE:      arith.truncf
// NATIVE:      arith.extf
func.func @half_conversion(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = arith.truncf %x : vector<16xf32> to vector<16xf16>
  %1 = arith.extf %0 : vector<16xf16> to vector<16xf32>
  return %1 : vector<16xf32>
}

// float64 is two steps away.
// CHECK-LABEL: func @half_to_double
// CHECK:       arith.bitcast %{{.*}} : vector<8xi32> to vector<8xf32>
// CHECK:       arith.extf %{{.*}} : vector<8xf32> to vector<8xf64>
func.func @half_to_double(%x: vector<8xf16>) -> vector<8xf64> {
  %0 = arith.extf %x : vector<8xf16> to vector<8xf64>
  return %0 : vector<8xf64>
}

// f16 arithmetic is left to the target.
// CHECK-LABEL: func @half
// CHECK:       math.tanh %{{.*}} : f16
func.func @half(%x: f16) -> f16 {
  %y = math.tanh %x : f16
  return %y : f16
}

// A float32 exponent that is never positive needs no limit and no rounding of its own: the scaling rounds down.
// SCALE-LABEL: func @falling
// SCALE-NOT:   arith.select
// SCALE:       %[[F:.*]] = llvm.call_intrinsic "llvm.x86.avx512.mask.reduce.ps.512"(%[[X:.*]], %{{.*}}, %[[X]],
// SCALE-COUNT-5: llvm.intr.fmuladd(%{{.*}}, %[[F]], %{{.*}})
// SCALE:       llvm.call_intrinsic "llvm.x86.avx512.mask.scalef.ps.512"(%{{.*}}, %[[X]],
func.func @falling(%x: vector<16xf32>) -> vector<16xf32> {
  %y = math.exp2 %x {tile.nonpositive} : vector<16xf32>
  return %y : vector<16xf32>
}

// A precision of 8 bits takes a polynomial of degree 3.
// CHECK-LABEL: func @rounded
// CHECK-COUNT-3: llvm.intr.fmuladd
// CHECK-NOT:   llvm.intr.fmuladd
// CHECK:       arith.shli
func.func @rounded(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.exp2 %x {tile.nonpositive, tile.precision = 8 : i64} : vector<8xf32>
  return %y : vector<8xf32>
}

// Pairs of bf16: one instruction, or both elements widened and multiplied.
// CHECK-LABEL: func @pairs
// CHECK:       vector.shuffle %{{.*}} [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30]
// CHECK:       llvm.intr.fmuladd
// CHECK:       vector.shuffle %{{.*}} [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31]
// CHECK:       llvm.intr.fmuladd
// CHECK-NOT:   tile.group_dot
// PAIRS-LABEL: func @pairs
// PAIRS:       llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.512"(%arg2, %arg0, %arg1)
// PAIRS:       arith.truncf
func.func @pairs(%a: vector<32xbf16>, %b: vector<32xbf16>, %c: vector<16xf32>) -> (vector<16xf32>, vector<16xbf16>) {
  %d = tile.group_dot %a, %b, %c : vector<32xbf16>, vector<16xf32>
  %e = arith.truncf %d : vector<16xf32> to vector<16xbf16>
  return %d, %e : vector<16xf32>, vector<16xbf16>
}

// PAIRS-LABEL: func @short_pairs
// PAIRS:       llvm.call_intrinsic "llvm.aarch64.neon.bfdot.v4f32.v8bf16"(%arg2, %arg0, %arg1)
func.func @short_pairs(%a: vector<8xbf16>, %b: vector<8xbf16>, %c: vector<4xf32>) -> vector<4xf32> {
  %d = tile.group_dot %a, %b, %c : vector<8xbf16>, vector<4xf32>
  return %d : vector<4xf32>
}

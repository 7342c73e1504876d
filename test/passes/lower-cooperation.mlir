// RUN: flash-opt %s --lower-cooperation=pause=llvm.x86.sse2.pause | FileCheck %s --check-prefixes=CHECK,X86
// RUN: flash-opt %s --lower-cooperation | FileCheck %s --implicit-check-not=call_intrinsic

// A part is taken in the low half of the word and executed in the high half; what a part wrote is released with the
// second and acquired by who finds all of them executed.
// CHECK-LABEL: func @job
// CHECK-SAME:    %[[STATE:.*]]: memref<?x8xi64>, %[[M:.*]]: memref<?xf32>, %{{.*}}: index, %[[N:.*]]: index
// CHECK:       %[[WORD:.*]] = llvm.getelementptr
// CHECK:       %[[PARTS:.*]] = arith.index_cast %[[N]] : index to i64
// CHECK:       %[[NOW:.*]] = llvm.load %[[WORD]] atomic acquire {alignment = 8 : i64}
// CHECK:       %[[DONE:.*]] = arith.shrui %[[NOW]], %c32
// CHECK:       %[[MISSING:.*]] = arith.cmpi ne, %[[DONE]], %[[PARTS]]
// CHECK:       scf.if %[[MISSING]] {
// CHECK:         %[[BEFORE:.*]] = llvm.atomicrmw add %[[WORD]], %c1{{.*}} monotonic
// CHECK:         %[[TAKEN:.*]] = arith.andi %[[BEFORE]], %c4294967295
// CHECK:         scf.while (%[[P:.*]] = %[[TAKEN]])
// CHECK:           arith.cmpi ult, %[[P]], %[[PARTS]]
// CHECK:         } do {
// CHECK:           memref.store %{{.*}}, %[[M]]
// CHECK:           llvm.atomicrmw add %[[WORD]], %c4294967296{{.*}} release
// CHECK:           llvm.atomicrmw add %[[WORD]], %c1{{.*}} monotonic
// CHECK:         scf.while : () -> () {
// CHECK:           llvm.load %[[WORD]] atomic acquire
// CHECK:         } do {
// X86:             llvm.call_intrinsic "llvm.x86.sse2.pause"()
// CHECK:           scf.yield
func.func @job(%state: memref<?x8xi64>, %m: memref<?xf32>, %h: index, %n: index, %x: f32) {
  %c0 = arith.constant 0 : index
  tile.cooperate %state[%h, %c0] parts(%n) : memref<?x8xi64> {
  ^bb0(%part: index):
    memref.store %x, %m[%part] : memref<?xf32>
  }
  return
}

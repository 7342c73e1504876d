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

// A view keeps its shift, in the pointer of its descriptor, and memory its offset.
// CHECK-LABEL: func @view
// CHECK:       %[[VIEW:.*]] = memref.view
// CHECK:       %[[DESCRIPTOR:.*]] = builtin.unrealized_conversion_cast %[[VIEW]] : memref<4x8xi64> to !llvm.struct
// CHECK:       %[[ALIGNED:.*]] = llvm.extractvalue %[[DESCRIPTOR]][1]
// CHECK:       %[[WORD:.*]] = llvm.getelementptr %[[ALIGNED]][%{{.*}}] : {{.*}}, i64
// CHECK:       llvm.load %[[WORD]] atomic acquire
func.func @view(%bytes: memref<?xi8>, %shift: index, %h: index, %n: index) {
  %c0 = arith.constant 0 : index
  %state = memref.view %bytes[%shift][] : memref<?xi8> to memref<4x8xi64>
  tile.cooperate %state[%h, %c0] parts(%n) : memref<4x8xi64> {
  ^bb0(%part: index):
  }
  return
}

// CHECK-LABEL: func @offset
// CHECK:       %[[ALIGNED:.*]] = llvm.extractvalue %{{.*}}[1]
// CHECK:       %[[OFFSET:.*]] = arith.constant 16 : i64
// CHECK:       %[[FIRST:.*]] = llvm.getelementptr %[[ALIGNED]][%[[OFFSET]]] : {{.*}}, i64
// CHECK:       %[[WORD:.*]] = llvm.getelementptr %[[FIRST]][%{{.*}}] : {{.*}}, i64
// CHECK:       llvm.load %[[WORD]] atomic acquire
func.func @offset(%state: memref<4x8xi64, strided<[8, 1], offset: 16>>, %h: index, %n: index) {
  %c0 = arith.constant 0 : index
  tile.cooperate %state[%h, %c0] parts(%n) : memref<4x8xi64, strided<[8, 1], offset: 16>> {
  ^bb0(%part: index):
  }
  return
}

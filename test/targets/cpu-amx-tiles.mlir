// Where a kernel uses tiles, each of its tasks configures them at its start and releases them at its end, and the
// dispatcher asks the operating system for them once CPUID and XCR0 have shown them. A kernel that uses none asks for none,
// and runs where they are missing.
// RUN: flash-compile %s --target cpu:x86-64-v4,+amx-bf16 --emit asm --name k -o - | FileCheck %s
// RUN: flash-compile --head-dim 64 --target cpu:x86-64-v4,+amx-bf16 --emit asm --name k -o - | FileCheck %s --check-prefix=NONE

!t = memref<?x?x?x64xf32, strided<[?, ?, ?, ?], offset: ?>>
func.func @zero(%x: !t {flashc.name = "x"}, %out: !t {flashc.name = "out", flashc.output}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %tile = arith.constant 3 : i8
  %stride = arith.constant 256 : i64
  %b = memref.dim %x, %c0 : !t
  %h = memref.dim %x, %c1 : !t
  %s = memref.dim %x, %c2 : !t
  // The first task copies and uses no tiles, the second one does.
  scf.forall (%i, %j, %k) in (%b, %h, %s) {
    %v = memref.load %x[%i, %j, %k, %c0] : !t
    memref.store %v, %out[%i, %j, %k, %c0] : !t
  }
  scf.forall (%i, %j) in (%b, %h) {
    %row = memref.subview %out[%i, %j, 0, 0] [1, 1, 1, 1] [1, 1, 1, 1] : !t to memref<f32, strided<[], offset: ?>>
    %address = memref.extract_aligned_pointer_as_index %row : memref<f32, strided<[], offset: ?>> -> index
    %integer = arith.index_cast %address : index to i64
    %pointer = llvm.inttoptr %integer : i64 to !llvm.ptr
    llvm.call_intrinsic "llvm.x86.tilezero"(%tile) : (i8) -> ()
    llvm.call_intrinsic "llvm.x86.tilestored64"(%tile, %pointer, %stride) : (i8, !llvm.ptr, i64) -> ()
  }
  return
}

// CHECK-LABEL: k_task1.body:
// CHECK: ldtilecfg flashc.tiles.config(%rip)
// CHECK: tilezero %tmm3
// CHECK: tilestored %tmm3
// CHECK: tilerelease
// CHECK-LABEL: k_task0.body:
// CHECK-NOT: ldtilecfg
// CHECK-LABEL: k.select:
// CHECK: callq flashc.features
// CHECK: callq flashc.tiles
// CHECK-LABEL: flashc.tiles:
// CHECK: movl $158, %eax
// CHECK: movl $4131, %edi
// CHECK: movl $18, %esi
// CHECK: syscall

// NONE-NOT: {{ldtilecfg|tilerelease|syscall}}

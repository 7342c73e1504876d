// What a kernel's loop asks of the host before it is launched: tensor maps, and the number of multiprocessors.
// RUN: flash-opt %s --outline-gpu-kernels --canonicalize --cse | FileCheck %s
// RUN: flash-opt %s --pass-pipeline="builtin.module(outline-gpu-kernels,gpu.module(lower-gpu-memory,convert-tile-to-nvvm,lower-gpu-to-nvvm))" | FileCheck %s --check-prefix=DEVICE

// CHECK-LABEL: func.func @copy(
// CHECK-SAME: %[[X:[^ ]*]]: memref<?x64xbf16, strided<[?, 1], offset: ?>>, %[[N:[^ ]*]]: index, %[[HOST:[^ ]*]]: !llvm.ptr {flashc.host}
// CHECK-DAG: %[[MAP:.*]] = llvm.alloca %{{.*}} x !llvm.array<128 x i8> {alignment = 64 : i64}
// CHECK-DAG: %[[WHAT:.*]] = llvm.alloca %{{.*}} x !llvm.struct<(i32, i32, ptr, array<5 x i64>, array<4 x i64>, array<5 x i32>, array<5 x i32>, i32, i32, i32, i32)>
// CHECK-DAG: %[[ENCODE:.*]] = llvm.load %{{.*}} : !llvm.ptr -> !llvm.ptr
// CHECK: %[[USABLE:.*]] = scf.if %{{.*}} -> (i1) {
// CHECK: %[[STATUS:.*]] = llvm.call %{{.*}}(%{{.*}}, %[[MAP]], %[[WHAT]]) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> i32
// CHECK: %[[GOOD:.*]] = arith.cmpi eq, %[[STATUS]], %c0_i32
// CHECK: scf.yield %[[GOOD]] : i1
// CHECK: } else {
// CHECK: scf.yield %false : i1
// The map's parameter is where the host has written it.
// CHECK: llvm.store %[[MAP]], %{{.*}} : !llvm.ptr, !llvm.ptr
// CHECK: gpu.func @copy_kernel0(%{{.*}}: !llvm.ptr, %{{.*}}: i32{{.*}}) kernel attributes {
// CHECK-SAME: flashc.param_bytes = array<i32: 128, 4>
// CHECK-SAME: flashc.tensor_maps = array<i32: 0>

// DEVICE: llvm.func @copy_kernel0(%{{.*}}: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}
func.func @copy(%x: memref<?x64xbf16, strided<[?, 1], offset: ?>>, %n: index) {
  %z = arith.constant 0 : index
  %map, %usable = tile.tensor_map %x rows 64 <panel = 128> : memref<?x64xbf16, strided<[?, 1], offset: ?>>
  %units = tile.multiprocessors
  scf.forall (%i) in (%units) {
    scf.if %usable {
      %all = gpu.dynamic_shared_memory : memref<?xi8, #gpu.address_space<workgroup>>
      %tile = memref.view %all[%z][] : memref<?xi8, #gpu.address_space<workgroup>> to memref<4096xbf16, #gpu.address_space<workgroup>>
      %bars = memref.view %all[%z][] : memref<?xi8, #gpu.address_space<workgroup>> to memref<1xi64, #gpu.address_space<workgroup>>
      tile.copy_box %map[%z, %z], %tile[%z] arrives %bars[%z] : memref<4096xbf16, #gpu.address_space<workgroup>>, memref<1xi64, #gpu.address_space<workgroup>>
    }
  } {flashc.threads = 128 : i64, flashc.shared_bytes = 16384 : i64}
  return
}

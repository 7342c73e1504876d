// RUN: flash-opt %s | flash-opt | FileCheck %s
// RUN: flash-opt %s --mlir-print-op-generic | flash-opt | FileCheck %s

#shared = #tile.shared<panel = 128>
!tile = !tile.tile<128x64xbf16, #shared>
!pipe = !tile.pipe<128x64xbf16, #shared>

// CHECK-LABEL: func.func @tiles(
func.func @tiles(%m: memref<?x64xbf16>, %w: memref<?x64xf16>, %i: index, %z: index, %n: index) {
  // CHECK: %[[UNITS:.*]] = tile.multiprocessors
  %units = tile.multiprocessors
  // CHECK: %[[MAP:.*]], %[[USABLE:.*]] = tile.tensor_map %{{.*}} rows 128 <panel = 128> : memref<?x64xbf16>
  %map, %usable = tile.tensor_map %m rows 128 <panel = 128> : memref<?x64xbf16>
  // CHECK: %[[P:.*]] = tile.pipe stages 2 : <128x64xbf16, #tile.shared<panel = 128>>
  %p = tile.pipe stages 2 : !pipe
  // CHECK: tile.roles producer threads 128 registers 24 {
  tile.roles producer threads 128 registers 24 {
    // CHECK: tile.push %{{.*}}[%{{.*}}, %{{.*}}] valid(%{{.*}}, %{{.*}}) into %[[P]] at %{{.*}} by %[[MAP]] if %[[USABLE]] : memref<?x64xbf16>, <128x64xbf16, #tile.shared<panel = 128>>
    tile.push %m[%i, %z] valid(%n, %n) into %p at %i by %map if %usable : memref<?x64xbf16>, !pipe
    // Threads may copy what a copy unit does not know of.
    // CHECK: tile.push %{{.*}}[%{{.*}}, %{{.*}}] into %[[P]] at %{{.*}} : memref<?x64xf16>, <
    tile.push %w[%i, %z] into %p at %n : memref<?x64xf16>, !pipe
  // CHECK: } consumers threads 256 registers 240 {
  } consumers threads 256 registers 240 {
    // CHECK: tile.pop %[[P]] at %{{.*}} : <128x64xbf16, #tile.shared<panel = 128>> -> <128x64xbf16, #tile.shared<panel = 128>>
    %t = tile.pop %p at %i : !pipe -> !tile
    // CHECK: tile.release %[[P]] at %{{.*}} : <128x64xbf16, #tile.shared<panel = 128>>
    tile.release %p at %i : !pipe
  }
  // CHECK: tile.roles producer threads 128 {
  // CHECK: } consumers threads 128 {
  tile.roles producer threads 128 {
  } consumers threads 128 {
  }
  return
}

// CHECK-LABEL: func.func @threads(
func.func @threads(%map: !tile.tensor_map, %m: memref<?xbf16, 3>, %bars: memref<?xi64, 3>, %i: index, %j: index) {
  // CHECK: tile.mbarrier_init %{{.*}}[%{{.*}}] arrivals 4 : memref<?xi64, 3>
  tile.mbarrier_init %bars[%i] arrivals 4 : memref<?xi64, 3>
  // CHECK: tile.mbarrier_fence
  tile.mbarrier_fence
  // CHECK: tile.mbarrier_arrive %{{.*}}[%{{.*}}] : memref<?xi64, 3>
  tile.mbarrier_arrive %bars[%i] : memref<?xi64, 3>
  // CHECK: tile.mbarrier_arrive %{{.*}}[%{{.*}}] bytes 16384 : memref<?xi64, 3>
  tile.mbarrier_arrive %bars[%i] bytes 16384 : memref<?xi64, 3>
  // CHECK: tile.mbarrier_wait %{{.*}}[%{{.*}}] parity %{{.*}} : memref<?xi64, 3>
  tile.mbarrier_wait %bars[%i] parity %j : memref<?xi64, 3>
  // CHECK: tile.copy_box %{{.*}}[%{{.*}}, %{{.*}}], %{{.*}}[%{{.*}}] arrives %{{.*}}[%{{.*}}] : memref<?xbf16, 3>, memref<?xi64, 3>
  tile.copy_box %map[%i, %j], %m[%j] arrives %bars[%i] : memref<?xbf16, 3>, memref<?xi64, 3>
  // CHECK: tile.proxy_fence
  tile.proxy_fence
  // CHECK: tile.barrier 1 threads 256
  tile.barrier 1 threads 256
  // CHECK: tile.subgroup_barrier
  tile.subgroup_barrier
  // CHECK: tile.opaque %{{.*}}
  %same = tile.opaque %i
  // CHECK: tile.set_registers 240 increase
  tile.set_registers 240 increase
  // CHECK: tile.set_registers 24{{$}}
  tile.set_registers 24
  return
}

// CHECK-LABEL: @turns
// CHECK: tile.take_turn of 2
// CHECK: tile.pass_turn of 2
// CHECK: tile.named_barrier %{{.*}} threads 256{{$}}
// CHECK: tile.named_barrier %{{.*}} threads 256 arrive
func.func @turns(%i: index) {
  tile.take_turn of 2
  tile.pass_turn of 2
  tile.named_barrier %i threads 256
  tile.named_barrier %i threads 256 arrive
  return
}

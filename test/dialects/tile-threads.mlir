// RUN: flash-opt %s | flash-opt | FileCheck %s
// RUN: flash-opt %s --mlir-print-op-generic | flash-opt | FileCheck %s

#acc = #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 4, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>

// CHECK-LABEL: @layouts
// CHECK: tile.convert %{{.*}} : <64x64xbf16, #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>> -> <64x64xbf16, #tile.fragment<warps = 4, block = [16, 16],
// CHECK: tile.load %{{.*}} async : memref<64x64xbf16> -> <64x64xbf16, #tile.shared<panel = 128>>
// CHECK: tile.await %{{.*}} : <64x64xbf16, #tile.shared<panel = 128>>
// CHECK: tile.load %{{.*}} -> <64x64xbf16, #tile.shared<panel = 64, transposed = true, spread = true>>
func.func @layouts(%x: !tile.tile<64x64xbf16, #acc>, %m: memref<64x64xbf16>, %z: index) {
  %y = tile.convert %x : !tile.tile<64x64xbf16, #acc> -> !tile.tile<64x64xbf16, #lhs>
  %p = tile.load %m[%z, %z] async : memref<64x64xbf16> -> !tile.tile<64x64xbf16, #tile.shared<panel = 128>>
  %k = tile.await %p : !tile.tile<64x64xbf16, #tile.shared<panel = 128>>
  %v = tile.load %m[%z, %z] : memref<64x64xbf16>
      -> !tile.tile<64x64xbf16, #tile.shared<panel = 64, transposed = true, spread = true>>
  return
}

// CHECK-LABEL: @threads
// CHECK: tile.mma %{{.*}}, %{{.*}}, %{{.*}} shape [16, 8, 16] : vector<8xbf16>, vector<4xbf16>, vector<4xf32>
// CHECK: tile.load_matrix %{{.*}}[%{{.*}}] transposed : memref<?xbf16, #gpu.address_space<workgroup>> -> vector<8xbf16>
// CHECK: tile.vector_load %{{.*}}[%{{.*}}] : memref<?xbf16, #gpu.address_space<workgroup>> -> vector<8xbf16>
// CHECK: tile.load_or_zero %{{.*}}[%{{.*}} + %{{.*}}] if %{{.*}} : memref<?xbf16> -> vector<8xbf16>
// CHECK: tile.vector_store %{{.*}}, %{{.*}}[%{{.*}}] : vector<8xbf16>, memref<?xbf16, #gpu.address_space<workgroup>>
// CHECK: tile.copy_async %{{.*}}[%{{.*}}], %{{.*}}[%{{.*}}] if %{{.*}} : memref<?xbf16>, memref<?xbf16, #gpu.address_space<workgroup>>
// CHECK: tile.copy_commit
// CHECK: tile.copy_wait 1
// CHECK: tile.schedule_fence
func.func @threads(%a: vector<8xbf16>, %b: vector<4xbf16>, %c: vector<4xf32>, %i: index, %e: i1,
                   %g: memref<?xbf16>, %s: memref<?xbf16, #gpu.address_space<workgroup>>) {
  %d = tile.mma %a, %b, %c shape [16, 8, 16] : vector<8xbf16>, vector<4xbf16>, vector<4xf32>
  %x = tile.load_matrix %s[%i] transposed : memref<?xbf16, #gpu.address_space<workgroup>> -> vector<8xbf16>
  %y = tile.vector_load %s[%i] : memref<?xbf16, #gpu.address_space<workgroup>> -> vector<8xbf16>
  %w = tile.load_or_zero %g[%i + %i] if %e : memref<?xbf16> -> vector<8xbf16>
  tile.vector_store %y, %s[%i] : vector<8xbf16>, memref<?xbf16, #gpu.address_space<workgroup>>
  tile.copy_async %g[%i], %s[%i] if %e : memref<?xbf16>, memref<?xbf16, #gpu.address_space<workgroup>>
  tile.copy_commit
  tile.copy_wait 1
  tile.schedule_fence
  return
}

#mem = #tile.shared<panel = 128>
#sums = #tile.fragment<warps = 1, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>

// CHECK-LABEL: @started
// CHECK: %[[S:.*]] = tile.dot %{{.*}}, %{{.*}}, %{{.*}} transposed async : <64x64xbf16, #tile.shared<panel = 128>>,
// CHECK: tile.await %[[S]] : <64x16xf32, #tile.fragment<warps = 1, block = [64, 8],
func.func @started(%q: !tile.tile<64x64xbf16, #mem>, %k: !tile.tile<16x64xbf16, #mem>, %z: !tile.tile<64x16xf32, #sums>) {
  %s = tile.dot %q, %k, %z transposed async
      : !tile.tile<64x64xbf16, #mem>, !tile.tile<16x64xbf16, #mem> -> !tile.tile<64x16xf32, #sums>
  %d = tile.await %s : !tile.tile<64x16xf32, #sums>
  return
}

// CHECK-LABEL: @warpgroup
// CHECK: tile.proxy_fence
// CHECK: %[[S:.*]]:2 = tile.warpgroup_mma(%{{.*}}) [%{{.*}}], %{{.*}}[%{{.*}}] transposed {
// CHECK: %[[D:.*]]:2 = tile.warpgroup_wait 1(%[[S]]#0, %[[S]]#1) : (vector<4xf32>, vector<4xf32>) -> (vector<4xf32>, vector<4xf32>)
// CHECK: tile.warpgroup_mma(%{{.*}}), %{{.*}}[%{{.*}}] accumulate(%[[D]]#0, %[[D]]#1 : vector<4xf32>, vector<4xf32>) {
func.func @warpgroup(%a: vector<8xbf16>, %i: index, %q: memref<4096xbf16, 3>, %k: memref<1024xbf16, 3>) {
  tile.proxy_fence
  %s:2 = tile.warpgroup_mma (%q)[%i], %k[%i] transposed
      {lhs_tile = !tile.tile<64x64xbf16, #tile.shared<panel = 128>>, rhs_tile = !tile.tile<16x64xbf16, #tile.shared<panel = 128>>}
      : (memref<4096xbf16, 3>), memref<1024xbf16, 3> -> vector<4xf32>, vector<4xf32>
  %d:2 = tile.warpgroup_wait 1 (%s#0, %s#1) : (vector<4xf32>, vector<4xf32>) -> (vector<4xf32>, vector<4xf32>)
  %o:2 = tile.warpgroup_mma (%a), %k[%i] accumulate(%d#0, %d#1 : vector<4xf32>, vector<4xf32>)
      {rhs_tile = !tile.tile<16x16xbf16, #tile.shared<panel = 64>>}
      : (vector<8xbf16>), memref<1024xbf16, 3> -> vector<4xf32>, vector<4xf32>
  return
}

// CHECK-LABEL: @tf32
// CHECK: tile.load_matrix %{{.*}}[%{{.*}}] : memref<?xf32, #gpu.address_space<workgroup>> -> vector<4xf32>
// CHECK: tile.round_tf32 %{{.*}} : vector<4xf32>
// CHECK: tile.round_tf32 %{{.*}} : f32
// CHECK: tile.mma %{{.*}}, %{{.*}}, %{{.*}} shape [16, 8, 8] : vector<4xf32>, vector<2xf32>, vector<4xf32>
// CHECK: tile.dot %{{.*}}, %{{.*}}, %{{.*}} transposed tf32 : <16x8xf32>, <8x8xf32> -> <16x8xf32>
func.func @tf32(%b: vector<2xf32>, %c: vector<4xf32>, %y: f32, %i: index, %s: memref<?xf32, #gpu.address_space<workgroup>>,
                %l: !tile.tile<16x8xf32>, %r: !tile.tile<8x8xf32>) {
  %x = tile.load_matrix %s[%i] : memref<?xf32, #gpu.address_space<workgroup>> -> vector<4xf32>
  %a = tile.round_tf32 %x : vector<4xf32>
  %one = tile.round_tf32 %y : f32
  %d = tile.mma %a, %b, %c shape [16, 8, 8] : vector<4xf32>, vector<2xf32>, vector<4xf32>
  %p = tile.dot %l, %r, %l transposed tf32 : !tile.tile<16x8xf32>, !tile.tile<8x8xf32> -> !tile.tile<16x8xf32>
  return
}

// RUN: flash-opt %s --specialize-roles=shared-bytes=232448 --split-input-file | FileCheck %s -enable-var-scope
// RUN: flash-opt %s --specialize-roles=shared-bytes=30000 --split-input-file | FileCheck %s --check-prefix=TIGHT
// RUN: flash-opt %s --specialize-roles=shared-bytes=17000 --split-input-file | FileCheck %s --check-prefix=NONE

#acc = #tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 4, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#rhs = #tile.shared<panel = 128>

// Keys and values through pipes of their own, numbered through both loops and the branch; views are looked through.
// CHECK-LABEL: func.func @attend(
// CHECK-SAME: %{{.*}}, %[[K:[^ ]*]]: memref<?x?x64xbf16>, %[[V:[^ ]*]]: memref<?x?x64xbf16>
// CHECK-DAG: %[[KMAP:.*]], %[[KOK:.*]] = tile.tensor_map %[[K]] rows 64 <panel = 128> : memref<?x?x64xbf16>
// CHECK-DAG: %[[VMAP:.*]], %[[VOK:.*]] = tile.tensor_map %[[V]] rows 64 <panel = 128> : memref<?x?x64xbf16>
// CHECK: scf.forall (%[[H:.*]]) in
// CHECK: %[[KP:.*]] = tile.pipe stages 2 : <64x64xbf16, #tile.shared<panel = 128>>
// CHECK: %[[VP:.*]] = tile.pipe stages 2 : <64x64xbf16, #tile.shared<panel = 128>>
// CHECK: tile.roles producer threads 128 {
// CHECK-NOT: tile.dot
// CHECK: %[[N:.*]]:2 = scf.for %[[J:.*]] = {{.*}} iter_args(%[[KN:.*]] = %{{.*}}, %[[VN:.*]] = %{{.*}}) -> (index, index) {
// CHECK: tile.push %[[K]][%[[H]], %[[J]], %{{.*}}] valid(%{{.*}}, %{{.*}}) into %[[KP]] at %[[KN]] by %[[KMAP]] if %[[KOK]]
// CHECK: %[[KN1:.*]] = arith.addi %[[KN]], %{{.*}} : index
// CHECK: tile.push %[[V]][%[[H]], %[[J]], %{{.*}}] valid(%{{.*}}, %{{.*}}) into %[[VP]] at %[[VN]] by %[[VMAP]] if %[[VOK]]
// CHECK: %[[VN1:.*]] = arith.addi %[[VN]], %{{.*}} : index
// CHECK: scf.yield %[[KN1]], %[[VN1]] : index, index
// CHECK: scf.if %{{.*}} -> (index, index) {
// CHECK: scf.for %{{.*}} iter_args(%{{.*}} = %[[N]]#0, %{{.*}} = %[[N]]#1) -> (index, index) {
// CHECK: } else {
// CHECK: scf.yield %[[N]]#0, %[[N]]#1 : index, index
// CHECK-NOT: tile.store
// CHECK: } consumers threads 128 {
// CHECK-NOT: tile.load
// CHECK: scf.for %{{.*}} iter_args(%{{.*}} = %{{.*}}, %[[KC:.*]] = %{{.*}}, %[[VC:.*]] = %{{.*}}) -> (!tile.tile<
// CHECK: %[[KT:.*]] = tile.pop %[[KP]] at %[[KC]]
// CHECK: tile.dot %{{.*}}, %[[KT]],
// CHECK-NEXT: tile.release %[[KP]] at %[[KC]]
// CHECK: %[[VT:.*]] = tile.pop %[[VP]] at %[[VC]]
// CHECK: tile.dot %{{.*}}, %[[VT]],
// CHECK-NEXT: tile.release %[[VP]] at %[[VC]]
// CHECK: tile.store
// CHECK: } {flashc.threads = 256 : i64}

// One stage each where two have no room, and no roles where there is none for one.
// TIGHT: tile.pipe stages 2
// TIGHT: tile.pipe stages 1
// TIGHT: tile.roles
// NONE-LABEL: func.func @attend(
// NONE-NOT: tile.roles
// NONE-LABEL: func.func @wide(
func.func @attend(%q: !tile.tile<64x64xbf16, #lhs>, %keys: memref<?x?x64xbf16>, %values: memref<?x?x64xbf16>,
                  %none: !tile.tile<64x64xf32, #acc>, %out: memref<64x64xf32>, %n: index, %hi: index, %more: i1) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%h) in (%n) {
    %k = memref.subview %keys[%h, 0, 0] [1, %hi, 64] [1, 1, 1] : memref<?x?x64xbf16> to memref<?x64xbf16, strided<[64, 1], offset: ?>>
    %v = memref.subview %values[%h, 0, 0] [1, %hi, 64] [1, 1, 1] : memref<?x?x64xbf16> to memref<?x64xbf16, strided<[64, 1], offset: ?>>
    %first = scf.for %j = %z to %hi step %c64 iter_args(%sum = %none) -> (!tile.tile<64x64xf32, #acc>) {
      %rows = arith.subi %hi, %j : index
      %kt = tile.load %k[%j, %z] valid(%rows, %c64) : memref<?x64xbf16, strided<[64, 1], offset: ?>> -> !tile.tile<64x64xbf16, #rhs>
      %s = tile.dot %q, %kt, %none transposed : !tile.tile<64x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<64x64xf32, #acc>
      %p = tile.map ins(%s : !tile.tile<64x64xf32, #acc>) {
      ^bb0(%x: f32):
        %y = arith.truncf %x : f32 to bf16
        tile.yield %y : bf16
      } -> !tile.tile<64x64xbf16, #acc>
      %w = tile.convert %p : !tile.tile<64x64xbf16, #acc> -> !tile.tile<64x64xbf16, #lhs>
      %vt = tile.load %v[%j, %z] valid(%rows, %c64) : memref<?x64xbf16, strided<[64, 1], offset: ?>> -> !tile.tile<64x64xbf16, #rhs>
      %o = tile.dot %w, %vt, %sum : !tile.tile<64x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<64x64xf32, #acc>
      scf.yield %o : !tile.tile<64x64xf32, #acc>
    }
    %second = scf.if %more -> (!tile.tile<64x64xf32, #acc>) {
      %last = scf.for %j = %z to %hi step %c64 iter_args(%sum = %first) -> (!tile.tile<64x64xf32, #acc>) {
        %kt = tile.load %k[%j, %z] : memref<?x64xbf16, strided<[64, 1], offset: ?>> -> !tile.tile<64x64xbf16, #rhs>
        %s = tile.dot %q, %kt, %sum transposed : !tile.tile<64x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<64x64xf32, #acc>
        %vt = tile.load %v[%j, %z] : memref<?x64xbf16, strided<[64, 1], offset: ?>> -> !tile.tile<64x64xbf16, #rhs>
        %o = tile.dot %q, %vt, %s : !tile.tile<64x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<64x64xf32, #acc>
        scf.yield %o : !tile.tile<64x64xf32, #acc>
      }
      scf.yield %last : !tile.tile<64x64xf32, #acc>
    } else {
      scf.yield %first : !tile.tile<64x64xf32, #acc>
    }
    tile.store %second, %out[%z, %z] : !tile.tile<64x64xf32, #acc>, memref<64x64xf32>
  } {flashc.threads = 128 : i64}
  return
}

// -----

#acc = #tile.fragment<warps = 8, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 8, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#rhs = #tile.shared<panel = 128>

// Two warpgroups of consumers take the producer's registers; memory of more than five dimensions has no map.
// CHECK-LABEL: func.func @wide(
// CHECK-NOT: tile.tensor_map
// CHECK: tile.roles producer threads 128 registers 56 {
// CHECK: tile.push %{{.*}} into %{{.*}} at %{{.*}} : memref<?x?x?x?x?x64xbf16>
// CHECK: } consumers threads 256 registers 224 {
// CHECK: } {flashc.threads = 384 : i64}
func.func @wide(%q: !tile.tile<128x64xbf16, #lhs>, %keys: memref<?x?x?x?x?x64xbf16>, %none: !tile.tile<128x64xf32, #acc>,
                %out: memref<128x64xf32>, %n: index, %hi: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %sums = scf.for %j = %z to %hi step %c64 iter_args(%sum = %none) -> (!tile.tile<128x64xf32, #acc>) {
      %k = tile.load %keys[%z, %z, %z, %z, %j, %z] : memref<?x?x?x?x?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
      %s = tile.dot %q, %k, %sum transposed : !tile.tile<128x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<128x64xf32, #acc>
      scf.yield %s : !tile.tile<128x64xf32, #acc>
    }
    tile.store %sums, %out[%z, %z] : !tile.tile<128x64xf32, #acc>, memref<128x64xf32>
  } {flashc.threads = 256 : i64}
  return
}

// -----

#acc = #tile.fragment<warps = 1, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 1, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#rhs = #tile.shared<panel = 128>

// A block of one warp keeps its loads.
// CHECK-LABEL: func.func @few(
// CHECK-NOT: tile.roles
// CHECK: tile.load
func.func @few(%q: !tile.tile<16x64xbf16, #lhs>, %keys: memref<?x64xbf16>, %none: !tile.tile<16x64xf32, #acc>,
               %out: memref<16x64xf32>, %n: index, %hi: index) {
  %z = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  scf.forall (%i) in (%n) {
    %sums = scf.for %j = %z to %hi step %c64 iter_args(%sum = %none) -> (!tile.tile<16x64xf32, #acc>) {
      %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
      %s = tile.dot %q, %k, %sum transposed : !tile.tile<16x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<16x64xf32, #acc>
      scf.yield %s : !tile.tile<16x64xf32, #acc>
    }
    tile.store %sums, %out[%z, %z] : !tile.tile<16x64xf32, #acc>, memref<16x64xf32>
  } {flashc.threads = 32 : i64}
  return
}

// -----

#acc = #tile.fragment<warps = 8, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>
#lhs = #tile.fragment<warps = 8, block = [16, 16], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0, 0, 8]>
#rhs = #tile.shared<panel = 128>

// A producer that looks through memory for the tiles to bring keeps more registers.
// CHECK-LABEL: func.func @looks(
// CHECK: tile.roles producer threads 128 registers 104 {
// CHECK: memref.load
// CHECK: tile.push
// CHECK: } consumers threads 256 registers 200 {
func.func @looks(%q: !tile.tile<128x64xbf16, #lhs>, %keys: memref<?x64xbf16>, %flags: memref<?xi32>,
                 %none: !tile.tile<128x64xf32, #acc>, %out: memref<128x64xf32>, %n: index, %hi: index) {
  %z = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %no = arith.constant 0 : i32
  scf.forall (%i) in (%n) {
    %end = scf.for %j = %z to %hi step %c1 iter_args(%found = %z) -> (index) {
      %flag = memref.load %flags[%j] : memref<?xi32>
      %is = arith.cmpi ne, %flag, %no : i32
      %next = arith.select %is, %j, %found : index
      scf.yield %next : index
    }
    %sums = scf.for %j = %z to %end step %c64 iter_args(%sum = %none) -> (!tile.tile<128x64xf32, #acc>) {
      %k = tile.load %keys[%j, %z] : memref<?x64xbf16> -> !tile.tile<64x64xbf16, #rhs>
      %s = tile.dot %q, %k, %sum transposed : !tile.tile<128x64xbf16, #lhs>, !tile.tile<64x64xbf16, #rhs> -> !tile.tile<128x64xf32, #acc>
      scf.yield %s : !tile.tile<128x64xf32, #acc>
    }
    tile.store %sums, %out[%z, %z] : !tile.tile<128x64xf32, #acc>, memref<128x64xf32>
  } {flashc.threads = 256 : i64}
  return
}

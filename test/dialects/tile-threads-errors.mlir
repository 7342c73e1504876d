// RUN: flash-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{expected 1 to 64 warps, got 0}}
func.func private @f(!tile.tile<16x8xf32, #tile.fragment<warps = 0, block = [16, 8], lanes = [0, 1], registers = [1, 0]>>)

// -----

// expected-error @below {{expected a block of two powers of two up to 1024}}
func.func private @f(!tile.tile<16x8xf32, #tile.fragment<warps = 1, block = [12, 8], lanes = [0, 1], registers = [1, 0]>>)

// -----

// expected-error @below {{expected pairs of a row and a column in lanes, got 3 numbers}}
func.func private @f(!tile.tile<2x2xf32, #tile.fragment<warps = 1, block = [2, 2], lanes = [0, 1, 1], registers = [1, 0]>>)

// -----

// expected-error @below {{expected powers of two below the block's size in registers, got 3}}
func.func private @f(!tile.tile<4x2xf32, #tile.fragment<warps = 1, block = [4, 2], lanes = [0, 1], registers = [3, 0]>>)

// -----

// expected-error @below {{expected each bit of a coordinate once, got 1 twice}}
func.func private @f(!tile.tile<2x2xf32, #tile.fragment<warps = 1, block = [2, 2], lanes = [0, 1], registers = [0, 1]>>)

// -----

// expected-error @below {{expected lanes and registers to cover a block of 4x2}}
func.func private @f(!tile.tile<4x2xf32, #tile.fragment<warps = 1, block = [4, 2], lanes = [0, 1], registers = [1, 0]>>)

// -----

// expected-error @below {{expected panels of 32, 64 or 128 bytes, got 48}}
func.func private @f(!tile.tile<4x2xf32, #tile.shared<panel = 48>>)

// -----

func.func @f(%x: !tile.tile<16x16xf32>) {
  // expected-error @below {{expected the same tile in another layout, got '!tile.tile<16x16xf32>' and '!tile.tile<16x8xf32>'}}
  %y = tile.convert %x : !tile.tile<16x16xf32> -> !tile.tile<16x8xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %b: vector<4xbf16>, %c: vector<4xf32>) {
  // expected-error @below {{expected a shape of three sizes (rows, columns, contraction), got 2}}
  %d = tile.mma %a, %b, %c shape [16, 8] : vector<8xbf16>, vector<4xbf16>, vector<4xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %b: vector<4xf16>, %c: vector<4xf32>) {
  // expected-error @below {{expected both sides of one element type, got 'vector<8xbf16>' and 'vector<4xf16>'}}
  %d = tile.mma %a, %b, %c shape [16, 8, 16] : vector<8xbf16>, vector<4xf16>, vector<4xf32>
  return
}

// -----

func.func @f(%m: memref<?xf32>, %i: index) {
  // expected-error @below {{expected a vector of the memory's 'f32', got 'vector<4xf16>'}}
  %x = tile.vector_load %m[%i] : memref<?xf32> -> vector<4xf16>
  return
}

// -----

func.func @f(%m: memref<?xf32>, %i: index, %x: vector<4xf16>) {
  // expected-error @below {{expected a vector of the memory's 'f32', got 'vector<4xf16>'}}
  tile.vector_store %x, %m[%i] : vector<4xf16>, memref<?xf32>
  return
}

// -----

func.func @f(%m: memref<?xf16>, %i: index) {
  // expected-error @below {{expected eight elements, two of each of four matrices, got 'vector<4xf16>'}}
  %x = tile.load_matrix %m[%i] : memref<?xf16> -> vector<4xf16>
  return
}

// -----

func.func @f(%m: memref<?xf16>, %s: memref<?xbf16>, %i: index, %e: i1) {
  // expected-error @below {{expected memory of one element type, got 'f16' and 'bf16'}}
  tile.copy_async %m[%i], %s[%i] if %e : memref<?xf16>, memref<?xbf16>
  return
}

// -----

func.func @f(%x: !tile.tile<16x16xbf16>, %z: !tile.tile<16x16xf32>) {
  // expected-error @below {{cannot be started with `async` and skip zeros: whether it matters is decided first}}
  %s = tile.dot %x, %x, %z skip_zeros async : !tile.tile<16x16xbf16>, !tile.tile<16x16xbf16> -> !tile.tile<16x16xf32>
  return
}

// -----

func.func @f(%x: !tile.tile<16x16xbf16>, %z: !tile.tile<16x16xf32>) {
  %s = tile.dot %x, %x, %z : !tile.tile<16x16xbf16>, !tile.tile<16x16xbf16> -> !tile.tile<16x16xf32>
  // expected-error @below {{expected a tile that was started with `async`, got the result of 'tile.dot' without}}
  %d = tile.await %s : !tile.tile<16x16xf32>
  return
}

// -----

func.func @f(%m: memref<16x16xf32>, %z: index) {
  %s = tile.load %m[%z, %z] : memref<16x16xf32> -> !tile.tile<16x16xf32>
  // expected-error @below {{expected a tile that was started with `async`, got the result of 'tile.load' without}}
  %d = tile.await %s : !tile.tile<16x16xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %c: vector<4xf32>, %i: index, %q: memref<4096xbf16, 3>, %h: memref<4096xf16, 3>, %k: memref<1024xbf16, 3>) {
  // expected-error @below {{expected a right-hand tile in shared memory, got '!tile.tile<16x16xbf16>'}}
  %s:2 = tile.warpgroup_mma (%a), %k[%i] {rhs_tile = !tile.tile<16x16xbf16>} : (vector<8xbf16>), memref<1024xbf16, 3> -> vector<4xf32>, vector<4xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %c: vector<4xf32>, %i: index, %q: memref<4096xbf16, 3>, %h: memref<4096xf16, 3>, %k: memref<1024xbf16, 3>) {
  // expected-error @below {{expected a right-hand tile of the memory's 'bf16', got '!tile.tile<16x16xf16, #tile.shared<panel = 128>>'}}
  %s:2 = tile.warpgroup_mma (%a), %k[%i] {rhs_tile = !tile.tile<16x16xf16, #tile.shared<panel = 128>>} : (vector<8xbf16>), memref<1024xbf16, 3> -> vector<4xf32>, vector<4xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %c: vector<4xf32>, %i: index, %q: memref<4096xbf16, 3>, %h: memref<4096xf16, 3>, %k: memref<1024xbf16, 3>) {
  // expected-error @below {{expected an index and a tile type of a left-hand side in memory, and of no other}}
  %s:2 = tile.warpgroup_mma (%q), %k[%i] {rhs_tile = !tile.tile<16x16xbf16, #tile.shared<panel = 128>>} : (memref<4096xbf16, 3>), memref<1024xbf16, 3> -> vector<4xf32>, vector<4xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %c: vector<4xf32>, %i: index, %q: memref<4096xbf16, 3>, %h: memref<4096xf16, 3>, %k: memref<1024xbf16, 3>) {
  // expected-error @below {{expected a left-hand tile in shared memory, got '!tile.tile<64x16xbf16>'}}
  %s:2 = tile.warpgroup_mma (%q)[%i], %k[%i] {lhs_tile = !tile.tile<64x16xbf16>, rhs_tile = !tile.tile<16x16xbf16, #tile.shared<panel = 128>>} : (memref<4096xbf16, 3>), memref<1024xbf16, 3> -> vector<4xf32>, vector<4xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %c: vector<4xf32>, %i: index, %q: memref<4096xbf16, 3>, %h: memref<4096xf16, 3>, %k: memref<1024xbf16, 3>) {
  // expected-error @below {{expected both sides of one element type, got 'f16' and 'bf16'}}
  %s:2 = tile.warpgroup_mma (%h)[%i], %k[%i] {lhs_tile = !tile.tile<64x16xf16, #tile.shared<panel = 128>>, rhs_tile = !tile.tile<16x16xbf16, #tile.shared<panel = 128>>} : (memref<4096xf16, 3>), memref<1024xbf16, 3> -> vector<4xf32>, vector<4xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %c: vector<4xf32>, %i: index, %q: memref<4096xbf16, 3>, %h: memref<4096xf16, 3>, %k: memref<1024xbf16, 3>) {
  // expected-error @below {{expected 1 left-hand fragments of 'vector<8xbf16>', one a step of the contraction, got 'vector<8xbf16>', 'vector<8xbf16>'}}
  %s:2 = tile.warpgroup_mma (%a, %a), %k[%i] {rhs_tile = !tile.tile<16x16xbf16, #tile.shared<panel = 128>>} : (vector<8xbf16>, vector<8xbf16>), memref<1024xbf16, 3> -> vector<4xf32>, vector<4xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %c: vector<4xf32>, %i: index, %q: memref<4096xbf16, 3>, %h: memref<4096xf16, 3>, %k: memref<1024xbf16, 3>) {
  // expected-error @below {{expected 1 to 32 results of 'vector<4xf32>', one for eight columns, got 'vector<8xf32>'}}
  %s:1 = tile.warpgroup_mma (%a), %k[%i] {rhs_tile = !tile.tile<16x16xbf16, #tile.shared<panel = 128>>} : (vector<8xbf16>), memref<1024xbf16, 3> -> vector<8xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %c: vector<4xf32>, %i: index, %q: memref<4096xbf16, 3>, %h: memref<4096xf16, 3>, %k: memref<1024xbf16, 3>) {
  // expected-error @below {{expected results for 16 columns, got 1}}
  %s:1 = tile.warpgroup_mma (%a), %k[%i] {rhs_tile = !tile.tile<16x16xbf16, #tile.shared<panel = 128>>} : (vector<8xbf16>), memref<1024xbf16, 3> -> vector<4xf32>
  return
}

// -----

func.func @f(%a: vector<8xbf16>, %c: vector<4xf32>, %i: index, %q: memref<4096xbf16, 3>, %h: memref<4096xf16, 3>, %k: memref<1024xbf16, 3>) {
  // expected-error @below {{expected accumulators of the results' types, got 'vector<4xf32>'}}
  %s:2 = tile.warpgroup_mma (%a), %k[%i] accumulate(%c : vector<4xf32>) {rhs_tile = !tile.tile<16x16xbf16, #tile.shared<panel = 128>>} : (vector<8xbf16>), memref<1024xbf16, 3> -> vector<4xf32>, vector<4xf32>
  return
}

// -----

func.func @f(%c: vector<4xf32>) {
  // expected-error @below {{expected results of the values' types, got 'vector<8xf32>'}}
  %d = tile.warpgroup_wait 0 (%c) : (vector<4xf32>) -> vector<8xf32>
  return
}

// -----

func.func @f(%m: memref<?xbf16>, %i: index, %e: i1) {
  // expected-error @below {{expected a vector of sixteen bytes, got 'vector<4xbf16>'}}
  %x = tile.load_or_zero %m[%i + %i] if %e : memref<?xbf16> -> vector<4xbf16>
  return
}

// -----

func.func @f(%m: memref<?xf32>, %i: index) {
  // expected-error @below {{expected four elements, one of each of four matrices, got 'vector<8xf32>'}}
  %x = tile.load_matrix %m[%i] : memref<?xf32> -> vector<8xf32>
  return
}

// -----

func.func @f(%m: memref<?xf32>, %i: index) {
  // expected-error @below {{expected matrices of 16-bit elements to transpose, got 'vector<4xf32>'}}
  %x = tile.load_matrix %m[%i] transposed : memref<?xf32> -> vector<4xf32>
  return
}

// RUN: flash-opt %s --lower-tiles-to-vector --split-input-file --verify-diagnostics

func.func @no_layout(%p: memref<6x64xf32>, %v: memref<64x64xf32>, %o: memref<6x64xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %a = tile.load %p[%c0, %c0] : memref<6x64xf32> -> !tile.tile<6x64xf32>
  %b = tile.load %v[%c0, %c0] : memref<64x64xf32> -> !tile.tile<64x64xf32>
  %z = tile.splat %zero : f32 -> !tile.tile<6x64xf32>
  // expected-error @below {{expected an accumulator with a register layout as wide as the panels of the right-hand side (assign-tile-layouts gives both), got '!tile.tile<6x64xf32>' and '!tile.tile<64x64xf32>'}}
  %r = tile.dot %a, %b, %z : !tile.tile<6x64xf32>, !tile.tile<64x64xf32> -> !tile.tile<6x64xf32>
  tile.store %r, %o[%c0, %c0] : !tile.tile<6x64xf32>, memref<6x64xf32>
  return
}

// -----

!acc = !tile.tile<6x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
func.func @splat(%v: memref<1x64x64xf32>, %o: memref<6x64xf32>) {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  %z = tile.splat %zero : f32 -> !acc
  %b = tile.view %v[%c0] valid(%c64) : memref<1x64x64xf32> -> !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16>>
  // expected-error @below {{expected operands that lie in memory, got a splat}}
  %r = tile.dot %z, %b, %z : !acc, !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16>> -> !acc
  tile.store %r, %o[%c0, %c0] : !acc, memref<6x64xf32>
  return
}

// -----

!acc = !tile.tile<6x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
func.func @exchange(%m: memref<6x64xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %x = tile.load %m[%c0, %c0] : memref<6x64xf32> -> !acc
  %y = tile.load %m[%c0, %c0] : memref<6x64xf32> -> !acc
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x, %b = %y) -> (!acc, !acc) {
    // expected-error @below {{expected no exchange of tiles between iterations}}
    scf.yield %b, %a : !acc, !acc
  }
  tile.store %r#0, %m[%c0, %c0] : !acc, memref<6x64xf32>
  return
}

// -----

func.func @tf32(%p: memref<6x64xf32>, %v: memref<64x64xf32>, %o: memref<6x64xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %a = tile.load %p[%c0, %c0] : memref<6x64xf32> -> !tile.tile<6x64xf32>
  %b = tile.load %v[%c0, %c0] : memref<64x64xf32> -> !tile.tile<64x64xf32>
  %z = tile.splat %zero : f32 -> !tile.tile<6x64xf32>
  // expected-error @below {{rounds to tf32, which no CPU does; expected products of exact float32}}
  %r = tile.dot %a, %b, %z tf32 : !tile.tile<6x64xf32>, !tile.tile<64x64xf32> -> !tile.tile<6x64xf32>
  tile.store %r, %o[%c0, %c0] : !tile.tile<6x64xf32>, memref<6x64xf32>
  return
}

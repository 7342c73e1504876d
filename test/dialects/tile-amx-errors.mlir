// RUN: flash-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{expected a block of whole registers, got 24 rows and registers of 16}}
func.func private @f(!tile.tile<4x4xf32, #tile.registers<rows = 24, vectors = 2, lanes = 16, height = 16>>)

// -----

// expected-error @+1 {{expected a block of whole registers, got 32 rows and registers of 0}}
func.func private @f(!tile.tile<4x4xf32, #tile.registers<rows = 32, vectors = 2, lanes = 16, height = 0>>)

// -----

// expected-error @+1 {{expected a depth of whole groups of 2 elements, got 31}}
func.func private @f(!tile.tile<4x4xbf16, #tile.panels<width = 32, lanes = 16, kpack = 2, depth = 31>>)

// -----

// expected-error @+1 {{expected a depth of whole groups of 2 elements, got -2}}
func.func private @f(!tile.tile<4x4xbf16, #tile.panels<width = 32, lanes = 16, kpack = 2, depth = -2>>)

// -----

// expected-error @+1 {{expected panels of a size that fits in 64 bits, got 4294967296 columns of 4294967296}}
func.func private @f(!tile.tile<4x4xbf16, #tile.panels<width = 4294967296, lanes = 16, kpack = 2, depth = 4294967296>>)

// -----

func.func @groups(%k: memref<?x?x?x40xbf16>, %p: memref<?x?x?x20x64xbf16>, %i: index) {
  // expected-error @+1 {{expected dimension 3 of packed memory to be 32, the groups of the source's columns, got 20}}
  tile.pack %k[%i, %i, %i, %i] valid(%i) into %p[%i, %i, %i] transposed <width = 32, lanes = 16, kpack = 2, depth = 32>
      : memref<?x?x?x40xbf16>, memref<?x?x?x20x64xbf16>
  return
}

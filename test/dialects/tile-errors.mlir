// RUN: flash-opt %s -verify-diagnostics -split-input-file

// expected-error @+1 {{expected a tile of rank 1 or 2, got rank 3}}
func.func private @f(!tile.tile<2x3x4xf32>)

// -----

// expected-error @+1 {{expected a tile of rank 1 or 2, got rank 0}}
func.func private @f(!tile.tile<f32>)

// -----

// expected-error @+1 {{expected positive tile sizes, got 0}}
func.func private @f(!tile.tile<0x4xf32>)

// -----

// expected-error @+1 {{expected static shape}}
func.func private @f(!tile.tile<?x4xf32>)

// -----

// expected-error @+1 {{expected a floating-point element type, got 'i32'}}
func.func private @f(!tile.tile<4x4xi32>)

// -----

// expected-error @+1 {{expected a tile layout, got 3 : i64}}
func.func private @f(!tile.tile<4x4xf32, 3>)

// -----

// expected-error @+1 {{expected a tile whose size in bits fits in 64 bits, got 4294967296x4294967296x'f32'}}
func.func private @f(!tile.tile<4294967296x4294967296xf32>)

// -----

// expected-error @+1 {{expected 1 or more rows, vectors and lanes, got 0, 4 and 16}}
func.func private @f(!tile.tile<4x4xf32, #tile.registers<rows = 0, vectors = 4, lanes = 16>>)

// -----

// expected-error @+1 {{expected a number of accumulators that fits in 64 bits, got 4294967296x4294967296x16}}
func.func private @f(!tile.tile<4x4xf32, #tile.registers<rows = 4294967296, vectors = 4294967296, lanes = 16>>)

// -----

// expected-error @+1 {{expected 1 or more lanes, got 0}}
func.func private @f(!tile.tile<4x4xf32, #tile.panels<width = 64, lanes = 0>>)

// -----

// expected-error @+1 {{expected panels as wide as a number of whole vectors of 16 lanes, got 24}}
func.func private @f(!tile.tile<4x4xf32, #tile.panels<width = 24, lanes = 16>>)

// -----

// expected-error @+1 {{expected panels as wide as a number of whole vectors of 16 lanes, got 0}}
func.func private @f(!tile.tile<4x4xf32, #tile.panels<width = 0, lanes = 16>>)

// -----

func.func @f(%x: f64) {
  // expected-error @+1 {{expected a scalar of the tile's element type 'f32', got 'f64'}}
  %0 = tile.splat %x : f64 -> !tile.tile<4x4xf32>
  return
}

// -----

func.func @f(%m: memref<?x?xf32>, %i: index) {
  // expected-error @+1 {{expected 2 offsets, one a dimension of the memory, got 1}}
  %0 = tile.load %m[%i] : memref<?x?xf32> -> !tile.tile<4x4xf32>
  return
}

// -----

func.func @f(%m: memref<?xf32>, %i: index) {
  // expected-error @+1 {{expected memory of rank 2 or more, got 1}}
  %0 = tile.load %m[%i] : memref<?xf32> -> !tile.tile<4x4xf32>
  return
}

// -----

func.func @f(%m: memref<?x?xf32>, %i: index) {
  // expected-error @+1 {{expected 2 valid extents, one a dimension of the tile, got 1}}
  %0 = tile.load %m[%i, %i] valid(%i) : memref<?x?xf32> -> !tile.tile<4x4xf32>
  return
}

// -----

func.func @f(%m: memref<?x?xi32>, %i: index) {
  // expected-error @+1 {{expected memory of floating-point elements, got 'i32'}}
  %0 = tile.load %m[%i, %i] : memref<?x?xi32> -> !tile.tile<4x4xf32>
  return
}

// -----

func.func @f(%m: memref<?x?xf64>, %i: index) {
  // expected-error @+1 {{expected a tile at least as wide as the memory's 'f64', got 'f32'}}
  %0 = tile.load %m[%i, %i] : memref<?x?xf64> -> !tile.tile<4x4xf32>
  return
}

// -----

func.func @f(%t: !tile.tile<4x4xf32>, %m: memref<?x?xf32>, %i: index) {
  // expected-error @+1 {{expected 2 offsets, one a dimension of the memory, got 3}}
  tile.store %t, %m[%i, %i, %i] : !tile.tile<4x4xf32>, memref<?x?xf32>
  return
}

// -----

func.func @f(%t: !tile.tile<4xf32>, %m: memref<?xf32>, %i: index) {
  // expected-error @+1 {{expected 1 valid extents, one a dimension of the tile, got 2}}
  tile.store %t, %m[%i] valid(%i, %i) : !tile.tile<4xf32>, memref<?xf32>
  return
}

// -----

func.func @f(%l: !tile.tile<4x8xf32>, %r: !tile.tile<8x16xf32>, %a: !tile.tile<4x8xf32>) {
  // expected-error @+1 {{expected an accumulator of 4x16, got 4x8}}
  %0 = tile.dot %l, %r, %a : !tile.tile<4x8xf32>, !tile.tile<8x16xf32> -> !tile.tile<4x8xf32>
  return
}

// -----

func.func @f(%l: !tile.tile<4x16xf32>, %r: !tile.tile<8x16xf32>, %a: !tile.tile<4x16xf32>) {
  // expected-error @+1 {{expected an accumulator of 4x8, got 4x16}}
  %0 = tile.dot %l, %r, %a transposed : !tile.tile<4x16xf32>, !tile.tile<8x16xf32> -> !tile.tile<4x16xf32>
  return
}

// -----

func.func @f(%l: !tile.tile<4x8xf32>, %r: !tile.tile<9x16xf32>, %a: !tile.tile<4x16xf32>) {
  // expected-error @+1 {{expected both sides to contract over one size, got 8 and 9}}
  %0 = tile.dot %l, %r, %a : !tile.tile<4x8xf32>, !tile.tile<9x16xf32> -> !tile.tile<4x16xf32>
  return
}

// -----

func.func @f(%l: !tile.tile<4x8xf32>, %r: !tile.tile<8x16xbf16>, %a: !tile.tile<4x16xf32>) {
  // expected-error @+1 {{expected both sides of one element type, got 'f32' and 'bf16'}}
  %0 = tile.dot %l, %r, %a : !tile.tile<4x8xf32>, !tile.tile<8x16xbf16> -> !tile.tile<4x16xf32>
  return
}

// -----

func.func @f(%l: !tile.tile<4x8xf32>, %r: !tile.tile<8x16xf32>, %a: !tile.tile<4x16xbf16>) {
  // expected-error @+1 {{expected an accumulator at least as wide as the operands' 'f32', got 'bf16'}}
  %0 = tile.dot %l, %r, %a : !tile.tile<4x8xf32>, !tile.tile<8x16xf32> -> !tile.tile<4x16xbf16>
  return
}

// -----

func.func @f(%x: !tile.tile<4x8xf32>, %m: !tile.tile<5xf32>) {
  // expected-error @+1 {{expected 4 rows, got 5}}
  %0 = tile.reduce max %x, %m : !tile.tile<4x8xf32> -> !tile.tile<5xf32>
  return
}

// -----

func.func @f(%x: !tile.tile<4x8xf32>, %m: !tile.tile<4xf64>) {
  // expected-error @+1 {{expected an init of the input's element type 'f32', got 'f64'}}
  %0 = tile.reduce sum %x, %m : !tile.tile<4x8xf32> -> !tile.tile<4xf64>
  return
}

// -----

func.func @f(%x: !tile.tile<4xf32>, %m: !tile.tile<4xf32>) {
  // expected-error @+1 {{operand #0 must be tile of rows and columns, but got '!tile.tile<4xf32>'}}
  %0 = tile.reduce sum %x, %m : !tile.tile<4xf32> -> !tile.tile<4xf32>
  return
}

// -----

func.func @f(%s: !tile.tile<4x9xf32>) {
  // expected-error @+1 {{expected inputs of the result's shape or of one element a row, got '!tile.tile<4x9xf32>' for '!tile.tile<4x8xf32>'}}
  %0 = tile.map ins(%s : !tile.tile<4x9xf32>) {
  ^bb0(%x: f32):
    tile.yield %x : f32
  } -> !tile.tile<4x8xf32>
  return
}

// -----

func.func @f(%s: !tile.tile<5xf32>) {
  // expected-error @+1 {{expected inputs of the result's shape or of one element a row, got '!tile.tile<5xf32>' for '!tile.tile<4x8xf32>'}}
  %0 = tile.map ins(%s : !tile.tile<5xf32>) {
  ^bb0(%x: f32):
    tile.yield %x : f32
  } -> !tile.tile<4x8xf32>
  return
}

// -----

func.func @f(%s: !tile.tile<4x8xf32>, %i: index) {
  // expected-error @+1 {{expected an origin of 2 positions, got 1}}
  %0 = tile.map ins(%s : !tile.tile<4x8xf32>) origin(%i) {
  ^bb0(%x: f32, %r: index):
    tile.yield %x : f32
  } -> !tile.tile<4x8xf32>
  return
}

// -----

func.func @f(%s: !tile.tile<4x8xf32>, %i: index) {
  // expected-error @+1 {{expected 3 block arguments, one an input and a position, got 1}}
  %0 = tile.map ins(%s : !tile.tile<4x8xf32>) origin(%i, %i) {
  ^bb0(%x: f32):
    tile.yield %x : f32
  } -> !tile.tile<4x8xf32>
  return
}

// -----

func.func @f(%s: !tile.tile<4x8xf64>) {
  // expected-error @+1 {{expected block argument #0 of type 'f64', got 'f32'}}
  %0 = tile.map ins(%s : !tile.tile<4x8xf64>) {
  ^bb0(%x: f32):
    tile.yield %x : f32
  } -> !tile.tile<4x8xf32>
  return
}

// -----

func.func @f(%s: !tile.tile<4x8xf32>, %i: index) {
  // expected-error @+1 {{expected block argument #2, a position, of type index, got 'i64'}}
  %0 = tile.map ins(%s : !tile.tile<4x8xf32>) origin(%i, %i) {
  ^bb0(%x: f32, %r: index, %c: i64):
    tile.yield %x : f32
  } -> !tile.tile<4x8xf32>
  return
}

// -----

func.func @f(%s: !tile.tile<4x8xf32>) {
  // expected-error @+1 {{expected the region to yield 'bf16', got 'f32'}}
  %0 = tile.map ins(%s : !tile.tile<4x8xf32>) {
  ^bb0(%x: f32):
    tile.yield %x : f32
  } -> !tile.tile<4x8xbf16>
  return
}

// -----

func.func @f(%s: memref<?xf32>, %d: memref<?x?x80x64xf32>, %i: index) {
  // expected-error @+1 {{expected a source of rank 2 or more with floating-point elements, got 'memref<?xf32>'}}
  tile.pack %s[%i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16> : memref<?xf32>, memref<?x?x80x64xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80xi8>, %d: memref<?x?x80x64xf32>, %i: index) {
  // expected-error @+1 {{expected a source of rank 2 or more with floating-point elements, got 'memref<?x?x80xi8>'}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16> : memref<?x?x80xi8>, memref<?x?x80x64xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80xf32>, %d: memref<?x?x80x64xf32>, %i: index) {
  // expected-error @+1 {{expected 3 offsets, one a dimension of the source, got 2}}
  tile.pack %s[%i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16> : memref<?x?x80xf32>, memref<?x?x80x64xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80xf32>, %d: memref<?x64xf32>, %i: index) {
  // expected-error @+1 {{expected packed memory of rank 3 or more, got 'memref<?x64xf32>'}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16> : memref<?x?x80xf32>, memref<?x64xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80xf32>, %d: memref<?x?x80x32xf32>, %i: index) {
  // expected-error @+1 {{expected packed memory whose last dimension is the panels' width 64, got 'memref<?x?x80x32xf32>'}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16> : memref<?x?x80xf32>, memref<?x?x80x32xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80xf32>, %d: memref<?x?x80x64xf32>, %i: index) {
  // expected-error @+1 {{expected 2 indices into 'memref<?x?x80x64xf32>', got 3}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i, %i] transposed <width = 64, lanes = 16> : memref<?x?x80xf32>, memref<?x?x80x64xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80xf32>, %d: memref<?x?x80x64xi32>, %i: index) {
  // expected-error @+1 {{expected packed memory of floating-point elements, got 'i32'}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16> : memref<?x?x80xf32>, memref<?x?x80x64xi32>
  return
}

// -----

func.func @f(%s: memref<?x?x80xf32>, %d: memref<?x?x80x64xbf16>, %i: index) {
  // expected-error @+1 {{expected packed elements at least as wide as the source's 'f32', got 'bf16'}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16> : memref<?x?x80xf32>, memref<?x?x80x64xbf16>
  return
}

// -----

func.func @f(%s: memref<?x?x?xf32>, %d: memref<?x?x80x64xf32>, %i: index) {
  // expected-error @+1 {{expected a static number of source columns, got 'memref<?x?x?xf32>'}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16> : memref<?x?x?xf32>, memref<?x?x80x64xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80xf32>, %d: memref<?x?x79x64xf32>, %i: index) {
  // expected-error @+1 {{expected dimension 2 of packed memory to be 80, the source's columns, got 79}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16> : memref<?x?x80xf32>, memref<?x?x79x64xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80xf32>, %d: memref<?x3x?x64xf32>, %i: index) {
  // expected-error @+1 {{expected dimension 1 of packed memory to be 2, the number of panels, got 3}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] <width = 64, lanes = 16> : memref<?x?x80xf32>, memref<?x3x?x64xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80x64xf32>, %i: index) {
  // expected-error @+1 {{expected a tile with a panel layout, got '!tile.tile<512x80xf32>'}}
  %0 = tile.view %s[%i, %i] valid(%i) : memref<?x?x80x64xf32> -> !tile.tile<512x80xf32>
  return
}

// -----

func.func @f(%s: memref<?x?x80x?xf32>, %i: index) {
  // expected-error @+1 {{expected packed memory whose last dimension is the panels' width 64, got 'memref<?x?x80x?xf32>'}}
  %0 = tile.view %s[%i, %i] valid(%i) : memref<?x?x80x?xf32> -> !tile.tile<512x80xf32, #tile.panels<width = 64, lanes = 16>>
  return
}

// -----

func.func @f(%s: memref<?x?x80x64xf32>, %i: index) {
  // expected-error @+1 {{expected 2 indices into 'memref<?x?x80x64xf32>', got 1}}
  %0 = tile.view %s[%i] valid(%i) : memref<?x?x80x64xf32> -> !tile.tile<512x80xf32, #tile.panels<width = 64, lanes = 16>>
  return
}

// -----

func.func @f(%s: memref<?x?x80x64xf64>, %i: index) {
  // expected-error @+1 {{expected a tile of the packed memory's element type 'f64', got 'f32'}}
  %0 = tile.view %s[%i, %i] valid(%i) : memref<?x?x80x64xf64> -> !tile.tile<512x80xf32, #tile.panels<width = 64, lanes = 16>>
  return
}

// -----

// expected-error @+1 {{expected 1 or more contracted elements side by side, got kpack = 0}}
func.func private @f(!tile.tile<4x4xbf16, #tile.panels<width = 64, lanes = 16, kpack = 0>>)

// -----

// expected-error @+1 {{expected panels of a size that fits in 64 bits, got 4294967296 columns of 4294967296}}
func.func private @f(!tile.tile<4x4xbf16, #tile.panels<width = 4294967296, lanes = 16, kpack = 4294967296>>)

// -----

func.func @f(%s: memref<?x?x80xbf16>, %d: memref<?x?x40x64xbf16>, %i: index) {
  // expected-error @+1 {{expected packed memory whose last dimension is the panels' width 64 times 2, got 'memref<?x?x40x64xbf16>'}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16, kpack = 2> : memref<?x?x80xbf16>, memref<?x?x40x64xbf16>
  return
}

// -----

func.func @f(%s: memref<?x?x81xbf16>, %d: memref<?x?x40x128xbf16>, %i: index) {
  // expected-error @+1 {{expected dimension 2 of packed memory to be 41, the groups of the source's columns, got 40}}
  tile.pack %s[%i, %i, %i] valid(%i) into %d[%i, %i] transposed <width = 64, lanes = 16, kpack = 2> : memref<?x?x81xbf16>, memref<?x?x40x128xbf16>
  return
}

// -----

func.func @f(%a: vector<30xbf16>, %c: vector<16xf32>) {
  // expected-error @+1 {{expected a whole number of products for each of the 16 sums, got 30}}
  %0 = tile.group_dot %a, %a, %c : vector<30xbf16>, vector<16xf32>
  return
}

// -----

func.func @f(%a: vector<32xf32>, %c: vector<16xbf16>) {
  // expected-error @+1 {{expected an accumulator at least as wide as the operands' 'f32', got 'bf16'}}
  %0 = tile.group_dot %a, %a, %c : vector<32xf32>, vector<16xbf16>
  return
}

// -----

// expected-error @+1 {{expected 1 or more lanes, got 0}}
func.func private @f(!tile.tile<24x64xf32, #tile.in_place<lanes = 0>>)

// -----

func.func @f(%m: memref<?x64xf32>, %i: index) {
  // expected-error @+1 {{expected memory of rank 3 or more, got 2}}
  %0 = tile.load %m[%i, %i] grouped : memref<?x64xf32> -> !tile.tile<24x64xf32>
  return
}

// -----

func.func @f(%m: memref<?xf32>, %t: !tile.tile<24xf32>, %i: index) {
  // expected-error @+1 {{expected memory of rank 2 or more, got 1}}
  tile.store %t, %m[%i] grouped : !tile.tile<24xf32>, memref<?xf32>
  return
}

// -----

func.func @f(%s: memref<?x8xi64>, %n: index) {
  // expected-error @+1 {{expected 2 indices for 'memref<?x8xi64>', got 1}}
  tile.cooperate %s[%n] parts(%n) : memref<?x8xi64> {
  ^bb0(%part: index):
  }
  return
}

// -----

func.func @f(%s: memref<8xi64>, %n: index) {
  // expected-error @+1 {{expected one block argument of type index, the number of the part}}
  tile.cooperate %s[%n] parts(%n) : memref<8xi64> {
  ^bb0(%part: i64):
  }
  return
}

// -----

func.func @f(%l: !tile.tile<16x8xbf16>, %r: !tile.tile<8x8xbf16>, %a: !tile.tile<16x8xf32>) {
  // expected-error @+1 {{expected operands and an accumulator of 'f32' to round to tf32, got 'bf16' and 'f32'}}
  %0 = tile.dot %l, %r, %a tf32 : !tile.tile<16x8xbf16>, !tile.tile<8x8xbf16> -> !tile.tile<16x8xf32>
  return
}

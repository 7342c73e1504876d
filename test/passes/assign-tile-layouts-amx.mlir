// RUN: flash-opt %s --assign-tile-layouts="matrix-tiles" | FileCheck %s
// RUN: flash-opt %s --assign-tile-layouts | FileCheck %s --check-prefix=VECTORS

// Products of bf16 into f32: blocks of 2 x 2 tiles, rows of whole blocks of 64 columns worked on in four vectors.
// CHECK-LABEL: @pairs
// CHECK: tile.dot {{.*}} : <128x80xbf16, #tile.registers<rows = 32, vectors = 2, lanes = 16, height = 16>>, <256x80xbf16, #tile.panels<width = 32, lanes = 16, kpack = 2, depth = 32>> -> <128x256xf32, #tile.registers<rows = 32, vectors = 4, lanes = 16, height = 16>>
// VECTORS: tile.dot {{.*}} : <128x80xbf16, #tile.registers<rows = 6
func.func @pairs(%q: !tile.tile<128x80xbf16>, %k: !tile.tile<256x80xbf16>, %z: !tile.tile<128x256xf32>) {
  %s = tile.dot %q, %k, %z transposed : !tile.tile<128x80xbf16>, !tile.tile<256x80xbf16> -> !tile.tile<128x256xf32>
  return
}

// Where one product is of another type, all stay in vectors.
// CHECK-LABEL: @mixed
// CHECK-NOT: height
func.func @mixed(%q: !tile.tile<128x80xbf16>, %k: !tile.tile<256x80xbf16>, %z: !tile.tile<128x256xf32>,
                 %a: !tile.tile<128x80xf32>, %b: !tile.tile<256x80xf32>) {
  %s = tile.dot %q, %k, %z transposed : !tile.tile<128x80xbf16>, !tile.tile<256x80xbf16> -> !tile.tile<128x256xf32>
  %t = tile.dot %a, %b, %s transposed : !tile.tile<128x80xf32>, !tile.tile<256x80xf32> -> !tile.tile<128x256xf32>
  return
}

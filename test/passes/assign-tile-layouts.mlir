// RUN: flash-opt %s --assign-tile-layouts | FileCheck %s --check-prefixes=CHECK,V512
// RUN: flash-opt %s --assign-tile-layouts="vector-bytes=32 vector-registers=16" | FileCheck %s --check-prefixes=CHECK,V256
// RUN: flash-opt %s --assign-tile-layouts="vector-bytes=16 vector-registers=16" | FileCheck %s --check-prefixes=CHECK,V128
// RUN: not flash-opt %s --assign-tile-layouts="vector-bytes=24" 2>&1 | FileCheck %s --check-prefix=BYTES
// RUN: not flash-opt %s --assign-tile-layouts="vector-registers=7" 2>&1 | FileCheck %s --check-prefix=REGISTERS

// BYTES: error: expected vector-bytes to be a power of two of at least 8, got 24
// REGISTERS: error: expected at least 8 vector registers for blocks of 6 rows, got 7

// 32 registers hold 6 x 4 accumulators, 16 hold 6 x 2. Lanes follow from the element type.
// CHECK-LABEL: @scores
// V512: tile.dot {{.*}} : <24x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>, <512x64xf32, #tile.panels<width = 64, lanes = 16>> -> <24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
// V256: tile.dot {{.*}} <512x64xf32, #tile.panels<width = 16, lanes = 8>> -> <24x512xf32, #tile.registers<rows = 6, vectors = 2, lanes = 8>>
// V128: tile.dot {{.*}} <512x64xf32, #tile.panels<width = 8, lanes = 4>> -> <24x512xf32, #tile.registers<rows = 6, vectors = 2, lanes = 4>>
func.func @scores(%q: !tile.tile<24x64xf32>, %k: !tile.tile<512x64xf32>, %z: !tile.tile<24x512xf32>) -> !tile.tile<24x512xf32> {
  %s = tile.dot %q, %k, %z transposed : !tile.tile<24x64xf32>, !tile.tile<512x64xf32> -> !tile.tile<24x512xf32>
  return %s : !tile.tile<24x512xf32>
}

// 80 columns are five vectors of 16: blocks of three and two leave less idle than four and one.
// CHECK-LABEL: @values
// V512: #tile.panels<width = 48, lanes = 16>
// V256: #tile.panels<width = 16, lanes = 8>
func.func @values(%p: !tile.tile<24x512xf32>, %v: !tile.tile<512x80xf32>, %a: !tile.tile<24x80xf32>) {
  %s = tile.dot %p, %v, %a : !tile.tile<24x512xf32>, !tile.tile<512x80xf32> -> !tile.tile<24x80xf32>
  return
}

// CHECK-LABEL: @doubles
// V512: #tile.panels<width = 32, lanes = 8>
// V128: #tile.panels<width = 4, lanes = 2>
func.func @doubles(%q: !tile.tile<24x64xf64>, %k: !tile.tile<512x64xf64>, %z: !tile.tile<24x512xf64>) {
  %s = tile.dot %q, %k, %z transposed : !tile.tile<24x64xf64>, !tile.tile<512x64xf64> -> !tile.tile<24x512xf64>
  return
}

// A tile that is both keys and values is loaded once for each of the two products.
// CHECK-LABEL: @keys_are_values
// V512-DAG: tile.load {{.*}} -> <512x8xf32, #tile.panels<width = 64, lanes = 16>>
// V512-DAG: tile.load {{.*}} -> <512x8xf32, #tile.panels<width = 16, lanes = 16>>
// V512-NOT: tile.load
// CHECK: return
func.func @keys_are_values(%q: !tile.tile<24x8xf32>, %m: memref<512x8xf32>, %z: !tile.tile<24x512xf32>,
                           %acc: !tile.tile<24x8xf32>, %i: index) -> !tile.tile<24x8xf32> {
  %kv = tile.load %m[%i, %i] : memref<512x8xf32> -> !tile.tile<512x8xf32>
  %s = tile.dot %q, %kv, %z transposed : !tile.tile<24x8xf32>, !tile.tile<512x8xf32> -> !tile.tile<24x512xf32>
  %o = tile.dot %s, %kv, %acc : !tile.tile<24x512xf32>, !tile.tile<512x8xf32> -> !tile.tile<24x8xf32>
  return %o : !tile.tile<24x8xf32>
}

// bf16 that is accumulated in f32: as many columns as a vector of sums has, two contracted elements for each.
// CHECK-LABEL: @pairs
// V512: tile.dot {{.*}} : <24x64xbf16, #tile.registers<rows = 6, vectors = 4, lanes = 16>>, <512x64xbf16, #tile.panels<width = 64, lanes = 16, kpack = 2>> -> <24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
// V256: <512x64xbf16, #tile.panels<width = 16, lanes = 8, kpack = 2>>
func.func @pairs(%q: !tile.tile<24x64xbf16>, %k: !tile.tile<512x64xbf16>, %z: !tile.tile<24x512xf32>) {
  %s = tile.dot %q, %k, %z transposed : !tile.tile<24x64xbf16>, !tile.tile<512x64xbf16> -> !tile.tile<24x512xf32>
  return
}

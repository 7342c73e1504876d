// RUN: flash-opt %s | flash-opt | FileCheck %s

// Layouts of a matrix unit: sums in registers of several rows, panels in pieces of some depth.
// CHECK-LABEL: func @layouts
// CHECK-SAME: !tile.tile<128x256xf32, #tile.registers<rows = 32, vectors = 4, lanes = 16, height = 16>>
// CHECK-SAME: !tile.tile<256x64xbf16, #tile.panels<width = 32, lanes = 16, kpack = 2, depth = 32>>
func.func @layouts(%s: !tile.tile<128x256xf32, #tile.registers<rows = 32, vectors = 4, lanes = 16, height = 16>>,
                   %k: !tile.tile<256x64xbf16, #tile.panels<width = 32, lanes = 16, kpack = 2, depth = 32>>) {
  return
}

// What is the least is not printed.
// CHECK-LABEL: func @defaults
// CHECK-SAME: #tile.registers<rows = 6, vectors = 4, lanes = 16>>
// CHECK-SAME: #tile.panels<width = 64, lanes = 16>>
func.func @defaults(%s: !tile.tile<6x64xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16, height = 1>>,
                    %k: !tile.tile<64x64xf32, #tile.panels<width = 64, lanes = 16, kpack = 1, depth = 0>>) {
  return
}

// 40 columns are contracted in two pieces of 32: 32 pairs of rows.
// CHECK-LABEL: func @pack
// CHECK: tile.pack {{.*}} transposed <width = 32, lanes = 16, kpack = 2, depth = 32> : memref<?x?x?x40xbf16>, memref<?x?x?x32x64xbf16>
func.func @pack(%k: memref<?x?x?x40xbf16>, %p: memref<?x?x?x32x64xbf16>, %i: index) {
  tile.pack %k[%i, %i, %i, %i] valid(%i) into %p[%i, %i, %i] transposed <width = 32, lanes = 16, kpack = 2, depth = 32>
      : memref<?x?x?x40xbf16>, memref<?x?x?x32x64xbf16>
  return
}

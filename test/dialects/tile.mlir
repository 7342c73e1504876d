// RUN: flash-opt %s | FileCheck %s
// RUN: flash-opt %s --verify-roundtrip -o %t
// RUN: flash-opt %s | flash-opt | FileCheck %s
// RUN: flash-opt %s --mlir-print-op-generic | flash-opt | FileCheck %s
// RUN: flash-opt %s --emit-bytecode | flash-opt --accept-bytecode | FileCheck %s

// CHECK-LABEL: func @splat
func.func @splat(%x: f32) -> (!tile.tile<24x64xf32>, !tile.tile<24xf32>) {
  // CHECK: tile.splat %{{.*}} : f32 -> <24x64xf32>
  %0 = tile.splat %x : f32 -> !tile.tile<24x64xf32>
  // CHECK: tile.splat %{{.*}} : f32 -> <24xf32>
  %1 = tile.splat %x : f32 -> !tile.tile<24xf32>
  return %0, %1 : !tile.tile<24x64xf32>, !tile.tile<24xf32>
}

// CHECK-LABEL: func @memory
func.func @memory(%m: memref<?x64xbf16, strided<[?, 1]>>, %v: memref<?xf32>, %i: index, %n: index) {
  // CHECK: tile.load %{{.*}}[%{{.*}}, %{{.*}}] valid(%{{.*}}, %{{.*}}) : memref<?x64xbf16, strided<[?, 1]>> -> <24x64xf32>
  %0 = tile.load %m[%i, %i] valid(%n, %n) : memref<?x64xbf16, strided<[?, 1]>> -> !tile.tile<24x64xf32>
  // CHECK: tile.load %{{.*}}[%{{.*}}, %{{.*}}] : memref<?x64xbf16, strided<[?, 1]>> -> <24x64xf32>
  %1 = tile.load %m[%i, %i] : memref<?x64xbf16, strided<[?, 1]>> -> !tile.tile<24x64xf32>
  // CHECK: tile.load %{{.*}}[%{{.*}}] valid(%{{.*}}) : memref<?xf32> -> <24xf32>
  %2 = tile.load %v[%i] valid(%n) : memref<?xf32> -> !tile.tile<24xf32>
  // CHECK: tile.store %{{.*}}, %{{.*}}[%{{.*}}, %{{.*}}] valid(%{{.*}}, %{{.*}}) : <24x64xf32>, memref<?x64xbf16, strided<[?, 1]>>
  tile.store %0, %m[%i, %i] valid(%n, %n) : !tile.tile<24x64xf32>, memref<?x64xbf16, strided<[?, 1]>>
  // CHECK: tile.store %{{.*}}, %{{.*}}[%{{.*}}] : <24xf32>, memref<?xf32>
  tile.store %2, %v[%i] : !tile.tile<24xf32>, memref<?xf32>
  return
}

// CHECK-LABEL: func @dot
// CHECK-SAME: !tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
func.func @dot(%q: !tile.tile<24x64xf32>, %k: !tile.tile<512x64xf32>, %v: !tile.tile<512x64xf32, #tile.panels<width = 64, lanes = 16>>,
               %s: !tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>, %o: !tile.tile<24x64xf32>) {
  // CHECK: tile.dot %{{.*}}, %{{.*}}, %{{.*}} transposed : <24x64xf32>, <512x64xf32> -> <24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
  %0 = tile.dot %q, %k, %s transposed : !tile.tile<24x64xf32>, !tile.tile<512x64xf32>
      -> !tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>
  // CHECK: tile.dot %{{.*}}, %{{.*}}, %{{.*}} skip_zeros
  %1 = tile.dot %0, %v, %o skip_zeros : !tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>,
      !tile.tile<512x64xf32, #tile.panels<width = 64, lanes = 16>> -> !tile.tile<24x64xf32>
  return
}

// CHECK-LABEL: func @map
func.func @map(%s: !tile.tile<24x512xf32>, %m: !tile.tile<24xf32>, %i: index, %j: index) {
  // CHECK: tile.map ins(%{{.*}}, %{{.*}} : !tile.tile<24x512xf32>, !tile.tile<24xf32>) origin(%{{.*}}, %{{.*}}) {
  // CHECK-NEXT: ^bb0(%{{.*}}: f32, %{{.*}}: f32, %{{.*}}: index, %{{.*}}: index):
  %0 = tile.map ins(%s, %m : !tile.tile<24x512xf32>, !tile.tile<24xf32>) origin(%i, %j) {
  ^bb0(%x: f32, %row: f32, %r: index, %c: index):
    %in = arith.cmpi sle, %c, %r : index
    %y = arith.select %in, %x, %row : f32
    // CHECK: tile.yield %{{.*}} : f32
    tile.yield %y : f32
  // CHECK-NEXT: } -> <24x512xf32>
  } -> !tile.tile<24x512xf32>
  // CHECK: tile.map origin(%{{.*}}) {
  %1 = tile.map origin(%i) {
  ^bb0(%r: index):
    %n = arith.index_cast %r : index to i32
    %y = arith.sitofp %n : i32 to bf16
    tile.yield %y : bf16
  } -> !tile.tile<24xbf16>
  return
}

// CHECK-LABEL: func @reduce
func.func @reduce(%x: !tile.tile<24x512xf32>, %m: !tile.tile<24xf32>) {
  // CHECK: tile.reduce max %{{.*}}, %{{.*}} : <24x512xf32> -> <24xf32>
  %0 = tile.reduce max %x, %m : !tile.tile<24x512xf32> -> !tile.tile<24xf32>
  // CHECK: tile.reduce sum %{{.*}}, %{{.*}} : <24x512xf32> -> <24xf32>
  %1 = tile.reduce sum %x, %m : !tile.tile<24x512xf32> -> !tile.tile<24xf32>
  return
}

// CHECK-LABEL: func @pack
func.func @pack(%k: memref<?x?x?x80xbf16>, %kp: memref<?x?x?x80x64xf32>, %vp: memref<?x?x2x?x64xf32>, %b: index, %h: index,
                %j: index, %s: index, %n: index) {
  // CHECK: tile.pack %{{.*}}[%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}] valid(%{{.*}}) into %{{.*}}[%{{.*}}, %{{.*}}, %{{.*}}] transposed <width = 64, lanes = 16>
  // CHECK-SAME: : memref<?x?x?x80xbf16>, memref<?x?x?x80x64xf32>
  tile.pack %k[%b, %h, %j, %j] valid(%n) into %kp[%b, %h, %s] transposed <width = 64, lanes = 16>
      : memref<?x?x?x80xbf16>, memref<?x?x?x80x64xf32>
  // CHECK: tile.pack %{{.*}} into %{{.*}}[%{{.*}}, %{{.*}}, %{{.*}}] <width = 64, lanes = 16>
  tile.pack %k[%b, %h, %j, %j] valid(%n) into %vp[%b, %h, %j] <width = 64, lanes = 16>
      : memref<?x?x?x80xbf16>, memref<?x?x2x?x64xf32>
  // CHECK: tile.view %{{.*}}[%{{.*}}, %{{.*}}, %{{.*}}] valid(%{{.*}}) : memref<?x?x?x80x64xf32> -> <512x80xf32, #tile.panels<width = 64, lanes = 16>>
  %0 = tile.view %kp[%b, %h, %s] valid(%n) : memref<?x?x?x80x64xf32> -> !tile.tile<512x80xf32, #tile.panels<width = 64, lanes = 16>>
  return
}

// Two contracted elements of each column side by side: 81 columns are 41 pairs.
// CHECK-LABEL: func @pairs
func.func @pairs(%k: memref<?x?x?x81xbf16>, %kp: memref<?x?x?x41x128xbf16>, %vp: memref<?x?x2x?x128xbf16>, %b: index,
                 %h: index, %j: index, %s: index, %n: index) {
  // CHECK: tile.pack {{.*}} transposed <width = 64, lanes = 16, kpack = 2> : memref<?x?x?x81xbf16>, memref<?x?x?x41x128xbf16>
  tile.pack %k[%b, %h, %j, %j] valid(%n) into %kp[%b, %h, %s] transposed <width = 64, lanes = 16, kpack = 2>
      : memref<?x?x?x81xbf16>, memref<?x?x?x41x128xbf16>
  // CHECK: tile.pack {{.*}} <width = 64, lanes = 16, kpack = 2> : memref<?x?x?x81xbf16>, memref<?x?x2x?x128xbf16>
  tile.pack %k[%b, %h, %j, %j] valid(%n) into %vp[%b, %h, %j] <width = 64, lanes = 16, kpack = 2>
      : memref<?x?x?x81xbf16>, memref<?x?x2x?x128xbf16>
  // CHECK: tile.view {{.*}} -> <512x81xbf16, #tile.panels<width = 64, lanes = 16, kpack = 2>>
  %0 = tile.view %kp[%b, %h, %s] valid(%n)
      : memref<?x?x?x41x128xbf16> -> !tile.tile<512x81xbf16, #tile.panels<width = 64, lanes = 16, kpack = 2>>
  return
}

// CHECK-LABEL: func @group_dot
func.func @group_dot(%a: vector<32xbf16>, %b: vector<32xbf16>, %c: vector<16xf32>) -> vector<16xf32> {
  // CHECK: tile.group_dot %{{.*}}, %{{.*}}, %{{.*}} : vector<32xbf16>, vector<16xf32>
  %0 = tile.group_dot %a, %b, %c : vector<32xbf16>, vector<16xf32>
  return %0 : vector<16xf32>
}

// RUN: flash-opt %s --assign-tile-layouts --lower-tiles-to-vector | FileCheck %s
// RUN: flash-opt %s --assign-tile-layouts | FileCheck %s --check-prefix=LAYOUT

// Keys that are read once are read where they lie, in their own type; 16 sums at a time are added up together.
// LAYOUT-LABEL: func @scores
// LAYOUT: tile.load %{{.*}} streamed {{.*}} -> <256x64xf32, #tile.in_place<lanes = 16>>
// CHECK-LABEL: func @scores
// CHECK-SAME: (%{{.*}}: memref<16x64xf32>, %[[K:.*]]: memref<?x64xbf16, strided<[?, 1]>>, %{{.*}}: memref<16x256xf32>, %[[N:.*]]: index)
func.func @scores(%q: memref<16x64xf32>, %k: memref<?x64xbf16, strided<[?, 1]>>, %s: memref<16x256xf32>, %n: index) {
  %zero = arith.constant 0 : index
  %d = arith.constant 64 : index
  %none = arith.constant 0.0 : f32
  %q_tile = tile.load %q[%zero, %zero] : memref<16x64xf32> -> !tile.tile<16x64xf32>
  // Fewer keys than a vector has lanes are copied and padded, so that whole vectors of scores can be computed.
  // CHECK: %[[ENOUGH:.*]] = arith.cmpi sge, %[[N]], %c16{{.*}}
  // CHECK: %[[KEYS:.*]] = scf.if %[[ENOUGH]] -> (memref<?x?xbf16, strided<[?, 1], offset: ?>>)
  // CHECK:   memref.reinterpret_cast
  // CHECK: } else {
  // CHECK:   memref.store {{.*}} : memref<256x64xbf16>
  %k_tile = tile.load %k[%zero, %zero] streamed valid(%n, %d) : memref<?x64xbf16, strided<[?, 1]>> -> !tile.tile<256x64xf32>
  %acc = tile.splat %none : f32 -> !tile.tile<16x256xf32>
  // Blocks of 4 rows and 4 keys, one of each quarter of the keys: four streams of a multiple of 4 keys each.
  // CHECK: %[[SIXTEENTHS:.*]] = arith.divui %[[N]], %c16
  // CHECK: %[[LENGTH:.*]] = arith.muli %[[SIXTEENTHS]], %c4
  // CHECK: scf.for %[[FIRST:.*]] =
  // CHECK:   scf.for %[[T:.*]] =
  // CHECK:     arith.addi %[[FIRST]], %[[T]]
  // CHECK:     scf.for
  // CHECK:       %{{.*}}:16 = scf.for
  // CHECK:         memref.prefetch %[[KEYS]]{{.*}}, read, locality<2>, data
  // CHECK:         %[[NARROW:.*]] = vector.load %[[KEYS]]{{.*}} vector<16xbf16>
  // CHECK:         %[[WIDE:.*]] = arith.extf %[[NARROW]] : vector<16xbf16> to vector<16xf32>
  // CHECK:         vector.fma %{{.*}}, %[[WIDE]], %{{.*}} : vector<16xf32>
  // Four blocks' scores, transposed, are four neighbouring keys' of each row and stream.
  // CHECK:   scf.for
  // CHECK:     vector.shuffle %{{.*}}, %{{.*}} [0, 16, 2, 18, 4, 20, 6, 22,
  // CHECK:     vector.extract_strided_slice {{.*}} sizes = [4]
  // What 16 keys a time leave over: neighbours, the last ones twice.
  // CHECK: scf.for
  // CHECK:   scf.for
  // CHECK:     scf.for
  // CHECK:       %{{.*}}:16 = scf.for
  // CHECK:       vector.shuffle
  // CHECK:       vector.extract_strided_slice {{.*}} sizes = [4]
  // Single rows.
  // CHECK: scf.for
  // CHECK:   scf.for
  // CHECK:     scf.for
  // CHECK:       vector.fma
  // CHECK:       vector.store
  // CHECK:     vector.shuffle
  %scores = tile.dot %q_tile, %k_tile, %acc transposed : !tile.tile<16x64xf32>, !tile.tile<256x64xf32> -> !tile.tile<16x256xf32>
  tile.store %scores, %s[%zero, %zero] : !tile.tile<16x256xf32>, memref<16x256xf32>
  return
}

// Values of any strides: where columns are not contiguous they are copied. What is masked is not added at all.
// CHECK-LABEL: func @values
// CHECK-SAME: (%{{.*}}: memref<16x256xf32>, %[[V:.*]]: memref<?x80xf16, strided<[?, ?]>>
func.func @values(%p: memref<16x256xf32>, %v: memref<?x80xf16, strided<[?, ?]>>, %o: memref<16x80xf32>, %n: index) {
  %zero = arith.constant 0 : index
  %d = arith.constant 80 : index
  %p_tile = tile.load %p[%zero, %zero] : memref<16x256xf32> -> !tile.tile<16x256xf32>
  // CHECK: %{{.*}}, %{{.*}}, %{{.*}}:2, %[[STRIDES:.*]]:2 = memref.extract_strided_metadata %[[V]]
  // CHECK: %[[UNIT:.*]] = arith.cmpi eq, %[[STRIDES]]#1, %c1
  // CHECK: %[[ROWS:.*]] = scf.if %[[UNIT]]
  %v_tile = tile.load %v[%zero, %zero] streamed valid(%n, %d) : memref<?x80xf16, strided<[?, ?]>> -> !tile.tile<256x80xf32>
  %acc = tile.load %o[%zero, %zero] : memref<16x80xf32> -> !tile.tile<16x80xf32>
  // CHECK: vector.load %[[ROWS]]{{.*}} vector<16xf16>
  // CHECK: %[[USED:.*]] = arith.cmpf une
  // CHECK: %[[MORE:.*]] = vector.fma
  // CHECK: arith.select %[[USED]], %[[MORE]]
  %out = tile.dot %p_tile, %v_tile, %acc skip_zeros : !tile.tile<16x256xf32>, !tile.tile<256x80xf32> -> !tile.tile<16x80xf32>
  tile.store %out, %o[%zero, %zero] : !tile.tile<16x80xf32>, memref<16x80xf32>
  return
}

// Where widening takes as long as multiplying, it is done once for all rows, half rows at a time; the first half's pass
// asks for the second half's lines.
// CHECK-LABEL: func @widened_once
// CHECK-SAME: (%{{.*}}: memref<16x256xf32>, %[[V:.*]]: memref<?x128xf16, strided<[?, 1]>>
// CHECK:       scf.for %[[HALF:.*]] = %c0{{.*}} to %c128{{.*}} step %c64
// CHECK:         %{{.*}}:16 = scf.for
// CHECK:           memref.prefetch {{.*}} locality<3>
// CHECK:           arith.extf {{.*}} : vector<16xf16> to vector<16xf32>
// CHECK:           arith.extf
// CHECK:           memref.prefetch {{.*}} locality<3>
// CHECK:           arith.extf
// CHECK:           arith.extf
// CHECK-COUNT-16:  vector.fma
// A row of its own asks for a line a key.
// CHECK:         %{{.*}}:8 = scf.for
// CHECK:           memref.prefetch {{.*}} locality<2>
// CHECK-NOT:       memref.prefetch
// CHECK-COUNT-8:   vector.fma
func.func @widened_once(%p: memref<16x256xf32>, %v: memref<?x128xf16, strided<[?, 1]>>, %o: memref<16x128xf32>, %n: index) {
  %zero = arith.constant 0 : index
  %d = arith.constant 128 : index
  %p_tile = tile.load %p[%zero, %zero] : memref<16x256xf32> -> !tile.tile<16x256xf32>
  %v_tile = tile.load %v[%zero, %zero] streamed valid(%n, %d) : memref<?x128xf16, strided<[?, 1]>> -> !tile.tile<256x128xf32>
  %acc = tile.load %o[%zero, %zero] : memref<16x128xf32> -> !tile.tile<16x128xf32>
  %out = tile.dot %p_tile, %v_tile, %acc : !tile.tile<16x256xf32>, !tile.tile<256x128xf32> -> !tile.tile<16x128xf32>
  tile.store %out, %o[%zero, %zero] : !tile.tile<16x128xf32>, memref<16x128xf32>
  return
}

// The rows of several heads.
// CHECK-LABEL: func @grouped
// CHECK-SAME: (%[[Q:.*]]: memref<?x?x64xf32>, %[[OUT:.*]]: memref<?x?x64xf32>
func.func @grouped(%q: memref<?x?x64xf32>, %out: memref<?x?x64xf32>, %n: index) {
  %zero = arith.constant 0 : index
  %d = arith.constant 64 : index
  // CHECK: scf.for %[[R:.*]] =
  // CHECK: %[[QUERIES:.*]] = memref.dim %[[Q]], %c1
  // CHECK: %[[HEAD:.*]] = arith.divui %[[R]], %[[QUERIES]]
  // CHECK: %[[WHOLE:.*]] = arith.muli %[[HEAD]], %[[QUERIES]]
  // CHECK: %[[QUERY:.*]] = arith.subi %[[R]], %[[WHOLE]]
  // CHECK: vector.load %[[Q]][%[[HEAD]], %[[QUERY]], %{{.*}}]
  %tile = tile.load %q[%zero, %zero, %zero] grouped valid(%n, %d) : memref<?x?x64xf32> -> !tile.tile<16x64xf32>
  // CHECK: vector.store %{{.*}}, %[[OUT]][%{{.*}}, %{{.*}}, %{{.*}}]
  tile.store %tile, %out[%zero, %zero, %zero] grouped valid(%n, %d) : !tile.tile<16x64xf32>, memref<?x?x64xf32>
  return
}

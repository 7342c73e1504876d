// RUN: flash-opt %s --split-input-file --verify-diagnostics --plan-workspace

func.func @in_a_loop(%x: memref<?xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-note @below {{it is inside this operation}}
  scf.for %i = %c0 to %n step %c1 {
    // expected-error @below {{is not at the top level of function 'in_a_loop'}}
    %t = memref.alloc() : memref<8xf32>
  }
  return
}

// -----

func.func @depends_on_data(%x: memref<?xindex>) {
  %c0 = arith.constant 0 : index
  // expected-note @below {{through this operation}}
  %n = memref.load %x[%c0] : memref<?xindex>
  // expected-error @below {{has a size that depends on more than constants and the sizes of arguments}}
  %t = memref.alloc(%n) : memref<?xf32>
  return
}

// -----

func.func @too_large() {
  // expected-error @below {{has more bytes than 64 bits can count: 'memref<4294967296x4294967296xf32>'}}
  %t = memref.alloc() : memref<4294967296x4294967296xf32>
  return
}

// -----

func.func @strided(%n: index) {
  // expected-error @below {{has a layout; a view of the workspace is contiguous}}
  %t = memref.alloc(%n) : memref<?x4xf32, strided<[8, 1]>>
  return
}

// -----

func.func @aligned_to_a_page() {
  // expected-error @below {{asks for an alignment of 4096 bytes; the workspace is aligned to 64}}
  %t = memref.alloc() {alignment = 4096} : memref<4xf32>
  return
}

// -----

func.func @memrefs() {
  // expected-error @below {{has elements of type 'memref<4xf32>', which the workspace cannot hold}}
  %t = memref.alloc() : memref<2xmemref<4xf32>>
  return
}

// RUN: flash-opt %s --split-input-file --verify-diagnostics

// expected-error@+1 {{expected a pipe of tiles of rank 2, got rank 1}}
func.func private @rows(!tile.pipe<128xbf16, #tile.shared<panel = 128>>)

// -----

// expected-error@+1 {{expected a pipe of tiles with a layout in shared memory, got '!tile.tile<128x64xbf16>'}}
func.func private @layout(!tile.pipe<128x64xbf16>)

// -----

func.func @stages() {
  // expected-error@+1 {{expected 1 to 16 stages, got 0}}
  %p = tile.pipe stages 0 : !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
  return
}

// -----

func.func @map_rank(%m: memref<?xbf16>) {
  // expected-error@+1 {{expected memory of rank 2 to 5 with floating-point elements, got 'memref<?xbf16>'}}
  %map, %usable = tile.tensor_map %m rows 128 <panel = 128> : memref<?xbf16>
  return
}

// -----

func.func @map_rows(%m: memref<?x64xbf16>) {
  // expected-error@+1 {{expected boxes of 1 to 256 rows, got 257}}
  %map, %usable = tile.tensor_map %m rows 257 <panel = 128> : memref<?x64xbf16>
  return
}

// -----

func.func @threads() {
  // expected-error@+1 {{expected consumers of whole warpgroups of 128 threads, got 96 threads}}
  tile.roles producer threads 128 {
  } consumers threads 96 {
  }
  return
}

// -----

func.func @registers() {
  // expected-error@+1 {{expected a multiple of 8 from 24 to 256 registers for a producer, got 20}}
  tile.roles producer threads 128 registers 20 {
  } consumers threads 256 registers 240 {
  }
  return
}

// -----

func.func @one_number() {
  // expected-error@+1 {{expected a number of registers for both roles or for none}}
  tile.roles producer threads 128 {
  } consumers threads 256 registers 240 {
  }
  return
}

// -----

!pipe = !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
func.func @pop_in_producer(%i: index) {
  %p = tile.pipe stages 2 : !pipe
  tile.roles producer threads 128 {
    // expected-error@+1 {{expected to be in the region of the consumers of 'tile.roles'}}
    %t = tile.pop %p at %i : !pipe -> !tile.tile<128x64xbf16, #tile.shared<panel = 128>>
  } consumers threads 128 {
  }
  return
}

// -----

!pipe = !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
func.func @push_alone(%m: memref<?x64xbf16>, %i: index) {
  %p = tile.pipe stages 2 : !pipe
  // expected-error@+1 {{expected to be in the region of the producer of 'tile.roles'}}
  tile.push %m[%i, %i] into %p at %i : memref<?x64xbf16>, !pipe
  return
}

// -----

!pipe = !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
func.func @push_offsets(%m: memref<?x64xbf16>, %i: index) {
  %p = tile.pipe stages 2 : !pipe
  tile.roles producer threads 128 {
    // expected-error@+1 {{expected 2 offsets, one a dimension of the memory, got 1}}
    tile.push %m[%i] into %p at %i : memref<?x64xbf16>, !pipe
  } consumers threads 128 {
  }
  return
}

// -----

!pipe = !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
func.func @push_elements(%m: memref<?x64xf16>, %i: index) {
  %p = tile.pipe stages 2 : !pipe
  %map, %usable = tile.tensor_map %m rows 128 <panel = 128> : memref<?x64xf16>
  tile.roles producer threads 128 {
    // expected-error@+1 {{expected a copy unit's memory to have the tile's elements 'bf16', got 'f16'}}
    tile.push %m[%i, %i] into %p at %i by %map if %usable : memref<?x64xf16>, !pipe
  } consumers threads 128 {
  }
  return
}

// -----

!pipe = !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
func.func @push_wide(%m: memref<?x64xf32>, %i: index) {
  %p = tile.pipe stages 2 : !pipe
  tile.roles producer threads 128 {
    // expected-error@+1 {{expected a tile at least as wide as the memory's 'f32', got 'bf16'}}
    tile.push %m[%i, %i] into %p at %i : memref<?x64xf32>, !pipe
  } consumers threads 128 {
  }
  return
}

// -----

!pipe = !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
func.func @push_map(%m: memref<?x64xbf16>, %map: !tile.tensor_map, %i: index) {
  %p = tile.pipe stages 2 : !pipe
  tile.roles producer threads 128 {
    // expected-error@+1 {{expected a map and whether it is usable, or neither}}
    "tile.push"(%m, %i, %i, %p, %i, %map) {operandSegmentSizes = array<i32: 1, 2, 0, 1, 1, 1, 0>} : (memref<?x64xbf16>, index, index, !pipe, index, !tile.tensor_map) -> ()
  } consumers threads 128 {
  }
  return
}

// -----

!pipe = !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
func.func @pop_type(%i: index) {
  %p = tile.pipe stages 2 : !pipe
  tile.roles producer threads 128 {
  } consumers threads 128 {
    // expected-error@+1 {{expected the pipe's '!tile.tile<128x64xbf16, #tile.shared<panel = 128>>', got '!tile.tile<64x64xbf16, #tile.shared<panel = 128>>'}}
    %t = tile.pop %p at %i : !pipe -> !tile.tile<64x64xbf16, #tile.shared<panel = 128>>
  }
  return
}

// -----

func.func @arrivals(%bars: memref<?xi64, 3>, %i: index) {
  // expected-error@+1 {{expected 1 to 1048575 arrivals, got 0}}
  tile.mbarrier_init %bars[%i] arrivals 0 : memref<?xi64, 3>
  return
}

// -----

func.func @bytes(%bars: memref<?xi64, 3>, %i: index) {
  // expected-error@+1 {{expected 1 to 1048575 bytes, got 1048576}}
  tile.mbarrier_arrive %bars[%i] bytes 1048576 : memref<?xi64, 3>
  return
}

// -----

func.func @coordinates(%map: !tile.tensor_map, %m: memref<?xbf16, 3>, %bars: memref<?xi64, 3>, %i: index) {
  // expected-error@+1 {{expected 1 to 5 coordinates, got 6}}
  tile.copy_box %map[%i, %i, %i, %i, %i, %i], %m[%i] arrives %bars[%i] : memref<?xbf16, 3>, memref<?xi64, 3>
  return
}

// -----

func.func @barrier_number() {
  // expected-error@+1 {{expected a barrier from 0 to 15, got 16}}
  tile.barrier 16 threads 128
  return
}

// -----

func.func @barrier_threads() {
  // expected-error@+1 {{expected a multiple of 32 threads up to 1024, got 100}}
  tile.barrier 1 threads 100
  return
}

// -----

func.func @set_registers() {
  // expected-error@+1 {{expected a multiple of 8 from 24 to 256 registers, got 260}}
  tile.set_registers 260 increase
  return
}

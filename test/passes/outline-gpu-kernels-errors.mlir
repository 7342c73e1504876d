// RUN: flash-opt %s --outline-gpu-kernels=shared-bytes=1024 --split-input-file --verify-diagnostics

func.func @threads(%n: index) {
  // expected-error@+1 {{'scf.forall' op has no 'flashc.threads', the number of threads of a block, whose code its body is}}
  scf.forall (%i) in (%n) {
  }
  return
}

// -----

func.func @too_many_threads(%n: index) {
  // expected-error@+1 {{asks for 2048 threads a block; expected 1 to 1024}}
  scf.forall (%i) in (%n) {
  } {flashc.threads = 2048 : i64}
  return
}

// -----

func.func @shared(%n: index) {
  // expected-error@+1 {{needs 2048 bytes of shared memory; a block of this target has at most 1024: choose smaller tiles}}
  scf.forall (%i) in (%n) {
  } {flashc.threads = 32 : i64, flashc.shared_bytes = 2048 : i64}
  return
}

// -----

func.func @negative(%n: index) {
  // expected-error@+1 {{asks for -1 bytes of shared memory; expected none or more}}
  scf.forall (%i) in (%n) {
  } {flashc.threads = 32 : i64, flashc.shared_bytes = -1 : i64}
  return
}

// -----

func.func @capture(%v: vector<4xf32>, %x: memref<?xvector<4xf32>>, %n: index) {
  // expected-error@+1 {{captures a value of type 'vector<4xf32>'; a kernel takes numbers of 8 to 64 bits and strided memrefs in global memory}}
  scf.forall (%i) in (%n) {
    memref.store %v, %x[%i] : memref<?xvector<4xf32>>
  } {flashc.threads = 32 : i64}
  return
}

// -----

func.func @host(%x: memref<?xindex>, %y: memref<?xf32>) {
  %one = arith.constant 1.0 : f32
  %zero = arith.constant 0 : index
  // expected-error@+1 {{reads or writes the device's memory on the host; only the loops of blocks may}}
  %n = memref.load %x[%zero] : memref<?xindex>
  scf.forall (%i) in (%n) {
    memref.store %one, %y[%i] : memref<?xf32>
  } {flashc.threads = 32 : i64}
  return
}

// -----

// expected-error@+1 {{returns 1 values; a kernel returns none, and writes its results}}
func.func @returns(%n: index) -> index {
  return %n : index
}

// -----

func.func private @callee(index)

func.func @calls(%n: index) {
  scf.forall (%i) in (%n) {
    // expected-error@+1 {{calls a function of the host in a kernel; inline it first}}
    func.call @callee(%i) : (index) -> ()
  } {flashc.threads = 32 : i64}
  return
}

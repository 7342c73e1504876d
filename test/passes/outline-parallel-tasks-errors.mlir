// RUN: flash-opt %s --split-input-file --verify-diagnostics --outline-parallel-tasks

func.func @results(%t: tensor<8xf32>) -> tensor<8xf32> {
  // expected-error @below {{has 1 results; only a loop without results can become parallel tasks}}
  %r = scf.forall (%i) in (8) shared_outs(%o = %t) -> (tensor<8xf32>) {
    scf.forall.in_parallel {
      tensor.parallel_insert_slice %t into %o[0] [8] [1] : tensor<8xf32> into tensor<8xf32>
    }
  }
  return %r : tensor<8xf32>
}

// -----

func.func @captures_a_tensor(%t: tensor<8xf32>, %x: memref<8xf32>) {
  // expected-error @below {{captures a value of type 'tensor<8xf32>', which has no form in memory}}
  scf.forall (%i) in (8) {
    %v = tensor.extract %t[%i] : tensor<8xf32>
    memref.store %v, %x[%i] : memref<8xf32>
  }
  return
}

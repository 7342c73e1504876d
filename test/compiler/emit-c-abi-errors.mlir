// RUN: flash-opt %s --split-input-file --verify-diagnostics --emit-c-abi

// expected-error @below {{has no 'unplanned_workspace_bytes' beside it; run plan-workspace first}}
func.func @unplanned(%x: memref<4xf32>) {
  return
}

// -----

func.func private @taken_workspace_bytes(%x: memref<4xf32>) -> index
// expected-error @below {{has the name that the C function 'taken_run' needs}}
func.func private @taken_run()
func.func @taken(%x: memref<4xf32>) {
  return
}

// -----

// expected-error @below {{has argument 0 of type 'tensor<4xf32>'; a kernel's operands are memrefs}}
func.func @tensors(%x: tensor<4xf32>) {
  return
}

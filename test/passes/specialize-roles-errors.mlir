// RUN: not flash-opt %s --specialize-roles=stages=0 2>&1 | FileCheck %s

// CHECK: expected stages to be 1 to 16, got 0
func.func @f() {
  return
}

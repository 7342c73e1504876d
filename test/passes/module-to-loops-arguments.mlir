// A caller's arrays are only read, and a result has memory of its own.
// RUN: flash-opt %s --module-to-loops | FileCheck %s

// CHECK-LABEL: func @overwrites
// CHECK-SAME:  %[[X:.*]]: memref<3xf32>{{.*}}, %[[Y:.*]]: memref<3xf32>{{.*}}, %[[OUT:.*]]: memref<3xf32>
// CHECK-NOT:   memref.store %{{.*}}, %[[Y]]
// CHECK-NOT:   vector.store %{{.*}}, %[[Y]]
// CHECK:       return
func.func @overwrites(%x: tensor<3xf32>, %y: tensor<3xf32>) -> tensor<3xf32> {
  %0 = linalg.add ins(%x, %y : tensor<3xf32>, tensor<3xf32>) outs(%y : tensor<3xf32>) -> tensor<3xf32>
  return %0 : tensor<3xf32>
}

// CHECK-LABEL: func @returns_its_argument
// CHECK-SAME:  %[[X:.*]]: memref<3xf32>{{.*}}, %[[OUT:.*]]: memref<3xf32>
// CHECK:       %[[V:.*]] = vector.load %[[X]]
// CHECK:       vector.store %[[V]], %[[OUT]]
// CHECK-NOT:   memref.store %{{.*}}, %[[X]]
func.func @returns_its_argument(%x: tensor<3xf32>) -> tensor<3xf32> {
  return %x : tensor<3xf32>
}

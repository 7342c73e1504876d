//===- MemRefPointers.h - Pointers to what memrefs hold -------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Pointers for LLVM's operations, of memory that is still a memref. They are taken out of the memref's descriptor:
/// upstream folds `memref.extract_aligned_pointer_as_index` of a `memref.view` into that of its source, and loses the
/// view's shift.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_MEMREFPOINTERS_H
#define FLASHC_PASSES_MEMREFPOINTERS_H

#include "mlir/IR/Builders.h"

namespace flashc {

/// The pointer that the offset of `memref` counts from, whether its type knows the offset or not: that of its first
/// element only where the offset is zero.
mlir::Value getAlignedPointer(mlir::OpBuilder &b, mlir::Location loc, mlir::Value memref);

/// The pointer to the first element of `memref`, which is strided: all of its offset is included.
mlir::Value getFirstPointer(mlir::OpBuilder &b, mlir::Location loc, mlir::Value memref);

} // namespace flashc

#endif // FLASHC_PASSES_MEMREFPOINTERS_H

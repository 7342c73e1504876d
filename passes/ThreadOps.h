//===- ThreadOps.h - Thread operations of the Tile dialect in LLVM's ------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What the conversions to NVVM and ROCDL share: addresses of elements, aligned vectors in memory, bits of vectors.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_THREADOPS_H
#define FLASHC_PASSES_THREADOPS_H

#include "dialects/Tile/Tile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"

namespace flashc {

/// The address of element `index` of one-dimensional memory. `parted`: what the index adds last and is constant, the
/// address does, too, for a code generator that would take them for one number, and keep a register for each sum: an
/// instruction has room for the constant.
mlir::Value getElementPointer(mlir::OpBuilder &b, mlir::Location loc, mlir::Value memory, mlir::Value index,
                              bool parted = false);

/// Replaces `tile.vector_load` and `tile.vector_store` by LLVM's loads and stores, aligned to the vectors' sizes.
void lowerVectorAccess(tile::VectorLoadOp op, bool parted = false);
void lowerVectorAccess(tile::VectorStoreOp op, bool parted = false);

/// A vector's bits as elements of `element`, one value each.
llvm::SmallVector<mlir::Value> takeApart(mlir::OpBuilder &b, mlir::Location loc, mlir::Value vector,
                                         mlir::Type element);

/// `values`, of one scalar type, as a vector of `type`, which has as many bits.
mlir::Value putTogether(mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange values, mlir::VectorType type);

} // namespace flashc

#endif // FLASHC_PASSES_THREADOPS_H

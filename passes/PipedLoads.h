//===- PipedLoads.h - Which loads threads of their own can do -------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_PIPEDLOADS_H
#define FLASHC_PASSES_PIPEDLOADS_H

#include "dialects/Tile/Tile.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace flashc {

/// The loads of a block of threads that a producer can do: of 16-bit elements to shared memory, for products alone.
/// None where the block is no whole number of warpgroups, or where no such load is repeated in a loop, so that a
/// producer would have nothing to do beside the products.
llvm::SmallVector<tile::LoadOp> findPipedLoads(mlir::scf::ForallOp loop);

/// The memory that `memory` is a view of whose last two dimensions are that memory's, unchanged in stride.
mlir::Value getViewedMemory(mlir::Value memory);

/// The same, and an access at `offsets` as one of that memory; `b` computes its offsets.
mlir::Value resolveViews(mlir::OpBuilder &b, mlir::Location loc, mlir::Value memory,
                         llvm::SmallVectorImpl<mlir::Value> &offsets);

} // namespace flashc

#endif // FLASHC_PASSES_PIPEDLOADS_H

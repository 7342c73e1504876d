//===- GpuUnits.h - The fragments of GPUs' matrix units -------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Which thread holds which element of a product's operands, for each unit that products are done with.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_GPUUNITS_H
#define FLASHC_PASSES_GPUUNITS_H

#include "dialects/Tile/Tile.h"
#include "runtime/GpuTilePlan.h"

#include <optional>

namespace flashc {

/// "none", "mma", "wgmma", "mfma", "wmma".
std::optional<MatrixUnit> parseMatrixUnit(llvm::StringRef name);
llvm::StringRef toString(MatrixUnit unit);

/// The unit that a pass's option `matrix-unit` names; an unknown one is an error at `op`.
mlir::FailureOr<MatrixUnit> readMatrixUnit(mlir::Operation *op, llvm::StringRef name);

/// The accumulators of a product, on `warps` subgroups of `subgroupSize` threads, of tiles of `rows` rows: their blocks
/// are the unit's (runtime/GpuTilePlan.h).
tile::FragmentLayoutAttr getAccumulatorLayout(mlir::MLIRContext *context, MatrixUnit unit, unsigned subgroupSize,
                                              int64_t warps, int64_t rows);

/// The left-hand side of a product that has `accumulators`, of elements of `elementBytes`; null for MatrixUnit::None,
/// which reads it from shared memory. `transposed` is whether the right-hand side is: both sides then come from memory
/// along the contraction, while weights are what a thread holds of the scores. Of NVIDIA's tf32 these are not the same.
tile::FragmentLayoutAttr getLhsLayout(MatrixUnit unit, tile::FragmentLayoutAttr accumulators, int64_t elementBytes,
                                      bool transposed);

/// The right-hand side of an instruction, whose rows are the product's columns and whose columns are the steps of its
/// contraction; null for what units load as matrices.
tile::FragmentLayoutAttr getRhsLayout(MatrixUnit unit, tile::FragmentLayoutAttr accumulators, int64_t elementBytes,
                                      bool transposed);

/// Rows, columns and contraction of one `tile.mma`; empty for MatrixUnit::None.
llvm::SmallVector<int64_t, 3> getInstructionShape(MatrixUnit unit, tile::FragmentLayoutAttr accumulators,
                                                  int64_t elementBytes);

/// The accumulators of products by single multiply-adds: eight threads side by side, the others of a subgroup below
/// each other, and each with a block of its own.
tile::FragmentLayoutAttr getElementLayout(mlir::MLIRContext *context, ElementBlock block, unsigned subgroupSize,
                                          int64_t warps);

/// For tiles of `columns` elements of `bytes` that no product makes or reads: a subgroup has whole rows, of which
/// neighbouring threads hold neighbouring pieces of at most sixteen bytes.
tile::FragmentLayoutAttr getRowLayout(mlir::MLIRContext *context, int64_t columns, int64_t bytes, unsigned subgroupSize,
                                      int64_t warps);

/// How `shape`'s tile of elements of `elementBytes` lies in shared memory: panels as wide as its rows - its columns,
/// where it is `transposed` -, at most 128 bytes; `unit` reads it.
tile::SharedLayoutAttr getSharedLayout(mlir::MLIRContext *context, llvm::ArrayRef<int64_t> shape, int64_t elementBytes,
                                       MatrixUnit unit, bool transposed);

} // namespace flashc

#endif // FLASHC_PASSES_GPUUNITS_H

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
#include "passes/GpuCapabilities.h"

#include <optional>

namespace flashc {

/// What a warpgroup multiplies at once: rows, the most columns of the right-hand side, steps of the contraction.
inline constexpr int64_t kWarpgroupRows = 64, kWarpgroupColumns = 256, kWarpgroupSteps = 16;

/// "none", "mma", "wgmma", "mfma", "wmma".
std::optional<MatrixUnit> parseMatrixUnit(llvm::StringRef name);
llvm::StringRef toString(MatrixUnit unit);

/// The unit that a pass's option `matrix-unit` names; an unknown one is an error at `op`.
mlir::FailureOr<MatrixUnit> readMatrixUnit(mlir::Operation *op, llvm::StringRef name);

/// The accumulators of a product, on `warps` subgroups of `subgroupSize` threads. `rows` are the tile's, where a unit
/// has instructions of several heights: fewer than four subgroups of the higher ones take the lower ones.
tile::FragmentLayoutAttr getAccumulatorLayout(mlir::MLIRContext *context, MatrixUnit unit, unsigned subgroupSize,
                                              int64_t warps, int64_t rows);

/// The left-hand side of a product that has `accumulators`; null for MatrixUnit::None, which reads it from shared
/// memory.
tile::FragmentLayoutAttr getLhsLayout(MatrixUnit unit, tile::FragmentLayoutAttr accumulators);

/// The unit for a tile of `rows` rows, where `available` is the best one there is: fewer rows than a warpgroup's are
/// left to its warps.
MatrixUnit getUnitForRows(MatrixUnit available, int64_t rows);

/// The right-hand side of an instruction, whose rows are the product's columns and whose columns are the steps of its
/// contraction; null for units that load it as matrices.
tile::FragmentLayoutAttr getRhsLayout(MatrixUnit unit, tile::FragmentLayoutAttr accumulators);

/// Rows, columns and contraction of one `tile.mma`; empty for MatrixUnit::None.
llvm::SmallVector<int64_t, 3> getInstructionShape(MatrixUnit unit, tile::FragmentLayoutAttr accumulators);

/// Whether a unit takes the right-hand side with the elements of a column as neighbours, whichever way it comes.
inline bool takesColumns(MatrixUnit unit) { return unit == MatrixUnit::Mfma || unit == MatrixUnit::Wmma; }

/// How `shape`'s tile of elements of `elementBytes` lies in shared memory: panels as wide as its rows - its columns,
/// where it is `transposed` -, at most 128 bytes; `unit` reads it.
tile::SharedLayoutAttr getSharedLayout(mlir::MLIRContext *context, llvm::ArrayRef<int64_t> shape, int64_t elementBytes,
                                       MatrixUnit unit, bool transposed);

} // namespace flashc

#endif // FLASHC_PASSES_GPUUNITS_H

//===- LowerTiles.h - Tiles on a CPU --------------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The parts of lower-tiles-to-vector: where a tile lives, and one emitter for each kind of operation. A tile lives in
/// a row-major scratch buffer on the task's stack, sized to stay in the first or second cache level, or packed in
/// memory.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_LOWERTILES_H
#define FLASHC_PASSES_LOWERTILES_H

#include "dialects/Tile/Tile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "passes/ConvertFloat.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Builders.h"

namespace flashc::cpu {

/// Where a tile's elements are.
struct TileBuffer {
  /// Scratch: memref<rows x padded columns> (memref<rows> for one element a row). Packed: the memory of `tile.pack`.
  mlir::Value memory;
  /// The tile is this scalar everywhere and has no memory.
  mlir::Value splat;
  /// How many rows and columns exist (index); null: all of the tile's.
  mlir::Value rows, columns;
  /// Packed: which strip (transposed) or first key (not transposed) `memory` is read at. In place: the tile's offsets
  /// in `memory`.
  llvm::SmallVector<mlir::Value> indices;
};

/// Register blocking of a matrix tile: `rows` x (`vectors` * `lanes`) accumulators.
struct RegisterBlock {
  int64_t rows, vectors, lanes;
  int64_t columns() const { return vectors * lanes; }
};

/// Index arithmetic with constants, folded while it is built.
struct IndexBuilder {
  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::Value constant(int64_t value) const;
  mlir::Value add(mlir::Value x, mlir::Value y) const;
  mlir::Value mul(mlir::Value x, int64_t y) const;
  mlir::Value ceilDiv(mlir::Value x, int64_t y) const;
  mlir::Value min(mlir::Value x, mlir::Value y) const;
};

/// Builds `for (i = begin; i < end; i += step) body(i)`.
void buildLoop(mlir::OpBuilder &b, mlir::Location loc, mlir::Value begin, mlir::Value end, int64_t step,
               llvm::function_ref<void(mlir::OpBuilder &, mlir::Value)> body);

/// result = accumulator + lhs * rhs over register blocks of `block`; `rhs` is packed as `panels` say, which are as wide
/// as the block: with a depth the block's registers are a matrix unit's. `accumulator` and `result` are scratch of one
/// shape, possibly the same; a null accumulator is zero. `finite` is scratch
/// for one packed panel where groups are multiplied and zeros skipped, else null.
void emitDot(mlir::OpBuilder &b, tile::DotOp op, const RegisterBlock &block, tile::PanelLayoutAttr panels,
             const TileBuffer &lhs, const TileBuffer &rhs, mlir::Value accumulator, mlir::Value result,
             mlir::Value finite);

/// Whether products with these layouts are those of `emitTilePanel`: 2 x 2 tiles of AMX.
bool isTileProduct(tile::RegisterLayoutAttr sums, tile::PanelLayoutAttr panels);

/// Rows [0, numRows) of `columns` (static, at most the panel's width) columns of the result from `column` on,
/// contracted over `depth` elements: those of scratch `lhs` from its first column on, and of packed `rhs` from the
/// indices `panel` on. Sums start from the result where `accumulates`, else from zero. Rows of scratch are padded to
/// whole blocks, which are written whole.
void emitTilePanel(mlir::OpBuilder &b, mlir::Location loc, mlir::Value lhs, mlir::Value numRows, mlir::Value rhs,
                   mlir::ValueRange panel, mlir::Value depth, mlir::Value result, mlir::Value column, int64_t columns,
                   bool accumulates);

/// What steps of `layout.getDepth()` elements take of the rows [0, numRows) of scratch beyond the vector that holds the
/// last of `depth` elements becomes zero: what the rows' maps and reductions write ends there.
void clearBeyondVector(mlir::OpBuilder &b, mlir::Location loc, mlir::Value lhs, mlir::Value numRows, mlir::Value depth,
                       tile::PanelLayoutAttr layout);

/// Transposes blocks of as many rows as there are `vectors`, a power of two that divides their lanes: vector t's lane
/// r * n + s becomes vector s's lane r * n + t, in log2(n) rounds of shuffles.
void transposeBlocks(mlir::OpBuilder &b, mlir::Location loc, llvm::SmallVectorImpl<mlir::Value> &vectors);

/// Where in the last two dimensions of packed memory element `position` (column times kpack, plus the place in the
/// group) of group `group` of a panel lies. Vectors of lanes times kpack elements, from a multiple of that on, stay in
/// one piece.
std::pair<mlir::Value, mlir::Value> placeInPanel(mlir::OpBuilder &b, mlir::Location loc, tile::PanelLayoutAttr layout,
                                                 mlir::Value group, mlir::Value position);

/// The tile's memory as `memref<?x?xT, strided<[?, 1], offset: ?>>`, so that vectors can be read from its rows: the
/// memory itself, or a copy where its columns are not contiguous, where a row is shorter than a vector, or where there
/// are fewer rows than `least`. A copy is padded with zeros to whole vectors and to `least` rows.
mlir::Value emitReadableRows(mlir::OpBuilder &b, mlir::Location loc, const TileBuffer &tile,
                             llvm::ArrayRef<int64_t> shape, int64_t lanes, int64_t least,
                             llvm::function_ref<mlir::Value(mlir::MemRefType)> allocate);

/// The same where `rhs` is a tile that lies in memory (tile.in_place) and is read there, in vectors of `lanes`. Few
/// rows and any strides; `allocate` gives scratch for the time of the product.
void emitDotInPlace(mlir::OpBuilder &b, tile::DotOp op, int64_t lanes, const TileBuffer &lhs, const TileBuffer &rhs,
                    mlir::Value accumulator, mlir::Value result,
                    llvm::function_ref<mlir::Value(mlir::MemRefType)> allocate);

/// Whether a product reads the loaded tile transposed: its rows are then the product's columns.
bool isReadTransposed(tile::LoadOp load);

/// Reads a tile into scratch, zero outside the valid extent.
void emitLoad(mlir::OpBuilder &b, tile::LoadOp op, int64_t lanes, mlir::Value scratch);

/// Writes the valid extent of scratch (or of a splat) to memory.
void emitStore(mlir::OpBuilder &b, tile::StoreOp op, int64_t lanes, const TileBuffer &value);

/// Emits `body(memory, true)` where the innermost stride of `memory` is 1 (and its type says so) and
/// `body(memory, false)` where it is not.
void dispatchOnStride(mlir::OpBuilder &b, mlir::Location loc, mlir::Value memory,
                      llvm::function_ref<void(mlir::OpBuilder &, mlir::Value, bool)> body);

/// Offsets of element (row, 0) of an access whose last two offsets are `offsets`' last two.
llvm::SmallVector<mlir::Value> rowOf(mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange offsets, mlir::Value row);

/// What `tile.pack` does, with its parts: copies `valid` rows of `source` from `offsets` on into panels of
/// `destination` at `indices`. With `maskedMemory` a part of a vector is read as such, else by its elements.
void emitPack(mlir::OpBuilder &b, mlir::Location loc, mlir::Value source, mlir::ValueRange offsets, mlir::Value valid,
              mlir::Value destination, mlir::ValueRange indices, bool transposed, tile::PanelLayoutAttr layout,
              bool maskedMemory);

/// Clones the scalar code of `body` (without its terminator) on vectors of `lanes` elements: arguments that are
/// vectors make what depends on them vectors, the rest stays scalar. Returns what the terminator's operand became, as a
/// vector. Operations that have no vector form are unrolled over the lanes.
mlir::Value cloneVectorized(mlir::OpBuilder &b, mlir::Block &body, mlir::ValueRange arguments, int64_t lanes);

/// A run of maps and reductions between two products: each row is finished before the next one starts, and operations
/// that can share a pass over the columns do. `buffer` gives the place of an operand or result; `livesOn` says whether
/// something outside the run reads a result.
void emitRows(mlir::OpBuilder &b, llvm::ArrayRef<mlir::Operation *> group, int64_t lanes,
              llvm::function_ref<TileBuffer &(mlir::Value)> buffer, llvm::function_ref<bool(mlir::Value)> livesOn);

} // namespace flashc::cpu

#endif // FLASHC_PASSES_LOWERTILES_H

//===- LowerLinalg.h - Structured operations as vector code ---------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What `--lower-linalg-to-vector` consists of: loop nests for any structured operation on buffers, and
/// register-blocked products. Both put their tasks in one `scf.forall` and vectors of the target's width inside.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_LOWERLINALG_H
#define FLASHC_PASSES_LOWERLINALG_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace flashc::lower {

/// The vector registers that code is shaped for.
struct VectorUnit {
  unsigned bytes = 16;
  unsigned registers = 16;
};

/// A range of a loop: `[base, base + length)`.
struct Span {
  mlir::Value base;
  mlir::OpFoldResult length;
};

/// Calls `body` at `builder` for each combination of tasks: dimension d of `sizes` is cut into spans of `chunks[d]`.
/// One scf.forall if there is more than one task and `parallel`, else loops.
void forEachTask(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<mlir::OpFoldResult> sizes,
                 llvm::ArrayRef<int64_t> chunks, bool parallel,
                 llvm::function_ref<void(mlir::OpBuilder &, llvm::ArrayRef<Span>)> body);

/// Loops over `span` in steps of the first of `tiles` as far as it goes, then of the next, down to 1.
void forEachTile(mlir::OpBuilder &builder, mlir::Location loc, Span span, llvm::ArrayRef<int64_t> tiles,
                 llvm::function_ref<void(mlir::OpBuilder &, mlir::Value, int64_t)> body);

/// A loop `for i in [0, length) step step`, with values carried through it.
mlir::ValueRange
forCarried(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value begin, mlir::Value end, int64_t step,
           mlir::ValueRange carried,
           llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::OpBuilder &, mlir::Value, mlir::ValueRange)> body);

/// The indices at which an operand with `map` is accessed at `point` (one value a loop).
llvm::SmallVector<mlir::Value> indicesAt(mlir::OpBuilder &builder, mlir::Location loc, mlir::AffineMap map,
                                         mlir::ValueRange point);

/// Lowers a product with register blocking; false, with nothing changed, if its layout does not allow it.
bool lowerContraction(mlir::OpBuilder &builder, mlir::linalg::LinalgOp op, const VectorUnit &unit);

/// Lowers any structured operation on buffers to a loop nest.
void lowerLoops(mlir::OpBuilder &builder, mlir::linalg::LinalgOp op, const VectorUnit &unit);

} // namespace flashc::lower

#endif // FLASHC_PASSES_LOWERLINALG_H

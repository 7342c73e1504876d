//===- AskedLines.h - Memory that products ask for on their way -*- C++ -*-===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A list of cache lines that a task needs soon. A core has a few dozen lines on their way at once, and asking for all
/// of a small problem's lines in one go waits for nearly all of them. So the task writes their addresses down, and the
/// contraction loops of the products in between ask for one line a step, while they compute.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_ASKEDLINES_H
#define FLASHC_PASSES_ASKEDLINES_H

#include "mlir/IR/Builders.h"

namespace flashc {

class AskedLines {
public:
  AskedLines() = default;
  explicit operator bool() const { return bool(lines); }

  /// An empty list at the insertion point, which is in the task that it is for.
  static AskedLines create(mlir::OpBuilder &b, mlir::Location loc);
  /// The list of the task around `op`; none if it has none.
  static AskedLines find(mlir::Operation *op);

  /// Appends the lines of the rows of `part`, memory whose last dimension is contiguous, where `condition` holds and
  /// there is room, to the `count` lines that are listed. Returns how many there are then. Takes memory of at most two
  /// dimensions that are not 1.
  mlir::Value append(mlir::OpBuilder &b, mlir::Location loc, mlir::Value count, mlir::Value part,
                     mlir::Value condition) const;
  /// From here on `count` lines are there to be asked for.
  void start(mlir::OpBuilder &b, mlir::Location loc, mlir::Value count) const;
  /// Asks for all that are left.
  void finish(mlir::OpBuilder &b, mlir::Location loc) const;

  /// Where a loop of steps begins in the list, and by how much it moves in a step: by nothing where less is left than
  /// it has steps.
  struct Steps {
    mlir::Value first, stride;
  };
  /// Before a loop of `count` steps, each of which asks for one line.
  Steps beginSteps(mlir::OpBuilder &b, mlir::Location loc, mlir::Value count) const;
  void askInStep(mlir::OpBuilder &b, mlir::Location loc, const Steps &steps, mlir::Value step) const;

private:
  AskedLines(mlir::Value lines, mlir::Value state) : lines(lines), state(state) {}
  void ask(mlir::OpBuilder &b, mlir::Location loc, mlir::Value at) const;

  /// Addresses, and (state) how many of them were asked for and how many there are.
  mlir::Value lines, state;
};

} // namespace flashc

#endif // FLASHC_PASSES_ASKEDLINES_H

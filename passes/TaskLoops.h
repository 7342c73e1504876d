//===- TaskLoops.h - Which parallel loops become tasks --------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_TASKLOOPS_H
#define FLASHC_PASSES_TASKLOOPS_H

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/SetVector.h"

namespace flashc {

/// Whether the iterations of a parallel loop become tasks: the loop is a function's own, or lies in a branch at a
/// function's top level, where a kernel chooses between forms. Loops inside other loops run on their task's thread.
inline bool isTaskLoop(mlir::Operation *op) {
  if (!mlir::isa<mlir::scf::ForallOp>(op))
    return false;
  mlir::Operation *parent = op->getParentOp();
  if (mlir::isa_and_nonnull<mlir::scf::IfOp>(parent))
    parent = parent->getParentOp();
  return mlir::isa_and_nonnull<mlir::FunctionOpInterface>(parent);
}

/// The loops of a function whose iterations become tasks, in order.
inline llvm::SmallVector<mlir::scf::ForallOp> getTaskLoops(mlir::Operation *function) {
  llvm::SmallVector<mlir::scf::ForallOp> loops;
  function->walk<mlir::WalkOrder::PreOrder>([&](mlir::scf::ForallOp loop) {
    if (isTaskLoop(loop))
      loops.push_back(loop);
    return mlir::WalkResult::skip();
  });
  return loops;
}

/// The number of iterations of each dimension, as index values, before the loop.
llvm::SmallVector<mlir::Value> createTripCounts(mlir::OpBuilder &b, mlir::scf::ForallOp loop);

/// What a loop's body takes from outside.
struct TaskCaptures {
  /// What has to be handed to the task: values of the body, the loop's bounds, and all trip counts but the first.
  llvm::SetVector<mlir::Value> values;
  /// What is cheaper to repeat in the task than to hand to it; constants repeated there stay visible as such.
  llvm::SmallVector<mlir::Operation *> rebuilt;
};
TaskCaptures collectCaptures(mlir::scf::ForallOp loop, llvm::ArrayRef<mlir::Value> tripCounts);

/// Maps the loop's induction variables to those of the task of a number, row-major: the last dimension runs fastest.
/// `map` holds the captures' counterparts where `b` builds.
void mapInductionVars(mlir::OpBuilder &b, mlir::scf::ForallOp loop, llvm::ArrayRef<mlir::Value> tripCounts,
                      mlir::Value task, mlir::IRMapping &map);

} // namespace flashc

#endif // FLASHC_PASSES_TASKLOOPS_H

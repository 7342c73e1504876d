//===- TaskLoops.h - Which parallel loops become tasks --------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_TASKLOOPS_H
#define FLASHC_PASSES_TASKLOOPS_H

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

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

} // namespace flashc

#endif // FLASHC_PASSES_TASKLOOPS_H

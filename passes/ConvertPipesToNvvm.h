//===- ConvertPipesToNvvm.h - mbarriers, boxes and roles for NVIDIA -------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_CONVERTPIPESTONVVM_H
#define FLASHC_PASSES_CONVERTPIPESTONVVM_H

#include "mlir/IR/Operation.h"

namespace flashc {

/// The part of convert-tile-to-nvvm that is about pipes: barriers that count bytes, copies of boxes, barriers and
/// registers of roles. Replaces `op` if it is one of these, else returns false.
bool convertPipeOp(mlir::Operation *op);

} // namespace flashc

#endif // FLASHC_PASSES_CONVERTPIPESTONVVM_H

//===- ResolveBitCasts.cpp - resolve-bit-casts ----------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/TypeUtilities.h"

namespace flashc {
#define GEN_PASS_DEF_RESOLVEBITCASTS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;

/// The bits of a number or of a vector of them; 0 for other types.
static int64_t bitsOf(Type type) {
  if (!getElementTypeOrSelf(type).isIntOrFloat())
    return 0;
  auto vector = dyn_cast<VectorType>(type);
  return (vector ? vector.getNumElements() : 1) * getElementTypeOrSelf(type).getIntOrFloatBitWidth();
}

namespace {
struct ResolveBitCasts : flashc::impl::ResolveBitCastsBase<ResolveBitCasts> {
  void runOnOperation() override {
    getOperation()->walk([&](UnrealizedConversionCastOp op) {
      if (op.getNumOperands() != 1 || op.getNumResults() != 1)
        return;
      Type from = op.getOperand(0).getType(), to = op.getResult(0).getType();
      if (bitsOf(from) == 0 || bitsOf(from) != bitsOf(to) || from == to)
        return;
      OpBuilder b(op);
      op.getResult(0).replaceAllUsesWith(b.create<LLVM::BitcastOp>(op.getLoc(), to, op.getOperand(0)));
      op.erase();
      ++numCasts;
    });
  }
};
} // namespace

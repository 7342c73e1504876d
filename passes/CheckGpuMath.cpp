//===- CheckGpuMath.cpp - check-gpu-math ----------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace flashc {
#define GEN_PASS_DEF_CHECKGPUMATH
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;

namespace {
struct CheckGpuMath : public flashc::impl::CheckGpuMathBase<CheckGpuMath> {
  void runOnOperation() override {
    WalkResult result = getOperation()->walk([&](Operation *op) {
      if (!isa_and_nonnull<math::MathDialect>(op->getDialect()))
        return WalkResult::advance();
      ++numChecked;
      if (isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::CopySignOp, math::CountLeadingZerosOp,
              math::CountTrailingZerosOp, math::CtPopOp, math::FloorOp, math::FmaOp, math::RoundEvenOp, math::RsqrtOp,
              math::SqrtOp, math::TruncOp>(op))
        return WalkResult::advance();
      op->emitOpError("on ") << op->getResult(0).getType()
                             << " has no instruction and no expansion on a GPU; expected exp, exp2, log, tanh, what "
                                "they make up, or, on f32, what approximate-math knows";
      return WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace

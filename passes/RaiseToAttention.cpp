//===- RaiseToAttention.cpp - Find attention in linalg and tosa -----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// `--raise-to-attention`. The reader (RaiseToAttentionExpr.h) says what each element of a tensor is, the matcher
/// (RaiseToAttentionMatch.h) recognises attention in that, and this pass walks the products of a function. What is
/// provably the same and what is not is told in RaiseToAttention.md.
///
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "passes/Passes.h"
#include "passes/RaiseToAttentionMatch.h"

namespace flashc {
#define GEN_PASS_DEF_RAISETOATTENTION
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

/// Erases `op` and what only it needed.
static void eraseWithOperands(Operation *op) {
  SmallVector<Operation *> worklist{op};
  while (!worklist.empty()) {
    Operation *next = worklist.pop_back_val();
    if (!isOpTriviallyDead(next))
      continue;
    for (Value operand : next->getOperands())
      if (Operation *producer = operand.getDefiningOp(); producer && !llvm::is_contained(worklist, producer))
        worklist.push_back(producer);
    // Values that the region reads from outside are operands too.
    next->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (Operation *producer = operand.getDefiningOp();
            producer && !next->isAncestor(producer) && !llvm::is_contained(worklist, producer))
          worklist.push_back(producer);
    });
    next->erase();
  }
}

namespace {

struct RaiseToAttention : flashc::impl::RaiseToAttentionBase<RaiseToAttention> {
  using RaiseToAttentionBase::RaiseToAttentionBase;

  void runOnOperation() override {
    SmallVector<Operation *> products;
    getOperation()->walk([&](Operation *op) {
      if (raise::matchContraction(op))
        products.push_back(op);
    });
    for (Operation *op : products) {
      auto contraction = raise::matchContraction(op);
      std::optional<raise::NearMiss> nearMiss;
      for (bool probabilitiesAreLhs : {true, false}) {
        raise::AttentionMatcher matcher(*contraction, probabilitiesAreLhs);
        if (auto match = matcher.match()) {
          raise::buildAttention(*match, *matcher.space);
          raised.push_back(op);
          ++numRaised;
          nearMiss.reset();
          break;
        }
        if (matcher.nearMiss && !nearMiss)
          nearMiss = matcher.nearMiss;
      }
      if (!nearMiss)
        continue;
      ++numNearMisses;
      if (remarks)
        nearMiss->op->emitRemark() << "attention was not raised: " << nearMiss->reason;
    }
    // Later products first, so that what they read is dead when it is looked at.
    for (Operation *op : llvm::reverse(raised))
      eraseWithOperands(op);
    raised.clear();
  }

private:
  SmallVector<Operation *> raised;
};

} // namespace

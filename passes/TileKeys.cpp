//===- TileKeys.cpp - A loop over tiles of keys --------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/KeyLoops.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace flashc {
#define GEN_PASS_DEF_TILEKEYS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {
struct TileKeys : public flashc::impl::TileKeysBase<TileKeys> {
  using TileKeysBase::TileKeysBase;
  void runOnOperation() override {
    SmallVector<attn::OnlineOp> operations;
    getOperation().walk([&](attn::OnlineOp op) {
      if (!op->getParentOfType<scf::ForOp>() || !isAtMost(op.getKey(), 0, op.getTiles().getKeys()))
        operations.push_back(op);
    });
    for (attn::OnlineOp op : operations)
      tile(op);
  }

private:
  void tile(attn::OnlineOp op) {
    OpBuilder b(op);
    KeyLoop loop = {op, op.getKey(), op.getValue(), op.getPosition()[kFirstKey], maskBounds};
    auto result = emitKeyLoop(b, loop, emitPossibleKeys(b, loop), /*masked=*/true,
                              ValueRange{op.getAcc(), op.getMax(), op.getSum()});
    op.replaceAllUsesWith(result.getResults());
    op.erase();
    ++numLoops;
  }
};
} // namespace

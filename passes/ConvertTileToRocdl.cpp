//===- ConvertTileToRocdl.cpp - convert-tile-to-rocdl ---------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/ThreadOps.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "llvm/ADT/TypeSwitch.h"

namespace flashc {
#define GEN_PASS_DEF_CONVERTTILETOROCDL
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

static LogicalResult lowerMma(tile::MmaOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto type = cast<VectorType>(op.getLhs().getType()), sums = cast<VectorType>(op.getResult().getType());
  bool bf16 = type.getElementType().isBF16();
  if (type.getElementTypeBitWidth() != 16 || !sums.getElementType().isF32())
    return op.emitOpError("expected products of 16-bit elements into f32");
  // The unit's rows are our columns: what a lane has of the scores is then what it passes of the weights.
  Value a = op.getRhs(), c = op.getLhs();
  if (bf16) // the instructions know bf16 as bits
    for (Value *side : {&a, &c})
      *side = b.create<LLVM::BitcastOp>(loc, cast<VectorType>(side->getType()).clone(b.getI16Type()), *side);
  SmallVector<Value> operands = {a, c, op.getAccumulator()};
  StringRef name;
  if (op.getShape() == ArrayRef<int64_t>{32, 32, 8}) {
    name = bf16 ? "llvm.amdgcn.mfma.f32.32x32x8bf16.1k" : "llvm.amdgcn.mfma.f32.32x32x8f16";
    Value none = b.create<LLVM::ConstantOp>(loc, b.getI32Type(), b.getI32IntegerAttr(0));
    operands.append(3, none); // broadcasts and negations
  } else if (op.getShape() == ArrayRef<int64_t>{16, 16, 16}) {
    name = bf16 ? "llvm.amdgcn.wmma.f32.16x16x16.bf16" : "llvm.amdgcn.wmma.f32.16x16x16.f16";
  } else {
    return op.emitOpError("expected 32x32x8 or 16x16x16 products");
  }
  auto call = b.create<LLVM::CallIntrinsicOp>(loc, sums, b.getStringAttr(name), operands);
  op.replaceAllUsesWith(call.getResult(0));
  op.erase();
  return success();
}

namespace {
struct ConvertTileToRocdl : flashc::impl::ConvertTileToRocdlBase<ConvertTileToRocdl> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<tile::TileDialect>(op->getDialect()))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      LogicalResult lowered =
          llvm::TypeSwitch<Operation *, LogicalResult>(op)
              .Case<tile::MmaOp>([](auto op) { return lowerMma(op); })
              .Case<tile::VectorLoadOp, tile::VectorStoreOp>([](auto op) { return lowerVectorAccess(op), success(); })
              .Default([](Operation *op) { return op->emitOpError("has no form in ROCDL"); });
      if (failed(lowered))
        return signalPassFailure();
    }
  }
};
} // namespace

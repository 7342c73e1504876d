//===- ConvertTileToNvvm.cpp - convert-tile-to-nvvm -----------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ConvertPipesToNvvm.h"
#include "passes/ConvertWarpgroupToNvvm.h"
#include "passes/Passes.h"
#include "passes/ThreadOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"

namespace flashc {
#define GEN_PASS_DEF_CONVERTTILETONVVM
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

static constexpr unsigned kGlobal = 1;

/// The registers of an instruction's result.
static SmallVector<Value> fields(OpBuilder &b, Location loc, Value result) {
  SmallVector<Value> values;
  for (int64_t i = 0, n = cast<LLVM::LLVMStructType>(result.getType()).getBody().size(); i < n; ++i)
    values.push_back(b.create<LLVM::ExtractValueOp>(loc, result, i));
  return values;
}

static LogicalResult lowerMma(tile::MmaOp op) {
  auto lhs = cast<VectorType>(op.getLhs().getType()), sums = cast<VectorType>(op.getResult().getType());
  bool tf32 = lhs.getElementType().isF32();
  if (op.getShape() != ArrayRef<int64_t>{16, 8, tf32 ? 8 : 16} || (lhs.getElementTypeBitWidth() != 16 && !tf32) ||
      !sums.getElementType().isF32())
    return op.emitOpError("expected 16x8x16 products of 16-bit elements, or 16x8x8 products of f32, into f32");
  OpBuilder b(op);
  Location loc = op.getLoc();
  // PTX ISA, mma.m16n8k16: registers of two elements; mma.m16n8k8, .tf32: of one.
  bool bf16 = lhs.getElementType().isBF16();
  Type word = bf16 || tf32 ? Type(b.getI32Type()) : Type(VectorType::get({2}, lhs.getElementType()));
  SmallVector<Value> operands = takeApart(b, loc, op.getLhs(), word);
  llvm::append_range(operands, takeApart(b, loc, op.getRhs(), word));
  llvm::append_range(operands, takeApart(b, loc, op.getAccumulator(), sums.getElementType()));
  Type f32 = b.getF32Type();
  auto result = LLVM::LLVMStructType::getLiteral(b.getContext(), {f32, f32, f32, f32});
  StringRef name = bf16   ? "llvm.nvvm.mma.m16n8k16.row.col.bf16"
                   : tf32 ? "llvm.nvvm.mma.m16n8k8.row.col.tf32"
                          : "llvm.nvvm.mma.m16n8k16.row.col.f32.f32";
  auto call = b.create<LLVM::CallIntrinsicOp>(loc, result, b.getStringAttr(name), operands);
  op.replaceAllUsesWith(putTogether(b, loc, fields(b, loc, call.getResult(0)), sums));
  op.erase();
  return success();
}

static void lowerRoundTf32(tile::RoundTf32Op op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto round = [&](Value x) -> Value {
    auto name = b.getStringAttr("llvm.nvvm.f2tf32.rna");
    Value bits = b.create<LLVM::CallIntrinsicOp>(loc, b.getI32Type(), name, x).getResult(0);
    return b.create<LLVM::BitcastOp>(loc, x.getType(), bits);
  };
  Value result;
  if (auto type = dyn_cast<VectorType>(op.getType())) {
    SmallVector<Value> elements = takeApart(b, loc, op.getInput(), type.getElementType());
    for (Value &element : elements)
      element = round(element);
    result = putTogether(b, loc, elements, type);
  } else {
    result = round(op.getInput());
  }
  op.replaceAllUsesWith(result);
  op.erase();
}

static void lowerLoadMatrix(tile::LoadMatrixOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  Type i32 = b.getI32Type();
  auto result = LLVM::LLVMStructType::getLiteral(b.getContext(), {i32, i32, i32, i32});
  Value pointer = getElementPointer(b, loc, op.getMemory(), op.getIndex());
  Value loaded = b.create<NVVM::LdMatrixOp>(loc, result, pointer, /*num=*/4,
                                            op.getTransposed() ? NVVM::MMALayout::col : NVVM::MMALayout::row);
  op.replaceAllUsesWith(putTogether(b, loc, fields(b, loc, loaded), cast<VectorType>(op.getResult().getType())));
  op.erase();
}

static void lowerCopyAsync(tile::CopyAsyncOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value from = getElementPointer(b, loc, op.getSource(), op.getIndex());
  Value to = getElementPointer(b, loc, op.getDestination(), op.getPosition());
  auto global = LLVM::LLVMPointerType::get(b.getContext(), kGlobal);
  if (from.getType() != global)
    from = b.create<LLVM::AddrSpaceCastOp>(loc, global, from);
  // With a size of 0 nothing is read, whatever the address.
  Value all = b.create<arith::ConstantIntOp>(loc, 16, 32), none = b.create<arith::ConstantIntOp>(loc, 0, 32);
  Value bytes = b.create<arith::SelectOp>(loc, op.getExists(), all, none);
  b.create<LLVM::CallIntrinsicOp>(loc, TypeRange{}, b.getStringAttr("llvm.nvvm.cp.async.cg.shared.global.16.s"),
                                  ValueRange{to, from, bytes});
  op.erase();
}

/// Rounds pairs at a time: two conversions of one element would be two instructions and a third to join them.
static void lowerRounding(arith::TruncFOp op) {
  auto type = dyn_cast<VectorType>(op.getType());
  auto from = dyn_cast<VectorType>(op.getIn().getType());
  if (!type || type.getRank() != 1 || type.getNumElements() % 2 != 0 || !from.getElementType().isF32())
    return;
  bool bf16 = type.getElementType().isBF16();
  if (!bf16 && !type.getElementType().isF16())
    return;
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto pair = VectorType::get({2}, type.getElementType());
  StringRef name = bf16 ? "llvm.nvvm.ff2bf16x2.rn" : "llvm.nvvm.ff2f16x2.rn";
  SmallVector<Value> elements = takeApart(b, loc, op.getIn(), b.getF32Type()), words;
  for (size_t i = 0; i < elements.size(); i += 2) {
    // The first operand becomes the upper half.
    Value rounded =
        b.create<LLVM::CallIntrinsicOp>(loc, pair, b.getStringAttr(name), ValueRange{elements[i + 1], elements[i]})
            .getResult(0);
    words.push_back(b.create<LLVM::BitcastOp>(loc, b.getI32Type(), rounded));
  }
  op.replaceAllUsesWith(putTogether(b, loc, words, type));
  op.erase();
}

namespace {
struct ConvertTileToNvvm : flashc::impl::ConvertTileToNvvmBase<ConvertTileToNvvm> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<tile::TileDialect>(op->getDialect()) || isa<arith::TruncFOp, arith::MaxNumFOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      if (convertPipeOp(op))
        continue;
      OpBuilder b(op);
      LogicalResult lowered =
          llvm::TypeSwitch<Operation *, LogicalResult>(op)
              .Case<tile::MmaOp>([](auto op) { return lowerMma(op); })
              .Case<tile::VectorLoadOp, tile::VectorStoreOp>([](auto op) { return lowerVectorAccess(op), success(); })
              .Case<tile::RoundTf32Op>([](auto op) { return lowerRoundTf32(op), success(); })
              .Case<tile::LoadMatrixOp>([](auto op) { return lowerLoadMatrix(op), success(); })
              .Case<tile::CopyAsyncOp>([](auto op) { return lowerCopyAsync(op), success(); })
              .Case<tile::CopyCommitOp>([&](auto op) {
                b.create<NVVM::CpAsyncCommitGroupOp>(op.getLoc());
                return op.erase(), success();
              })
              .Case<tile::CopyWaitOp>([&](auto op) {
                b.create<NVVM::CpAsyncWaitGroupOp>(op.getLoc(), op.getPending());
                return op.erase(), success();
              })
              .Case<tile::WarpgroupMmaOp>([](auto op) { return lowerWarpgroupMma(op), success(); })
              .Case<tile::WarpgroupWaitOp>([](auto op) { return lowerWarpgroupWait(op), success(); })
              // One instruction; what upstream expands it to is four.
              .Case<arith::MaxNumFOp>([&](auto op) {
                op.replaceAllUsesWith(b.create<LLVM::MaxNumOp>(op.getLoc(), op.getLhs(), op.getRhs()).getResult());
                return op.erase(), success();
              })
              .Case<arith::TruncFOp>([](auto op) { return lowerRounding(op), success(); })
              .Default([](Operation *op) { return op->emitOpError("has no form in NVVM"); });
      if (failed(lowered))
        return signalPassFailure();
    }
  }
};
} // namespace

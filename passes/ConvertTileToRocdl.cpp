//===- ConvertTileToRocdl.cpp - convert-tile-to-rocdl ---------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/ThreadOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/ADT/TypeSwitch.h"

namespace flashc {
#define GEN_PASS_DEF_CONVERTTILETOROCDL
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

static Value constantInt(OpBuilder &b, Location loc, unsigned bits, int64_t value) {
  return b.create<LLVM::ConstantOp>(loc, b.getIntegerType(bits), b.getIntegerAttr(b.getIntegerType(bits), value));
}

/// Elements `first` to `first + count` of a vector.
static Value slice(OpBuilder &b, Location loc, Value vector, int64_t first, int64_t count) {
  if (cast<VectorType>(vector.getType()).getNumElements() == count)
    return vector;
  SmallVector<int32_t> mask = llvm::to_vector(llvm::seq<int32_t>(first, first + count));
  return b.create<LLVM::ShuffleVectorOp>(loc, vector, vector, mask);
}

static LogicalResult lowerMma(tile::MmaOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto type = cast<VectorType>(op.getLhs().getType()), sums = cast<VectorType>(op.getResult().getType());
  bool bf16 = type.getElementType().isBF16();
  if (type.getElementTypeBitWidth() != 16 || !sums.getElementType().isF32())
    return op.emitOpError("expected products of 16-bit elements into f32");
  // The unit's rows are our columns: what a lane has of the scores is then what it passes of the weights.
  Value left = op.getRhs(), right = op.getLhs();
  if (bf16) // the instructions know bf16 as bits
    for (Value *side : {&left, &right})
      *side = b.create<LLVM::BitcastOp>(loc, cast<VectorType>(side->getType()).clone(b.getI16Type()), *side);
  auto call = [&](StringRef name, Value x, Value y, Value sum, bool modified) -> Value {
    SmallVector<Value> operands = {x, y, sum};
    if (modified)
      operands.append(3, constantInt(b, loc, 32, 0)); // broadcasts and negations
    return b.create<LLVM::CallIntrinsicOp>(loc, sum.getType(), b.getStringAttr(name), operands).getResult(0);
  };
  Value result = op.getAccumulator();
  if (op.getShape() == ArrayRef<int64_t>{32, 32, 16}) {
    // Two instructions, each of half of what a lane holds of the contraction.
    StringRef name = bf16 ? "llvm.amdgcn.mfma.f32.32x32x8bf16.1k" : "llvm.amdgcn.mfma.f32.32x32x8f16";
    for (int64_t step : {0, 4})
      result = call(name, slice(b, loc, left, step, 4), slice(b, loc, right, step, 4), result, true);
  } else if (op.getShape() == ArrayRef<int64_t>{16, 32, 32}) {
    // Two of them for each half of a lane's columns.
    StringRef name = bf16 ? "llvm.amdgcn.mfma.f32.16x16x16bf16.1k" : "llvm.amdgcn.mfma.f32.16x16x16f16";
    SmallVector<Value> halves;
    for (int64_t half : {0, 1}) {
      Value sum = slice(b, loc, result, 4 * half, 4);
      for (int64_t step : {0, 4})
        sum = call(name, slice(b, loc, left, 8 * half + step, 4), slice(b, loc, right, step, 4), sum, true);
      halves.push_back(sum);
    }
    result = b.create<LLVM::ShuffleVectorOp>(loc, halves[0], halves[1], ArrayRef<int32_t>{0, 1, 2, 3, 4, 5, 6, 7});
  } else if (op.getShape() == ArrayRef<int64_t>{16, 16, 16}) {
    StringRef name = bf16 ? "llvm.amdgcn.wmma.f32.16x16x16.bf16" : "llvm.amdgcn.wmma.f32.16x16x16.f16";
    result = call(name, left, right, result, false);
  } else {
    return op.emitOpError("expected 32x32x16, 16x32x32 or 16x16x16 products");
  }
  op.replaceAllUsesWith(result);
  op.erase();
  return success();
}

/// An address that is the same for all of a wave's lanes, as one that the code generator knows to be: what it has to
/// compute by lanes it takes for theirs, and reads a buffer there by a loop over their addresses.
static Value makeUniform(OpBuilder &b, Location loc, Value pointer) {
  auto words = VectorType::get({2}, b.getI32Type());
  Value bits = b.create<LLVM::BitcastOp>(loc, words, b.create<LLVM::PtrToIntOp>(loc, b.getI64Type(), pointer));
  for (int64_t i : {0, 1}) {
    Value at = constantInt(b, loc, 32, i), word = b.create<LLVM::ExtractElementOp>(loc, bits, at);
    word = b.create<LLVM::CallIntrinsicOp>(loc, b.getI32Type(), b.getStringAttr("llvm.amdgcn.readfirstlane"), word)
               .getResult(0);
    bits = b.create<LLVM::InsertElementOp>(loc, bits, word, at);
  }
  return b.create<LLVM::IntToPtrOp>(loc, pointer.getType(), b.create<LLVM::BitcastOp>(loc, b.getI64Type(), bits));
}

/// A buffer load of the tile's 2 GiB: an offset beyond them reads zero.
static void lowerLoadOrZero(tile::LoadOrZeroOp op, bool rdna) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto type = cast<VectorType>(op.getResult().getType());
  Value base = makeUniform(b, loc, getElementPointer(b, loc, op.getMemory(), op.getIndex()));
  // Words of 32 bits, which the format is not asked for; RDNA is told to compare an offset with the size.
  int64_t flags = (7 << 12) | (4 << 15) | (rdna ? (1 << 24) | (3 << 28) : 0);
  auto resourceType = LLVM::LLVMPointerType::get(b.getContext(), 8);
  Value resource =
      b.create<ROCDL::MakeBufferRsrcOp>(loc, resourceType, base, constantInt(b, loc, 16, 0),
                                        constantInt(b, loc, 32, int32_t(1u << 31)), constantInt(b, loc, 32, flags));
  Value offset = b.create<arith::IndexCastOp>(loc, b.getI32Type(), op.getOffset());
  Value bytes = constantInt(b, loc, 32, type.getElementTypeBitWidth() / 8);
  offset = b.create<LLVM::MulOp>(loc, offset, bytes);
  offset = b.create<LLVM::SelectOp>(loc, op.getExists(), offset, constantInt(b, loc, 32, -16));
  auto words = VectorType::get({4}, b.getI32Type());
  Value none = constantInt(b, loc, 32, 0);
  auto call = b.create<LLVM::CallIntrinsicOp>(loc, words, b.getStringAttr("llvm.amdgcn.raw.ptr.buffer.load"),
                                              ValueRange{resource, offset, none, none});
  op.replaceAllUsesWith(b.create<LLVM::BitcastOp>(loc, type, call.getResult(0)).getResult());
  op.erase();
}

/// The value of the lane whose number differs in one bit, by an instruction that does not go through LDS where there is
/// one; or the first lane's value, in a register of the whole subgroup.
static void lowerShuffle(gpu::ShuffleOp op) {
  APInt offset, width;
  if (!matchPattern(op.getOffset(), m_ConstantInt(&offset)) || !matchPattern(op.getWidth(), m_ConstantInt(&width)) ||
      !op.getValid().use_empty())
    return;
  OpBuilder b(op);
  Location loc = op.getLoc();
  Type type = op.getValue().getType(), i32 = b.getI32Type();
  if (type.getIntOrFloatBitWidth() != 32)
    return;
  if (op.getMode() == gpu::ShuffleMode::IDX && offset == 0 && type == i32) {
    auto first = b.create<LLVM::CallIntrinsicOp>(loc, i32, b.getStringAttr("llvm.amdgcn.readfirstlane"), op.getValue());
    op.getShuffleResult().replaceAllUsesWith(first.getResult(0));
    op.erase();
    return;
  }
  if (op.getMode() != gpu::ShuffleMode::XOR)
    return;
  // Four lanes in any order; rows of sixteen lanes turned by eight.
  int64_t control = offset == 0 ? 0xE4 : offset == 1 ? 0xB1 : offset == 2 ? 0x4E : offset == 8 ? 0x128 : 0;
  bool halves = offset == 16 && width == 32;
  if (!control && !halves)
    return;
  Value x = op.getValue();
  if (type != i32)
    x = b.create<LLVM::BitcastOp>(loc, i32, x);
  Value no = constantInt(b, loc, 1, 0), all = constantInt(b, loc, 32, 15);
  SmallVector<Value> operands;
  if (halves)
    operands = {x, x, constantInt(b, loc, 32, 0x76543210), constantInt(b, loc, 32, int32_t(0xFEDCBA98)), no, no};
  else
    operands = {x, x, constantInt(b, loc, 32, control), all, all, no};
  StringRef name = halves ? "llvm.amdgcn.permlanex16" : "llvm.amdgcn.update.dpp";
  Value result = b.create<LLVM::CallIntrinsicOp>(loc, i32, b.getStringAttr(name), operands).getResult(0);
  if (type != i32)
    result = b.create<LLVM::BitcastOp>(loc, type, result);
  op.getShuffleResult().replaceAllUsesWith(result);
  op.erase();
}

/// Rounding of several numbers to bf16, to nearest and to even: adds 0x7fff and the bit that becomes the last one. The
/// chips have no instruction for it, and LLVM's code keeps NaN apart that have no bit set but such as are lost; a NaN
/// that 16-bit operands or arithmetic made has.
static void lowerRounding(arith::TruncFOp op) {
  auto type = dyn_cast<VectorType>(op.getType());
  if (!type || !type.getElementType().isBF16() || !cast<VectorType>(op.getIn().getType()).getElementType().isF32())
    return;
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto words = type.clone(b.getI32Type());
  auto splat = [&](int64_t value) -> Value {
    return b.create<arith::ConstantOp>(loc, DenseElementsAttr::get(words, b.getI32IntegerAttr(value)));
  };
  Value bits = b.create<arith::BitcastOp>(loc, words, op.getIn()), sixteen = splat(16);
  Value last = b.create<arith::AndIOp>(loc, b.create<arith::ShRUIOp>(loc, bits, sixteen), splat(1));
  bits = b.create<arith::AddIOp>(loc, b.create<arith::AddIOp>(loc, bits, last), splat(0x7fff));
  Value high = b.create<arith::TruncIOp>(loc, type.clone(b.getI16Type()), b.create<arith::ShRUIOp>(loc, bits, sixteen));
  op.replaceAllUsesWith(b.create<arith::BitcastOp>(loc, type, high).getResult());
  op.erase();
}

/// One instruction; what upstream expands it to is a comparison, two selections and a test for NaN.
static void lowerMaximum(arith::MaxNumFOp op) {
  op.replaceAllUsesWith(OpBuilder(op).create<LLVM::MaxNumOp>(op.getLoc(), op.getLhs(), op.getRhs()).getResult());
  op.erase();
}

/// No kind of instruction may cross it.
static void lowerFence(tile::ScheduleFenceOp op) {
  OpBuilder(op).create<ROCDL::SchedBarrier>(op.getLoc(), /*mask=*/0);
  op.erase();
}

namespace {
struct ConvertTileToRocdl : flashc::impl::ConvertTileToRocdlBase<ConvertTileToRocdl> {
  using ConvertTileToRocdlBase::ConvertTileToRocdlBase;

  void runOnOperation() override {
    bool rdna = subgroupSize == 32;
    SmallVector<Operation *> ops;
    SmallVector<gpu::ShuffleOp> shuffles;
    SmallVector<arith::TruncFOp> roundings;
    SmallVector<arith::MaxNumFOp> maxima;
    getOperation()->walk([&](Operation *op) {
      if (isa<tile::TileDialect>(op->getDialect()))
        ops.push_back(op);
      if (auto shuffle = dyn_cast<gpu::ShuffleOp>(op))
        shuffles.push_back(shuffle);
      if (auto rounding = dyn_cast<arith::TruncFOp>(op))
        roundings.push_back(rounding);
      if (auto maximum = dyn_cast<arith::MaxNumFOp>(op))
        maxima.push_back(maximum);
    });
    for (arith::MaxNumFOp maximum : maxima)
      lowerMaximum(maximum);
    for (arith::TruncFOp rounding : roundings)
      lowerRounding(rounding);
    for (gpu::ShuffleOp shuffle : shuffles)
      lowerShuffle(shuffle);
    for (Operation *op : ops) {
      LogicalResult lowered =
          llvm::TypeSwitch<Operation *, LogicalResult>(op)
              .Case<tile::MmaOp>([](auto op) { return lowerMma(op); })
              .Case<tile::LoadOrZeroOp>([&](auto op) { return lowerLoadOrZero(op, rdna), success(); })
              .Case<tile::VectorLoadOp, tile::VectorStoreOp>(
                  [](auto op) { return lowerVectorAccess(op, /*parted=*/true), success(); })
              .Case<tile::ScheduleFenceOp>([](auto op) { return lowerFence(op), success(); })
              .Default([](Operation *op) { return op->emitOpError("has no form in ROCDL"); });
      if (failed(lowered))
        return signalPassFailure();
    }
  }
};
} // namespace

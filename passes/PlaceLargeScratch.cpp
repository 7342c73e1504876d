//===- PlaceLargeScratch.cpp - Scratch that no stack should hold ----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "passes/TaskLoops.h"
#include "passes/TaskPasses.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"
#include "llvm/Support/MathExtras.h"

namespace flashc {
#define GEN_PASS_DEF_PLACELARGESCRATCH
#include "passes/TaskPasses.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {
constexpr int64_t kAlignment = 64;

struct Buffer {
  memref::AllocaOp alloca;
  int64_t bytes = 0;
};

struct PlaceLargeScratch : public flashc::impl::PlaceLargeScratchBase<PlaceLargeScratch> {
  using PlaceLargeScratchBase::PlaceLargeScratchBase;

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isExternal())
      return;
    // Loops run one after the other, so they share a worker's slot.
    SmallVector<std::pair<scf::ForallOp, SmallVector<Buffer>>> moved;
    int64_t slot = 0;
    for (scf::ForallOp loop : getTaskLoops(func)) {
      SmallVector<Buffer> large = takeLarge(loop);
      int64_t bytes = 0;
      for (const Buffer &buffer : large)
        bytes += buffer.bytes;
      slot = std::max(slot, bytes);
      if (!large.empty())
        moved.push_back({loop, std::move(large)});
    }
    if (moved.empty())
      return;

    Location loc = func.getLoc();
    OpBuilder b = OpBuilder::atBlockBegin(&func.front());
    Value workers = b.create<tile::WorkersOp>(loc, b.getIndexType());
    Value bytes = b.create<arith::MulIOp>(loc, workers, b.create<arith::ConstantIndexOp>(loc, slot));
    Value memory = b.create<memref::AllocOp>(loc, MemRefType::get({ShapedType::kDynamic}, b.getI8Type()), bytes,
                                             b.getI64IntegerAttr(kAlignment));
    for (auto &[loop, large] : moved)
      move(loop, large, memory, slot);
  }

private:
  /// The buffers of a task that its stack is better off without: the largest ones, until the others fit the limit.
  SmallVector<Buffer> takeLarge(scf::ForallOp loop) {
    DataLayout layout = DataLayout::closest(loop);
    SmallVector<Buffer> buffers;
    int64_t total = 0;
    loop.walk([&](memref::AllocaOp alloca) {
      MemRefType type = alloca.getType();
      Type element = type.getElementType();
      if (!type.hasStaticShape() || !type.getLayout().isIdentity() || !element.isIntOrIndexOrFloat())
        return;
      int64_t bytes = layout.getTypeSize(element).getFixedValue() * type.getNumElements();
      buffers.push_back({alloca, int64_t(llvm::alignTo(bytes, kAlignment))});
      total += buffers.back().bytes;
    });
    llvm::stable_sort(buffers, [](const Buffer &a, const Buffer &b) { return a.bytes > b.bytes; });
    size_t count = 0;
    while (count < buffers.size() && total > stackBytes)
      total -= buffers[count++].bytes;
    buffers.truncate(count);
    return buffers;
  }

  void move(scf::ForallOp loop, ArrayRef<Buffer> buffers, Value memory, int64_t slot) {
    Location loc = loop.getLoc();
    OpBuilder b = OpBuilder::atBlockBegin(loop.getBody());
    Value worker = b.create<tile::WorkerOp>(loc, b.getIndexType());
    Value at = b.create<arith::MulIOp>(loc, worker, b.create<arith::ConstantIndexOp>(loc, slot));
    for (auto [alloca, bytes] : buffers) {
      Value view = b.create<memref::ViewOp>(loc, alloca.getType(), memory, at, ValueRange());
      at = b.create<arith::AddIOp>(loc, at, b.create<arith::ConstantIndexOp>(loc, bytes));
      alloca.replaceAllUsesWith(view);
      ++numMoved;
    }
    // Not before: the builder stands before the first operation, which may be one of them.
    for (const Buffer &buffer : buffers)
      buffer.alloca->erase();
  }
};
} // namespace

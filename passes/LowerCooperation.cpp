//===- LowerCooperation.cpp - lower-cooperation ---------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The word of a job counts the parts taken in its low half and the parts executed in its high half. Taking needs no
/// order. Executing releases what the part wrote, and whoever finds all parts executed acquires it.
///
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "passes/MemRefPointers.h"
#include "passes/Passes.h"

namespace flashc {
#define GEN_PASS_DEF_LOWERCOOPERATION
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

struct LowerCooperation : flashc::impl::LowerCooperationBase<LowerCooperation> {
  using LowerCooperationBase::LowerCooperationBase;

  void runOnOperation() override {
    SmallVector<tile::CooperateOp> jobs;
    getOperation().walk([&](tile::CooperateOp job) { jobs.push_back(job); });
    for (tile::CooperateOp job : jobs)
      lower(job);
    numLowered += jobs.size();
  }

private:
  /// The address of the job's word.
  static Value emitAddress(OpBuilder &b, tile::CooperateOp job) {
    Location loc = job.getLoc();
    Value index = b.create<arith::ConstantIndexOp>(loc, 0);
    auto metadata = b.create<memref::ExtractStridedMetadataOp>(loc, job.getState());
    for (auto [i, stride] : llvm::zip(job.getIndices(), metadata.getStrides()))
      index = b.create<arith::AddIOp>(loc, index, b.create<arith::MulIOp>(loc, i, stride));
    index = b.create<arith::IndexCastOp>(loc, b.getI64Type(), index);
    Value first = getFirstPointer(b, loc, job.getState());
    return b.create<LLVM::GEPOp>(loc, first.getType(), b.getI64Type(), first, ArrayRef<LLVM::GEPArg>{index});
  }

  void lower(tile::CooperateOp job) {
    OpBuilder b(job);
    Location loc = job.getLoc();
    auto constant = [&](OpBuilder &b, int64_t value) { return b.create<arith::ConstantIntOp>(loc, value, 64); };
    Value word = emitAddress(b, job);
    Value parts = b.create<arith::IndexCastOp>(loc, b.getI64Type(), job.getParts());
    auto executed = [&](OpBuilder &b) -> Value {
      Value now = b.create<LLVM::LoadOp>(loc, b.getI64Type(), word, /*alignment=*/8, /*isVolatile=*/false,
                                         /*isNonTemporal=*/false, /*isInvariant=*/false, LLVM::AtomicOrdering::acquire);
      return b.create<arith::ShRUIOp>(loc, now, constant(b, 32));
    };
    auto isMissing = [&](OpBuilder &b) -> Value {
      return b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ne, executed(b), parts);
    };
    auto take = [&](OpBuilder &b) -> Value {
      Value before = b.create<LLVM::AtomicRMWOp>(loc, LLVM::AtomicBinOp::add, word, constant(b, 1),
                                                 LLVM::AtomicOrdering::monotonic);
      return b.create<arith::AndIOp>(loc, before, constant(b, 0xffffffff));
    };

    // Most iterations find the job done: one load.
    auto missing = b.create<scf::IfOp>(loc, isMissing(b), /*withElseRegion=*/false);
    b.setInsertionPointToStart(missing.thenBlock());
    Type i64 = b.getI64Type();
    b.create<scf::WhileOp>(
        loc, TypeRange{i64}, ValueRange{take(b)},
        [&](OpBuilder &b, Location loc, ValueRange taken) {
          Value isOne = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, taken[0], parts);
          b.create<scf::ConditionOp>(loc, isOne, taken);
        },
        [&](OpBuilder &b, Location loc, ValueRange taken) {
          Value part = b.create<arith::IndexCastOp>(loc, b.getIndexType(), taken[0]);
          Block &body = job.getBody().front();
          body.getArgument(0).replaceAllUsesWith(part);
          Block *block = b.getInsertionBlock();
          block->getOperations().splice(block->end(), body.getOperations());
          b.setInsertionPointToEnd(block);
          b.create<LLVM::AtomicRMWOp>(loc, LLVM::AtomicBinOp::add, word, constant(b, int64_t(1) << 32),
                                      LLVM::AtomicOrdering::release);
          b.create<scf::YieldOp>(loc, take(b));
        });
    b.create<scf::WhileOp>(
        loc, TypeRange{}, ValueRange{},
        [&](OpBuilder &b, Location loc, ValueRange) { b.create<scf::ConditionOp>(loc, isMissing(b), ValueRange{}); },
        [&](OpBuilder &b, Location loc, ValueRange) {
          if (!pause.empty())
            b.create<LLVM::CallIntrinsicOp>(loc, TypeRange{}, b.getStringAttr(pause), ValueRange{},
                                            LLVM::FastmathFlagsAttr{});
          b.create<scf::YieldOp>(loc);
        });
    job.erase();
  }
};

} // namespace

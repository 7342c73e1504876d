//===- DecomposeMergeSplits.cpp - Joining many parts in tile operations --===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "dialects/Attention/IndexMath.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include <limits>

namespace flashc {
#define GEN_PASS_DEF_DECOMPOSEMERGESPLITS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;
using tile::TileType;

static constexpr double kLog2e = 1.4426950408889634074;

/// Memory without its first dimension, at `index` of it.
static Value emitSlice(OpBuilder &b, Location loc, Value memory, Value index) {
  auto type = cast<MemRefType>(memory.getType());
  SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)), strides(type.getRank(), b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, loc, memory);
  offsets[0] = index;
  sizes[0] = b.getIndexAttr(1);
  auto reduced = cast<MemRefType>(
      memref::SubViewOp::inferRankReducedResultType(type.getShape().drop_front(), type, offsets, sizes, strides));
  return b.create<memref::SubViewOp>(loc, reduced, memory, offsets, sizes, strides);
}

namespace {
struct DecomposeMergeSplits : public flashc::impl::DecomposeMergeSplitsBase<DecomposeMergeSplits> {
  void runOnOperation() override {
    SmallVector<attn::MergeSplitsOp> operations;
    getOperation().walk([&](attn::MergeSplitsOp op) { operations.push_back(op); });
    for (attn::MergeSplitsOp op : operations)
      decompose(op);
    numDecomposed += operations.size();
  }

private:
  using Body = function_ref<Value(OpBuilder &, Location, ValueRange)>;

  static Value constant(OpBuilder &b, Location loc, FloatType type, double value) {
    bool inexact;
    APFloat number(value);
    number.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven, &inexact);
    return b.create<arith::ConstantOp>(loc, b.getFloatAttr(type, number));
  }

  /// A difference of logarithms that is not positive, as a weight.
  static Value emitWeight(OpBuilder &b, Location loc, ValueRange in) {
    auto power = b.create<math::Exp2Op>(loc, b.create<arith::SubFOp>(loc, in[0], in[1]).getResult());
    power->setAttr(tile::kNonPositiveAttrName, b.getUnitAttr());
    return power;
  }

  static void decompose(attn::MergeSplitsOp op) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    IndexMath math(b, loc);
    auto type = cast<FloatType>(op.getTiles().getCompute());
    int64_t queries = op.getTiles().getQueries();
    auto out = cast<MemRefType>(op.getOut().getType());
    auto accType = TileType::get({queries, out.getDimSize(2)}, type), rowsType = TileType::get({queries}, type);
    Value zero = math.constant(0), one = math.constant(1);
    Value rows = math.mul(math.dim(op.getOut(), 0), math.dim(op.getOut(), 1)),
          columns = math.constant(out.getDimSize(2));
    auto loadPart = [&](OpBuilder &b, Value n) -> std::pair<Value, Value> {
      auto lse = b.create<tile::LoadOp>(loc, rowsType, emitSlice(b, loc, op.getPartLse(), n), ValueRange{zero, zero},
                                        ValueRange{rows}, /*grouped=*/true);
      auto part = b.create<tile::LoadOp>(loc, accType, emitSlice(b, loc, op.getParts(), n),
                                         ValueRange{zero, zero, zero}, ValueRange{rows, columns}, /*grouped=*/true);
      return {lse, part};
    };
    // A single part is the result; it only has to be rounded and put in its place.
    if (cast<MemRefType>(op.getParts().getType()).getDimSize(0) == 1) {
      auto [lse, part] = loadPart(b, zero);
      b.create<tile::StoreOp>(loc, part, op.getOut(), ValueRange{zero, zero, zero}, ValueRange{rows, columns},
                              /*grouped=*/true);
      if (op.getLse())
        b.create<tile::StoreOp>(loc, lse, op.getLse(), ValueRange{zero, zero}, ValueRange{rows}, /*grouped=*/true);
      else
        lse.getDefiningOp()->erase();
      op.erase();
      return;
    }
    Value none = constant(b, loc, type, 0.0);
    Value lowest = constant(b, loc, type, -std::numeric_limits<double>::infinity());

    SmallVector<Value> state = {b.create<tile::SplatOp>(loc, accType, none),
                                b.create<tile::SplatOp>(loc, rowsType, lowest),
                                b.create<tile::SplatOp>(loc, rowsType, none)};
    auto loop = b.create<scf::ForOp>(
        loc, zero, math.dim(op.getParts(), 0), one, state, [&](OpBuilder &b, Location loc, Value n, ValueRange state) {
          auto map = [&](TileType result, ValueRange inputs, Body body) -> Value {
            return b.create<tile::MapOp>(loc, result, inputs, ValueRange(), body);
          };
          Value acc = state[0], max = state[1], sum = state[2];
          auto [lse, part] = loadPart(b, n);
          // In units of log2, as the state of an online softmax is.
          Value log = map(rowsType, lse, [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
            return b.create<arith::MulFOp>(loc, in[0], constant(b, loc, type, kLog2e));
          });
          Value larger = map(rowsType, {max, log}, [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
            return b.create<arith::MaxNumFOp>(loc, in[0], in[1]);
          });
          // Where all parts so far are empty, -inf - -inf would be NaN.
          Value base = map(rowsType, larger, [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
            Value isEmpty = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OEQ, in[0], lowest);
            return b.create<arith::SelectOp>(loc, isEmpty, none, in[0]);
          });
          Value before = map(rowsType, {max, base}, emitWeight), now = map(rowsType, {log, base}, emitWeight);
          Value newSum = map(rowsType, {sum, before, now}, [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
            return b.create<math::FmaOp>(loc, in[0], in[1], in[2]);
          });
          Value newAcc =
              map(accType, {acc, part, before, now}, [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
                Value kept = b.create<arith::MulFOp>(loc, in[0], in[2]);
                return b.create<math::FmaOp>(loc, in[1], in[3], kept);
              });
          b.create<scf::YieldOp>(loc, ValueRange{newAcc, larger, newSum});
        });
    b.create<attn::NormalizeOp>(loc, loop.getResult(0), loop.getResult(1), loop.getResult(2), rows, op.getOut(),
                                op.getLse());
    op.erase();
  }
};
} // namespace

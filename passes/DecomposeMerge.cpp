//===- DecomposeMerge.cpp - Joining partial attentions as linalg ---------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include <limits>

namespace flashc {
#define GEN_PASS_DEF_DECOMPOSEMERGE
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

/// `value` in another floating-point type.
static Value convert(OpBuilder &b, Location loc, Value value, Type type) {
  unsigned from = value.getType().getIntOrFloatBitWidth(), to = type.getIntOrFloatBitWidth();
  if (value.getType() == type)
    return value;
  if (from < to)
    return b.create<arith::ExtFOp>(loc, type, value);
  return b.create<arith::TruncFOp>(loc, type, value);
}

static Value constant(OpBuilder &b, Location loc, Type type, double value) {
  return b.create<arith::ConstantOp>(loc, b.getFloatAttr(type, value));
}

/// One of the two terms of `out`. A side of weight 0 contributes nothing, whatever its rows hold.
static Value emitTerm(OpBuilder &b, Location loc, Value weight, Value element) {
  Value zero = constant(b, loc, weight.getType(), 0.0);
  Value isNothing = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OEQ, weight, zero);
  Value product = b.create<arith::MulFOp>(loc, weight, convert(b, loc, element, weight.getType()));
  return b.create<arith::SelectOp>(loc, isNothing, zero, product);
}

namespace {
/// The sides' weights and the joint logarithm, as scalars.
struct Weights {
  Value a, b, lse;
};

struct DecomposeMerge : public flashc::impl::DecomposeMergeBase<DecomposeMerge> {
  void runOnOperation() override {
    SmallVector<attn::MergeOp> operations;
    getOperation().walk([&](attn::MergeOp op) { operations.push_back(op); });
    for (attn::MergeOp op : operations)
      decompose(op);
    numDecomposed += operations.size();
  }

private:
  /// With the larger of both logarithms taken out of the exponentials, nothing overflows and one of them is exactly 1:
  /// where the other side is empty its weight is 0, this side's 1, and the logarithm unchanged.
  static Weights emitWeights(OpBuilder &b, Location loc, Value lseA, Value lseB) {
    Type type = lseA.getType();
    Value zero = constant(b, loc, type, 0.0);
    Value lowest = constant(b, loc, type, -std::numeric_limits<double>::infinity());
    Value larger = b.create<arith::MaximumFOp>(loc, lseA, lseB);
    // Both sides empty: -inf - -inf would be NaN.
    Value isEmpty = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OEQ, larger, lowest);
    Value base = b.create<arith::SelectOp>(loc, isEmpty, zero, larger);
    Value expA = b.create<math::ExpOp>(loc, b.create<arith::SubFOp>(loc, lseA, base).getResult());
    Value expB = b.create<math::ExpOp>(loc, b.create<arith::SubFOp>(loc, lseB, base).getResult());
    Value sum = b.create<arith::AddFOp>(loc, expA, expB);
    // Where a side vanishes the other's logarithm stays as it is: a target's exp(0) and log(1) are 1 and 0 but for
    // rounding.
    Value smaller = b.create<arith::MinimumFOp>(loc, expA, expB);
    Value isAlone = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OEQ, smaller, zero);
    Value joint = b.create<arith::AddFOp>(loc, base, b.create<math::LogOp>(loc, sum).getResult());
    Value lse = b.create<arith::SelectOp>(loc, isAlone, larger, joint);
    auto weight = [&](Value exp) -> Value {
      return b.create<arith::SelectOp>(loc, isEmpty, zero, b.create<arith::DivFOp>(loc, exp, sum).getResult());
    };
    Value weightA = weight(expA), weightB = weight(expB);
    return {weightA, weightB, lse};
  }

  static void decompose(attn::MergeOp op) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    bool tensors = isa<TensorType>(op.getLse().getType());
    auto lseType = cast<ShapedType>(op.getLse().getType());
    // Weights have the type of whichever of out and lse is wider.
    Type element = cast<ShapedType>(op.getOutA().getType()).getElementType(), compute = lseType.getElementType();
    if (element.getIntOrFloatBitWidth() > compute.getIntOrFloatBitWidth())
      compute = element;

    SmallVector<OpFoldResult> sizes;
    for (int64_t dimension = 0, rank = lseType.getRank(); dimension < rank; ++dimension) {
      if (!lseType.isDynamicDim(dimension))
        sizes.push_back(b.getIndexAttr(lseType.getDimSize(dimension)));
      else if (tensors)
        sizes.push_back(b.createOrFold<tensor::DimOp>(loc, op.getLse(), dimension));
      else
        sizes.push_back(b.createOrFold<memref::DimOp>(loc, op.getLse(), dimension));
    }
    auto temporary = [&]() -> Value {
      if (tensors)
        return b.create<tensor::EmptyOp>(loc, sizes, compute);
      SmallVector<int64_t> shape;
      SmallVector<Value> dynamic;
      dispatchIndexOpFoldResults(sizes, dynamic, shape);
      return b.create<memref::AllocOp>(loc, MemRefType::get(shape, compute), dynamic);
    };
    Value weightA = temporary(), weightB = temporary();

    AffineMap element4 = b.getMultiDimIdentityMap(4), row3 = b.getMultiDimIdentityMap(3);
    AffineMap row4 = AffineMap::get(4, 0, element4.getResults().drop_back(), b.getContext());
    auto types = [&](ArrayRef<Value> outs) {
      return tensors ? llvm::to_vector(ValueRange(outs).getTypes()) : SmallVector<Type>();
    };

    // First once a row. An lse that is updated in place is not read again after this.
    SmallVector<Value> rowOuts = {weightA, weightB, op.getLse()};
    auto rows = b.create<linalg::GenericOp>(
        loc, types(rowOuts), ValueRange{op.getLseA(), op.getLseB()}, rowOuts, SmallVector<AffineMap>(5, row3),
        SmallVector<utils::IteratorType>(3, utils::IteratorType::parallel),
        [&](OpBuilder &inner, Location loc, ValueRange arguments) {
          Weights weights = emitWeights(inner, loc, convert(inner, loc, arguments[0], compute),
                                        convert(inner, loc, arguments[1], compute));
          inner.create<linalg::YieldOp>(
              loc, ValueRange{weights.a, weights.b, convert(inner, loc, weights.lse, lseType.getElementType())});
        });
    if (tensors)
      weightA = rows.getResult(0), weightB = rows.getResult(1);

    auto elements = b.create<linalg::GenericOp>(
        loc, types({op.getOut()}), ValueRange{weightA, op.getOutA(), weightB, op.getOutB()}, ValueRange{op.getOut()},
        ArrayRef<AffineMap>{row4, element4, row4, element4, element4},
        SmallVector<utils::IteratorType>(4, utils::IteratorType::parallel),
        [&](OpBuilder &inner, Location loc, ValueRange arguments) {
          Value a = emitTerm(inner, loc, arguments[0], arguments[1]);
          Value sum = inner.create<arith::AddFOp>(loc, a, emitTerm(inner, loc, arguments[2], arguments[3]));
          inner.create<linalg::YieldOp>(loc, convert(inner, loc, sum, arguments[4].getType()));
        });
    if (tensors)
      op->replaceAllUsesWith(ValueRange{elements.getResult(0), rows.getResult(2)});
    else
      for (Value weight : {weightA, weightB})
        b.create<memref::DeallocOp>(loc, weight);
    op.erase();
  }
};
} // namespace

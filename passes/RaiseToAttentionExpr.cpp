//===- RaiseToAttentionExpr.cpp - Scalar expressions and their folding ----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/RaiseToAttentionExpr.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include <cmath>

using namespace mlir;

namespace flashc::raise {

std::optional<double> Expr::number() const {
  auto attr = dyn_cast_or_null<FloatAttr>(constant);
  return kind == Kind::Constant && attr ? std::optional(attr.getValueAsDouble()) : std::nullopt;
}

std::optional<bool> Expr::truth() const {
  auto attr = dyn_cast_or_null<IntegerAttr>(constant);
  return kind == Kind::Constant && attr && type.isInteger(1) ? std::optional(!attr.getValue().isZero()) : std::nullopt;
}

bool dependsOn(AffineExpr expr, unsigned dim) { return expr.isFunctionOfDim(dim); }

bool dependsOn(const Expr *expr, unsigned dim) {
  auto reads = [&](AffineExpr index) { return dependsOn(index, dim); };
  return llvm::any_of(expr->indices, reads) || (expr->index && reads(expr->index)) ||
         llvm::any_of(expr->operands, [&](const Expr *operand) { return dependsOn(operand, dim); });
}

const Expr *stripCasts(const Expr *expr) {
  while (expr->is("arith.extf") || expr->is("arith.truncf"))
    expr = expr->operands[0];
  return expr;
}

bool same(const Expr *a, const Expr *b) {
  if (a == b)
    return true;
  return a->kind == b->kind && a->type == b->type && a->source == b->source && a->indices == b->indices &&
         a->index == b->index && a->constant == b->constant && a->name == b->name && a->attributes == b->attributes &&
         a->operands.size() == b->operands.size() && llvm::all_of(llvm::zip(a->operands, b->operands), [](auto pair) {
           return same(std::get<0>(pair), std::get<1>(pair));
         });
}

const Expr *TensorReader::make(Expr expr) {
  pool.push_back(std::move(expr));
  return &pool.back();
}

const Expr *TensorReader::makeElement(Value tensor, ArrayRef<AffineExpr> indices) {
  Expr expr(Expr::Kind::Element, getElementTypeOrSelf(tensor));
  expr.source = tensor;
  expr.indices.assign(indices.begin(), indices.end());
  expr.origin = tensor.getDefiningOp();
  return make(std::move(expr));
}

const Expr *TensorReader::makeConstant(TypedAttr value, Operation *origin) {
  Expr expr(Expr::Kind::Constant, value.getType());
  expr.constant = value;
  expr.origin = origin;
  return make(std::move(expr));
}

const Expr *TensorReader::makeIndex(AffineExpr index, Type type) {
  index = space.simplify(index);
  if (auto constant = dyn_cast<AffineConstantExpr>(index))
    return makeConstant(IntegerAttr::get(type, constant.getValue()));
  Expr expr(Expr::Kind::Index, type);
  expr.index = index;
  return make(std::move(expr));
}

const Expr *TensorReader::makeCompute(StringRef name, DictionaryAttr attributes, ArrayRef<const Expr *> operands,
                                      Type type, Operation *origin) {
  if (const Expr *folded = foldCompute(name, attributes, operands, type, origin))
    return folded;
  Expr expr(Expr::Kind::Compute, type);
  expr.name = name;
  expr.attributes = attributes;
  expr.operands.assign(operands.begin(), operands.end());
  expr.origin = origin;
  for (const Expr *operand : operands)
    expr.weight = std::min(expr.weight + operand->weight, maxWeight + 1);
  return make(std::move(expr));
}

/// An integer expression as an index expression: a constant or an Index.
static std::optional<AffineExpr> asIndex(const Expr *expr, MLIRContext *context) {
  if (expr->kind == Expr::Kind::Index)
    return expr->index;
  if (auto attr = dyn_cast_or_null<IntegerAttr>(expr->constant); attr && expr->kind == Expr::Kind::Constant)
    if (!expr->type.isInteger(1) && attr.getValue().getSignificantBits() <= 64)
      return getAffineConstantExpr(attr.getValue().getSExtValue(), context);
  return std::nullopt;
}

/// What a comparison of two indices is, if it is the same for all of them.
static std::optional<bool> decide(IndexSpace &space, arith::CmpIPredicate predicate, AffineExpr difference) {
  auto range = space.bounds(difference);
  // Unsigned comparisons of indices that may be negative stay as they are.
  if (!range)
    return std::nullopt;
  auto [low, high] = *range;
  auto sure = [](bool yes, bool no) { return yes ? std::optional(true) : no ? std::optional(false) : std::nullopt; };
  switch (predicate) {
  case arith::CmpIPredicate::eq:
    return sure(low == 0 && high == 0, low > 0 || high < 0);
  case arith::CmpIPredicate::ne:
    return sure(low > 0 || high < 0, low == 0 && high == 0);
  case arith::CmpIPredicate::slt:
    return sure(high < 0, low >= 0);
  case arith::CmpIPredicate::sle:
    return sure(high <= 0, low > 0);
  case arith::CmpIPredicate::sgt:
    return sure(low > 0, high <= 0);
  case arith::CmpIPredicate::sge:
    return sure(low >= 0, high < 0);
  default:
    return std::nullopt;
  }
}

static FloatAttr roundTo(Type type, APFloat value) {
  bool lossy;
  value.convert(cast<FloatType>(type).getFloatSemantics(), APFloat::rmNearestTiesToEven, &lossy);
  return FloatAttr::get(type, value);
}

/// Arithmetic on floating-point constants, as the operation itself would round.
static FloatAttr foldFloat(StringRef name, ArrayRef<const Expr *> operands, Type type) {
  if (!isa<FloatType>(type) || operands.empty())
    return {};
  SmallVector<APFloat> values;
  for (const Expr *operand : operands) {
    auto attr = dyn_cast_or_null<FloatAttr>(operand->constant);
    if (operand->kind != Expr::Kind::Constant || !attr)
      return {};
    values.push_back(attr.getValue());
  }
  if (name == "arith.extf" || name == "arith.truncf")
    return roundTo(type, values[0]);
  if (name == "arith.negf")
    return FloatAttr::get(type, -values[0]);
  if (name == "math.sqrt")
    return roundTo(type, APFloat(std::sqrt(operands[0]->number().value())));
  if (name == "math.rsqrt")
    return roundTo(type, APFloat(1.0 / std::sqrt(operands[0]->number().value())));
  if (values.size() != 2 || &values[0].getSemantics() != &values[1].getSemantics())
    return {};
  if (name == "arith.addf")
    return FloatAttr::get(type, values[0] + values[1]);
  if (name == "arith.subf")
    return FloatAttr::get(type, values[0] - values[1]);
  if (name == "arith.mulf")
    return FloatAttr::get(type, values[0] * values[1]);
  if (name == "arith.divf")
    return FloatAttr::get(type, values[0] / values[1]);
  return {};
}

const Expr *TensorReader::foldCompute(StringRef name, DictionaryAttr attributes, ArrayRef<const Expr *> operands,
                                      Type type, Operation *origin) {
  if (FloatAttr folded = foldFloat(name, operands, type))
    return makeConstant(folded, origin);
  MLIRContext *context = space.getContext();

  if (name == "arith.select") {
    if (auto truth = operands[0]->truth())
      return operands[*truth ? 1 : 2];
    return same(operands[1], operands[2]) ? operands[1] : nullptr;
  }
  if (operands.size() == 1) {
    auto index = asIndex(operands[0], context);
    static const StringRef casts[] = {"arith.index_cast", "arith.extsi", "arith.trunci"};
    if (index && llvm::is_contained(casts, name))
      return makeIndex(*index, type);
    return nullptr;
  }
  if (operands.size() != 2)
    return nullptr;
  const Expr *lhs = operands[0], *rhs = operands[1];

  // Neutral elements. x + 0.0 is x but for the sign of a zero, which no sum, product or comparison downstream sees.
  if (name == "arith.addf" && rhs->number() == 0.0)
    return lhs;
  if (name == "arith.addf" && lhs->number() == 0.0)
    return rhs;
  if (name == "arith.subf" && rhs->number() == 0.0)
    return lhs;
  if ((name == "arith.mulf" || name == "arith.divf") && rhs->number() == 1.0)
    return lhs;
  if (name == "arith.mulf" && lhs->number() == 1.0)
    return rhs;
  if (type.isInteger(1)) {
    for (auto [one, other] : {std::pair(lhs, rhs), std::pair(rhs, lhs)}) {
      auto truth = one->truth();
      if (!truth)
        continue;
      if (name == "arith.andi")
        return *truth ? other : one;
      if (name == "arith.ori")
        return *truth ? one : other;
      if (name == "arith.xori" && !*truth)
        return other;
    }
  }

  auto left = asIndex(lhs, context), right = asIndex(rhs, context);
  if (!left || !right)
    return nullptr;
  if (name == "arith.addi")
    return makeIndex(*left + *right, type);
  if (name == "arith.subi")
    return makeIndex(*left - *right, type);
  if (name == "arith.muli" && (left->isSymbolicOrConstant() || right->isSymbolicOrConstant()))
    return makeIndex(*left * *right, type);
  if (name == "arith.cmpi")
    if (auto predicate = dyn_cast_or_null<arith::CmpIPredicateAttr>(attributes.get("predicate")))
      if (auto truth = decide(space, predicate.getValue(), space.simplify(*left - *right)))
        return makeConstant(IntegerAttr::get(type, *truth), origin);
  return nullptr;
}

} // namespace flashc::raise

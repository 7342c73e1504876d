//===- RaiseToAttentionIndices.cpp - Index expressions with extents -------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/RaiseToAttentionExpr.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace flashc::raise {

AffineExpr IndexSpace::add(int64_t extent) {
  extents.push_back(extent);
  return getAffineDimExpr(extents.size() - 1, context);
}

/// Dimensions in order, then the rest as they came.
static bool before(AffineExpr a, AffineExpr b) {
  auto dimA = dyn_cast<AffineDimExpr>(a), dimB = dyn_cast<AffineDimExpr>(b);
  if (dimA && dimB)
    return dimA.getPosition() < dimB.getPosition();
  return dimA && !dimB;
}

static void addTerm(IndexSpace::Linear &linear, AffineExpr term, int64_t coefficient) {
  if (coefficient == 0)
    return;
  for (auto it = linear.terms.begin(); it != linear.terms.end(); ++it) {
    if (it->first != term)
      continue;
    it->second += coefficient;
    if (it->second == 0)
      linear.terms.erase(it);
    return;
  }
  auto at = llvm::find_if(linear.terms, [&](auto &each) { return before(term, each.first); });
  linear.terms.insert(at, {term, coefficient});
}

AffineExpr IndexSpace::compose(const Linear &linear) const {
  AffineExpr sum;
  for (auto [term, coefficient] : linear.terms) {
    AffineExpr product = coefficient == 1 ? term : term * coefficient;
    sum = sum ? sum + product : product;
  }
  if (!sum)
    return getAffineConstantExpr(linear.constant, context);
  return linear.constant == 0 ? sum : sum + linear.constant;
}

std::optional<std::pair<int64_t, int64_t>> IndexSpace::bounds(AffineExpr expr) const {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return std::make_pair(constant.getValue(), constant.getValue());
  if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
    int64_t size = extents[dim.getPosition()];
    if (ShapedType::isDynamic(size))
      return std::nullopt;
    return std::make_pair(int64_t(0), std::max<int64_t>(size - 1, 0));
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return std::nullopt;
  auto right = bounds(binary.getRHS());
  if (!right)
    return std::nullopt;
  // A remainder is bounded whatever it is a remainder of.
  if (expr.getKind() == AffineExprKind::Mod)
    return right->first > 0 ? std::optional(std::make_pair(int64_t(0), right->second - 1)) : std::nullopt;
  auto left = bounds(binary.getLHS());
  if (!left)
    return std::nullopt;
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return std::make_pair(left->first + right->first, left->second + right->second);
  case AffineExprKind::Mul:
    if (right->first != right->second)
      return std::nullopt;
    return std::minmax({left->first * right->first, left->second * right->first});
  case AffineExprKind::FloorDiv:
    if (right->first != right->second || right->first <= 0)
      return std::nullopt;
    return std::make_pair(llvm::divideFloorSigned(left->first, right->first),
                          llvm::divideFloorSigned(left->second, right->first));
  default:
    return std::nullopt;
  }
}

IndexSpace::Linear IndexSpace::divide(const Linear &linear, int64_t divisor, bool remainder) {
  // divisor * quotient + rest, where no term of rest is a multiple of the divisor.
  Linear quotient, rest;
  for (auto [term, coefficient] : linear.terms) {
    if (coefficient % divisor == 0)
      addTerm(quotient, term, coefficient / divisor);
    else
      addTerm(rest, term, coefficient);
  }
  quotient.constant = llvm::divideFloorSigned(linear.constant, divisor);
  rest.constant = linear.constant - quotient.constant * divisor;

  AffineExpr restExpr = compose(rest);
  auto range = bounds(restExpr);
  if (range && range->first >= 0 && range->second < divisor)
    return remainder ? rest : quotient;

  // One term `coefficient * d` sticks out: were d known as outer * inner + d', the quotient would be exact.
  for (auto [term, coefficient] : rest.terms) {
    auto dim = dyn_cast<AffineDimExpr>(term);
    if (!dim || coefficient <= 0 || divisor % coefficient != 0)
      continue;
    Linear others = rest;
    addTerm(others, term, -coefficient);
    auto range = bounds(compose(others));
    int64_t inner = divisor / coefficient, size = extents[dim.getPosition()];
    if (!range || range->first < 0 || range->second >= coefficient)
      continue;
    if (inner > 1 && (ShapedType::isDynamic(size) || (size % inner == 0 && size > inner))) {
      if (!wantedSplit)
        wantedSplit = std::make_pair(dim.getPosition(), inner);
      break;
    }
  }
  Linear result;
  if (remainder) {
    addTerm(result, restExpr % divisor, 1);
    return result;
  }
  result = quotient;
  addTerm(result, restExpr.floorDiv(divisor), 1);
  return result;
}

IndexSpace::Linear IndexSpace::linearize(AffineExpr expr) {
  Linear result;
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    result.constant = constant.getValue();
    return result;
  }
  if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
    if (extents[dim.getPosition()] != 1)
      addTerm(result, expr, 1);
    return result;
  }
  if (auto binary = dyn_cast<AffineBinaryOpExpr>(expr)) {
    Linear left = linearize(binary.getLHS()), right = linearize(binary.getRHS());
    switch (expr.getKind()) {
    case AffineExprKind::Add:
      result = left;
      for (auto [term, coefficient] : right.terms)
        addTerm(result, term, coefficient);
      result.constant += right.constant;
      return result;
    case AffineExprKind::Mul:
      if (!right.terms.empty())
        std::swap(left, right);
      if (!right.terms.empty())
        break;
      for (auto [term, coefficient] : left.terms)
        addTerm(result, term, coefficient * right.constant);
      result.constant = left.constant * right.constant;
      return result;
    case AffineExprKind::FloorDiv:
    case AffineExprKind::Mod:
      if (right.terms.empty() && right.constant > 0)
        return divide(left, right.constant, expr.getKind() == AffineExprKind::Mod);
      break;
    default:
      break;
    }
  }
  addTerm(result, expr, 1);
  return result;
}

AffineExpr IndexSpace::simplify(AffineExpr expr) { return compose(linearize(expr)); }

} // namespace flashc::raise

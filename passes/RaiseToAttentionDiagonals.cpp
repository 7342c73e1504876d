//===- RaiseToAttentionDiagonals.cpp - Masks that are diagonals -----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "passes/RaiseToAttentionMatch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace flashc::raise {

DiagonalSet DiagonalSet::operator&(const DiagonalSet &other) const {
  SmallVector<Interval> result;
  for (auto [low, high] : list)
    for (auto [otherLow, otherHigh] : other.list)
      if (std::max(low, otherLow) <= std::min(high, otherHigh))
        result.push_back({std::max(low, otherLow), std::min(high, otherHigh)});
  return DiagonalSet(result);
}

DiagonalSet DiagonalSet::operator~() const {
  SmallVector<Interval> result;
  int64_t next = -unbounded;
  for (auto [low, high] : list) {
    if (next < low)
      result.push_back({next, low - 1});
    next = high == unbounded ? high : high + 1;
  }
  if (list.empty() || list.back().second != unbounded)
    result.push_back({next, unbounded});
  return DiagonalSet(result);
}

int64_t ScoreMatcher::queryExtent() const { return roles.query ? space.extent(*roles.query) : 1; }

/// `difference predicate 0` for a multiple of j - i plus a constant.
std::optional<DiagonalSet> ScoreMatcher::compareDiagonals(const Expr *compare) {
  auto predicate = dyn_cast_or_null<arith::CmpIPredicateAttr>(compare->attributes.get("predicate"));
  if (!predicate)
    return std::nullopt;
  AffineExpr sides[2];
  for (auto [side, operand] : llvm::zip(sides, compare->operands)) {
    if (operand->kind == Expr::Kind::Index)
      side = operand->index;
    else if (auto attr = dyn_cast_or_null<IntegerAttr>(operand->constant))
      side = getAffineConstantExpr(attr.getInt(), space.getContext());
    else
      return std::nullopt;
  }
  IndexSpace::Linear difference = space.linearize(sides[0] - sides[1]);
  int64_t keyFactor = 0, queryFactor = 0;
  for (auto [term, coefficient] : difference.terms) {
    auto dim = dyn_cast<AffineDimExpr>(term);
    if (dim && dim.getPosition() == roles.key)
      keyFactor = coefficient;
    else if (dim && roles.query && dim.getPosition() == *roles.query)
      queryFactor = coefficient;
    else
      return std::nullopt;
  }
  // A single query is query 0.
  if (keyFactor == 0 || (roles.query && queryFactor != -keyFactor))
    return std::nullopt;

  // factor * d + constant `predicate` 0
  auto condition = predicate.getValue();
  int64_t factor = keyFactor, constant = difference.constant;
  if (factor < 0) {
    factor = -factor;
    constant = -constant;
    static const std::pair<arith::CmpIPredicate, arith::CmpIPredicate> mirrored[] = {
        {arith::CmpIPredicate::slt, arith::CmpIPredicate::sgt},
        {arith::CmpIPredicate::sle, arith::CmpIPredicate::sge},
        {arith::CmpIPredicate::sgt, arith::CmpIPredicate::slt},
        {arith::CmpIPredicate::sge, arith::CmpIPredicate::sle}};
    for (auto [from, to] : mirrored) {
      if (condition == from) {
        condition = to;
        break;
      }
    }
  }
  constexpr int64_t unbounded = DiagonalSet::unbounded;
  int64_t atMost = llvm::divideFloorSigned(-constant, factor), atLeast = llvm::divideCeilSigned(-constant, factor);
  switch (condition) {
  case arith::CmpIPredicate::sle:
    return DiagonalSet::between(-unbounded, atMost);
  case arith::CmpIPredicate::slt:
    return DiagonalSet::between(-unbounded, atLeast - 1);
  case arith::CmpIPredicate::sge:
    return DiagonalSet::between(atLeast, unbounded);
  case arith::CmpIPredicate::sgt:
    return DiagonalSet::between(atMost + 1, unbounded);
  case arith::CmpIPredicate::eq:
    return atMost == atLeast ? DiagonalSet::between(atMost, atMost) : DiagonalSet::none();
  case arith::CmpIPredicate::ne:
    return atMost == atLeast ? ~DiagonalSet::between(atMost, atMost) : DiagonalSet::all();
  default:
    return std::nullopt;
  }
}

/// A constant tensor whose elements satisfy `holds` on whole diagonals.
std::optional<DiagonalSet> ScoreMatcher::constantDiagonals(const Expr *element,
                                                           llvm::function_ref<bool(Attribute)> holds) {
  DenseElementsAttr elements;
  if (element->kind != Expr::Kind::Element || !matchPattern(element->source, m_Constant(&elements)))
    return std::nullopt;
  int64_t queries = queryExtent(), keys = space.extent(roles.key);
  if (ShapedType::isDynamic(queries) || ShapedType::isDynamic(keys))
    return std::nullopt;
  // The position in the constant, as a function of query and key only.
  AffineExpr position = getAffineConstantExpr(0, space.getContext());
  for (auto [index, size] : llvm::zip(element->indices, elements.getType().getShape()))
    position = position * size + index;
  IndexSpace::Linear linear = space.linearize(position);
  int64_t keyStep = 0, queryStep = 0;
  for (auto [term, coefficient] : linear.terms) {
    auto dim = dyn_cast<AffineDimExpr>(term);
    if (dim && dim.getPosition() == roles.key)
      keyStep = coefficient;
    else if (dim && roles.query && dim.getPosition() == *roles.query)
      queryStep = coefficient;
    else
      return std::nullopt;
  }
  SmallVector<std::optional<bool>> known(queries + keys - 1);
  auto values = elements.getValues<Attribute>();
  for (int64_t i = 0; i < queries; ++i) {
    for (int64_t j = 0; j < keys; ++j) {
      bool value = holds(values[linear.constant + i * queryStep + j * keyStep]);
      std::optional<bool> &diagonal = known[j - i + queries - 1];
      if (diagonal && *diagonal != value)
        return std::nullopt;
      diagonal = value;
    }
  }
  DiagonalSet set = DiagonalSet::none();
  for (int64_t start = 0, count = known.size(); start < count;) {
    int64_t end = start;
    while (end < count && known[end] == known[start])
      ++end;
    // What lies beyond the scores may be anything: let it be as the last diagonal is.
    if (*known[start])
      set = set | DiagonalSet::between(start == 0 ? -DiagonalSet::unbounded : start - (queries - 1),
                                       end == count ? DiagonalSet::unbounded : end - queries);
    start = end;
  }
  return set;
}

std::optional<DiagonalSet> ScoreMatcher::diagonalsOf(const Expr *condition) {
  if (auto truth = condition->truth())
    return *truth ? DiagonalSet::all() : DiagonalSet::none();
  if (condition->is("arith.andi") || condition->is("arith.ori")) {
    auto left = diagonalsOf(condition->operands[0]), right = diagonalsOf(condition->operands[1]);
    if (!left || !right)
      return std::nullopt;
    return condition->is("arith.andi") ? *left & *right : *left | *right;
  }
  if (condition->is("arith.xori") && condition->operands[1]->truth() == true) {
    auto inner = diagonalsOf(condition->operands[0]);
    return inner ? std::optional(~*inner) : std::nullopt;
  }
  if (condition->is("arith.select")) {
    auto choice = diagonalsOf(condition->operands[0]);
    auto yes = diagonalsOf(condition->operands[1]), no = diagonalsOf(condition->operands[2]);
    if (!choice || !yes || !no)
      return std::nullopt;
    return (*choice & *yes) | (~*choice & *no);
  }
  if (condition->is("arith.cmpi"))
    return compareDiagonals(condition);
  return constantDiagonals(condition, [](Attribute value) { return !cast<IntegerAttr>(value).getValue().isZero(); });
}

bool ScoreMatcher::coversEveryQuery(const DiagonalSet &diagonals) {
  int64_t queries = queryExtent(), keys = space.extent(roles.key);
  for (auto [low, high] : diagonals.intervals()) {
    // Query 0 has a key j in [low, high] with j >= 0, and the last query one with j <= keys - 1: so has each between,
    // as the interval moves by one key a query.
    bool first = high >= 0;
    bool last = low == -DiagonalSet::unbounded ||
                (!ShapedType::isDynamic(queries) && !ShapedType::isDynamic(keys) && queries - 1 + low <= keys - 1);
    if (first && last)
      return true;
  }
  return false;
}

std::optional<SmallVector<Attribute>> diagonalMasks(const DiagonalSet &diagonals, int64_t queries, int64_t keys,
                                                    MLIRContext *context) {
  constexpr int64_t unbounded = DiagonalSet::unbounded;
  // Diagonals that exist: beyond them it does not matter what the set holds.
  int64_t first = ShapedType::isDynamic(queries) ? -unbounded : 1 - queries;
  int64_t last = ShapedType::isDynamic(keys) ? unbounded : keys - 1;
  DiagonalSet inside = diagonals & DiagonalSet::between(first, last);
  if (inside.intervals().size() != 1)
    return std::nullopt;
  auto [low, high] = inside.intervals()[0];
  bool left = low != first, right = high != last;
  if (!left && !right)
    return SmallVector<Attribute>();
  bool bothKnown = !ShapedType::isDynamic(queries) && !ShapedType::isDynamic(keys);
  SmallVector<std::pair<attn::Alignment, int64_t>> alignments{{attn::Alignment::TopLeft, 0}};
  if (bothKnown)
    alignments.push_back({attn::Alignment::BottomRight, keys - queries});
  // A plain causal mask if it is one by either alignment, else a window.
  for (auto [alignment, diagonal] : alignments)
    if (!left && high == diagonal)
      return SmallVector<Attribute>{attn::CausalAttr::get(context, alignment)};
  for (auto [alignment, diagonal] : alignments)
    if ((!left || low <= diagonal) && (!right || high >= diagonal))
      return SmallVector<Attribute>{
          attn::WindowAttr::get(context, left ? diagonal - low : -1, right ? high - diagonal : -1, alignment)};
  return std::nullopt;
}

/// The condition that position is on one of `diagonals`, for sets that no mask of attn.sdpa expresses.
const Expr *ScoreMatcher::conditionOf(const DiagonalSet &diagonals) {
  MLIRContext *context = space.getContext();
  Type index = IndexType::get(context), boolean = IntegerType::get(context, 1);
  DictionaryAttr none = DictionaryAttr::get(context);
  AffineExpr difference = getAffineDimExpr(roles.key, context);
  if (roles.query)
    difference = difference - getAffineDimExpr(*roles.query, context);
  auto compare = [&](arith::CmpIPredicate predicate, int64_t bound) {
    NamedAttribute attribute(StringAttr::get(context, "predicate"), arith::CmpIPredicateAttr::get(context, predicate));
    return reader.makeCompute(
        "arith.cmpi", DictionaryAttr::get(context, attribute),
        {reader.makeIndex(difference, index), reader.makeConstant(IntegerAttr::get(index, bound))}, boolean,
        product->origin);
  };
  const Expr *condition = reader.makeConstant(IntegerAttr::get(boolean, 0));
  for (auto [low, high] : diagonals.intervals()) {
    const Expr *inside = reader.makeConstant(IntegerAttr::get(boolean, 1));
    if (low != -DiagonalSet::unbounded)
      inside = conjunction(inside, compare(arith::CmpIPredicate::sge, low));
    if (high != DiagonalSet::unbounded)
      inside = conjunction(inside, compare(arith::CmpIPredicate::sle, high));
    condition = reader.makeCompute("arith.ori", none, {condition, inside}, boolean, product->origin);
  }
  return condition;
}

} // namespace flashc::raise

//===- RaiseToAttentionScore.cpp - Scale, softcap, bias and masks ---------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "passes/RaiseToAttentionMatch.h"
#include <cmath>

using namespace mlir;

namespace flashc::raise {

/// A number so low that a score beside it has no weight: exp(fill - score) is 0 for every score above half of it.
static constexpr double lowEnough = -1e29;

static bool isFill(const Expr *expr) {
  auto number = expr->number();
  if (!number || std::isnan(*number) || *number >= 0)
    return false;
  return *number <= lowEnough || cast<FloatAttr>(expr->constant).getValue().isLargest();
}

/// Whether an added expression may be -inf or NaN.
static bool mayBeInfinite(const Expr *expr) {
  if (auto number = expr->number())
    return !std::isfinite(*number);
  if (expr->is("arith.select"))
    return mayBeInfinite(expr->operands[1]) || mayBeInfinite(expr->operands[2]);
  return !expr->is("arith.uitofp") && !expr->is("arith.sitofp");
}

bool ScoreMatcher::fail(Operation *op, const Twine &reason) {
  if (!nearMiss)
    nearMiss = NearMiss{op ? op : product->origin, reason.str()};
  return false;
}

bool ScoreMatcher::contains(const Expr *expr) const {
  return expr == product || same(expr, product) ||
         llvm::any_of(expr->operands, [&](const Expr *operand) { return contains(operand); });
}

const Expr *ScoreMatcher::add(const Expr *a, const Expr *b) {
  if (!a || !b)
    return a ? a : b;
  return reader.makeCompute("arith.addf", DictionaryAttr::get(space.getContext()), {a, b}, a->type, a->origin);
}

const Expr *ScoreMatcher::conjunction(const Expr *a, const Expr *b) {
  if (!a || !b)
    return a ? a : b;
  return reader.makeCompute("arith.andi", DictionaryAttr::get(space.getContext()), {a, b}, a->type, a->origin);
}

const Expr *ScoreMatcher::negation(const Expr *expr) {
  const Expr *yes = reader.makeConstant(IntegerAttr::get(expr->type, 1));
  return reader.makeCompute("arith.xori", DictionaryAttr::get(space.getContext()), {expr, yes}, expr->type,
                            expr->origin);
}

//===----------------------------------------------------------------------===//
// From the softmax back to the product
//===----------------------------------------------------------------------===//

/// An addition to the score. Sums fall apart; `select(keep, 0, fill)` is a mask.
bool ScoreMatcher::collectBias(const Expr *expr, double sign, Operation *origin, SmallVectorImpl<Step> &steps) {
  if (expr->is("arith.addf"))
    return collectBias(expr->operands[0], sign, origin, steps) && collectBias(expr->operands[1], sign, origin, steps);
  if (expr->number() == 0.0)
    return true;
  Step step(Step::Kind::Mask);
  step.origin = origin;
  step.type = expr->type;
  step.additive = true;
  if (expr->is("arith.select") && sign > 0) {
    bool keepsTrue = expr->operands[1]->number() == 0.0 && isFill(expr->operands[2]);
    bool keepsFalse = expr->operands[2]->number() == 0.0 && isFill(expr->operands[1]);
    if (keepsTrue || keepsFalse) {
      step.keep = keepsTrue ? expr->operands[0] : negation(expr->operands[0]);
      step.fill = *expr->operands[keepsTrue ? 2 : 1]->number();
      step.bias = expr;
      steps.push_back(step);
      return true;
    }
  }
  step.kind = Step::Kind::Bias;
  step.bias = expr;
  if (sign < 0)
    step.bias = reader.makeCompute("arith.negf", DictionaryAttr::get(space.getContext()), {expr}, expr->type, origin);
  steps.push_back(step);
  return true;
}

/// Lists the steps from product to `expr`, first applied first.
bool ScoreMatcher::collect(const Expr *expr, SmallVectorImpl<Step> &steps) {
  if (same(expr, product))
    return true;
  if (expr->kind != Expr::Kind::Compute)
    return fail(expr->origin, "the score is not computed from one product");
  SmallVector<unsigned> carriers;
  for (auto [number, operand] : llvm::enumerate(expr->operands))
    if (contains(operand))
      carriers.push_back(number);
  if (carriers.size() != 1)
    return fail(expr->origin, "the product enters the score more than once");
  const Expr *inner = expr->operands[carriers[0]];
  if (!collect(inner, steps))
    return false;
  const Expr *other = expr->operands.size() == 2 ? expr->operands[1 - carriers[0]] : nullptr;

  Step step(Step::Kind::Scale);
  step.origin = expr->origin;
  step.type = expr->type;
  // Casts between floating-point types round once more or once less than attn.sdpa does.
  if (expr->is("arith.extf") || expr->is("arith.truncf"))
    return true;
  if (expr->is("arith.negf")) {
    step.factor = -1.0;
    steps.push_back(step);
    return true;
  }
  if (expr->is("arith.mulf") || (expr->is("arith.divf") && carriers[0] == 0)) {
    auto number = stripCasts(other)->number();
    if (!number || !std::isfinite(*number) || *number == 0.0)
      return fail(expr->origin, "the score is multiplied by something that is not a finite constant");
    step.factor = expr->is("arith.mulf") ? *number : 1.0 / *number;
    steps.push_back(step);
    return true;
  }
  if (expr->is("math.tanh")) {
    step.kind = Step::Kind::Tanh;
    steps.push_back(step);
    return true;
  }
  if (expr->is("arith.addf"))
    return collectBias(stripCasts(other), 1.0, expr->origin, steps);
  if (expr->is("arith.subf") && carriers[0] == 0)
    return collectBias(stripCasts(other), -1.0, expr->origin, steps);
  if (expr->is("arith.select") && carriers[0] != 0) {
    const Expr *fill = expr->operands[3 - carriers[0]];
    if (!fill->number())
      return fail(expr->origin, "masked scores are replaced by something that is not a constant");
    if (!isFill(fill))
      return fail(expr->origin, "masked scores become " + std::to_string(*fill->number()) +
                                    ", which may still have weight; expected -inf or at most -1e29");
    step.kind = Step::Kind::Mask;
    step.keep = carriers[0] == 1 ? expr->operands[0] : negation(expr->operands[0]);
    step.fill = *fill->number();
    steps.push_back(step);
    return true;
  }
  return fail(expr->origin,
              "'" + expr->name + "' between the product and the softmax is not a scale, softcap, bias or mask");
}

//===----------------------------------------------------------------------===//
// From steps to scale, softcap, bias and masks
//===----------------------------------------------------------------------===//

/// All that is added to or put in place of the score as one bias: with a fill beyond 1e29, `fill + score` is `fill`.
const Expr *ScoreMatcher::fold(ArrayRef<Step> steps) {
  DictionaryAttr none = DictionaryAttr::get(space.getContext());
  const Expr *bias = nullptr;
  auto constant = [&](double value, Type type) { return reader.makeConstant(FloatAttr::get(type, value)); };
  for (const Step &step : steps) {
    switch (step.kind) {
    case Step::Kind::Scale:
      if (bias)
        bias =
            reader.makeCompute("arith.mulf", none, {bias, constant(step.factor, bias->type)}, bias->type, step.origin);
      break;
    case Step::Kind::Tanh:
      break;
    case Step::Kind::Bias:
      bias = add(bias, step.bias);
      break;
    case Step::Kind::Mask: {
      if (step.additive) {
        bias = add(bias, step.bias);
        break;
      }
      const Expr *kept = bias ? bias : constant(0.0, step.type);
      bias = reader.makeCompute("arith.select", none, {step.keep, kept, constant(step.fill, step.type)}, step.type,
                                step.origin);
      break;
    }
    }
  }
  return bias;
}

/// Puts masks in their places: diagonals, flags of keys, or a tensor. True if every query then has a key.
bool ScoreMatcher::place(Score &score, ArrayRef<Step> masks) {
  auto placeOne = [&](auto &self, const Expr *keep) -> void {
    if (keep->is("arith.andi")) {
      self(self, keep->operands[0]);
      self(self, keep->operands[1]);
      return;
    }
    if (auto diagonals = diagonalsOf(keep)) {
      score.diagonals = score.diagonals ? *score.diagonals & *diagonals : *diagonals;
      return;
    }
    auto reads = [&](ArrayRef<unsigned> dims) {
      return llvm::any_of(dims, [&](unsigned dim) { return dependsOn(keep, dim); });
    };
    bool perHead = reads(roles.kvHeads) || reads(roles.groups) || (roles.query && dependsOn(keep, *roles.query));
    const Expr *&place = perHead || !dependsOn(keep, roles.key) ? score.tensorMask : score.keyFlags;
    place = conjunction(place, keep);
  };
  for (const Step &mask : masks)
    placeOne(placeOne, mask.keep);
  bool onlyDiagonals = !score.tensorMask && !score.keyFlags;
  bool covered = onlyDiagonals && coversEveryQuery(*score.diagonals);
  if (score.diagonals && !diagonalMasks(*score.diagonals, queryExtent(), space.extent(roles.key), space.getContext())) {
    score.tensorMask = conjunction(score.tensorMask, conditionOf(*score.diagonals));
    score.diagonals.reset();
  }
  return covered;
}

std::optional<Score> ScoreMatcher::combine(ArrayRef<Step> steps) {
  Score score;
  SmallVector<Step> masks;
  double beforeTanh = 1.0;
  bool additive = false;
  for (const Step &step : steps) {
    switch (step.kind) {
    case Step::Kind::Scale:
      // A negative factor would turn a mask's fill round.
      if ((!masks.empty() || score.bias) && step.factor <= 0) {
        fail(step.origin, "a bias or mask is multiplied by a negative number");
        return std::nullopt;
      }
      score.scale *= step.factor;
      if (score.bias)
        score.bias = fold({Step(Step::Kind::Bias, 1.0, score.bias), step});
      break;
    case Step::Kind::Tanh:
      if (score.softcap || score.bias || !masks.empty()) {
        fail(step.origin, "a tanh after a bias, a mask or another tanh is not a softcap");
        return std::nullopt;
      }
      beforeTanh = score.scale;
      score.scale = 1.0;
      score.softcap = 1.0;
      break;
    case Step::Kind::Bias:
      score.bias = add(score.bias, step.bias);
      break;
    case Step::Kind::Mask:
      additive |= step.additive;
      masks.push_back(step);
      break;
    }
  }
  if (score.softcap) {
    // scale * tanh(beforeTanh * x) is cap * tanh(s / cap) with cap = scale, s = scale * beforeTanh * x.
    if (score.scale <= 0) {
      fail(product->origin, "the softcap is negative");
      return std::nullopt;
    }
    score.softcap = score.scale;
    score.scale *= beforeTanh;
  }

  bool infiniteBias = score.bias && mayBeInfinite(score.bias);
  EmptyRows notANumber = emptyRowsAreZero ? EmptyRows::Same : EmptyRows::NotANumber;
  if (masks.empty()) {
    score.emptyRows = infiniteBias ? notANumber : EmptyRows::Same;
    return score;
  }
  Score plain = score;
  bool covered = place(score, masks);
  bool anyFinite = llvm::any_of(masks, [](const Step &mask) { return std::isfinite(mask.fill); });
  bool oneFill = llvm::all_of(masks, [&](const Step &mask) { return mask.fill == masks[0].fill; });

  if (covered && !(anyFinite && infiniteBias)) {
    score.emptyRows = infiniteBias ? notANumber : EmptyRows::Same;
    return score;
  }
  if (!anyFinite) {
    score.emptyRows = notANumber;
    return score;
  }
  // Rows without a key: all their scores are the same fill, so that the graph weighs all keys evenly.
  if (oneFill && !infiniteBias && !additive) {
    score.emptyRows = EmptyRows::Mean;
    return score;
  }
  // What is left is told by arithmetic alone: the masks become part of the bias.
  plain.bias = fold(steps);
  if (!plain.bias || !(plain.bias->type.isF32() || plain.bias->type.isF64())) {
    fail(masks[0].origin, "rows without a key are uniform in the graph, and that cannot be kept in this type");
    return std::nullopt;
  }
  plain.emptyRows = mayBeInfinite(plain.bias) ? notANumber : EmptyRows::Same;
  return plain;
}

std::optional<Score> ScoreMatcher::match(const Expr *expr) {
  SmallVector<Step> steps;
  if (!collect(expr, steps))
    return std::nullopt;
  return combine(steps);
}

} // namespace flashc::raise

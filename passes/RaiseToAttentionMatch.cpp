//===- RaiseToAttentionMatch.cpp - Finding attention ----------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/RaiseToAttentionMatch.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"
#include <cmath>

using namespace mlir;

namespace flashc::raise {

std::optional<SmallVector<Slot>> layoutOf(const Expr *element, IndexSpace &space) {
  SmallVector<Slot> slots;
  llvm::SmallDenseSet<unsigned> seen;
  auto type = cast<RankedTensorType>(element->source.getType());
  for (auto [index, size] : llvm::zip(element->indices, type.getShape())) {
    IndexSpace::Linear linear = space.linearize(index);
    Slot slot;
    slot.offset = linear.constant;
    llvm::sort(linear.terms, [](auto &a, auto &b) { return a.second > b.second; });
    // Innermost first: the coefficient of each dimension is the product of the extents inside of it.
    int64_t expected = 1;
    for (auto [term, coefficient] : llvm::reverse(linear.terms)) {
      auto dim = dyn_cast<AffineDimExpr>(term);
      if (!dim || coefficient != expected || !seen.insert(dim.getPosition()).second)
        return std::nullopt;
      slot.dims.insert(slot.dims.begin(), dim.getPosition());
      int64_t extent = space.extent(dim.getPosition());
      // Only the outermost extent of a slot may be unknown.
      expected =
          ShapedType::isDynamic(extent) || ShapedType::isDynamic(expected) ? ShapedType::kDynamic : expected * extent;
    }
    if (slot.offset < 0 || (ShapedType::isDynamic(expected) && slot.offset != 0))
      return std::nullopt;
    if (!ShapedType::isDynamic(expected) && !ShapedType::isDynamic(size) && slot.offset + expected > size)
      return std::nullopt;
    slots.push_back(std::move(slot));
  }
  return slots;
}

AttentionMatcher::AttentionMatcher(Contraction contraction, bool probabilitiesAreLhs)
    : output(std::move(contraction)), probabilitiesAreLhs(probabilitiesAreLhs) {
  for (int64_t extent : output.extents)
    factors.push_back({extent});
}

bool AttentionMatcher::fail(Operation *op, const Twine &reason) {
  if (!nearMiss)
    nearMiss = NearMiss{op ? op : output.op, reason.str()};
  return false;
}

std::optional<AttentionMatch> AttentionMatcher::match() {
  // Each split makes a dimension smaller, so that this ends; no graph needs more than one or two.
  for (int round = 0; round < 16; ++round) {
    nearMiss.reset();
    AttentionMatch match;
    switch (attempt(match)) {
    case Outcome::Matched:
      return match;
    case Outcome::Failed:
      return std::nullopt;
    case Outcome::Split:
      break;
    }
    auto [dim, inner] = *space->wantedSplit;
    unsigned position = dim;
    auto *factor = llvm::find_if(factors, [&](auto &each) {
      if (position < each.size())
        return true;
      position -= each.size();
      return false;
    });
    // A dimension of the first product's sum: its operands have to be taken as they are.
    if (factor == factors.end())
      return std::nullopt;
    int64_t extent = (*factor)[position];
    (*factor)[position] = inner;
    factor->insert(factor->begin() + position, ShapedType::isDynamic(extent) ? extent : extent / inner);
  }
  return std::nullopt;
}

AttentionMatcher::Outcome AttentionMatcher::attempt(AttentionMatch &match) {
  MLIRContext *context = output.op->getContext();
  space = std::make_unique<IndexSpace>(context);
  reader = std::make_unique<TensorReader>(*space);
  auto finish = [&](bool matched) {
    return space->wantedSplit ? Outcome::Split : matched ? Outcome::Matched : Outcome::Failed;
  };

  match.output = output;
  match.probabilitiesAreLhs = probabilitiesAreLhs;
  std::optional<unsigned> key;
  for (auto [loop, extents] : llvm::enumerate(factors)) {
    AffineExpr position = getAffineConstantExpr(0, context);
    match.loopDims.emplace_back();
    for (int64_t extent : extents) {
      position = position * (ShapedType::isDynamic(extent) ? 1 : extent) + space->add(extent);
      match.loopDims.back().push_back(space->size() - 1);
    }
    match.loops.push_back(position);
    if (!output.reduced[loop] || output.extents[loop] == 1)
      continue;
    if (key || extents.size() != 1)
      return Outcome::Failed;
    key = space->size() - 1;
  }
  if (!key)
    return Outcome::Failed;
  keyDim = *key;

  AffineMap map = probabilitiesAreLhs ? output.lhsMap : output.rhsMap;
  SmallVector<AffineExpr> indices;
  for (AffineExpr result : map.getResults())
    indices.push_back(result.replaceDims(match.loops));
  const Expr *probabilities = reader->read(probabilitiesAreLhs ? output.lhs : output.rhs, indices);
  auto softmax = matchSoftmax(probabilities);
  if (space->wantedSplit)
    return Outcome::Split;
  if (!softmax) {
    findBuriedSoftmax(probabilities);
    return finish(false);
  }
  const Expr *product = findProduct(softmax->score);
  if (!product)
    return finish(false);
  if (!matchFirstProduct(match, product) || !assignRoles(match, softmax->score))
    return finish(false);
  ScoreMatcher scores(*space, *reader, match.roles, product, softmax->emptyRowsAreZero);
  auto score = scores.match(softmax->score);
  if (!score) {
    nearMiss = scores.nearMiss;
    return finish(false);
  }
  match.score = *score;
  match.score.scale *= queryKeyFactor;
  for (const Expr *expr : {match.score.bias, match.score.keyFlags, match.score.tensorMask})
    if (expr && !checkLeaves(expr))
      return finish(false);
  return finish(checkUses(match));
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

bool AttentionMatcher::reducesTo(const Expr *element, ReductionKind kind, const Expr *reduced) {
  element = stripCasts(element);
  if (element->kind != Expr::Kind::Element || dependsOn(element, keyDim))
    return false;
  auto reduction = reader->readReduction(element, getAffineDimExpr(keyDim, space->getContext()));
  return reduction && reduction->kind == kind && reduction->extent == space->extent(keyDim) &&
         same(stripCasts(reduction->reduced), stripCasts(reduced));
}

std::optional<AttentionMatcher::Softmax> AttentionMatcher::matchQuotient(const Expr *numerator,
                                                                         const Expr *denominator) {
  numerator = stripCasts(numerator);
  if (!numerator->is("math.exp") || !stripCasts(numerator->operands[0])->is("arith.subf"))
    return std::nullopt;
  const Expr *difference = stripCasts(numerator->operands[0]);
  const Expr *score = difference->operands[0];
  if (!reducesTo(denominator, ReductionKind::Sum, numerator) ||
      !reducesTo(difference->operands[1], ReductionKind::Max, score))
    return std::nullopt;
  return Softmax{stripCasts(score), false};
}

/// Whether `condition` is true for exactly the rows whose scores are all -inf.
bool AttentionMatcher::isAllMasked(const Expr *condition, const Expr *score) {
  if (condition->kind != Expr::Kind::Element)
    return false;
  auto reduction = reader->readReduction(condition, getAffineDimExpr(keyDim, space->getContext()));
  if (!reduction || reduction->kind != ReductionKind::All || reduction->extent != space->extent(keyDim))
    return false;
  const Expr *compare = reduction->reduced;
  if (!compare->is("arith.cmpf"))
    return false;
  auto predicate = dyn_cast_or_null<arith::CmpFPredicateAttr>(compare->attributes.get("predicate"));
  auto limit = compare->operands[1]->number();
  return predicate && predicate.getValue() == arith::CmpFPredicate::OEQ && limit && std::isinf(*limit) && *limit < 0 &&
         same(stripCasts(compare->operands[0]), score);
}

std::optional<AttentionMatcher::Softmax> AttentionMatcher::matchSoftmax(const Expr *expr) {
  expr = stripCasts(expr);
  if (expr->is("arith.select") && expr->operands[1]->number() == 0.0) {
    // The safe softmax of PyTorch: 0 for a row whose scores are all -inf.
    auto inner = matchSoftmax(expr->operands[2]);
    if (!inner || !isAllMasked(expr->operands[0], inner->score))
      return std::nullopt;
    inner->emptyRowsAreZero = true;
    return inner;
  }
  if (expr->is("arith.divf"))
    return matchQuotient(expr->operands[0], expr->operands[1]);
  if (expr->is("arith.mulf")) {
    for (unsigned side : {0, 1}) {
      const Expr *inverse = stripCasts(expr->operands[1 - side]);
      if (inverse->is("arith.divf") && inverse->operands[0]->number() == 1.0)
        if (auto softmax = matchQuotient(expr->operands[side], inverse->operands[1]))
          return softmax;
    }
    return std::nullopt;
  }
  if (expr->kind != Expr::Kind::Element)
    return std::nullopt;
  auto softmax = dyn_cast_or_null<linalg::SoftmaxOp>(expr->source.getDefiningOp());
  if (!softmax || !softmax.hasPureTensorSemantics())
    return std::nullopt;
  uint64_t dimension = softmax.getDimension();
  if (dyn_cast<AffineDimExpr>(expr->indices[dimension]) != getAffineDimExpr(keyDim, space->getContext()) ||
      softmax.getInputOperandType().getDimSize(dimension) != space->extent(keyDim))
    return std::nullopt;
  for (auto [position, index] : llvm::enumerate(expr->indices))
    if (position != dimension && dependsOn(index, keyDim))
      return std::nullopt;
  return Softmax{stripCasts(reader->read(softmax.getInput(), expr->indices)), false};
}

/// The probabilities are not a softmax, but maybe something is done to one: then say what.
void AttentionMatcher::findBuriedSoftmax(const Expr *expr) {
  for (const Expr *operand : expr->operands) {
    auto softmax = matchSoftmax(operand);
    if (softmax && findProduct(softmax->score)) {
      fail(expr->origin, "the probabilities are changed by '" + expr->name + "' before the second product");
      return;
    }
    findBuriedSoftmax(operand);
  }
}

//===----------------------------------------------------------------------===//
// Products and dimensions
//===----------------------------------------------------------------------===//

const Expr *AttentionMatcher::findProduct(const Expr *expr) {
  if (expr->kind == Expr::Kind::Element)
    return expr->source.getDefiningOp() && dependsOn(expr, keyDim) && matchContraction(expr->source.getDefiningOp())
               ? expr
               : nullptr;
  for (const Expr *operand : expr->operands)
    if (const Expr *product = findProduct(operand))
      return product;
  return nullptr;
}

bool AttentionMatcher::startsAtZero(const Contraction &contraction) {
  auto structured = dyn_cast<linalg::LinalgOp>(contraction.op);
  if (!structured)
    return true;
  Value init = structured.getDpsInits()[0];
  SmallVector<AffineExpr> indices(cast<RankedTensorType>(init.getType()).getRank(),
                                  getAffineConstantExpr(0, space->getContext()));
  const Expr *value = reader->read(init, indices);
  return value->number() == 0.0 ||
         fail(contraction.op, "the product is added to a tensor instead of starting from zero");
}

const Expr *AttentionMatcher::readOperand(Value operand, AffineMap map, ArrayRef<AffineExpr> loops, double *factor) {
  SmallVector<AffineExpr> indices;
  for (AffineExpr result : map.getResults())
    indices.push_back(space->simplify(result.replaceDims(loops)));
  const Expr *expr = reader->readThroughMovement(operand, indices);
  double scale = 1.0;
  while (expr->kind == Expr::Kind::Compute) {
    auto left = expr->operands[0]->number(), right = expr->operands[1]->number();
    scale = expr->is("arith.divf") ? scale / *right : scale * (right ? *right : *left);
    expr = expr->operands[right ? 0 : 1];
  }
  // Where the factor has no place to go, or the layout is not one that reshapes give, the operand is taken as it is.
  bool usable = expr->kind == Expr::Kind::Element && (factor || scale == 1.0) && std::isfinite(scale);
  if (!usable || !layoutOf(expr, *space))
    return reader->makeElement(operand, indices);
  if (factor)
    *factor *= scale;
  return expr;
}

bool AttentionMatcher::matchFirstProduct(AttentionMatch &match, const Expr *product) {
  match.scores = *matchContraction(product->source.getDefiningOp());
  const Contraction &scores = match.scores;
  auto loops = reader->invert(scores.outMap, product->indices, scores.extents);
  if (!loops)
    return fail(scores.op, "the first product's result is read in a way that is not a permutation");
  for (auto [loop, reduced, extent] : llvm::zip(*loops, scores.reduced, scores.extents)) {
    if (loop)
      continue;
    if (!reduced)
      return fail(scores.op, "the first product has a loop that its result does not name");
    loop = space->add(extent);
    match.roles.depth.push_back(space->size() - 1);
  }
  queryKeyFactor = 1.0;
  const Expr *lhs = readOperand(scores.lhs, scores.lhsMap, *loops, &queryKeyFactor);
  const Expr *rhs = readOperand(scores.rhs, scores.rhsMap, *loops, &queryKeyFactor);
  bool keyIsLhs = dependsOn(lhs, keyDim);
  if (keyIsLhs == dependsOn(rhs, keyDim))
    return fail(scores.op, "both operands of the first product vary along the softmax");
  match.key = keyIsLhs ? lhs : rhs;
  match.query = keyIsLhs ? rhs : lhs;
  match.value = readOperand(probabilitiesAreLhs ? output.rhs : output.lhs,
                            probabilitiesAreLhs ? output.rhsMap : output.lhsMap, match.loops, nullptr);
  if (!startsAtZero(match.scores) || !startsAtZero(output))
    return false;
  for (auto [expr, what] : {std::pair(match.query, "query"), {match.key, "key"}, {match.value, "value"}})
    if (!layoutOf(expr, *space))
      return fail(expr->origin, Twine("the ") + what + " is read in a way that no reshape or transpose gives");
  return true;
}

bool AttentionMatcher::assignRoles(AttentionMatch &match, const Expr *score) {
  AffineMap probabilitiesMap = probabilitiesAreLhs ? output.lhsMap : output.rhsMap;
  Roles &roles = match.roles;
  roles.key = keyDim;
  llvm::SmallSetVector<unsigned, 8> shared, rows;
  for (auto [loop, dims] : llvm::enumerate(match.loopDims)) {
    if (output.reduced[loop])
      continue;
    for (unsigned dim : dims) {
      if (space->extent(dim) == 1)
        continue;
      if (!probabilitiesMap.isFunctionOfDim(loop))
        roles.valueDepth.push_back(dim);
      else if (dependsOn(match.key, dim) || dependsOn(match.value, dim))
        shared.insert(dim);
      else
        rows.insert(dim);
    }
  }
  if (llvm::any_of(roles.depth, [&](unsigned dim) { return space->extent(dim) == 1; }))
    llvm::erase_if(roles.depth, [&](unsigned dim) { return space->extent(dim) == 1; });

  // Any of the rows' dimensions may be the query's: the others are heads that share a key. A mask says which one it
  // is; else the longest is best.
  std::function<bool(const Expr *, unsigned)> isPosition = [&](const Expr *expr, unsigned dim) {
    return (expr->index && dependsOn(expr->index, dim)) ||
           llvm::any_of(expr->operands, [&](const Expr *operand) { return isPosition(operand, dim); });
  };
  auto merit = [&](unsigned dim) {
    int64_t extent = space->extent(dim);
    return std::make_tuple(isPosition(score, dim), ShapedType::isDynamic(extent) ? INT64_MAX : extent);
  };
  for (unsigned dim : rows)
    if (!roles.query || merit(dim) >= merit(*roles.query))
      roles.query = dim;

  // Memory order of the key decides the order of batch and heads; the innermost shared dimension is the heads'.
  llvm::SmallSetVector<unsigned, 8> ordered;
  for (const Expr *expr : {match.key, match.value, match.query}) {
    SmallVector<Slot> slots = *layoutOf(expr, *space);
    for (const Slot &slot : slots)
      ordered.insert(slot.dims.begin(), slot.dims.end());
  }
  ordered.insert(rows.begin(), rows.end());
  for (unsigned dim : ordered) {
    if (shared.contains(dim))
      roles.batch.push_back(dim);
    else if (rows.contains(dim) && dim != roles.query)
      roles.groups.push_back(dim);
  }
  if (roles.batch.size() > 1)
    roles.kvHeads.push_back(roles.batch.pop_back_val());

  Type element = match.query->type;
  Type result = getElementTypeOrSelf(output.op->getResult(0).getType());
  if (match.key->type != element || match.value->type != element || !isa<FloatType>(element) ||
      result.getIntOrFloatBitWidth() < element.getIntOrFloatBitWidth())
    return fail(output.op, "query, key, value and output are not of one floating-point type");
  SmallVector<unsigned> widths(roles.depth);
  widths.append(roles.valueDepth.begin(), roles.valueDepth.end());
  widths.append(roles.groups.begin(), roles.groups.end());
  if (llvm::any_of(widths, [&](unsigned dim) { return ShapedType::isDynamic(space->extent(dim)); }))
    return fail(output.op, "the head dimension is not static");
  return true;
}

/// Bias and masks are built anew from the tensors they read.
bool AttentionMatcher::checkLeaves(const Expr *expr) {
  if (expr->kind == Expr::Kind::Element && !layoutOf(expr, *space))
    return fail(expr->origin, "a bias or mask is read in a way that no reshape or transpose gives");
  return llvm::all_of(expr->operands, [&](const Expr *operand) { return checkLeaves(operand); });
}

/// Raising pays only if the scores disappear: nothing but the second product may need what lies between.
bool AttentionMatcher::checkUses(const AttentionMatch &match) {
  llvm::SmallSetVector<Operation *, 32> between;
  between.insert(match.scores.op);
  for (unsigned next = 0; next < between.size(); ++next) {
    for (Operation *user : between[next]->getUsers()) {
      if (user == output.op || between.contains(user))
        continue;
      if (user->hasTrait<OpTrait::IsTerminator>() || !isMemoryEffectFree(user))
        return fail(user, "the scores or the attention weights are also used here, so that they have to be computed");
      if (matchContraction(user))
        return fail(user, "the scores or the attention weights also enter another product here");
      between.insert(user);
    }
  }
  return true;
}

} // namespace flashc::raise

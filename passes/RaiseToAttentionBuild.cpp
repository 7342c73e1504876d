//===- RaiseToAttentionBuild.cpp - Writing attn.sdpa for a match ----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/RaiseToAttentionMatch.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace flashc::raise {

namespace {

using Dims = SmallVector<unsigned>;

/// A tensor each of whose dimensions is one dimension of the index space.
struct Plain {
  Value tensor;
  Dims dims;
};

class AttentionBuilder {
public:
  AttentionBuilder(AttentionMatch &match, IndexSpace &space)
      : match(match), space(space), builder(match.output.op), loc(match.output.op->getLoc()) {}

  void build();

private:
  Plain spread(const Expr *element);
  Value arrange(Plain plain, ArrayRef<Dims> groups);
  Plain compute(const Expr *expr, const Dims &dims);
  Value emit(OpBuilder &inner, const Expr *expr, const Dims &loops, llvm::function_ref<Value(const Expr *)> leaf);
  Value materialize(const Expr *expr, ArrayRef<Dims> groups);
  Value empty(ArrayRef<unsigned> dims, Type element);
  Value emptyOf(ArrayRef<Dims> groups, Type element);
  OpFoldResult sizeOf(unsigned dim);
  OpFoldResult product(ArrayRef<unsigned> dims);
  Value collapse(Value tensor, ArrayRef<ReassociationIndices> groups);
  /// Insert or remove dimensions of extent 1: `isUnit` describes the larger shape.
  Value addUnits(Value tensor, ArrayRef<bool> isUnit);
  Value dropUnits(Value tensor, ArrayRef<bool> isUnit);
  Value keepEmptyRows(Value out, Value lse, Value values, Type compute);
  Value meanOfValues(Value values, Type compute);

  AttentionMatch &match;
  IndexSpace &space;
  OpBuilder builder;
  Location loc;
};

} // namespace

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

OpFoldResult AttentionBuilder::sizeOf(unsigned dim) {
  int64_t extent = space.extent(dim);
  if (!ShapedType::isDynamic(extent))
    return builder.getIndexAttr(extent);
  // The size of an operand's dimension over the static extents it also holds.
  for (const Expr *expr : {match.query, match.key, match.value}) {
    SmallVector<Slot> slots = *layoutOf(expr, space);
    for (auto [number, slot] : llvm::enumerate(slots)) {
      if (!llvm::is_contained(slot.dims, dim))
        continue;
      int64_t inner = 1;
      for (unsigned other : slot.dims)
        inner *= other == dim ? 1 : space.extent(other);
      Value size = builder.create<tensor::DimOp>(loc, expr->source, number);
      if (inner != 1)
        size = builder.create<arith::DivUIOp>(loc, size, builder.create<arith::ConstantIndexOp>(loc, inner));
      return size;
    }
  }
  llvm_unreachable("every dimension of an attention is one of its operands'");
}

OpFoldResult AttentionBuilder::product(ArrayRef<unsigned> dims) {
  AffineExpr result = builder.getAffineConstantExpr(1);
  SmallVector<OpFoldResult> sizes;
  for (unsigned dim : dims) {
    sizes.push_back(sizeOf(dim));
    result = result * builder.getAffineSymbolExpr(sizes.size() - 1);
  }
  return affine::makeComposedFoldedAffineApply(builder, loc, result, sizes);
}

Value AttentionBuilder::empty(ArrayRef<unsigned> dims, Type element) {
  SmallVector<OpFoldResult> sizes;
  for (unsigned dim : dims)
    sizes.push_back(sizeOf(dim));
  return builder.create<tensor::EmptyOp>(loc, sizes, element);
}

Value AttentionBuilder::emptyOf(ArrayRef<Dims> groups, Type element) {
  SmallVector<OpFoldResult> sizes;
  for (const Dims &group : groups)
    sizes.push_back(product(group));
  return builder.create<tensor::EmptyOp>(loc, sizes, element);
}

Value AttentionBuilder::collapse(Value tensor, ArrayRef<ReassociationIndices> groups) {
  if (static_cast<int64_t>(groups.size()) == cast<RankedTensorType>(tensor.getType()).getRank())
    return tensor;
  return builder.create<tensor::CollapseShapeOp>(loc, tensor, groups);
}

/// Groups in which each dimension of extent 1 belongs to the next other one (or the last).
static SmallVector<ReassociationIndices> unitGroups(ArrayRef<bool> isUnit) {
  SmallVector<ReassociationIndices> groups;
  ReassociationIndices pending;
  for (auto [position, unit] : llvm::enumerate(isUnit)) {
    pending.push_back(position);
    if (unit)
      continue;
    groups.push_back(pending);
    pending.clear();
  }
  if (!groups.empty())
    groups.back().append(pending);
  return groups;
}

Value AttentionBuilder::dropUnits(Value tensor, ArrayRef<bool> isUnit) { return collapse(tensor, unitGroups(isUnit)); }

Value AttentionBuilder::addUnits(Value tensor, ArrayRef<bool> isUnit) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!llvm::is_contained(isUnit, true))
    return tensor;
  SmallVector<int64_t> shape;
  unsigned next = 0;
  for (bool unit : isUnit)
    shape.push_back(unit ? 1 : type.getDimSize(next++));
  return builder.create<tensor::ExpandShapeOp>(loc, type.clone(shape), tensor, unitGroups(isUnit));
}

/// The part of an element's tensor that is read, with one dimension for each dimension of the index space.
Plain AttentionBuilder::spread(const Expr *element) {
  SmallVector<Slot> slots = *layoutOf(element, space);
  Plain plain{element->source, {}};
  auto type = cast<RankedTensorType>(plain.tensor.getType());

  SmallVector<OpFoldResult> offsets, sizes, strides(slots.size(), builder.getIndexAttr(1));
  bool part = false;
  for (auto [number, slot] : llvm::enumerate(slots)) {
    int64_t size = 1;
    for (unsigned dim : slot.dims)
      size = ShapedType::isDynamic(space.extent(dim)) ? ShapedType::kDynamic : size * space.extent(dim);
    offsets.push_back(builder.getIndexAttr(slot.offset));
    // Of a dimension whose length is not known, and of one that is read to its end, all is taken.
    bool whole = ShapedType::isDynamic(size) || type.isDynamicDim(number) || size == type.getDimSize(number);
    sizes.push_back(whole && type.isDynamicDim(number)
                        ? OpFoldResult(builder.createOrFold<tensor::DimOp>(loc, plain.tensor, number))
                        : OpFoldResult(builder.getIndexAttr(whole ? type.getDimSize(number) : size)));
    part |= !whole;
  }
  if (part)
    plain.tensor = builder.create<tensor::ExtractSliceOp>(loc, plain.tensor, offsets, sizes, strides);

  SmallVector<ReassociationIndices> groups;
  SmallVector<int64_t> shape;
  SmallVector<bool> isUnit;
  for (Slot &slot : slots) {
    ReassociationIndices group;
    for (unsigned dim : slot.dims) {
      group.push_back(shape.size());
      shape.push_back(space.extent(dim));
      isUnit.push_back(false);
      plain.dims.push_back(dim);
    }
    if (slot.dims.empty()) {
      group.push_back(shape.size());
      shape.push_back(1);
      isUnit.push_back(true);
    }
    groups.push_back(group);
  }
  if (groups.size() != shape.size())
    plain.tensor = builder.create<tensor::ExpandShapeOp>(loc, type.clone(shape), plain.tensor, groups);
  plain.tensor = dropUnits(plain.tensor, isUnit);
  return plain;
}

/// `plain` with its dimensions transposed, repeated and joined so that they form `groups`, one a dimension.
Value AttentionBuilder::arrange(Plain plain, ArrayRef<Dims> groups) {
  Type element = getElementTypeOrSelf(plain.tensor);
  Dims target, present;
  for (const Dims &group : groups)
    target.append(group.begin(), group.end());
  SmallVector<int64_t> permutation, missing;
  for (auto [position, dim] : llvm::enumerate(target)) {
    auto *found = llvm::find(plain.dims, dim);
    if (found == plain.dims.end()) {
      missing.push_back(position);
      continue;
    }
    permutation.push_back(found - plain.dims.begin());
    present.push_back(dim);
  }
  if (!llvm::is_sorted(permutation))
    plain.tensor =
        builder.create<linalg::TransposeOp>(loc, plain.tensor, empty(present, element), permutation)->getResult(0);
  if (!missing.empty())
    plain.tensor =
        builder.create<linalg::BroadcastOp>(loc, plain.tensor, empty(target, element), missing)->getResult(0);

  SmallVector<ReassociationIndices> joined;
  SmallVector<bool> isUnit;
  int64_t next = 0;
  for (const Dims &group : groups) {
    isUnit.push_back(group.empty());
    if (group.empty())
      continue;
    joined.emplace_back();
    for (size_t count = 0; count < group.size(); ++count)
      joined.back().push_back(next++);
  }
  return addUnits(collapse(plain.tensor, joined), isUnit);
}

//===----------------------------------------------------------------------===//
// Bias and masks
//===----------------------------------------------------------------------===//

Value AttentionBuilder::emit(OpBuilder &inner, const Expr *expr, const Dims &loops,
                             llvm::function_ref<Value(const Expr *)> leaf) {
  switch (expr->kind) {
  case Expr::Kind::Element:
    return leaf(expr);
  case Expr::Kind::Scalar:
    return expr->source;
  case Expr::Kind::Constant:
    return inner.create<arith::ConstantOp>(loc, expr->constant);
  case Expr::Kind::Index: {
    SmallVector<Value> values(space.size());
    for (auto [position, dim] : llvm::enumerate(loops))
      if (dependsOn(expr->index, dim))
        values[dim] = inner.create<linalg::IndexOp>(loc, position);
    Value index = affine::expandAffineExpr(inner, loc, expr->index, values, {});
    return expr->type.isIndex() ? index : inner.create<arith::IndexCastOp>(loc, expr->type, index);
  }
  case Expr::Kind::Compute: {
    SmallVector<Value> operands;
    for (const Expr *operand : expr->operands)
      operands.push_back(emit(inner, operand, loops, leaf));
    OperationState state(loc, expr->name, operands, expr->type, expr->attributes.getValue());
    return inner.create(state)->getResult(0);
  }
  }
  llvm_unreachable("covered switch");
}

/// `expr` as a tensor over `dims`, by a linalg.generic.
Plain AttentionBuilder::compute(const Expr *expr, const Dims &dims) {
  SmallVector<const Expr *> leaves;
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  MLIRContext *context = builder.getContext();
  auto collect = [&](auto &self, const Expr *each) -> void {
    for (const Expr *operand : each->operands)
      self(self, operand);
    if (each->kind != Expr::Kind::Element || llvm::any_of(leaves, [&](const Expr *leaf) { return same(leaf, each); }))
      return;
    leaves.push_back(each);
    Plain plain = spread(each);
    inputs.push_back(plain.tensor);
    SmallVector<AffineExpr> results;
    for (unsigned dim : plain.dims)
      results.push_back(getAffineDimExpr(llvm::find(dims, dim) - dims.begin(), context));
    maps.push_back(AffineMap::get(dims.size(), 0, results, context));
  };
  collect(collect, expr);
  maps.push_back(AffineMap::getMultiDimIdentityMap(dims.size(), context));
  Value init = empty(dims, expr->type);
  SmallVector<utils::IteratorType> iterators(dims.size(), utils::IteratorType::parallel);
  auto generic = builder.create<linalg::GenericOp>(
      loc, init.getType(), inputs, init, maps, iterators, [&](OpBuilder &inner, Location, ValueRange arguments) {
        Value result = emit(inner, expr, dims, [&](const Expr *leaf) -> Value {
          auto *found = llvm::find_if(leaves, [&](const Expr *each) { return same(each, leaf); });
          return arguments[found - leaves.begin()];
        });
        inner.create<linalg::YieldOp>(loc, result);
      });
  return {generic.getResult(0), dims};
}

/// `expr` as a tensor with one dimension for each of `groups`, of extent 1 where it does not depend on the group.
Value AttentionBuilder::materialize(const Expr *expr, ArrayRef<Dims> groups) {
  SmallVector<Dims> used;
  Dims dims;
  for (const Dims &group : groups) {
    bool any = llvm::any_of(group, [&](unsigned dim) { return dependsOn(expr, dim); });
    used.push_back(any ? group : Dims());
    for (unsigned dim : group)
      if (dependsOn(expr, dim))
        dims.push_back(dim);
  }
  return arrange(expr->kind == Expr::Kind::Element ? spread(expr) : compute(expr, dims), used);
}

//===----------------------------------------------------------------------===//
// Rows with nothing to attend to
//===----------------------------------------------------------------------===//

/// The mean over keys of values `[B, Hkv, Sk, Dv]`, as `[B, Hkv, Dv]`.
Value AttentionBuilder::meanOfValues(Value values, Type compute) {
  MLIRContext *context = builder.getContext();
  AffineExpr batch, head, key, column;
  bindDims(context, batch, head, key, column);
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim : {0, 1, 3})
    sizes.push_back(tensor::getMixedSize(builder, loc, values, dim));
  Value init = builder.create<tensor::EmptyOp>(loc, sizes, compute);
  Value zero = builder.create<arith::ConstantOp>(loc, builder.getZeroAttr(compute));
  Value zeros = builder.create<linalg::FillOp>(loc, zero, init).getResult(0);
  Value count = mlir::getValueOrCreateConstantIndexOp(builder, loc, tensor::getMixedSize(builder, loc, values, 2));
  Value integer = builder.create<arith::IndexCastOp>(loc, builder.getI64Type(), count);
  Value keys = builder.create<arith::SIToFPOp>(loc, compute, integer);
  auto parallel = utils::IteratorType::parallel, reduction = utils::IteratorType::reduction;
  auto sum = builder.create<linalg::GenericOp>(
      loc, zeros.getType(), values, zeros,
      ArrayRef{AffineMap::getMultiDimIdentityMap(4, context), AffineMap::get(4, 0, {batch, head, column}, context)},
      ArrayRef{parallel, parallel, reduction, parallel}, [&](OpBuilder &inner, Location, ValueRange arguments) {
        Value value = arguments[0];
        if (value.getType() != compute)
          value = inner.create<arith::ExtFOp>(loc, compute, value);
        Value share = inner.create<arith::DivFOp>(loc, value, keys);
        inner.create<linalg::YieldOp>(loc, ValueRange(inner.create<arith::AddFOp>(loc, arguments[1], share)));
      });
  return sum.getResult(0);
}

/// `out`, but in rows whose lse is -inf what the graph gives there.
Value AttentionBuilder::keepEmptyRows(Value out, Value lse, Value values, Type compute) {
  MLIRContext *context = builder.getContext();
  bool grouped = !match.roles.groups.empty();
  auto split = [&](Value tensor) -> Value {
    auto type = cast<RankedTensorType>(tensor.getType());
    SmallVector<int64_t> shape(type.getShape());
    int64_t groupSize = 1;
    for (unsigned dim : match.roles.groups)
      groupSize *= space.extent(dim);
    shape.insert(shape.begin() + 2, groupSize);
    shape[1] = ShapedType::isDynamic(shape[1]) ? shape[1] : shape[1] / groupSize;
    SmallVector<ReassociationIndices> groups{{0}, {1, 2}, {3}};
    if (type.getRank() == 4)
      groups.push_back({4});
    return builder.create<tensor::ExpandShapeOp>(loc, type.clone(shape), tensor, groups);
  };
  Type outType = out.getType();
  if (grouped) {
    out = split(out);
    lse = split(lse);
  }
  // (batch, kv head, [group], query, column)
  unsigned rank = cast<RankedTensorType>(out.getType()).getRank();
  AffineMap identity = AffineMap::getMultiDimIdentityMap(rank, context);
  SmallVector<Value> inputs{lse, out};
  SmallVector<AffineMap> maps{identity.dropResult(rank - 1), identity};
  if (match.score.emptyRows == EmptyRows::Mean) {
    inputs.push_back(meanOfValues(values, compute));
    maps.push_back(
        AffineMap::get(rank, 0, {identity.getResult(0), identity.getResult(1), identity.getResult(rank - 1)}, context));
  }
  maps.push_back(identity);
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, out);
  Type element = getElementTypeOrSelf(out);
  Value init = builder.create<tensor::EmptyOp>(loc, sizes, element);
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  auto generic = builder.create<linalg::GenericOp>(
      loc, init.getType(), inputs, init, maps, iterators, [&](OpBuilder &inner, Location, ValueRange arguments) {
        auto floating = cast<FloatType>(compute);
        Value lowest = inner.create<arith::ConstantOp>(
            loc, FloatAttr::get(compute, APFloat::getInf(floating.getFloatSemantics(), /*Negative=*/true)));
        Value isEmpty = inner.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OEQ, arguments[0], lowest);
        Value instead;
        if (match.score.emptyRows == EmptyRows::Mean)
          instead = compute == element ? arguments[2] : inner.create<arith::TruncFOp>(loc, element, arguments[2]);
        else
          instead = inner.create<arith::ConstantOp>(
              loc, FloatAttr::get(element, APFloat::getNaN(cast<FloatType>(element).getFloatSemantics())));
        inner.create<linalg::YieldOp>(loc,
                                      ValueRange(inner.create<arith::SelectOp>(loc, isEmpty, instead, arguments[1])));
      });
  Value result = generic.getResult(0);
  if (!grouped)
    return result;
  return builder.create<tensor::CollapseShapeOp>(loc, cast<RankedTensorType>(outType), result,
                                                 ArrayRef<ReassociationIndices>{{0}, {1, 2}, {3}, {4}});
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

void AttentionBuilder::build() {
  const Roles &roles = match.roles;
  const Score &score = match.score;
  Dims queryDims = roles.query ? Dims{*roles.query} : Dims(), heads(roles.kvHeads);
  heads.append(roles.groups.begin(), roles.groups.end());
  auto groupsOf = [](const Dims &a, const Dims &b, const Dims &c, const Dims &d) {
    return SmallVector<Dims>{a, b, c, d};
  };
  Dims key{roles.key};
  Value query = arrange(spread(match.query), groupsOf(roles.batch, heads, queryDims, roles.depth));
  Value keys = arrange(spread(match.key), groupsOf(roles.batch, roles.kvHeads, key, roles.depth));
  Value values = arrange(spread(match.value), groupsOf(roles.batch, roles.kvHeads, key, roles.valueDepth));
  SmallVector<Dims> scoreGroups = groupsOf(roles.batch, heads, queryDims, key);
  SmallVector<Dims> outGroups = groupsOf(roles.batch, heads, queryDims, roles.valueDepth);

  SmallVector<Attribute> masks;
  SmallVector<Value> maskOperands;
  MLIRContext *context = builder.getContext();
  if (score.diagonals)
    masks = *diagonalMasks(*score.diagonals, roles.query ? space.extent(*roles.query) : 1, space.extent(roles.key),
                           context);
  if (score.keyFlags) {
    masks.push_back(attn::KeyPaddingAttr::get(context));
    // [B, Sk] in full: this mask is not broadcast.
    SmallVector<Dims> flagGroups{roles.batch, key};
    Plain flags;
    if (score.keyFlags->kind == Expr::Kind::Element) {
      flags = spread(score.keyFlags);
    } else {
      Dims dims;
      for (const Dims &group : flagGroups)
        llvm::copy_if(group, std::back_inserter(dims), [&](unsigned dim) { return dependsOn(score.keyFlags, dim); });
      flags = compute(score.keyFlags, dims);
    }
    maskOperands.push_back(arrange(flags, flagGroups));
  }
  if (score.tensorMask) {
    masks.push_back(attn::TensorMaskAttr::get(context));
    maskOperands.push_back(materialize(score.tensorMask, scoreGroups));
  }
  Value bias = score.bias ? materialize(score.bias, scoreGroups) : Value();

  Type element = getElementTypeOrSelf(match.output.op->getResult(0).getType());
  Type compute = match.query->type.isF64() ? builder.getF64Type() : Type(builder.getF32Type());
  Value out = emptyOf(outGroups, element), lse;
  if (score.emptyRows != EmptyRows::Same)
    lse = emptyOf(ArrayRef(outGroups).drop_back(), compute);
  auto sdpa = builder.create<attn::SdpaOp>(loc, query, keys, values, out, lse, masks, maskOperands, bias, score.scale,
                                           score.softcap);
  Value result = sdpa->getResult(0);
  if (lse)
    result = keepEmptyRows(result, sdpa->getResult(1), values, compute);

  // Back to the layout of the second product's result.
  Dims resultDims;
  SmallVector<ReassociationIndices> groups;
  SmallVector<int64_t> shape;
  SmallVector<bool> isUnit;
  for (const Dims &group : outGroups) {
    ReassociationIndices indices;
    for (unsigned dim : group) {
      resultDims.push_back(dim);
      indices.push_back(shape.size());
      shape.push_back(space.extent(dim));
      isUnit.push_back(false);
    }
    if (group.empty()) {
      indices.push_back(shape.size());
      shape.push_back(1);
      isUnit.push_back(true);
    }
    groups.push_back(indices);
  }
  if (groups.size() != shape.size())
    result = builder.create<tensor::ExpandShapeOp>(loc, RankedTensorType::get(shape, element), result, groups);
  result = dropUnits(result, isUnit);
  SmallVector<Dims> wanted;
  for (AffineExpr loop : match.output.outMap.getResults()) {
    wanted.emplace_back();
    for (unsigned dim : match.loopDims[cast<AffineDimExpr>(loop).getPosition()])
      if (space.extent(dim) != 1)
        wanted.back().push_back(dim);
  }
  result = arrange({result, resultDims}, wanted);
  Type expected = match.output.op->getResult(0).getType();
  if (result.getType() != expected)
    result = builder.create<tensor::CastOp>(loc, expected, result);
  match.output.op->getResult(0).replaceAllUsesWith(result);
}

void buildAttention(AttentionMatch &match, IndexSpace &space) { AttentionBuilder(match, space).build(); }

} // namespace flashc::raise

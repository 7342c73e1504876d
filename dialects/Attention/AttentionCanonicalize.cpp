//===- AttentionCanonicalize.cpp - Simpler forms of an attention ----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Rewrites that leave every result the same: fewer masks, no score function or bias that changes nothing, no result
/// that nobody reads.
///
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include <cmath>

using namespace mlir;
using namespace flashc::attn;

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

namespace {
/// A mask with the operands that it reads.
struct MaskUse {
  MaskInterface mask;
  SmallVector<Value> operands;

  bool operator==(const MaskUse &other) const { return mask == other.mask && operands == other.operands; }
};

/// `d - left <= j <= d + right` around a diagonal; -1 is unbounded.
struct Band {
  int64_t left, right;
  Alignment alignment;
};
} // namespace

static SmallVector<MaskUse> maskUses(SdpaOp op) {
  SmallVector<MaskUse> uses;
  ValueRange operands = op.getMaskOperands();
  for (MaskInterface mask : op.getMaskList()) {
    uses.push_back({mask, llvm::to_vector(operands.take_front(mask.getNumOperands()))});
    operands = operands.drop_front(mask.getNumOperands());
  }
  return uses;
}

/// The lengths of the whole attention, as far as they are known.
static std::pair<int64_t, int64_t> knownLengths(SdpaOp op) {
  if (op.getPosition().empty()) {
    auto query = cast<ShapedType>(op.getQuery().getType()), key = cast<ShapedType>(op.getKey().getType());
    return {query.getDimSize(2), key.getDimSize(2)};
  }
  auto constant = [](Value value) { return getConstantIntValue(value).value_or(ShapedType::kDynamic); };
  return {constant(op.getPosition()[4]), constant(op.getPosition()[5])};
}

static bool attendsAll(const MaskUse &use, int64_t queryLength, int64_t keyLength) {
  SmallVector<Attribute> constants;
  for (Value operand : use.operands) {
    Attribute constant;
    matchPattern(operand, m_Constant(&constant));
    constants.push_back(constant);
  }
  MaskInterface mask = use.mask;
  return mask.attendsAll(queryLength, keyLength) || mask.operandsAttendAll(constants, keyLength);
}

static std::optional<Band> getBand(MaskInterface mask) {
  if (auto causal = dyn_cast<CausalAttr>(mask))
    return Band{-1, 0, causal.getAlignment()};
  if (auto window = dyn_cast<WindowAttr>(mask))
    return Band{window.getLeft(), window.getRight(), window.getAlignment()};
  return std::nullopt;
}

static MaskInterface getMask(MLIRContext *context, const Band &band) {
  if (band.left < 0 && band.right == 0)
    return CausalAttr::get(context, band.alignment);
  return WindowAttr::get(context, band.left, band.right, band.alignment);
}

/// The tighter of two bounds of a band.
static int64_t tighter(int64_t first, int64_t second) {
  return first < 0 ? second : second < 0 ? first : std::min(first, second);
}

/// The masks without those that attend everything, that repeat another, or that another one implies; bands along one
/// diagonal are joined into the first of them.
static SmallVector<MaskUse> simplifyMasks(MLIRContext *context, ArrayRef<MaskUse> uses, int64_t queryLength,
                                          int64_t keyLength) {
  SmallVector<MaskUse> simple;
  for (const MaskUse &use : uses) {
    if (attendsAll(use, queryLength, keyLength) || llvm::is_contained(simple, use))
      continue;
    std::optional<Band> band = getBand(use.mask);
    auto sameDiagonal = llvm::find_if(simple, [&](const MaskUse &other) {
      std::optional<Band> otherBand = getBand(other.mask);
      return band && otherBand && band->alignment == otherBand->alignment;
    });
    if (sameDiagonal == simple.end()) {
      simple.push_back(band ? MaskUse{getMask(context, *band), {}} : use);
      continue;
    }
    Band joined = *getBand(sameDiagonal->mask);
    joined.left = tighter(joined.left, band->left);
    joined.right = tighter(joined.right, band->right);
    sameDiagonal->mask = getMask(context, joined);
  }
  // What is causal along a diagonal needs no exception from being causal along it.
  llvm::erase_if(simple, [&](const MaskUse &use) {
    auto prefix = dyn_cast<PrefixLMAttr>(use.mask);
    return prefix && llvm::any_of(simple, [&](const MaskUse &other) {
             std::optional<Band> band = getBand(other.mask);
             return band && band->alignment == prefix.getAlignment() && band->right == 0;
           });
  });
  return simple;
}

namespace {
struct SimplifyMasks : OpRewritePattern<SdpaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SdpaOp op, PatternRewriter &rewriter) const override {
    auto [queryLength, keyLength] = knownLengths(op);
    SmallVector<MaskUse> uses = maskUses(op);
    SmallVector<MaskUse> simple = simplifyMasks(op.getContext(), uses, queryLength, keyLength);
    if (simple == uses)
      return rewriter.notifyMatchFailure(op, "the masks are as simple as they can be");
    SmallVector<Attribute> masks;
    SmallVector<Value> operands;
    for (const MaskUse &use : simple) {
      masks.push_back(use.mask);
      operands.append(use.operands);
    }
    rewriter.modifyOpInPlace(op, [&]() {
      if (masks.empty())
        op.removeMasksAttr();
      else
        op.setMasksAttr(rewriter.getArrayAttr(masks));
      op.getMaskOperandsMutable().assign(operands);
    });
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Scale, score function, bias
//===----------------------------------------------------------------------===//

struct DropDefaultScale : OpRewritePattern<SdpaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SdpaOp op, PatternRewriter &rewriter) const override {
    if (!op.getScale() || op.getEffectiveScale() != op.getDefaultScale())
      return rewriter.notifyMatchFailure(op, "no scale is given, or not the default");
    rewriter.modifyOpInPlace(op, [&]() { op.removeScaleAttr(); });
    return success();
  }
};

/// A score function that returns its score.
struct DropIdentityScore : OpRewritePattern<SdpaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SdpaOp op, PatternRewriter &rewriter) const override {
    if (op.getScore().empty())
      return rewriter.notifyMatchFailure(op, "there is no score function");
    Block &block = op.getScore().front();
    if (cast<YieldOp>(block.getTerminator()).getValue() != block.getArgument(0) || !llvm::hasSingleElement(block))
      return rewriter.notifyMatchFailure(op, "the score function is not the identity");
    rewriter.modifyOpInPlace(op, [&]() { rewriter.eraseBlock(&block); });
    return success();
  }
};

/// A score function that only multiplies by a power of two becomes part of the scale: such a product is not rounded.
struct FoldScaleOfScore : OpRewritePattern<SdpaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SdpaOp op, PatternRewriter &rewriter) const override {
    if (op.getScore().empty())
      return rewriter.notifyMatchFailure(op, "there is no score function");
    Block &block = op.getScore().front();
    auto product = cast<YieldOp>(block.getTerminator()).getValue().getDefiningOp<arith::MulFOp>();
    if (!product || product->getBlock() != &block)
      return rewriter.notifyMatchFailure(op, "the score is not a product");
    Value factor = product.getLhs() == block.getArgument(0)   ? product.getRhs()
                   : product.getRhs() == block.getArgument(0) ? product.getLhs()
                                                              : Value();
    APFloat value(0.0);
    if (!factor || !matchPattern(factor, m_ConstantFloat(&value)))
      return rewriter.notifyMatchFailure(op, "the score is not multiplied by a constant");
    double number = value.convertToDouble(), newScale = op.getEffectiveScale() * number;
    int exponent;
    if (!value.isFiniteNonZero() || std::abs(std::frexp(number, &exponent)) != 0.5 || !std::isnormal(newScale))
      return rewriter.notifyMatchFailure(op, "the factor is not a power of two");
    rewriter.modifyOpInPlace(op, [&]() {
      op.setScaleAttr(rewriter.getF64FloatAttr(newScale));
      rewriter.replaceAllUsesWith(product, block.getArgument(0));
      for (Operation &inner : llvm::make_early_inc_range(llvm::reverse(block.without_terminator())))
        if (isOpTriviallyDead(&inner))
          rewriter.eraseOp(&inner);
    });
    return success();
  }
};

/// A bias of zeros adds nothing.
struct DropZeroBias : OpRewritePattern<SdpaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SdpaOp op, PatternRewriter &rewriter) const override {
    if (!op.getBias() || !matchPattern(op.getBias(), m_AnyZeroFloat()))
      return rewriter.notifyMatchFailure(op, "there is no bias of zeros");
    rewriter.modifyOpInPlace(op, [&]() { op.getBiasMutable().clear(); });
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

/// The operation again, with other tensors as operands; the results follow from `out` and `lse`.
SdpaOp recreate(PatternRewriter &rewriter, SdpaOp op, ArrayRef<Value> inputs, ValueRange maskOperands, Value bias,
                Value out, Value lse) {
  SmallVector<Type> types = {out.getType()};
  if (lse)
    types.push_back(lse.getType());
  auto other = rewriter.create<SdpaOp>(op.getLoc(), types, inputs[0], inputs[1], inputs[2], maskOperands, bias,
                                       op.getPosition(), out, lse, op.getMasksAttr(), op.getScaleAttr(),
                                       op.getSoftcapAttr(), op.getTilesAttr(), op.getTf32Attr());
  other->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  rewriter.inlineRegionBefore(op.getScore(), other.getScore(), other.getScore().end());
  return other;
}

/// On tensors an lse that nobody reads is not computed.
struct DropUnusedLse : OpRewritePattern<SdpaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(SdpaOp op, PatternRewriter &rewriter) const override {
    if (op.getNumResults() != 2 || !op.getResult(1).use_empty())
      return rewriter.notifyMatchFailure(op, "lse is read, written to memory or not computed");
    SdpaOp plain = recreate(rewriter, op, {op.getQuery(), op.getKey(), op.getValue()}, op.getMaskOperands(),
                            op.getBias(), op.getOut(), /*lse=*/Value());
    rewriter.replaceAllUsesWith(op.getResult(0), plain.getResult(0));
    rewriter.eraseOp(op);
    return success();
  }
};

/// Casts that only forget sizes are looked through. Upstream has this for every destination-style operation, but clones
/// operations in a way that an empty region does not survive; a higher benefit keeps it from being tried.
struct FoldTensorCasts : OpRewritePattern<SdpaOp> {
  FoldTensorCasts(MLIRContext *context) : OpRewritePattern(context, /*benefit=*/2) {}

  LogicalResult matchAndRewrite(SdpaOp op, PatternRewriter &rewriter) const override {
    bool found = false;
    auto source = [&](Value value) -> Value {
      auto cast = value ? value.getDefiningOp<tensor::CastOp>() : tensor::CastOp();
      if (!cast || !tensor::canFoldIntoConsumerOp(cast))
        return value;
      found = true;
      return cast.getSource();
    };
    Value inputs[] = {source(op.getQuery()), source(op.getKey()), source(op.getValue())};
    SmallVector<Value> maskOperands = llvm::map_to_vector(op.getMaskOperands(), source);
    Value bias = source(op.getBias()), out = source(op.getOut()), lse = source(op.getLse());
    if (!found)
      return rewriter.notifyMatchFailure(op, "no operand is cast from a more static type");
    SdpaOp other = recreate(rewriter, op, inputs, maskOperands, bias, out, lse);
    for (auto [before, after] : llvm::zip(op.getResults(), other.getResults())) {
      Value same = after;
      if (after.getType() != before.getType())
        same = rewriter.create<tensor::CastOp>(op.getLoc(), before.getType(), after);
      rewriter.replaceAllUsesWith(before, same);
    }
    rewriter.eraseOp(op);
    return success();
  }
};
} // namespace

void SdpaOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<SimplifyMasks, DropDefaultScale, DropIdentityScore, FoldScaleOfScore, DropZeroBias, DropUnusedLse,
               FoldTensorCasts>(context);
}

//===----------------------------------------------------------------------===//
// Folds
//===----------------------------------------------------------------------===//

LogicalResult SdpaOp::fold(FoldAdaptor, SmallVectorImpl<OpFoldResult> &) { return memref::foldMemRefCast(*this); }

LogicalResult MergeOp::fold(FoldAdaptor, SmallVectorImpl<OpFoldResult> &) { return memref::foldMemRefCast(*this); }

//===- AttentionTiling.cpp - An attention in parts ------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// TilingInterface for attn.sdpa over its parallel dimensions: batch, query head and query. A part is an attn.sdpa on
/// slices of the queries, of the keys of its heads and of the outputs, whose `position` says where it lies in the
/// whole; bias and mask operands stay whole, and the score function sees the whole's positions.
///
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/TilingInterface.h"

using namespace mlir;
using namespace flashc::attn;

namespace {
/// The dimensions that are tiled, as they are in query, out and lse.
enum Dimension : unsigned { kBatch, kHead, kQuery, kNumTiled };

/// A range of one dimension.
struct Part {
  OpFoldResult offset, size;
};
} // namespace

static OpFoldResult dim(OpBuilder &b, Location loc, Value value, unsigned dimension) {
  int64_t size = cast<ShapedType>(value.getType()).getDimSize(dimension);
  if (!ShapedType::isDynamic(size))
    return b.getIndexAttr(size);
  if (isa<TensorType>(value.getType()))
    return b.createOrFold<tensor::DimOp>(loc, value, dimension);
  return b.createOrFold<memref::DimOp>(loc, value, dimension);
}

/// The slice of `value` with the given parts of its first dimensions and all of the others.
static Value slice(OpBuilder &b, Location loc, Value value, ArrayRef<Part> parts) {
  SmallVector<OpFoldResult> offsets, sizes;
  for (const Part &part : parts) {
    offsets.push_back(part.offset);
    sizes.push_back(part.size);
  }
  auto type = cast<ShapedType>(value.getType());
  for (unsigned dimension = parts.size(), rank = type.getRank(); dimension < rank; ++dimension) {
    offsets.push_back(b.getIndexAttr(0));
    sizes.push_back(dim(b, loc, value, dimension));
  }
  SmallVector<OpFoldResult> strides(type.getRank(), b.getIndexAttr(1));
  if (isa<TensorType>(type))
    return b.create<tensor::ExtractSliceOp>(loc, value, offsets, sizes, strides);
  return b.create<memref::SubViewOp>(loc, value, offsets, sizes, strides);
}

/// Whether `size` is all of `value`'s dimension: equal if constant, else a query of this very dimension.
static bool isWholeDim(OpFoldResult size, Value value, unsigned dimension) {
  int64_t whole = cast<ShapedType>(value.getType()).getDimSize(dimension);
  if (!ShapedType::isDynamic(whole))
    return isConstantIntValue(size, whole);
  auto query = llvm::dyn_cast_if_present<Value>(size);
  if (!query)
    return false;
  if (auto op = query.getDefiningOp<tensor::DimOp>())
    return op.getSource() == value && op.getConstantIndex() == static_cast<int64_t>(dimension);
  if (auto op = query.getDefiningOp<memref::DimOp>())
    return op.getSource() == value && op.getConstantIndex() == static_cast<int64_t>(dimension);
  return false;
}

/// The key heads that the query heads `heads` read; nothing if they cannot be told apart from others by a slice.
static std::optional<Part> keyHeads(OpBuilder &b, SdpaOp op, const Part &heads) {
  Location loc = op.getLoc();
  int64_t queryHeads = cast<ShapedType>(op.getQuery().getType()).getDimSize(1),
          keyHeads = cast<ShapedType>(op.getKey().getType()).getDimSize(1);
  bool isStatic = !ShapedType::isDynamic(queryHeads) && !ShapedType::isDynamic(keyHeads) && keyHeads > 0;
  if (isStatic && queryHeads == keyHeads)
    return heads;
  Part all = {b.getIndexAttr(0), dim(b, loc, op.getKey(), 1)};
  if (keyHeads == 1 || (isConstantIntValue(heads.offset, 0) && isWholeDim(heads.size, op.getQuery(), 1)))
    return all;
  if (!isConstantIntValue(heads.size, 1))
    return std::nullopt;
  AffineExpr head = b.getAffineSymbolExpr(0);
  if (isStatic)
    return Part{affine::makeComposedFoldedAffineApply(b, loc, head.floorDiv(queryHeads / keyHeads), {heads.offset}),
                b.getIndexAttr(1)};
  // floordiv by a value is not affine.
  auto value = [&](OpFoldResult number) { return getValueOrCreateConstantIndexOp(b, loc, number); };
  Value group = b.createOrFold<arith::DivUIOp>(loc, value(dim(b, loc, op.getQuery(), 1)), value(all.size));
  return Part{b.createOrFold<arith::DivUIOp>(loc, value(heads.offset), group), b.getIndexAttr(1)};
}

namespace {
struct SdpaTiling : TilingInterface::ExternalModel<SdpaTiling, SdpaOp> {
  SmallVector<utils::IteratorType> getLoopIteratorTypes(Operation *) const {
    return SmallVector<utils::IteratorType>(kNumTiled, utils::IteratorType::parallel);
  }

  SmallVector<Range> getIterationDomain(Operation *operation, OpBuilder &b) const {
    auto op = cast<SdpaOp>(operation);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(op);
    SmallVector<Range> domain;
    for (unsigned dimension = 0; dimension < kNumTiled; ++dimension)
      domain.push_back({b.getIndexAttr(0), dim(b, op.getLoc(), op.getQuery(), dimension), b.getIndexAttr(1)});
    return domain;
  }

  FailureOr<TilingResult> getTiledImplementation(Operation *operation, OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                                 ArrayRef<OpFoldResult> sizes) const {
    auto op = cast<SdpaOp>(operation);
    Location loc = op.getLoc();
    if (offsets.size() != kNumTiled || sizes.size() != kNumTiled)
      return op.emitOpError() << "expected a tile of " << +kNumTiled << " dimensions (batch, head, query), got "
                              << offsets.size();
    SmallVector<Part> parts;
    for (auto [offset, size] : llvm::zip(offsets, sizes))
      parts.push_back({offset, size});
    std::optional<Part> heads = keyHeads(b, op, parts[kHead]);
    if (!heads)
      return op.emitOpError("expected tiles of one or of all query heads, as several query heads share a key head");

    Value query = slice(b, loc, op.getQuery(), parts), out = slice(b, loc, op.getOut(), parts);
    Value lse = op.getLse() ? slice(b, loc, op.getLse(), parts) : Value();
    Value key = slice(b, loc, op.getKey(), {parts[kBatch], *heads});
    Value value = slice(b, loc, op.getValue(), {parts[kBatch], *heads});

    // Batch entry, head, first query, first key, query length, key length of the whole.
    SmallVector<OpFoldResult> position;
    AffineExpr sum = b.getAffineSymbolExpr(0) + b.getAffineSymbolExpr(1);
    if (ValueRange whole = op.getPosition(); !whole.empty()) {
      position = getAsOpFoldResult(whole);
      for (unsigned dimension = 0; dimension < kNumTiled; ++dimension)
        position[dimension] =
            affine::makeComposedFoldedAffineApply(b, loc, sum, {position[dimension], offsets[dimension]});
    } else {
      position.assign(offsets.begin(), offsets.end());
      position.append({b.getIndexAttr(0), dim(b, loc, op.getQuery(), 2), dim(b, loc, op.getKey(), 2)});
    }

    SmallVector<Type> types;
    if (!op.getResults().empty())
      types.push_back(out.getType());
    if (!op.getResults().empty() && lse)
      types.push_back(lse.getType());
    auto part = b.create<SdpaOp>(loc, types, query, key, value, op.getMaskOperands(), op.getBias(),
                                 getValueOrCreateConstantIndexOp(b, loc, position), out, lse, op.getMasksAttr(),
                                 op.getScaleAttr(), op.getSoftcapAttr(), op.getTilesAttr(), op.getTf32Attr());
    if (!op.getScore().empty())
      b.cloneRegionBefore(op.getScore(), part.getScore(), part.getScore().end());
    return TilingResult{{part}, SmallVector<Value>(part.getResults())};
  }

  LogicalResult getResultTilePosition(Operation *operation, OpBuilder &b, unsigned resultNumber,
                                      ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes,
                                      SmallVector<OpFoldResult> &resultOffsets,
                                      SmallVector<OpFoldResult> &resultSizes) const {
    auto op = cast<SdpaOp>(operation);
    resultOffsets.assign(offsets.begin(), offsets.end());
    resultSizes.assign(sizes.begin(), sizes.end());
    // The head dimension of `out`; `lse` has none.
    if (resultNumber == 0) {
      resultOffsets.push_back(b.getIndexAttr(0));
      resultSizes.push_back(dim(b, op.getLoc(), op.getOut(), 3));
    }
    return success();
  }

  LogicalResult getIterationDomainTileFromResultTile(Operation *operation, OpBuilder &b, unsigned resultNumber,
                                                     ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes,
                                                     SmallVectorImpl<OpFoldResult> &domainOffsets,
                                                     SmallVectorImpl<OpFoldResult> &domainSizes) const {
    auto op = cast<SdpaOp>(operation);
    // A part of the head dimension costs as much as all of it.
    if (resultNumber == 0 && (!isConstantIntValue(offsets[3], 0) || !isWholeDim(sizes[3], op.getOut(), 3)))
      return op.emitOpError("expected a tile of out with the whole head dimension");
    domainOffsets.assign(offsets.begin(), offsets.begin() + kNumTiled);
    domainSizes.assign(sizes.begin(), sizes.begin() + kNumTiled);
    return success();
  }

  FailureOr<TilingResult> generateResultTileValue(Operation *operation, OpBuilder &b, unsigned resultNumber,
                                                  ArrayRef<OpFoldResult> offsets, ArrayRef<OpFoldResult> sizes) const {
    auto op = cast<SdpaOp>(operation);
    SmallVector<OpFoldResult> domainOffsets, domainSizes;
    if (failed(getIterationDomainTileFromResultTile(op, b, resultNumber, offsets, sizes, domainOffsets, domainSizes)))
      return failure();
    FailureOr<TilingResult> part = getTiledImplementation(op, b, domainOffsets, domainSizes);
    if (failed(part))
      return failure();
    return TilingResult{part->tiledOps, {part->tiledValues[resultNumber]}};
  }
};
} // namespace

void flashc::attn::attachTilingInterface(MLIRContext &context) { SdpaOp::attachInterface<SdpaTiling>(context); }

//===- AttentionMaskCode.cpp - What each mask attends, as IR --------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// `predicate`, `classify` and `tileIsEmpty` of every mask. Each mask is written once, as scalar code on positions;
/// targets vectorise the predicate, and loops over keys take their bounds from the ranges.
///
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "dialects/Attention/IndexMath.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::attn;

using arith::CmpIPredicate;

/// Reaches of a window beyond this attend everything there can be, and their sums with positions do not overflow.
static constexpr int64_t kFar = int64_t(1) << 60;

static Value compare(OpBuilder &builder, Location loc, CmpIPredicate predicate, Value x, Value y) {
  return builder.createOrFold<arith::CmpIOp>(loc, predicate, x, y);
}

/// The key position on the diagonal of row `i`.
static Value diagonal(OpBuilder &builder, Location loc, const MaskContext &context, Alignment alignment, Value i) {
  if (alignment == Alignment::TopLeft)
    return i;
  IndexMath math(builder, loc);
  return math.add(i, math.sub(context.keyLength, context.queryLength));
}

/// An element of an integer tensor as an index value.
static Value loadIndex(OpBuilder &builder, Location loc, Value memory, ValueRange indices) {
  Value element = builder.create<memref::LoadOp>(loc, memory, indices);
  return builder.create<arith::IndexCastOp>(loc, builder.getIndexType(), element);
}

/// An element of a boolean tensor (i1, or i8 that is nonzero where true) as an i1.
static Value loadFlag(OpBuilder &builder, Location loc, Value memory, ValueRange indices) {
  Value element = builder.create<memref::LoadOp>(loc, memory, indices);
  if (element.getType().isInteger(1))
    return element;
  Value zero = builder.create<arith::ConstantOp>(loc, builder.getZeroAttr(element.getType()));
  return compare(builder, loc, CmpIPredicate::ne, element, zero);
}

/// A per-batch-entry length, an operand of one dimension.
static Value loadLength(OpBuilder &builder, Location loc, const MaskContext &context) {
  return loadIndex(builder, loc, context.operands[0], context.batch);
}

/// Asks `attended` of every key: possible are the keys from the first to the last one that is. They are full, too, if
/// none of them is missing and `allRows`, an i1, says that what is attended is so by every row.
static KeyClasses scanKeys(OpBuilder &builder, Location loc, const MaskContext &context, Value allRows,
                           function_ref<Value(OpBuilder &, Location, Value)> attended) {
  IndexMath math(builder, loc);
  Value zero = math.constant(0), one = math.constant(1);
  Value begin = context.keys.begin ? context.keys.begin : zero;
  Value last = context.keys.end ? context.keys.end : context.keyLength;
  auto loop = builder.create<scf::ForOp>(
      loc, begin, last, one, ValueRange{last, begin, zero}, [&](OpBuilder &b, Location l, Value j, ValueRange found) {
        IndexMath inner(b, l);
        Value yes = attended(b, l, j);
        // Of each turn a number of its own, for targets that do turns side by side.
        Value first = inner.min(found[0], b.create<arith::SelectOp>(l, yes, j, last));
        Value end = inner.max(found[1], b.create<arith::SelectOp>(l, yes, inner.add(j, one), begin));
        Value count = inner.add(found[2], b.create<arith::SelectOp>(l, yes, one, zero).getResult());
        b.create<scf::YieldOp>(l, ValueRange{first, end, count});
      });
  Value first = loop.getResult(0), end = loop.getResult(1), count = loop.getResult(2);
  Value whole = builder.create<arith::AndIOp>(loc, allRows,
                                              compare(builder, loc, CmpIPredicate::eq, math.sub(end, first), count));
  KeyClasses classes;
  classes.possible = {first, end};
  classes.full = {first, builder.create<arith::SelectOp>(loc, whole, end, first)};
  return classes;
}

//===----------------------------------------------------------------------===//
// Causal
//===----------------------------------------------------------------------===//

Value CausalAttr::predicate(OpBuilder &builder, Location loc, const MaskContext &context, Value i, Value j) const {
  return compare(builder, loc, CmpIPredicate::sle, j, diagonal(builder, loc, context, getAlignment(), i));
}

KeyClasses CausalAttr::classify(OpBuilder &builder, Location loc, const MaskContext &context, Value begin,
                                Value end) const {
  IndexMath math(builder, loc);
  KeyClasses classes;
  // The last row of the block sees furthest, the first one least far.
  classes.possible.end = diagonal(builder, loc, context, getAlignment(), end);
  classes.full.end = math.add(diagonal(builder, loc, context, getAlignment(), begin), 1);
  return classes;
}

bool CausalAttr::laterRowsAttendMore() const { return true; }

//===----------------------------------------------------------------------===//
// Window
//===----------------------------------------------------------------------===//

Value WindowAttr::predicate(OpBuilder &builder, Location loc, const MaskContext &context, Value i, Value j) const {
  IndexMath math(builder, loc);
  Value d = diagonal(builder, loc, context, getAlignment(), i), inside;
  if (getLeft() >= 0)
    inside = compare(builder, loc, CmpIPredicate::sge, j, math.add(d, -std::min(getLeft(), kFar)));
  if (getRight() >= 0) {
    Value right = compare(builder, loc, CmpIPredicate::sle, j, math.add(d, std::min(getRight(), kFar)));
    inside = inside ? builder.createOrFold<arith::AndIOp>(loc, inside, right) : right;
  }
  return inside ? inside : builder.create<arith::ConstantIntOp>(loc, 1, 1);
}

KeyClasses WindowAttr::classify(OpBuilder &builder, Location loc, const MaskContext &context, Value begin,
                                Value end) const {
  IndexMath math(builder, loc);
  Value first = diagonal(builder, loc, context, getAlignment(), begin);
  Value afterLast = diagonal(builder, loc, context, getAlignment(), end);
  KeyClasses classes;
  if (getLeft() >= 0) {
    int64_t left = std::min(getLeft(), kFar);
    classes.possible.begin = math.add(first, -left);
    classes.full.begin = math.add(afterLast, -1 - left);
  }
  if (getRight() >= 0) {
    int64_t right = std::min(getRight(), kFar);
    classes.possible.end = math.add(afterLast, right);
    classes.full.end = math.add(first, right + 1);
  }
  return classes;
}

bool WindowAttr::laterRowsAttendMore() const { return getLeft() < 0 && getRight() >= 0; }

//===----------------------------------------------------------------------===//
// KeyLengths
//===----------------------------------------------------------------------===//

Value KeyLengthsAttr::predicate(OpBuilder &builder, Location loc, const MaskContext &context, Value i, Value j) const {
  return compare(builder, loc, CmpIPredicate::slt, j, loadLength(builder, loc, context));
}

KeyClasses KeyLengthsAttr::classify(OpBuilder &builder, Location loc, const MaskContext &context, Value begin,
                                    Value end) const {
  KeyClasses classes;
  classes.possible.end = classes.full.end = loadLength(builder, loc, context);
  return classes;
}

//===----------------------------------------------------------------------===//
// KeyPadding
//===----------------------------------------------------------------------===//

Value KeyPaddingAttr::predicate(OpBuilder &builder, Location loc, const MaskContext &context, Value i, Value j) const {
  IndexMath math(builder, loc);
  Value flags = context.operands[0];
  return loadFlag(builder, loc, flags, {context.batch, math.clampIndex(j, math.dim(flags, 1))});
}

/// One pass over the flags, cheap beside the attention of a block of rows: where the keys that are set are consecutive,
/// as they are in padded batches, all of them are full.
KeyClasses KeyPaddingAttr::classify(OpBuilder &builder, Location loc, const MaskContext &context, Value begin,
                                    Value end) const {
  Value always = builder.create<arith::ConstantIntOp>(loc, 1, 1);
  return scanKeys(builder, loc, context, always, [&](OpBuilder &b, Location l, Value j) {
    return loadFlag(b, l, context.operands[0], {context.batch, j});
  });
}

//===----------------------------------------------------------------------===//
// PrefixLM
//===----------------------------------------------------------------------===//

Value PrefixLMAttr::predicate(OpBuilder &builder, Location loc, const MaskContext &context, Value i, Value j) const {
  IndexMath math(builder, loc);
  Value prefix = loadLength(builder, loc, context);
  Value end = math.max(prefix, math.add(diagonal(builder, loc, context, getAlignment(), i), 1));
  return compare(builder, loc, CmpIPredicate::slt, j, end);
}

KeyClasses PrefixLMAttr::classify(OpBuilder &builder, Location loc, const MaskContext &context, Value begin,
                                  Value end) const {
  IndexMath math(builder, loc);
  Value prefix = loadLength(builder, loc, context);
  KeyClasses classes;
  classes.possible.end = math.max(prefix, diagonal(builder, loc, context, getAlignment(), end));
  classes.full.end = math.max(prefix, math.add(diagonal(builder, loc, context, getAlignment(), begin), 1));
  return classes;
}

bool PrefixLMAttr::laterRowsAttendMore() const { return true; }

//===----------------------------------------------------------------------===//
// Segments
//===----------------------------------------------------------------------===//

/// The smallest and the largest segment of positions `[begin, end)` of one batch entry; of nothing, a largest below the
/// smallest.
static std::pair<Value, Value> segmentRange(OpBuilder &builder, Location loc, Value segments, Value batch, Value begin,
                                            Value end) {
  Type type = cast<MemRefType>(segments.getType()).getElementType();
  unsigned width = type.getIntOrFloatBitWidth();
  Value most = builder.create<arith::ConstantOp>(loc, builder.getIntegerAttr(type, APInt::getSignedMaxValue(width)));
  Value least = builder.create<arith::ConstantOp>(loc, builder.getIntegerAttr(type, APInt::getSignedMinValue(width)));
  Value one = builder.create<arith::ConstantIndexOp>(loc, 1);
  auto loop = builder.create<scf::ForOp>(loc, begin, end, one, ValueRange{most, least},
                                         [&](OpBuilder &b, Location l, Value at, ValueRange range) {
                                           Value segment = b.create<memref::LoadOp>(l, segments, ValueRange{batch, at});
                                           Value low = b.create<arith::MinSIOp>(l, range[0], segment),
                                                 high = b.create<arith::MaxSIOp>(l, range[1], segment);
                                           b.create<scf::YieldOp>(l, ValueRange{low, high});
                                         });
  return {loop.getResult(0), loop.getResult(1)};
}

Value SegmentsAttr::predicate(OpBuilder &builder, Location loc, const MaskContext &context, Value i, Value j) const {
  IndexMath math(builder, loc);
  Value ofQueries = context.operands[0], ofKeys = context.operands[1];
  Value query = builder.create<memref::LoadOp>(loc, ofQueries,
                                               ValueRange{context.batch, math.clampIndex(i, math.dim(ofQueries, 1))});
  Value key =
      builder.create<memref::LoadOp>(loc, ofKeys, ValueRange{context.batch, math.clampIndex(j, math.dim(ofKeys, 1))});
  return compare(builder, loc, CmpIPredicate::eq, query, key);
}

/// One pass over the keys' segments finds those that lie among the block's. Where the block lies in one segment and
/// that segment's keys are consecutive, as they are in packed documents, all of them are full.
KeyClasses SegmentsAttr::classify(OpBuilder &builder, Location loc, const MaskContext &context, Value begin,
                                  Value end) const {
  std::pair<Value, Value> range = segmentRange(builder, loc, context.operands[0], context.batch, begin, end);
  Value single = compare(builder, loc, CmpIPredicate::eq, range.first, range.second);
  return scanKeys(builder, loc, context, single, [&](OpBuilder &b, Location l, Value j) -> Value {
    Value segment = b.create<memref::LoadOp>(l, context.operands[1], ValueRange{context.batch, j});
    return b.create<arith::AndIOp>(l, compare(b, l, CmpIPredicate::sge, segment, range.first),
                                   compare(b, l, CmpIPredicate::sle, segment, range.second));
  });
}

Value SegmentsAttr::tileIsEmpty(OpBuilder &builder, Location loc, const MaskContext &context, Value queryBegin,
                                Value queryEnd, Value keyBegin, Value keyEnd) const {
  auto [queryLow, queryHigh] = segmentRange(builder, loc, context.operands[0], context.batch, queryBegin, queryEnd);
  auto [keyLow, keyHigh] = segmentRange(builder, loc, context.operands[1], context.batch, keyBegin, keyEnd);
  return builder.create<arith::OrIOp>(loc, compare(builder, loc, CmpIPredicate::slt, queryHigh, keyLow),
                                      compare(builder, loc, CmpIPredicate::slt, keyHigh, queryLow));
}

//===----------------------------------------------------------------------===//
// TensorMask
//===----------------------------------------------------------------------===//

/// Clamping an index to a dimension serves both a tile that reaches beyond the sizes and a dimension of 1 (broadcast).
Value TensorMaskAttr::predicate(OpBuilder &builder, Location loc, const MaskContext &context, Value i, Value j) const {
  IndexMath math(builder, loc);
  Value flags = context.operands[0];
  SmallVector<Value> indices = {context.batch, context.head, i, j};
  for (auto [dimension, index] : llvm::enumerate(indices))
    index = math.clampIndex(index, math.dim(flags, dimension));
  return loadFlag(builder, loc, flags, indices);
}

bool TensorMaskAttr::dependsOnHead() const { return true; }

KeyClasses TensorMaskAttr::classify(OpBuilder &builder, Location loc, const MaskContext &context, Value begin,
                                    Value end) const {
  KeyClasses classes;
  classes.neverFull = true;
  return classes;
}

/// Rows are read until one attends a key. A tile that is not empty mostly shows so in its first row, which is little
/// beside its attention; an empty one is read whole, which is less than its attention.
Value TensorMaskAttr::tileIsEmpty(OpBuilder &builder, Location loc, const MaskContext &context, Value queryBegin,
                                  Value queryEnd, Value keyBegin, Value keyEnd) const {
  IndexMath math(builder, loc);
  Value flags = context.operands[0], one = math.constant(1);
  Value batch = math.clampIndex(context.batch, math.dim(flags, 0));
  Value head = math.clampIndex(context.head, math.dim(flags, 1));
  Value rows = math.dim(flags, 2), columns = math.dim(flags, 3);
  Value none = builder.create<arith::ConstantIntOp>(loc, 0, 1);
  auto anyKey = [&](OpBuilder &b, Location l, Value row) -> Value {
    auto loop =
        b.create<scf::ForOp>(l, keyBegin, keyEnd, one, none, [&](OpBuilder &b, Location l, Value j, ValueRange found) {
          Value column = IndexMath(b, l).clampIndex(j, columns);
          Value flag = loadFlag(b, l, flags, {batch, head, row, column});
          b.create<scf::YieldOp>(l, b.create<arith::OrIOp>(l, found[0], flag).getResult());
        });
    return loop.getResult(0);
  };
  auto anyRow = builder.create<scf::ForOp>(
      loc, queryBegin, queryEnd, one, none, [&](OpBuilder &b, Location l, Value i, ValueRange found) {
        auto known = b.create<scf::IfOp>(
            l, found[0], [&](OpBuilder &b, Location l) { b.create<scf::YieldOp>(l, found); },
            [&](OpBuilder &b, Location l) {
              b.create<scf::YieldOp>(l, anyKey(b, l, IndexMath(b, l).clampIndex(i, rows)));
            });
        b.create<scf::YieldOp>(l, known.getResults());
      });
  Value yes = builder.create<arith::ConstantIntOp>(loc, 1, 1);
  return builder.create<arith::XOrIOp>(loc, anyRow.getResult(0), yes);
}

//===----------------------------------------------------------------------===//
// Bounds
//===----------------------------------------------------------------------===//

Value BoundsAttr::predicate(OpBuilder &builder, Location loc, const MaskContext &context, Value i, Value j) const {
  return compare(builder, loc, CmpIPredicate::slt, j, context.keyLength);
}

KeyClasses BoundsAttr::classify(OpBuilder &builder, Location loc, const MaskContext &context, Value begin,
                                Value end) const {
  KeyClasses classes;
  classes.possible.end = classes.full.end = context.keyLength;
  return classes;
}

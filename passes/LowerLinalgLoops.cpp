//===- LowerLinalgLoops.cpp - Loop nests of vector code -------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Any structured operation as a loop nest. One dimension is taken in vectors: a parallel one along which the outs lie,
/// or a reduction along which an input lies. Values of the body that do not vary along it stay scalars.
///
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "passes/LowerLinalg.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace flashc::lower {

namespace {

class NestLowering {
public:
  NestLowering(OpBuilder &builder, linalg::LinalgOp op, const VectorUnit &unit)
      : builder(builder), op(op), loc(op.getLoc()), maps(op.getIndexingMapsArray()),
        iterators(op.getIteratorTypesArray()) {
    chooseVectorDim(unit);
  }

  void lower();

private:
  struct Combiner {
    vector::CombiningKind kind;
    TypedAttr neutral;
  };

  void chooseVectorDim(const VectorUnit &unit);
  bool bodyVectorises();
  std::optional<Combiner> combinerOf(unsigned out);
  bool isReduction(unsigned dim) const { return iterators[dim] == utils::IteratorType::reduction; }

  void cell(OpBuilder &b, SmallVector<Value> point, int64_t width);
  void reduceInVectors(OpBuilder &b, SmallVector<Value> point);
  SmallVector<Value> reductionLoops(OpBuilder &b, SmallVector<Value> &point, ArrayRef<unsigned> dims,
                                    ValueRange carried,
                                    llvm::function_ref<SmallVector<Value>(OpBuilder &, ValueRange)> innermost);
  SmallVector<Value> body(OpBuilder &b, ArrayRef<Value> point, int64_t width, ValueRange outs);
  Value compute(OpBuilder &b, Operation *inner, IRMapping &values, ArrayRef<Value> point, int64_t width);
  Value gather(OpBuilder &b, memref::LoadOp load, IRMapping &values, ArrayRef<Value> point, int64_t width);
  Value read(OpBuilder &b, OpOperand &operand, ArrayRef<Value> point, int64_t width);
  void write(OpBuilder &b, Value value, OpOperand &operand, ArrayRef<Value> point, int64_t width);
  bool liesAlong(OpOperand &operand);
  Value splat(OpBuilder &b, Value value, int64_t width);

  OpBuilder &builder;
  linalg::LinalgOp op;
  Location loc;
  SmallVector<AffineMap> maps;
  SmallVector<utils::IteratorType> iterators;
  SmallVector<OpFoldResult> sizes;
  std::optional<unsigned> vectorDim;
  int64_t lanes = 1;
};

} // namespace

//===----------------------------------------------------------------------===//
// What is taken in vectors
//===----------------------------------------------------------------------===//

/// Whether `operand` is read or written in whole vectors along the vector dimension.
bool NestLowering::liesAlong(OpOperand &operand) {
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  AffineMap map = op.getMatchingIndexingMap(&operand);
  int64_t offset;
  SmallVector<int64_t> strides;
  // An i1 takes a byte in memory and a bit in a vector.
  if (!type || map.getNumResults() == 0 || type.getElementType().isInteger(1) ||
      failed(getStridesAndOffset(type, strides, offset)) || strides.back() != 1)
    return false;
  for (AffineExpr result : map.getResults().drop_back())
    if (result.isFunctionOfDim(*vectorDim))
      return false;
  AffineExpr last = map.getResults().back(), dim = getAffineDimExpr(*vectorDim, op.getContext());
  AffineExpr step = simplifyAffineExpr(last.replace(dim, dim + 1) - last, map.getNumDims(), 0);
  return isa<AffineConstantExpr>(step) && cast<AffineConstantExpr>(step).getValue() == 1;
}

std::optional<NestLowering::Combiner> NestLowering::combinerOf(unsigned out) {
  Value running = op.getMatchingBlockArgument(op.getDpsInitOperand(out));
  Operation *last = op.getBlock()->getTerminator()->getOperand(out).getDefiningOp();
  if (!last || last->getNumOperands() != 2 || !running.hasOneUse() || !llvm::is_contained(last->getOperands(), running))
    return std::nullopt;
  Type type = running.getType();
  auto floating = [&](APFloat (*value)(const llvm::fltSemantics &, bool), bool negative) -> TypedAttr {
    return FloatAttr::get(type, value(cast<FloatType>(type).getFloatSemantics(), negative));
  };
  if (isa<arith::AddFOp>(last))
    return Combiner{vector::CombiningKind::ADD, floating(APFloat::getZero, false)};
  if (isa<arith::MulFOp>(last))
    return Combiner{vector::CombiningKind::MUL, FloatAttr::get(type, 1.0)};
  if (isa<arith::MaximumFOp>(last))
    return Combiner{vector::CombiningKind::MAXIMUMF, floating(APFloat::getInf, true)};
  if (isa<arith::MinimumFOp>(last))
    return Combiner{vector::CombiningKind::MINIMUMF, floating(APFloat::getInf, false)};
  if (isa<arith::AddIOp>(last))
    return Combiner{vector::CombiningKind::ADD, IntegerAttr::get(type, 0)};
  if (isa<arith::AndIOp>(last))
    return Combiner{vector::CombiningKind::AND, IntegerAttr::get(type, -1)};
  if (isa<arith::OrIOp>(last))
    return Combiner{vector::CombiningKind::OR, IntegerAttr::get(type, 0)};
  return std::nullopt;
}

bool NestLowering::bodyVectorises() {
  return llvm::all_of(op.getBlock()->without_terminator(), [](Operation &inner) {
    if (isa<linalg::IndexOp, memref::LoadOp>(inner))
      return true;
    return isa<arith::ArithDialect, math::MathDialect>(inner.getDialect()) && inner.getNumRegions() == 0 &&
           inner.getNumResults() == 1;
  });
}

void NestLowering::chooseVectorDim(const VectorUnit &unit) {
  if (!bodyVectorises())
    return;
  auto names = [&](OpOperand &operand, unsigned dim) {
    return op.getMatchingIndexingMap(&operand).isFunctionOfDim(dim);
  };
  auto lies = [&](OpOperand &operand, unsigned dim) {
    vectorDim = dim;
    return liesAlong(operand);
  };
  std::optional<unsigned> best;
  int64_t bestMerit = 0;
  for (unsigned dim = 0; dim < op.getNumLoops(); ++dim) {
    bool usable = true;
    int64_t merit = 1;
    for (OpOperand &init : op.getDpsInitsMutable())
      usable &= isReduction(dim) ? !names(init, dim) : lies(init, dim);
    if (isReduction(dim))
      for (unsigned out = 0; out < op.getNumDpsInits(); ++out)
        usable &= combinerOf(out).has_value();
    // Along each input that varies with it, or it costs a load an element.
    for (OpOperand *input : op.getDpsInputOperands())
      if (names(*input, dim))
        merit += lies(*input, dim) ? 4 : -2;
    merit = std::max<int64_t>(merit, isReduction(dim) ? 0 : 1);
    if (usable && merit > bestMerit && op.getStaticLoopRanges()[dim] != 1) {
      best = dim;
      bestMerit = merit;
    }
  }
  vectorDim = best;
  if (!best)
    return;
  // As many lanes as the widest floating-point or stored type allows, and no more than there are elements.
  unsigned bits = 32;
  for (Value out : op.getDpsInits())
    bits = std::max(bits, getElementTypeOrSelf(out.getType()).getIntOrFloatBitWidth());
  lanes = unit.bytes * 8 / bits;
  int64_t extent = op.getStaticLoopRanges()[*best];
  while (lanes > 1 && !ShapedType::isDynamic(extent) && lanes > extent)
    lanes /= 2;
  if (lanes == 1)
    vectorDim.reset();
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

Value NestLowering::splat(OpBuilder &b, Value value, int64_t width) {
  if (isa<VectorType>(value.getType()))
    return value;
  return b.create<vector::BroadcastOp>(loc, VectorType::get({width}, value.getType()), value);
}

Value NestLowering::read(OpBuilder &b, OpOperand &operand, ArrayRef<Value> point, int64_t width) {
  if (!isa<MemRefType>(operand.get().getType()))
    return operand.get();
  AffineMap map = op.getMatchingIndexingMap(&operand);
  if (width == 1 || !map.isFunctionOfDim(*vectorDim))
    return b.create<memref::LoadOp>(loc, operand.get(), indicesAt(b, loc, map, point));
  Type element = getElementTypeOrSelf(operand.get().getType());
  VectorType type = VectorType::get({width}, element);
  if (liesAlong(operand))
    return b.create<vector::LoadOp>(loc, type, operand.get(), indicesAt(b, loc, map, point));
  Value vector = b.create<arith::ConstantOp>(loc, DenseElementsAttr::get(type, b.getZeroAttr(element)));
  SmallVector<Value> lane(point);
  for (int64_t i = 0; i < width; ++i) {
    lane[*vectorDim] = b.createOrFold<arith::AddIOp>(loc, point[*vectorDim], b.create<arith::ConstantIndexOp>(loc, i));
    Value value = b.create<memref::LoadOp>(loc, operand.get(), indicesAt(b, loc, map, lane));
    vector = b.create<vector::InsertOp>(loc, value, vector, ArrayRef<int64_t>{i});
  }
  return vector;
}

void NestLowering::write(OpBuilder &b, Value value, OpOperand &operand, ArrayRef<Value> point, int64_t width) {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  if (width == 1 || !map.isFunctionOfDim(*vectorDim)) {
    b.create<memref::StoreOp>(loc, value, operand.get(), indicesAt(b, loc, map, point));
    return;
  }
  value = splat(b, value, width);
  if (liesAlong(operand)) {
    b.create<vector::StoreOp>(loc, value, operand.get(), indicesAt(b, loc, map, point));
    return;
  }
  SmallVector<Value> lane(point);
  for (int64_t i = 0; i < width; ++i) {
    lane[*vectorDim] = b.createOrFold<arith::AddIOp>(loc, point[*vectorDim], b.create<arith::ConstantIndexOp>(loc, i));
    Value element = b.create<vector::ExtractOp>(loc, value, ArrayRef<int64_t>{i});
    b.create<memref::StoreOp>(loc, element, operand.get(), indicesAt(b, loc, map, lane));
  }
}

/// A read at indices that the body computes.
Value NestLowering::gather(OpBuilder &b, memref::LoadOp load, IRMapping &values, ArrayRef<Value> point, int64_t width) {
  SmallVector<Value> indices;
  bool varies = false, onlyLast = true;
  for (auto [number, index] : llvm::enumerate(load.getIndices())) {
    indices.push_back(values.lookupOrDefault(index));
    bool vector = isa<VectorType>(indices.back().getType());
    varies |= vector;
    onlyLast &= !vector || number + 1 == load.getIndices().size();
  }
  Value memory = values.lookupOrDefault(load.getMemRef());
  if (!varies)
    return b.create<memref::LoadOp>(loc, memory, indices);
  auto type = cast<MemRefType>(memory.getType());
  VectorType result = VectorType::get({width}, type.getElementType());
  int64_t offset;
  SmallVector<int64_t> strides;
  auto position = load.getIndices().back().getDefiningOp<linalg::IndexOp>();
  if (onlyLast && position && !type.getElementType().isInteger(1) &&
      succeeded(getStridesAndOffset(type, strides, offset)) && strides.back() == 1) {
    indices.back() = point[*vectorDim];
    return b.create<vector::LoadOp>(loc, result, memory, indices);
  }
  Value vector = b.create<arith::ConstantOp>(loc, DenseElementsAttr::get(result, b.getZeroAttr(type.getElementType())));
  for (int64_t i = 0; i < width; ++i) {
    SmallVector<Value> lane;
    for (Value index : indices)
      lane.push_back(isa<VectorType>(index.getType())
                         ? Value(b.create<vector::ExtractOp>(loc, index, ArrayRef<int64_t>{i}))
                         : index);
    vector = b.create<vector::InsertOp>(loc, b.create<memref::LoadOp>(loc, memory, lane), vector, ArrayRef<int64_t>{i});
  }
  return vector;
}

Value NestLowering::compute(OpBuilder &b, Operation *inner, IRMapping &values, ArrayRef<Value> point, int64_t width) {
  if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
    Value position = point[index.getDim()];
    if (width == 1 || index.getDim() != *vectorDim)
      return position;
    SmallVector<int64_t> steps = llvm::to_vector(llvm::seq<int64_t>(0, width));
    VectorType type = VectorType::get({width}, b.getIndexType());
    Value lane = b.create<arith::ConstantOp>(
        loc, DenseElementsAttr::get(
                 type, ArrayRef<APInt>(llvm::map_to_vector(steps, [](int64_t step) { return APInt(64, step); }))));
    return b.create<arith::AddIOp>(loc, splat(b, position, width), lane);
  }
  if (auto load = dyn_cast<memref::LoadOp>(inner))
    return gather(b, load, values, point, width);
  SmallVector<Value> operands =
      llvm::map_to_vector(inner->getOperands(), [&](Value operand) { return values.lookupOrDefault(operand); });
  bool varies = llvm::any_of(operands, [](Value operand) { return isa<VectorType>(operand.getType()); });
  if (!varies)
    return b.clone(*inner, values)->getResult(0);
  for (auto [number, operand] : llvm::enumerate(operands))
    if (!(isa<arith::SelectOp>(inner) && number == 0))
      operand = splat(b, operand, width);
  OperationState state(loc, inner->getName().getStringRef(), operands,
                       VectorType::get({width}, inner->getResult(0).getType()), inner->getAttrs());
  return b.create(state)->getResult(0);
}

/// The values that the body yields at `point`; `outs` are the running values.
SmallVector<Value> NestLowering::body(OpBuilder &b, ArrayRef<Value> point, int64_t width, ValueRange outs) {
  IRMapping values;
  for (OpOperand *input : op.getDpsInputOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(input);
    if (!argument.use_empty())
      values.map(argument, read(b, *input, point, width));
  }
  for (auto [number, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    BlockArgument argument = op.getMatchingBlockArgument(&init);
    if (!argument.use_empty())
      values.map(argument, outs.empty() ? read(b, init, point, width) : outs[number]);
  }
  for (Operation &inner : op.getBlock()->without_terminator()) {
    // Bodies that are not taken in vectors may hold anything.
    if (width == 1 && !isa<linalg::IndexOp>(inner)) {
      b.clone(inner, values);
      continue;
    }
    values.map(inner.getResult(0), compute(b, &inner, values, point, width));
  }
  return llvm::map_to_vector(op.getBlock()->getTerminator()->getOperands(),
                             [&](Value value) { return values.lookupOrDefault(value); });
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

SmallVector<Value>
NestLowering::reductionLoops(OpBuilder &b, SmallVector<Value> &point, ArrayRef<unsigned> dims, ValueRange carried,
                             llvm::function_ref<SmallVector<Value>(OpBuilder &, ValueRange)> innermost) {
  if (dims.empty())
    return innermost(b, carried);
  Value zero = b.create<arith::ConstantIndexOp>(loc, 0);
  Value end = getValueOrCreateConstantIndexOp(b, loc, sizes[dims[0]]);
  return llvm::to_vector(
      forCarried(b, loc, zero, end, 1, carried, [&](OpBuilder &b, Value position, ValueRange values) {
        point[dims[0]] = position;
        return reductionLoops(b, point, dims.drop_front(), values, innermost);
      }));
}

/// All that is computed at one point (or `width` of them) of the parallel loops.
void NestLowering::cell(OpBuilder &b, SmallVector<Value> point, int64_t width) {
  SmallVector<unsigned> reductions;
  for (unsigned dim = 0; dim < iterators.size(); ++dim)
    if (isReduction(dim))
      reductions.push_back(dim);
  if (!reductions.empty() && vectorDim && isReduction(*vectorDim))
    return reduceInVectors(b, point);
  SmallVector<Value> results;
  if (reductions.empty()) {
    results = body(b, point, width, {});
  } else {
    SmallVector<Value> running;
    for (OpOperand &init : op.getDpsInitsMutable()) {
      Value value = read(b, init, point, width);
      running.push_back(width == 1 ? value : splat(b, value, width));
    }
    results = reductionLoops(b, point, reductions, running, [&](OpBuilder &b, ValueRange values) {
      SmallVector<Value> next = body(b, point, width, values);
      for (Value &value : next)
        value = width == 1 ? value : splat(b, value, width);
      return next;
    });
  }
  for (auto [result, init] : llvm::zip(results, op.getDpsInitsMutable()))
    write(b, result, init, point, width);
}

void NestLowering::reduceInVectors(OpBuilder &b, SmallVector<Value> point) {
  SmallVector<unsigned> others;
  for (unsigned dim = 0; dim < iterators.size(); ++dim)
    if (isReduction(dim) && dim != *vectorDim)
      others.push_back(dim);
  // One vector and one scalar for each result: the scalar takes what does not fill a vector.
  SmallVector<Value> carried;
  size_t count = op.getNumDpsInits();
  for (unsigned out = 0; out < count; ++out) {
    Type element = getElementTypeOrSelf(op.getDpsInits()[out].getType());
    carried.push_back(b.create<arith::ConstantOp>(
        loc, DenseElementsAttr::get(VectorType::get({lanes}, element), combinerOf(out)->neutral)));
  }
  for (OpOperand &init : op.getDpsInitsMutable())
    carried.push_back(read(b, init, point, 1));
  Value zero = b.create<arith::ConstantIndexOp>(loc, 0);
  SmallVector<Value> sums = reductionLoops(b, point, others, carried, [&](OpBuilder &b, ValueRange values) {
    Value end = getValueOrCreateConstantIndexOp(b, loc, sizes[*vectorDim]);
    auto known = getConstantIntValue(sizes[*vectorDim]);
    Value whole = end;
    if (!known || *known % lanes != 0) {
      Value rest = b.createOrFold<arith::RemUIOp>(loc, end, b.create<arith::ConstantIndexOp>(loc, lanes));
      whole = b.createOrFold<arith::SubIOp>(loc, end, rest);
    }
    auto step = [&](int64_t width) {
      return [&, width](OpBuilder &b, Value position, ValueRange running) {
        SmallVector<Value> at(point);
        at[*vectorDim] = position;
        SmallVector<Value> next = body(b, at, width, running);
        for (Value &value : next)
          value = width == 1 ? value : splat(b, value, width);
        return next;
      };
    };
    SmallVector<Value> next =
        llvm::to_vector(forCarried(b, loc, zero, whole, lanes, values.take_front(count), step(lanes)));
    if (whole == end)
      llvm::append_range(next, values.drop_front(count));
    else
      llvm::append_range(next, forCarried(b, loc, whole, end, 1, values.drop_front(count), step(1)));
    return next;
  });
  for (auto [out, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    // The order of a sum is not the source's: neither is it one after the other in any framework.
    Value result = b.create<vector::ReductionOp>(loc, combinerOf(out)->kind, sums[out], sums[count + out],
                                                 arith::FastMathFlags::reassoc);
    write(b, result, init, point, 1);
  }
}

void NestLowering::lower() {
  for (Range range : op.createLoopRanges(builder, loc))
    sizes.push_back(range.size);
  int64_t work = 1;
  for (OpFoldResult size : sizes)
    work = llvm::SaturatingMultiply<uint64_t>(work, getConstantIntValue(size).value_or(256));
  bool vectorIsParallel = vectorDim && !isReduction(*vectorDim);

  // Outer dimensions become tasks until there are enough of them, each worth its cost; the rest, and the vectors', are
  // loops inside.
  constexpr int64_t taskWork = 4096, parallelWork = 16384;
  int64_t mostTasks = std::clamp<int64_t>(work / taskWork, 1, 256);
  SmallVector<unsigned> dims;
  SmallVector<OpFoldResult> taskSizes;
  SmallVector<int64_t> chunks;
  int64_t tasks = 1;
  for (unsigned dim = 0; dim < iterators.size(); ++dim) {
    if (isReduction(dim))
      continue;
    bool isVector = vectorIsParallel && dim == *vectorDim;
    int64_t size = getConstantIntValue(sizes[dim]).value_or(64), grain = isVector ? lanes * 64 : 1;
    int64_t most = std::max<int64_t>(mostTasks / tasks, 1);
    int64_t chunk = std::max(llvm::divideCeil(size, most), uint64_t(grain));
    if (tasks >= mostTasks || (isVector && size <= grain))
      chunk = std::max<int64_t>(size, 1);
    // Of an unknown size, a chunk that is all of it would have to be unknown too.
    if (!getConstantIntValue(sizes[dim]))
      chunk = isVector ? grain : 1;
    dims.push_back(dim);
    taskSizes.push_back(sizes[dim]);
    chunks.push_back(chunk);
    tasks *= llvm::divideCeil(size, chunk);
  }
  forEachTask(builder, loc, taskSizes, chunks, work >= parallelWork, [&](OpBuilder &b, ArrayRef<Span> spans) {
    SmallVector<Value> point(sizes.size(), b.create<arith::ConstantIndexOp>(loc, 0));
    std::function<void(OpBuilder &, unsigned)> nest = [&](OpBuilder &b, unsigned depth) {
      if (depth == dims.size()) {
        if (!vectorIsParallel)
          return cell(b, point, 1);
        unsigned number = llvm::find(dims, *vectorDim) - dims.begin();
        return forEachTile(b, loc, spans[number], {lanes, 1}, [&](OpBuilder &b, Value position, int64_t width) {
          point[*vectorDim] = position;
          cell(b, point, width);
        });
      }
      if (vectorIsParallel && dims[depth] == *vectorDim)
        return nest(b, depth + 1);
      forEachTile(b, loc, spans[depth], {1}, [&](OpBuilder &b, Value position, int64_t) {
        point[dims[depth]] = position;
        nest(b, depth + 1);
      });
    };
    nest(b, 0);
  });
}

void lowerLoops(OpBuilder &builder, linalg::LinalgOp op, const VectorUnit &unit) {
  NestLowering(builder, op, unit).lower();
}

} // namespace flashc::lower

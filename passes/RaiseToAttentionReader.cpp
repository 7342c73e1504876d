//===- RaiseToAttentionReader.cpp - Reading tensors symbolically ----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "passes/RaiseToAttentionExpr.h"
#include <cmath>

using namespace mlir;

namespace flashc::raise {

/// Whether an expression is a read, or a read times or divided by a constant: what data movement may do on the way.
static bool isMovement(const Expr *expr) {
  if (expr->kind == Expr::Kind::Element || expr->kind == Expr::Kind::Constant)
    return true;
  if (expr->is("arith.mulf"))
    return (expr->operands[1]->number() && isMovement(expr->operands[0])) ||
           (expr->operands[0]->number() && isMovement(expr->operands[1]));
  return expr->is("arith.divf") && expr->operands[1]->number() && isMovement(expr->operands[0]);
}

/// Evaluates the body of a structured operation (or of a tensor.generate) at given loops.
class BodyReader {
public:
  BodyReader(TensorReader &reader, Operation *op, ArrayRef<AffineExpr> loops, bool throughMath)
      : reader(reader), op(op), loops(loops), throughMath(throughMath) {}

  /// The expression that computes `value`; null if something in the body is not understood.
  const Expr *evaluate(Value value);

  /// Stands for the running value of a reduction.
  void bind(Value value, const Expr *expr) { bound[value] = expr; }

private:
  const Expr *evaluateUncached(Value value);
  const Expr *evaluateArgument(BlockArgument argument);
  const Expr *evaluateExtract(tensor::ExtractOp extract);

  TensorReader &reader;
  Operation *op;
  ArrayRef<AffineExpr> loops;
  bool throughMath;
  llvm::DenseMap<Value, const Expr *> bound;
};

const Expr *BodyReader::evaluate(Value value) {
  if (auto it = bound.find(value); it != bound.end())
    return it->second;
  const Expr *expr = evaluateUncached(value);
  if (expr && expr->weight > TensorReader::maxWeight)
    expr = nullptr;
  bound[value] = expr;
  return expr;
}

const Expr *BodyReader::evaluateArgument(BlockArgument argument) {
  auto structured = dyn_cast<linalg::LinalgOp>(op);
  if (!structured)
    return reader.makeIndex(loops[argument.getArgNumber()], argument.getType());
  OpOperand *operand = structured.getMatchingOpOperand(argument);
  if (!isa<RankedTensorType>(operand->get().getType())) {
    Attribute attr;
    if (matchPattern(operand->get(), m_Constant(&attr)))
      return reader.makeConstant(cast<TypedAttr>(attr), operand->get().getDefiningOp());
    Expr scalar(Expr::Kind::Scalar, argument.getType());
    scalar.source = operand->get();
    return reader.make(std::move(scalar));
  }
  SmallVector<AffineExpr> indices;
  for (AffineExpr result : structured.getMatchingIndexingMap(operand).getResults())
    indices.push_back(result.replaceDims(loops));
  return reader.read(operand->get(), indices, throughMath);
}

const Expr *BodyReader::evaluateExtract(tensor::ExtractOp extract) {
  SmallVector<AffineExpr> indices;
  for (Value index : extract.getIndices()) {
    const Expr *expr = evaluate(index);
    if (!expr)
      return nullptr;
    if (expr->kind == Expr::Kind::Index)
      indices.push_back(expr->index);
    else if (auto attr = dyn_cast_or_null<IntegerAttr>(expr->constant))
      indices.push_back(getAffineConstantExpr(attr.getInt(), extract.getContext()));
    else
      return nullptr;
  }
  return reader.read(extract.getTensor(), indices, throughMath);
}

const Expr *BodyReader::evaluateUncached(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value); argument && argument.getOwner()->getParentOp() == op)
    return evaluateArgument(argument);
  Operation *def = value.getDefiningOp();
  if (def && def->getNumOperands() == 0) {
    Attribute attr;
    if (matchPattern(def, m_Constant(&attr)) && isa<TypedAttr>(attr) && !isa<ShapedType>(value.getType()))
      return reader.makeConstant(cast<TypedAttr>(attr), def);
  }
  if (!def || !op->isProperAncestor(def)) {
    Expr scalar(Expr::Kind::Scalar, value.getType());
    scalar.source = value;
    return reader.make(std::move(scalar));
  }
  if (auto index = dyn_cast<linalg::IndexOp>(def))
    return reader.makeIndex(loops[index.getDim()], value.getType());
  if (auto extract = dyn_cast<tensor::ExtractOp>(def))
    return evaluateExtract(extract);
  if (def->getNumRegions() != 0 || def->getNumResults() != 1 || !isPure(def) ||
      (!isa<arith::ArithDialect>(def->getDialect()) && def->getDialect()->getNamespace() != "math"))
    return nullptr;
  SmallVector<const Expr *> operands;
  for (Value operand : def->getOperands()) {
    operands.push_back(evaluate(operand));
    if (!operands.back())
      return nullptr;
  }
  return reader.makeCompute(def->getName().getStringRef(), def->getAttrDictionary(), operands, value.getType(), def);
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

const Expr *TensorReader::read(Value tensor, ArrayRef<AffineExpr> indices, bool throughMath) {
  Key key;
  auto type = cast<RankedTensorType>(tensor.getType());
  for (auto [index, size] : llvm::zip(indices, type.getShape()))
    key.push_back(size == 1 ? getAffineConstantExpr(0, space.getContext()) : space.simplify(index));
  for (auto &[known, expr] : cache[throughMath][tensor])
    if (known == key)
      return expr;
  ++depth;
  const Expr *expr = depth <= maxDepth ? readUncached(tensor, key, throughMath) : nullptr;
  --depth;
  if (!expr || expr->weight > maxWeight || (!throughMath && !isMovement(expr)))
    expr = makeElement(tensor, key);
  cache[throughMath][tensor].push_back({key, expr});
  return expr;
}

std::optional<SmallVector<AffineExpr>> TensorReader::invert(AffineMap map, ArrayRef<AffineExpr> indices,
                                                            ArrayRef<int64_t> extents) {
  SmallVector<AffineExpr> loops(map.getNumDims());
  for (auto [result, index] : llvm::zip(map.getResults(), indices)) {
    auto dim = dyn_cast<AffineDimExpr>(result);
    if (!dim) {
      if (isa<AffineConstantExpr>(result))
        continue;
      return std::nullopt;
    }
    if (loops[dim.getPosition()])
      return std::nullopt;
    loops[dim.getPosition()] = index;
  }
  for (auto [loop, extent] : llvm::zip(loops, extents))
    if (!loop && extent == 1)
      loop = getAffineConstantExpr(0, space.getContext());
  return loops;
}

const Expr *TensorReader::readStructured(linalg::LinalgOp op, Value tensor, ArrayRef<AffineExpr> indices,
                                         bool throughMath) {
  if (!op.hasPureTensorSemantics() || op.getNumReductionLoops() != 0)
    return nullptr;
  unsigned number = cast<OpResult>(tensor).getResultNumber();
  OpOperand *init = op.getDpsInitOperand(number);
  auto loops = invert(op.getMatchingIndexingMap(init), indices, op.getStaticLoopRanges());
  if (!loops || llvm::is_contained(*loops, AffineExpr()))
    return nullptr;
  return BodyReader(*this, op, *loops, throughMath).evaluate(op.getBlock()->getTerminator()->getOperand(number));
}

/// Fits `base + sum stride_k * index_k` to the elements of an integer constant, as exporters write an iota.
static std::optional<SmallVector<int64_t>> fitLinear(DenseElementsAttr elements) {
  auto type = cast<RankedTensorType>(elements.getType());
  auto integer = dyn_cast<IntegerType>(type.getElementType());
  if (!integer || integer.getWidth() == 1 || integer.getWidth() > 64 || type.getNumElements() == 0)
    return std::nullopt;
  SmallVector<int64_t> values;
  for (const APInt &value : elements.getValues<APInt>())
    values.push_back(value.getSExtValue());
  // base, then one stride a dimension, read off the first steps along each dimension and checked against all elements.
  SmallVector<int64_t> fit{values[0]};
  ArrayRef<int64_t> shape = type.getShape();
  SmallVector<int64_t> steps(shape.size(), 1);
  for (int64_t dim = shape.size() - 2; dim >= 0; --dim)
    steps[dim] = steps[dim + 1] * shape[dim + 1];
  for (auto [size, step] : llvm::zip(shape, steps))
    fit.push_back(size > 1 ? values[step] - values[0] : 0);
  for (auto [position, value] : llvm::enumerate(values)) {
    int64_t expected = fit[0];
    for (auto [dim, size] : llvm::enumerate(shape))
      expected += fit[dim + 1] * (int64_t(position) / steps[dim] % size);
    if (expected != value)
      return std::nullopt;
  }
  return fit;
}

const Expr *TensorReader::readConstant(Value tensor, DenseElementsAttr elements, ArrayRef<AffineExpr> indices) {
  if (elements.empty())
    return nullptr;
  if (elements.isSplat())
    return makeConstant(cast<TypedAttr>(elements.getSplatValue<Attribute>()), tensor.getDefiningOp());
  auto fit = fitLinear(elements);
  if (!fit)
    return nullptr;
  AffineExpr value = getAffineConstantExpr((*fit)[0], space.getContext());
  for (auto [index, stride] : llvm::zip(indices, llvm::drop_begin(*fit)))
    value = value + index * stride;
  return makeIndex(value, elements.getElementType());
}

/// Read `source` at the position in row-major order that `indices` have in `shape`.
const Expr *TensorReader::readReshape(Value source, ArrayRef<int64_t> shape, ArrayRef<AffineExpr> indices,
                                      bool throughMath) {
  AffineExpr position = getAffineConstantExpr(0, space.getContext());
  for (auto [dim, index] : llvm::enumerate(indices)) {
    if (dim != 0 && ShapedType::isDynamic(shape[dim]))
      return nullptr;
    position = position * (dim == 0 ? 1 : shape[dim]) + index;
  }
  SmallVector<AffineExpr> sourceIndices;
  ArrayRef<int64_t> sourceShape = cast<RankedTensorType>(source.getType()).getShape();
  for (int64_t dim = int64_t(sourceShape.size()) - 1; dim >= 0; --dim) {
    if (dim == 0 || sourceShape[dim] == 1) {
      sourceIndices.push_back(sourceShape[dim] == 1 ? getAffineConstantExpr(0, space.getContext()) : position);
      continue;
    }
    bool outermost = llvm::all_of(sourceShape.take_front(dim), [](int64_t size) { return size == 1; });
    if (ShapedType::isDynamic(sourceShape[dim]) && !outermost)
      return nullptr;
    sourceIndices.push_back(outermost ? position : position % sourceShape[dim]);
    if (!outermost)
      position = position.floorDiv(sourceShape[dim]);
  }
  return read(source, llvm::to_vector(llvm::reverse(sourceIndices)), throughMath);
}

const Expr *TensorReader::readUncached(Value tensor, ArrayRef<AffineExpr> indices, bool throughMath) {
  Operation *op = tensor.getDefiningOp();
  if (!op)
    return nullptr;

  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
    bool expand = isa<tensor::ExpandShapeOp>(op);
    Value source = op->getOperand(0);
    ArrayRef<int64_t> shape = cast<RankedTensorType>(tensor.getType()).getShape();
    ArrayRef<int64_t> sourceShape = cast<RankedTensorType>(source.getType()).getShape();
    auto groups = expand ? cast<tensor::ExpandShapeOp>(op).getReassociationIndices()
                         : cast<tensor::CollapseShapeOp>(op).getReassociationIndices();
    SmallVector<AffineExpr> sourceIndices(sourceShape.size(), getAffineConstantExpr(0, space.getContext()));
    for (auto [number, group] : llvm::enumerate(groups)) {
      AffineExpr position = expand ? getAffineConstantExpr(0, space.getContext()) : indices[number];
      if (expand) {
        for (auto [nth, dim] : llvm::enumerate(group)) {
          if (nth != 0 && ShapedType::isDynamic(shape[dim]))
            return nullptr;
          position = nth == 0 ? indices[dim] : position * shape[dim] + indices[dim];
        }
        sourceIndices[number] = position;
        continue;
      }
      for (auto [nth, dim] : llvm::enumerate(llvm::reverse(group))) {
        ArrayRef<int64_t> outer = sourceShape.slice(group.front(), group.size() - 1 - nth);
        bool outermost = llvm::all_of(outer, [](int64_t size) { return size == 1; });
        if (outermost) {
          sourceIndices[dim] = position;
          break;
        }
        if (ShapedType::isDynamic(sourceShape[dim]))
          return nullptr;
        sourceIndices[dim] = position % sourceShape[dim];
        position = position.floorDiv(sourceShape[dim]);
      }
    }
    return read(source, sourceIndices, throughMath);
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    if (ShapedType::isDynamicShape(slice.getStaticOffsets()) || ShapedType::isDynamicShape(slice.getStaticStrides()))
      return nullptr;
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    SmallVector<AffineExpr> sourceIndices;
    unsigned next = 0;
    for (auto [dim, offset] : llvm::enumerate(slice.getStaticOffsets())) {
      AffineExpr index = dropped.test(dim) ? getAffineConstantExpr(0, space.getContext()) : indices[next++];
      sourceIndices.push_back(index * slice.getStaticStrides()[dim] + offset);
    }
    return read(slice.getSource(), sourceIndices, throughMath);
  }
  if (auto cast = dyn_cast<tensor::CastOp>(op))
    return isa<RankedTensorType>(cast.getSource().getType()) ? read(cast.getSource(), indices, throughMath) : nullptr;
  if (auto generate = dyn_cast<tensor::GenerateOp>(op))
    return BodyReader(*this, op, indices, throughMath)
        .evaluate(generate.getBody().front().getTerminator()->getOperand(0));
  if (auto splat = dyn_cast<tensor::SplatOp>(op)) {
    Expr scalar(Expr::Kind::Scalar, splat.getInput().getType());
    scalar.source = splat.getInput();
    return make(std::move(scalar));
  }
  if (auto structured = dyn_cast<linalg::LinalgOp>(op))
    return readStructured(structured, tensor, indices, throughMath);
  DenseElementsAttr elements;
  if (matchPattern(op, m_Constant(&elements)))
    return readConstant(tensor, elements, indices);
  if (const Expr *expr = readTosa(op, indices, throughMath))
    return expr;
  if (OpTrait::hasElementwiseMappableTraits(op) && isPure(op) && op->getNumResults() == 1) {
    SmallVector<const Expr *> operands;
    for (Value operand : op->getOperands()) {
      if (!isa<RankedTensorType>(operand.getType()))
        return nullptr;
      operands.push_back(read(operand, indices, throughMath));
    }
    return makeCompute(op->getName().getStringRef(), op->getAttrDictionary(), operands, getElementTypeOrSelf(tensor),
                       op);
  }
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Contractions and reductions
//===----------------------------------------------------------------------===//

std::optional<Contraction> matchContraction(Operation *op) {
  if (auto contraction = matchTosaContraction(op))
    return contraction;
  auto structured = dyn_cast<linalg::LinalgOp>(op);
  if (!structured || !structured.hasPureTensorSemantics() || !linalg::isaContractionOpInterface(structured))
    return std::nullopt;
  Contraction contraction;
  contraction.op = op;
  contraction.lhs = structured.getDpsInputs()[0];
  contraction.rhs = structured.getDpsInputs()[1];
  SmallVector<AffineMap> maps = structured.getIndexingMapsArray();
  contraction.lhsMap = maps[0];
  contraction.rhsMap = maps[1];
  contraction.outMap = maps[2];
  contraction.extents = structured.getStaticLoopRanges();
  for (utils::IteratorType iterator : structured.getIteratorTypesArray())
    contraction.reduced.push_back(iterator == utils::IteratorType::reduction);
  return contraction;
}

static std::optional<ReductionKind> combiner(const Expr *expr) {
  static const std::pair<StringRef, ReductionKind> kinds[] = {
      {"arith.maximumf", ReductionKind::Max}, {"arith.maxnumf", ReductionKind::Max}, {"arith.addf", ReductionKind::Sum},
      {"arith.andi", ReductionKind::All},     {"arith.ori", ReductionKind::Any},
  };
  for (auto [name, kind] : kinds)
    if (expr->is(name))
      return kind;
  return std::nullopt;
}

/// Whether a reduction that starts from `init` is the reduction of its elements alone. A maximum may start at the
/// lowest finite number: it differs only where all elements are -inf, and there exp(x - max) / sum is NaN either way.
static bool isNeutral(ReductionKind kind, const Expr *init) {
  auto number = init->number();
  switch (kind) {
  case ReductionKind::Max:
    return number && (std::isinf(*number) || cast<FloatAttr>(init->constant).getValue().isLargest()) && *number < 0;
  case ReductionKind::Sum:
    return number == 0.0;
  case ReductionKind::All:
    return init->truth() == true;
  case ReductionKind::Any:
    return init->truth() == false;
  }
  llvm_unreachable("covered switch");
}

std::optional<Reduction> TensorReader::readReduction(const Expr *element, AffineExpr dim) {
  if (element->kind != Expr::Kind::Element || !element->source.getDefiningOp())
    return std::nullopt;
  auto op = dyn_cast<linalg::LinalgOp>(element->source.getDefiningOp());
  if (!op)
    return readTosaReduction(element, dim);
  if (!op.hasPureTensorSemantics())
    return std::nullopt;
  unsigned number = cast<OpResult>(element->source).getResultNumber();
  OpOperand *init = op.getDpsInitOperand(number);
  SmallVector<int64_t> extents = op.getStaticLoopRanges();
  auto loops = invert(op.getMatchingIndexingMap(init), element->indices, extents);
  if (!loops)
    return std::nullopt;
  int64_t extent = 1;
  bool found = false;
  for (auto [loop, iterator, size] : llvm::zip(*loops, op.getIteratorTypesArray(), extents)) {
    if (loop)
      continue;
    if (iterator != utils::IteratorType::reduction || found)
      return std::nullopt;
    found = true;
    loop = dim;
    extent = size;
  }
  Value running = op.getMatchingBlockArgument(init);
  Expr marker(Expr::Kind::Scalar, running.getType());
  marker.source = running;
  const Expr *accumulator = make(std::move(marker));
  BodyReader body(*this, op, *loops, /*throughMath=*/true);
  body.bind(running, accumulator);
  const Expr *combined = body.evaluate(op.getBlock()->getTerminator()->getOperand(number));
  if (!combined || combined->operands.size() != 2)
    return std::nullopt;
  auto kind = combiner(combined);
  const Expr *reduced = combined->operands[0] == accumulator ? combined->operands[1] : combined->operands[0];
  if (!kind || !llvm::is_contained(combined->operands, accumulator) || reduced == accumulator)
    return std::nullopt;
  if (!isNeutral(*kind, read(init->get(), element->indices)))
    return std::nullopt;
  return Reduction{*kind, reduced, extent};
}

} // namespace flashc::raise

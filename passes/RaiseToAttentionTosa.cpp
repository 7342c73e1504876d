//===- RaiseToAttentionTosa.cpp - Reading TOSA symbolically ---------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tosa/IR/TosaOps.h"
#include "mlir/IR/Matchers.h"
#include "passes/RaiseToAttentionExpr.h"

using namespace mlir;

namespace flashc::raise {

/// The scalar operation of arith or math that an element-wise operation of TOSA applies, by element type of its
/// operands.
static StringRef scalarName(Operation *op) {
  struct Entry {
    StringRef tosa, onFloat, onInteger;
  };
  static const Entry entries[] = {
      {"tosa.add", "arith.addf", "arith.addi"},
      {"tosa.sub", "arith.subf", "arith.subi"},
      {"tosa.mul", "arith.mulf", "arith.muli"},
      {"tosa.maximum", "arith.maximumf", "arith.maxsi"},
      {"tosa.minimum", "arith.minimumf", "arith.minsi"},
      {"tosa.negate", "arith.negf", ""},
      {"tosa.exp", "math.exp", ""},
      {"tosa.tanh", "math.tanh", ""},
      {"tosa.rsqrt", "math.rsqrt", ""},
      {"tosa.logical_and", "", "arith.andi"},
      {"tosa.logical_or", "", "arith.ori"},
      {"tosa.logical_xor", "", "arith.xori"},
      {"tosa.greater", "arith.cmpf", "arith.cmpi"},
      {"tosa.greater_equal", "arith.cmpf", "arith.cmpi"},
      {"tosa.equal", "arith.cmpf", "arith.cmpi"},
      {"tosa.select", "arith.select", "arith.select"},
  };
  for (const Entry &entry : entries)
    if (entry.tosa == op->getName().getStringRef())
      return isa<FloatType>(getElementTypeOrSelf(op->getOperands().back())) ? entry.onFloat : entry.onInteger;
  return {};
}

static DictionaryAttr scalarAttributes(Operation *op, bool onFloat) {
  MLIRContext *context = op->getContext();
  Attribute predicate;
  auto choose = [&](arith::CmpFPredicate floating, arith::CmpIPredicate integer) {
    predicate = onFloat ? Attribute(arith::CmpFPredicateAttr::get(context, floating))
                        : Attribute(arith::CmpIPredicateAttr::get(context, integer));
  };
  if (isa<tosa::GreaterOp>(op))
    choose(arith::CmpFPredicate::OGT, arith::CmpIPredicate::sgt);
  if (isa<tosa::GreaterEqualOp>(op))
    choose(arith::CmpFPredicate::OGE, arith::CmpIPredicate::sge);
  if (isa<tosa::EqualOp>(op))
    choose(arith::CmpFPredicate::OEQ, arith::CmpIPredicate::eq);
  if (!predicate)
    return DictionaryAttr::get(context);
  return DictionaryAttr::get(context, NamedAttribute(StringAttr::get(context, "predicate"), predicate));
}

/// The conversion that tosa.cast applies to a scalar; empty where it rounds in a way that no one operation does.
static StringRef castName(Type from, Type to) {
  if (isa<FloatType>(from) && isa<FloatType>(to))
    return from.getIntOrFloatBitWidth() < to.getIntOrFloatBitWidth() ? "arith.extf" : "arith.truncf";
  if (from.isInteger(1))
    return isa<FloatType>(to) ? "arith.uitofp" : "arith.extui";
  if (isa<IntegerType>(from) && isa<FloatType>(to))
    return "arith.sitofp";
  if (isa<IntegerType>(from) && isa<IntegerType>(to) && !to.isInteger(1))
    return from.getIntOrFloatBitWidth() < to.getIntOrFloatBitWidth() ? "arith.extsi" : "arith.trunci";
  return {};
}

const Expr *TensorReader::readTosa(Operation *op, ArrayRef<AffineExpr> indices, bool throughMath) {
  if (op->getName().getDialectNamespace() != "tosa" || op->getNumResults() != 1)
    return nullptr;
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !llvm::all_of(op->getOperandTypes(), [](Type each) { return isa<RankedTensorType>(each); }))
    return nullptr;

  if (auto reshape = dyn_cast<tosa::ReshapeOp>(op))
    return readReshape(reshape.getInput1(), type.getShape(), indices, throughMath);
  if (auto transpose = dyn_cast<tosa::TransposeOp>(op)) {
    DenseIntElementsAttr permutation;
    if (!matchPattern(transpose.getPerms(), m_Constant(&permutation)))
      return nullptr;
    SmallVector<AffineExpr> source(indices.size());
    for (auto [index, from] : llvm::zip(indices, permutation.getValues<APInt>()))
      source[from.getZExtValue()] = index;
    return read(transpose.getInput1(), source, throughMath);
  }
  if (auto slice = dyn_cast<tosa::SliceOp>(op)) {
    SmallVector<AffineExpr> source;
    for (auto [index, start] : llvm::zip(indices, slice.getStart()))
      source.push_back(index + start);
    return read(slice.getInput(), source, throughMath);
  }
  if (auto tile = dyn_cast<tosa::TileOp>(op)) {
    SmallVector<AffineExpr> source;
    for (auto [index, size] : llvm::zip(indices, cast<RankedTensorType>(tile.getInput1().getType()).getShape())) {
      if (ShapedType::isDynamic(size))
        return nullptr;
      source.push_back(index % size);
    }
    return read(tile.getInput1(), source, throughMath);
  }
  if (isa<tosa::IdentityOp>(op))
    return read(op->getOperand(0), indices, throughMath);

  // Element-wise operations. Broadcast dimensions have extent 1 and equal rank, where any read is at 0.
  SmallVector<const Expr *> operands;
  for (Value operand : op->getOperands()) {
    if (cast<RankedTensorType>(operand.getType()).getRank() != type.getRank())
      return nullptr;
    operands.push_back(read(operand, indices, throughMath));
  }
  Type element = type.getElementType();
  if (isa<tosa::ReciprocalOp>(op) && isa<FloatType>(element)) {
    const Expr *one = makeConstant(FloatAttr::get(element, 1.0), op);
    return makeCompute("arith.divf", DictionaryAttr::get(op->getContext()), {one, operands[0]}, element, op);
  }
  if (isa<tosa::LogicalNotOp>(op)) {
    const Expr *yes = makeConstant(IntegerAttr::get(element, 1), op);
    return makeCompute("arith.xori", DictionaryAttr::get(op->getContext()), {operands[0], yes}, element, op);
  }
  if (auto mul = dyn_cast<tosa::MulOp>(op); mul && mul.getShift() != 0)
    return nullptr;
  bool onFloat = !operands.empty() && isa<FloatType>(operands.back()->type);
  StringRef name = isa<tosa::CastOp>(op) ? castName(operands[0]->type, element) : scalarName(op);
  if (name.empty())
    return nullptr;
  return makeCompute(name, scalarAttributes(op, onFloat), operands, element, op);
}

std::optional<Reduction> TensorReader::readTosaReduction(const Expr *element, AffineExpr dim) {
  Operation *op = element->source.getDefiningOp();
  ReductionKind kind;
  if (isa<tosa::ReduceMaxOp>(op))
    kind = ReductionKind::Max;
  else if (isa<tosa::ReduceSumOp>(op))
    kind = ReductionKind::Sum;
  else if (isa<tosa::ReduceAllOp>(op))
    kind = ReductionKind::All;
  else if (isa<tosa::ReduceAnyOp>(op))
    kind = ReductionKind::Any;
  else
    return std::nullopt;
  auto axis = op->getAttrOfType<IntegerAttr>("axis");
  auto type = dyn_cast<RankedTensorType>(op->getOperand(0).getType());
  if (!axis || !type)
    return std::nullopt;
  SmallVector<AffineExpr> indices(element->indices);
  indices[axis.getInt()] = dim;
  return Reduction{kind, read(op->getOperand(0), indices), type.getDimSize(axis.getInt())};
}

std::optional<Contraction> matchTosaContraction(Operation *op) {
  auto matmul = dyn_cast<tosa::MatMulOp>(op);
  if (!matmul || matmul.getQuantizationInfo())
    return std::nullopt;
  auto lhs = dyn_cast<RankedTensorType>(matmul.getA().getType());
  auto rhs = dyn_cast<RankedTensorType>(matmul.getB().getType());
  if (!lhs || !rhs)
    return std::nullopt;
  Contraction contraction;
  contraction.op = op;
  contraction.lhs = matmul.getA();
  contraction.rhs = matmul.getB();
  AffineExpr batch, row, column, inner;
  bindDims(op->getContext(), batch, row, column, inner);
  auto map = [&](ArrayRef<AffineExpr> results) { return AffineMap::get(4, 0, results, op->getContext()); };
  contraction.lhsMap = map({batch, row, inner});
  contraction.rhsMap = map({batch, inner, column});
  contraction.outMap = map({batch, row, column});
  contraction.extents = {lhs.getDimSize(0), lhs.getDimSize(1), rhs.getDimSize(2), lhs.getDimSize(2)};
  contraction.reduced = {false, false, false, true};
  return contraction;
}

} // namespace flashc::raise

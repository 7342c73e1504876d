//===- AttentionVerify.cpp - The rules of an attention --------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Everything that an operation's types and attributes can say wrongly is refused here, with what was expected and what
/// was found, so that no pass has to ask again.
///
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace flashc::attn;

namespace {
/// An operand with the name that messages give it.
struct Named {
  StringRef name;
  ShapedType type;

  int64_t size(unsigned dimension) const { return type.getDimSize(dimension); }
  Type element() const { return type.getElementType(); }
};

Named named(StringRef name, Value value) { return {name, cast<ShapedType>(value.getType())}; }
} // namespace

/// Index of each of the six values that say where a part of an attention lies.
static constexpr size_t kPositionSize = 6;

static bool isSupportedFloat(Type type) { return type.isF64() || type.isF32() || type.isF16() || type.isBF16(); }

/// The type that inputs of element type `element` are accumulated in.
static Type accumulationType(Type element) {
  return element.isF64() ? FloatType::getF64(element.getContext()) : FloatType::getF32(element.getContext());
}

static LogicalResult verifyRank(Operation *op, const Named &operand, int64_t rank, StringRef shape) {
  if (operand.type.getRank() == rank)
    return success();
  return op->emitOpError() << "expected " << operand.name << " of rank " << rank << ", " << shape << ", got rank "
                           << operand.type.getRank() << " in " << operand.type;
}

/// Bytes and strides are computed in 64 bits: a static size that does not fit is refused rather than wrapped around.
static LogicalResult verifySize(Operation *op, const Named &operand) {
  if (!operand.element().isIntOrFloat())
    return op->emitOpError() << "expected " << operand.name << " of integers or floating-point numbers, got "
                             << operand.element();
  int64_t bytes = llvm::divideCeil(operand.element().getIntOrFloatBitWidth(), 8);
  for (int64_t size : operand.type.getShape()) {
    if (ShapedType::isDynamic(size) || size == 0)
      continue;
    if (llvm::MulOverflow(bytes, size, bytes))
      return op->emitOpError() << "expected the size of " << operand.name << " in bytes to fit in 64 bits, got "
                               << operand.type;
  }
  return success();
}

/// Tensors and memory do not mix: a tensor's value has no place in an operation that writes.
static LogicalResult verifyContainers(Operation *op, ArrayRef<Named> operands) {
  bool tensors = isa<TensorType>(operands.front().type);
  for (const Named &operand : operands)
    if (isa<TensorType>(operand.type) != tensors)
      return op->emitOpError() << "expected all operands to be " << (tensors ? "tensors" : "memrefs") << " like "
                               << operands.front().name << ", got " << operand.type << " for " << operand.name;
  return success();
}

static LogicalResult verifySameSize(Operation *op, StringRef what, const Named &first, unsigned firstDimension,
                                    const Named &second, unsigned secondDimension) {
  int64_t expected = first.size(firstDimension), actual = second.size(secondDimension);
  if (ShapedType::isDynamic(expected) || ShapedType::isDynamic(actual) || expected == actual)
    return success();
  return op->emitOpError() << "expected the " << what << " of " << second.name << " to be " << expected << ", that of "
                           << first.name << ", got " << actual;
}

static LogicalResult verifyHeadDim(Operation *op, const Named &operand, unsigned dimension, StringRef what) {
  int64_t size = operand.size(dimension);
  if (ShapedType::isDynamic(size))
    return op->emitOpError() << "expected a static " << what << ", got " << operand.type << " for " << operand.name;
  if (size < 1)
    return op->emitOpError() << "expected a " << what << " of 1 or more, got " << size << " for " << operand.name;
  return success();
}

/// The inputs' element type: one of the four, the same for all.
static LogicalResult verifyInputElements(Operation *op, ArrayRef<Named> inputs) {
  Type element = inputs.front().element();
  if (!isSupportedFloat(element))
    return op->emitOpError() << "expected " << inputs.front().name << " of element type f64, f32, f16 or bf16, got "
                             << element;
  for (const Named &input : inputs.drop_front())
    if (input.element() != element)
      return op->emitOpError() << "expected " << input.name << " of element type " << element << ", that of "
                               << inputs.front().name << ", got " << input.element();
  return success();
}

/// An output is rounded once, to a type that loses nothing of what the inputs' type can hold.
static LogicalResult verifyOutElement(Operation *op, const Named &out, Type element) {
  Type actual = out.element();
  if (isSupportedFloat(actual) &&
      (actual == element || actual.getIntOrFloatBitWidth() > element.getIntOrFloatBitWidth()))
    return success();
  return op->emitOpError() << "expected " << out.name << " of element type " << element << " or a wider one, got "
                           << actual;
}

static LogicalResult verifyScalars(Operation *op, std::optional<APFloat> scale, std::optional<APFloat> softcap) {
  if (scale && !scale->isFinite())
    return op->emitOpError() << "expected a finite scale, got " << scale->convertToDouble();
  if (softcap && (!softcap->isFinite() || softcap->isNegative() || softcap->isZero()))
    return op->emitOpError() << "expected a finite softcap above 0, got " << softcap->convertToDouble();
  return success();
}

/// The bias: rank 4, each dimension that of [B, Hq, Sq, Sk] (dynamic where unknown) or 1.
static LogicalResult verifyBias(Operation *op, const Named &bias, ArrayRef<int64_t> scores, Type compute) {
  if (failed(verifyRank(op, bias, 4, "[B, Hq, Sq, Sk] or 1 where it is broadcast")) || failed(verifySize(op, bias)))
    return failure();
  if (!isSupportedFloat(bias.element()) || bias.element().getIntOrFloatBitWidth() > compute.getIntOrFloatBitWidth())
    return op->emitOpError() << "expected bias of a floating-point element type no wider than " << compute << ", got "
                             << bias.element();
  static constexpr StringLiteral names[] = {"B", "Hq", "Sq", "Sk"};
  for (auto [index, expected] : llvm::enumerate(scores)) {
    int64_t actual = bias.size(index);
    if (!ShapedType::isDynamic(expected) && !ShapedType::isDynamic(actual) && actual != expected && actual != 1)
      return op->emitOpError() << "expected dimension " << index << " of bias to be " << names[index] << " = "
                               << expected << " or 1, got " << actual;
  }
  return success();
}

/// The masks and their operands; `shape` is that of MaskInterface::verifyOperands.
static LogicalResult verifyMasks(Operation *op, ArrayRef<MaskInterface> masks, OperandRange operands,
                                 ArrayRef<int64_t> shape) {
  unsigned expected = 0;
  for (MaskInterface mask : masks)
    expected += mask.getNumOperands();
  if (operands.size() != expected) {
    InFlightDiagnostic error = op->emitOpError() << "expected " << expected << " mask operands for [";
    llvm::interleaveComma(masks, error);
    return error << "], got " << operands.size();
  }
  unsigned next = 0;
  for (MaskInterface mask : masks) {
    TypeRange types = operands.slice(next, mask.getNumOperands()).getTypes();
    next += mask.getNumOperands();
    if (failed(mask.verifyOperands([&]() { return op->emitOpError() << "mask " << mask << ": "; }, types, shape)))
      return failure();
    for (Type type : types)
      if (failed(verifySize(op, {"a mask operand", cast<ShapedType>(type)})))
        return failure();
  }
  // A causal mask states the one diagonal of the attention; two of them that disagree are a mistake of the author, as
  // the tighter one would silently win.
  CausalAttr causal;
  for (MaskInterface mask : masks) {
    auto other = dyn_cast<CausalAttr>(mask);
    if (causal && other && causal.getAlignment() != other.getAlignment())
      return op->emitOpError() << "expected causal masks of one alignment, got " << causal << " and " << other;
    if (other)
      causal = other;
  }
  return success();
}

static LogicalResult verifyTiles(Operation *op, TilesAttr tiles, Type compute, Type element) {
  if (!tiles)
    return success();
  if (tiles.getCompute() != compute)
    return op->emitOpError() << "expected tiles that accumulate in " << compute << ", got " << tiles.getCompute();
  Type operand = tiles.getOperandType();
  if (operand != compute && operand != element && !(operand.isTF32() && element.isF32()))
    return op->emitOpError() << "expected products of " << compute << " operands or of the queries' " << element
                             << ", got " << operand;
  return success();
}

/// What is asked for and what tiles were chosen for.
static LogicalResult verifyTf32(SdpaOp op, ArrayRef<Named> operands) {
  if (op.getTf32())
    for (const Named &operand : operands)
      if (!operand.element().isF32())
        return op.emitOpError() << "expected f32 elements of the " << operand.name << " for products in tf32, got "
                                << operand.element() << "; without 'tf32' they are multiplied as they are";
  TilesAttr tiles = op.getTilesAttr();
  if (tiles && tiles.getOperandType().isTF32() != op.getTf32())
    return op.emitOpError() << "expected tiles whose operand is tf32 if and only if the operation has 'tf32', got "
                            << tiles.getOperandType();
  return success();
}

/// The state of an online softmax: (acc, max, sum) of the same rows, in the type that is computed in.
static LogicalResult verifyState(Operation *op, ArrayRef<Named> states, Type compute) {
  for (const Named &state : states)
    if (state.element() != compute)
      return op->emitOpError() << "expected " << state.name << " of element type " << compute << ", got "
                               << state.element();
  for (const Named &state : states.drop_front())
    if (failed(verifySameSize(op, "number of rows", states[0], 0, state, 0)))
      return failure();
  return success();
}

/// Whether an operation, with all that it contains, has no effect but to read memory.
static bool readsAtMost(Operation &op) {
  std::optional<SmallVector<MemoryEffects::EffectInstance>> effects = getEffectsRecursively(&op);
  return effects && llvm::all_of(*effects, [](const MemoryEffects::EffectInstance &effect) {
           return isa<MemoryEffects::Read>(effect.getEffect());
         });
}

/// The score function: (score, b, h, i, j) -> score.
static LogicalResult verifyScore(Operation *op, Region &region, Type compute) {
  if (region.empty())
    return success();
  Block &block = region.front();
  if (block.getNumArguments() != 5)
    return op->emitOpError() << "expected a score function of 5 arguments (score, b, h, i, j), got "
                             << block.getNumArguments();
  for (BlockArgument argument : block.getArguments()) {
    Type expected = argument.getArgNumber() == 0 ? compute : IndexType::get(op->getContext());
    if (argument.getType() != expected)
      return op->emitOpError() << "expected argument #" << argument.getArgNumber()
                               << " of the score function to be of type " << expected << ", got " << argument.getType();
  }
  Type result = cast<YieldOp>(block.getTerminator()).getValue().getType();
  if (result != compute)
    return op->emitOpError() << "expected the score function to yield " << compute << ", got " << result;
  // It is evaluated in any order, for positions beyond the lengths too, and as vectors.
  for (Operation &inner : block)
    if (!readsAtMost(inner))
      return op->emitOpError() << "expected a score function that does no more than read memory, got '"
                               << inner.getName() << "'";
  return success();
}

/// Results stand for tensors that are written, and there are none for memory.
static LogicalResult verifyResults(Operation *op, ArrayRef<Named> outs) {
  bool tensors = isa<TensorType>(outs.front().type);
  size_t expected = tensors ? outs.size() : 0;
  if (op->getNumResults() != expected)
    return op->emitOpError() << "expected " << expected << " results, one for each tensor of outs, got "
                             << op->getNumResults();
  for (auto [index, type] : llvm::enumerate(op->getResultTypes()))
    if (type != outs[index].type)
      return op->emitOpError() << "expected result #" << index << " of type " << outs[index].type << ", that of "
                               << outs[index].name << ", got " << type;
  return success();
}

//===----------------------------------------------------------------------===//
// TilesAttr
//===----------------------------------------------------------------------===//

LogicalResult TilesAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t queries, int64_t keys,
                                int64_t granule, Type compute, Type operand, int64_t split, Attribute few) {
  if (queries < 1 || keys < 1)
    return emitError() << "expected tiles of 1 or more queries and keys, got " << queries << " and " << keys;
  if (granule < 1 || keys % granule != 0)
    return emitError() << "expected a granule that divides the " << keys << " keys, got " << granule;
  if (!compute.isF32() && !compute.isF64())
    return emitError() << "expected to compute in f32 or f64, got " << compute;
  bool rounded = operand && operand.isTF32() && compute.isF32();
  if (operand && !operand.isBF16() && !operand.isF16() && operand != compute && !rounded)
    return emitError() << "expected products of bf16, f16" << (compute.isF32() ? ", tf32" : "") << " or " << compute
                       << " operands, got " << operand;
  if (split < 0 || split % keys != 0)
    return emitError() << "expected a split that is a multiple of the " << keys << " keys of a tile, got " << split;
  if (!few)
    return success();
  auto other = llvm::dyn_cast<TilesAttr>(few);
  if (!other)
    return emitError() << "expected tiles for few queries, got " << few;
  if (other.getSplit() == 0 || other.getFew())
    return emitError() << "expected tiles for few queries with a split and no further tiles, got " << few;
  if (other.getCompute() != compute)
    return emitError() << "expected tiles for few queries that accumulate in " << compute << ", got "
                       << other.getCompute();
  return success();
}

//===----------------------------------------------------------------------===//
// SdpaOp
//===----------------------------------------------------------------------===//

/// verifyContainers of `operands` and of the bias and the masks' operands, which both forms of attention take.
template <typename Op> static LogicalResult verifyContainersWithMasks(Op op, SmallVector<Named> operands) {
  if (op.getBias())
    operands.push_back(named("bias", op.getBias()));
  for (Value operand : op.getMaskOperands())
    operands.push_back(named("a mask operand", operand));
  return verifyContainers(op, operands);
}

LogicalResult SdpaOp::verify() {
  Operation *op = getOperation();
  Named query = named("query", getQuery()), key = named("key", getKey()), value = named("value", getValue()),
        out = named("out", getOut());
  SmallVector<Named> outs = {out}, all = {query, key, value, out};
  if (getLse())
    outs.push_back(named("lse", getLse()));
  all.append(outs.begin() + 1, outs.end());
  if (failed(verifyContainersWithMasks(*this, all)))
    return failure();

  if (failed(verifyRank(op, query, 4, "[B, Hq, Sq, D]")) || failed(verifyRank(op, key, 4, "[B, Hkv, Sk, D]")) ||
      failed(verifyRank(op, value, 4, "[B, Hkv, Sk, Dv]")) || failed(verifyRank(op, out, 4, "[B, Hq, Sq, Dv]")))
    return failure();
  if (failed(verifyInputElements(op, {query, key, value})) || failed(verifyOutElement(op, out, query.element())))
    return failure();
  for (const Named &operand : {query, key, value, out})
    if (failed(verifySize(op, operand)))
      return failure();

  if (failed(verifyHeadDim(op, query, 3, "head dimension D")) ||
      failed(verifyHeadDim(op, value, 3, "head dimension Dv")) ||
      failed(verifySameSize(op, "head dimension", query, 3, key, 3)) ||
      failed(verifyHeadDim(op, key, 3, "head dimension D")) ||
      failed(verifySameSize(op, "head dimension", value, 3, out, 3)) ||
      failed(verifyHeadDim(op, out, 3, "head dimension Dv")))
    return failure();
  if (failed(verifySameSize(op, "batch size", query, 0, key, 0)) ||
      failed(verifySameSize(op, "batch size", query, 0, value, 0)) ||
      failed(verifySameSize(op, "batch size", query, 0, out, 0)) ||
      failed(verifySameSize(op, "number of heads", key, 1, value, 1)) ||
      failed(verifySameSize(op, "number of heads", query, 1, out, 1)) ||
      failed(verifySameSize(op, "length", key, 2, value, 2)) || failed(verifySameSize(op, "length", query, 2, out, 2)))
    return failure();
  int64_t queryHeads = query.size(1), keyHeads = key.size(1);
  if (!ShapedType::isDynamic(queryHeads) && !ShapedType::isDynamic(keyHeads) &&
      (keyHeads == 0 ? queryHeads != 0 : queryHeads % keyHeads != 0))
    return emitOpError() << "expected a number of query heads that is a multiple of the " << keyHeads
                         << " key heads, got " << queryHeads;

  if (getLse()) {
    const Named &lse = outs.back();
    Type expected = accumulationType(query.element());
    if (failed(verifyRank(op, lse, 3, "[B, Hq, Sq]")) || failed(verifySize(op, lse)))
      return failure();
    if (lse.element() != expected)
      return emitOpError() << "expected lse of element type " << expected << ", got " << lse.element();
    if (failed(verifySameSize(op, "batch size", query, 0, lse, 0)) ||
        failed(verifySameSize(op, "number of heads", query, 1, lse, 1)) ||
        failed(verifySameSize(op, "length", query, 2, lse, 2)))
      return failure();
  }

  if (!getPosition().empty() && getPosition().size() != kPositionSize)
    return emitOpError() << "expected a position of no or " << kPositionSize
                         << " values (batch, head, first query, first key, query length, key length), got "
                         << getPosition().size();
  // Of a part's bias and mask operands, which are the whole's, only the head dimensions are known.
  int64_t unknown = ShapedType::kDynamic;
  SmallVector<int64_t> shape = {query.size(0), queryHeads, keyHeads, query.size(2), key.size(2)};
  if (!getPosition().empty())
    shape.assign(5, unknown);
  shape.append({query.size(3), value.size(3)});
  Type compute = getComputeType();
  if (getBias() && failed(verifyBias(op, named("bias", getBias()), {shape[0], shape[1], shape[3], shape[4]}, compute)))
    return failure();
  if (failed(verifyMasks(op, getMaskList(), getMaskOperands(), shape)) ||
      failed(verifyScalars(op, getScale(), getSoftcap())) ||
      failed(verifyTiles(op, getTilesAttr(), compute, query.element())) ||
      failed(verifyTf32(*this, {query, key, value})))
    return failure();
  return verifyResults(op, outs);
}

LogicalResult SdpaOp::verifyRegions() { return verifyScore(getOperation(), getScore(), getComputeType()); }

//===----------------------------------------------------------------------===//
// OnlineOp
//===----------------------------------------------------------------------===//

LogicalResult OnlineOp::verify() {
  Operation *op = getOperation();
  Named query = named("query", getQuery()), key = named("key", getKey()), value = named("value", getValue());
  SmallVector<Named> all = {query, key, value};
  if (failed(verifyContainersWithMasks(*this, all)))
    return failure();

  // The rows of several heads have a dimension more.
  bool grouped = query.type.hasRank() && query.type.getRank() == 3;
  unsigned headDim = grouped ? 2 : 1;
  if (failed(verifyRank(op, query, headDim + 1, grouped ? "[heads, queries, D]" : "[rows, D]")) ||
      failed(verifyRank(op, key, 2, "[keys, D]")) || failed(verifyRank(op, value, 2, "[keys, Dv]")) ||
      failed(verifyInputElements(op, {query, key, value})))
    return failure();
  for (const Named &operand : {query, key, value})
    if (failed(verifySize(op, operand)))
      return failure();
  if (failed(verifyHeadDim(op, query, headDim, "head dimension D")) ||
      failed(verifySameSize(op, "head dimension", query, headDim, key, 1)) ||
      failed(verifyHeadDim(op, value, 1, "head dimension Dv")) ||
      failed(verifySameSize(op, "length", key, 0, value, 0)))
    return failure();

  Type compute = getComputeType();
  const Named states[] = {named("acc", getAcc()), named("max", getMax()), named("sum", getSum())};
  const Named &acc = states[0];
  if (failed(verifyState(op, states, compute)))
    return failure();
  if (getTiles().getQueries() != acc.size(0))
    return emitOpError() << "expected tiles of " << acc.size(0) << " queries, the rows of acc, got "
                         << getTiles().getQueries();
  if (acc.size(1) < value.size(1))
    return emitOpError() << "expected acc of " << value.size(1) << " columns or more, the head dimension of value, got "
                         << acc.size(1);
  for (auto [result, state] : llvm::zip(op->getResultTypes(), states))
    if (result != state.type)
      return emitOpError() << "expected a result of type " << state.type << ", that of " << state.name << ", got "
                           << result;

  if (getPosition().size() != kPositionSize)
    return emitOpError() << "expected a position of " << kPositionSize
                         << " values (batch, head, first query, first key, query length, key length), got "
                         << getPosition().size();
  SmallVector<int64_t> shape(5, ShapedType::kDynamic);
  shape.append({query.size(headDim), value.size(1)});
  if (getBias() &&
      failed(verifyBias(op, named("bias", getBias()), SmallVector<int64_t>(4, ShapedType::kDynamic), compute)))
    return failure();
  if (failed(verifyMasks(op, getMaskList(), getMaskOperands(), shape)) ||
      failed(verifyScalars(op, getScale(), getSoftcap())))
    return failure();
  return verifyTiles(op, getTiles(), compute, query.element());
}

LogicalResult OnlineOp::verifyRegions() { return verifyScore(getOperation(), getScore(), getComputeType()); }

//===----------------------------------------------------------------------===//
// NormalizeOp
//===----------------------------------------------------------------------===//

LogicalResult NormalizeOp::verify() {
  Operation *op = getOperation();
  const Named states[] = {named("acc", getAcc()), named("max", getMax()), named("sum", getSum())};
  Named out = named("out", getOut());
  Type compute = states[0].element();
  if (!compute.isF32() && !compute.isF64())
    return emitOpError() << "expected acc of element type f32 or f64, got " << compute;
  bool grouped = out.type.hasRank() && out.type.getRank() == 3;
  unsigned headDim = grouped ? 2 : 1;
  if (failed(verifyState(op, states, compute)) ||
      failed(verifyRank(op, out, headDim + 1, grouped ? "[heads, queries, Dv]" : "[rows, Dv]")) ||
      failed(verifySize(op, out)))
    return failure();
  if (!isSupportedFloat(out.element()))
    return emitOpError() << "expected out of element type f64, f32, f16 or bf16, got " << out.element();
  if (!ShapedType::isDynamic(out.size(headDim)) && out.size(headDim) > states[0].size(1))
    return emitOpError() << "expected out of no more than the " << states[0].size(1) << " columns of acc, got "
                         << out.size(headDim);
  if (!getLse())
    return success();
  Named lse = named("lse", getLse());
  if (failed(verifyRank(op, lse, headDim, grouped ? "[heads, queries]" : "[rows]")) || failed(verifySize(op, lse)))
    return failure();
  if (lse.element() != compute)
    return emitOpError() << "expected lse of element type " << compute << ", got " << lse.element();
  if (grouped && failed(verifySameSize(op, "number of queries", out, 1, lse, 1)))
    return failure();
  return verifySameSize(op, grouped ? "number of heads" : "number of rows", out, 0, lse, 0);
}

//===----------------------------------------------------------------------===//
// MergeSplitsOp
//===----------------------------------------------------------------------===//

LogicalResult MergeSplitsOp::verify() {
  Operation *op = getOperation();
  Named parts = named("parts", getParts()), partLse = named("part_lse", getPartLse()), out = named("out", getOut());
  Type compute = getTiles().getCompute();
  if (failed(verifyRank(op, parts, 4, "[N, heads, queries, Dv]")) ||
      failed(verifyRank(op, partLse, 3, "[N, heads, queries]")) ||
      failed(verifyRank(op, out, 3, "[heads, queries, Dv]")) || failed(verifyHeadDim(op, out, 2, "head dimension Dv")))
    return failure();
  for (const Named &operand : {parts, partLse, out})
    if (failed(verifySize(op, operand)))
      return failure();
  SmallVector<Named> computed = {parts, partLse}, outs = {out};
  if (getLse()) {
    Named lse = named("lse", getLse());
    if (failed(verifyRank(op, lse, 2, "[heads, queries]")) || failed(verifySize(op, lse)))
      return failure();
    computed.push_back(lse);
    outs.push_back(lse);
  }
  for (const Named &operand : computed)
    if (operand.element() != compute)
      return emitOpError() << "expected " << operand.name << " of element type " << compute
                           << ", that of the tiles, got " << operand.element();
  if (!isSupportedFloat(out.element()))
    return emitOpError() << "expected out of element type f64, f32, f16 or bf16, got " << out.element();
  static constexpr StringLiteral names[] = {"number of parts", "number of heads", "number of queries",
                                            "head dimension"};
  for (unsigned dimension = 0; dimension < 3; ++dimension)
    if (failed(verifySameSize(op, names[dimension], parts, dimension, partLse, dimension)))
      return failure();
  for (const Named &operand : outs)
    for (unsigned dimension = 0; dimension < operand.type.getRank(); ++dimension)
      if (failed(verifySameSize(op, names[dimension + 1], parts, dimension + 1, operand, dimension)))
        return failure();
  return success();
}

//===----------------------------------------------------------------------===//
// MergeOp
//===----------------------------------------------------------------------===//

LogicalResult MergeOp::verify() {
  Operation *op = getOperation();
  Named outA = named("out_a", getOutA()), lseA = named("lse_a", getLseA()), outB = named("out_b", getOutB()),
        lseB = named("lse_b", getLseB()), out = named("out", getOut()), lse = named("lse", getLse());
  if (failed(verifyContainers(op, {outA, lseA, outB, lseB, out, lse})))
    return failure();
  for (const Named &operand : {outA, outB, out})
    if (failed(verifyRank(op, operand, 4, "[B, Hq, Sq, Dv]")) || failed(verifySize(op, operand)))
      return failure();
  for (const Named &operand : {lseA, lseB, lse})
    if (failed(verifyRank(op, operand, 3, "[B, Hq, Sq]")) || failed(verifySize(op, operand)))
      return failure();
  if (failed(verifyInputElements(op, {outA, outB})) || failed(verifyOutElement(op, out, outA.element())))
    return failure();
  Type element = lseA.element();
  // The partial results of low-precision inputs may be kept wider than the inputs; so may their lse.
  if (!element.isF32() && !element.isF64())
    return emitOpError() << "expected lse_a of element type f32 or f64, got " << element;
  for (const Named &operand : {lseB, lse})
    if (operand.element() != element)
      return emitOpError() << "expected " << operand.name << " of element type " << element << ", that of lse_a, got "
                           << operand.element();
  static constexpr StringLiteral names[] = {"batch size", "number of heads", "length", "head dimension"};
  for (unsigned dimension = 0; dimension < 4; ++dimension)
    for (const Named &operand : {outB, out, lseA, lseB, lse})
      if (dimension < operand.type.getRank() &&
          failed(verifySameSize(op, names[dimension], outA, dimension, operand, dimension)))
        return failure();
  return verifyResults(op, {out, lse});
}

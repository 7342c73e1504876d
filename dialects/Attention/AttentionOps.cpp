//===- AttentionOps.cpp - Operations of the Attention dialect -------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/IR/TypeUtilities.h"
#include <cmath>

using namespace mlir;
using namespace flashc::attn;

#define GET_OP_CLASSES
#include "dialects/Attention/AttentionOps.cpp.inc"

//===----------------------------------------------------------------------===//
// What attn.sdpa and attn.online share
//===----------------------------------------------------------------------===//

static FloatType computeType(Value query) {
  MLIRContext *context = query.getContext();
  return getElementTypeOrSelf(query.getType()).isF64() ? FloatType::getF64(context) : FloatType::getF32(context);
}

static SmallVector<MaskInterface> maskList(ArrayAttr masks) {
  return llvm::map_to_vector(masks, [](Attribute mask) { return cast<MaskInterface>(mask); });
}

/// Adds the effects of reading each of `operands` that is memory.
static void addReads(SmallVectorImpl<MemoryEffects::EffectInstance> &effects, MutableArrayRef<OpOperand> operands) {
  for (OpOperand &operand : operands)
    if (isa<BaseMemRefType>(operand.get().getType()))
      effects.emplace_back(MemoryEffects::Read::get(), &operand, SideEffects::DefaultResource::get());
}

static void addWrites(SmallVectorImpl<MemoryEffects::EffectInstance> &effects, MutableArrayRef<OpOperand> operands) {
  for (OpOperand &operand : operands)
    if (isa<BaseMemRefType>(operand.get().getType()))
      effects.emplace_back(MemoryEffects::Write::get(), &operand, SideEffects::DefaultResource::get());
}

namespace {
using UnresolvedOperands = SmallVector<OpAsmParser::UnresolvedOperand, 4>;

/// The clauses between an operation's `ins(..) outs(..)` and its attributes, as parsed.
struct Clauses {
  SmallVector<Value> maskOperands, bias, position;
};
} // namespace

/// `(%a, %b : type, type)` after `keyword`, which is parsed by the caller; as many operands as between `least` and
/// `most`.
static ParseResult parseOperandClause(OpAsmParser &parser, StringRef keyword, size_t least, size_t most,
                                      SmallVectorImpl<Value> &values) {
  SMLoc location = parser.getCurrentLocation();
  UnresolvedOperands operands;
  SmallVector<Type> types;
  if (parser.parseLParen() || parser.parseOperandList(operands) || parser.parseColonTypeList(types) ||
      parser.parseRParen())
    return failure();
  if (operands.size() < least || operands.size() > most) {
    InFlightDiagnostic error = parser.emitError(location) << "expected ";
    if (least == most)
      error << least;
    else
      error << least << " to " << most;
    return error << " operands in '" << keyword << "', got " << operands.size();
  }
  return parser.resolveOperands(operands, types, location, values);
}

/// `[masks [..] [(..)]] [bias(..)] [position(..)] [score {..}] attr-dict`, in this order.
static ParseResult parseClauses(OpAsmParser &parser, OperationState &result, Clauses &clauses) {
  Builder &builder = parser.getBuilder();
  Attribute masks;
  if (succeeded(parser.parseOptionalKeyword("masks"))) {
    SmallVector<Attribute> list;
    auto parseMask = [&]() -> ParseResult {
      SMLoc location = parser.getCurrentLocation();
      Attribute mask;
      if (parser.parseAttribute(mask))
        return failure();
      if (!isa<MaskInterface>(mask))
        return parser.emitError(location) << "expected a mask, got " << mask;
      list.push_back(mask);
      return success();
    };
    if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Square, parseMask))
      return failure();
    masks = builder.getArrayAttr(list);
    SMLoc location = parser.getCurrentLocation();
    if (succeeded(parser.parseOptionalLParen())) {
      UnresolvedOperands operands;
      SmallVector<Type> types;
      if (parser.parseOperandList(operands) || parser.parseColonTypeList(types) || parser.parseRParen() ||
          parser.resolveOperands(operands, types, location, clauses.maskOperands))
        return failure();
    }
  }
  if (succeeded(parser.parseOptionalKeyword("bias")) && parseOperandClause(parser, "bias", 1, 1, clauses.bias))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("position"))) {
    UnresolvedOperands operands;
    if (parser.parseOperandList(operands, OpAsmParser::Delimiter::Paren) ||
        parser.resolveOperands(operands, builder.getIndexType(), clauses.position))
      return failure();
  }
  Region *score = result.addRegion();
  if (succeeded(parser.parseOptionalKeyword("score")) && parser.parseRegion(*score))
    return failure();

  SMLoc location = parser.getCurrentLocation();
  NamedAttrList attributes;
  if (parser.parseOptionalAttrDict(attributes))
    return failure();
  for (StringRef name : {"masks", "operandSegmentSizes"})
    if (attributes.get(name))
      return parser.emitError(location) << "expected no '" << name << "' among the attributes: it has its own place";
  if (masks)
    attributes.append("masks", masks);
  if (failed(result.name.verifyInherentAttrs(
          attributes, [&]() { return parser.emitError(location) << "'" << result.name.getStringRef() << "' op "; })))
    return failure();
  result.addAttributes(attributes.getAttrs());
  return success();
}

static void printOperandClause(OpAsmPrinter &printer, StringRef keyword, ValueRange operands) {
  printer << ' ' << keyword << '(' << operands << " : " << operands.getTypes() << ')';
}

template <typename OpTy> static void printClauses(OpAsmPrinter &printer, OpTy op) {
  if (!op.getMasks().empty()) {
    printer << " masks " << op.getMasks();
    if (!op.getMaskOperands().empty())
      printOperandClause(printer, "", op.getMaskOperands());
  }
  if (op.getBias())
    printOperandClause(printer, "bias", op.getBias());
  if (!op.getPosition().empty())
    printer << " position(" << op.getPosition() << ')';
  if (!op.getScore().empty()) {
    printer << " score ";
    printer.printRegion(op.getScore());
  }
  printer.printOptionalAttrDict(op->getAttrs(), {"masks", "operandSegmentSizes"});
}

//===----------------------------------------------------------------------===//
// SdpaOp
//===----------------------------------------------------------------------===//

void SdpaOp::build(OpBuilder &builder, OperationState &state, Value query, Value key, Value value, Value out, Value lse,
                   ArrayRef<Attribute> masks, ValueRange maskOperands, Value bias, std::optional<double> scale,
                   std::optional<double> softcap) {
  SmallVector<Type> results;
  for (Value init : {out, lse})
    if (init && isa<TensorType>(init.getType()))
      results.push_back(init.getType());
  build(builder, state, results, query, key, value, maskOperands, bias, /*position=*/ValueRange(), out, lse,
        masks.empty() ? ArrayAttr() : builder.getArrayAttr(masks),
        scale ? builder.getF64FloatAttr(*scale) : FloatAttr(),
        softcap ? builder.getF64FloatAttr(*softcap) : FloatAttr(), /*tiles=*/TilesAttr(), /*tf32=*/UnitAttr());
}

ParseResult SdpaOp::parse(OpAsmParser &parser, OperationState &result) {
  SmallVector<Value> inputs, outs;
  Clauses clauses;
  SmallVector<Type> results;
  if (parser.parseKeyword("ins") || parseOperandClause(parser, "ins", 3, 3, inputs) || parser.parseKeyword("outs") ||
      parseOperandClause(parser, "outs", 1, 2, outs) || parseClauses(parser, result, clauses))
    return failure();
  if (succeeded(parser.parseOptionalArrow()) && parser.parseTypeList(results))
    return failure();
  result.addTypes(results);
  for (ArrayRef<Value> operands : {ArrayRef(inputs), ArrayRef(clauses.maskOperands), ArrayRef(clauses.bias),
                                   ArrayRef(clauses.position), ArrayRef(outs)})
    result.addOperands(operands);
  result.getOrAddProperties<Properties>().operandSegmentSizes = {1,
                                                                 1,
                                                                 1,
                                                                 static_cast<int32_t>(clauses.maskOperands.size()),
                                                                 static_cast<int32_t>(clauses.bias.size()),
                                                                 static_cast<int32_t>(clauses.position.size()),
                                                                 1,
                                                                 static_cast<int32_t>(outs.size() - 1)};
  return success();
}

void SdpaOp::print(OpAsmPrinter &printer) {
  printOperandClause(printer, "ins", {getQuery(), getKey(), getValue()});
  SmallVector<Value> outs = {getOut()};
  if (getLse())
    outs.push_back(getLse());
  printOperandClause(printer, "outs", outs);
  printClauses(printer, *this);
  if (!getResults().empty())
    printer << " -> " << getResultTypes();
}

void SdpaOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  MutableArrayRef<OpOperand> operands = getOperation()->getOpOperands();
  size_t inits = getLse() ? 2 : 1;
  addReads(effects, operands.drop_back(inits));
  addWrites(effects, operands.take_back(inits));
}

MutableOperandRange SdpaOp::getDpsInitsMutable() {
  unsigned inits = getLse() ? 2 : 1;
  return MutableOperandRange(getOperation(), getNumOperands() - inits, inits);
}

double SdpaOp::getDefaultScale() {
  return 1.0 / std::sqrt(static_cast<double>(cast<ShapedType>(getQuery().getType()).getDimSize(3)));
}

double SdpaOp::getEffectiveScale() {
  std::optional<APFloat> scale = getScale();
  return scale ? scale->convertToDouble() : getDefaultScale();
}

FloatType SdpaOp::getComputeType() { return computeType(getQuery()); }

SmallVector<MaskInterface> SdpaOp::getMaskList() { return maskList(getMasks()); }

//===----------------------------------------------------------------------===//
// OnlineOp
//===----------------------------------------------------------------------===//

void OnlineOp::build(OpBuilder &builder, OperationState &state, Value query, Value key, Value value, ArrayAttr masks,
                     ValueRange maskOperands, Value bias, ValueRange position, Value acc, Value max, Value sum,
                     FloatAttr scale, FloatAttr softcap, TilesAttr tiles) {
  build(builder, state, acc.getType(), max.getType(), sum.getType(), query, key, value, maskOperands, bias, position,
        acc, max, sum, masks, scale, softcap, tiles);
}

ParseResult OnlineOp::parse(OpAsmParser &parser, OperationState &result) {
  SmallVector<Value> inputs, tiles;
  Clauses clauses;
  if (parser.parseKeyword("ins") || parseOperandClause(parser, "ins", 3, 3, inputs) || parser.parseKeyword("state") ||
      parseOperandClause(parser, "state", 3, 3, tiles) || parseClauses(parser, result, clauses))
    return failure();
  for (ArrayRef<Value> operands : {ArrayRef(inputs), ArrayRef(clauses.maskOperands), ArrayRef(clauses.bias),
                                   ArrayRef(clauses.position), ArrayRef(tiles)})
    result.addOperands(operands);
  for (Value tile : tiles)
    result.addTypes(tile.getType());
  result.getOrAddProperties<Properties>().operandSegmentSizes = {1,
                                                                 1,
                                                                 1,
                                                                 static_cast<int32_t>(clauses.maskOperands.size()),
                                                                 static_cast<int32_t>(clauses.bias.size()),
                                                                 static_cast<int32_t>(clauses.position.size()),
                                                                 1,
                                                                 1,
                                                                 1};
  return success();
}

void OnlineOp::print(OpAsmPrinter &printer) {
  printOperandClause(printer, "ins", {getQuery(), getKey(), getValue()});
  printOperandClause(printer, "state", {getAcc(), getMax(), getSum()});
  printClauses(printer, *this);
}

void OnlineOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addReads(effects, getOperation()->getOpOperands());
}

FloatType OnlineOp::getComputeType() { return computeType(getQuery()); }

SmallVector<MaskInterface> OnlineOp::getMaskList() { return maskList(getMasks()); }

//===----------------------------------------------------------------------===//
// MergeOp
//===----------------------------------------------------------------------===//

void MergeOp::getEffects(SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  MutableArrayRef<OpOperand> operands = getOperation()->getOpOperands();
  addReads(effects, operands.drop_back(2));
  addWrites(effects, operands.take_back(2));
}

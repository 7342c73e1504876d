//===- Tile.cpp - The Tile dialect ----------------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace flashc::tile;

#include "dialects/Tile/TileDialect.cpp.inc"
#include "dialects/Tile/TileEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Tile/TileAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Tile/TileTypes.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/Tile/TileOps.cpp.inc"

void TileDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/Tile/TileTypes.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Tile/TileAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Tile/TileOps.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// TileType
//===----------------------------------------------------------------------===//

Type TileType::parse(AsmParser &parser) {
  SmallVector<int64_t, 2> shape;
  Type elementType;
  Attribute layout;
  if (parser.parseLess() || parser.parseDimensionList(shape, /*allowDynamic=*/false) || parser.parseType(elementType))
    return {};
  if (succeeded(parser.parseOptionalComma()) && parser.parseAttribute(layout))
    return {};
  if (parser.parseGreater())
    return {};
  return parser.getChecked<TileType>(parser.getContext(), shape, elementType, layout);
}

void TileType::print(AsmPrinter &printer) const {
  printer << '<';
  for (int64_t size : getShape())
    printer << size << 'x';
  printer << getElementType();
  if (getLayout())
    printer << ", " << getLayout();
  printer << '>';
}

LogicalResult TileType::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape, Type elementType,
                               Attribute layout) {
  if (shape.empty() || shape.size() > 2)
    return emitError() << "expected a tile of rank 1 or 2, got rank " << shape.size();
  for (int64_t size : shape)
    if (size <= 0)
      return emitError() << "expected positive tile sizes, got " << size;
  if (!llvm::isa<FloatType>(elementType))
    return emitError() << "expected a floating-point element type, got " << elementType;
  if (layout && !llvm::isa<RegisterLayoutAttr, PanelLayoutAttr>(layout))
    return emitError() << "expected a tile layout, got " << layout;
  return success();
}

//===----------------------------------------------------------------------===//
// Verifiers
//===----------------------------------------------------------------------===//

LogicalResult SplatOp::verify() {
  Type element = cast<TileType>(getResult().getType()).getElementType();
  if (getValue().getType() != element)
    return emitOpError() << "expected a scalar of the tile's element type " << element << ", got "
                         << getValue().getType();
  return success();
}

/// The memory side of a load or store: as many offsets as the memory has dimensions, as many extents as the tile has,
/// and memory of at least the tile's rank.
static LogicalResult verifyAccess(Operation *op, Type type, OperandRange offsets, OperandRange valid, TileType tile) {
  auto memory = dyn_cast<MemRefType>(type);
  if (!memory)
    return op->emitOpError() << "expected ranked memory, got " << type;
  if (static_cast<int64_t>(offsets.size()) != memory.getRank())
    return op->emitOpError() << "expected " << memory.getRank() << " offsets, one a dimension of the memory, got "
                             << offsets.size();
  size_t rank = tile.getShape().size();
  if (static_cast<int64_t>(rank) > memory.getRank())
    return op->emitOpError() << "expected memory of rank " << rank << " or more, got " << memory.getRank();
  if (!valid.empty() && valid.size() != rank)
    return op->emitOpError() << "expected " << rank << " valid extents, one a dimension of the tile, got "
                             << valid.size();
  if (!isa<FloatType>(memory.getElementType()))
    return op->emitOpError() << "expected memory of floating-point elements, got " << memory.getElementType();
  return success();
}

LogicalResult LoadOp::verify() {
  auto tile = cast<TileType>(getResult().getType());
  if (failed(verifyAccess(*this, getSource().getType(), getOffsets(), getValid(), tile)))
    return failure();
  Type element = cast<MemRefType>(getSource().getType()).getElementType();
  if (element.getIntOrFloatBitWidth() > tile.getElementType().getIntOrFloatBitWidth())
    return emitOpError() << "expected a tile at least as wide as the memory's " << element << ", got "
                         << tile.getElementType();
  return success();
}

LogicalResult StoreOp::verify() {
  return verifyAccess(*this, getDestination().getType(), getOffsets(), getValid(),
                      cast<TileType>(getValue().getType()));
}

LogicalResult DotOp::verify() {
  auto lhsType = cast<TileType>(getLhs().getType()), rhsType = cast<TileType>(getRhs().getType()),
       accType = cast<TileType>(getAccumulator().getType());
  ArrayRef<int64_t> lhs = lhsType.getShape(), rhs = rhsType.getShape(), acc = accType.getShape();
  int64_t columns = rhs[getTransposed() ? 0 : 1], contraction = rhs[getTransposed() ? 1 : 0];
  if (lhs[0] != acc[0] || columns != acc[1])
    return emitOpError() << "expected an accumulator of " << lhs[0] << "x" << columns << ", got " << acc[0] << "x"
                         << acc[1];
  if (lhs[1] != contraction)
    return emitOpError() << "expected both sides to contract over one size, got " << lhs[1] << " and " << contraction;
  if (lhsType.getElementType() != rhsType.getElementType())
    return emitOpError() << "expected both sides of one element type, got " << lhsType.getElementType() << " and "
                         << rhsType.getElementType();
  return success();
}

LogicalResult ReduceOp::verify() {
  int64_t rows = cast<TileType>(getInput().getType()).getShape()[0];
  int64_t initRows = cast<TileType>(getInit().getType()).getShape()[0];
  if (rows != initRows)
    return emitOpError() << "expected " << rows << " rows, got " << initRows;
  return success();
}

//===----------------------------------------------------------------------===//
// MapOp
//===----------------------------------------------------------------------===//

void MapOp::build(OpBuilder &builder, OperationState &state, TileType result, ValueRange inputs, ValueRange origin,
                  function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  state.addOperands(inputs);
  state.addOperands(origin);
  auto &properties = state.getOrAddProperties<MapOp::Properties>();
  properties.operandSegmentSizes = {static_cast<int32_t>(inputs.size()), static_cast<int32_t>(origin.size())};
  state.addTypes(result);
  Region *region = state.addRegion();
  OpBuilder::InsertionGuard guard(builder);
  SmallVector<Type> types;
  for (Value input : inputs)
    types.push_back(cast<TileType>(input.getType()).getElementType());
  types.append(origin.size(), builder.getIndexType());
  Block *block = builder.createBlock(region, region->end(), types, SmallVector<Location>(types.size(), state.location));
  Value value = body(builder, state.location, block->getArguments());
  builder.create<YieldOp>(state.location, value);
}

LogicalResult MapOp::verify() {
  auto result = cast<TileType>(getResult().getType());
  for (Value input : getInputs()) {
    ArrayRef<int64_t> shape = cast<TileType>(input.getType()).getShape();
    if (shape != result.getShape() && !(shape.size() == 1 && shape[0] == result.getShape()[0]))
      return emitOpError() << "expected inputs of the result's shape or of one element a row, got " << input.getType()
                           << " for " << result;
  }
  if (!getOrigin().empty() && getOrigin().size() != result.getShape().size())
    return emitOpError() << "expected an origin of " << result.getShape().size() << " positions, got "
                         << getOrigin().size();
  return success();
}

LogicalResult MapOp::verifyRegions() {
  Block &block = getBody().front();
  size_t inputs = getInputs().size(), expected = inputs + getOrigin().size();
  if (block.getNumArguments() != expected)
    return emitOpError() << "expected " << expected << " block arguments, one an input and a position, got "
                         << block.getNumArguments();
  for (auto [argument, input] : llvm::zip(block.getArguments(), getInputs())) {
    Type element = cast<TileType>(input.getType()).getElementType();
    if (argument.getType() != element)
      return emitOpError() << "expected block argument #" << argument.getArgNumber() << " of type " << element
                           << ", got " << argument.getType();
  }
  for (BlockArgument argument : block.getArguments().drop_front(inputs))
    if (!argument.getType().isIndex())
      return emitOpError() << "expected block argument #" << argument.getArgNumber()
                           << ", a position, of type index, got " << argument.getType();
  auto yield = cast<YieldOp>(block.getTerminator());
  Type element = cast<TileType>(getResult().getType()).getElementType();
  if (yield.getValue().getType() != element)
    return emitOpError() << "expected the region to yield " << element << ", got " << yield.getValue().getType();
  return success();
}

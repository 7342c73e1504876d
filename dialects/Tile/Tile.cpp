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
#include "llvm/Support/MathExtras.h"

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
  int64_t bits = elementType.getIntOrFloatBitWidth();
  for (int64_t size : shape) {
    if (!llvm::MulOverflow(bits, size, bits))
      continue;
    InFlightDiagnostic error = emitError() << "expected a tile whose size in bits fits in 64 bits, got ";
    llvm::interleave(shape, error, "x");
    return error << "x" << elementType;
  }
  if (layout &&
      !llvm::isa<RegisterLayoutAttr, PanelLayoutAttr, InPlaceLayoutAttr, FragmentLayoutAttr, SharedLayoutAttr>(layout))
    return emitError() << "expected a tile layout, got " << layout;
  return success();
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

LogicalResult RegisterLayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t rows, int64_t vectors,
                                         int64_t lanes, int64_t height) {
  if (rows < 1 || vectors < 1 || lanes < 1)
    return emitError() << "expected 1 or more rows, vectors and lanes, got " << rows << ", " << vectors << " and "
                       << lanes;
  if (height < 1 || rows % height != 0)
    return emitError() << "expected a block of whole registers, got " << rows << " rows and registers of " << height;
  int64_t accumulators;
  if (llvm::MulOverflow(rows, vectors, accumulators) || llvm::MulOverflow(accumulators, lanes, accumulators))
    return emitError() << "expected a number of accumulators that fits in 64 bits, got " << rows << "x" << vectors
                       << "x" << lanes;
  return success();
}

LogicalResult PanelLayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t width, int64_t lanes,
                                      int64_t kpack, int64_t depth) {
  if (lanes < 1)
    return emitError() << "expected 1 or more lanes, got " << lanes;
  if (width < 1 || width % lanes != 0)
    return emitError() << "expected panels as wide as a number of whole vectors of " << lanes << " lanes, got "
                       << width;
  if (kpack < 1)
    return emitError() << "expected 1 or more contracted elements side by side, got kpack = " << kpack;
  if (depth < 0 || depth % kpack != 0)
    return emitError() << "expected a depth of whole groups of " << kpack << " elements, got " << depth;
  int64_t unit;
  if (llvm::MulOverflow(width, kpack, unit) || llvm::MulOverflow(unit, std::max<int64_t>(depth, 1), unit))
    return emitError() << "expected panels of a size that fits in 64 bits, got " << width << " columns of "
                       << std::max(kpack, depth);
  return success();
}

LogicalResult InPlaceLayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t lanes) {
  if (lanes < 1)
    return emitError() << "expected 1 or more lanes, got " << lanes;
  return success();
}

/// A basis is pairs of numbers that are not negative, each a power of two or 0, and no two of them overlap: the
/// coordinates are sums of distinct bits.
static LogicalResult verifyBasis(function_ref<InFlightDiagnostic()> emitError, StringRef name, ArrayRef<int64_t> basis,
                                 ArrayRef<int64_t> block, int64_t (&used)[2]) {
  if (basis.size() % 2 != 0)
    return emitError() << "expected pairs of a row and a column in " << name << ", got " << basis.size() << " numbers";
  for (auto [i, offset] : llvm::enumerate(basis)) {
    if (offset == 0)
      continue;
    if (offset < 0 || offset >= block[i % 2] || !llvm::isPowerOf2_64(offset))
      return emitError() << "expected powers of two below the block's size in " << name << ", got " << offset;
    if (used[i % 2] & offset)
      return emitError() << "expected each bit of a coordinate once, got " << offset << " twice";
    used[i % 2] |= offset;
  }
  return success();
}

LogicalResult FragmentLayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t warps,
                                         ArrayRef<int64_t> block, ArrayRef<int64_t> lanes,
                                         ArrayRef<int64_t> registers) {
  if (warps < 1 || warps > 64)
    return emitError() << "expected 1 to 64 warps, got " << warps;
  if (block.size() != 2 ||
      llvm::any_of(block, [](int64_t size) { return size < 1 || size > 1024 || !llvm::isPowerOf2_64(size); }))
    return emitError() << "expected a block of two powers of two up to 1024";
  if (lanes.size() > 14 || registers.size() > 20)
    return emitError() << "expected at most 128 lanes and 1024 registers";
  int64_t used[2] = {0, 0};
  if (failed(verifyBasis(emitError, "lanes", lanes, block, used)) ||
      failed(verifyBasis(emitError, "registers", registers, block, used)))
    return failure();
  if (used[0] != block[0] - 1 || used[1] != block[1] - 1)
    return emitError() << "expected lanes and registers to cover a block of " << block[0] << "x" << block[1];
  return success();
}

std::pair<int64_t, int64_t> FragmentLayoutAttr::getOffset(int64_t element) const {
  int64_t row = 0, column = 0;
  for (size_t bit = 0; bit < getRegisters().size() / 2; ++bit)
    if (element >> bit & 1) {
      row += getRegisters()[2 * bit];
      column += getRegisters()[2 * bit + 1];
    }
  return {row, column};
}

int64_t FragmentLayoutAttr::getWarpRows(int64_t rows) const {
  return llvm::alignTo(llvm::divideCeil(rows, getWarps()), getBlock()[0]);
}

std::pair<int64_t, int64_t> FragmentLayoutAttr::getBlocks(ArrayRef<int64_t> shape) const {
  return {getWarpRows(shape[0]) / getBlock()[0], shape.size() == 2 ? llvm::divideCeil(shape[1], getBlock()[1]) : 1};
}

LogicalResult SharedLayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t panel, bool, bool) {
  if (panel != 32 && panel != 64 && panel != 128)
    return emitError() << "expected panels of 32, 64 or 128 bytes, got " << panel;
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
static LogicalResult verifyAccess(Operation *op, Type type, OperandRange offsets, OperandRange valid, TileType tile,
                                  bool grouped) {
  auto memory = dyn_cast<MemRefType>(type);
  if (!memory)
    return op->emitOpError() << "expected ranked memory, got " << type;
  if (static_cast<int64_t>(offsets.size()) != memory.getRank())
    return op->emitOpError() << "expected " << memory.getRank() << " offsets, one a dimension of the memory, got "
                             << offsets.size();
  size_t rank = tile.getShape().size();
  if (int64_t least = rank + grouped; least > memory.getRank())
    return op->emitOpError() << "expected memory of rank " << least << " or more, got " << memory.getRank();
  if (!valid.empty() && valid.size() != rank)
    return op->emitOpError() << "expected " << rank << " valid extents, one a dimension of the tile, got "
                             << valid.size();
  if (!isa<FloatType>(memory.getElementType()))
    return op->emitOpError() << "expected memory of floating-point elements, got " << memory.getElementType();
  return success();
}

LogicalResult LoadOp::verify() {
  auto tile = cast<TileType>(getResult().getType());
  if (failed(verifyAccess(*this, getSource().getType(), getOffsets(), getValid(), tile, getGrouped())))
    return failure();
  Type element = cast<MemRefType>(getSource().getType()).getElementType();
  if (element.getIntOrFloatBitWidth() > tile.getElementType().getIntOrFloatBitWidth())
    return emitOpError() << "expected a tile at least as wide as the memory's " << element << ", got "
                         << tile.getElementType();
  return success();
}

LogicalResult StoreOp::verify() {
  return verifyAccess(*this, getDestination().getType(), getOffsets(), getValid(), cast<TileType>(getValue().getType()),
                      getGrouped());
}

LogicalResult AwaitOp::verify() {
  // What comes through a loop or a branch has been started there.
  Operation *start = getInput().getDefiningOp();
  auto load = dyn_cast_or_null<LoadOp>(start);
  auto dot = dyn_cast_or_null<DotOp>(start);
  if ((load && !load.getAsync()) || (dot && !dot.getAsync()))
    return emitOpError() << "expected a tile that was started with `async`, got the result of '" << start->getName()
                         << "' without";
  return success();
}

LogicalResult DotOp::verify() {
  if (getAsync() && getSkipZeros())
    return emitOpError("cannot be started with `async` and skip zeros: whether it matters is decided first");
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
  if (getTf32() && (!lhsType.getElementType().isF32() || !accType.getElementType().isF32()))
    return emitOpError() << "expected operands and an accumulator of 'f32' to round to tf32, got "
                         << lhsType.getElementType() << " and " << accType.getElementType();
  if (accType.getElementType().getIntOrFloatBitWidth() < lhsType.getElementType().getIntOrFloatBitWidth())
    return emitOpError() << "expected an accumulator at least as wide as the operands' " << lhsType.getElementType()
                         << ", got " << accType.getElementType();
  return success();
}

LogicalResult ReduceOp::verify() {
  auto input = cast<TileType>(getInput().getType()), init = cast<TileType>(getInit().getType());
  if (input.getShape()[0] != init.getShape()[0])
    return emitOpError() << "expected " << input.getShape()[0] << " rows, got " << init.getShape()[0];
  if (input.getElementType() != init.getElementType())
    return emitOpError() << "expected an init of the input's element type " << input.getElementType() << ", got "
                         << init.getElementType();
  return success();
}

/// Packed memory: a step of the contraction through a panel along the last dimension, indexed in all dimensions but
/// two.
static LogicalResult verifyPacked(Operation *op, MemRefType packed, size_t numIndices, PanelLayoutAttr layout) {
  if (packed.getRank() < 3)
    return op->emitOpError() << "expected packed memory of rank 3 or more, got " << packed;
  if (packed.getShape().back() != layout.getUnitWidth()) {
    InFlightDiagnostic error = op->emitOpError() << "expected packed memory whose last dimension is the panels' width "
                                                 << layout.getWidth();
    if (layout.getKpack() != 1)
      error << " times " << layout.getKpack();
    return error << ", got " << packed;
  }
  if (static_cast<int64_t>(numIndices) != packed.getRank() - 2)
    return op->emitOpError() << "expected " << packed.getRank() - 2 << " indices into " << packed << ", got "
                             << numIndices;
  if (!isa<FloatType>(packed.getElementType()))
    return op->emitOpError() << "expected packed memory of floating-point elements, got " << packed.getElementType();
  return success();
}

LogicalResult PackOp::verify() {
  auto source = cast<MemRefType>(getSource().getType()), packed = cast<MemRefType>(getDestination().getType());
  int64_t width = getLayout().getWidth(), kpack = getLayout().getKpack();
  if (source.getRank() < 2 || !isa<FloatType>(source.getElementType()))
    return emitOpError() << "expected a source of rank 2 or more with floating-point elements, got " << source;
  if (static_cast<int64_t>(getOffsets().size()) != source.getRank())
    return emitOpError() << "expected " << source.getRank() << " offsets, one a dimension of the source, got "
                         << getOffsets().size();
  if (failed(verifyPacked(*this, packed, getIndices().size(), getLayout())))
    return failure();
  if (source.getElementType().getIntOrFloatBitWidth() > packed.getElementType().getIntOrFloatBitWidth())
    return emitOpError() << "expected packed elements at least as wide as the source's " << source.getElementType()
                         << ", got " << packed.getElementType();
  int64_t columns = source.getShape().back();
  if (ShapedType::isDynamic(columns))
    return emitOpError() << "expected a static number of source columns, got " << source;
  int64_t dimension = packed.getRank() - (getTransposed() ? 2 : 3);
  int64_t expected =
      getTransposed() ? getLayout().getNumGroups(columns) : static_cast<int64_t>(llvm::divideCeil(columns, width));
  int64_t actual = packed.getDimSize(dimension);
  if (!ShapedType::isDynamic(actual) && actual != expected)
    return emitOpError() << "expected dimension " << dimension << " of packed memory to be " << expected
                         << (!getTransposed() ? ", the number of panels, got "
                             : kpack == 1     ? ", the source's columns, got "
                                              : ", the groups of the source's columns, got ")
                         << actual;
  return success();
}

LogicalResult ViewOp::verify() {
  auto source = cast<MemRefType>(getSource().getType());
  auto tile = cast<TileType>(getResult().getType());
  auto layout = dyn_cast_or_null<PanelLayoutAttr>(tile.getLayout());
  if (!layout)
    return emitOpError() << "expected a tile with a panel layout, got " << tile;
  if (failed(verifyPacked(*this, source, getIndices().size(), layout)))
    return failure();
  if (source.getElementType() != tile.getElementType())
    return emitOpError() << "expected a tile of the packed memory's element type " << source.getElementType()
                         << ", got " << tile.getElementType();
  return success();
}

LogicalResult GroupDotOp::verify() {
  auto lhs = cast<VectorType>(getLhs().getType()), acc = cast<VectorType>(getAccumulator().getType());
  if (lhs.getNumElements() % acc.getNumElements() != 0)
    return emitOpError() << "expected a whole number of products for each of the " << acc.getNumElements()
                         << " sums, got " << lhs.getNumElements();
  if (acc.getElementType().getIntOrFloatBitWidth() < lhs.getElementType().getIntOrFloatBitWidth())
    return emitOpError() << "expected an accumulator at least as wide as the operands' " << lhs.getElementType()
                         << ", got " << acc.getElementType();
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

LogicalResult CooperateOp::verify() {
  if (int64_t rank = cast<MemRefType>(getState().getType()).getRank(); size_t(rank) != getIndices().size())
    return emitOpError() << "expected " << rank << " indices for " << getState().getType() << ", got "
                         << getIndices().size();
  Block &block = getBody().front();
  if (block.getNumArguments() != 1 || !block.getArgument(0).getType().isIndex())
    return emitOpError() << "expected one block argument of type index, the number of the part";
  return success();
}

//===- TilePipeOps.cpp - Tiles handed from copying to computing threads ---===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace flashc::tile;

//===----------------------------------------------------------------------===//
// PipeType
//===----------------------------------------------------------------------===//

Type PipeType::parse(AsmParser &parser) {
  auto tile = llvm::dyn_cast_or_null<TileType>(TileType::parse(parser));
  return tile ? parser.getChecked<PipeType>(parser.getContext(), tile) : Type();
}

void PipeType::print(AsmPrinter &printer) const { getTile().print(printer); }

LogicalResult PipeType::verify(function_ref<InFlightDiagnostic()> emitError, TileType tile) {
  if (tile.getShape().size() != 2)
    return emitError() << "expected a pipe of tiles of rank 2, got rank " << tile.getShape().size();
  if (!llvm::isa_and_nonnull<SharedLayoutAttr>(tile.getLayout()))
    return emitError() << "expected a pipe of tiles with a layout in shared memory, got " << tile;
  return success();
}

int64_t PipeType::getStageBytes() const {
  constexpr int64_t kilobyte = 1024;
  auto layout = llvm::cast<SharedLayoutAttr>(getTile().getLayout());
  return llvm::alignTo(layout.getBytes(getTile().getShape(), getTile().getElementType().getIntOrFloatBitWidth() / 8),
                       kilobyte);
}

//===----------------------------------------------------------------------===//
// Operations on tiles
//===----------------------------------------------------------------------===//

int64_t TensorMapOp::getColumns() {
  return getLayout().getPanel() * 8 / cast<MemRefType>(getSource().getType()).getElementTypeBitWidth();
}

LogicalResult TensorMapOp::verify() {
  constexpr int64_t mostDimensions = 5, mostRows = 256;
  auto source = dyn_cast<MemRefType>(getSource().getType());
  if (!source || source.getRank() < 2 || source.getRank() > mostDimensions || !isa<FloatType>(source.getElementType()))
    return emitOpError() << "expected memory of rank 2 to " << mostDimensions << " with floating-point elements, got "
                         << getSource().getType();
  if (getRows() < 1 || getRows() > mostRows)
    return emitOpError() << "expected boxes of 1 to " << mostRows << " rows, got " << getRows();
  return success();
}

LogicalResult PipeOp::verify() {
  if (getStages() < 1 || getStages() > 16)
    return emitOpError() << "expected 1 to 16 stages, got " << getStages();
  return success();
}

static LogicalResult verifyRole(Operation *op, StringRef role, int64_t threads, std::optional<uint64_t> registers) {
  constexpr int64_t warpgroup = 128, mostThreads = 1024;
  if (threads < warpgroup || threads > mostThreads || threads % warpgroup != 0)
    return op->emitOpError() << "expected " << role << " of whole warpgroups of " << warpgroup << " threads, got "
                             << threads << " threads";
  if (registers && (*registers < 24 || *registers > 256 || *registers % 8 != 0))
    return op->emitOpError() << "expected a multiple of 8 from 24 to 256 registers for " << role << ", got "
                             << *registers;
  return success();
}

LogicalResult RolesOp::verify() {
  if (failed(verifyRole(*this, "a producer", getProducerThreads(), getProducerRegisters())) ||
      failed(verifyRole(*this, "consumers", getConsumerThreads(), getConsumerRegisters())))
    return failure();
  if (getProducerRegisters().has_value() != getConsumerRegisters().has_value())
    return emitOpError("expected a number of registers for both roles or for none");
  return success();
}

/// Operations on pipes are their role's.
static LogicalResult verifyIn(Operation *op, bool producer) {
  auto roles = op->getParentOfType<RolesOp>();
  if (!roles || !(producer ? roles.getProducer() : roles.getConsumers()).isAncestor(op->getParentRegion()))
    return op->emitOpError() << "expected to be in the region of the " << (producer ? "producer" : "consumers")
                             << " of 'tile.roles'";
  return success();
}

LogicalResult PushOp::verify() {
  TileType tile = getPipe().getType().getTile();
  auto memory = dyn_cast<MemRefType>(getSource().getType());
  if (!memory || memory.getRank() < 2)
    return emitOpError() << "expected ranked memory of rank 2 or more, got " << getSource().getType();
  if (static_cast<int64_t>(getOffsets().size()) != memory.getRank())
    return emitOpError() << "expected " << memory.getRank() << " offsets, one a dimension of the memory, got "
                         << getOffsets().size();
  if (!getValid().empty() && getValid().size() != 2)
    return emitOpError() << "expected 2 valid extents, one a dimension of the tile, got " << getValid().size();
  if (!isa<FloatType>(memory.getElementType()) ||
      memory.getElementTypeBitWidth() > tile.getElementType().getIntOrFloatBitWidth())
    return emitOpError() << "expected a tile at least as wide as the memory's " << memory.getElementType() << ", got "
                         << tile.getElementType();
  if (bool(getMap()) != bool(getUsable()))
    return emitOpError("expected a map and whether it is usable, or neither");
  if (getMap() && memory.getElementType() != tile.getElementType())
    return emitOpError() << "expected a copy unit's memory to have the tile's elements " << tile.getElementType()
                         << ", got " << memory.getElementType();
  return verifyIn(*this, /*producer=*/true);
}

LogicalResult PopOp::verify() {
  if (getResult().getType() != getPipe().getType().getTile())
    return emitOpError() << "expected the pipe's " << getPipe().getType().getTile() << ", got "
                         << getResult().getType();
  return verifyIn(*this, /*producer=*/false);
}

LogicalResult ReleaseOp::verify() { return verifyIn(*this, /*producer=*/false); }

//===----------------------------------------------------------------------===//
// Operations of threads
//===----------------------------------------------------------------------===//

LogicalResult MbarrierInitOp::verify() {
  constexpr int64_t most = (1 << 20) - 1;
  if (getArrivals() < 1 || getArrivals() > most)
    return emitOpError() << "expected 1 to " << most << " arrivals, got " << getArrivals();
  return success();
}

LogicalResult MbarrierArriveOp::verify() {
  constexpr int64_t most = (1 << 20) - 1;
  if (std::optional<uint64_t> bytes = getBytes(); bytes && (*bytes < 1 || *bytes > most))
    return emitOpError() << "expected 1 to " << most << " bytes, got " << *bytes;
  return success();
}

LogicalResult CopyBoxOp::verify() {
  if (getCoordinates().empty() || getCoordinates().size() > 5)
    return emitOpError() << "expected 1 to 5 coordinates, got " << getCoordinates().size();
  return success();
}

LogicalResult BarrierOp::verify() {
  if (getNumber() < 0 || getNumber() > 15)
    return emitOpError() << "expected a barrier from 0 to 15, got " << getNumber();
  if (getThreads() < 32 || getThreads() > 1024 || getThreads() % 32 != 0)
    return emitOpError() << "expected a multiple of 32 threads up to 1024, got " << getThreads();
  return success();
}

LogicalResult SetRegistersOp::verify() {
  if (getCount() < 24 || getCount() > 256 || getCount() % 8 != 0)
    return emitOpError() << "expected a multiple of 8 from 24 to 256 registers, got " << getCount();
  return success();
}

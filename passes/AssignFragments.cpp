//===- AssignFragments.cpp - assign-fragments -----------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "passes/GpuKernels.h"
#include "passes/GpuUnits.h"
#include "passes/LowerThreads.h"
#include "passes/Passes.h"
#include "passes/TaskLoops.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace flashc {
#define GEN_PASS_DEF_ASSIGNFRAGMENTS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

static tile::TileType tileType(Value value) { return dyn_cast<tile::TileType>(value.getType()); }

namespace {

/// The tiles of one parallel loop, which a block of threads executes.
class BlockLayouts {
public:
  BlockLayouts(scf::ForallOp loop, MatrixUnit available, unsigned subgroupSize, int64_t sharedBytes, int64_t registers)
      : loop(loop), context(loop.getContext()), available(available), subgroupSize(subgroupSize),
        sharedBytes(sharedBytes), registers(registers) {}

  /// Fails where products need more than one unit.
  LogicalResult assign();

private:
  LogicalResult chooseUnit();
  /// Registers of a thread with `rows` rows for what elements are computed with: of masks and biases.
  int64_t countOtherRegisters(int64_t rows);
  /// Whether right-hand sides have as many columns as one instruction takes, and keys that fill its steps.
  bool isWholeForWarpgroups();
  /// Shapes of the products' operands; head dims of 0 where no product has the form of scores or of sums.
  BlockTiles readTiles();
  tile::FragmentLayoutAttr layOut(int64_t warps, int64_t rows);
  void assignOperands(tile::DotOp dot);
  void assignValue(Value value);

  scf::ForallOp loop;
  MLIRContext *context;
  MatrixUnit available;
  unsigned subgroupSize;
  int64_t sharedBytes, registers;
  MatrixUnit unit = MatrixUnit::None;
  tile::FragmentLayoutAttr accumulators;
  QueryPlace queries = QueryPlace::Registers;
};

BlockTiles BlockLayouts::readTiles() {
  BlockTiles tiles;
  tiles.unit = unit;
  tiles.subgroupSize = subgroupSize;
  tiles.queries = 1;
  tiles.keys = 32;
  loop.walk([&](tile::DotOp dot) {
    ArrayRef<int64_t> lhs = tileType(dot.getLhs()).getShape(), result = tileType(dot.getResult()).getShape();
    tiles.operandBytes = tileType(dot.getRhs()).getElementTypeBitWidth() / 8;
    tiles.sumBytes = tileType(dot.getResult()).getElementTypeBitWidth() / 8;
    tiles.queries = result[0];
    if (dot.getTransposed()) {
      tiles.headDim = lhs[1];
      tiles.keys = result[1];
    } else {
      tiles.valueHeadDim = result[1];
    }
  });
  return tiles;
}

/// The layout of all that is computed, on `warps` subgroups, of tiles of `rows` rows.
tile::FragmentLayoutAttr BlockLayouts::layOut(int64_t warps, int64_t rows) {
  if (unit != MatrixUnit::None)
    return getAccumulatorLayout(context, unit, subgroupSize, warps, rows);
  bool multiplies = false;
  int64_t columns = 0, bytes = 0;
  loop.walk([&](Operation *op) {
    multiplies |= isa<tile::DotOp>(op);
    for (Value value : op->getResults())
      if (tile::TileType type = tileType(value); type && type.getShape().size() == 2) {
        columns = std::max(columns, type.getShape()[1]);
        bytes = std::max<int64_t>(bytes, type.getElementTypeBitWidth() / 8);
      }
  });
  if (multiplies) {
    BlockTiles tiles = readTiles();
    ElementBlock block = chooseElementBlock(tiles.sumBytes, tiles.valueHeadDim, tiles.keys);
    return getElementLayout(context, block, subgroupSize, warps);
  }
  if (columns > 0)
    return getRowLayout(context, columns, bytes, subgroupSize, warps);
  return getAccumulatorLayout(context, unit, subgroupSize, warps, rows);
}

LogicalResult BlockLayouts::chooseUnit() {
  int64_t rows = 0;
  bool any = false;
  WalkResult result = loop.walk([&](Operation *op) {
    for (Value value : op->getResults())
      if (tile::TileType type = tileType(value); type && type.getShape().size() == 1)
        rows = std::max(rows, type.getShape()[0]);
    auto dot = dyn_cast<tile::DotOp>(op);
    if (!dot)
      return WalkResult::advance();
    Type element = tileType(dot.getLhs()).getElementType();
    if (dot.getTf32() && !takesTf32(available)) {
      dot.emitOpError("rounds to tf32; expected mma or wgmma for matrix-unit, got ") << toString(available);
      return WalkResult::interrupt();
    }
    bool narrow = element.getIntOrFloatBitWidth() == 16 && tileType(dot.getResult()).getElementType().isF32();
    MatrixUnit needed = narrow ? available : dot.getTf32() ? MatrixUnit::Mma : MatrixUnit::None;
    if (any && needed != unit) {
      dot.emitOpError("takes elements of ")
          << element << ", another product of the same loop others; expected one type";
      return WalkResult::interrupt();
    }
    unit = needed;
    any = true;
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  unit = getUnitForRows(unit, isWholeForWarpgroups() ? rows : 0);
  int64_t height = layOut(1, rows).getBlock()[0];
  int64_t warps = std::clamp<int64_t>(rows / height, 1, kMostSubgroups);
  accumulators = layOut(warps, rows);
  queries = readTiles().placeQueries(sharedBytes, registers);
  loop->setAttr(kThreadsAttr, IntegerAttr::get(IntegerType::get(context, 64), warps * accumulators.getSubgroupSize()));
  // Warpgroups with roles say themselves how registers are divided.
  if (any && takesTf32(available) && unit != MatrixUnit::Wgmma) {
    int64_t held = threads::ThreadBuilder::threadRows(accumulators, rows).size();
    int64_t blocks = readTiles().countBlocksAtATime(queries, countOtherRegisters(held));
    loop->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), IntegerAttr::get(IntegerType::get(context, 32), blocks));
  }
  return success();
}

int64_t BlockLayouts::countOtherRegisters(int64_t rows) {
  // What a position is compared with is a number of two words of each row; what is read of keys has addresses.
  // And so have loops through memory for the tiles that are not empty.
  constexpr int64_t ofComparison = 2, ofReads = 24, ofSearch = 16;
  int64_t most = 0;
  loop.walk([&](tile::MapOp map) {
    int64_t count = 0;
    bool reads = false;
    map.walk([&](Operation *op) {
      count += isa<arith::CmpIOp>(op) ? rows * ofComparison : 0;
      reads |= isa<memref::LoadOp>(op);
    });
    most = std::max(most, count + (reads ? ofReads : 0));
  });
  WalkResult search = loop.walk([](memref::LoadOp load) {
    auto scan = dyn_cast<scf::ForOp>(load->getParentOp());
    return WalkResult(failure(scan && !llvm::any_of(scan.getResultTypes(), llvm::IsaPred<tile::TileType>)));
  });
  return most + (search.wasInterrupted() ? ofSearch : 0);
}

bool BlockLayouts::isWholeForWarpgroups() {
  WalkResult result = loop.walk([&](tile::DotOp dot) {
    ArrayRef<int64_t> right = tileType(dot.getRhs()).getShape();
    int64_t columns = right[dot.getTransposed() ? 0 : 1], keys = right[0];
    return WalkResult(success(columns <= kWarpgroupColumns && keys % kWarpgroupSteps == 0));
  });
  return !result.wasInterrupted();
}

/// A product reads its right-hand side from shared memory, and its left-hand side from registers, from there - a
/// warpgroup reads what has been loaded where it lies - or, of rows that shared memory does not hold, where the caller
/// has them.
void BlockLayouts::assignOperands(tile::DotOp dot) {
  auto place = [&](OpOperand &operand, Attribute layout) {
    Value value = operand.get();
    tile::TileType type = tileType(value);
    if (type.getLayout() == layout)
      return;
    // What only products read is loaded in their layout; everything else is computed in the accumulators'.
    if (auto load = value.getDefiningOp<tile::LoadOp>()) {
      if (type.getLayout()) {
        OpBuilder b(load);
        value = b.clone(*load)->getResult(0);
        operand.set(value);
      }
      value.setType(type.withLayout(layout));
      return;
    }
    OpBuilder b(dot);
    operand.set(b.create<tile::ConvertOp>(dot.getLoc(), type.withLayout(layout), value));
  };
  auto shared = [&](Value value, bool transposed) -> Attribute {
    tile::TileType type = tileType(value);
    return getSharedLayout(context, type.getShape(), type.getElementType().getIntOrFloatBitWidth() / 8, unit,
                           transposed);
  };
  int64_t bytes = tileType(dot.getLhs()).getElementTypeBitWidth() / 8;
  Attribute lhs = getLhsLayout(unit, accumulators, bytes, dot.getTransposed());
  bool isLoaded = static_cast<bool>(dot.getLhs().getDefiningOp<tile::LoadOp>());
  bool areQueries = isLoaded && dot.getTransposed();
  if (!lhs || (unit == MatrixUnit::Wgmma && isLoaded) || (areQueries && queries == QueryPlace::Shared))
    lhs = shared(dot.getLhs(), /*transposed=*/false);
  if (areQueries && queries == QueryPlace::Global)
    lhs = tile::InPlaceLayoutAttr::get(context, /*lanes=*/1);
  place(dot.getLhsMutable(), lhs);
  place(dot.getRhsMutable(), shared(dot.getRhs(), takesColumns(unit) && !dot.getTransposed()));
}

void BlockLayouts::assignValue(Value value) {
  if (tile::TileType type = tileType(value); type && !type.getLayout())
    value.setType(type.withLayout(accumulators));
}

LogicalResult BlockLayouts::assign() {
  if (failed(chooseUnit()))
    return failure();
  SmallVector<tile::DotOp> dots;
  loop.walk([&](tile::DotOp dot) { dots.push_back(dot); });
  for (tile::DotOp dot : dots)
    assignOperands(dot);
  loop.walk([&](Operation *op) {
    // A conversion's operand has the accumulators' layout like all that is computed.
    for (Value operand : op->getOperands())
      assignValue(operand);
    for (Value result : op->getResults())
      assignValue(result);
    for (Region &region : op->getRegions())
      for (Value argument : region.getArguments())
        assignValue(argument);
  });
  return success();
}

struct AssignFragments : flashc::impl::AssignFragmentsBase<AssignFragments> {
  using AssignFragmentsBase::AssignFragmentsBase;

  void runOnOperation() override {
    FailureOr<MatrixUnit> unit = readMatrixUnit(getOperation(), matrixUnit);
    if (failed(unit))
      return signalPassFailure();
    if (subgroupSize != 32 && subgroupSize != 64) {
      getOperation()->emitError() << "expected subgroup-size to be 32 or 64, got " << subgroupSize.getValue();
      return signalPassFailure();
    }
    // A loop that says how many threads its blocks have holds a thread's code.
    for (scf::ForallOp loop : getTaskLoops(getOperation()))
      if (!loop->hasAttr(kThreadsAttr) &&
          failed(BlockLayouts(loop, *unit, subgroupSize, sharedBytes, registers).assign()))
        return signalPassFailure();
  }
};
} // namespace

//===- AssignGpuTileSizes.cpp - assign-gpu-tile-sizes ---------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "passes/GpuTiles.h"
#include "passes/GpuUnits.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace flashc {
#define GEN_PASS_DEF_ASSIGNGPUTILESIZES
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// One attention on one multiprocessor.
struct Problem {
  int64_t headDim, valueHeadDim;
  /// Bytes of an element in shared memory.
  int64_t operandBytes;
  /// Whether a masked weight may stand beside a NaN.
  bool skipsZeros;
  MatrixUnit unit = MatrixUnit::None;
  /// Rows and columns of the unit's accumulators, and how a block of threads holds them.
  int64_t blockRows = 0, blockColumns = 0;
  tile::FragmentLayoutAttr sums = {};

  /// Shared memory that the lowering takes, of `available` bytes: keys, values, a word of all threads, query rows where
  /// the unit reads them there, and weights where elements are multiplied one by one; each on its own kilobyte.
  int64_t sharedBytes(int64_t queries, int64_t keys, int64_t available, int64_t registers) const {
    if (unit != MatrixUnit::Wgmma) {
      BlockTiles tiles{unit, headDim, valueHeadDim, operandBytes, queries, keys};
      int64_t bytes = tiles.countSharedBytes(tiles.placeQueries(sums, available, registers));
      // The word has a place of its own where keys' is taken.
      bool apart = takesColumns(unit) && tiles.countCopied(sums) > getMostWaiting(sums.getSubgroupSize());
      return apart ? bytes + 1024 : bytes;
    }
    auto tile = [&](int64_t rows, int64_t columns) {
      int64_t panel = columns * operandBytes > 64 ? 128 : 64;
      return llvm::alignTo(rows * llvm::alignTo(columns * operandBytes, panel), 1024);
    };
    // Warpgroups multiply two tiles of keys and values while the next ones arrive.
    int64_t bytes = 2 * (tile(keys, headDim) + tile(keys, valueHeadDim)) + 1024 + tile(queries, headDim);
    return skipsZeros ? bytes + tile(queries, keys) : bytes;
  }
};

/// Rows and keys of warpgroups' tiles for head dims up to `headDim`, with masks and without: accumulators, scores and
/// weights of 64 rows fit into the registers of two or three warpgroups beside the one that copies, as the assembler
/// counts them. (The sizes of FlashAttention-3, Shah et al., 2024.)
struct WarpgroupTiles {
  struct Size {
    int64_t rows, keys;
  };
  int64_t headDim;
  Size masked, whole;
};
constexpr WarpgroupTiles kWarpgroupTiles[] = {{64, {192, 112}, {192, 96}},
                                              {96, {192, 96}, {128, 128}},
                                              {128, {128, 128}, {128, 128}},
                                              {192, {128, 112}, {128, 80}},
                                              {256, {128, 80}, {128, 64}}};
/// With a bias, whose addresses take registers, too.
constexpr WarpgroupTiles::Size kBiasedTiles = {128, 64};

struct AssignGpuTileSizes : flashc::impl::AssignGpuTileSizesBase<AssignGpuTileSizes> {
  using AssignGpuTileSizesBase::AssignGpuTileSizesBase;

  void runOnOperation() override {
    FailureOr<MatrixUnit> unit = readMatrixUnit(getOperation(), matrixUnit);
    if (failed(unit))
      return signalPassFailure();
    WalkResult result = getOperation().walk(
        [&](attn::SdpaOp op) { return op.getTiles() ? WalkResult::advance() : WalkResult(assign(op, *unit)); });
    if (result.wasInterrupted())
      signalPassFailure();
  }

private:
  LogicalResult assign(attn::SdpaOp op, MatrixUnit available) {
    auto typeOf = [](Value value) { return cast<ShapedType>(value.getType()); };
    ShapedType query = typeOf(op.getQuery()), key = typeOf(op.getKey()), value = typeOf(op.getValue());
    FloatType compute = op.getComputeType();
    Type element = query.getElementType();
    bool narrow = element.getIntOrFloatBitWidth() == 16 && available != MatrixUnit::None &&
                  key.getElementType() == element && value.getElementType() == element;
    MatrixUnit unit = narrow ? available : MatrixUnit::None;
    Problem problem{query.getDimSize(3), value.getDimSize(3),
                    (narrow ? element : Type(compute)).getIntOrFloatBitWidth() / 8,
                    !op.getMaskList().empty() || !op.getScore().empty() || op.getBias()};
    int64_t widest = std::max(problem.headDim, problem.valueHeadDim);
    const WarpgroupTiles *whole =
        llvm::find_if(kWarpgroupTiles, [&](const WarpgroupTiles &tiles) { return widest <= tiles.headDim; });
    bool suits = whole != std::end(kWarpgroupTiles) && keys <= kWarpgroupColumns;
    unit = getUnitForRows(unit, !suits ? 0 : queries ? queries.getValue() : kWarpgroupRows);
    auto use = [&](MatrixUnit chosen, int64_t rows) {
      problem.unit = chosen;
      ArrayRef<int64_t> block = getAccumulatorLayout(&getContext(), chosen, subgroupSize, 1, rows).getBlock();
      problem.blockRows = block[0];
      problem.blockColumns = chosen == MatrixUnit::Wgmma ? kWarpgroupSteps : block[1];
      int64_t warps = std::clamp<int64_t>(rows / block[0], 1, 4);
      problem.sums = getAccumulatorLayout(&getContext(), chosen, subgroupSize, warps, rows);
    };
    BlockTiles elements{unit,           problem.headDim, problem.valueHeadDim, problem.operandBytes, queries.getValue(),
                        keys.getValue()};
    // Instructions of several heights are told apart by a tile's rows.
    constexpr int64_t many = std::numeric_limits<int64_t>::max();
    if (takesColumns(unit))
      elements = chooseUnitTiles(&getContext(), elements, subgroupSize, sharedBytes, registers);
    use(unit, elements.queries ? elements.queries : many);
    if (unit == MatrixUnit::None) {
      tile::FragmentLayoutAttr sums = chooseElements(elements, compute);
      problem.blockRows = sums.getBlock()[0];
      problem.blockColumns = sums.getBlock()[1];
    }
    if (queries && queries % problem.blockRows != 0)
      return op.emitOpError("expected tiles of query rows in multiples of ")
             << problem.blockRows << ", what one product of the target has, got " << queries.getValue();
    if ((queries || keys) && takesColumns(unit)) {
      int64_t needed =
          elements.countRegisters(problem.sums, elements.placeQueries(problem.sums, sharedBytes, registers));
      if (needed > registers)
        return op.emitOpError("needs ") << needed << " registers a thread for tiles of " << elements.queries
                                        << " queries x " << elements.keys << " keys of head dims " << problem.headDim
                                        << " and " << problem.valueHeadDim << ", and the target has "
                                        << registers.getValue() << "; expected smaller tiles";
    }
    // Four subgroups share each tile of keys. A thread's accumulators and scores must stay in registers: for wide heads
    // tiles are half as wide.
    int64_t fewColumns = !narrow || widest > 128 ? 32 : 64, rows = 4 * problem.blockRows, columns = fewColumns;
    if (unit == MatrixUnit::Wgmma) {
      WarpgroupTiles::Size size = op.getBias() ? kBiasedTiles : problem.skipsZeros ? whole->masked : whole->whole;
      rows = size.rows;
      columns = size.keys;
    }
    rows = queries ? queries.getValue() : rows;
    columns = keys ? keys.getValue() : columns;
    if (unit == MatrixUnit::None || takesColumns(unit)) {
      rows = elements.queries;
      columns = elements.keys;
    }
    columns = llvm::alignTo(columns, problem.blockColumns);
    // Warpgroups' instructions are of any width, others' tiles stay powers of two.
    auto reduce = [&](int64_t &size, int64_t least) {
      int64_t reduced = unit == MatrixUnit::Wgmma ? size - least : size / 2;
      if (reduced < least || reduced % least != 0)
        return false;
      size = reduced;
      return true;
    };
    // Without a matrix unit the largest tiles that fit have been chosen.
    auto needed = [&] { return problem.sharedBytes(rows, columns, sharedBytes, registers); };
    while (needed() > sharedBytes)
      if (unit == MatrixUnit::None ||
          (!(!keys && reduce(columns, problem.blockColumns)) && !(!queries && reduce(rows, problem.blockRows))))
        return op.emitOpError("needs ") << needed() << " bytes of shared memory for tiles of " << rows << " queries x "
                                        << columns << " keys of head dims " << problem.headDim << " and "
                                        << problem.valueHeadDim << " in " << (narrow ? element : Type(compute))
                                        << ", and the target has " << sharedBytes.getValue()
                                        << "; a smaller head dim, or narrower elements, fit";
    auto error = [&] { return op.emitOpError("cannot have these tiles: "); };
    // Few rows are one warp's or wave's, and a block attends some tiles of keys. They are the same as of many rows, but
    // for warpgroups'.
    if (unit != MatrixUnit::None)
      use(getUnitForRows(unit, 0), 1);
    if (unit != MatrixUnit::Wgmma || keys || (widest > 192 && !problem.skipsZeros))
      fewColumns = columns;
    int64_t part = llvm::alignTo(split ? split.getValue() : 512, fewColumns);
    Type operand = narrow ? element : Type();
    auto few = attn::TilesAttr::getChecked(error, &getContext(), problem.blockRows, fewColumns, fewColumns,
                                           Type(compute), operand, part, Attribute());
    if (!few)
      return failure();
    auto tiles = attn::TilesAttr::getChecked(error, &getContext(), rows, columns, columns, Type(compute), operand,
                                             int64_t(0), Attribute(few));
    if (!tiles)
      return failure();
    op.setTilesAttr(tiles);
    return success();
  }

  /// The tiles of single multiply-adds, and the layout of a subgroup's accumulators.
  tile::FragmentLayoutAttr chooseElements(BlockTiles &tiles, FloatType compute) {
    int64_t bytes = compute.getIntOrFloatBitWidth() / 8;
    auto layout = [&] {
      ElementBlock block = chooseElementBlock(bytes, tiles.valueHeadDim, tiles.keys);
      return getElementLayout(&getContext(), block, subgroupSize, 1);
    };
    if (tiles.keys)
      tiles.keys = llvm::alignTo(tiles.keys, layout().getBlock()[1]);
    tiles = chooseElementTiles(tiles, bytes, subgroupSize, sharedBytes);
    return layout();
  }
};
} // namespace

//===- AssignGpuTileSizes.cpp - assign-gpu-tile-sizes ---------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
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
  /// Rows and columns of the unit's accumulators, and whether it takes its left-hand side from shared memory.
  int64_t blockRows, blockColumns;
  bool lhsShared;

  /// Shared memory that the lowering takes: keys, values, weights where elements may be multiplied one by one, and the
  /// query rows where the unit reads them there; each on its own kilobyte.
  int64_t sharedBytes(int64_t queries, int64_t keys) const {
    auto tile = [&](int64_t rows, int64_t columns) {
      int64_t panel = columns * operandBytes > 64 ? 128 : 64;
      return llvm::alignTo(rows * llvm::alignTo(columns * operandBytes, panel), 1024);
    };
    int64_t bytes = tile(keys, headDim) + tile(keys, valueHeadDim) + tile(queries, keys) + 1024;
    return lhsShared ? bytes + tile(queries, headDim) : bytes;
  }
};

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
    auto sums = getAccumulatorLayout(&getContext(), unit, subgroupSize, 1);
    Problem problem{
        query.getDimSize(3), value.getDimSize(3), (narrow ? element : Type(compute)).getIntOrFloatBitWidth() / 8,
        sums.getBlock()[0],  sums.getBlock()[1],  unit == MatrixUnit::None};
    int64_t widest = std::max(problem.headDim, problem.valueHeadDim);
    // Four subgroups share each tile of keys. A thread's accumulators and scores must stay in registers: for wide
    // heads, and where a unit holds its operands twice (WMMA) or its accumulators in few lanes' rows (MFMA), tiles are
    // half as wide.
    int64_t rows = queries ? queries.getValue() : 4 * problem.blockRows;
    bool narrowTiles = !narrow || widest > 128 || unit == MatrixUnit::Wmma || (unit == MatrixUnit::Mfma && widest > 64);
    int64_t columns = llvm::alignTo(keys ? keys.getValue() : narrowTiles ? 32 : 64, problem.blockColumns);
    auto halve = [&](int64_t &size, int64_t least) {
      if (size / 2 < least || size / 2 % least != 0)
        return false;
      size /= 2;
      return true;
    };
    while (problem.sharedBytes(rows, columns) > sharedBytes)
      if (!(!keys && halve(columns, problem.blockColumns)) && !(!queries && halve(rows, problem.blockRows)))
        return op.emitOpError("needs ") << problem.sharedBytes(rows, columns) << " bytes of shared memory for tiles of "
                                        << rows << " queries x " << columns << " keys of head dims " << problem.headDim
                                        << " and " << problem.valueHeadDim << " in "
                                        << (narrow ? element : Type(compute)) << ", and the target has "
                                        << sharedBytes.getValue() << "; a smaller head dim, or narrower elements, fit";
    auto error = [&] { return op.emitOpError("cannot have these tiles: "); };
    // Few rows are one subgroup's; its tiles of keys are the same, and a block attends some of them.
    int64_t part = split ? llvm::alignTo(split, columns) : llvm::alignTo(512, columns);
    Type operand = narrow ? element : Type();
    auto few = attn::TilesAttr::getChecked(error, &getContext(), problem.blockRows, columns, columns, Type(compute),
                                           operand, part, Attribute());
    if (!few)
      return failure();
    auto tiles = attn::TilesAttr::getChecked(error, &getContext(), rows, columns, columns, Type(compute), operand,
                                             int64_t(0), Attribute(few));
    if (!tiles)
      return failure();
    op.setTilesAttr(tiles);
    return success();
  }
};
} // namespace

//===- GpuUnits.cpp - The fragments of GPUs' matrix units -----------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/GpuUnits.h"

using namespace mlir;
using namespace flashc;

std::optional<MatrixUnit> flashc::parseMatrixUnit(StringRef name) {
  for (MatrixUnit unit : {MatrixUnit::None, MatrixUnit::Mma, MatrixUnit::Wgmma, MatrixUnit::Mfma, MatrixUnit::Wmma})
    if (toString(unit) == name)
      return unit;
  return std::nullopt;
}

StringRef flashc::toString(MatrixUnit unit) {
  switch (unit) {
  case MatrixUnit::None:
    return "none";
  case MatrixUnit::Mma:
    return "mma";
  case MatrixUnit::Wgmma:
    return "wgmma";
  case MatrixUnit::Mfma:
    return "mfma";
  case MatrixUnit::Wmma:
    return "wmma";
  }
  return "none";
}

FailureOr<MatrixUnit> flashc::readMatrixUnit(Operation *op, StringRef name) {
  if (std::optional<MatrixUnit> unit = parseMatrixUnit(name))
    return *unit;
  return op->emitError() << "expected matrix-unit to be none, mma, wgmma, mfma or wmma, got '" << name << "'";
}

// Each pair is the row and column that one bit of a lane's or an element's number adds.
//
// AMD's products are computed transposed: the matrix core's columns are our rows, so that what a lane holds of the
// scores' transpose is what it passes of the weights'. Which key or column a row of the matrix core stands for is ours
// to say: it is chosen such that a lane holds eight neighbours, sixteen bytes, of everything it reads, passes and
// writes. Two instructions, for steps 0-3 and 4-7 of each lane's eight, are one product then.
tile::FragmentLayoutAttr flashc::getAccumulatorLayout(MLIRContext *context, MatrixUnit unit, unsigned subgroupSize,
                                                      int64_t warps, int64_t rows) {
  FragmentBlock block = getUnitSums(unit, rows);
  auto layout = [&](ArrayRef<int64_t> lanes, ArrayRef<int64_t> registers) {
    return tile::FragmentLayoutAttr::get(context, warps, {block.rows, block.columns}, lanes, registers);
  };
  switch (unit) {
  case MatrixUnit::Mma: // PTX ISA, "Matrix fragments for mma.m16n8k16", C
    return layout({0, 2, 0, 4, 1, 0, 2, 0, 4, 0}, {0, 1, 8, 0});
  case MatrixUnit::Wgmma: // PTX ISA, "Register fragments for wgmma.mma_async.m64nNk16", D: a warp's are those of mma
    return layout({0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0}, {0, 1, 8, 0});
  case MatrixUnit::Mfma:
    if (block.rows == 16) // V_MFMA_F32_16X16X16, two side by side
      return layout({1, 0, 2, 0, 4, 0, 8, 0, 0, 8, 0, 16}, {0, 1, 0, 2, 0, 4});
    // V_MFMA_F32_32X32X8
    return layout({1, 0, 2, 0, 4, 0, 8, 0, 16, 0, 0, 8}, {0, 1, 0, 2, 0, 4, 0, 16});
  case MatrixUnit::Wmma: // V_WMMA_F32_16X16X16 on 32 lanes
    return layout({1, 0, 2, 0, 4, 0, 8, 0, 0, 8}, {0, 1, 0, 2, 0, 4});
  case MatrixUnit::None:
    break;
  }
  // Four loads of four elements feed sixty-four multiply-adds.
  return getElementLayout(context, {4, 4}, subgroupSize, warps);
}

// What a register of tf32 stands for, PTX ISA, "Matrix fragments for mma.m16n8k8", .tf32: a lane's two steps of the
// contraction are 4 apart. That is what ldmatrix gives of rows of float32. Of scores a lane holds neighbours, columns
// 2t and 2t + 1, so for weights the unit's step t is key 2t, and step t + 4 is key 2t + 1: sums do not care for the
// order.
tile::FragmentLayoutAttr flashc::getLhsLayout(MatrixUnit unit, tile::FragmentLayoutAttr accumulators,
                                              int64_t elementBytes, bool transposed) {
  FragmentBlock block = getUnitLeft(unit, accumulators.getBlock()[0], elementBytes);
  auto layout = [&](ArrayRef<int64_t> lanes, ArrayRef<int64_t> registers) {
    return tile::FragmentLayoutAttr::get(accumulators.getContext(), accumulators.getWarps(),
                                         {block.rows, block.columns}, lanes, registers);
  };
  if (takesTf32(unit) && elementBytes == 4)
    return transposed ? layout({0, 1, 0, 2, 1, 0, 2, 0, 4, 0}, {8, 0, 0, 4})
                      : layout({0, 2, 0, 4, 1, 0, 2, 0, 4, 0}, {8, 0, 0, 1});
  switch (unit) {
  case MatrixUnit::Mma:
    return layout({0, 2, 0, 4, 1, 0, 2, 0, 4, 0}, {0, 1, 8, 0, 0, 8});
  case MatrixUnit::Wgmma:
    return layout({0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0}, {0, 1, 8, 0, 0, 8});
  case MatrixUnit::Mfma:
    if (block.rows == 16)
      return layout({1, 0, 2, 0, 4, 0, 8, 0, 0, 8, 0, 16}, {0, 1, 0, 2, 0, 4});
    return layout({1, 0, 2, 0, 4, 0, 8, 0, 16, 0, 0, 8}, {0, 1, 0, 2, 0, 4});
  case MatrixUnit::Wmma: // both halves of the wave hold the same
    return layout({1, 0, 2, 0, 4, 0, 8, 0, 0, 0}, {0, 1, 0, 2, 0, 4, 0, 8});
  case MatrixUnit::None:
    break;
  }
  return {};
}

tile::FragmentLayoutAttr flashc::getRhsLayout(MatrixUnit unit, tile::FragmentLayoutAttr accumulators,
                                              int64_t elementBytes, bool transposed) {
  auto layout = [&](ArrayRef<int64_t> block, ArrayRef<int64_t> lanes, ArrayRef<int64_t> registers) {
    return tile::FragmentLayoutAttr::get(accumulators.getContext(), /*warps=*/1, block, lanes, registers);
  };
  if (takesTf32(unit) && elementBytes == 4 && !transposed)
    return layout({8, kTf32Steps}, {0, 2, 0, 4, 1, 0, 2, 0, 4, 0}, {0, 1});
  // Lane i passes row i of the matrix core, which is the column that the accumulators have there.
  switch (unit) {
  case MatrixUnit::Mfma:
    if (accumulators.getBlock()[0] == 16) // result register r of lanes 16 q on is row 4 q + r, of the second one r + 4
      return layout({32, 32}, {1, 0, 2, 0, 8, 0, 16, 0, 0, 8, 0, 16}, {0, 1, 0, 2, 0, 4, 4, 0});
    return layout({32, 16}, {1, 0, 2, 0, 8, 0, 4, 0, 16, 0, 0, 8}, {0, 1, 0, 2, 0, 4}); // 8 (r / 4) + 4 q + r % 4
  case MatrixUnit::Wmma: // result register r of half h is row 2 r + h
    return layout({16, 16}, {8, 0, 1, 0, 2, 0, 4, 0, 0, 0}, {0, 1, 0, 2, 0, 4, 0, 8});
  case MatrixUnit::Mma:
  case MatrixUnit::Wgmma:
  case MatrixUnit::None:
    break;
  }
  return {};
}

tile::FragmentLayoutAttr flashc::getElementLayout(MLIRContext *context, ElementBlock block, unsigned subgroupSize,
                                                  int64_t warps) {
  // Each pair is the row and column that one bit of a lane's or an element's number adds.
  SmallVector<int64_t> lanes, registers;
  auto addBit = [](SmallVector<int64_t> &bits, int64_t row, int64_t column) {
    bits.push_back(row);
    bits.push_back(column);
  };
  for (int64_t i = 1; i < kThreadsAcross; i *= 2)
    addBit(lanes, 0, i * block.columns);
  for (int64_t i = 1; i < subgroupSize / kThreadsAcross; i *= 2)
    addBit(lanes, i * block.rows, 0);
  for (int64_t i = 1; i < block.columns; i *= 2)
    addBit(registers, 0, i);
  for (int64_t i = 1; i < block.rows; i *= 2)
    addBit(registers, i, 0);
  FragmentBlock whole = getSubgroupBlock(block, subgroupSize);
  return tile::FragmentLayoutAttr::get(context, warps, {whole.rows, whole.columns}, lanes, registers);
}

tile::FragmentLayoutAttr flashc::getRowLayout(MLIRContext *context, int64_t columns, int64_t bytes,
                                              unsigned subgroupSize, int64_t warps) {
  int64_t piece = 16 / bytes;
  while (piece > 1 && piece / 2 * subgroupSize >= columns)
    piece /= 2;
  SmallVector<int64_t> lanes, registers;
  for (int64_t i = 1; i < subgroupSize; i *= 2)
    lanes.append({0, i * piece});
  for (int64_t i = 1; i < piece; i *= 2)
    registers.append({0, i});
  return tile::FragmentLayoutAttr::get(context, warps, {1, subgroupSize * piece}, lanes, registers);
}

SmallVector<int64_t, 3> flashc::getInstructionShape(MatrixUnit unit, tile::FragmentLayoutAttr accumulators,
                                                    int64_t elementBytes) {
  switch (unit) {
  case MatrixUnit::Mma:
  case MatrixUnit::Wgmma: // of a warp; a warpgroup's instruction is as wide as the tile
    return {16, 8, elementBytes == 4 ? kTf32Steps : 16};
  case MatrixUnit::Mfma:
    if (accumulators.getBlock()[0] == 16)
      return {16, 32, 32};
    return {32, 32, 16};
  case MatrixUnit::Wmma:
    return {16, 16, 16};
  case MatrixUnit::None:
    break;
  }
  return {};
}

tile::SharedLayoutAttr flashc::getSharedLayout(MLIRContext *context, ArrayRef<int64_t> shape, int64_t elementBytes,
                                               MatrixUnit unit, bool transposed) {
  int64_t panel = getPanelBytes(shape[transposed ? 0 : 1] * elementBytes);
  return tile::SharedLayoutAttr::get(context, panel, transposed, takesColumns(unit));
}

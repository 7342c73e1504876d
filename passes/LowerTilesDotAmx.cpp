//===- LowerTilesDotAmx.cpp - Products in a matrix unit's tiles -----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Products of bf16 by Intel's AMX: eight tiles of 16 rows of 64 bytes. Two by two tiles of sums, two of the left-hand
/// side and two of the right-hand side are all eight: four products need four loads, which is the least. The
/// right-hand side lies packed so that each of its tiles is one kilobyte in one piece. Tiles are named by number: as
/// values they could not be carried by a loop (LLVM 19). The target configures them around each task; all of a
/// product's tiles are whole, what does not exist is zeros.
///
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "passes/LowerTiles.h"
#include "passes/MemRefPointers.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::cpu;

namespace {

/// Rows of a tile, columns of a tile of sums, and contracted elements of a tile of bf16.
constexpr int64_t kRows = 16, kColumns = 16, kDepth = 32;
/// Bytes of a tile's row, of a tile, and of one step of the contraction through a panel of two tiles.
constexpr int64_t kRowBytes = 64, kTileBytes = kRows * kRowBytes;
/// Rows of a block: two tiles.
constexpr int64_t kBlockRows = 2 * kRows;
/// The tiles' numbers: sums by row and column of the block, then the left-hand and the right-hand side.
constexpr int64_t sumTile(int64_t row, int64_t column) { return 2 * row + column; }
constexpr int64_t kLhsTile = 4, kRhsTile = 6;

/// Memory that tiles are read from and written to: a pointer to its first element, and strides in bytes.
struct TileMemory {
  Value pointer;
  SmallVector<Value> strides;

  TileMemory(OpBuilder &b, Location loc, Value memory) {
    int64_t bytes = cast<MemRefType>(memory.getType()).getElementTypeBitWidth() / 8;
    auto metadata = b.create<memref::ExtractStridedMetadataOp>(loc, memory);
    IndexBuilder index{b, loc};
    for (OpFoldResult stride : metadata.getConstifiedMixedStrides())
      strides.push_back(toI64(b, loc, index.mul(getValueOrCreateConstantIndexOp(b, loc, stride), bytes)));
    pointer = getFirstPointer(b, loc, memory);
  }

  static Value toI64(OpBuilder &b, Location loc, Value index) {
    return b.create<arith::IndexCastOp>(loc, b.getI64Type(), index);
  }
  static Value advance(OpBuilder &b, Location loc, Value pointer, Value bytes) {
    return b.create<LLVM::GEPOp>(loc, pointer.getType(), b.getI8Type(), pointer, ArrayRef<LLVM::GEPArg>{bytes});
  }

  /// A pointer to the element at `indices`.
  Value at(OpBuilder &b, Location loc, ValueRange indices) const {
    Value bytes;
    for (auto [i, stride] : llvm::zip_equal(indices, strides)) {
      Value more = b.create<arith::MulIOp>(loc, toI64(b, loc, i), stride);
      bytes = bytes ? b.create<arith::AddIOp>(loc, bytes, more).getResult() : more;
    }
    return advance(b, loc, pointer, bytes);
  }
  Value rowStride() const { return strides[strides.size() - 2]; }
};

struct AmxEmitter {
  Location loc;
  Value numRows;
  TileMemory lhs, rhs, result;
  /// Whether the sums start from what the result holds, and not from zero.
  bool accumulates;

  void call(OpBuilder &b, StringRef name, ValueRange operands) const {
    b.create<LLVM::CallIntrinsicOp>(loc, TypeRange{}, b.getStringAttr(name), operands, LLVM::FastmathFlagsAttr{});
  }
  Value tile(OpBuilder &b, int64_t number) const {
    return b.create<arith::ConstantOp>(loc, b.getI8IntegerAttr(number));
  }
  Value bytes(OpBuilder &b, int64_t count) const {
    return b.create<arith::ConstantOp>(loc, b.getI64IntegerAttr(count));
  }
  void load(OpBuilder &b, int64_t number, Value pointer, Value stride) const {
    call(b, "llvm.x86.tileloadd64", {tile(b, number), pointer, stride});
  }
  Value advance(OpBuilder &b, Value pointer, Value bytes) const { return TileMemory::advance(b, loc, pointer, bytes); }

  /// Rows from `row` on and `columnTiles` tiles from `column` on, contracted over `steps` times 32 elements: the
  /// left-hand side's from its first column on, the right-hand side's from `panel` on, where a step is `stepBytes`
  /// long.
  void emitBlock(OpBuilder &b, Value row, Value column, int64_t columnTiles, Value steps, Value panel) const {
    IndexBuilder index{b, loc};
    Value zero = index.constant(0), rowBytes = bytes(b, kRowBytes), tileBytes = bytes(b, kTileBytes);
    Value sums[2], left[2];
    for (int64_t r = 0; r < 2; ++r) {
      Value first = index.add(row, index.constant(r * kRows));
      sums[r] = result.at(b, loc, {first, column});
      left[r] = lhs.at(b, loc, {first, zero});
    }
    auto forEachSum = [&](StringRef intrinsic) {
      for (int64_t r = 0; r < 2; ++r)
        for (int64_t c = 0; c < columnTiles; ++c)
          call(b, intrinsic,
               {tile(b, sumTile(r, c)), advance(b, sums[r], bytes(b, c * kRowBytes)), result.rowStride()});
    };
    if (accumulates)
      forEachSum("llvm.x86.tileloadd64");
    else
      for (int64_t t : {sumTile(0, 0), sumTile(0, 1), sumTile(1, 0), sumTile(1, 1)})
        if (t % 2 < columnTiles)
          call(b, "llvm.x86.tilezero", tile(b, t));

    auto emitStep = [&](OpBuilder &b, Value k) {
      Value step = TileMemory::toI64(b, loc, k);
      Value leftBytes = b.create<arith::MulIOp>(loc, step, bytes(b, kRowBytes));
      Value right = advance(b, panel, b.create<arith::MulIOp>(loc, step, bytes(b, 2 * kTileBytes)));
      load(b, kLhsTile, advance(b, left[0], leftBytes), lhs.rowStride());
      load(b, kRhsTile, right, rowBytes);
      if (columnTiles > 1)
        load(b, kRhsTile + 1, advance(b, right, tileBytes), rowBytes);
      load(b, kLhsTile + 1, advance(b, left[1], leftBytes), lhs.rowStride());
      for (int64_t r = 0; r < 2; ++r)
        for (int64_t c = 0; c < columnTiles; ++c)
          call(b, "llvm.x86.tdpbf16ps", {tile(b, sumTile(r, c)), tile(b, kLhsTile + r), tile(b, kRhsTile + c)});
    };
    // A head dimension is few steps.
    constexpr int64_t unrolled = 8;
    if (auto known = getConstantIntValue(steps); known && *known <= unrolled)
      for (int64_t k = 0; k < *known; ++k)
        emitStep(b, index.constant(k));
    else
      buildLoop(b, loc, zero, steps, 1, emitStep);
    forEachSum("llvm.x86.tilestored64");
  }

  /// All rows of one panel's columns.
  void emitPanel(OpBuilder &b, Value column, int64_t columnTiles, Value steps, Value panel) const {
    buildLoop(b, loc, IndexBuilder{b, loc}.constant(0), numRows, kBlockRows,
              [&](OpBuilder &b, Value row) { emitBlock(b, row, column, columnTiles, steps, panel); });
  }
};

} // namespace

bool cpu::isTileProduct(tile::RegisterLayoutAttr sums, tile::PanelLayoutAttr panels) {
  return sums.getHeight() == kRows && sums.getLanes() == kColumns && sums.getRows() == kBlockRows &&
         panels.getDepth() == kDepth && panels.getKpack() == 2 && panels.getLanes() == kColumns &&
         panels.getWidth() == 2 * kColumns && (sums.getVectors() * kColumns) % panels.getWidth() == 0;
}

void cpu::emitTilePanel(OpBuilder &b, Location loc, Value lhs, Value numRows, Value rhs, ValueRange panel, Value depth,
                        Value result, Value column, int64_t columns, bool accumulates) {
  AmxEmitter emitter{loc,        numRows, TileMemory(b, loc, lhs), TileMemory(b, loc, rhs), TileMemory(b, loc, result),
                     accumulates};
  Value steps = IndexBuilder{b, loc}.ceilDiv(depth, kDepth);
  emitter.emitPanel(b, column, columns > kColumns ? 2 : 1, steps, emitter.rhs.at(b, loc, panel));
}

void cpu::clearBeyondVector(OpBuilder &b, Location loc, Value lhs, Value numRows, Value depth,
                            tile::PanelLayoutAttr layout) {
  IndexBuilder index{b, loc};
  int64_t lanes = layout.getLanes();
  auto padded = [&](int64_t to) { return index.mul(index.ceilDiv(depth, to), to); };
  Value begin = padded(lanes), end = padded(layout.getDepth());
  auto type = VectorType::get({lanes}, cast<MemRefType>(lhs.getType()).getElementType());
  Value zero = b.create<arith::ConstantOp>(loc, b.getZeroAttr(type));
  buildLoop(b, loc, begin, end, lanes, [&](OpBuilder &b, Value column) {
    buildLoop(b, loc, IndexBuilder{b, loc}.constant(0), numRows, 1,
              [&](OpBuilder &b, Value row) { b.create<vector::StoreOp>(loc, zero, lhs, ValueRange{row, column}); });
  });
}

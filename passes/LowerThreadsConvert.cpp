//===- LowerThreadsConvert.cpp - Fragments in other layouts, by threads ---===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/LowerThreads.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::threads;

/// Where in fragments a thread of lane 0 holds (row, column) of its subgroup: block and element.
static std::pair<int64_t, int64_t> findElement(tile::FragmentLayoutAttr layout, int64_t across, int64_t row,
                                               int64_t column) {
  int64_t block = row / layout.getBlock()[0] * across + column / layout.getBlock()[1];
  row %= layout.getBlock()[0];
  column %= layout.getBlock()[1];
  for (int64_t e = 0; e < layout.getBlockElements(); ++e)
    if (layout.getOffset(e) == std::pair(row, column))
      return {block, e};
  return {-1, -1};
}

Value ThreadBuilder::isLaneBitSet(int64_t bit) {
  Value bits = b.create<arith::AndIOp>(loc, block.lane, constant(bit));
  return b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ne, bits, constant(0));
}

ThreadTile ThreadBuilder::convert(tile::ConvertOp op, const ThreadTile &input, Value memory) {
  tile::TileType from = typeOf(op.getInput()), to = typeOf(op.getResult());
  auto source = cast<tile::FragmentLayoutAttr>(from.getLayout());
  if (memory) {
    barrier();
    writeShared(to, source, input, memory);
    barrier();
    return {{}, memory};
  }
  auto target = cast<tile::FragmentLayoutAttr>(to.getLayout());
  int64_t down, across;
  std::tie(down, across) = target.getBlocks(to.getShape());
  int64_t sourceDown, sourceAcross;
  std::tie(sourceDown, sourceAcross) = source.getBlocks(from.getShape());
  // Lanes of the source that the target holds the elements of in every lane: they are exchanged.
  int64_t exchanged = 0, columnBit = 0;
  for (size_t bit = 0; bit < source.getLanes().size() / 2; ++bit)
    if (source.getLanes()[2 * bit + 1] != target.getLanes()[2 * bit + 1]) {
      exchanged = int64_t(1) << bit;
      columnBit = source.getLanes()[2 * bit + 1];
    }
  // Where the target's elements are a lane's own ones and then the other's, words change lanes.
  SmallVector<int64_t> halves(source.getRegisters());
  halves.append({0, columnBit});
  if (exchanged && source.getBlock() == target.getBlock() && ArrayRef(halves) == target.getRegisters()) {
    Value upper = isLaneBitSet(exchanged);
    int64_t words = source.getBlockElements() * bytesOf(from.getElementType()) / 4;
    auto own = VectorType::get({words}, b.getI32Type()), all = VectorType::get({2 * words}, b.getI32Type());
    ThreadTile result;
    for (Value part : input.parts) {
      Value mine = b.create<vector::BitCastOp>(loc, own, part), other = mine;
      for (int64_t word = 0; word < words; ++word)
        other = b.create<vector::InsertOp>(loc, shuffleXor(b.create<vector::ExtractOp>(loc, mine, word), exchanged),
                                           other, word);
      Value whole = b.create<arith::ConstantOp>(loc, b.getZeroAttr(all));
      Value low = b.create<arith::SelectOp>(loc, upper, other, mine);
      Value high = b.create<arith::SelectOp>(loc, upper, mine, other);
      whole = b.create<vector::InsertStridedSliceOp>(loc, low, whole, 0, 1);
      whole = b.create<vector::InsertStridedSliceOp>(loc, high, whole, words, 1);
      auto type = VectorType::get({target.getBlockElements()}, to.getElementType());
      result.parts.push_back(b.create<vector::BitCastOp>(loc, type, whole));
    }
    return result;
  }
  // By part of the source: in lanes whose bit is 0, and in the others.
  DenseMap<std::pair<int64_t, int64_t>, std::pair<Value, Value>> both;
  auto elementOf = [&](int64_t row, int64_t column) -> Value {
    auto at = findElement(source, sourceAcross, row, column & ~columnBit);
    Value &own = both[at].first;
    if (!own)
      own = b.create<vector::ExtractOp>(loc, input.parts[at.first], at.second);
    if (!exchanged)
      return own;
    Value &other = both[at].second;
    if (!other)
      other = shuffleXor(own, exchanged);
    Value upper = isLaneBitSet(exchanged);
    bool wantsUpper = column & columnBit;
    return b.create<arith::SelectOp>(loc, upper, wantsUpper ? own : other, wantsUpper ? other : own);
  };
  ThreadTile result;
  for (int64_t m = 0; m < down; ++m)
    for (int64_t n = 0; n < across; ++n) {
      auto type = VectorType::get({target.getBlockElements()}, to.getElementType());
      Value part = b.create<arith::ConstantOp>(loc, b.getZeroAttr(type));
      for (int64_t e = 0; e < target.getBlockElements(); ++e) {
        auto [row, column] = target.getOffset(e);
        int64_t c = n * target.getBlock()[1] + column;
        // Columns that pad the target's last block are zero, as they are in the other operand.
        if (c < sourceAcross * source.getBlock()[1])
          part = b.create<vector::InsertOp>(loc, elementOf(m * target.getBlock()[0] + row, c), part, e);
      }
      result.parts.push_back(part);
    }
  return result;
}

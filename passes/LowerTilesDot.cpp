//===- LowerTilesDot.cpp - Register-blocked products of tiles -------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A product is computed one register block at a time. The accumulators are separate native vectors carried by the
/// contraction loop: as one large vector they would be spilled at every step. Each element of the left-hand side is
/// broadcast once and used for a whole row of the block, so that the loop is bound by FMAs and not by loads.
///
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "passes/AskedLines.h"
#include "passes/LowerTiles.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::cpu;

namespace {

/// Reads the vector of columns from `column` on, at step k of the contraction, of one panel of the right-hand side:
/// `kpack` contracted elements for each column.
using PanelReader = function_ref<Value(OpBuilder &, Value k, Value column)>;

struct DotEmitter {
  Location loc;
  RegisterBlock block;
  int64_t kpack;
  Value lhs;
  /// What the task asks memory for on the way.
  AskedLines asked = {};

  VectorType vectorType(Value scratch) const {
    return VectorType::get({block.lanes}, cast<MemRefType>(scratch.getType()).getElementType());
  }
  FloatType operandType() const { return cast<FloatType>(cast<MemRefType>(lhs.getType()).getElementType()); }
  /// What a PanelReader reads.
  VectorType panelType() const { return VectorType::get({block.lanes * kpack}, operandType()); }

  /// The elements of step k of a row of the left-hand side, for every column: of type `sums` if kpack is 1, else of
  /// panelType().
  Value broadcastLhs(OpBuilder &b, Value row, Value k, VectorType sums) const {
    if (kpack == 1) {
      Value scalar = b.create<memref::LoadOp>(loc, lhs, ValueRange{row, k});
      return b.create<vector::BroadcastOp>(loc, sums, convertFloat(b, loc, scalar, sums.getElementType()));
    }
    // One integer as wide as the group: a plain broadcast on every target.
    auto group = VectorType::get({kpack}, operandType());
    auto unit = b.getIntegerType(kpack * operandType().getWidth());
    Value first = IndexBuilder{b, loc}.mul(k, kpack);
    Value elements = b.create<vector::LoadOp>(loc, group, lhs, ValueRange{row, first});
    Value bits = b.create<vector::BitCastOp>(loc, VectorType::get({1}, unit), elements);
    Value scalar = b.create<vector::ExtractOp>(loc, bits, 0);
    Value wide = b.create<vector::BroadcastOp>(loc, VectorType::get({block.lanes}, unit), scalar);
    return b.create<vector::BitCastOp>(loc, panelType(), wide);
  }

  /// sum + lhs * rhs.
  Value multiplyAdd(OpBuilder &b, Value lhs, Value rhs, Value sum) const {
    if (kpack != 1)
      return b.create<tile::GroupDotOp>(loc, sum.getType(), lhs, rhs, sum);
    rhs = convertFloat(b, loc, rhs, cast<VectorType>(sum.getType()).getElementType());
    return b.create<vector::FMAOp>(loc, lhs, rhs, sum);
  }

  /// One register block: rows from `row` on and the panel at `column` of the result, contracted over [0, depth) steps.
  void emitBlock(OpBuilder &b, Value row, Value column, Value depth, Value accumulator, Value result,
                 PanelReader panel) const {
    VectorType type = vectorType(result);
    IndexBuilder index{b, loc};
    SmallVector<Value> columns;
    for (int64_t v = 0; v < block.vectors; ++v)
      columns.push_back(index.add(column, index.constant(v * block.lanes)));
    SmallVector<Value> rows;
    for (int64_t r = 0; r < block.rows; ++r)
      rows.push_back(index.add(row, index.constant(r)));

    SmallVector<Value> sums;
    Value zero;
    if (!accumulator)
      zero = b.create<arith::ConstantOp>(loc, type, b.getZeroAttr(type));
    for (Value r : rows)
      for (Value c : columns)
        sums.push_back(accumulator ? b.create<vector::LoadOp>(loc, type, accumulator, ValueRange{r, c}).getResult()
                                   : zero);

    AskedLines::Steps steps;
    if (asked)
      steps = asked.beginSteps(b, loc, depth);
    auto loop =
        b.create<scf::ForOp>(loc, index.constant(0), depth, index.constant(1), sums,
                             [&](OpBuilder &b, Location loc, Value k, ValueRange carried) {
                               if (asked)
                                 asked.askInStep(b, loc, steps, k);
                               SmallVector<Value> next(carried);
                               SmallVector<Value> values;
                               for (int64_t v = 0; v < block.vectors; ++v)
                                 values.push_back(panel(b, k, b.create<arith::ConstantIndexOp>(loc, v * block.lanes)));
                               for (int64_t r = 0; r < block.rows; ++r) {
                                 Value wide = broadcastLhs(b, rows[r], k, type);
                                 for (int64_t v = 0; v < block.vectors; ++v) {
                                   Value &sum = next[r * block.vectors + v];
                                   sum = multiplyAdd(b, wide, values[v], sum);
                                 }
                               }
                               b.create<scf::YieldOp>(loc, next);
                             });
    for (int64_t r = 0; r < block.rows; ++r)
      for (int64_t v = 0; v < block.vectors; ++v)
        b.create<vector::StoreOp>(loc, loop.getResult(r * block.vectors + v), result, ValueRange{rows[r], columns[v]});
  }

  /// True if some element that `panel` reads is NaN or infinite: x * 0 is then not 0, and the sum not either.
  Value holdsNonFinite(OpBuilder &b, VectorType type, Value depth, PanelReader panel) {
    Value zero = b.create<arith::ConstantOp>(loc, type, b.getZeroAttr(type));
    SmallVector<Value> init(block.vectors, zero);
    IndexBuilder index{b, loc};
    VectorType zeroType = kpack == 1 ? type : panelType();
    Value nothing = b.create<arith::ConstantOp>(loc, zeroType, b.getZeroAttr(zeroType));
    auto loop = b.create<scf::ForOp>(loc, index.constant(0), depth, index.constant(1), init,
                                     [&](OpBuilder &b, Location loc, Value k, ValueRange sums) {
                                       SmallVector<Value> next;
                                       for (int64_t v = 0; v < block.vectors; ++v) {
                                         Value x = panel(b, k, b.create<arith::ConstantIndexOp>(loc, v * block.lanes));
                                         next.push_back(multiplyAdd(b, nothing, x, sums[v]));
                                       }
                                       b.create<scf::YieldOp>(loc, next);
                                     });
    Value sum = loop.getResult(0);
    for (int64_t v = 1; v < block.vectors; ++v)
      sum = b.create<arith::AddFOp>(loc, sum, loop.getResult(v));
    Value scalar = b.create<vector::ReductionOp>(loc, vector::CombiningKind::ADD, sum);
    return b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::UNO, scalar, scalar);
  }

  /// The panel at `column`, element by element of the left-hand side, zeros skipped. Contracts [0, depth) steps; the
  /// last group's elements that do not exist are zeros on the left. Of groups only what is NaN or infinite is added:
  /// the rest is multiplied as ever, in the order that instructions for groups have.
  void emitSkippingZeros(OpBuilder &b, Value numRows, Value column, Value depth, Value result, PanelReader panel) {
    IndexBuilder index{b, loc};
    buildLoop(b, loc, index.constant(0), numRows, 1, [&](OpBuilder &b, Value row) {
      buildLoop(b, loc, index.constant(0), depth, 1, [&](OpBuilder &b, Value k) {
        for (int64_t j = 0; j < kpack; ++j)
          emitUnlessZero(b, row, k, j, column, result, panel);
      });
    });
  }

  /// result[row] += lhs[row][k * kpack + j] * panel[k][j] on the panel's columns, unless that element is zero.
  void emitUnlessZero(OpBuilder &b, Value row, Value k, int64_t j, Value column, Value result, PanelReader panel) {
    VectorType type = vectorType(result);
    IndexBuilder index{b, loc};
    Value at = index.add(index.mul(k, kpack), index.constant(j));
    Value scalar = b.create<memref::LoadOp>(loc, lhs, ValueRange{row, at});
    scalar = convertFloat(b, loc, scalar, type.getElementType());
    Value zero = b.create<arith::ConstantOp>(loc, b.getZeroAttr(type.getElementType()));
    Value used = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::UNE, scalar, zero);
    SmallVector<int64_t> ofGroup;
    for (int64_t lane = 0; lane < block.lanes; ++lane)
      ofGroup.push_back(lane * kpack + j);
    b.create<scf::IfOp>(loc, used, [&](OpBuilder &b, Location loc) {
      Value wide = b.create<vector::BroadcastOp>(loc, type, scalar);
      for (int64_t v = 0; v < block.vectors; ++v) {
        Value offset = b.create<arith::ConstantIndexOp>(loc, v * block.lanes);
        Value x = panel(b, k, offset);
        if (kpack != 1)
          x = b.create<vector::ShuffleOp>(loc, x, x, ofGroup);
        Value to = b.create<arith::AddIOp>(loc, column, offset);
        Value old = b.create<vector::LoadOp>(loc, type, result, ValueRange{row, to});
        x = convertFloat(b, loc, x, type.getElementType());
        Value sum = b.create<vector::FMAOp>(loc, wide, x, old);
        if (kpack != 1) {
          Value nothing = b.create<arith::SubFOp>(loc, x, x); // NaN unless x is finite
          Value counts = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::UNO, nothing, nothing);
          sum = b.create<arith::SelectOp>(loc, counts, sum, old);
        }
        b.create<vector::StoreOp>(loc, sum, result, ValueRange{row, to});
      }
      b.create<scf::YieldOp>(loc);
    });
  }
};

/// Copies `groups` rows of a packed panel from the indices `from` and row `first` on to `to`, with zeros for what is
/// NaN or infinite.
void copyFinite(OpBuilder &b, Location loc, tile::PanelLayoutAttr layout, Value memory, ValueRange from, Value first,
                Value groups, Value to) {
  IndexBuilder index{b, loc};
  auto type = cast<MemRefType>(memory.getType());
  int64_t elements = layout.getLanes() * layout.getKpack();
  auto vectorType = VectorType::get({elements}, type.getElementType());
  Value zero = index.constant(0), zeros = b.create<arith::ConstantOp>(loc, b.getZeroAttr(vectorType));
  buildLoop(b, loc, zero, groups, 1, [&](OpBuilder &b, Value group) {
    for (int64_t c = 0; c < layout.getUnitWidth(); c += elements) {
      IndexBuilder index{b, loc};
      Value column = index.constant(c);
      SmallVector<Value> at(from);
      at.append({index.add(first, group), column});
      Value x = b.create<vector::LoadOp>(loc, vectorType, memory, at);
      Value wide = convertFloat(b, loc, x, b.getF32Type());
      Value nothing = b.create<arith::SubFOp>(loc, wide, wide); // NaN unless x is finite
      Value finite = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::ORD, nothing, nothing);
      x = b.create<arith::SelectOp>(loc, finite, x, zeros);
      b.create<vector::StoreOp>(loc, x, to, ValueRange{zero, group, column});
    }
  });
}

/// A block of fewer vectors a row, of twice the rows where the result has them and registers suffice, so that as many
/// sums as latency asks for are on their way.
RegisterBlock narrowBlock(const RegisterBlock &block, int64_t vectors, int64_t numRows) {
  bool isWide = vectors * 2 <= block.vectors && vectors == 1 && numRows % (2 * block.rows) == 0;
  return {isWide ? 2 * block.rows : block.rows, vectors, block.lanes};
}

} // namespace

void cpu::emitDot(OpBuilder &b, tile::DotOp op, const RegisterBlock &block, tile::PanelLayoutAttr layout,
                  const TileBuffer &lhs, const TileBuffer &rhs, Value accumulator, Value result, Value finite) {
  Location loc = op.getLoc();
  int64_t kpack = layout.getKpack();
  bool inTiles = layout.getDepth() != 0;
  DotEmitter emitter{loc, block, kpack, lhs.memory};
  IndexBuilder index{b, loc};
  auto lhsType = cast<tile::TileType>(op.getLhs().getType());
  Value zero = index.constant(0);
  Value numRows = lhs.rows ? lhs.rows : index.constant(lhsType.getShape()[0]);
  auto rhsType = cast<tile::TileType>(op.getRhs().getType());
  Value rhsRows = rhs.rows ? rhs.rows : index.constant(rhsType.getShape()[0]);
  VectorType type = emitter.panelType();
  emitter.asked = AskedLines::find(op);

  // q * k^T: a panel is a strip of keys, and the head dimension is contracted.
  if (op.getTransposed() && inTiles) {
    buildLoop(b, loc, zero, index.ceilDiv(rhsRows, block.columns()), 1, [&](OpBuilder &b, Value strip) {
      IndexBuilder index{b, loc};
      SmallVector<Value> at(rhs.indices);
      at.back() = index.add(at.back(), strip);
      at.append({zero, zero});
      emitTilePanel(b, loc, lhs.memory, numRows, rhs.memory, at, index.constant(lhsType.getShape()[1]), result,
                    index.mul(strip, block.columns()), block.columns(), /*accumulates=*/accumulator != nullptr);
    });
    return;
  }
  if (op.getTransposed()) {
    Value depth = index.constant(llvm::divideCeil(lhsType.getShape()[1], kpack));
    // Columns are computed up to the next whole vector.
    auto known = getConstantIntValue(rhsRows);
    bool isWhole = known && llvm::alignTo(*known, block.lanes) % block.columns() == 0;
    Value computed = index.mul(index.ceilDiv(rhsRows, block.lanes), block.lanes);
    Value strips = b.createOrFold<arith::DivUIOp>(loc, computed, index.constant(block.columns()));
    auto emitStrip = [&](OpBuilder &b, const DotEmitter &emitter, Value strip, Value first) {
      IndexBuilder index{b, loc};
      Value column = index.add(index.mul(strip, block.columns()), first);
      SmallVector<Value> at(rhs.indices);
      at.back() = index.add(at.back(), strip);
      auto panel = [&](OpBuilder &b, Value k, Value offset) -> Value {
        SmallVector<Value> element(at);
        IndexBuilder index{b, loc};
        element.append({k, index.mul(index.add(first, offset), kpack)});
        return b.create<vector::LoadOp>(loc, type, rhs.memory, element);
      };
      buildLoop(b, loc, zero, numRows, emitter.block.rows,
                [&](OpBuilder &b, Value row) { emitter.emitBlock(b, row, column, depth, accumulator, result, panel); });
    };
    buildLoop(b, loc, zero, strips, 1,
              [&](OpBuilder &b, Value strip) { emitStrip(b, emitter, strip, IndexBuilder{b, loc}.constant(0)); });
    if (!isWhole) {
      // What is left of the last strip: two vectors of columns at a time, for each broadcast to serve twice, and one.
      Value rest = b.create<arith::SubIOp>(loc, computed, index.mul(strips, block.columns()));
      Value done = zero;
      for (int64_t vectors : {2, 1}) {
        if (vectors >= block.vectors)
          continue;
        DotEmitter narrow = emitter;
        narrow.block = narrowBlock(block, vectors, cast<MemRefType>(result.getType()).getDimSize(0));
        int64_t columns = vectors * block.lanes;
        Value end = index.mul(b.createOrFold<arith::DivUIOp>(loc, rest, index.constant(columns)), columns);
        buildLoop(b, loc, done, end, columns, [&](OpBuilder &b, Value first) { emitStrip(b, narrow, strips, first); });
        done = end;
      }
    }
    return;
  }

  // p * v: a panel is a group of the value's columns, and keys are contracted.
  if (inTiles)
    clearBeyondVector(b, loc, lhs.memory, numRows, rhsRows, layout);
  Value depth = index.ceilDiv(rhsRows, kpack);
  int64_t panels = llvm::divideCeil(rhsType.getShape()[1], block.columns());
  for (int64_t p = 0; p < panels; ++p) {
    Value column = index.constant(p * block.columns());
    int64_t columns = std::min(block.columns(), rhsType.getShape()[1] - p * block.columns());
    // What pads the last panel is not multiplied: with 80 columns of 16 lanes, vectors 3 + 2 and not 3 + 3.
    emitter.block.vectors = llvm::divideCeil(columns, block.lanes);
    SmallVector<Value> at(rhs.indices);
    Value first = at.pop_back_val();
    if (kpack != 1)
      first = b.create<arith::DivUIOp>(loc, first, index.constant(kpack));
    at.push_back(index.constant(p));
    // The panel that starts at row `first` of `memory`.
    auto readPanel = [&](OpBuilder &b, Value memory, ValueRange at, Value first, Value k, Value column) -> Value {
      SmallVector<Value> element(at);
      IndexBuilder index{b, loc};
      auto [row, position] = placeInPanel(b, loc, layout, index.add(first, k), index.mul(column, kpack));
      element.append({row, position});
      return b.create<vector::LoadOp>(loc, type, memory, element);
    };
    auto panel = [&](OpBuilder &b, Value k, Value column) { return readPanel(b, rhs.memory, at, first, k, column); };
    auto emitFast = [&](OpBuilder &b, Value memory, ValueRange at, Value first) {
      if (inTiles) {
        SmallVector<Value> start(at);
        start.append({first, zero});
        return emitTilePanel(b, loc, lhs.memory, numRows, memory, start, rhsRows, result, column, columns,
                             /*accumulates=*/accumulator != nullptr);
      }
      auto panel = [&](OpBuilder &b, Value k, Value column) { return readPanel(b, memory, at, first, k, column); };
      buildLoop(b, loc, zero, numRows, block.rows,
                [&](OpBuilder &b, Value row) { emitter.emitBlock(b, row, column, depth, accumulator, result, panel); });
    };
    // Zero times NaN is NaN, so the product as it stands would let a masked value through. That needs a NaN or an
    // infinity among the values, which one pass over them excludes for a 24th of the product's cost.
    if (op.getSkipZeros() && accumulator == result) {
      Value careful = emitter.holdsNonFinite(b, emitter.vectorType(result), depth, panel);
      b.create<scf::IfOp>(
          loc, careful,
          [&](OpBuilder &b, Location loc) {
            if (finite) {
              IndexBuilder index{b, loc};
              int64_t granule = layout.getContractionGranule();
              Value groups = index.mul(index.ceilDiv(rhsRows, granule), granule / kpack);
              copyFinite(b, loc, layout, rhs.memory, at, first, groups, finite);
              emitFast(b, finite, zero, zero);
            }
            emitter.emitSkippingZeros(b, numRows, column, depth, result, panel);
            b.create<scf::YieldOp>(loc);
          },
          [&](OpBuilder &b, Location loc) {
            emitFast(b, rhs.memory, at, first);
            b.create<scf::YieldOp>(loc);
          });
    } else {
      emitFast(b, rhs.memory, at, first);
    }
  }
}

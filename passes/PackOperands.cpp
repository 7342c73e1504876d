//===- PackOperands.cpp - pack-operands -----------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "passes/LowerTiles.h"
#include "passes/Passes.h"
#include "passes/TaskLoops.h"

namespace flashc {
#define GEN_PASS_DEF_PACKOPERANDS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// A tile seen from the memory that a chain of unit-step subviews starts at: `root[offsets]`, tile rows along `rowDim`
/// and columns along the last dimension.
struct Origin {
  Value root;
  SmallVector<Value> offsets;
  int64_t rowDim;
};

/// Follows a load's subviews up to memory from outside `loop`.
FailureOr<Origin> findOrigin(OpBuilder &b, tile::LoadOp load, scf::ForallOp loop) {
  Location loc = load.getLoc();
  Value memory = load.getSource();
  SmallVector<Value> offsets(load.getOffsets());
  int64_t rank = offsets.size();
  // Which dimensions of `memory` the tile's rows and columns run along.
  int64_t rowDim = rank - 2, columnDim = rank - 1;
  while (!memory.getParentRegion()->isProperAncestor(&loop.getRegion())) {
    auto view = memory.getDefiningOp<memref::SubViewOp>();
    if (!view || !view.hasUnitStride())
      return failure();
    llvm::SmallBitVector dropped = view.getDroppedDims();
    SmallVector<Value> outer;
    int64_t inner = 0, outerRow = -1, outerColumn = -1;
    for (auto [d, offset] : llvm::enumerate(view.getMixedOffsets())) {
      Value base = getValueOrCreateConstantIndexOp(b, loc, offset);
      if (dropped.test(d)) {
        outer.push_back(base);
        continue;
      }
      if (inner == rowDim)
        outerRow = d;
      if (inner == columnDim)
        outerColumn = d;
      Value more = offsets[inner++];
      if (isConstantIntValue(more, 0))
        outer.push_back(base);
      else if (isConstantIntValue(base, 0))
        outer.push_back(more);
      else
        outer.push_back(b.create<arith::AddIOp>(loc, base, more));
    }
    offsets = outer;
    rowDim = outerRow;
    columnDim = outerColumn;
    memory = view.getSource();
  }
  int64_t rootRank = cast<MemRefType>(memory.getType()).getRank();
  if (rowDim != rootRank - 2 || columnDim != rootRank - 1 || !isConstantIntValue(offsets.back(), 0))
    return failure();
  return Origin{memory, offsets, rowDim};
}

struct PackOperands : flashc::impl::PackOperandsBase<PackOperands> {
  using PackOperandsBase::PackOperandsBase;

  void runOnOperation() override {
    for (scf::ForallOp loop : getTaskLoops(getOperation()))
      packLoop(loop);
  }

private:
  /// One operand's packed memory, by its source; it is packed transposed or not.
  struct PackedOperand {
    Value source;
    bool transposed;
    Value memory;
    tile::PanelLayoutAttr layout;
  };
  using Packed = SmallVector<PackedOperand>;

  void packLoop(scf::ForallOp loop) {
    SmallVector<tile::LoadOp> loads;
    loop.walk([&](tile::LoadOp load) {
      auto type = cast<tile::TileType>(load.getResult().getType());
      if (isa_and_nonnull<tile::PanelLayoutAttr>(type.getLayout()) && !load.getValid().empty())
        loads.push_back(load);
    });
    // All packing of a loop happens in one parallel loop before it, in strips of one width.
    int64_t strip = 0;
    for (tile::LoadOp load : loads)
      if (cpu::isReadTransposed(load))
        strip = layoutOf(load).getWidth();
    if (!strip)
      return;
    Packed packed;
    for (tile::LoadOp load : loads)
      packLoad(load, loop, strip, packed);
    if (!packed.empty())
      emitPackingLoop(loop, strip, packed);
  }

  static tile::PanelLayoutAttr layoutOf(tile::LoadOp load) {
    return cast<tile::PanelLayoutAttr>(cast<tile::TileType>(load.getResult().getType()).getLayout());
  }

  void packLoad(tile::LoadOp load, scf::ForallOp loop, int64_t strip, Packed &packed) {
    OpBuilder b(load);
    Location loc = load.getLoc();
    FailureOr<Origin> origin = findOrigin(b, load, loop);
    if (failed(origin))
      return;
    auto rootType = cast<MemRefType>(origin->root.getType());
    auto tileType = cast<tile::TileType>(load.getResult().getType());
    int64_t columns = tileType.getShape()[1];
    if (rootType.getShape().back() != columns)
      return;
    bool transposed = cpu::isReadTransposed(load);
    tile::PanelLayoutAttr layout = layoutOf(load);
    int64_t width = layout.getWidth(), kpack = layout.getKpack(), unit = layout.getUnitWidth();
    if (strip % layout.getContractionGranule() != 0)
      return;

    auto *known = llvm::find_if(packed, [&](PackedOperand &p) {
      return p.source == origin->root && p.transposed == transposed && p.layout == layout;
    });
    Value memory = known == packed.end() ? Value() : known->memory;
    if (!memory) {
      OpBuilder b(loop);
      SmallVector<int64_t> shape;
      SmallVector<Value> sizes;
      auto add = [&](OpFoldResult size) {
        if (auto constant = getConstantIntValue(size)) {
          shape.push_back(*constant);
        } else {
          shape.push_back(ShapedType::kDynamic);
          sizes.push_back(getValueOrCreateConstantIndexOp(b, loc, size));
        }
      };
      for (int64_t d = 0; d < origin->rowDim; ++d)
        add(memref::getMixedSize(b, loc, origin->root, d));
      OpFoldResult strips = numStrips(b, loc, origin->root, origin->rowDim, strip);
      if (transposed) {
        add(strips);
        shape.append({layout.getNumGroups(columns), unit});
      } else {
        shape.push_back(llvm::divideCeil(columns, width));
        if (auto constant = getConstantIntValue(strips))
          add(b.getIndexAttr(*constant * (strip / kpack)));
        else
          add(b.create<arith::MulIOp>(loc, cast<Value>(strips), b.create<arith::ConstantIndexOp>(loc, strip / kpack))
                  .getResult());
        shape.push_back(unit);
      }
      auto type = MemRefType::get(shape, tileType.getElementType());
      memory = b.create<memref::AllocOp>(loc, type, sizes, b.getI64IntegerAttr(64));
      packed.push_back({origin->root, transposed, memory, layout});
      ++numPacked;
    }
    SmallVector<Value> indices(ArrayRef(origin->offsets).drop_back());
    if (transposed)
      indices.back() = b.create<arith::DivUIOp>(loc, indices.back(), b.create<arith::ConstantIndexOp>(loc, strip));
    Value view = b.create<tile::ViewOp>(loc, load.getResult().getType(), memory, indices, load.getValid()[0]);
    load.replaceAllUsesWith(view);
    load.erase();
  }

  static OpFoldResult numStrips(OpBuilder &b, Location loc, Value root, int64_t rowDim, int64_t strip) {
    OpFoldResult rows = memref::getMixedSize(b, loc, root, rowDim);
    if (auto constant = getConstantIntValue(rows))
      return b.getIndexAttr(llvm::divideCeil(*constant, strip));
    Value up = b.create<arith::AddIOp>(loc, cast<Value>(rows), b.create<arith::ConstantIndexOp>(loc, strip - 1));
    return b.create<arith::DivUIOp>(loc, up, b.create<arith::ConstantIndexOp>(loc, strip)).getResult();
  }

  void emitPackingLoop(scf::ForallOp loop, int64_t strip, Packed &packed) {
    for (auto [root, transposed, memory, layout] : packed) {
      OpBuilder b(loop);
      Location loc = loop.getLoc();
      auto rootType = cast<MemRefType>(root.getType());
      int64_t rowDim = rootType.getRank() - 2;
      SmallVector<OpFoldResult> bounds;
      for (int64_t d = 0; d < rowDim; ++d)
        bounds.push_back(memref::getMixedSize(b, loc, root, d));
      bounds.push_back(numStrips(b, loc, root, rowDim, strip));
      Value length = getValueOrCreateConstantIndexOp(b, loc, memref::getMixedSize(b, loc, root, rowDim));
      auto build = [&, root = root, memory = memory, transposed = transposed,
                    layout = layout](OpBuilder &b, Location loc, ValueRange ivs) {
        Value width = b.create<arith::ConstantIndexOp>(loc, strip);
        Value zero = b.create<arith::ConstantIndexOp>(loc, 0);
        Value first = b.create<arith::MulIOp>(loc, ivs.back(), width);
        Value rest = b.create<arith::SubIOp>(loc, length, first);
        Value valid = b.create<arith::MinSIOp>(loc, rest, width);
        SmallVector<Value> offsets(ivs.drop_back());
        offsets.append({first, zero});
        SmallVector<Value> indices(ivs.drop_back());
        indices.push_back(transposed ? ivs.back() : first);
        b.create<tile::PackOp>(loc, root, offsets, valid, memory, indices, transposed ? b.getUnitAttr() : UnitAttr(),
                               layout);
        b.create<scf::InParallelOp>(loc);
      };
      b.create<scf::ForallOp>(loc, bounds, ValueRange{}, /*mapping=*/std::nullopt, build);
    }
  }
};

} // namespace

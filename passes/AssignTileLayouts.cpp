//===- AssignTileLayouts.cpp - assign-tile-layouts ------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "passes/Passes.h"

namespace flashc {
#define GEN_PASS_DEF_ASSIGNTILELAYOUTS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// How many vectors of a register block lie side by side: as many as leave registers for a column of the right-hand
/// side and a broadcast, spread evenly over the tile's columns so that the last block is not nearly empty.
int64_t vectorsFor(int64_t columns, int64_t lanes, int64_t rows, int64_t registers) {
  int64_t most = 1;
  while ((most + 1) * rows + (most + 1) + 1 <= registers)
    ++most;
  int64_t vectors = llvm::divideCeil(columns, lanes);
  return llvm::divideCeil(vectors, llvm::divideCeil(vectors, most));
}

struct AssignTileLayouts : flashc::impl::AssignTileLayoutsBase<AssignTileLayouts> {
  using AssignTileLayoutsBase::AssignTileLayoutsBase;

  void runOnOperation() override {
    if (vectorBytes < 8 || !llvm::isPowerOf2_64(vectorBytes)) {
      getOperation()->emitError() << "expected vector-bytes to be a power of two of at least 8, got "
                                  << vectorBytes.getValue();
      return signalPassFailure();
    }
    if (vectorRegisters < blockRows + 2 || blockRows < 1) {
      getOperation()->emitError() << "expected at least " << blockRows + 2 << " vector registers for blocks of "
                                  << blockRows.getValue() << " rows, got " << vectorRegisters.getValue();
      return signalPassFailure();
    }
    getOperation()->walk([](tile::LoadOp load) { splitByUse(load); });
    inTiles.clear();
    if (matrixTiles)
      findMatrixProducts();
    getOperation()->walk([&](Operation *op) {
      for (Value result : op->getResults())
        assign(result);
      for (Region &region : op->getRegions())
        for (Block &block : region)
          for (Value argument : block.getArguments())
            assign(argument);
    });
    func::FuncOp func = getOperation();
    if (func.isExternal())
      return;
    Block &entry = func.getBody().front();
    func.setFunctionType(FunctionType::get(&getContext(), entry.getArgumentTypes(),
                                           func.getBody().back().getTerminator()->getOperandTypes()));
  }

private:
  /// How a tile is read: in rows, or in panels along its columns or (transposed) its rows.
  enum class Use { Rows, Panels, TransposedPanels };

  static Use useOf(OpOperand &use) {
    auto dot = dyn_cast<tile::DotOp>(use.getOwner());
    if (!dot || use.getOperandNumber() != 1)
      return Use::Rows;
    return dot.getTransposed() ? Use::TransposedPanels : Use::Panels;
  }

  /// A tile has one layout. Where keys and values are the same memory, one load serves both products: each gets its
  /// own.
  static void splitByUse(tile::LoadOp load) {
    if (load->use_empty())
      return;
    Use kept = useOf(*load->use_begin());
    OpBuilder b(load);
    for (Use kind : {Use::Rows, Use::Panels, Use::TransposedPanels}) {
      auto isOfKind = [&](OpOperand &use) { return useOf(use) == kind; };
      if (kind != kept && llvm::any_of(load->getUses(), isOfKind))
        load.getResult().replaceUsesWithIf(b.clone(*load)->getResult(0), isOfKind);
    }
  }

  /// The outermost parallel loop around `op`, which holds one attention; the function where there is none.
  Operation *regionOf(Operation *op) {
    Operation *outermost = getOperation();
    for (Operation *at = op; at && at != getOperation(); at = at->getParentOp())
      if (isa<scf::ForallOp>(at))
        outermost = at;
    return outermost;
  }

  /// Finds the loops whose products are all of bf16 into f32, and none read in place: what a matrix unit's tiles can
  /// do.
  void findMatrixProducts() {
    llvm::SmallDenseSet<Operation *> others;
    getOperation()->walk([&](tile::DotOp dot) {
      auto element = [](Value value) { return cast<tile::TileType>(value.getType()).getElementType(); };
      auto load = dot.getRhs().getDefiningOp<tile::LoadOp>();
      bool fits = element(dot.getLhs()).isBF16() && element(dot.getRhs()).isBF16() &&
                  element(dot.getResult()).isF32() && !(load && load.getStreamed());
      (fits ? inTiles : others).insert(regionOf(dot));
    });
    for (Operation *loop : others)
      inTiles.erase(loop);
  }

  bool usesMatrixTiles(Value value) {
    return !inTiles.empty() && inTiles.contains(regionOf(value.getParentBlock()->getParentOp()));
  }

  /// Blocks of 2 x 2 tiles of 16 rows of 64 bytes. Rows of sums are worked on in four vectors at a time where they
  /// are as wide, for the latency of what is done to them.
  Attribute tileLayout(bool isPanels, int64_t columns) {
    if (isPanels)
      return tile::PanelLayoutAttr::get(&getContext(), /*width=*/32, /*lanes=*/16, /*kpack=*/2, /*depth=*/32);
    return tile::RegisterLayoutAttr::get(&getContext(), /*rows=*/32, /*vectors=*/columns % 64 == 0 ? 4 : 2,
                                         /*lanes=*/16, /*height=*/16);
  }

  /// The loops whose products are done in a matrix unit's tiles.
  llvm::SmallDenseSet<Operation *> inTiles;

  void assign(Value value) {
    auto type = dyn_cast<tile::TileType>(value.getType());
    if (!type || type.getShape().size() != 2 || type.getLayout())
      return;
    // The right-hand side of a product is read in panels, everything else in rows. Operands that are narrower than
    // what they are accumulated in are read in as many columns as a vector of accumulators has; as many of them as fill
    // an accumulator's lane go into one step.
    tile::DotOp product;
    int64_t bits = type.getElementType().getIntOrFloatBitWidth(), laneBits = bits;
    for (OpOperand &use : value.getUses())
      if (auto dot = dyn_cast<tile::DotOp>(use.getOwner()); dot && use.getOperandNumber() < 2) {
        laneBits = cast<tile::TileType>(dot.getResult().getType()).getElementType().getIntOrFloatBitWidth();
        if (use.getOperandNumber() == 1)
          product = dot;
      }
    int64_t lanes = std::max<int64_t>(1, vectorBytes * 8 / laneBits);
    int64_t columns = type.getShape()[product && product.getTransposed() ? 0 : 1];
    int64_t vectors = vectorsFor(columns, lanes, blockRows, vectorRegisters);
    Attribute layout;
    auto load = value.getDefiningOp<tile::LoadOp>();
    if (usesMatrixTiles(value))
      layout = tileLayout(/*isPanels=*/product != nullptr, columns);
    else if (product && load && load.getStreamed())
      layout = tile::InPlaceLayoutAttr::get(&getContext(), lanes);
    else if (product)
      layout = tile::PanelLayoutAttr::get(&getContext(), vectors * lanes, lanes, laneBits / bits, /*depth=*/0);
    else
      layout = tile::RegisterLayoutAttr::get(&getContext(), blockRows, vectors, lanes, /*height=*/1);
    value.setType(type.withLayout(layout));
    ++numAssigned;
  }
};

} // namespace

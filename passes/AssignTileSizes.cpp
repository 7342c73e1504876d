//===- AssignTileSizes.cpp - Choose the tile sizes of each attention -----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "passes/ChooseTileSizes.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace flashc {
#define GEN_PASS_DEF_ASSIGNTILESIZES
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

/// The most elements that one tile may have.
static constexpr int64_t kLargestTile = CpuCostModel::largestTile;

namespace {
struct AssignTileSizes : public flashc::impl::AssignTileSizesBase<AssignTileSizes> {
  using AssignTileSizesBase::AssignTileSizesBase;

  void runOnOperation() override {
    WalkResult result = getOperation().walk([&](attn::SdpaOp op) {
      if (op.getTf32())
        return WalkResult(op.emitOpError("asks for products in tf32, which no CPU has; expected a target of NVIDIA's "
                                         "(nvptx:CHIP, emulated:sm_80), or exact float32, without 'tf32'"));
      if (!op.getTiles() && failed(assign(op)))
        return WalkResult::interrupt();
      return WalkResult(checkSizes(op));
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }

private:
  LogicalResult assign(attn::SdpaOp op) {
    auto query = cast<ShapedType>(op.getQuery().getType()), key = cast<ShapedType>(op.getKey().getType()),
         value = cast<ShapedType>(op.getValue().getType());
    FloatType compute = op.getComputeType();
    auto length = [](ShapedType shaped) { return shaped.isDynamicDim(2) ? int64_t(-1) : shaped.getDimSize(2); };

    CpuCapabilities cpu;
    cpu.vectorBytes = vectorBytes;
    cpu.vectorRegisters = vectorRegisters;
    cpu.l1Bytes = l1Bytes;
    cpu.amxBf16 = matrixTiles;
    AttentionShape shape;
    shape.headDim = query.getDimSize(3);
    shape.valueHeadDim = value.getDimSize(3);
    shape.queries = length(query);
    shape.keys = length(key);
    shape.storedBytes = std::max<int64_t>(1, query.getElementTypeBitWidth() / 8);
    shape.computeBytes = shape.operandBytes = compute.getWidth() / 8;
    Type element = query.getElementType();
    Type operand =
        bf16Operands && element.isBF16() && key.getElementType() == element && value.getElementType() == element
            ? element
            : Type();
    if (operand)
      shape.operandBytes = operand.getIntOrFloatBitWidth() / 8;
    AttentionTiles sizes = chooseTileSizes(shape, cpu);
    if (queries)
      sizes.queries = queries;
    if (granule)
      sizes.granule = granule;
    // Of keys and granule, the one that is chosen here fits itself to the other.
    if (keys > 0 && !granule)
      sizes.keys = (keys + sizes.granule - 1) / sizes.granule * sizes.granule;
    else if (keys)
      sizes.keys = keys;
    else if (granule > 0)
      sizes.keys = std::max<int64_t>(sizes.keys / granule, 1) * granule;

    auto error = [&] { return op.emitOpError("cannot have these tiles: "); };
    attn::TilesAttr few;
    if (fewQueries != 0) {
      AttentionTiles chosen = chooseFewTileSizes(shape, cpu);
      if (fewQueries > 0)
        chosen.queries = fewQueries;
      if (split > 0) {
        // Tiles of whole granules that divide what is asked for.
        chosen.split = (split + chosen.granule - 1) / chosen.granule * chosen.granule;
        while (chosen.split % chosen.keys != 0)
          chosen.keys -= chosen.granule;
      }
      // Rows that are read where they lie are read in whole vectors.
      bool pairs = std::min(shape.headDim, shape.valueHeadDim) * 2 >= vectorBytes;
      few = attn::TilesAttr::getChecked(error, &getContext(), chosen.queries, chosen.keys, chosen.granule,
                                        Type(compute), pairs ? operand : Type(), chosen.split, Attribute());
      if (!few)
        return failure();
    }
    auto tiles = attn::TilesAttr::getChecked(error, &getContext(), sizes.queries, sizes.keys, sizes.granule,
                                             Type(compute), operand, /*split=*/int64_t(0), Attribute(few));
    if (!tiles)
      return failure();
    op.setTilesAttr(tiles);
    ++numAssigned;
    return success();
  }

  /// Tiles live near the arithmetic, in a core's caches or a multiprocessor's memory; nothing reasonable comes near the
  /// limit.
  LogicalResult checkSizes(attn::SdpaOp op) {
    attn::TilesAttr tiles = *op.getTiles();
    auto columns = [](Value memory) { return cast<ShapedType>(memory.getType()).getDimSize(3); };
    for (auto [name, size] : {std::pair<StringRef, int64_t>{"keys", tiles.getKeys()},
                              {"head dimension of the keys", columns(op.getKey())},
                              {"head dimension of the values", columns(op.getValue())}})
      if (tiles.getQueries() > kLargestTile / size)
        return op.emitOpError("expected tiles of at most ") << kLargestTile << " elements, got " << tiles.getQueries()
                                                            << " queries x " << size << " (" << name << ")";
    return success();
  }
};
} // namespace

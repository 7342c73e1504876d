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

namespace {
struct AssignTileSizes : public flashc::impl::AssignTileSizesBase<AssignTileSizes> {
  using AssignTileSizesBase::AssignTileSizesBase;

  void runOnOperation() override {
    WalkResult result = getOperation().walk([&](attn::SdpaOp op) {
      if (op.getTiles())
        return WalkResult::advance();
      return WalkResult(assign(op));
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }

private:
  /// The type that scores are computed in: what the option says, else f64 for f64 and f32 for the rest.
  FailureOr<Type> computeType(attn::SdpaOp op) {
    Builder builder(&getContext());
    Type element = getElementTypeOrSelf(op.getQuery().getType());
    Type type = element.isF64() ? builder.getF64Type() : builder.getF32Type();
    if (compute.empty())
      return type;
    if (compute != "f32" && compute != "f64")
      return op.emitOpError("expected to be computed in f32 or f64, got '") << compute << "'";
    Type asked = compute == "f64" ? builder.getF64Type() : builder.getF32Type();
    if (asked.getIntOrFloatBitWidth() < element.getIntOrFloatBitWidth())
      return op.emitOpError("has elements of type ") << element << ", which " << asked << " cannot hold";
    return asked;
  }

  LogicalResult assign(attn::SdpaOp op) {
    FailureOr<Type> type = computeType(op);
    if (failed(type))
      return failure();
    auto query = cast<ShapedType>(op.getQuery().getType()), value = cast<ShapedType>(op.getValue().getType());
    auto key = cast<ShapedType>(op.getKey().getType());
    auto length = [](ShapedType shaped) { return shaped.isDynamicDim(2) ? -1 : shaped.getDimSize(2); };
    if (query.isDynamicDim(3) || value.isDynamicDim(3))
      return op.emitOpError("expected static head dimensions, got query of type ")
             << query << " and value of type " << value;

    CpuCapabilities cpu;
    cpu.vectorBytes = vectorBytes;
    cpu.vectorRegisters = vectorRegisters;
    cpu.l1Bytes = l1Bytes;
    TiledProblem problem;
    problem.headDim = query.getDimSize(3);
    problem.valueHeadDim = value.getDimSize(3);
    problem.queryLength = length(query);
    problem.keyLength = length(key);
    problem.computeBytes = type->getIntOrFloatBitWidth() / 8;
    TileSizes sizes = chooseTileSizes(problem, cpu);
    if (queries)
      sizes.queries = queries;
    if (granule)
      sizes.granule = granule;
    if (keys)
      sizes.keys = keys;
    else if (granule && granule > 0)
      sizes.keys = std::max<int64_t>(sizes.keys / granule, 1) * granule;

    auto tiles = attn::TilesAttr::getChecked([&] { return op.emitOpError("cannot have these tiles: "); }, &getContext(),
                                             sizes.queries, sizes.keys, sizes.granule, *type);
    if (!tiles)
      return failure();
    op.setTilesAttr(tiles);
    ++numAssigned;
    return success();
  }
};
} // namespace

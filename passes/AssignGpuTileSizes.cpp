//===- AssignGpuTileSizes.cpp - assign-gpu-tile-sizes ---------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "passes/GpuUnits.h"
#include "passes/Passes.h"
#include "runtime/GpuTilePlan.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace flashc {
#define GEN_PASS_DEF_ASSIGNGPUTILESIZES
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

static ScoreTraits readTraits(attn::SdpaOp op) {
  ScoreTraits scores;
  scores.hasMask = !op.getMaskList().empty();
  scores.hasBias = static_cast<bool>(op.getBias());
  scores.hasScore = !op.getScore().empty();
  scores.hasSoftcap = op.getSoftcap().has_value();
  // What is said of an entry of the batch is one number; what is said of keys, or pairs, has more dimensions.
  OperandRange operands = op.getMaskOperands();
  for (Attribute attribute : op.getMaskList()) {
    const unsigned count = cast<attn::MaskInterface>(attribute).getNumOperands();
    const bool reads = llvm::any_of(operands.take_front(count), [](Value operand) {
      auto type = dyn_cast<ShapedType>(operand.getType());
      return type && type.getRank() > 1;
    });
    scores.readsKeysOften |= reads && scores.readsKeys;
    scores.readsKeys |= reads;
    operands = operands.drop_front(count);
  }
  scores.hasWindow = llvm::any_of(op.getMaskList(), [](Attribute mask) {
    auto window = dyn_cast<attn::WindowAttr>(mask);
    return window && window.getLeft() >= 0;
  });
  return scores;
}

namespace {
struct AssignGpuTileSizes : flashc::impl::AssignGpuTileSizesBase<AssignGpuTileSizes> {
  using AssignGpuTileSizesBase::AssignGpuTileSizesBase;

  void runOnOperation() override {
    FailureOr<MatrixUnit> unit = readMatrixUnit(getOperation(), matrixUnit);
    if (failed(unit) || failed(checkOptions()))
      return signalPassFailure();
    WalkResult result = getOperation().walk(
        [&](attn::SdpaOp op) { return op.getTiles() ? WalkResult::advance() : WalkResult(assign(op, *unit)); });
    if (result.wasInterrupted())
      signalPassFailure();
  }

private:
  LogicalResult checkOptions() {
    if (subgroupSize != 32 && subgroupSize != 64)
      return getOperation().emitError() << "expected subgroup-size to be 32 or 64, got " << subgroupSize.getValue();
    if (queries < 0 || keys < 0 || split < 0)
      return getOperation().emitError() << "expected tiles of 0 (choose) or more query rows, keys and keys of a block, "
                                        << "got " << queries.getValue() << ", " << keys.getValue() << " and "
                                        << split.getValue();
    return success();
  }

  LogicalResult assign(attn::SdpaOp op, MatrixUnit available) {
    auto typeOf = [](Value value) { return cast<ShapedType>(value.getType()); };
    ShapedType query = typeOf(op.getQuery()), key = typeOf(op.getKey()), value = typeOf(op.getValue());
    FloatType compute = op.getComputeType();
    Type element = query.getElementType();
    bool narrow = element.getIntOrFloatBitWidth() == 16 && available != MatrixUnit::None &&
                  key.getElementType() == element && value.getElementType() == element;
    if (op.getTf32() && !takesTf32(available))
      return op.emitOpError("asks for products in tf32, which need a matrix unit mma or wgmma, and the target's is ")
             << toString(available)
             << "; expected a target of NVIDIA's (nvptx:CHIP, emulated:sm_80), or exact float32, without 'tf32'";
    Type operand = narrow ? element : Type(compute);
    GpuTileProblem problem;
    problem.unit = narrow ? available : op.getTf32() ? MatrixUnit::Mma : MatrixUnit::None;
    problem.subgroupSize = subgroupSize;
    problem.sharedBytes = sharedBytes;
    problem.registers = registers;
    problem.headDim = query.getDimSize(3);
    problem.valueHeadDim = value.getDimSize(3);
    problem.operandBytes = operand.getIntOrFloatBitWidth() / 8;
    problem.sumBytes = compute.getWidth() / 8;
    problem.scores = readTraits(op);
    GpuTilePlan plan = planGpuTiles(problem, {queries, keys, split});
    if (failed(check(op, problem, plan, operand)))
      return failure();

    Type product = narrow ? element : op.getTf32() ? FloatType::getTF32(&getContext()) : Type();
    auto error = [&] { return op.emitOpError("cannot have these tiles: "); };
    auto tilesOf = [&](const BlockTiles &tiles, int64_t part, Attribute few) {
      return attn::TilesAttr::getChecked(error, &getContext(), tiles.queries, tiles.keys, tiles.keys, Type(compute),
                                         product, part, few);
    };
    auto few = tilesOf(plan.few, plan.split, Attribute());
    if (!few)
      return failure();
    auto tiles = tilesOf(plan.many, /*part=*/0, few);
    if (!tiles)
      return failure();
    op.setTilesAttr(tiles);
    return success();
  }

  LogicalResult check(attn::SdpaOp op, const GpuTileProblem &problem, const GpuTilePlan &plan, Type operand) {
    const BlockTiles &tiles = plan.many;
    if (tiles.queries % plan.rowUnit != 0)
      return op.emitOpError("expected tiles of query rows in multiples of ")
             << plan.rowUnit << ", what one product of the target has, got " << tiles.queries;
    // The smallest tiles are taken even where they need more.
    if ((queries || keys) && takesColumns(tiles.unit) && plan.registers > registers)
      return op.emitOpError("needs ") << plan.registers << " registers a thread for tiles of " << tiles.queries
                                      << " queries x " << tiles.keys << " keys of head dims " << problem.headDim
                                      << " and " << problem.valueHeadDim << ", and the target has "
                                      << registers.getValue() << "; expected smaller tiles";
    if (plan.sharedBytes > sharedBytes)
      return op.emitOpError("needs ") << plan.sharedBytes << " bytes of shared memory for tiles of " << tiles.queries
                                      << " queries x " << tiles.keys << " keys of head dims " << problem.headDim
                                      << " and " << problem.valueHeadDim << " in " << operand << ", and the target has "
                                      << sharedBytes.getValue()
                                      << (queries || keys
                                              ? "; smaller tiles, which are chosen where none are given, fit"
                                              : "; a smaller head dim, or narrower elements, fit");
    return success();
  }
};
} // namespace

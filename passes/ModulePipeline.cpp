//===- ModulePipeline.cpp - A whole module around its attentions ----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ModulePipeline.h"
#include "dialects/Attention/Attention.h"
#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/FuncBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/AllInterfaces.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/IR/TensorInferTypeOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "passes/BufferizeAttention.h"
#include "passes/Passes.h"

using namespace mlir;

namespace flashc {

static bufferization::OneShotBufferizationOptions bufferizationOptions() {
  bufferization::OneShotBufferizationOptions options;
  options.bufferizeFunctionBoundaries = true;
  options.setFunctionBoundaryTypeConversion(bufferization::LayoutMapOption::IdentityLayoutMap);
  options.bufferAlignment = 64;
  return options;
}

static bool everyFunction(func::FuncOp *) { return true; }

namespace {
/// A caller's arrays are only read: bufferization would otherwise write a result into the argument whose last use it
/// is. A returned argument becomes a copy, as a result has memory of its own.
struct KeepArguments : PassWrapper<KeepArguments, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(KeepArguments)

  StringRef getName() const override { return "KeepArguments"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<bufferization::BufferizationDialect>();
  }

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal())
      return;
    for (BlockArgument argument : function.getArguments())
      if (isa<TensorType>(argument.getType()))
        function.setArgAttr(argument.getArgNumber(), bufferization::BufferizationDialect::kWritableAttrName,
                            BoolAttr::get(&getContext(), false));
    function.walk([](func::ReturnOp op) {
      OpBuilder b(op);
      for (OpOperand &operand : op->getOpOperands()) {
        auto type = dyn_cast<RankedTensorType>(operand.get().getType());
        if (type && isa<BlockArgument>(operand.get()))
          operand.set(b.create<bufferization::AllocTensorOp>(op.getLoc(), type, ValueRange(), operand.get()));
      }
    });
  }
};

/// Memory of a function's own that it returns in another shape is allocated in that shape, so that it can become the
/// caller's: a result needs no copy then, which on a GPU nothing would make.
struct AllocateAsReturned : PassWrapper<AllocateAsReturned, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(AllocateAsReturned)

  StringRef getName() const override { return "AllocateAsReturned"; }

  void runOnOperation() override {
    getOperation().walk([](func::ReturnOp op) {
      for (OpOperand &operand : op->getOpOperands()) {
        // From the memory to what is returned of it.
        SmallVector<Operation *> reshapes;
        Value value = operand.get();
        while (value.getDefiningOp<memref::CollapseShapeOp>() || value.getDefiningOp<memref::ExpandShapeOp>()) {
          reshapes.push_back(value.getDefiningOp());
          value = reshapes.back()->getOperand(0);
        }
        for (Operation *reshape : llvm::reverse(reshapes))
          exchange(reshape);
      }
    });
  }

private:
  /// Where `reshape` is one of an allocation of static extents, makes the allocation one of the reshape.
  static void exchange(Operation *reshape) {
    auto allocation = reshape->getOperand(0).getDefiningOp<memref::AllocOp>();
    auto shape = cast<MemRefType>(reshape->getResult(0).getType());
    if (!allocation || !shape.hasStaticShape() || !shape.getLayout().isIdentity())
      return;
    OpBuilder b(allocation);
    Location loc = allocation.getLoc();
    Value memory = b.create<memref::AllocOp>(loc, shape, allocation.getAlignmentAttr());
    Value before;
    if (auto collapse = dyn_cast<memref::CollapseShapeOp>(reshape))
      before = b.create<memref::ExpandShapeOp>(loc, allocation.getType().getShape(), memory,
                                               collapse.getReassociationIndices());
    else
      before = b.create<memref::CollapseShapeOp>(loc, memory,
                                                 cast<memref::ExpandShapeOp>(reshape).getReassociationIndices());
    reshape->getResult(0).replaceAllUsesWith(memory);
    reshape->erase();
    allocation.replaceAllUsesWith(before);
    allocation.erase();
  }
};
} // namespace

void buildModulePipeline(OpPassManager &pm, const ModulePipelineOptions &options) {
  RaiseToAttentionOptions raise;
  raise.remarks = options.remarks;
  pm.addPass(createRaiseToAttention(raise));
  // What joins partial attentions is bufferized and vectorised as all linalg is.
  pm.addNestedPass<func::FuncOp>(createDecomposeMerge());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addNestedPass<func::FuncOp>(createFuseElementwise());
  pm.addPass(createCSEPass());

  pm.addNestedPass<func::FuncOp>(std::make_unique<KeepArguments>());
  // Results are written where they are returned: empty tensors that only stand for a destination disappear first.
  pm.addPass(bufferization::createEmptyTensorEliminationPass());
  pm.addPass(bufferization::createOneShotBufferizePass(bufferizationOptions()));
  pm.addNestedPass<func::FuncOp>(std::make_unique<AllocateAsReturned>());
  bufferization::BufferResultsToOutParamsOpts results;
  results.filterFn = everyFunction;
  results.hoistStaticAllocs = true;
  pm.addPass(bufferization::createBufferResultsToOutParamsPass(results));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());

  pm.addNestedPass<func::FuncOp>(createFoldTransposesIntoAttention());
  LowerLinalgToVectorOptions vectors;
  vectors.vectorBytes = options.cpu.vectorBytes;
  vectors.vectorRegisters = options.cpu.vectorRegisters;
  pm.addNestedPass<func::FuncOp>(createLowerLinalgToVector(vectors));
  pm.addPass(createApproximateMath());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void registerModulePipelineDialects(DialectRegistry &registry) {
  registry.insert<attn::AttentionDialect, bufferization::BufferizationDialect, linalg::LinalgDialect>();
  arith::registerBufferizableOpInterfaceExternalModels(registry);
  bufferization::func_ext::registerBufferizableOpInterfaceExternalModels(registry);
  cf::registerBufferizableOpInterfaceExternalModels(registry);
  linalg::registerAllDialectInterfaceImplementations(registry);
  scf::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerInferTypeOpInterfaceExternalModels(registry);
  registerAttentionBufferization(registry);
}

void registerModulePipeline() {
  PassPipelineRegistration<>("module-to-loops", "From a module on tensors to parallel loops around attn.sdpa",
                             [](OpPassManager &pm) { buildModulePipeline(pm, ModulePipelineOptions()); });
}

} // namespace flashc

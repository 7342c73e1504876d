//===- FuseElementwise.cpp - Few loops instead of many --------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "passes/Passes.h"

namespace flashc {
#define GEN_PASS_DEF_FUSEELEMENTWISE
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;

/// Whether an operation only moves or repeats its one input.
static bool isMovement(linalg::LinalgOp op) {
  if (op.getNumDpsInputs() != 1 || op.getNumDpsInits() != 1 || op.getNumReductionLoops() != 0)
    return false;
  return op.getBlock()->getTerminator()->getOperand(0) == op.getMatchingBlockArgument(op.getDpsInputOperand(0));
}

/// Computing an element anew costs little: nothing but a few operations of arith.
static bool isCheap(linalg::LinalgOp op) {
  return llvm::all_of(op.getBlock()->without_terminator(), [](Operation &inner) {
    return isa<arith::ArithDialect>(inner.getDialect()) && !isa<arith::DivFOp>(inner);
  });
}

/// Whether `operand` may be computed where it is read.
static bool mayFuse(OpOperand *operand) {
  auto producer = operand->get().getDefiningOp<linalg::LinalgOp>();
  auto consumer = dyn_cast<linalg::LinalgOp>(operand->getOwner());
  if (!producer || !consumer)
    return false;
  AffineMap read = consumer.getMatchingIndexingMap(operand);
  bool movement = isMovement(producer);
  AffineExpr last;
  if (movement) {
    AffineMap out = producer.getMatchingIndexingMap(producer.getDpsInitOperand(0));
    AffineMap in = producer.getMatchingIndexingMap(producer.getDpsInputOperand(0));
    if (!out.isPermutation())
      return false;
    AffineMap moved = in.compose(inversePermutation(out)).compose(read);
    last = moved.getNumResults() ? moved.getResults().back() : AffineExpr();
  }
  unsigned innermost = consumer.getNumLoops() - 1;
  if (linalg::isaContractionOpInterface(consumer)) {
    // A product may read its right side through a transpose or a broadcast if it then still reads along memory.
    auto dim = dyn_cast_or_null<AffineDimExpr>(last);
    if (!movement || !dim)
      return false;
    bool reduced = consumer.getIteratorTypesArray()[dim.getPosition()] == utils::IteratorType::reduction;
    bool outermost = consumer.getIndexingMapsArray().back().getResults().back() == last;
    return reduced || (outermost && operand->getOperandNumber() == 1);
  }
  if (movement)
    return !last || !last.isFunctionOfDim(innermost) || isa<AffineDimExpr>(last);
  bool repeated = read.getNumResults() < consumer.getNumLoops() || !read.isProjectedPermutation();
  if (producer.getNumDpsInputs() == 0)
    return isCheap(producer);
  return producer->hasOneUse() && (!repeated || isCheap(producer));
}

/// An index that a body computes from data is brought into the tensor's bounds: what an exporter asserts of it would
/// have to end the process.
static void clampReads(func::FuncOp function) {
  SmallVector<cf::AssertOp> asserts;
  function.walk([&](cf::AssertOp op) {
    if (op->getParentOfType<linalg::LinalgOp>())
      asserts.push_back(op);
  });
  for (cf::AssertOp op : asserts)
    op.erase();
  SmallVector<tensor::ExtractOp> reads;
  function.walk([&](tensor::ExtractOp op) {
    if (op->getParentOfType<linalg::LinalgOp>())
      reads.push_back(op);
  });
  for (tensor::ExtractOp op : reads) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    for (auto [number, index] : llvm::enumerate(op.getIndices())) {
      if (index.getDefiningOp<linalg::IndexOp>() || matchPattern(index, m_Constant()))
        continue;
      Value zero = builder.create<arith::ConstantIndexOp>(loc, 0);
      Value one = builder.create<arith::ConstantIndexOp>(loc, 1);
      Value size = builder.createOrFold<tensor::DimOp>(loc, op.getTensor(), number);
      Value top = builder.createOrFold<arith::SubIOp>(loc, size, one);
      Value low = builder.create<arith::MaxSIOp>(loc, index, zero);
      op.getIndicesMutable()[number].set(builder.create<arith::MinSIOp>(loc, low, top));
    }
  }
}

namespace {

struct FuseElementwise : flashc::impl::FuseElementwiseBase<FuseElementwise> {
  using FuseElementwiseBase::FuseElementwiseBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    MLIRContext *context = &getContext();
    clampReads(function);

    IRRewriter rewriter(context);
    SmallVector<linalg::SoftmaxOp> softmaxes;
    function.walk([&](linalg::SoftmaxOp op) { softmaxes.push_back(op); });
    for (linalg::SoftmaxOp op : softmaxes) {
      rewriter.setInsertionPoint(op);
      FailureOr<SmallVector<Value>> parts = op.decomposeOperation(rewriter);
      if (failed(parts))
        return signalPassFailure();
      rewriter.replaceOp(op, *parts);
    }

    RewritePatternSet first(context);
    linalg::populateLinalgNamedOpsGeneralizationPatterns(first);
    tensor::populateDecomposeTensorConcatPatterns(first);
    populateMathAlgebraicSimplificationPatterns(first);
    if (failed(applyPatternsAndFoldGreedily(function, std::move(first))))
      return signalPassFailure();

    RewritePatternSet fusion(context);
    linalg::populateElementwiseOpsFusionPatterns(fusion, mayFuse);
    linalg::populateInlineConstantOperandsPatterns(fusion);
    linalg::populateEraseUnusedOperandsAndResultsPatterns(fusion);
    linalg::GenericOp::getCanonicalizationPatterns(fusion, context);
    tensor::ExpandShapeOp::getCanonicalizationPatterns(fusion, context);
    tensor::CollapseShapeOp::getCanonicalizationPatterns(fusion, context);
    if (failed(applyPatternsAndFoldGreedily(function, std::move(fusion))))
      return signalPassFailure();
  }
};

} // namespace

//===- FoldTransposesIntoAttention.cpp - Read and write views -------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "passes/Passes.h"

namespace flashc {
#define GEN_PASS_DEF_FOLDTRANSPOSESINTOATTENTION
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

/// The buffer that a value is a view of.
static Value rootOf(Value value) {
  while (auto view = value.getDefiningOp<ViewLikeOpInterface>())
    value = view.getViewSource();
  return value;
}

/// An operation that only copies its input to its output with the dimensions in another order, and that order:
/// dimension d of the output is dimension order[d] of the input.
static std::optional<SmallVector<unsigned>> transposeOrder(Operation *op) {
  auto structured = dyn_cast<linalg::LinalgOp>(op);
  if (!structured || !structured.hasPureBufferSemantics() || structured.getNumDpsInputs() != 1 ||
      structured.getNumDpsInits() != 1 || structured.getNumReductionLoops() != 0)
    return std::nullopt;
  OpOperand *input = structured.getDpsInputOperand(0), *init = structured.getDpsInitOperand(0);
  AffineMap from = structured.getMatchingIndexingMap(input), to = structured.getMatchingIndexingMap(init);
  if (!from.isPermutation() || !to.isPermutation() || !isa<MemRefType>(input->get().getType()) ||
      getElementTypeOrSelf(input->get()) != getElementTypeOrSelf(init->get()) ||
      structured.getBlock()->getTerminator()->getOperand(0) != structured.getMatchingBlockArgument(input))
    return std::nullopt;
  AffineMap order = from.compose(inversePermutation(to));
  SmallVector<unsigned> inverse(order.getNumResults());
  for (auto [dim, result] : llvm::enumerate(order.getResults()))
    inverse[cast<AffineDimExpr>(result).getPosition()] = dim;
  return inverse;
}

/// Whether an operation strictly between `first` and `last`, in one block, touches `root`; `writesOnly` ignores reads.
static bool touchedBetween(Operation *first, Operation *last, Value root, bool writesOnly) {
  for (Operation *op = first->getNextNode(); op != last; op = op->getNextNode()) {
    if (!op)
      return true;
    if (isa<ViewLikeOpInterface>(op) || isMemoryEffectFree(op))
      continue;
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isa<BaseMemRefType>(operand.get().getType()) || rootOf(operand.get()) != root)
        continue;
      auto destination = dyn_cast<DestinationStyleOpInterface>(op);
      if (!writesOnly || !destination || destination.isDpsInit(&operand))
        return true;
    }
    // What an operation with a region does inside is not looked into.
    if (op->getNumRegions() != 0 && !isa<linalg::LinalgOp, attn::SdpaOp>(op))
      return true;
  }
  return false;
}

static Value transposed(OpBuilder &builder, Location loc, Value source, ArrayRef<unsigned> order) {
  AffineMap map = AffineMap::getPermutationMap(order, builder.getContext());
  return builder.create<memref::TransposeOp>(loc, source, AffineMapAttr::get(map));
}

namespace {

struct FoldTransposesIntoAttention : flashc::impl::FoldTransposesIntoAttentionBase<FoldTransposesIntoAttention> {
  using FoldTransposesIntoAttentionBase::FoldTransposesIntoAttentionBase;

  void runOnOperation() override {
    SmallVector<attn::SdpaOp> attentions;
    getOperation().walk([&](attn::SdpaOp op) { attentions.push_back(op); });
    for (attn::SdpaOp op : attentions) {
      for (unsigned number : {0, 1, 2})
        numFolded += foldInput(op, op->getOpOperand(number));
      numFolded += foldOutput(op);
    }
  }

private:
  bool foldInput(attn::SdpaOp op, OpOperand &operand);
  bool foldOutput(attn::SdpaOp op);
};

} // namespace

/// An operand that is an allocation which one transposing copy fills and nothing else uses becomes a view of its
/// source.
bool FoldTransposesIntoAttention::foldInput(attn::SdpaOp op, OpOperand &operand) {
  Value buffer = operand.get();
  // Between the two, dimensions of extent 1 may come in.
  auto expand = buffer.getDefiningOp<memref::ExpandShapeOp>();
  if (expand && expand->hasOneUse())
    buffer = expand.getSrc();
  else
    expand = nullptr;
  auto alloc = buffer.getDefiningOp<memref::AllocOp>();
  if (!alloc)
    return false;
  Operation *copy = nullptr;
  for (Operation *user : alloc->getUsers()) {
    if (user == op || user == expand)
      continue;
    if (copy)
      return false;
    copy = user;
  }
  auto order = copy ? transposeOrder(copy) : std::nullopt;
  if (!order || copy->getOperand(1) != alloc.getResult() || copy->getBlock() != op->getBlock() ||
      !copy->isBeforeInBlock(op))
    return false;
  Value source = copy->getOperand(0);
  if (touchedBetween(copy, op, rootOf(source), /*writesOnly=*/true))
    return false;
  OpBuilder builder(op);
  Value view = transposed(builder, copy->getLoc(), source, *order);
  if (expand) {
    FailureOr<MemRefType> type = memref::ExpandShapeOp::computeExpandedType(
        cast<MemRefType>(view.getType()), expand.getResultType().getShape(), expand.getReassociationIndices());
    if (failed(type)) {
      view.getDefiningOp()->erase();
      return false;
    }
    view = builder.create<memref::ExpandShapeOp>(
        expand.getLoc(), *type, view, expand.getReassociationIndices(),
        getMixedValues(expand.getStaticOutputShape(), expand.getOutputShape(), builder));
  }
  // The same buffer may be key and value.
  Value old = operand.get();
  old.replaceUsesWithIf(view, [&](OpOperand &use) { return use.getOwner() == op; });
  if (expand)
    expand->erase();
  copy->erase();
  alloc->erase();
  return true;
}

/// An output that one transposing copy reads, and nothing else, is written through a view of the copy's target.
bool FoldTransposesIntoAttention::foldOutput(attn::SdpaOp op) {
  auto alloc = op.getOut().getDefiningOp<memref::AllocOp>();
  if (!alloc)
    return false;
  Operation *copy = nullptr;
  for (Operation *user : alloc->getUsers()) {
    if (user == op)
      continue;
    if (copy)
      return false;
    copy = user;
  }
  auto order = copy ? transposeOrder(copy) : std::nullopt;
  if (!order || copy->getOperand(0) != alloc.getResult() || copy->getBlock() != op->getBlock() ||
      !op->isBeforeInBlock(copy))
    return false;
  Value target = copy->getOperand(1), root = rootOf(target);
  for (Value input : op->getOperands())
    if (isa<BaseMemRefType>(input.getType()) && rootOf(input) == root)
      return false;
  if (target != root || touchedBetween(op, copy, root, /*writesOnly=*/false))
    return false;
  if (auto other = target.getDefiningOp()) {
    auto targetAlloc = dyn_cast<memref::AllocOp>(other);
    if (!targetAlloc || targetAlloc->getNumOperands() != 0)
      return false;
    if (targetAlloc->getBlock() != op->getBlock())
      return false;
    if (op->isBeforeInBlock(targetAlloc))
      targetAlloc->moveBefore(op);
  }
  // Dimension d of the target is dimension order[d] of the output: the view turns that round.
  SmallVector<unsigned> inverse(order->size());
  for (auto [dim, from] : llvm::enumerate(*order))
    inverse[from] = dim;
  OpBuilder builder(op);
  Value view = transposed(builder, copy->getLoc(), target, inverse);
  op.getOutMutable().assign(view);
  copy->erase();
  alloc->erase();
  return true;
}

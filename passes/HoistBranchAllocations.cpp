//===- HoistBranchAllocations.cpp - Memory of branches, before them ------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace flashc {
#define GEN_PASS_DEF_HOISTBRANCHALLOCATIONS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;

namespace {
struct HoistBranchAllocations : public flashc::impl::HoistBranchAllocationsBase<HoistBranchAllocations> {
  void runOnOperation() override {
    if (getOperation().isExternal())
      return;
    for (scf::IfOp branch : llvm::make_early_inc_range(getOperation().front().getOps<scf::IfOp>()))
      for (Region *region : {&branch.getThenRegion(), &branch.getElseRegion()})
        if (!region->empty())
          for (auto alloc : llvm::make_early_inc_range(region->front().getOps<memref::AllocOp>()))
            hoist(alloc, branch, region == &branch.getThenRegion());
  }

private:
  /// Moves what computes `value` from the branch to before it; false if that has effects or regions.
  static bool moveBefore(Value value, scf::IfOp branch) {
    if (!branch->isAncestor(value.getParentRegion()->getParentOp()))
      return true;
    Operation *op = value.getDefiningOp();
    if (!op || op->getNumRegions() != 0 || !isMemoryEffectFree(op))
      return false;
    for (Value operand : op->getOperands())
      if (!moveBefore(operand, branch))
        return false;
    op->moveBefore(branch);
    return true;
  }

  void hoist(memref::AllocOp alloc, scf::IfOp branch, bool isThen) {
    for (Value size : alloc.getDynamicSizes())
      if (!moveBefore(size, branch))
        return;
    alloc->moveBefore(branch);
    ++numHoisted;
    if (alloc.getDynamicSizes().empty())
      return;
    // Without a way into the branch there is nothing to hold.
    OpBuilder b(alloc);
    Location loc = alloc.getLoc();
    Value none = b.create<arith::ConstantIndexOp>(loc, 0), size = alloc.getDynamicSizes()[0];
    Value kept =
        b.create<arith::SelectOp>(loc, branch.getCondition(), isThen ? size : none, isThen ? none : size).getResult();
    // What the branch knows of the memory's size stays as it was.
    for (Operation *user : llvm::make_early_inc_range(alloc->getUsers()))
      if (auto dim = dyn_cast<memref::DimOp>(user))
        if (std::optional<int64_t> index = dim.getConstantIndex(); index && alloc.getType().isDynamicDim(*index)) {
          dim.replaceAllUsesWith(alloc.getDynamicSizes()[alloc.getType().getDynamicDimIndex(*index)]);
          dim.erase();
        }
    alloc.getDynamicSizesMutable()[0].set(kept);
  }
};
} // namespace

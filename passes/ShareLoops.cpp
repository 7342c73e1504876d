//===- ShareLoops.cpp - Equal loops of a task become one function ----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/TaskPasses.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"

namespace flashc {
#define GEN_PASS_DEF_SHARELOOPS
#include "passes/TaskPasses.h.inc"
} // namespace flashc

using namespace mlir;

namespace {
/// What is repeated in a function rather than handed to it, so that it stays visible there.
bool isRebuilt(Operation *op) {
  return op && (matchPattern(op, m_Constant()) || isa<memref::GetGlobalOp, func::ConstantOp>(op));
}

/// Compares two loops, and finds what the second has in the place of each value that the first takes from outside.
class Comparison {
public:
  Comparison(scf::ForOp first, scf::ForOp second)
      : second(second), equal(areEqual(first.getOperation(), second.getOperation())) {}
  explicit operator bool() const { return equal; }

  /// What the first loop takes from outside, constants left out.
  ArrayRef<Value> taken() const { return captures.getArrayRef(); }
  Value counterpart(Value value) const { return map.lookup(value); }

private:
  bool areEqual(Operation *a, Operation *b) {
    if (a->getName() != b->getName() || a->getAttrDictionary() != b->getAttrDictionary() ||
        a->getResultTypes() != b->getResultTypes() || a->getNumOperands() != b->getNumOperands() ||
        a->getNumRegions() != b->getNumRegions() || a->getNumSuccessors() || b->getNumSuccessors())
      return false;
    for (auto [x, y] : llvm::zip_equal(a->getOperands(), b->getOperands()))
      if (!areEqual(x, y))
        return false;
    for (auto [x, y] : llvm::zip_equal(a->getRegions(), b->getRegions()))
      if (!areEqual(x, y))
        return false;
    map.map(a->getResults(), b->getResults());
    return true;
  }

  bool areEqual(Region &a, Region &b) {
    if (a.empty() || b.empty())
      return a.empty() && b.empty();
    if (!a.hasOneBlock() || !b.hasOneBlock() || a.front().getArgumentTypes() != b.front().getArgumentTypes() ||
        a.front().getOperations().size() != b.front().getOperations().size())
      return false;
    map.map(a.getArguments(), b.getArguments());
    for (auto [x, y] : llvm::zip_equal(a.front(), b.front()))
      if (!areEqual(&x, &y))
        return false;
    return true;
  }

  bool areEqual(Value x, Value y) {
    if (Value known = map.lookupOrNull(x))
      return known == y;
    if (x.getType() != y.getType() || second->isAncestor(y.getParentRegion()->getParentOp()))
      return false;
    map.map(x, y);
    if (!isRebuilt(x.getDefiningOp())) {
      captures.insert(x);
      return true;
    }
    Operation *other = y.getDefiningOp();
    return other && other->getName() == x.getDefiningOp()->getName() &&
           other->getAttrDictionary() == x.getDefiningOp()->getAttrDictionary();
  }

  scf::ForOp second;
  IRMapping map;
  llvm::SetVector<Value> captures;
  const bool equal;
};

struct ShareLoops : public flashc::impl::ShareLoopsBase<ShareLoops> {
  using ShareLoopsBase::ShareLoopsBase;

  void runOnOperation() override {
    for (auto func : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>()))
      share(func);
  }

private:
  struct Candidate {
    scf::ForOp loop;
    int64_t size;
  };

  /// Loops that are worth a function, outer ones before those inside them.
  SmallVector<Candidate> collect(func::FuncOp func) {
    SmallVector<Candidate> candidates;
    func.walk<WalkOrder::PreOrder>([&](scf::ForOp loop) {
      int64_t size = 0;
      // What a loop carries in registers, the call would carry through memory.
      bool canMove = loop.getNumResults() == 0;
      loop->walk([&](Operation *op) {
        ++size;
        canMove &= !isa<memref::AllocaOp, LLVM::AllocaOp>(op);
        // A task that uses a matrix unit's tiles configures them, and is known by what it does itself.
        if (auto intrinsic = dyn_cast<LLVM::CallIntrinsicOp>(op))
          canMove &= !intrinsic.getIntrin().starts_with("llvm.x86.t");
      });
      if (canMove && size >= leastOperations)
        candidates.push_back({loop, size});
    });
    return candidates;
  }

  void share(func::FuncOp func) {
    SmallVector<Candidate> candidates = collect(func);
    auto dropInside = [&](scf::ForOp loop) {
      for (Candidate &other : candidates)
        if (other.loop && loop->isAncestor(other.loop))
          other.loop = {};
    };
    unsigned number = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
      scf::ForOp first = candidates[i].loop;
      SmallVector<scf::ForOp> others;
      std::vector<Comparison> comparisons;
      for (size_t j = i + 1; first && j < candidates.size(); ++j) {
        scf::ForOp other = candidates[j].loop;
        if (!other || candidates[j].size != candidates[i].size)
          continue;
        if (Comparison comparison(first, other); comparison) {
          others.push_back(other);
          comparisons.push_back(std::move(comparison));
        }
      }
      if (others.empty())
        continue;
      dropInside(first);
      for (scf::ForOp other : others)
        dropInside(other);
      // Every comparison sees the same values of the first loop, in the same order.
      SmallVector<Value> taken(comparisons.front().taken());
      func::FuncOp shared = outline(func, first, taken, number++);
      for (auto [other, comparison] : llvm::zip_equal(others, comparisons))
        replace(other, shared, llvm::map_to_vector(taken, [&](Value value) { return comparison.counterpart(value); }));
      replace(first, shared, taken);
      numShared += others.size();
    }
  }

  static func::FuncOp outline(func::FuncOp func, scf::ForOp loop, ArrayRef<Value> taken, unsigned number) {
    OpBuilder b(func.getContext());
    b.setInsertionPointAfter(func);
    auto type = b.getFunctionType(TypeRange(ValueRange(taken)), {});
    auto shared = b.create<func::FuncOp>(loop.getLoc(), (func.getName() + "_shared" + Twine(number)).str(), type);
    shared.setPrivate();
    shared->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
    b.setInsertionPointToStart(shared.addEntryBlock());
    IRMapping map;
    map.map(taken, shared.getArguments());
    llvm::SetVector<Operation *> rebuilt;
    loop->walk([&](Operation *op) {
      for (Value operand : op->getOperands())
        if (Operation *def = operand.getDefiningOp(); isRebuilt(def) && !loop->isAncestor(def))
          rebuilt.insert(def);
    });
    for (Operation *op : rebuilt)
      b.clone(*op, map);
    b.clone(*loop, map);
    b.create<func::ReturnOp>(loop.getLoc());
    return shared;
  }

  static void replace(scf::ForOp loop, func::FuncOp shared, ArrayRef<Value> arguments) {
    OpBuilder b(loop);
    b.create<func::CallOp>(loop.getLoc(), shared, arguments);
    loop->erase();
  }
};
} // namespace

//===- LowerThreadsBarriers.cpp - barriers that order nothing -------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/LowerThreads.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace flashc;

namespace {

/// Bytes of memory that a thread reads or writes.
struct Access {
  /// The whole memory, null for any at all, and the bytes of it.
  Value root;
  int64_t begin = 0, end = std::numeric_limits<int64_t>::max();
  bool write = false;

  bool conflicts(const Access &other) const {
    if (!write && !other.write)
      return false;
    return !root || !other.root || (root == other.root && begin < other.end && other.begin < end);
  }
};

using Accesses = SmallVector<Access>;

/// What is reached from one end of a piece of code without meeting a barrier, and whether one gets through.
struct Reach {
  Accesses accesses;
  bool through = true;
};

/// The accesses between a block's barriers. Code is structured: loops that may have no turns, and branches that all
/// threads take alike where they hold a barrier.
class BarrierAnalysis {
public:
  explicit BarrierAnalysis(scf::ForallOp loop) : loop(loop) {
    loop.walk([&](tile::CopyAsyncOp copy) { copied.push_back(accessOf(copy.getDestination(), /*write=*/true)); });
  }

  /// Whether what comes before a barrier and what comes after it do not touch each other.
  bool isRedundant(gpu::BarrierOp barrier) {
    Accesses before, after;
    collect(barrier, /*forward=*/false, before);
    collect(barrier, /*forward=*/true, after);
    return llvm::none_of(
        before, [&](const Access &x) { return llvm::any_of(after, [&](const Access &y) { return x.conflicts(y); }); });
  }

private:
  static Access anywhere(bool write) {
    Access access;
    access.write = write;
    return access;
  }

  static Access accessOf(Value memory, bool write) {
    Access access{threads::findWholeMemory(memory)};
    access.write = write;
    while (auto alias = memory.getDefiningOp<ViewLikeOpInterface>()) {
      auto view = dyn_cast<memref::ViewOp>(*alias);
      std::optional<int64_t> shift = view ? getConstantIntValue(view.getByteShift()) : std::nullopt;
      if (shift && view.getType().hasStaticShape() && view.getSource() == access.root) {
        access.begin = *shift;
        access.end = *shift + view.getType().getNumElements() * view.getType().getElementTypeBitWidth() / 8;
      }
      memory = alias.getViewSource();
    }
    return access;
  }

  Reach reachOf(Operation &op, bool forward) const {
    Reach reach;
    if (isa<gpu::BarrierOp>(op)) {
      reach.through = false;
    } else if (isa<tile::CopyCommitOp, tile::ScheduleFenceOp>(op) || op.hasTrait<OpTrait::IsTerminator>()) {
    } else if (isa<tile::CopyWaitOp>(op)) {
      // What the thread has had copied is there for others behind the next barrier. Before a copy starts it is that one
      // writes: whoever may still read there has been waited for then.
      if (!forward)
        reach.accesses = copied;
    } else if (isa<scf::IfOp, scf::ForOp>(op)) {
      bool through = isa<scf::ForOp>(op) || op.getRegion(1).empty();
      for (Region &region : op.getRegions()) {
        if (region.empty())
          continue;
        Reach inner;
        scan(forward ? &region.front().front() : &region.front().back(), nullptr, forward, inner);
        llvm::append_range(reach.accesses, inner.accesses);
        through |= inner.through;
      }
      reach.through = through;
    } else if (auto effects = dyn_cast<MemoryEffectOpInterface>(op); effects && op.getNumRegions() == 0) {
      SmallVector<MemoryEffects::EffectInstance> instances;
      effects.getEffects(instances);
      for (const MemoryEffects::EffectInstance &effect : instances) {
        const bool write = !isa<MemoryEffects::Read>(effect.getEffect());
        if (effect.getValue() && isa<BaseMemRefType>(effect.getValue().getType()))
          reach.accesses.push_back(accessOf(effect.getValue(), write));
        else
          reach.accesses.push_back(anywhere(write));
      }
    } else if (!isMemoryEffectFree(&op)) {
      reach.accesses.push_back(anywhere(/*write=*/true));
    }
    return reach;
  }

  /// From `op` on, `op` included, until a barrier, the block's end, or `end`.
  void scan(Operation *op, Operation *end, bool forward, Reach &reach) const {
    for (; op && op != end; op = forward ? op->getNextNode() : op->getPrevNode()) {
      Reach next = reachOf(*op, forward);
      llvm::append_range(reach.accesses, next.accesses);
      if (!next.through) {
        reach.through = false;
        return;
      }
    }
  }

  /// All that a way from `from` comes to before another barrier.
  void collect(Operation *from, bool forward, Accesses &accesses) const {
    for (;;) {
      Reach reach;
      scan(forward ? from->getNextNode() : from->getPrevNode(), nullptr, forward, reach);
      Operation *parent = from->getParentOp();
      // The next turn, or the one before.
      if (reach.through && isa<scf::ForOp>(parent)) {
        Reach around;
        Block *body = from->getBlock();
        scan(forward ? &body->front() : &body->back(), isa<gpu::BarrierOp>(from) ? from : nullptr, forward, around);
        llvm::append_range(reach.accesses, around.accesses);
      }
      llvm::append_range(accesses, reach.accesses);
      if (!reach.through || parent == loop)
        return;
      if (!isa<scf::ForOp, scf::IfOp>(parent)) {
        accesses.push_back(anywhere(/*write=*/true));
        return;
      }
      from = parent;
    }
  }

  scf::ForallOp loop;
  Accesses copied;
};
} // namespace

void threads::removeBarriers(scf::ForallOp loop) {
  SmallVector<gpu::BarrierOp> barriers;
  loop.walk([&](gpu::BarrierOp barrier) { barriers.push_back(barrier); });
  BarrierAnalysis analysis(loop);
  // One after the other: of two that order the same accesses one stays.
  for (gpu::BarrierOp barrier : barriers)
    if (analysis.isRedundant(barrier))
      barrier.erase();
}

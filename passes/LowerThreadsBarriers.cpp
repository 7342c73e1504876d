//===- LowerThreadsBarriers.cpp - barriers that order nothing -------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/LowerThreads.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/Support/MathExtras.h"

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

/// A barrier that threads wait at: the whole block's, or a role's.
bool isBarrier(Operation *op) { return isa<gpu::BarrierOp, tile::BarrierOp>(op); }

/// Whether all threads that meet at `barrier` meet at `other`, too.
bool covers(Operation *other, Operation *barrier) {
  if (isa<gpu::BarrierOp>(other))
    return true;
  auto a = dyn_cast<tile::BarrierOp>(other), b = dyn_cast<tile::BarrierOp>(barrier);
  return a && b && a.getNumber() == b.getNumber() && a.getThreads() == b.getThreads();
}

/// The least and the most that an address may be, of sums, products and remainders of constants.
struct Bounds {
  uint64_t least, most;
};
std::optional<Bounds> findBounds(Value value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value); constant && *constant >= 0)
    return Bounds{uint64_t(*constant), uint64_t(*constant)};
  Operation *op = value.getDefiningOp();
  if (!isa_and_nonnull<arith::AddIOp, arith::MulIOp, arith::RemUIOp, arith::AndIOp>(op))
    return std::nullopt;
  std::optional<int64_t> right = getConstantIntValue(op->getOperand(1));
  if (isa<arith::RemUIOp>(op) && right && *right > 0)
    return Bounds{0, uint64_t(*right) - 1};
  if (isa<arith::AndIOp>(op) && right && *right >= 0)
    return Bounds{0, uint64_t(*right)};
  if (isa<arith::RemUIOp, arith::AndIOp>(op))
    return std::nullopt;
  std::optional<Bounds> a = findBounds(op->getOperand(0)), b = findBounds(op->getOperand(1));
  if (!a || !b)
    return std::nullopt;
  if (isa<arith::AddIOp>(op))
    return Bounds{llvm::SaturatingAdd(a->least, b->least), llvm::SaturatingAdd(a->most, b->most)};
  return Bounds{llvm::SaturatingMultiply(a->least, b->least), llvm::SaturatingMultiply(a->most, b->most)};
}

/// The accesses between a block's barriers. Code is structured: loops that may have no turns, and branches that all
/// threads take alike where they hold a barrier.
class BarrierAnalysis {
public:
  /// `shared` is all shared memory, of which roles hand each other that of `pipes`.
  BarrierAnalysis(scf::ForallOp loop, Value shared, ArrayRef<threads::ThreadPipe> pipes) : loop(loop) {
    loop.walk([&](tile::CopyAsyncOp copy) { copied.push_back(accessOf(copy.getDestination(), /*write=*/true)); });
    loop.walk([&](tile::WarpgroupMmaOp product) { llvm::append_range(multiplied, operandsOf(product)); });
    for (const threads::ThreadPipe &pipe : pipes)
      piped.push_back({shared, pipe.offset, pipe.offset + pipe.stages * pipe.stageBytes, /*write=*/true});
  }

  /// Whether what comes before a barrier and what comes after it do not touch each other.
  bool isRedundant(Operation *barrier) {
    asked = barrier;
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
      std::optional<Bounds> shift = view ? findBounds(view.getByteShift()) : std::nullopt;
      constexpr uint64_t most = std::numeric_limits<int32_t>::max();
      if (shift && shift->most <= most && view.getType().hasStaticShape() && view.getSource() == access.root) {
        access.begin = shift->least;
        access.end = shift->most + view.getType().getNumElements() * view.getType().getElementTypeBitWidth() / 8;
      }
      memory = alias.getViewSource();
    }
    return access;
  }

  /// What a warpgroup's unit reads.
  static Accesses operandsOf(tile::WarpgroupMmaOp product) {
    Accesses accesses = {accessOf(product.getRhs(), /*write=*/false)};
    if (product.getLhsIndex())
      accesses.push_back(accessOf(product.getLhs().front(), /*write=*/false));
    return accesses;
  }

  /// Whether an operation that says nothing of its memory touches none: it orders what its thread does, or is about
  /// registers and time.
  static bool isWithoutMemory(Operation &op) {
    return isa<tile::CopyCommitOp, tile::ScheduleFenceOp, tile::ProxyFenceOp, tile::NamedBarrierOp,
               tile::SubgroupBarrierOp, tile::SetRegistersOp, tile::OpaqueOp>(op) ||
           op.hasTrait<OpTrait::IsTerminator>();
  }

  Reach reachOf(Operation &op, bool forward) const {
    Reach reach;
    if (isBarrier(&op)) {
      reach.through = !covers(&op, asked);
    } else if (isWithoutMemory(op)) {
    } else if (auto product = dyn_cast<tile::WarpgroupMmaOp>(op)) {
      reach.accesses = operandsOf(product);
    } else if (isa<tile::WarpgroupWaitOp>(op)) {
      // Until here the unit may have read them.
      reach.accesses = multiplied;
    } else if (isa<tile::MbarrierArriveOp, tile::MbarrierWaitOp, tile::CopyBoxOp>(op)) {
      // For all threads of its role the one that arrives hands on what is in the pipes, or the one that waits gets it.
      reach.accesses = piped;
    } else if (isa<tile::CopyWaitOp>(op)) {
      // What the thread has had copied is there for others behind the next barrier. Before a copy starts it is that one
      // writes: whoever may still read there has been waited for then.
      if (!forward)
        reach.accesses = copied;
    } else if (isa<scf::IfOp, scf::ForOp, scf::WhileOp>(op)) {
      bool through = !isa<scf::IfOp>(op) || op.getRegion(1).empty();
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
        scan(forward ? &body->front() : &body->back(), isBarrier(from) ? from : nullptr, forward, around);
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
  Accesses copied, multiplied, piped;
  Operation *asked = nullptr;
};
} // namespace

void threads::removeBarriers(scf::ForallOp loop, Value shared, ArrayRef<ThreadPipe> pipes) {
  SmallVector<Operation *> barriers;
  loop.walk([&](Operation *op) {
    if (isBarrier(op))
      barriers.push_back(op);
  });
  BarrierAnalysis analysis(loop, shared, pipes);
  // One after the other: of two that order the same accesses one stays.
  for (Operation *barrier : barriers)
    if (analysis.isRedundant(barrier))
      barrier->erase();
}

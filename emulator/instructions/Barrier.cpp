//===- Barrier.cpp - barriers of blocks and warps, memory fences ---------------===//

#include "emulator/Barriers.h"
#include "emulator/instructions/Families.h"

using namespace flashc::emulator;

/// The barrier with that number. `count` = 0: all threads of the block.
static BlockBarrier &barrierFor(const Lane &lane, uint32_t number, uint32_t count) {
  Block &block = *lane.thread().block;
  if (number >= BlockBarriers::count)
    lane.fail(FindingKind::InvalidArgument, "expected a barrier below 16, got " + std::to_string(number));
  const unsigned size = block.chip->subgroupSize;
  if (count % size != 0 || count > (block.numThreads() + size - 1) / size * size)
    lane.fail(FindingKind::InvalidArgument, "expected a multiple of " + std::to_string(size) + " threads, at most " +
                                                std::to_string(block.numThreads()) + ", got " + std::to_string(count));
  BlockBarrier &barrier = block.state<BlockBarriers>().barriers[number];
  const unsigned expected = count ? std::min(count, block.numThreads()) : block.numThreads();
  if (barrier.arrived && barrier.expected != expected)
    lane.fail(FindingKind::Divergence, "barrier " + std::to_string(number) + " waits for " +
                                           std::to_string(barrier.expected) + " threads, this one says " +
                                           std::to_string(expected));
  if (!barrier.arrived) {
    barrier.number = number;
    barrier.expected = expected;
  }
  return barrier;
}

void BlockBarrier::arrive(Thread &thread, bool predicate) {
  if (arrived == 0) {
    clock = thread.block->makeClock();
    ones = 0;
  }
  thread.releaseAtBarrier(clock);
  ones += predicate;
  if (++arrived != expected)
    return;
  arrived = 0;
  result = ones;
  total = expected;
  for (Thread *member : waiting) {
    member->acquireAtBarrier(clock);
    thread.block->wake(*member);
  }
  thread.acquireAtBarrier(clock);
  waiting.clear();
}

void BlockBarrier::wait(Thread &thread, bool predicate) {
  if (arrived + 1 == expected)
    return arrive(thread, predicate);
  arrive(thread, predicate);
  waiting.push_back(&thread);
  thread.sleep("barrier", number);
}

/// bar.sync a{, b};  the operands of all forms: the number, then the count.
static void sync(Group &group) {
  const Lane lane = group[0];
  const unsigned operands = lane.call().numOperands();
  const uint32_t number = operands > 0 ? lane.get<uint32_t>(0) : 0;
  const uint32_t count = operands > 1 ? lane.get<uint32_t>(1) : 0;
  barrierFor(lane, number, count).wait(lane.thread(), false);
}

/// bar.arrive a, b;
static void arrive(Group &group) {
  const Lane lane = group[0];
  BlockBarrier &barrier = barrierFor(lane, lane.get<uint32_t>(0), lane.get<uint32_t>(1));
  barrier.arrive(lane.thread(), false);
}

enum class Reduction { Count, And, Or };

template <Reduction reduction> static void reduce(Group &group) {
  const Lane lane = group[0];
  BlockBarrier &barrier = barrierFor(lane, 0, 0);
  barrier.wait(lane.thread(), lane.get<uint32_t>(1) != 0);
  const uint32_t value = reduction == Reduction::Count ? barrier.result
                         : reduction == Reduction::And ? barrier.result == barrier.total
                                                       : barrier.result != 0;
  lane.set<uint32_t>(0, value);
}

static void syncWarp(Group &group) { group.synchronise(); }

/// Fences order one thread's accesses, which are in order here; who sees them is up to barriers. Relaxed arrivals at
/// barriers of a cluster hand over what was done before a fence of the cluster or wider.
static void fence(Group &group) {
  if (group.block().clusterBlocks > 1 && !group.call().has("cta"))
    for (Lane lane : group)
      lane.thread().publish();
}

static void nanosleep(Group &group) { group[0].thread().yield(); }

/// trap, and what calls it.
static void trap(Group &group) { group[0].fail(FindingKind::InvalidArgument, "the kernel gave up by a trap"); }

void flashc::emulator::addBarriers(InstructionSet &set) {
  for (const char *name : {"llvm.nvvm.barrier0", "llvm.nvvm.bar.sync", "llvm.nvvm.barrier.n", "llvm.nvvm.barrier",
                           "llvm.nvvm.barrier.sync", "llvm.nvvm.barrier.sync.cnt", "bar.sync", "bar.cta.sync",
                           "barrier.sync", "barrier.cta.sync"})
    set.add({name, Scope::Lane, sync, /*destinations=*/0});
  for (const char *name : {"bar.arrive", "bar.cta.arrive", "barrier.arrive", "barrier.cta.arrive"})
    set.add({name, Scope::Lane, arrive, /*destinations=*/0});
  set.add({"llvm.nvvm.barrier0.popc", Scope::Lane, reduce<Reduction::Count>});
  set.add({"llvm.nvvm.barrier0.and", Scope::Lane, reduce<Reduction::And>});
  set.add({"llvm.nvvm.barrier0.or", Scope::Lane, reduce<Reduction::Or>});
  set.add({"llvm.nvvm.bar.warp.sync", Scope::Subgroup, syncWarp, /*destinations=*/0, /*maskOperand=*/0});
  set.add({"bar.warp.sync", Scope::Subgroup, syncWarp, /*destinations=*/0, /*maskOperand=*/0});
  for (const char *name : {"llvm.nvvm.membar.cta", "llvm.nvvm.membar.gl", "llvm.nvvm.membar.sys", "membar",
                           "fence.acq_rel", "fence.sc", "llvm.nvvm.fence.acq_rel", "llvm.nvvm.fence.sc"})
    set.add({name, Scope::Lane, fence, /*destinations=*/0});
  set.add({"nanosleep", Scope::Lane, nanosleep, /*destinations=*/0});
  set.add({"llvm.nvvm.nanosleep", Scope::Lane, nanosleep, /*destinations=*/0});
  for (const char *name : {"trap", "llvm.trap", "llvm.debugtrap"})
    set.add({name, Scope::Lane, trap, /*destinations=*/0});
}

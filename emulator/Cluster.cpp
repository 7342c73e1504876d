//===- Cluster.cpp - barriers of clusters, and the life of their blocks --------===//

#include "emulator/Cluster.h"

#include <algorithm>

using namespace flashc::emulator;

//===----------------------------------------------------------------------===//
// barrier.cluster
//===----------------------------------------------------------------------===//

namespace {
/// Of a thread: the phase that it has arrived in last.
struct Arrival {
  uint64_t phase = 0;
  bool waits = false;  ///< has arrived and not waited
  bool passed = false; ///< has waited at least once
};
struct PhaseWait {
  const uint64_t *now;
  uint64_t phase;
};
} // namespace

void ClusterBarrier::reset(unsigned threads) {
  living = threads;
  arrived = 0;
  phase = 0;
}

void ClusterBarrier::arrive(Thread &thread, bool release) {
  Arrival &own = thread.state<Arrival>();
  if (own.waits)
    thread.fail(FindingKind::InvalidArgument, "barrier.cluster.arrive again before barrier.cluster.wait");
  own.phase = phase;
  own.waits = true;
  if (arrived == 0)
    arriving = thread.block->makeClock();
  if (release)
    thread.release(arriving);
  else
    arriving.join(thread.published);
  ++arrived;
  settle();
}

void ClusterBarrier::settle() {
  if (arrived == 0 || arrived != living)
    return;
  arrived = 0;
  completed = arriving;
  ++phase;
}

void ClusterBarrier::wait(Thread &thread) {
  Arrival &own = thread.state<Arrival>();
  if (!own.waits)
    thread.fail(FindingKind::InvalidArgument, "barrier.cluster.wait without barrier.cluster.arrive");
  own.waits = false;
  PhaseWait wait{&phase, own.phase};
  thread.wait(
      [](void *context) {
        const auto *wait = static_cast<PhaseWait *>(context);
        return *wait->now > wait->phase;
      },
      &wait, "the barrier of the cluster, phase", own.phase);
  thread.acquire(completed);
  own.passed = true;
}

void ClusterBarrier::leave(Thread &thread) {
  --living;
  if (arrived == 0)
    return;
  const Arrival &own = thread.state<Arrival>();
  if (own.waits && own.phase == phase)
    --arrived;
  settle();
}

bool ClusterBarrier::hasPassed(Thread &thread) { return thread.state<Arrival>().passed; }

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

void Cluster::resize(unsigned newCount) {
  while (blocks.size() < newCount)
    blocks.emplace_back();
  count = newCount;
}

Block *Cluster::ownerOf(uint64_t address) {
  for (unsigned rank = 0; rank != count; ++rank)
    if (blocks[rank].shared->inWindow(address))
      return &blocks[rank];
  return nullptr;
}

void Cluster::reach(Thread &thread, Block &owner, uint64_t address, const std::string &text) {
  const std::string whose = "shared memory of block " + std::to_string(owner.index) + " of the cluster";
  if (owner.hasEnded())
    thread.block->fail(FindingKind::NotRunning, thread.index, text,
                       whose + ": all its threads have ended, and its memory with them", address);
  const auto knows = [&](const Thread &other) { return thread.clock[other.agent] != 0; };
  if (!ClusterBarrier::hasPassed(thread) && std::none_of(owner.threads.begin(), owner.threads.end(), knows))
    thread.block->fail(FindingKind::NotRunning, thread.index, text,
                       whose + ": no barrier.cluster or other wait says that the block has begun", address);
}

void Cluster::end(Thread &last) {
  Block &block = *last.block;
  if (count == 1)
    return;
  // What the block knows in the end; nobody synchronises any more, so that the scratch clock is free.
  block.joint = last.clock;
  for (const Thread &thread : block.threads)
    block.joint.join(thread.clock);
  for (unsigned agent = 0; agent != block.remoteAccesses.size(); ++agent)
    if (block.joint[agent] < block.remoteAccesses[agent])
      block.fail(FindingKind::NotRunning, last.index, "",
                 "the block has ended, and nothing orders that behind an access of its shared memory by " +
                     block.agentName(agent));
  for (const auto check : block.endChecks)
    check(last);
}

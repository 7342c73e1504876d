//===- Cluster.h - blocks that run together ------------------------------------===//
//
// PTX ISA, "Cooperative Thread Arrays" and "Cluster of CTAs": the blocks of a cluster are on the chip at the same time,
// reach each other's shared memory and wait for each other at a barrier. A kernel without clusters runs in clusters of
// one block.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_EMULATOR_CLUSTER_H
#define FLASHC_EMULATOR_CLUSTER_H

#include "emulator/Block.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

namespace flashc::emulator {

/// barrier.cluster: each thread of the cluster arrives, then waits for all others that have not ended.
class ClusterBarrier {
public:
  /// A cluster of so many threads begins.
  void reset(unsigned threads);
  /// Arrives, in each phase once. Without `release` the thread hands over what it did before its last fence alone.
  void arrive(Thread &thread, bool release);
  /// Waits for the phase that the thread has arrived in.
  void wait(Thread &thread);
  /// A thread has ended: nobody waits for it any more.
  void leave(Thread &thread);

  /// Whether a thread has passed a wait: all blocks of its cluster have begun.
  static bool hasPassed(Thread &thread);

private:
  void settle();

  unsigned living = 0, arrived = 0;
  uint64_t phase = 0;
  Clock arriving, completed;
};

/// The unit that is scheduled. Its blocks and threads may be used by instructions; only the scheduler (Scheduler.cpp)
/// changes the sets of them.
class Cluster {
public:
  /// How many blocks it has.
  unsigned size() const { return count; }
  /// The block of that rank (%cluster_ctarank).
  Block &operator[](unsigned rank) { return blocks[rank]; }
  /// From now on it has so many blocks, whose members are those of the last launch.
  void resize(unsigned blocks);

  /// The block whose window of shared memory holds an address; null if there is none.
  Block *ownerOf(uint64_t address);

  /// A thread reaches into the shared memory of another block of the cluster, at `address`. Ends the launch where that
  /// block may not have begun or has ended. `text`: the instruction.
  void reach(Thread &thread, Block &owner, uint64_t address, const std::string &text);

  /// All threads of a block have ended, `last` at the end: its shared memory is gone. Ends the launch where another
  /// block's access of it is not ordered before that.
  void end(Thread &last);

  ClusterBarrier barrier;

  /// Who waits where: "threads 0-31 wait at ...; threads 32-127 ..."; of several blocks "block 2: threads ...; ...".
  std::string describeWaiters() const;

  // --- the scheduler's own ---
  std::deque<Thread *> ready;
  std::deque<std::function<void()>> deferred;
  Finding *finding = nullptr; ///< where the launch keeps its first finding
  bool failed = false;
  unsigned numThreads = 0; ///< of all blocks
  unsigned numDone = 0;
  unsigned numWaiting = 0; ///< threads in wait() or yield()
  void *schedulerContext = nullptr;

private:
  std::deque<Block> blocks; ///< those of the largest launch so far
  unsigned count = 0;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_CLUSTER_H

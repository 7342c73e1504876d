//===- Block.h - the threads of a block, and what they wait for ----------------===//
#ifndef FLASHC_EMULATOR_BLOCK_H
#define FLASHC_EMULATOR_BLOCK_H

#include "emulator/Chip.h"
#include "emulator/Clocks.h"
#include "emulator/Finding.h"
#include "emulator/GlobalMemory.h"
#include "emulator/SharedMemory.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace flashc::emulator {

class Block;
class Cluster;
struct Call;
struct PlantedState;
struct Planting;

/// Which address space an access names. `Shared` is the block's own (shared::cta), `ClusterShared` that of any block of
/// the cluster. A generic address is shared if it lies in a window of shared memory, else global.
enum class Space : uint8_t { Generic, Global, Shared, ClusterShared };

/// When asynchronous work completes: as late as the manual allows, or at random times within that.
enum class AsyncOrder : uint8_t { Late, Random };

/// State that a family of instructions keeps for a thread or a block, made at its first use:
///   struct Pending { std::vector<Copy> copies; };   thread.state<Pending>().copies
class StateSlots {
public:
  template <typename T> T &get() {
    for (auto &[key, object] : slots)
      if (key == &tag<T>)
        return *static_cast<T *>(object.get());
    slots.emplace_back(&tag<T>, std::shared_ptr<void>(new T(), [](void *p) { delete static_cast<T *>(p); }));
    return *static_cast<T *>(slots.back().second.get());
  }
  void clear() { slots.clear(); }

private:
  template <typename T> static inline char tag = 0;
  std::vector<std::pair<const void *, std::shared_ptr<void>>> slots;
};

/// One GPU thread. Its code runs on a fiber; instructions see it through Lane (Instruction.h).
///
/// A function that suspends (wait, yield, fail and all that calls them) may never return: the block then drops the
/// fiber's stack without unwinding it. So hold nothing that owns memory in local variables across such a call.
class Thread {
public:
  // Host code of kernels reads the first two members.
  uint64_t sharedBase = 0;          ///< of the block's shared memory
  PlantedState *planting = nullptr; ///< which planted bug shows; never null in a launch
  Block *block = nullptr;
  unsigned index = 0;    ///< in the block
  unsigned agent = 0;    ///< in the clocks
  unsigned lane = 0;     ///< in its subgroup
  unsigned subgroup = 0; ///< in the block
  Clock clock;           ///< what it knows of the block's agents, itself included
  Clock published;       ///< the clock at the last fence: what AMD's barriers and relaxed arrivals hand over
  Clock arrived;         ///< AMD: what barriers brought, for the next acquire

  /// Checked access to memory: the finding of an access that is not allowed ends the launch. Addresses are the
  /// kernel's.
  void load(uint64_t address, void *to, uint64_t bytes, Space space = Space::Generic);
  void store(uint64_t address, const void *from, uint64_t bytes, Space space = Space::Generic);
  template <typename T> T load(uint64_t address, Space space = Space::Generic) {
    T value;
    load(address, &value, sizeof(T), space);
    return value;
  }
  template <typename T> void store(uint64_t address, T value, Space space = Space::Generic) {
    store(address, &value, sizeof(T), space);
  }
  /// The check alone; what is returned may then be read or written directly.
  char *checkedRead(uint64_t address, uint64_t bytes, Space space = Space::Generic);
  char *checkedWrite(uint64_t address, uint64_t bytes, Space space = Space::Generic);

  /// This thread as an observer of shared memory, through the generic or the async proxy.
  Observer observer() const { return {agent, clock[agent], clock.generic(), clock.generic()}; }
  Observer asyncObserver() const { return {agent, clock[agent], clock.fenced(), clock.generic()}; }
  /// fence.proxy.async: the async proxy sees all that this thread knows and did up to now.
  void fenceProxy() {
    clock.fence();
    ++clock[agent];
  }

  /// Gives `to` all that this thread knows and did: a release (bar.arrive, mbarrier.arrive). Later accesses of this
  /// thread are not covered by it.
  void release(Clock &to) {
    to.join(clock);
    ++clock[agent];
  }
  /// Learns what `from` knows: an acquire (a wait that succeeded).
  void acquire(const Clock &from) { clock.join(from); }

  /// A fence of the workgroup or cluster or wider. AMD's s_barrier alone orders no memory: it hands over what a release
  /// before it has published, and what it brings is known behind the next acquire (LLVM, "Memory Model gfx90A"). So
  /// does barrier.cluster.arrive.relaxed.
  void publish() {
    published = clock;
    ++clock[agent];
  }
  void takePublished() { clock.join(arrived); }
  /// The release and the acquire that a barrier of the block is.
  void releaseAtBarrier(Clock &to);
  void acquireAtBarrier(const Clock &from);

  /// Suspends until ready(context) holds; asked again whenever every other thread waits too. `what` names the thing
  /// waited for, with `detail` a number that tells such things apart, in the report of a deadlock.
  void wait(bool (*ready)(void *context), void *context, const char *what, uint64_t detail = 0);
  /// Suspends until another thread calls Block::wake for this one.
  void sleep(const char *what, uint64_t detail = 0);
  /// Lets all others run: for instructions that poll (mbarrier.test_wait, nanosleep).
  void yield();
  /// One access, instruction or iteration more; others get their turn after some thousands.
  void countStep() {
    if (__builtin_expect(++steps % 4096 == 0, 0))
      yield();
  }

  /// Ends the launch with a finding about what this thread is executing.
  [[noreturn]] void fail(FindingKind kind, const std::string &detail, uint64_t address = 0);

  /// A family's own state of this thread.
  template <typename T> T &state() { return slots.get<T>(); }

  StateSlots slots;

  // --- the scheduler's own ---
  enum class Status : uint8_t { Ready, Meeting, Waiting, Spinning, Sleeping, Done };
  Status status = Status::Ready;
  const Call *current = nullptr; ///< the instruction under execution, for reports
  char *frame = nullptr;         ///< its operands while it waits for other lanes
  bool (*ready)(void *) = nullptr;
  void *readyContext = nullptr;
  const char *waitingFor = nullptr;
  uint64_t waitingDetail = 0;
  uint32_t steps = 0;
  void *context = nullptr; ///< of the suspended fiber
  char *stack = nullptr;   ///< base of its stack
  uint64_t stackBytes = 0;
};

/// A block under execution on one worker of the host. Its members may be used by instructions; only the scheduler
/// (Scheduler.cpp) changes the set of threads.
class Block {
public:
  Cluster *cluster = nullptr;   ///< that it belongs to
  unsigned rank = 0;            ///< in the cluster
  unsigned clusterBlocks = 1;   ///< of the cluster
  bool explicitCluster = false; ///< the kernel says how large its clusters are
  const Chip *chip = nullptr;
  const char *kernel = "";
  int64_t index = 0;     ///< of the block, linear
  int64_t numBlocks = 1; ///< of the grid
  std::vector<Thread> threads;
  SharedMemory *shared = nullptr;
  GlobalMemory *global = nullptr;
  uint64_t dynamicSharedOffset = 0; ///< where dynamic shared memory begins in the window
  AsyncOrder asyncOrder = AsyncOrder::Late;
  std::minstd_rand random;      ///< seeded by the launch and the block: runs repeat
  Planting *planting = nullptr; ///< of a kernel with planted bugs

  unsigned numThreads() const { return static_cast<unsigned>(threads.size()); }
  /// Agents of the clocks: the threads, then the units that work asynchronously. What one agent did is known up to a
  /// count, so pieces of work that are waited for one by one are dealt out to several (AsyncUnits.h).
  static constexpr unsigned asyncAgents = 24;
  unsigned ownAgents() const { return numThreads() + asyncAgents; }
  unsigned firstAgent() const { return rank * ownAgents(); }
  unsigned asyncAgent() const { return firstAgent() + numThreads(); }
  /// Of all blocks of the cluster, which have as many threads each.
  unsigned numAgents() const { return clusterBlocks * ownAgents(); }
  /// "thread 5", "thread 5 of block 3" where that is another one, "an asynchronous unit".
  std::string agentName(unsigned agent) const;
  /// The blocks of the cluster are a row of the grid; the first of them, and the one of an agent.
  int64_t firstOfCluster() const { return index - rank; }
  int64_t blockOfAgent(unsigned agent) const { return firstOfCluster() + agent / ownAgents(); }
  unsigned threadOfAgent(unsigned agent) const { return agent % ownAgents(); }

  /// Whether all its threads have ended.
  bool hasEnded() const { return numDone == numThreads(); }
  /// An agent of another block of the cluster has accessed this one's shared memory at its count `now`.
  void noteRemoteAccess(unsigned agent, Count now) {
    if (remoteAccesses.size() < numAgents())
      remoteAccesses.resize(numAgents(), 0);
    remoteAccesses[agent] = std::max(remoteAccesses[agent], now);
  }

  /// A clock that knows nothing, for an object that threads synchronise through.
  Clock makeClock() const { return Clock(numAgents(), chip->vendor == Vendor::Nvidia && chip->version >= 90); }

  /// All that any of `members` did is ordered before all that any of them does next: a barrier has completed.
  void synchronise(Thread *const *members, unsigned count);

  /// Ends a sleep().
  void wake(Thread &thread);

  /// Queues work of an asynchronous unit (a TMA copy, say). It is done when every thread waits, oldest first, or at any
  /// time from now on in random order. Work runs on a fiber of its own and may fail(); it must not wait.
  void defer(std::function<void()> work);

  /// Ends the launch; for findings of asynchronous units. `thread` is the one that started the work.
  [[noreturn]] void fail(FindingKind kind, int64_t thread, const std::string &instruction, const std::string &detail,
                         uint64_t address = 0);
  /// Ends the launch where `problem`, of an access of shared memory that `thread` asked for with `instruction`, is not
  /// null.
  void check(const AccessProblem *problem, int64_t thread, const std::string &instruction, uint64_t address,
             uint64_t bytes, bool write) {
    if (problem)
      failAccess(*problem, thread, instruction, address, bytes, write);
  }

  /// A family's own state of this block.
  template <typename T> T &state() { return slots.get<T>(); }

  StateSlots slots;
  /// Called when the last thread of the block ends, in a cluster of several; `joint` is what the block knows then.
  std::vector<void (*)(Thread &last)> endChecks;
  /// Asked when all threads have ended: what is wrong, "" for nothing. It is a deadlock that threads would be in.
  std::vector<std::string (*)(Block &block)> finalChecks;

  // --- the scheduler's own ---
  [[noreturn]] void failAccess(const AccessProblem &problem, int64_t thread, const std::string &instruction,
                               uint64_t address, uint64_t bytes, bool write);
  /// Lanes of a subgroup, or a warpgroup's threads, that have arrived at an instruction and wait for the others.
  struct Meeting {
    const Call *call = nullptr;
    uint64_t mask = 0; ///< lanes that have to come; 0: those of the subgroup that live
    uint64_t arrived = 0;
    unsigned count = 0; ///< arrived
  };
  std::vector<std::vector<Meeting>> meetings;          ///< of each subgroup
  std::vector<std::vector<Meeting>> warpgroupMeetings; ///< of each warpgroup
  std::vector<Count> remoteAccesses; ///< by agent: the count at its last access of this block's shared memory
  unsigned numDone = 0;
  Clock joint; ///< scratch of synchronise
};

inline void Thread::releaseAtBarrier(Clock &to) {
  if (block->chip->vendor == Vendor::Amd)
    to.join(published);
  else
    release(to);
}
inline void Thread::acquireAtBarrier(const Clock &from) {
  (block->chip->vendor == Vendor::Amd ? arrived : clock).join(from);
}

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_BLOCK_H

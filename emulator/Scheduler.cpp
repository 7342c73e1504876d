//===- Scheduler.cpp - threads as fibers ---------------------------------------===//

#include "emulator/Scheduler.h"
#include "emulator/AsyncCopies.h"
#include "emulator/Instruction.h"
#include "emulator/Planting.h"

#include <map>
#include <sys/mman.h>

using namespace flashc::emulator;

//===----------------------------------------------------------------------===//
// Stacks
//===----------------------------------------------------------------------===//

static constexpr size_t guardBytes = 4096;

StackPool::~StackPool() {
  for (char *stack : stacks)
    munmap(stack - guardBytes, bytes + guardBytes);
}

char *StackPool::get(size_t i) {
  while (stacks.size() <= i) {
    void *memory = mmap(nullptr, bytes + guardBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
      return nullptr;
    mprotect(memory, guardBytes, PROT_NONE);
    stacks.push_back(static_cast<char *>(memory) + guardBytes);
  }
  return stacks[i];
}

//===----------------------------------------------------------------------===//
// Suspension
//===----------------------------------------------------------------------===//

/// Back to the scheduler; returns when it runs this fiber again.
static void suspend(Block &block) {
  Cluster &cluster = *block.cluster;
  cluster.schedulerContext = jump(cluster.schedulerContext, nullptr).fctx;
}

/// The fiber is never run again.
[[noreturn]] static void abandon(Block &block) {
  for (;;)
    suspend(block);
}

void Thread::wait(bool (*condition)(void *), void *argument, const char *what, uint64_t detail) {
  if (condition(argument))
    return;
  ready = condition;
  readyContext = argument;
  waitingFor = what;
  waitingDetail = detail;
  status = Status::Waiting;
  ++block->cluster->numWaiting;
  suspend(*block);
}

/// Accesses, instructions and turns of a thread before it counts as one that never ends.
static constexpr uint32_t mostSteps = 1u << 28;
/// The same of a kernel with planted bugs, whose problems are small: loops that never end are many.
static constexpr uint32_t mostStepsWithBugs = 1u << 24;

void Thread::yield() {
  if (steps > (block->planting ? mostStepsWithBugs : mostSteps))
    fail(FindingKind::Deadlock, "the thread has not ended after " + std::to_string(steps) + " steps");
  status = Status::Spinning;
  waitingFor = "memory to change, in a loop; rounds:";
  waitingDetail = 0;
  ++block->cluster->numWaiting;
  suspend(*block);
}

void Thread::sleep(const char *what, uint64_t detail) {
  waitingFor = what;
  waitingDetail = detail;
  status = Status::Sleeping;
  suspend(*block);
}

void Block::wake(Thread &thread) {
  thread.status = Thread::Status::Ready;
  cluster->ready.push_back(&thread);
}

void Block::defer(std::function<void()> work) { cluster->deferred.push_back(std::move(work)); }

//===----------------------------------------------------------------------===//
// Findings
//===----------------------------------------------------------------------===//

static void keepFinding(Block &block, FindingKind kind, int64_t thread, const std::string &instruction,
                        const std::string &detail, uint64_t address) {
  if (block.cluster->failed)
    return;
  block.cluster->failed = true;
  *block.cluster->finding = {kind, block.kernel, block.index, thread, instruction, address, detail};
}

void Block::fail(FindingKind kind, int64_t thread, const std::string &instruction, const std::string &detail,
                 uint64_t address) {
  keepFinding(*this, kind, thread, instruction, detail, address);
  abandon(*this);
}

void Thread::fail(FindingKind kind, const std::string &detail, uint64_t address) {
  keepFinding(*block, kind, index, current ? current->text : "", detail, address);
  abandon(*block);
}

//===----------------------------------------------------------------------===//
// Synchronisation
//===----------------------------------------------------------------------===//

void Block::synchronise(Thread *const *members, unsigned count) {
  if (count == 0)
    return;
  Clock &all = joint;
  all = members[0]->clock;
  for (unsigned i = 1; i != count; ++i)
    all.join(members[i]->clock);
  for (unsigned i = 0; i != count; ++i) {
    members[i]->clock = all;
    ++members[i]->clock[members[i]->agent];
  }
}

//===----------------------------------------------------------------------===//
// Meetings of lanes
//===----------------------------------------------------------------------===//

/// Lanes of a subgroup that a block has, and of these the ones that have not ended.
static uint64_t existingLanes(const Block &block, unsigned subgroup) {
  const unsigned size = block.chip->subgroupSize;
  const unsigned lanes = std::min(block.numThreads() - subgroup * size, size);
  return lanes == 64 ? ~uint64_t{0} : (uint64_t{1} << lanes) - 1;
}
static uint64_t livingLanes(const Block &block, unsigned subgroup) {
  uint64_t lanes = existingLanes(block, subgroup);
  const unsigned first = subgroup * block.chip->subgroupSize;
  for (uint64_t rest = lanes; rest; rest &= rest - 1)
    if (block.threads[first + __builtin_ctzll(rest)].status == Thread::Status::Done)
      lanes &= ~(rest & -rest);
  return lanes;
}

/// Executes what the lanes of `arrived` wait for. `self`, if one of them, goes on running; the others become ready.
static void conclude(Block &block, const Call &call, unsigned firstThread, uint64_t arrived, unsigned count,
                     Thread *self) {
  Thread *members[128];
  unsigned n = 0;
  for (unsigned i = 0; n != count; ++i)
    if (count == 128 || (arrived >> i & 1))
      members[n++] = &block.threads[firstThread + i];
  Group group(block, call, members, n);
  call.instruction->execute(group);
  for (unsigned i = 0; i != n; ++i) {
    members[i]->status = Thread::Status::Ready;
    if (members[i] != self)
      block.cluster->ready.push_back(members[i]);
  }
}

static std::string lanesText(uint64_t lanes) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(lanes));
  return text;
}

static void meetSubgroup(Thread &thread, const Call &call) {
  Block &block = *thread.block;
  const uint64_t self = uint64_t{1} << thread.lane;
  const bool byArrival = block.chip->vendor == Vendor::Amd;
  uint64_t mask = existingLanes(block, thread.subgroup);
  if (!byArrival && call.maskOperand >= 0) {
    const uint64_t named = Lane(thread, call, thread.frame).get<uint32_t>(call.maskOperand);
    if (!(named & self))
      thread.fail(FindingKind::Divergence,
                  "the mask " + lanesText(named) + " does not name the executing lane " + std::to_string(thread.lane));
    mask &= named;
  }
  std::vector<Block::Meeting> &meetings = block.meetings[thread.subgroup];
  size_t found = meetings.size();
  for (size_t i = 0; i != meetings.size(); ++i) {
    Block::Meeting &meeting = meetings[i];
    const bool same = meeting.call == &call && (byArrival || meeting.mask == mask);
    if (same) {
      found = i;
      break;
    }
    if (!byArrival && (meeting.mask & mask))
      thread.fail(FindingKind::Divergence, "lane " + std::to_string(thread.lane) + " is here with mask " +
                                               lanesText(mask) + ", lanes " + lanesText(meeting.arrived) +
                                               " wait with mask " + lanesText(meeting.mask) + " at '" +
                                               meeting.call->text + "'");
  }
  if (found == meetings.size()) {
    if (const uint64_t ended = byArrival ? 0 : mask & ~livingLanes(block, thread.subgroup))
      thread.fail(FindingKind::Divergence,
                  "lanes " + lanesText(ended) + " of the mask " + lanesText(mask) + " have ended");
    meetings.push_back({&call, mask, 0, 0});
  }
  Block::Meeting &meeting = meetings[found];
  meeting.arrived |= self;
  ++meeting.count;
  thread.status = Thread::Status::Meeting;
  const bool complete = byArrival ? meeting.count == unsigned(__builtin_popcountll(livingLanes(block, thread.subgroup)))
                                  : meeting.arrived == mask;
  if (!complete) {
    suspend(block);
    return;
  }
  const uint64_t arrived = meeting.arrived;
  const unsigned count = meeting.count;
  meetings[found] = meetings.back();
  meetings.pop_back();
  conclude(block, call, thread.index - thread.lane, arrived, count, &thread);
}

static void meetWarpgroup(Thread &thread, const Call &call) {
  Block &block = *thread.block;
  const unsigned warpgroup = thread.index / 128;
  if (warpgroup * 128 + 128 > block.numThreads())
    thread.fail(FindingKind::InvalidArgument, "a warpgroup has 128 threads, the block's last has " +
                                                  std::to_string(block.numThreads() - warpgroup * 128));
  std::vector<Block::Meeting> &meetings = block.warpgroupMeetings[warpgroup];
  if (meetings.empty())
    meetings.push_back({&call, 0, 0, 0});
  Block::Meeting &meeting = meetings.front();
  if (meeting.call != &call)
    thread.fail(FindingKind::Divergence,
                std::to_string(meeting.count) + " threads of the warpgroup wait at '" + meeting.call->text + "'");
  thread.status = Thread::Status::Meeting;
  if (++meeting.count != 128) {
    suspend(block);
    return;
  }
  meetings.clear();
  conclude(block, call, warpgroup * 128, 0, 128, &thread);
}

void flashc::emulator::execute(Thread &thread, const Call &call, char *frame) {
  thread.current = &call;
  thread.frame = frame;
  switch (call.instruction->scope) {
  case Scope::Lane: {
    thread.countStep();
    Thread *self = &thread;
    Group group(*thread.block, call, &self, 1);
    call.instruction->execute(group);
    return;
  }
  case Scope::Subgroup:
    return meetSubgroup(thread, call);
  case Scope::Warpgroup:
    return meetWarpgroup(thread, call);
  }
}

/// A thread has ended: whoever waits for it waits in vain, or is complete without it.
static void leave(Thread &thread) {
  Block &block = *thread.block;
  const uint64_t self = uint64_t{1} << thread.lane;
  std::vector<Block::Meeting> &meetings = block.meetings[thread.subgroup];
  for (size_t i = 0; i != meetings.size(); ++i) {
    const Block::Meeting meeting = meetings[i];
    if (block.chip->vendor == Vendor::Nvidia) {
      if (meeting.mask & self)
        block.fail(FindingKind::Divergence, thread.index, meeting.call->text,
                   "lane " + std::to_string(thread.lane) + " ended, lanes " + lanesText(meeting.arrived) +
                       " wait for it");
    } else if (meeting.arrived == livingLanes(block, thread.subgroup)) {
      meetings.erase(meetings.begin() + static_cast<ptrdiff_t>(i));
      conclude(block, *meeting.call, thread.index - thread.lane, meeting.arrived, meeting.count, nullptr);
      return;
    }
  }
}

//===----------------------------------------------------------------------===//
// The loop
//===----------------------------------------------------------------------===//

namespace {
/// What a new fiber is handed.
struct Start {
  Thread *thread;
  KernelFunction kernel;
  void *const *params;
};
struct Work {
  Cluster *cluster;
  std::function<void()> *work;
};

void threadMain(FiberTransfer from) {
  const Start start = *static_cast<Start *>(from.data);
  Thread &thread = *start.thread;
  Block &block = *thread.block;
  block.cluster->schedulerContext = from.fctx;
  start.kernel(&thread, start.params);
  if (const AsyncCopies &copies = thread.state<AsyncCopies>(); !copies.copies.empty())
    block.fail(FindingKind::PendingCopy, thread.index, "",
               "the thread ended before it waited for its copies: they still write shared memory",
               copies.copies.front().to);
  thread.status = Thread::Status::Done;
  ++block.numDone;
  ++block.cluster->numDone;
  leave(thread);
  block.cluster->barrier.leave(thread);
  if (block.hasEnded())
    block.cluster->end(thread);
  abandon(block);
}

void workMain(FiberTransfer from) {
  const Work work = *static_cast<Work *>(from.data);
  work.cluster->schedulerContext = from.fctx;
  (*work.work)();
  abandon((*work.cluster)[0]);
}

void runWork(Cluster &cluster, StackPool &stacks, std::function<void()> &function) {
  Work work{&cluster, &function};
  jump(stacks.make(stacks.get(cluster.numThreads), workMain), &work);
}

/// Does the piece of asynchronous work that is due.
void doDeferred(Cluster &cluster, StackPool &stacks) {
  Block &first = cluster[0];
  size_t i = first.asyncOrder == AsyncOrder::Late ? 0 : first.random() % cluster.deferred.size();
  std::function<void()> function = std::move(cluster.deferred[i]);
  cluster.deferred.erase(cluster.deferred.begin() + static_cast<ptrdiff_t>(i));
  runWork(cluster, stacks, function);
}

/// Makes threads ready whose condition holds; with `spinning`, also those that poll.
bool pollWaiters(Cluster &cluster, bool spinning) {
  bool any = false;
  for (unsigned rank = 0; rank != cluster.size(); ++rank)
    for (Thread &thread : cluster[rank].threads) {
      const bool due = thread.status == Thread::Status::Waiting ? !spinning && thread.ready(thread.readyContext)
                                                                : spinning && thread.status == Thread::Status::Spinning;
      if (due) {
        --cluster.numWaiting;
        cluster[rank].wake(thread);
        any = true;
      }
    }
  return any;
}

/// AMD: no wave is whole at one instruction. Lanes that wait at the earliest instruction go on without the others, as
/// the lanes of a branch do before the paths join.
bool concludePartial(Block &block) {
  for (unsigned subgroup = 0; subgroup != block.meetings.size(); ++subgroup) {
    std::vector<Block::Meeting> &meetings = block.meetings[subgroup];
    if (meetings.empty() || block.chip->vendor != Vendor::Amd)
      continue;
    size_t first = 0;
    for (size_t i = 1; i != meetings.size(); ++i)
      if (meetings[i].call->order < meetings[first].call->order)
        first = i;
    const Block::Meeting meeting = meetings[first];
    meetings.erase(meetings.begin() + static_cast<ptrdiff_t>(first));
    conclude(block, *meeting.call, subgroup * block.chip->subgroupSize, meeting.arrived, meeting.count, nullptr);
    return true;
  }
  return false;
}
} // namespace

/// Turns of polling threads that nothing answers before a block counts as dead: some hundred million steps.
static constexpr uint64_t maxIdleTurns = 100000;

static void checkFinally(Cluster &cluster) {
  for (unsigned rank = 0; rank != cluster.size(); ++rank)
    for (const auto check : cluster[rank].finalChecks)
      if (const std::string wrong = check(cluster[rank]); !wrong.empty())
        keepFinding(cluster[rank], FindingKind::Deadlock, -1, "", wrong, 0);
}

static void runThreads(Cluster &cluster, StackPool &stacks, KernelFunction kernel, void *const *params) {
  uint64_t idleTurns = 0;
  Block &first = cluster[0];
  std::function<void()> partial = [&first] { concludePartial(first); };
  while (!cluster.failed) {
    if (first.asyncOrder == AsyncOrder::Random && !cluster.deferred.empty() && first.random() % 8 == 0)
      doDeferred(cluster, stacks);
    if (!cluster.ready.empty()) {
      Thread *thread = cluster.ready.front();
      cluster.ready.pop_front();
      Start start{thread, kernel, params};
      thread->context = jump(thread->context, &start).fctx;
      if (thread->status != Thread::Status::Spinning)
        idleTurns = 0;
      continue;
    }
    if (cluster.numDone == cluster.numThreads && cluster.deferred.empty())
      return checkFinally(cluster);
    if (cluster.numWaiting && pollWaiters(cluster, /*spinning=*/false)) {
      idleTurns = 0;
      continue;
    }
    if (!cluster.deferred.empty()) {
      idleTurns = 0;
      doDeferred(cluster, stacks);
      continue;
    }
    // Threads that only gave up their turn come before a wave goes on without some of its lanes.
    const bool patient = cluster.numWaiting && idleTurns < uint64_t{100} * cluster.numWaiting;
    if (first.chip->vendor == Vendor::Amd && !patient) {
      bool any = false;
      for (const auto &meetings : first.meetings)
        any |= !meetings.empty();
      if (any) {
        runWork(cluster, stacks, partial);
        continue;
      }
    }
    idleTurns += cluster.numWaiting;
    if (cluster.numWaiting && idleTurns < maxIdleTurns && pollWaiters(cluster, /*spinning=*/true))
      continue;
    if (patient) {
      idleTurns = uint64_t{100} * cluster.numWaiting;
      continue;
    }
    keepFinding(first, FindingKind::Deadlock, -1, "", cluster.describeWaiters(), 0);
  }
}

bool Worker::reserve(unsigned blocks) {
  while (shared.size() < blocks)
    shared.push_back(std::make_unique<SharedMemory>());
  for (unsigned i = 0; i != blocks; ++i)
    if (!shared[i]->valid())
      return false;
  return true;
}

/// What kernels without planted bugs ask.
static Planting &noBugs() {
  static Planting none(0);
  return none;
}

/// A block begins. Its threads' stacks are those from number `firstStack` on; false when there is no memory for them.
static bool beginBlock(Block &block, StackPool &stacks, unsigned firstStack, unsigned threads) {
  const unsigned size = block.chip->subgroupSize;
  block.slots.clear();
  block.finalChecks.clear();
  block.endChecks.clear();
  block.remoteAccesses.clear();
  block.numDone = 0;
  block.meetings.resize((threads + size - 1) / size);
  block.warpgroupMeetings.resize((threads + 127) / 128);
  for (auto *meetings : {&block.meetings, &block.warpgroupMeetings})
    for (auto &list : *meetings)
      list.clear();
  block.joint = block.makeClock();
  for (unsigned i = 0; i != threads; ++i) {
    Thread &thread = block.threads[i];
    thread.sharedBase = block.shared->base();
    thread.planting = block.planting ? block.planting : &noBugs();
    thread.block = &block;
    thread.index = i;
    thread.agent = block.firstAgent() + i;
    thread.lane = i % size;
    thread.subgroup = i / size;
    thread.clock = block.joint;
    thread.clock[thread.agent] = 1;
    thread.published = thread.arrived = block.joint;
    thread.status = Thread::Status::Ready;
    thread.current = nullptr;
    thread.waitingFor = nullptr;
    thread.steps = 0;
    thread.slots.clear();
    thread.stack = stacks.get(firstStack + i);
    if (!thread.stack) {
      keepFinding(block, FindingKind::InvalidArgument, i, "", "the host has no memory for the thread's stack", 0);
      return false;
    }
    thread.stackBytes = stacks.size();
    thread.context = stacks.make(thread.stack, threadMain);
    block.cluster->ready.push_back(&thread);
  }
  return true;
}

bool flashc::emulator::runCluster(Worker &worker, KernelFunction kernel, void *const *params, unsigned threads,
                                  uint64_t sharedBytes) {
  Cluster &cluster = worker.cluster;
  cluster.deferred.clear();
  cluster.ready.clear();
  cluster.failed = false;
  cluster.numDone = cluster.numWaiting = 0;
  cluster.numThreads = cluster.size() * threads;
  cluster.barrier.reset(cluster.numThreads);
  // Clocks know the agents of all blocks.
  for (unsigned rank = 0; rank != cluster.size(); ++rank) {
    Block &block = cluster[rank];
    block.cluster = &cluster;
    block.rank = rank;
    block.clusterBlocks = cluster.size();
    block.shared = worker.shared[rank].get();
    block.shared->reset(sharedBytes);
    block.threads.resize(threads);
  }
  for (unsigned rank = 0; rank != cluster.size(); ++rank)
    if (!beginBlock(cluster[rank], worker.stacks, rank * threads, threads))
      return false;
  // One stack more, for asynchronous work.
  if (!worker.stacks.get(cluster.numThreads)) {
    keepFinding(cluster[0], FindingKind::InvalidArgument, -1, "", "the host has no memory for the copy engine", 0);
    return false;
  }
  runThreads(cluster, worker.stacks, kernel, params);
  return !cluster.failed;
}

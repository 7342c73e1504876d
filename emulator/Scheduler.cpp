//===- Scheduler.cpp - threads as fibers ---------------------------------------===//

#include "emulator/Scheduler.h"
#include "emulator/AsyncCopies.h"
#include "emulator/Instruction.h"

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
static void suspend(Block &block) { block.schedulerContext = jump(block.schedulerContext, nullptr).fctx; }

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
  ++block->numWaiting;
  suspend(*block);
}

/// Accesses, instructions and turns of a thread before it counts as one that never ends.
static constexpr uint32_t mostSteps = 1u << 28;

void Thread::yield() {
  if (steps > mostSteps)
    fail(FindingKind::Deadlock, "the thread has not ended after " + std::to_string(steps) + " steps");
  status = Status::Spinning;
  waitingFor = "memory to change, in a loop; rounds:";
  waitingDetail = 0;
  ++block->numWaiting;
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
  ready.push_back(&thread);
}

//===----------------------------------------------------------------------===//
// Findings
//===----------------------------------------------------------------------===//

static std::string threadName(const Block &block, int agent) {
  return agent >= static_cast<int>(block.asyncAgent()) ? std::string("an asynchronous unit")
                                                       : "thread " + std::to_string(agent);
}

static void keepFinding(Block &block, FindingKind kind, int64_t thread, const std::string &instruction,
                        const std::string &detail, uint64_t address) {
  if (block.failed)
    return;
  block.failed = true;
  *block.finding = {kind, block.kernel, block.index, thread, instruction, address, detail};
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

static std::string describeAccess(const Block &block, const AccessProblem &problem, uint64_t address, uint64_t bytes,
                                  bool write) {
  const SharedMemory &shared = *block.shared;
  const std::string offset = std::to_string(problem.address - shared.base());
  const std::string access = (write ? "a write of " : "a read of ") + std::to_string(bytes) +
                             " bytes of shared memory at offset " + std::to_string(int64_t(address - shared.base()));
  const std::string other = threadName(block, problem.other);
  switch (problem.kind) {
  case FindingKind::OutOfBounds:
    return access + "; the block has " + std::to_string(shared.size());
  case FindingKind::Uninitialised:
    return access + "; nobody in this block wrote offset " + offset;
  case FindingKind::PendingCopy:
    return access + "; the copy that " + other + " began into offset " + offset + " has not been waited for";
  case FindingKind::MissingFence:
    return access + " by an asynchronous unit; " + other + (problem.earlierWasWrite ? " wrote" : " read") + " offset " +
           offset + " and no proxy fence follows";
  default:
    return access + "; " + other + (problem.earlierWasWrite ? " wrote" : " read") + " offset " + offset +
           " and no barrier orders the two";
  }
}

void Block::failAccess(const AccessProblem &problem, int64_t thread, const std::string &instruction, uint64_t address,
                       uint64_t bytes, bool write) {
  fail(problem.kind, thread, instruction, describeAccess(*this, problem, address, bytes, write), problem.address);
}

/// Who waits where: "threads 0-31 at 'barrier' 1; threads 32-127 at ...".
static std::string describeWaiters(const Block &block) {
  std::vector<std::pair<std::string, std::vector<unsigned>>> places;
  for (const Thread &thread : block.threads) {
    std::string place;
    if (thread.status == Thread::Status::Done)
      place = "have ended";
    else {
      place = "wait at '" + std::string(thread.current ? thread.current->text : "?") + "'";
      if (thread.status == Thread::Status::Meeting)
        place += " for the other lanes";
      else if (thread.waitingFor)
        place += std::string(" for ") + thread.waitingFor + " " + std::to_string(thread.waitingDetail);
    }
    if (places.empty() || places.back().first != place) {
      size_t i = 0;
      while (i != places.size() && places[i].first != place)
        ++i;
      if (i == places.size())
        places.push_back({place, {}});
      places[i].second.push_back(thread.index);
    } else {
      places.back().second.push_back(thread.index);
    }
  }
  std::string out;
  for (const auto &[place, members] : places) {
    out += out.empty() ? "threads " : "; threads ";
    for (size_t i = 0; i != members.size();) {
      size_t j = i;
      while (j + 1 != members.size() && members[j + 1] == members[j] + 1)
        ++j;
      out += (i ? "," : "") + std::to_string(members[i]) + (j > i ? "-" + std::to_string(members[j]) : "");
      i = j + 1;
    }
    out += " " + place;
  }
  return out;
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
    ++members[i]->clock[members[i]->index];
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
      block.ready.push_back(members[i]);
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
  Block *block;
  std::function<void()> *work;
};

void threadMain(FiberTransfer from) {
  const Start start = *static_cast<Start *>(from.data);
  Thread &thread = *start.thread;
  Block &block = *thread.block;
  block.schedulerContext = from.fctx;
  start.kernel(&thread, start.params);
  if (const AsyncCopies &copies = thread.state<AsyncCopies>(); !copies.copies.empty())
    block.fail(FindingKind::PendingCopy, thread.index, "",
               "the thread ended before it waited for its copies: they still write shared memory",
               copies.copies.front().to);
  thread.status = Thread::Status::Done;
  ++block.numDone;
  leave(thread);
  abandon(block);
}

void workMain(FiberTransfer from) {
  const Work work = *static_cast<Work *>(from.data);
  work.block->schedulerContext = from.fctx;
  (*work.work)();
  abandon(*work.block);
}

/// Does the piece of asynchronous work that is due.
void doDeferred(Block &block, StackPool &stacks) {
  size_t i = block.asyncOrder == AsyncOrder::Late ? 0 : block.random() % block.deferred.size();
  std::function<void()> function = std::move(block.deferred[i]);
  block.deferred.erase(block.deferred.begin() + static_cast<ptrdiff_t>(i));
  char *stack = stacks.get(block.numThreads());
  Work work{&block, &function};
  jump(stacks.make(stack, workMain), &work);
}

/// Makes threads ready whose condition holds; with `spinning`, also those that poll.
bool pollWaiters(Block &block, bool spinning) {
  bool any = false;
  for (Thread &thread : block.threads) {
    const bool due = thread.status == Thread::Status::Waiting ? !spinning && thread.ready(thread.readyContext)
                                                              : spinning && thread.status == Thread::Status::Spinning;
    if (due) {
      --block.numWaiting;
      block.wake(thread);
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

static void runThreads(Block &block, StackPool &stacks, KernelFunction kernel, void *const *params) {
  uint64_t idleTurns = 0;
  std::function<void()> partial = [&block] { concludePartial(block); };
  while (!block.failed) {
    if (block.asyncOrder == AsyncOrder::Random && !block.deferred.empty() && block.random() % 8 == 0)
      doDeferred(block, stacks);
    if (!block.ready.empty()) {
      Thread *thread = block.ready.front();
      block.ready.pop_front();
      Start start{thread, kernel, params};
      thread->context = jump(thread->context, &start).fctx;
      if (thread->status != Thread::Status::Spinning)
        idleTurns = 0;
      continue;
    }
    if (block.numDone == block.numThreads() && block.deferred.empty()) {
      for (const auto check : block.finalChecks)
        if (const std::string wrong = check(block); !wrong.empty())
          keepFinding(block, FindingKind::Deadlock, -1, "", wrong, 0);
      return;
    }
    if (block.numWaiting && pollWaiters(block, /*spinning=*/false)) {
      idleTurns = 0;
      continue;
    }
    if (!block.deferred.empty()) {
      idleTurns = 0;
      doDeferred(block, stacks);
      continue;
    }
    // Threads that only gave up their turn come before a wave goes on without some of its lanes.
    const bool patient = block.numWaiting && idleTurns < uint64_t{100} * block.numWaiting;
    if (block.chip->vendor == Vendor::Amd && !patient) {
      bool any = false;
      for (const auto &meetings : block.meetings)
        any |= !meetings.empty();
      if (any) {
        Work work{&block, &partial};
        jump(stacks.make(stacks.get(block.numThreads()), workMain), &work);
        continue;
      }
    }
    idleTurns += block.numWaiting;
    if (block.numWaiting && idleTurns < maxIdleTurns && pollWaiters(block, /*spinning=*/true))
      continue;
    if (patient) {
      idleTurns = uint64_t{100} * block.numWaiting;
      continue;
    }
    keepFinding(block, FindingKind::Deadlock, -1, "", describeWaiters(block), 0);
  }
}

bool flashc::emulator::runBlock(Worker &worker, KernelFunction kernel, void *const *params, unsigned threads,
                                uint64_t sharedBytes) {
  Block &block = worker.block;
  const unsigned size = block.chip->subgroupSize;
  block.shared = &worker.shared;
  worker.shared.reset(sharedBytes);
  block.slots.clear();
  block.finalChecks.clear();
  block.deferred.clear();
  block.ready.clear();
  block.failed = false;
  block.numDone = block.numWaiting = 0;
  block.meetings.resize((threads + size - 1) / size);
  block.warpgroupMeetings.resize((threads + 127) / 128);
  for (auto *meetings : {&block.meetings, &block.warpgroupMeetings})
    for (auto &list : *meetings)
      list.clear();
  block.threads.resize(threads);
  block.joint = block.makeClock();
  for (unsigned i = 0; i != threads; ++i) {
    Thread &thread = block.threads[i];
    thread.sharedBase = worker.shared.base();
    thread.block = &block;
    thread.index = i;
    thread.lane = i % size;
    thread.subgroup = i / size;
    thread.clock = block.joint;
    thread.clock[i] = 1;
    thread.published = thread.arrived = block.joint;
    thread.status = Thread::Status::Ready;
    thread.current = nullptr;
    thread.waitingFor = nullptr;
    thread.steps = 0;
    thread.slots.clear();
    thread.stack = worker.stacks.get(i);
    if (!thread.stack || !worker.stacks.get(threads)) {
      keepFinding(block, FindingKind::InvalidArgument, i, "", "the host has no memory for the thread's stack", 0);
      return false;
    }
    thread.stackBytes = worker.stacks.size();
    thread.context = worker.stacks.make(thread.stack, threadMain);
    block.ready.push_back(&thread);
  }
  runThreads(block, worker.stacks, kernel, params);
  return !block.failed;
}

// mbarrier.*: barriers in shared memory that count arrivals and bytes, in phases.

#include "emulator/instructions/Mbarrier.h"
#include "emulator/Cluster.h"
#include "emulator/instructions/Families.h"

namespace flashc::emulator {

constexpr uint32_t mostArrivals = (1u << 20) - 1;
constexpr int64_t mostTransactions = (1 << 20) - 1;
constexpr uint64_t objectBytes = 8;
/// What the eight bytes of an object hold: its real contents are opaque.
constexpr uint64_t objectContents = 0x6d62617272696572;

static std::string hex(uint64_t address) {
  char text[24];
  snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(address));
  return text;
}

/// The block whose object an instruction names.
static Block &ownerOf(Thread &thread, uint64_t address, Mbarriers::Reach reach) {
  Block &own = *thread.block;
  Block *owner = own.shared->inWindow(address) || own.clusterBlocks == 1 ? &own : own.cluster->ownerOf(address);
  if (!owner || owner == &own)
    return own;
  if (reach == Mbarriers::Reach::Block)
    thread.fail(FindingKind::InvalidArgument,
                "the mbarrier lies in shared memory of block " + std::to_string(owner->index) +
                    "; this instruction takes one of the own block",
                address);
  own.cluster->reach(thread, *owner, address, thread.current ? thread.current->text : "");
  return *owner;
}

Mbarrier &Mbarriers::find(Thread &thread, uint64_t address, Reach reach) {
  if (address % objectBytes)
    thread.fail(FindingKind::Misaligned, "an mbarrier object has to be 8-byte aligned", address);
  Block &owner = ownerOf(thread, address, reach);
  auto &objects = owner.state<Mbarriers>().objects;
  auto found = objects.find(address);
  if (found == objects.end() || !found->second.valid)
    thread.fail(FindingKind::InvalidArgument, "there is no initialised mbarrier object at " + hex(address), address);
  Mbarrier &barrier = found->second;
  if (thread.clock[barrier.initialiser] < barrier.initialised)
    thread.fail(FindingKind::Race,
                "no barrier orders this use of the mbarrier after its initialisation by " +
                    thread.block->agentName(barrier.initialiser),
                address);
  thread.block->check(owner.shared->atomic(thread.observer(), address, objectBytes), thread.index,
                      thread.current ? thread.current->text : "", address, objectBytes, true);
  return barrier;
}

void completeTransactions(Block &block, Mbarrier &barrier, uint64_t bytes, AsyncUnits::Work work) {
  AsyncUnits::tell(barrier.arriving, work);
  barrier.transactions -= int64_t(bytes);
  barrier.settle();
}

/// mbarrier.init [address], count
static void executeInit(Group &group) {
  for (Lane lane : group) {
    Thread &thread = lane.thread();
    Block &block = group.block();
    uint64_t address = lane.get<uint64_t>(0);
    uint32_t count = lane.get<uint32_t>(1);
    if (count < 1 || count > mostArrivals)
      lane.fail(FindingKind::InvalidArgument,
                "an mbarrier expects " + std::to_string(count) + " arrivals, allowed are 1 to " +
                    std::to_string(mostArrivals),
                address);
    if (address % objectBytes)
      lane.fail(FindingKind::Misaligned, "an mbarrier object has to be 8-byte aligned", address);
    Mbarrier &barrier = block.state<Mbarriers>().objects[address];
    if (barrier.valid)
      lane.fail(FindingKind::InvalidArgument, "there is an mbarrier object at " + hex(address) + " already", address);
    thread.store<uint64_t>(address, objectContents, Space::Shared);
    barrier = Mbarrier();
    barrier.valid = true;
    barrier.expected = barrier.pending = count;
    barrier.owner = &block;
    barrier.initialiser = thread.agent;
    barrier.initialised = thread.clock[thread.agent];
    barrier.arriving = barrier.completed = block.makeClock();
    if (block.clusterBlocks > 1)
      barrier.clusterArriving = barrier.clusterCompleted = barrier.arriving;
  }
}

static void executeInval(Group &group) {
  for (Lane lane : group) {
    uint64_t address = lane.get<uint64_t>(0);
    Mbarriers::find(lane.thread(), address).valid = false;
  }
}

static void expectTransactions(Lane lane, Mbarrier &barrier, uint32_t bytes, uint64_t address) {
  barrier.transactions += bytes;
  if (barrier.transactions > mostTransactions)
    lane.fail(FindingKind::InvalidArgument,
              "the mbarrier waits for " + std::to_string(barrier.transactions) + " bytes, most are " +
                  std::to_string(mostTransactions),
              address);
}

/// A block has ended: arrivals from other blocks that nobody has waited for come too late for its shared memory.
static void checkRemoteArrivals(Thread &last) {
  Block &block = *last.block;
  for (const auto &[address, barrier] : block.state<Mbarriers>().objects)
    for (const auto &[agent, arrival] : barrier.remote)
      if (barrier.observed <= arrival.phase && block.joint[agent] < arrival.now)
        block.fail(FindingKind::NotRunning, last.index, "",
                   "the block has ended without a wait for the arrival of " + block.agentName(agent) +
                       " at its mbarrier at " + hex(address),
                   address);
}

/// What an arrival hands over, and to whom: mbarrier.arrive{.sem}{.scope}, .release and .cta where nothing is said.
static void release(Lane lane, Mbarrier &barrier) {
  Thread &thread = lane.thread();
  const Call &call = lane.call();
  const bool ownBlock = barrier.owner == thread.block;
  if (!ownBlock) {
    Block &owner = *barrier.owner;
    if (barrier.remote.empty())
      owner.endChecks.push_back(checkRemoteArrivals);
    barrier.remote[thread.agent] = {barrier.phase, thread.clock[thread.agent]};
    if (call.has("shared::cluster") && call.numDestinations > 0 && call.operands[0].kind != Operand::Kind::Sink)
      lane.fail(FindingKind::InvalidArgument,
                "an arrival at another block's mbarrier returns no state: expected the destination _");
  }
  if (call.has("relaxed"))
    return;
  if (ownBlock)
    thread.release(barrier.arriving);
  else if (call.has("cluster"))
    thread.release(barrier.clusterArriving);
}

static void arrive(Lane lane, unsigned addressOperand, uint32_t count, bool hasTransactions, uint32_t transactions,
                   bool drop = false) {
  Thread &thread = lane.thread();
  uint64_t address = lane.get<uint64_t>(addressOperand);
  Mbarrier &barrier = Mbarriers::find(thread, address, Mbarriers::Reach::Cluster);
  if (hasTransactions)
    expectTransactions(lane, barrier, transactions, address);
  if (count < 1 || count > barrier.pending)
    lane.fail(FindingKind::InvalidArgument,
              "arrives " + std::to_string(count) + " times at an mbarrier that waits for " +
                  std::to_string(barrier.pending) + " of " + std::to_string(barrier.expected) + " arrivals",
              address);
  release(lane, barrier);
  uint64_t phase = barrier.phase;
  barrier.pending -= count;
  if (drop)
    barrier.expected -= count;
  barrier.settle();
  if (addressOperand > 0)
    lane.set<uint64_t>(0, phase);
}

/// mbarrier.arrive state, [address] {, count}
static void executeArrive(Group &group) {
  for (Lane lane : group) {
    unsigned address = lane.call().numDestinations;
    bool counted = lane.call().numOperands() > address + 1;
    arrive(lane, address, counted ? lane.get<uint32_t>(address + 1) : 1, false, 0);
  }
}
/// mbarrier.arrive.expect_tx state, [address], bytes
static void executeArriveExpect(Group &group) {
  for (Lane lane : group) {
    unsigned address = lane.call().numDestinations;
    arrive(lane, address, 1, true, lane.get<uint32_t>(address + 1));
  }
}
static void executeArriveDrop(Group &group) {
  for (Lane lane : group) {
    unsigned address = lane.call().numDestinations;
    bool counted = lane.call().numOperands() > address + 1;
    arrive(lane, address, counted ? lane.get<uint32_t>(address + 1) : 1, false, 0, /*drop=*/true);
  }
}
/// mbarrier.expect_tx [address], bytes
static void executeExpect(Group &group) {
  for (Lane lane : group) {
    uint64_t address = lane.get<uint64_t>(0);
    Mbarrier &barrier = Mbarriers::find(lane.thread(), address, Mbarriers::Reach::Cluster);
    expectTransactions(lane, barrier, lane.get<uint32_t>(1), address);
  }
}
/// mbarrier.complete_tx [address], bytes
static void executeComplete(Group &group) {
  for (Lane lane : group) {
    uint64_t address = lane.get<uint64_t>(0);
    Mbarrier &barrier = Mbarriers::find(lane.thread(), address, Mbarriers::Reach::Cluster);
    barrier.transactions -= lane.get<uint32_t>(1);
    barrier.settle();
  }
}

namespace {
/// What a waiting thread asks for: the phase with a parity, or the phase of an arrival's state.
struct Wait {
  Mbarrier *barrier;
  bool byParity;
  uint64_t value;
  bool passed() const { return byParity ? barrier->passed(uint32_t(value)) : barrier->phase > value; }
};
/// How often a thread has asked in vain for the same phase.
struct Polls {
  uint64_t address = 0, phase = 0;
  unsigned count = 0;
};
} // namespace

/// mbarrier.test_wait and try_wait d, [address], state or parity {, time}
///
/// try_wait may come back without success at any time, so the first one does; kernels ask again, and the second waits
/// until the phase is complete: a kernel that never asks again is found out, one that does wastes no time.
static void waitForPhase(Group &group, bool mayBlock) {
  for (Lane lane : group) {
    Thread &thread = lane.thread();
    uint64_t address = lane.get<uint64_t>(1);
    Mbarrier &barrier = Mbarriers::find(thread, address);
    Wait wait{&barrier, lane.call().has("parity"), lane.get<uint64_t>(2)};
    if (wait.byParity && wait.value > 1)
      lane.fail(FindingKind::InvalidArgument, "a parity of " + std::to_string(wait.value) + ", expected 0 or 1",
                address);
    Polls &polls = thread.state<Polls>();
    if (!wait.passed()) {
      bool again = polls.address == address && polls.phase == barrier.phase && polls.count > 0;
      polls = {address, barrier.phase, polls.count + 1};
      if (mayBlock && again)
        thread.wait([](void *context) { return static_cast<Wait *>(context)->passed(); }, &wait,
                    "a phase of the mbarrier", address);
      else
        thread.yield();
    }
    bool passed = wait.passed();
    if (passed) {
      if (!lane.call().has("relaxed"))
        thread.acquire(barrier.completed);
      if (lane.call().has("cluster") && thread.block->clusterBlocks > 1)
        thread.acquire(barrier.clusterCompleted);
      barrier.observed = std::max(barrier.observed, wait.byParity ? barrier.phase : wait.value + 1);
      polls.count = 0;
    }
    lane.set<uint8_t>(0, passed);
  }
}
static void executeTestWait(Group &group) { waitForPhase(group, /*mayBlock=*/false); }
static void executeTryWait(Group &group) { waitForPhase(group, /*mayBlock=*/true); }

/// fence.mbarrier_init: the thread's initialisations are visible to the async proxy and to the cluster.
static void executeFenceInit(Group &group) {
  for (Lane lane : group) {
    for (auto &[address, barrier] : group.block().state<Mbarriers>().objects)
      if (lane.thread().clock[barrier.initialiser] >= barrier.initialised)
        barrier.fenced = true;
    if (group.block().clusterBlocks > 1)
      lane.thread().publish();
  }
}

/// fence.proxy.async orders what the thread knows of, through whatever proxy, before what comes after it.
static void executeFenceProxy(Group &group) {
  if (group.call().has("global"))
    return;
  for (Lane lane : group)
    lane.thread().fenceProxy();
  executeFenceInit(group);
}

static void addMbarrier(InstructionSet &set, const char *ptx, const char *intrinsic, void (*execute)(Group &),
                        unsigned destinations) {
  set.add({ptx, Scope::Lane, execute, destinations});
  if (intrinsic)
    set.add({intrinsic, Scope::Lane, execute});
}

void addMbarriers(InstructionSet &set) {
  addMbarrier(set, "mbarrier.init", "llvm.nvvm.mbarrier.init", executeInit, 0);
  addMbarrier(set, "mbarrier.inval", "llvm.nvvm.mbarrier.inval", executeInval, 0);
  addMbarrier(set, "mbarrier.arrive", "llvm.nvvm.mbarrier.arrive", executeArrive, 1);
  addMbarrier(set, "mbarrier.arrive.expect_tx", nullptr, executeArriveExpect, 1);
  addMbarrier(set, "mbarrier.arrive_drop", "llvm.nvvm.mbarrier.arrive.drop", executeArriveDrop, 1);
  addMbarrier(set, "mbarrier.expect_tx", nullptr, executeExpect, 0);
  addMbarrier(set, "mbarrier.complete_tx", nullptr, executeComplete, 0);
  addMbarrier(set, "mbarrier.test_wait", "llvm.nvvm.mbarrier.test.wait", executeTestWait, 1);
  addMbarrier(set, "mbarrier.try_wait", nullptr, executeTryWait, 1);
  set.add({"fence.mbarrier_init", Scope::Lane, executeFenceInit, 0});
  set.add({"fence.proxy.async", Scope::Lane, executeFenceProxy, 0});
}

} // namespace flashc::emulator

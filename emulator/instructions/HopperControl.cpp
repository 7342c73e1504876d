// What steers warps and blocks on sm_90: elect.sync, setmaxnreg, clusters of one block, dependent grids.

#include "emulator/instructions/Families.h"

#include <algorithm>
#include <map>

namespace flashc::emulator {

/// elect.sync d|p, mask: one lane of the mask is told so; the manual leaves open which, it is the lowest here.
static void executeElect(Group &group) {
  const unsigned leader = group[0].index();
  for (Lane lane : group) {
    const unsigned results = lane.call().numDestinations;
    if (results == 2)
      lane.set<uint32_t>(0, leader);
    lane.set<uint8_t>(results - 1, lane.index() == leader);
  }
}

namespace {
/// Registers a thread of each warpgroup that has set a number.
struct Registers {
  std::map<unsigned, unsigned> ofWarpgroup;
};
constexpr unsigned registersOfBlock = 65536, warpgroupSize = 128;

/// What an increase waits for: at the end each warpgroup has what it set last, or what a block of so many threads
/// begins with.
std::string checkRegisters(Block &block) {
  const auto &registers = block.state<Registers>().ofWarpgroup;
  const unsigned warpgroups = (block.numThreads() + warpgroupSize - 1) / warpgroupSize;
  const unsigned atFirst = std::min(registersOfBlock / (warpgroups * warpgroupSize) / 8 * 8, 248u);
  unsigned all = 0;
  for (unsigned i = 0; i != warpgroups; ++i) {
    const auto found = registers.find(i);
    all += (found == registers.end() ? atFirst : found->second) * warpgroupSize;
  }
  if (all <= registersOfBlock)
    return "";
  return "the warpgroups ask for " + std::to_string(all) + " registers, those that gave up none hold " +
         std::to_string(atFirst) + " a thread, and a multiprocessor has " + std::to_string(registersOfBlock) +
         ": setmaxnreg.inc never returns";
}
} // namespace

/// setmaxnreg.inc and .dec: every thread of the warpgroup executes it, and the pool of the block has the registers.
static void setRegisters(Group &group, bool increase) {
  Lane first = group[0];
  const unsigned count = first.get<uint32_t>(0);
  if (count < 24 || count > 256 || count % 8)
    first.fail(FindingKind::InvalidArgument,
               std::to_string(count) + " registers, expected a multiple of 8 from 24 to 256");
  auto &registers = group.block().state<Registers>().ofWarpgroup;
  const unsigned warpgroup = first.thread().index / warpgroupSize;
  const auto before = registers.find(warpgroup);
  if (before != registers.end() && (increase ? count < before->second : count > before->second))
    first.fail(FindingKind::InvalidArgument, std::string(increase ? "an increase" : "a decrease") + " from " +
                                                 std::to_string(before->second) + " to " + std::to_string(count) +
                                                 " registers");
  if (registers.empty())
    group.block().finalChecks.push_back(checkRegisters);
  registers[warpgroup] = count;
}
static void executeIncrease(Group &group) { setRegisters(group, /*increase=*/true); }
static void executeDecrease(Group &group) { setRegisters(group, /*increase=*/false); }

static void executeNothing(Group &) {}

template <unsigned value> static void executeConstant(Group &group) {
  for (Lane lane : group)
    lane.set<uint64_t>(0, value);
}
static void executeClusterId(Group &group) {
  for (Lane lane : group)
    lane.set<uint64_t>(0, uint64_t(group.block().index));
}
static void executeClusterCount(Group &group) {
  for (Lane lane : group)
    lane.set<uint64_t>(0, uint64_t(group.block().numBlocks));
}

namespace {
/// The barrier of a cluster of one block: all threads arrive, and wait for a phase.
struct ClusterBarrier {
  unsigned arrived = 0;
  uint64_t phase = 0;
  Clock arriving, completed;
};
/// Which phase a thread has arrived in.
struct ClusterArrival {
  uint64_t phase = 0;
  bool waits = false;
};
struct ClusterWait {
  ClusterBarrier *barrier;
  uint64_t phase;
};
} // namespace

static void executeClusterArrive(Group &group) {
  Block &block = group.block();
  ClusterBarrier &barrier = block.state<ClusterBarrier>();
  for (Lane lane : group) {
    Thread &thread = lane.thread();
    ClusterArrival &arrival = thread.state<ClusterArrival>();
    if (arrival.waits)
      lane.fail(FindingKind::InvalidArgument, "barrier.cluster.arrive again before barrier.cluster.wait");
    arrival = {barrier.phase, true};
    if (barrier.arrived == 0)
      barrier.arriving = thread.clock;
    thread.release(barrier.arriving);
    if (++barrier.arrived == block.numThreads()) {
      barrier.arrived = 0;
      barrier.completed = barrier.arriving;
      ++barrier.phase;
    }
  }
}

static void executeClusterWait(Group &group) {
  ClusterBarrier &barrier = group.block().state<ClusterBarrier>();
  for (Lane lane : group) {
    Thread &thread = lane.thread();
    ClusterArrival &arrival = thread.state<ClusterArrival>();
    if (!arrival.waits)
      lane.fail(FindingKind::InvalidArgument, "barrier.cluster.wait without barrier.cluster.arrive");
    arrival.waits = false;
    ClusterWait wait{&barrier, arrival.phase};
    if (barrier.phase == arrival.phase)
      thread.wait(
          [](void *context) {
            auto *wait = static_cast<ClusterWait *>(context);
            return wait->barrier->phase > wait->phase;
          },
          &wait, "the barrier of the cluster");
    thread.acquire(barrier.completed);
  }
}

/// mapa d, address, rank: the address in another block of the cluster, of which there is this one.
static void executeMapa(Group &group) {
  for (Lane lane : group) {
    if (lane.get<uint32_t>(2) != 0)
      lane.fail(FindingKind::InvalidArgument, "rank " + std::to_string(lane.get<uint32_t>(2)) + " in a cluster of one");
    lane.set<uint64_t>(0, lane.get<uint64_t>(1));
  }
}

void addHopperControl(InstructionSet &set) {
  set.add({"elect.sync", Scope::Subgroup, executeElect, 1, /*maskOperand=*/0});
  set.add({"llvm.nvvm.elect.sync", Scope::Subgroup, executeElect, 1, /*maskOperand=*/0});
  set.add({"setmaxnreg.inc", Scope::Warpgroup, executeIncrease, 0});
  set.add({"setmaxnreg.dec", Scope::Warpgroup, executeDecrease, 0});
  set.add({"llvm.nvvm.setmaxnreg.inc.sync.aligned.u32", Scope::Warpgroup, executeIncrease});
  set.add({"llvm.nvvm.setmaxnreg.dec.sync.aligned.u32", Scope::Warpgroup, executeDecrease});

  for (const char *dimension : {".x", ".y", ".z"}) {
    const std::string prefix = "llvm.nvvm.read.ptx.sreg.", end = dimension;
    const bool x = end == ".x";
    set.add({prefix + "clusterid" + end, Scope::Lane, x ? executeClusterId : executeConstant<0>});
    set.add({prefix + "nclusterid" + end, Scope::Lane, x ? executeClusterCount : executeConstant<1>});
    set.add({prefix + "cluster.ctaid" + end, Scope::Lane, executeConstant<0>});
    set.add({prefix + "cluster.nctaid" + end, Scope::Lane, executeConstant<1>});
  }
  set.add({"llvm.nvvm.read.ptx.sreg.cluster.ctarank", Scope::Lane, executeConstant<0>});
  set.add({"llvm.nvvm.read.ptx.sreg.cluster.nctarank", Scope::Lane, executeConstant<1>});
  set.add({"llvm.nvvm.is_explicit_cluster", Scope::Lane, executeConstant<0>});
  for (const char *name : {"llvm.nvvm.barrier.cluster.arrive", "barrier.cluster.arrive"})
    set.add({name, Scope::Lane, executeClusterArrive, 0});
  for (const char *name : {"llvm.nvvm.barrier.cluster.wait", "barrier.cluster.wait"})
    set.add({name, Scope::Lane, executeClusterWait, 0});
  for (const char *name : {"llvm.nvvm.mapa", "mapa"})
    set.add({name, Scope::Lane, executeMapa, 1});
  // Grids do not overlap here: what the one before wrote is there.
  for (const char *name : {"griddepcontrol.wait", "griddepcontrol.launch_dependents"})
    set.add({name, Scope::Lane, executeNothing, 0});
}

} // namespace flashc::emulator

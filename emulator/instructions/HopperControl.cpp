// What steers warps and blocks on sm_90: elect.sync, setmaxnreg, dependent grids.

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

void addHopperControl(InstructionSet &set) {
  set.add({"elect.sync", Scope::Subgroup, executeElect, 1, /*maskOperand=*/0});
  set.add({"llvm.nvvm.elect.sync", Scope::Subgroup, executeElect, 1, /*maskOperand=*/0});
  set.add({"setmaxnreg.inc", Scope::Warpgroup, executeIncrease, 0});
  set.add({"setmaxnreg.dec", Scope::Warpgroup, executeDecrease, 0});
  set.add({"llvm.nvvm.setmaxnreg.inc.sync.aligned.u32", Scope::Warpgroup, executeIncrease});
  set.add({"llvm.nvvm.setmaxnreg.dec.sync.aligned.u32", Scope::Warpgroup, executeDecrease});

  // Grids do not overlap here: what the one before wrote is there.
  for (const char *name : {"griddepcontrol.wait", "griddepcontrol.launch_dependents"})
    set.add({name, Scope::Lane, executeNothing, 0});
}

} // namespace flashc::emulator

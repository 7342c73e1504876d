//===- ThreadIds.cpp - special registers, address conversions ------------------===//

#include "emulator/AsmProgram.h"
#include "emulator/instructions/Families.h"

#include <iterator>
#include <utility>

using namespace flashc::emulator;

namespace {
/// A special register: in the intrinsic llvm.nvvm.read.ptx.sreg.NAME, in PTX %NAME.
struct Special {
  const char *intrinsic, *ptx;
  uint64_t (*value)(const Thread &);
};

template <uint64_t constant> uint64_t always(const Thread &) { return constant; }
uint64_t threadId(const Thread &thread) { return thread.index; }
uint64_t threadCount(const Thread &thread) { return thread.block->numThreads(); }
uint64_t blockId(const Thread &thread) { return static_cast<uint64_t>(thread.block->index); }
uint64_t blockCount(const Thread &thread) { return static_cast<uint64_t>(thread.block->numBlocks); }
uint64_t laneId(const Thread &thread) { return thread.lane; }
uint64_t subgroupId(const Thread &thread) { return thread.subgroup; }
uint64_t subgroupCount(const Thread &thread) { return thread.block->meetings.size(); }
uint64_t subgroupSize(const Thread &thread) { return thread.block->chip->subgroupSize; }
uint64_t lanesBelow(const Thread &thread) { return (uint64_t{1} << thread.lane) - 1; }
uint64_t lanesUpTo(const Thread &thread) { return (uint64_t{2} << thread.lane) - 1; }
uint64_t lanesAbove(const Thread &thread) { return 0xffffffff & ~lanesUpTo(thread); }
uint64_t lanesFrom(const Thread &thread) { return 0xffffffff & ~lanesBelow(thread); }
uint64_t laneBit(const Thread &thread) { return uint64_t{1} << thread.lane; }
// Clusters are rows of a grid that is one: y and z of all ids are 0, and of all counts 1.
uint64_t clusterId(const Thread &thread) { return blockId(thread) / thread.block->clusterBlocks; }
uint64_t clusterCount(const Thread &thread) { return blockCount(thread) / thread.block->clusterBlocks; }
uint64_t rank(const Thread &thread) { return thread.block->rank; }
uint64_t rankCount(const Thread &thread) { return thread.block->clusterBlocks; }
uint64_t isCluster(const Thread &thread) { return thread.block->explicitCluster; }
/// Time: a number that grows.
uint64_t clockRead(const Thread &thread) { return ++thread.block->state<uint64_t>(); }

const Special specials[] = {
    {"tid.x", "tid.x", threadId},
    {"tid.y", "tid.y", always<0>},
    {"tid.z", "tid.z", always<0>},
    {"ntid.x", "ntid.x", threadCount},
    {"ntid.y", "ntid.y", always<1>},
    {"ntid.z", "ntid.z", always<1>},
    {"ctaid.x", "ctaid.x", blockId},
    {"ctaid.y", "ctaid.y", always<0>},
    {"ctaid.z", "ctaid.z", always<0>},
    {"nctaid.x", "nctaid.x", blockCount},
    {"nctaid.y", "nctaid.y", always<1>},
    {"nctaid.z", "nctaid.z", always<1>},
    {"clusterid.x", "clusterid.x", clusterId},
    {"clusterid.y", "clusterid.y", always<0>},
    {"clusterid.z", "clusterid.z", always<0>},
    {"nclusterid.x", "nclusterid.x", clusterCount},
    {"nclusterid.y", "nclusterid.y", always<1>},
    {"nclusterid.z", "nclusterid.z", always<1>},
    {"cluster.ctaid.x", "cluster_ctaid.x", rank},
    {"cluster.ctaid.y", "cluster_ctaid.y", always<0>},
    {"cluster.ctaid.z", "cluster_ctaid.z", always<0>},
    {"cluster.nctaid.x", "cluster_nctaid.x", rankCount},
    {"cluster.nctaid.y", "cluster_nctaid.y", always<1>},
    {"cluster.nctaid.z", "cluster_nctaid.z", always<1>},
    {"cluster.ctarank", "cluster_ctarank", rank},
    {"cluster.nctarank", "cluster_nctarank", rankCount},
    {"laneid", "laneid", laneId},
    {"warpid", "warpid", subgroupId},
    {"nwarpid", "nwarpid", subgroupCount},
    {"warpsize", "warpsize", subgroupSize},
    {"lanemask.eq", "lanemask_eq", laneBit},
    {"lanemask.lt", "lanemask_lt", lanesBelow},
    {"lanemask.le", "lanemask_le", lanesUpTo},
    {"lanemask.gt", "lanemask_gt", lanesAbove},
    {"lanemask.ge", "lanemask_ge", lanesFrom},
    {"smid", "smid", always<0>},
    {"nsmid", "nsmid", always<1>},
    {"clock", "clock", clockRead},
    {"clock64", "clock64", clockRead},
    {"globaltimer", "globaltimer", clockRead},
};

template <size_t i> void read(Group &group) { group[0].set<uint64_t>(0, specials[i].value(group[0].thread())); }

template <size_t... i> void addSpecials(InstructionSet &set, std::index_sequence<i...>) {
  (set.add({std::string("llvm.nvvm.read.ptx.sreg.") + specials[i].intrinsic, Scope::Lane, read<i>}), ...);
}
} // namespace

SpecialRegister flashc::emulator::findSpecial(std::string_view name) {
  for (const Special &special : specials)
    if (name.substr(0, 1) == "%" && name.substr(1) == special.ptx)
      return special.value;
  return nullptr;
}

static void readExplicitCluster(Group &group) { group[0].set<bool>(0, isCluster(group[0].thread()) != 0); }

/// Operand 0 = operand 1: conversions between address spaces, which are one here.
static void copy(Group &group) { group[0].set<uint64_t>(0, group[0].get<uint64_t>(1)); }

template <bool shared> static void isSpace(Group &group) {
  const Lane lane = group[0];
  lane.set<bool>(0, group.block().shared->inWindow(lane.get<uint64_t>(1)) == shared);
}

void flashc::emulator::addThreadIds(InstructionSet &set) {
  addSpecials(set, std::make_index_sequence<std::size(specials)>());
  set.add({"llvm.nvvm.is_explicit_cluster", Scope::Lane, readExplicitCluster});
  for (const char *space : {"global", "shared", "local", "constant", "param"}) {
    set.add({std::string("llvm.nvvm.ptr.") + space + ".to.gen", Scope::Lane, copy});
    set.add({std::string("llvm.nvvm.ptr.gen.to.") + space, Scope::Lane, copy});
  }
  set.add({"llvm.nvvm.isspacep.shared", Scope::Lane, isSpace<true>});
  set.add({"llvm.nvvm.isspacep.global", Scope::Lane, isSpace<false>});
  // cvta.to.shared.u64 d, a   cvta.shared.u64 d, a
  set.add({"cvta", Scope::Lane, copy});
}

//===- ThreadIds.cpp - special registers, address conversions ------------------===//

#include "emulator/instructions/Families.h"

using namespace flashc::emulator;

template <uint64_t (*value)(const Thread &)> static void read(Group &group) {
  group[0].set<uint64_t>(0, value(group[0].thread()));
}
static uint64_t zero(const Thread &) { return 0; }
static uint64_t one(const Thread &) { return 1; }
static uint64_t threadId(const Thread &thread) { return thread.index; }
static uint64_t threadCount(const Thread &thread) { return thread.block->numThreads(); }
static uint64_t blockId(const Thread &thread) { return static_cast<uint64_t>(thread.block->index); }
static uint64_t blockCount(const Thread &thread) { return static_cast<uint64_t>(thread.block->numBlocks); }
static uint64_t laneId(const Thread &thread) { return thread.lane; }
static uint64_t subgroupId(const Thread &thread) { return thread.subgroup; }
static uint64_t subgroupSize(const Thread &thread) { return thread.block->chip->subgroupSize; }
static uint64_t lanesBelow(const Thread &thread) { return (uint64_t{1} << thread.lane) - 1; }
static uint64_t lanesUpTo(const Thread &thread) { return (uint64_t{2} << thread.lane) - 1; }
static uint64_t lanesAbove(const Thread &thread) { return ~((uint64_t{2} << thread.lane) - 1); }
static uint64_t lanesFrom(const Thread &thread) { return ~((uint64_t{1} << thread.lane) - 1); }
static uint64_t laneBit(const Thread &thread) { return uint64_t{1} << thread.lane; }

/// Operand 0 = operand 1: conversions between address spaces, which are one here.
static void copy(Group &group) { group[0].set<uint64_t>(0, group[0].get<uint64_t>(1)); }

template <bool shared> static void isSpace(Group &group) {
  const Lane lane = group[0];
  lane.set<bool>(0, group.block().shared->inWindow(lane.get<uint64_t>(1)) == shared);
}

/// Time: a number that grows.
static void clockRead(Group &group) { group[0].set<uint64_t>(0, ++group.block().state<uint64_t>()); }

void flashc::emulator::addThreadIds(InstructionSet &set) {
  const std::string prefix = "llvm.nvvm.read.ptx.sreg.";
  for (const char *id : {"tid.y", "tid.z", "ctaid.y", "ctaid.z", "cluster.ctarank", "cluster.ctaid.x"})
    set.add({prefix + id, Scope::Lane, read<zero>});
  for (const char *count : {"ntid.y", "ntid.z", "nctaid.y", "nctaid.z", "cluster.nctarank", "cluster.nctaid.x"})
    set.add({prefix + count, Scope::Lane, read<one>});
  set.add({prefix + "tid.x", Scope::Lane, read<threadId>});
  set.add({prefix + "ntid.x", Scope::Lane, read<threadCount>});
  set.add({prefix + "ctaid.x", Scope::Lane, read<blockId>});
  set.add({prefix + "nctaid.x", Scope::Lane, read<blockCount>});
  set.add({prefix + "laneid", Scope::Lane, read<laneId>});
  set.add({prefix + "warpid", Scope::Lane, read<subgroupId>});
  set.add({prefix + "warpsize", Scope::Lane, read<subgroupSize>});
  set.add({prefix + "lanemask.eq", Scope::Lane, read<laneBit>});
  set.add({prefix + "lanemask.lt", Scope::Lane, read<lanesBelow>});
  set.add({prefix + "lanemask.le", Scope::Lane, read<lanesUpTo>});
  set.add({prefix + "lanemask.gt", Scope::Lane, read<lanesAbove>});
  set.add({prefix + "lanemask.ge", Scope::Lane, read<lanesFrom>});
  for (const char *clock : {"clock", "clock64", "globaltimer"})
    set.add({prefix + clock, Scope::Lane, clockRead});
  for (const char *space : {"global", "shared", "local", "constant", "param"}) {
    set.add({std::string("llvm.nvvm.ptr.") + space + ".to.gen", Scope::Lane, copy});
    set.add({std::string("llvm.nvvm.ptr.gen.to.") + space, Scope::Lane, copy});
  }
  set.add({"llvm.nvvm.isspacep.shared", Scope::Lane, isSpace<true>});
  set.add({"llvm.nvvm.isspacep.global", Scope::Lane, isSpace<false>});
  // cvta.to.shared.u64 d, a   cvta.shared.u64 d, a
  set.add({"cvta", Scope::Lane, copy});
}

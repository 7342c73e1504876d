//===- AmdThreads.cpp - ids, barriers and mathematics of AMD's GPUs ------------===//

#include "emulator/Barriers.h"
#include "emulator/instructions/Families.h"
#include "emulator/instructions/NarrowFloats.h"

#include <cmath>
#include <limits>

using namespace flashc::emulator;

namespace {
void zero(Group &group) { group[0].set<uint32_t>(0, 0); }
void workitemId(Group &group) { group[0].set<uint32_t>(0, group[0].thread().index); }
void workgroupId(Group &group) { group[0].set<uint32_t>(0, static_cast<uint32_t>(group.block().index)); }
void waveSize(Group &group) { group[0].set<uint32_t>(0, group.block().chip->subgroupSize); }

/// s_barrier: all waves of the workgroup.
void barrier(Group &group) {
  BlockBarrier &all = group.block().state<BlockBarriers>().barriers[0];
  if (!all.arrived)
    all.expected = group.block().numThreads();
  all.wait(group[0].thread(), false);
}

/// The same in assembly, which no access of memory moves across.
void barrierStatement(Group &group) {
  barrier(group);
  group[0].thread().takePublished();
}

/// s_waitcnt with lgkmcnt(0): what the wave wrote to LDS is there.
void waitStatement(Group &group) {
  const std::string &text = group.call().text;
  if (text.find("lgkmcnt(0)") != std::string::npos || text.find("waitcnt 0") != std::string::npos)
    group[0].thread().publish();
}
void wait(Group &group) {
  const bool rdna = group.block().chip->version >= 0x1100;
  const auto counts = group[0].get<uint32_t>(0);
  if ((rdna ? counts >> 4 & 0x3f : counts >> 8 & 0xf) == 0)
    group[0].thread().publish();
}

/// wave.barrier: the lanes of a wave come together.
void waveBarrier(Group &group) { group.synchronise(); }

void nothing(Group &) {}

/// What a call of these is for is done, and its result is not used.
void trap(Group &group) { group[0].fail(FindingKind::InvalidArgument, "the kernel gave up by a trap"); }

double exp2Of(double x) { return std::exp2(x); }
double log2Of(double x) { return std::log2(x); }
double reciprocal(double x) { return 1.0 / x; }
double reciprocalRoot(double x) { return 1.0 / std::sqrt(x); }
double root(double x) { return std::sqrt(x); }
double fraction(double x) { return x - std::floor(x); }

/// v_exp_f32 and its kind flush subnormal inputs and results; the type tells from the operand's size.
template <double (*f)(double)> void unary(Group &group) {
  const Lane lane = group[0];
  const unsigned bytes = lane.call().operands[0].bytes;
  if (bytes == 8)
    return lane.set<double>(0, f(lane.get<double>(1)));
  if (bytes == 2)
    return lane.set<uint16_t>(0, f16Nearest(static_cast<float>(f(floatOfF16(lane.get<uint16_t>(1))))));
  const auto flush = [](float value) {
    return std::abs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
  };
  lane.set<float>(0, flush(static_cast<float>(f(flush(lane.get<float>(1))))));
}

} // namespace

void flashc::emulator::addAmdThreadIds(InstructionSet &set) {
  set.add({"llvm.amdgcn.workitem.id.x", Scope::Lane, workitemId});
  set.add({"llvm.amdgcn.workgroup.id.x", Scope::Lane, workgroupId});
  for (const char *name : {"llvm.amdgcn.workitem.id.y", "llvm.amdgcn.workitem.id.z", "llvm.amdgcn.workgroup.id.y",
                           "llvm.amdgcn.workgroup.id.z"})
    set.add({name, Scope::Lane, zero});
  set.add({"llvm.amdgcn.wavefrontsize", Scope::Lane, waveSize});
}

void flashc::emulator::addAmdBarriers(InstructionSet &set) {
  set.add({"llvm.amdgcn.s.barrier", Scope::Lane, barrier, 0});
  set.add({"s_barrier", Scope::Lane, barrierStatement, 0});
  set.add({"llvm.amdgcn.s.waitcnt", Scope::Lane, wait, 0});
  set.add({"s_waitcnt", Scope::Lane, waitStatement, 0});
  set.add({"llvm.amdgcn.wave.barrier", Scope::Subgroup, waveBarrier, 0});
  // Order in time and hints to the scheduler.
  for (const char *name : {"llvm.amdgcn.s.wait", "llvm.amdgcn.sched.barrier", "llvm.amdgcn.sched.group.barrier",
                           "llvm.amdgcn.iglp.opt", "llvm.amdgcn.s.setprio", "llvm.amdgcn.s.sleep", "llvm.amdgcn.s.nop",
                           "s_nop", "s_setprio", "s_sleep", "s_waitcnt_depctr"})
    set.add({name, Scope::Lane, nothing, 0});
  for (const char *name : {"llvm.trap", "llvm.debugtrap", "s_trap", "llvm.amdgcn.endpgm"})
    set.add({name, Scope::Lane, trap, 0});
}

void flashc::emulator::addAmdMath(InstructionSet &set) {
  set.add({"llvm.amdgcn.exp2", Scope::Lane, unary<exp2Of>});
  set.add({"llvm.amdgcn.log", Scope::Lane, unary<log2Of>});
  set.add({"llvm.amdgcn.rcp", Scope::Lane, unary<reciprocal>});
  set.add({"llvm.amdgcn.rsq", Scope::Lane, unary<reciprocalRoot>});
  set.add({"llvm.amdgcn.sqrt", Scope::Lane, unary<root>});
  set.add({"llvm.amdgcn.fract", Scope::Lane, unary<fraction>});
}

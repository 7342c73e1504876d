//===- Shuffle.cpp - shuffles, votes and reductions of a warp ------------------===//

#include "emulator/instructions/Families.h"

using namespace flashc::emulator;

enum class Mode { Up, Down, Xor, Index };

/// PTX ISA, shfl.sync: where lane `lane` reads from, and whether that is within its segment.
static bool source(Mode mode, uint32_t lane, uint32_t b, uint32_t c, uint32_t &from) {
  const uint32_t offset = b & 31, clamp = c & 31, segment = c >> 8 & 31;
  const uint32_t last = (lane & segment) | (clamp & ~segment), first = lane & segment;
  bool inside = false;
  switch (mode) {
  case Mode::Up:
    from = lane - offset;
    inside = static_cast<int32_t>(from) >= static_cast<int32_t>(last);
    break;
  case Mode::Down:
    from = lane + offset;
    inside = from <= last;
    break;
  case Mode::Xor:
    from = lane ^ offset;
    inside = from <= last;
    break;
  case Mode::Index:
    from = first | (offset & ~segment);
    inside = from <= last;
    break;
  }
  if (!inside)
    from = lane;
  return inside;
}

/// shfl.sync.mode.b32 d[|p], a, b, c, membermask;  the intrinsic has the mask first.
template <Mode mode, bool intrinsic> static void shuffle(Group &group) {
  const Call &call = group.call();
  const unsigned d = call.numDestinations, a = d + intrinsic;
  uint32_t values[64] = {};
  bool present[64] = {};
  for (const Lane lane : group) {
    values[lane.index()] = lane.get<uint32_t>(a);
    present[lane.index()] = true;
  }
  for (const Lane lane : group) {
    uint32_t from = 0;
    const bool inside = source(mode, lane.index(), lane.get<uint32_t>(a + 1), lane.get<uint32_t>(a + 2), from);
    if (from >= 64 || !present[from])
      lane.fail(FindingKind::Divergence, "lane " + std::to_string(lane.index()) + " reads from lane " +
                                             std::to_string(from) + ", which does not take part");
    lane.set<uint32_t>(0, values[from]);
    if (d > 1)
      lane.set<bool>(1, inside);
  }
}

enum class Vote { All, Any, Uniform, Ballot };

/// vote.sync.mode d, a, membermask;  the intrinsic has the mask first.
template <Vote mode, bool intrinsic> static void vote(Group &group) {
  uint32_t ballot = 0;
  for (const Lane lane : group)
    ballot |= static_cast<uint32_t>(lane.get<bool>(1 + intrinsic)) << lane.index();
  const auto ones = static_cast<unsigned>(__builtin_popcount(ballot));
  for (const Lane lane : group)
    if (mode == Vote::Ballot)
      lane.set<uint32_t>(0, ballot);
    else
      lane.set<bool>(0, mode == Vote::All   ? ones == group.size()
                        : mode == Vote::Any ? ones != 0
                                            : ones == 0 || ones == group.size());
}

/// match.any.sync d, a, membermask: the lanes with the same value.
template <typename T, bool intrinsic> static void matchAny(Group &group) {
  const unsigned a = group.call().numDestinations + intrinsic;
  for (const Lane lane : group) {
    uint32_t same = 0;
    for (const Lane other : group)
      same |= static_cast<uint32_t>(other.get<T>(a) == lane.get<T>(a)) << other.index();
    lane.set<uint32_t>(0, same);
  }
}

/// match.all.sync d|p, a, membermask: the mask if all have one value, else 0.
template <typename T, bool intrinsic> static void matchAll(Group &group) {
  const unsigned d = group.call().numDestinations, a = d + intrinsic;
  uint32_t lanes = 0;
  bool equal = true;
  for (const Lane lane : group) {
    lanes |= uint32_t{1} << lane.index();
    equal &= lane.get<T>(a) == group[0].get<T>(a);
  }
  for (const Lane lane : group) {
    lane.set<uint32_t>(0, equal ? lanes : 0);
    if (d > 1)
      lane.set<bool>(1, equal);
  }
}

/// redux.sync.op d, a, membermask, in both forms.
template <typename T, T (*combine)(T, T)> static void redux(Group &group) {
  T value = group[0].get<T>(1);
  for (unsigned i = 1; i != group.size(); ++i)
    value = combine(value, group[i].get<T>(1));
  for (const Lane lane : group)
    lane.set<T>(0, value);
}
template <typename T> static T sum(T a, T b) {
  return static_cast<T>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
template <typename T> static T least(T a, T b) { return a < b ? a : b; }
template <typename T> static T most(T a, T b) { return a > b ? a : b; }
static uint32_t both(uint32_t a, uint32_t b) { return a & b; }
static uint32_t either(uint32_t a, uint32_t b) { return a | b; }
static uint32_t differ(uint32_t a, uint32_t b) { return a ^ b; }

/// activemask d: lanes run by themselves here, so each sees itself alone, as the manual allows.
static void activeMask(Group &group) { group[0].set<uint32_t>(0, uint32_t{1} << group[0].index()); }

void flashc::emulator::addShuffles(InstructionSet &set) {
  const auto shuffles = [&](const std::string &name, void (*intrinsic)(Group &), void (*statement)(Group &)) {
    set.add({"llvm.nvvm.shfl.sync." + name, Scope::Subgroup, intrinsic, 1, /*maskOperand=*/0});
    set.add({"shfl.sync." + name, Scope::Subgroup, statement, 1, /*maskOperand=*/3});
  };
  shuffles("up", shuffle<Mode::Up, true>, shuffle<Mode::Up, false>);
  shuffles("down", shuffle<Mode::Down, true>, shuffle<Mode::Down, false>);
  shuffles("bfly", shuffle<Mode::Xor, true>, shuffle<Mode::Xor, false>);
  shuffles("idx", shuffle<Mode::Index, true>, shuffle<Mode::Index, false>);
  // The intrinsics' names end in i32, f32, i32p, f32p.
  for (const char *type : {"i32p", "f32p"}) {
    set.add({std::string("llvm.nvvm.shfl.sync.up.") + type, Scope::Subgroup, shuffle<Mode::Up, true>, 2, 0});
    set.add({std::string("llvm.nvvm.shfl.sync.down.") + type, Scope::Subgroup, shuffle<Mode::Down, true>, 2, 0});
    set.add({std::string("llvm.nvvm.shfl.sync.bfly.") + type, Scope::Subgroup, shuffle<Mode::Xor, true>, 2, 0});
    set.add({std::string("llvm.nvvm.shfl.sync.idx.") + type, Scope::Subgroup, shuffle<Mode::Index, true>, 2, 0});
  }
  set.add({"llvm.nvvm.vote.all.sync", Scope::Subgroup, vote<Vote::All, true>, 1, 0});
  set.add({"llvm.nvvm.vote.any.sync", Scope::Subgroup, vote<Vote::Any, true>, 1, 0});
  set.add({"llvm.nvvm.vote.uni.sync", Scope::Subgroup, vote<Vote::Uniform, true>, 1, 0});
  set.add({"llvm.nvvm.vote.ballot.sync", Scope::Subgroup, vote<Vote::Ballot, true>, 1, 0});
  set.add({"vote.sync.all", Scope::Subgroup, vote<Vote::All, false>, 1, 1});
  set.add({"vote.sync.any", Scope::Subgroup, vote<Vote::Any, false>, 1, 1});
  set.add({"vote.sync.uni", Scope::Subgroup, vote<Vote::Uniform, false>, 1, 1});
  set.add({"vote.sync.ballot", Scope::Subgroup, vote<Vote::Ballot, false>, 1, 1});
  set.add({"llvm.nvvm.match.any.sync.i32", Scope::Subgroup, matchAny<uint32_t, true>, 1, 0});
  set.add({"llvm.nvvm.match.any.sync.i64", Scope::Subgroup, matchAny<uint64_t, true>, 1, 0});
  set.add({"llvm.nvvm.match.all.sync.i32p", Scope::Subgroup, matchAll<uint32_t, true>, 2, 0});
  set.add({"llvm.nvvm.match.all.sync.i64p", Scope::Subgroup, matchAll<uint64_t, true>, 2, 0});
  set.add({"match.any.sync.b32", Scope::Subgroup, matchAny<uint32_t, false>, 1, 1});
  set.add({"match.all.sync.b32", Scope::Subgroup, matchAll<uint32_t, false>, 1, 1});
  const auto reductions = [&](const std::string &name, const std::string &type, void (*execute)(Group &)) {
    set.add({"llvm.nvvm.redux.sync." + name, Scope::Subgroup, execute, 1, 1});
    set.add({"redux.sync." + (name[0] == 'u' ? name.substr(1) : name) + type, Scope::Subgroup, execute, 1, 1});
  };
  reductions("add", "", redux<uint32_t, sum<uint32_t>>);
  reductions("umin", ".u32", redux<uint32_t, least<uint32_t>>);
  reductions("umax", ".u32", redux<uint32_t, most<uint32_t>>);
  reductions("min", ".s32", redux<int32_t, least<int32_t>>);
  reductions("max", ".s32", redux<int32_t, most<int32_t>>);
  reductions("and", ".b32", redux<uint32_t, both>);
  reductions("or", ".b32", redux<uint32_t, either>);
  reductions("xor", ".b32", redux<uint32_t, differ>);
  set.add({"activemask", Scope::Lane, activeMask});
}

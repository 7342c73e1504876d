//===- AsyncCopy.cpp - cp.async: copies that a thread starts and waits for -----===//
//
// PTX ISA, cp.async: nothing orders a copy before the wait of the thread that started it. Data arrives at that wait
// here, or, in random order, at once for some copies; the bytes count as under way until then in both cases.
//
//===----------------------------------------------------------------------===//

#include "emulator/AsyncCopies.h"
#include "emulator/instructions/Families.h"

using namespace flashc::emulator;

/// More than a loop that ends starts before it waits.
static constexpr size_t mostCopies = 1 << 16;

static void arrive(Thread &thread, AsyncCopies::Copy &copy) {
  if (copy.arrived)
    return;
  copy.arrived = true;
  char *to = thread.block->shared->data(copy.to);
  std::memcpy(to, reinterpret_cast<const char *>(copy.from), copy.sourceBytes);
  std::memset(to + copy.sourceBytes, 0, copy.bytes - copy.sourceBytes);
}

/// Completes what belongs to groups before `group`.
void AsyncCopies::completeBefore(Thread &thread, uint64_t group) {
  size_t done = 0;
  for (; done != copies.size() && copies[done].group < group; ++done) {
    arrive(thread, copies[done]);
    thread.block->shared->finishCopy(thread.observer(), copies[done].to, copies[done].bytes);
  }
  copies.erase(copies.begin(), copies.begin() + static_cast<ptrdiff_t>(done));
}

/// cp.async.cX.shared.global [to], [from], bytes{, source bytes};  the intrinsic has the size in its name.
static void start(const Lane &lane, uint64_t bytes, uint64_t sourceBytes) {
  Thread &thread = lane.thread();
  const uint64_t to = lane.get<uint64_t>(0), from = lane.get<uint64_t>(1);
  if (bytes != 4 && bytes != 8 && bytes != 16)
    lane.fail(FindingKind::InvalidArgument, "expected 4, 8 or 16 bytes, got " + std::to_string(bytes));
  if (bytes != 16 && lane.call().has("cg"))
    lane.fail(FindingKind::InvalidArgument, "expected 16 bytes with .cg, got " + std::to_string(bytes));
  if (sourceBytes > bytes)
    lane.fail(FindingKind::InvalidArgument,
              "expected at most " + std::to_string(bytes) + " source bytes, got " + std::to_string(sourceBytes));
  if (to % bytes || from % bytes)
    lane.fail(FindingKind::Misaligned, "expected addresses that are multiples of " + std::to_string(bytes),
              to % bytes ? to : from);
  if (sourceBytes)
    thread.checkedRead(from, sourceBytes, Space::Global);
  Block &block = *thread.block;
  block.check(block.shared->beginCopy(thread.observer(), to, bytes), thread.index, lane.call().text, to, bytes, true);
  AsyncCopies &state = thread.state<AsyncCopies>();
  if (state.copies.size() == mostCopies)
    lane.fail(FindingKind::Deadlock, std::to_string(mostCopies) + " copies of the thread are under way");
  state.copies.push_back({to, from, static_cast<uint32_t>(bytes), static_cast<uint32_t>(sourceBytes), state.group});
  if (block.asyncOrder == AsyncOrder::Random && block.random() % 2)
    arrive(thread, state.copies.back());
}

template <unsigned bytes> static void copy(Group &group) { start(group[0], bytes, bytes); }
template <unsigned bytes> static void copySome(Group &group) { start(group[0], bytes, group[0].get<uint32_t>(2)); }
static void copyStatement(Group &group) {
  const Lane lane = group[0];
  const uint64_t bytes = lane.get<uint32_t>(2);
  start(lane, bytes, lane.call().numOperands() > 3 ? lane.get<uint32_t>(3) : bytes);
}

static void commit(Group &group) { ++group[0].thread().state<AsyncCopies>().group; }

static void waitGroup(Group &group) {
  Thread &thread = group[0].thread();
  AsyncCopies &state = thread.state<AsyncCopies>();
  const uint64_t left = group[0].get<uint32_t>(0);
  if (left < state.group)
    state.completeBefore(thread, state.group - left);
}

static void waitAll(Group &group) {
  Thread &thread = group[0].thread();
  AsyncCopies &state = thread.state<AsyncCopies>();
  state.completeBefore(thread, ++state.group);
}

void flashc::emulator::addAsyncCopies(InstructionSet &set) {
  const std::string prefix = "llvm.nvvm.cp.async.";
  const auto add = [&](const std::string &name, void (*whole)(Group &), void (*some)(Group &)) {
    set.add({prefix + name, Scope::Lane, whole, 0});
    set.add({prefix + name + ".s", Scope::Lane, some, 0});
  };
  add("ca.shared.global.4", copy<4>, copySome<4>);
  add("ca.shared.global.8", copy<8>, copySome<8>);
  add("ca.shared.global.16", copy<16>, copySome<16>);
  add("cg.shared.global.16", copy<16>, copySome<16>);
  set.add({prefix + "commit.group", Scope::Lane, commit, 0});
  set.add({prefix + "wait.group", Scope::Lane, waitGroup, 0});
  set.add({prefix + "wait.all", Scope::Lane, waitAll, 0});
  set.add({"cp.async.ca.shared", Scope::Lane, copyStatement, 0});
  set.add({"cp.async.cg.shared", Scope::Lane, copyStatement, 0});
  set.add({"cp.async.ca.shared::cta", Scope::Lane, copyStatement, 0});
  set.add({"cp.async.cg.shared::cta", Scope::Lane, copyStatement, 0});
  set.add({"cp.async.commit_group", Scope::Lane, commit, 0});
  set.add({"cp.async.wait_group", Scope::Lane, waitGroup, 0});
  set.add({"cp.async.wait_all", Scope::Lane, waitAll, 0});
}

//===- Access.cpp - checked accesses -------------------------------------------===//

#include "emulator/Access.h"
#include "emulator/Cluster.h"
#include "emulator/Instruction.h"

#include <cstring>

using namespace flashc::emulator;

namespace {
enum class Mode { Load, Store, Atomic };

/// What an access belongs to, for a report.
std::string textOf(const Thread &thread, const AccessSite *site) {
  return site ? site->text : thread.current ? thread.current->text : std::string();
}

[[gnu::noinline]] void failGlobal(Thread &thread, const AccessSite *site, uint64_t address, const std::string &detail) {
  thread.block->fail(FindingKind::OutOfBounds, thread.index, textOf(thread, site), detail, address);
}

[[gnu::noinline]] void failRace(Thread &thread, const AccessSite *site, uint64_t address, uint64_t bytes,
                                const std::string &region, const GlobalShadow::Conflict &conflict, bool write) {
  // Within a cluster, clocks tell; a conflict names its first block.
  Block &block = *thread.block;
  const bool unordered = conflict.block != block.firstOfCluster();
  const int64_t owner = conflict.block + conflict.agent / block.ownAgents();
  block.fail(FindingKind::Race, thread.index, textOf(thread, site),
             (write ? "a write of " : "a read of ") + std::to_string(bytes) + " bytes of '" + region + "'; " +
                 (owner != block.index ? "block " + std::to_string(owner) + ", " : std::string()) + "thread " +
                 std::to_string(block.threadOfAgent(conflict.agent)) + (conflict.write ? " wrote" : " read") +
                 " offset " + std::to_string(conflict.offset) +
                 (unordered ? " in the same launch, and nothing orders blocks" : " and no barrier orders the two"),
             address);
}

template <Mode mode>
void noteGlobal(Thread &thread, const AccessSite *site, unsigned region, uint64_t address, uint64_t bytes) {
  const GlobalMemory &memory = *thread.block->global;
  GlobalShadow *shadow = memory.shadow(region);
  if (!shadow)
    return;
  const Observer by = thread.observer();
  GlobalShadow::Conflict conflict;
  if (shadow->races({thread.block->firstOfCluster(), by.agent, by.now, by.sees, mode != Mode::Load,
                     mode == Mode::Atomic || (site && site->strong)},
                    address - memory[region].begin, bytes, conflict))
    failRace(thread, site, address, bytes, memory[region].name, conflict, mode != Mode::Load);
}

/// The parts of a global check beyond the region that was right last time. Which region it is, or -1.
[[gnu::noinline]] int findGlobal(Thread &thread, AccessSite *site, uint64_t address, uint64_t bytes, bool write) {
  const GlobalMemory &memory = *thread.block->global;
  const int region = memory.find(address, bytes);
  if (region >= 0) {
    const MemoryRegion &found = memory[static_cast<unsigned>(region)];
    if (write && !found.writable)
      failGlobal(thread, site, address, "a write to '" + found.name + "', which is only read");
    if (site && region < 256)
      site->region.store(static_cast<uint8_t>(region), std::memory_order_relaxed);
    return region;
  }
  // The thread's own memory, where its local variables are.
  const uint64_t stack = address - reinterpret_cast<uint64_t>(thread.stack);
  if (stack < thread.stackBytes && bytes <= thread.stackBytes - stack)
    return -1;
  if (!memory.isPermissive())
    failGlobal(thread, site, address, memory.describe(address, bytes));
  return -1;
}

template <Mode mode> void checkGlobal(Thread &thread, AccessSite *site, uint64_t address, uint64_t bytes) {
  const GlobalMemory &memory = *thread.block->global;
  const bool write = mode != Mode::Load;
  int region = site ? site->region.load(std::memory_order_relaxed) : -1;
  if (region < 0 || !memory.holds(static_cast<unsigned>(region), address, bytes, write))
    region = findGlobal(thread, site, address, bytes, write);
  if (region >= 0)
    noteGlobal<mode>(thread, site, static_cast<unsigned>(region), address, bytes);
}

template <Mode mode>
void checkShared(Thread &thread, SharedMemory &shared, const AccessSite *site, uint64_t address, uint64_t bytes) {
  const AccessProblem *problem = mode == Mode::Load    ? shared.read(thread.observer(), address, bytes)
                                 : mode == Mode::Store ? shared.write(thread.observer(), address, bytes)
                                                       : shared.atomic(thread.observer(), address, bytes);
  if (__builtin_expect(problem != nullptr, 0))
    thread.block->failAccess(*problem, thread.index, textOf(thread, site), address, bytes, mode != Mode::Load);
}

/// Shared memory of another block of the cluster. False if the address is in none.
template <Mode mode> bool checkRemote(Thread &thread, const AccessSite *site, uint64_t address, uint64_t bytes) {
  Block *owner = thread.block->cluster->ownerOf(address);
  if (!owner)
    return false;
  thread.block->cluster->reach(thread, *owner, address, textOf(thread, site));
  checkShared<mode>(thread, *owner->shared, site, address, bytes);
  owner->noteRemoteAccess(thread.agent, thread.clock[thread.agent]);
  return true;
}

template <Mode mode> void check(Thread &thread, AccessSite *site, Space space, uint64_t address, uint64_t bytes) {
  SharedMemory &own = *thread.block->shared;
  const bool generic = space == Space::Generic, anywhere = generic || space == Space::ClusterShared;
  if (space == Space::Shared || (anywhere && own.inWindow(address)))
    checkShared<mode>(thread, own, site, address, bytes);
  else if (anywhere && thread.block->clusterBlocks > 1 && checkRemote<mode>(thread, site, address, bytes))
    return;
  else if (space == Space::ClusterShared)
    checkShared<mode>(thread, own, site, address, bytes);
  else
    checkGlobal<mode>(thread, site, address, bytes);
}

template <Mode mode> void checkSite(Thread &thread, AccessSite *site, uint64_t address) {
  thread.countStep();
  if (__builtin_expect((address & (site->alignment - 1)) != 0, 0))
    thread.block->fail(FindingKind::Misaligned, thread.index, site->text,
                       "expected an address that is a multiple of " + std::to_string(site->alignment), address);
  check<mode>(thread, site, site->space, address, site->bytes);
}
} // namespace

void flashc::emulator::checkLoad(Thread *thread, AccessSite *site, uint64_t address) {
  checkSite<Mode::Load>(*thread, site, address);
}
void flashc::emulator::checkStore(Thread *thread, AccessSite *site, uint64_t address) {
  checkSite<Mode::Store>(*thread, site, address);
}
void flashc::emulator::checkAtomic(Thread *thread, AccessSite *site, uint64_t address) {
  checkSite<Mode::Atomic>(*thread, site, address);
}

void flashc::emulator::copyMemory(Thread *thread, AccessSite *site, uint64_t to, uint64_t from, uint64_t bytes) {
  if (bytes == 0)
    return;
  check<Mode::Load>(*thread, site, Space::Generic, from, bytes);
  check<Mode::Store>(*thread, site, Space::Generic, to, bytes);
  std::memmove(reinterpret_cast<void *>(to), reinterpret_cast<const void *>(from), bytes);
}

void flashc::emulator::fillMemory(Thread *thread, AccessSite *site, uint64_t to, uint8_t value, uint64_t bytes) {
  if (bytes == 0)
    return;
  check<Mode::Store>(*thread, site, Space::Generic, to, bytes);
  std::memset(reinterpret_cast<void *>(to), value, bytes);
}

char *Thread::checkedRead(uint64_t address, uint64_t bytes, Space space) {
  check<Mode::Load>(*this, nullptr, space, address, bytes);
  return reinterpret_cast<char *>(address);
}
char *Thread::checkedWrite(uint64_t address, uint64_t bytes, Space space) {
  check<Mode::Store>(*this, nullptr, space, address, bytes);
  return reinterpret_cast<char *>(address);
}
void Thread::load(uint64_t address, void *to, uint64_t bytes, Space space) {
  std::memcpy(to, checkedRead(address, bytes, space), bytes);
}
void Thread::store(uint64_t address, const void *from, uint64_t bytes, Space space) {
  std::memcpy(checkedWrite(address, bytes, space), from, bytes);
}

//===- SharedMemory.cpp - checks of shared memory by its shadow ----------------===//

#include "emulator/SharedMemory.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <type_traits>

using namespace flashc::emulator;

namespace {
AgentWord word(const Observer &by) { return agentWord(by.agent, by.now); }

// Accesses are of a few sizes: with a size that the compiler knows these loops are some vector instructions.
template <typename Size> bool uniform(const uint32_t *words, Size count) {
  uint32_t difference = 0;
  for (uint64_t i = 1; i < count; ++i)
    difference |= words[i] ^ words[0];
  return difference == 0;
}

template <typename Size> bool anySet(const uint8_t *flags, Size count) {
  uint8_t all = 0;
  for (uint64_t i = 0; i < count; ++i)
    all |= flags[i];
  return all != 0;
}

template <typename Size> void fill(uint32_t *words, Size count, uint32_t value) {
  for (uint64_t i = 0; i < count; ++i)
    words[i] = value;
}

template <typename Function> bool bySize(uint64_t count, Function function) {
  switch (count) {
  case 2:
    return function(std::integral_constant<uint64_t, 2>());
  case 4:
    return function(std::integral_constant<uint64_t, 4>());
  case 8:
    return function(std::integral_constant<uint64_t, 8>());
  case 16:
    return function(std::integral_constant<uint64_t, 16>());
  default:
    return function(count);
  }
}
} // namespace

SharedMemory::SharedMemory() {
  // MAP_32BIT gives the low 2 GB; twice the window holds an aligned one.
  void *low = mmap(nullptr, 2 * windowBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED)
    return;
  const uint64_t begin = reinterpret_cast<uint64_t>(low);
  const uint64_t aligned = (begin + windowBytes - 1) & ~(windowBytes - 1);
  if (aligned != begin)
    munmap(low, aligned - begin);
  const uint64_t end = begin + 2 * windowBytes;
  if (end != aligned + windowBytes)
    munmap(reinterpret_cast<void *>(aligned + windowBytes), end - aligned - windowBytes);
  window = reinterpret_cast<char *>(aligned);
}

SharedMemory::~SharedMemory() {
  if (window)
    munmap(window, windowBytes);
}

void SharedMemory::reset(uint64_t newBytes) {
  bytes = newBytes;
  writers.assign(bytes, 0);
  readers.assign(bytes, 0);
  atomics.clear();
  sets.reset();
  pending.assign(bytes, 0);
  numPending = 0;
  // Nobody may rely on what another block left: a value that shows.
  std::memset(window, 0xcd, bytes);
}

const AccessProblem *SharedMemory::outside(uint64_t address) {
  problem = {FindingKind::OutOfBounds, address, -1, false};
  return &problem;
}

bool SharedMemory::anyAtomic(uint64_t offset, uint64_t count) const {
  if (atomics.empty())
    return false;
  return std::any_of(&atomics[offset], &atomics[offset] + count, [](AgentSets::Set set) { return set != 0; });
}

void SharedMemory::noteRead(const Observer &by, uint64_t offset, uint64_t count) {
  const AgentWord self = word(by);
  AgentSets::Set before = readers[offset], after = sets.add(before, self, by.sees);
  for (uint64_t i = offset; i != offset + count; ++i) {
    if (readers[i] != before) {
      before = readers[i];
      after = sets.add(before, self, by.sees);
    }
    readers[i] = after;
  }
}

void SharedMemory::noteWrite(const Observer &by, uint64_t offset, uint64_t count) {
  fill(&writers[offset], count, word(by));
  // Whoever is behind this write is behind the accesses that it is behind.
  fill(&readers[offset], count, 0);
  if (!atomics.empty())
    fill(&atomics[offset], count, 0);
}

const AccessProblem *SharedMemory::checkRead(const Observer &by, uint64_t offset, uint64_t count) {
  if (count == 0)
    return nullptr;
  const AgentWord *written = &writers[offset], *read = &readers[offset];
  const bool simple = bySize(count, [&](auto size) {
    if (!uniform(written, size) || !uniform(read, size) || written[0] == 0 || !isOrdered(by.sees, written[0]) ||
        (numPending && anySet(&pending[offset], size)) || anyAtomic(offset, size))
      return false;
    fill(&readers[offset], size, sets.add(read[0], word(by), by.sees));
    return true;
  });
  if (simple)
    return nullptr;
  if (const AccessProblem *found = findRead(by, offset, count))
    return found;
  noteRead(by, offset, count);
  return nullptr;
}

const AccessProblem *SharedMemory::checkWrite(const Observer &by, uint64_t offset, uint64_t count) {
  if (count == 0)
    return nullptr;
  const AgentWord *written = &writers[offset], *read = &readers[offset];
  const bool simple = bySize(count, [&](auto size) {
    if (!uniform(written, size) || !uniform(read, size) || (written[0] && !isOrdered(by.sees, written[0])) ||
        sets.findUnordered(read[0], by.sees) || (numPending && anySet(&pending[offset], size)) ||
        anyAtomic(offset, size))
      return false;
    fill(&writers[offset], size, word(by));
    fill(&readers[offset], size, 0);
    return true;
  });
  if (simple)
    return nullptr;
  if (const AccessProblem *found = findWrite(by, offset, count))
    return found;
  noteWrite(by, offset, count);
  return nullptr;
}

const AccessProblem *SharedMemory::findRead(const Observer &by, uint64_t offset, uint64_t count) {
  for (uint64_t i = offset; i != offset + count; ++i) {
    const AgentWord written = writers[i];
    if (pending[i]) {
      problem = {FindingKind::PendingCopy, base() + i, static_cast<int>(agentOf(written)), true};
      return &problem;
    }
    if (written == 0) {
      problem = {FindingKind::Uninitialised, base() + i, -1, false};
      return &problem;
    }
    AgentWord earlier = isOrdered(by.sees, written) ? 0 : written;
    if (!earlier && !atomics.empty())
      earlier = sets.findUnordered(atomics[i], by.sees);
    if (earlier) {
      const bool fence = by.known && by.known != by.sees && isOrdered(by.known, earlier);
      problem = {fence ? FindingKind::MissingFence : FindingKind::Race, base() + i, static_cast<int>(agentOf(earlier)),
                 true};
      return &problem;
    }
  }
  return nullptr;
}

const AccessProblem *SharedMemory::findWrite(const Observer &by, uint64_t offset, uint64_t count) {
  for (uint64_t i = offset; i != offset + count; ++i) {
    const AgentWord written = writers[i];
    if (pending[i]) {
      problem = {FindingKind::PendingCopy, base() + i, static_cast<int>(agentOf(written)), true};
      return &problem;
    }
    // A write of the async proxy needs a fence behind earlier writes; behind earlier reads a barrier is enough.
    AgentWord earlier = written && !isOrdered(by.sees, written) ? written : 0;
    if (!earlier && !atomics.empty())
      earlier = sets.findUnordered(atomics[i], by.sees);
    const bool isWrite = earlier != 0;
    const Count *sees = !isWrite && by.known ? by.known : by.sees;
    if (!earlier)
      earlier = sets.findUnordered(readers[i], sees);
    if (earlier) {
      const bool fence = by.known && by.known != sees && isOrdered(by.known, earlier);
      problem = {fence ? FindingKind::MissingFence : FindingKind::Race, base() + i, static_cast<int>(agentOf(earlier)),
                 isWrite};
      return &problem;
    }
  }
  return nullptr;
}

const AccessProblem *SharedMemory::atomic(const Observer &by, uint64_t address, uint64_t count) {
  if (!inside(address, count))
    return outside(address);
  const uint64_t offset = address - base();
  if (atomics.empty())
    atomics.assign(bytes, 0);
  for (uint64_t i = offset; i != offset + count; ++i) {
    const AgentWord written = writers[i];
    if (pending[i]) {
      problem = {FindingKind::PendingCopy, base() + i, static_cast<int>(agentOf(written)), true};
      return &problem;
    }
    if (written == 0) {
      problem = {FindingKind::Uninitialised, base() + i, -1, false};
      return &problem;
    }
    const bool isWrite = !isOrdered(by.sees, written);
    if (const AgentWord earlier = isWrite ? written : sets.findUnordered(readers[i], by.sees)) {
      problem = {FindingKind::Race, base() + i, static_cast<int>(agentOf(earlier)), isWrite};
      return &problem;
    }
    atomics[i] = sets.add(atomics[i], word(by), by.sees);
  }
  return nullptr;
}

const AccessProblem *SharedMemory::beginCopy(const Observer &by, uint64_t address, uint64_t count) {
  if (!inside(address, count))
    return outside(address);
  if (const AccessProblem *found = checkWrite(by, address - base(), count))
    return found;
  std::memset(&pending[address - base()], 1, count);
  numPending += count;
  return nullptr;
}

void SharedMemory::finishCopy(const Observer &by, uint64_t address, uint64_t count) {
  std::memset(&pending[address - base()], 0, count);
  numPending -= count;
  noteWrite(by, address - base(), count);
}

//===- SharedMemory.h - a block's shared memory and its shadow -----------------===//
#ifndef FLASHC_EMULATOR_SHAREDMEMORY_H
#define FLASHC_EMULATOR_SHAREDMEMORY_H

#include "emulator/AgentSets.h"
#include "emulator/Clocks.h"
#include "emulator/Finding.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace flashc::emulator {

/// On whose behalf shared memory is accessed: the agent, its own count, and what it may see of the others
/// (Clock::generic() for ordinary accesses, Clock::fenced() for the async proxy).
struct Observer {
  unsigned agent = 0;
  Count now = 0;
  const Count *sees = nullptr;
  /// Clock::generic() of the same, to tell a missing proxy fence from a missing barrier; may be null.
  const Count *known = nullptr;
};

/// What is wrong with an access; `other` is the agent that made the earlier one.
struct AccessProblem {
  FindingKind kind = FindingKind::OutOfBounds;
  uint64_t address = 0;
  int other = -1;
  bool earlierWasWrite = false;
};

/// The shared memory of one worker: a window of host memory below 4 GB, so that 32-bit addresses are valid, aligned to
/// 1 MB, so that the 18 bits of an address in a matrix descriptor are enough. Every byte has a shadow: who wrote it
/// last and at which count, and all who read it since.
class SharedMemory {
public:
  static constexpr uint64_t windowBytes = 1 << 20;

  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory &) = delete;
  SharedMemory &operator=(const SharedMemory &) = delete;

  /// False when the system gave no memory below 4 GB.
  bool valid() const { return window != nullptr; }
  uint64_t base() const { return reinterpret_cast<uint64_t>(window); }
  uint64_t size() const { return bytes; }
  /// Whether an address is of the window, inside its used part or not.
  bool inWindow(uint64_t address) const { return address - base() < windowBytes; }
  char *data(uint64_t address) const { return window + (address - base()); }

  /// A new block begins: `bytes` of memory that nobody has written.
  void reset(uint64_t bytes);

  /// Each checks an access and records it; null, or what is wrong, valid until the next call.
  const AccessProblem *read(const Observer &by, uint64_t address, uint64_t count) {
    return inside(address, count) ? checkRead(by, address - base(), count) : outside(address);
  }
  const AccessProblem *write(const Observer &by, uint64_t address, uint64_t count) {
    return inside(address, count) ? checkWrite(by, address - base(), count) : outside(address);
  }
  /// Atomic accesses of the same bytes do not race with each other; with others they do.
  const AccessProblem *atomic(const Observer &by, uint64_t address, uint64_t count);

  /// An asynchronous copy into these bytes begins (a write by `by` that may happen at any time from now on); until
  /// finishCopy any access of them is a finding.
  const AccessProblem *beginCopy(const Observer &by, uint64_t address, uint64_t count);
  /// The copy is complete: the bytes count as written by `by`, whose data the caller has put there.
  void finishCopy(const Observer &by, uint64_t address, uint64_t count);

private:
  bool inside(uint64_t address, uint64_t count) const {
    const uint64_t offset = address - base();
    return offset <= bytes && count <= bytes - offset;
  }
  const AccessProblem *outside(uint64_t address);
  void noteRead(const Observer &by, uint64_t offset, uint64_t count);
  void noteWrite(const Observer &by, uint64_t offset, uint64_t count);
  bool anyAtomic(uint64_t offset, uint64_t count) const;
  const AccessProblem *checkRead(const Observer &by, uint64_t offset, uint64_t count);
  const AccessProblem *checkWrite(const Observer &by, uint64_t offset, uint64_t count);
  const AccessProblem *findRead(const Observer &by, uint64_t offset, uint64_t count);
  const AccessProblem *findWrite(const Observer &by, uint64_t offset, uint64_t count);

  char *window = nullptr;
  uint64_t bytes = 0;
  /// Of each byte. `atomics` has no elements before the first one.
  std::vector<AgentWord> writers;
  std::vector<AgentSets::Set> readers, atomics;
  AgentSets sets;
  /// Bytes with a copy under way, all in all, and which they are.
  std::vector<uint8_t> pending;
  uint64_t numPending = 0;
  AccessProblem problem;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_SHAREDMEMORY_H

//===- GlobalShadow.h - who accessed a launch's outputs ------------------------===//
#ifndef FLASHC_EMULATOR_GLOBALSHADOW_H
#define FLASHC_EMULATOR_GLOBALSHADOW_H

#include "emulator/AgentSets.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace flashc::emulator {

/// The shadow of memory that a launch may write: who wrote each byte last, and who read it last. Blocks of a launch
/// have no order, so that what one wrote no other may touch; threads of a block are ordered by barriers. Used by
/// several workers at a time.
class GlobalShadow {
public:
  struct Access {
    int64_t block = 0;
    unsigned agent = 0;
    Count now = 0;
    const Count *sees = nullptr;
    bool write = false, atomic = false;
  };
  /// An earlier access that nothing orders with this one.
  struct Conflict {
    uint64_t offset = 0; ///< of the byte
    int64_t block = -1;
    unsigned agent = 0;
    bool write = false;
  };

  /// Pages of zeros cost nothing before they are touched.
  explicit GlobalShadow(uint64_t bytes)
      : words(static_cast<std::atomic<uint64_t> *>(std::calloc(2 * bytes, sizeof(uint64_t))), &std::free) {}
  bool valid() const { return words != nullptr; }

  /// Notes an access; true, with the earlier access, if the two race.
  bool races(const Access &access, uint64_t offset, uint64_t count, Conflict &conflict) {
    // Blocks that exchange atomics may order all else by them: how, only the program knows.
    if (access.atomic)
      synchronised.store(true, std::memory_order_relaxed);
    const uint64_t self = (static_cast<uint64_t>(access.block) + 1) << 32 | uint64_t{access.atomic} << 31 |
                          agentWord(access.agent, access.now);
    for (uint64_t i = offset; i != offset + count; ++i) {
      std::atomic<uint64_t> &writer = words[2 * i], &reader = words[2 * i + 1];
      const uint64_t written =
          access.write ? writer.exchange(self, std::memory_order_relaxed) : writer.load(std::memory_order_relaxed);
      const uint64_t read =
          access.write ? reader.load(std::memory_order_relaxed) : reader.exchange(self, std::memory_order_relaxed);
      for (const uint64_t earlier : {written, access.write ? read : 0})
        if (earlier && conflicts(access, earlier)) {
          conflict = {i, static_cast<int64_t>(earlier >> 32) - 1, agentOf(static_cast<AgentWord>(earlier) & ~isAtomic),
                      earlier == written};
          return true;
        }
    }
    return false;
  }

private:
  static constexpr AgentWord isAtomic = AgentWord{1} << 31;

  bool conflicts(const Access &access, uint64_t earlier) const {
    const auto low = static_cast<AgentWord>(earlier);
    if (access.atomic && (low & isAtomic))
      return false;
    if (static_cast<int64_t>(earlier >> 32) - 1 != access.block)
      return !synchronised.load(std::memory_order_relaxed);
    return !isOrdered(access.sees, low & ~isAtomic);
  }

  std::unique_ptr<std::atomic<uint64_t>[], void (*)(void *)> words;
  std::atomic<bool> synchronised{false};
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_GLOBALSHADOW_H

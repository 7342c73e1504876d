//===- Access.h - loads and stores of a kernel's host code ---------------------===//
#ifndef FLASHC_EMULATOR_ACCESS_H
#define FLASHC_EMULATOR_ACCESS_H

#include "emulator/Block.h"

#include <atomic>
#include <cstdint>
#include <string>

namespace flashc::emulator {

/// One place in a kernel that accesses memory.
struct AccessSite {
  Space space = Space::Generic;
  uint32_t bytes = 0;
  uint32_t alignment = 1;
  bool strong = false; ///< volatile or atomic: does not race with others of its kind
  /// The region that the last access was in, tried first. A wrong one costs time only.
  std::atomic<uint8_t> region{0};
  std::string text; ///< the instruction, for reports
};

// What host code made from a kernel calls before the access itself. Each returns only if the access is allowed.
void checkLoad(Thread *thread, AccessSite *site, uint64_t address);
void checkStore(Thread *thread, AccessSite *site, uint64_t address);
void checkAtomic(Thread *thread, AccessSite *site, uint64_t address);
/// llvm.memcpy and llvm.memmove, llvm.memset.
void copyMemory(Thread *thread, AccessSite *site, uint64_t to, uint64_t from, uint64_t bytes);
void fillMemory(Thread *thread, AccessSite *site, uint64_t to, uint8_t value, uint64_t bytes);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_ACCESS_H

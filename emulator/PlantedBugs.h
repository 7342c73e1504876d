//===- PlantedBugs.h - kernels with one thing broken ---------------------------===//
//
// What shows that the emulator finds bugs: take a kernel that is right, break one thing in its IR, and see the launch
// end with a finding or with wrong results.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_EMULATOR_PLANTEDBUGS_H
#define FLASHC_EMULATOR_PLANTEDBUGS_H

#include "runtime/Error.h"

#include <string>
#include <string_view>
#include <vector>

namespace flashc::emulator {

enum class BugKind {
  DroppedBarrier,    ///< a barrier of the block is gone
  DroppedWait,       ///< a wait for asynchronous work, or the commit of a group, is gone
  DroppedFence,      ///< a proxy fence or wgmma's fence is gone
  ChangedSwizzle,    ///< an exclusive or in an address of shared memory is gone
  ChangedIndex,      ///< a constant in an address of shared memory is one unit of 16 bytes more
  SwappedFragment,   ///< two registers of a matrix instruction's operand are exchanged
  LoosenedPredicate, ///< a comparison that guards a global access or bounds a loop also holds for equality
};

/// "dropped barrier", ...
const char *toString(BugKind kind);

/// One way to break a kernel.
struct PlantedBug {
  BugKind kind;
  std::string instruction; ///< that is changed
  unsigned number;         ///< of it among those of its kind in the kernel
};

/// The bugs that can be planted in a kernel of a module, at most `perKind` of each kind, spread over the kernel.
/// FLASHC_ERROR_FORMAT for text that is no IR or has no such kernel.
Result<std::vector<PlantedBug>> findPlantableBugs(std::string_view irText, std::string_view kernel,
                                                  unsigned perKind = 4);

/// The module's text with that bug in the kernel.
Result<std::string> plantBug(std::string_view irText, std::string_view kernel, const PlantedBug &bug);

/// The module's text with a trap in the place of that bug: a launch that ends well never reaches it, so that the bug is
/// none.
Result<std::string> plantTrap(std::string_view irText, std::string_view kernel, const PlantedBug &bug);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_PLANTEDBUGS_H

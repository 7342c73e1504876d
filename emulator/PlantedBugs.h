//===- PlantedBugs.h - kernels with one thing broken ---------------------------===//
//
// What shows that the emulator finds bugs: take a kernel that is right, break one thing in its IR, and see the launch
// end with a finding or with wrong results.
//
// All bugs of a kernel are planted at once, each behind a question to the emulator whether it is the one to show
// (schemata: Untch, Offutt and Harrold, 1993), so that a kernel is compiled once and not once a bug. The same question
// tells which bugs change anything on a problem: a comparison that comes out as before has broken nothing.
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
  DroppedBarrier,     ///< a barrier of the block, of a role or of a warp is gone
  DroppedWait,        ///< a wait for asynchronous work, or the commit of a group, is gone
  DroppedArrival,     ///< an arrival at an mbarrier or at a named barrier is gone
  DroppedFence,       ///< a proxy fence, wgmma's fence or a fence of memory is gone
  ChangedSwizzle,     ///< an exclusive or in an address of shared memory is gone
  ChangedIndex,       ///< an address of shared memory is one unit of 16 bytes more
  ChangedDescriptor,  ///< a matrix descriptor has another stride or swizzle
  ChangedStage,       ///< an mbarrier is its neighbour
  ChangedParity,      ///< a wait is for the other phase of an mbarrier
  ChangedBytes,       ///< an mbarrier expects 16 bytes more
  ChangedCount,       ///< a named barrier counts a warp less
  ChangedRegisters,   ///< a warpgroup gives up no registers, or asks for more than there are
  SwappedFragment,    ///< two registers of a matrix instruction's operand are exchanged
  TouchedRegister,    ///< a register that an asynchronous product reads is used before its wait
  LoosenedPredicate,  ///< a comparison holds one step longer; with a number above 16, for an eighth of it more
  ShortenedPredicate, ///< a comparison fails as much earlier
};

/// "dropped barrier", ...
const char *toString(BugKind kind);

/// One way to break a kernel.
struct PlantedBug {
  BugKind kind = BugKind::DroppedBarrier;
  std::string instruction; ///< that is changed
  unsigned place = 0;      ///< of it among those of its kind in the kernel
  /// Why this bug changes nothing, where the IR proves it; empty otherwise.
  std::string harmless;
  /// Why it may be that no launch shows it, on any operands.
  std::string excuse;
};

struct PlantedKernel {
  std::string text;             ///< the module
  std::vector<PlantedBug> bugs; ///< bug i is number first + i of plantBugs
  std::vector<PlantedBug> left; ///< those that perKind leaves out
};

/// Plants bugs in a kernel of a module, at most `perKind` of each kind, spread over the kernel. Numbers begin at
/// `first`, above 0; Planting::active says which one shows. FLASHC_ERROR_FORMAT for text that is no IR or has no such
/// kernel.
Result<PlantedKernel> plantBugs(std::string_view irText, std::string_view kernel, unsigned first, unsigned perKind = 4);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_PLANTEDBUGS_H

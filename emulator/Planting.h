//===- Planting.h - which planted bug a launch shows ---------------------------===//
#ifndef FLASHC_EMULATOR_PLANTING_H
#define FLASHC_EMULATOR_PLANTING_H

#include <atomic>
#include <memory>

namespace flashc::emulator {

/// Of kernels with planted bugs (PlantedBugs.h): the one that shows, and those that would have changed something.
struct Planting {
  explicit Planting(unsigned bugs)
      : numBugs(bugs), touched(std::make_unique<std::atomic<bool>[]>(static_cast<size_t>(bugs) + 1)) {}

  unsigned numBugs;
  unsigned active = 0; ///< 0: none
  /// By number: a thread came by, and the bug would have given it another value or left out what it did.
  std::unique_ptr<std::atomic<bool>[]> touched;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_PLANTING_H

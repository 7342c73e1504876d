//===- Planting.h - which planted bug a launch shows ---------------------------===//
#ifndef FLASHC_EMULATOR_PLANTING_H
#define FLASHC_EMULATOR_PLANTING_H

#include <atomic>
#include <memory>

namespace flashc::emulator {

/// What host code of kernels reads and writes where a bug is planted (Instrument.cpp).
struct PlantedState {
  unsigned numBugs = 0;
  unsigned active = 0; ///< the bug that shows; 0: none
  /// By number: a thread came by, and the bug would have given it another value or left out what it did. 0 is nobody's.
  std::atomic<bool> *touched = nullptr;
};

/// Of kernels with planted bugs (PlantedBugs.h): the one that shows, and those that would have changed something.
struct Planting : PlantedState {
  explicit Planting(unsigned bugs) : flags(std::make_unique<std::atomic<bool>[]>(static_cast<size_t>(bugs) + 1)) {
    numBugs = bugs;
    touched = flags.get();
  }

private:
  std::unique_ptr<std::atomic<bool>[]> flags;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_PLANTING_H

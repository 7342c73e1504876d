//===- AsyncCopies.h - what a thread has under way with cp.async ---------------===//
#ifndef FLASHC_EMULATOR_ASYNCCOPIES_H
#define FLASHC_EMULATOR_ASYNCCOPIES_H

#include "emulator/Block.h"

#include <vector>

namespace flashc::emulator {

/// State of a thread. Also for what else waits for these copies (cp.async.mbarrier.arrive).
struct AsyncCopies {
  struct Copy {
    uint64_t to, from;
    uint32_t bytes, sourceBytes; ///< what is beyond the source is zero
    uint64_t group;
    bool arrived = false; ///< the data is there; it still counts as under way
  };
  std::vector<Copy> copies; ///< in the order in which they were started
  uint64_t group = 0;       ///< that the next copy belongs to: commits so far

  /// Completes the copies of groups before `group`.
  void completeBefore(Thread &thread, uint64_t group);
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_ASYNCCOPIES_H

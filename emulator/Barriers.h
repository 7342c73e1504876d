//===- Barriers.h - barriers of a block ----------------------------------------===//
#ifndef FLASHC_EMULATOR_BARRIERS_H
#define FLASHC_EMULATOR_BARRIERS_H

#include "emulator/Block.h"

#include <vector>

namespace flashc::emulator {

/// A barrier that counts threads: bar.sync of NVIDIA, s_barrier of AMD.
struct BlockBarrier {
  unsigned number = 0;
  unsigned expected = 0;         ///< threads; valid while some have arrived
  unsigned arrived = 0;          ///< threads, in this phase
  unsigned ones = 0;             ///< of them, those whose predicate holds
  unsigned result = 0;           ///< `ones` of the last complete phase
  unsigned total = 0;            ///< threads of the last complete phase
  Clock clock;                   ///< what those that arrived did
  std::vector<Thread *> waiting; ///< of those that arrived, those that sleep

  /// Arrives without waiting. The last one of a phase wakes the others.
  void arrive(Thread &thread, bool predicate);
  /// Arrives and waits for the phase to be complete.
  void wait(Thread &thread, bool predicate);
};

struct BlockBarriers {
  static constexpr unsigned count = 16;
  BlockBarrier barriers[count];
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_BARRIERS_H

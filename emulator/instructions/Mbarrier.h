/// mbarrier objects: PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier".
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_MBARRIER_H
#define FLASHC_EMULATOR_INSTRUCTIONS_MBARRIER_H

#include "emulator/Block.h"
#include "emulator/instructions/AsyncUnits.h"

#include <map>

namespace flashc::emulator {

/// One object. Its state lies here, not in the eight bytes of shared memory, which hold what no arithmetic would make.
struct Mbarrier {
  bool valid = false;
  uint32_t expected = 0;    ///< arrivals of a phase
  uint32_t pending = 0;     ///< arrivals that the current phase still wants
  int64_t transactions = 0; ///< bytes that the current phase still wants
  uint64_t phase = 0;       ///< the current one; all before it are complete
  Block *owner = nullptr;   ///< in whose shared memory it lies
  unsigned initialiser = 0; ///< the agent that initialised it, at which count of its clock
  Count initialised = 0;
  bool fenced = false; ///< the initialisation is visible to the async proxy
  Clock arriving;      ///< what those know who arrived in the current phase
  Clock completed;     ///< what a thread learns that waited for the latest completed phase
  /// The same of what arrives from other blocks of the cluster: only those learn it who wait at the cluster's scope.
  Clock clusterArriving, clusterCompleted;
  /// By agent: an arrival from another block.
  struct RemoteArrival {
    uint64_t phase;
    Count now;
  };
  std::map<unsigned, RemoteArrival> remote;
  uint64_t observed = 0; ///< phases that some thread has seen complete

  bool passed(uint32_t parity) const { return (phase & 1) != (parity & 1); }
  void settle() {
    if (pending != 0 || transactions != 0)
      return;
    ++phase;
    pending = expected;
    completed.join(arriving);
    clusterCompleted.join(clusterArriving);
  }
};

/// The objects of a block, by address.
struct Mbarriers {
  std::map<uint64_t, Mbarrier> objects;

  /// Whose objects an instruction may name.
  enum class Reach { Block, Cluster };
  /// The object at `address` that `thread` may use; the launch ends if there is none.
  static Mbarrier &find(Thread &thread, uint64_t address, Reach reach = Reach::Block);
};

/// The copy engine delivers bytes of a copy: complete_tx.
void completeTransactions(Block &block, Mbarrier &barrier, uint64_t bytes, AsyncUnits::Work work);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_MBARRIER_H

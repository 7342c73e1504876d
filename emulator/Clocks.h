//===- Clocks.h - which accesses a barrier has ordered -------------------------===//
//
// Vector clocks (Flanagan and Freund, FastTrack, 2009): every agent of a block - a thread, or a unit that copies on its
// own - counts its releases, and knows of every other agent up to which count it has synchronised with it. An access is
// ordered before another when the other's agent knows the count at which it was made.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_EMULATOR_CLOCKS_H
#define FLASHC_EMULATOR_CLOCKS_H

#include <algorithm>
#include <cstdint>
#include <vector>

namespace flashc::emulator {

using Count = uint16_t;

/// What one agent, or an object that agents synchronise through (a barrier, an mbarrier), knows of all agents.
class Clock {
public:
  Clock() = default;
  /// `proxies`: the chip has an async proxy, whose view is kept besides.
  explicit Clock(unsigned agents, bool proxies = false) : known(agents, 0), fencedKnown(proxies ? agents : 0, 0) {}

  Count operator[](unsigned agent) const { return known[agent]; }
  Count &operator[](unsigned agent) { return known[agent]; }

  /// Counts for the generic proxy: loads, stores, ldmatrix.
  const Count *generic() const { return known.data(); }
  /// Counts for the async proxy (wgmma, TMA): what a proxy fence lies behind.
  const Count *fenced() const { return fencedKnown.data(); }

  /// Learns all that `other` knows.
  void join(const Clock &other) {
    maximum(known, other.known);
    maximum(fencedKnown, other.fencedKnown);
  }
  /// fence.proxy.async: all that is known is visible to the async proxy too.
  void fence() {
    if (!fencedKnown.empty())
      maximum(fencedKnown, known);
  }
  /// Declares that the async proxy sees what `agent` did up to now: for writes that were made through that proxy.
  void fence(unsigned agent) {
    if (!fencedKnown.empty())
      fencedKnown[agent] = std::max(fencedKnown[agent], known[agent]);
  }

private:
  static void maximum(std::vector<Count> &to, const std::vector<Count> &from) {
    Count *a = to.data();
    const Count *b = from.data();
    for (size_t i = 0, end = to.size(); i != end; ++i)
      a[i] = a[i] > b[i] ? a[i] : b[i];
  }
  std::vector<Count> known, fencedKnown;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_CLOCKS_H

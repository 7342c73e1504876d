/// The units that work beside the threads of a block - the copy engine and the warpgroups' matrix units - as agents of
/// the clocks that order accesses.
///
/// What such a unit did is known to those who waited for that very piece of work, and to nobody else. Counts of one
/// agent cannot say "the second piece, but not the first", so pieces of work take turns among several agents.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_ASYNCUNITS_H
#define FLASHC_EMULATOR_INSTRUCTIONS_ASYNCUNITS_H

#include "emulator/Block.h"

#include <array>

namespace flashc::emulator {

class AsyncUnits {
public:
  /// One piece of work: what accessed memory, and what a waiting thread learns.
  struct Work {
    unsigned agent;
    Count now;
  };

  /// The next piece of work of the copy engine.
  Work copy(Block &block) { return next(block, turn++ % (Block::asyncAgents - warpgroups)); }
  /// The next piece of work of a warpgroup's matrix unit.
  Work matrix(Block &block, unsigned warpgroup) {
    return next(block, Block::asyncAgents - warpgroups + warpgroup % warpgroups);
  }

  /// `clock` learns of the work; it was done through the async proxy, which needs no fence to see it.
  static void tell(Clock &clock, Work work) {
    clock[work.agent] = std::max(clock[work.agent], work.now);
    clock.fence(work.agent);
  }

private:
  static constexpr unsigned warpgroups = 8;

  Work next(Block &block, unsigned unit) {
    // A count that cannot grow further orders too much, never too little.
    if (counts[unit] != Count(-1))
      ++counts[unit];
    return {block.asyncAgent() + unit, counts[unit]};
  }

  std::array<Count, Block::asyncAgents> counts{};
  unsigned turn = 0;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_ASYNCUNITS_H

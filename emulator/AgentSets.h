//===- AgentSets.h - who accessed a byte, of several at a time -----------------===//
#ifndef FLASHC_EMULATOR_AGENTSETS_H
#define FLASHC_EMULATOR_AGENTSETS_H

#include "emulator/Clocks.h"

#include <cstdint>
#include <vector>

namespace flashc::emulator {

/// An agent and the count at which it did something: agent + 1 in the high half, count in the low half; 0 = nobody.
using AgentWord = uint32_t;

inline AgentWord agentWord(unsigned agent, Count now) { return (agent + 1) << 16 | now; }
inline unsigned agentOf(AgentWord word) { return (word >> 16) - 1; }
/// Whether an observer that knows `sees` is behind what was done at `word`.
inline bool isOrdered(const Count *sees, AgentWord word) { return sees[agentOf(word)] >= (word & 0xffff); }

/// Sets of words, each known by a number: bytes that were read alike have equal sets, and there are few of them at a
/// time. A set of one is that word itself.
class AgentSets {
public:
  using Set = uint32_t;

  void reset() {
    nodes.clear();
    memo.assign(memo.size(), Entry());
  }

  /// The set after an access at `word` by one that knows `sees`: without those that this one is behind, as whoever is
  /// behind it is behind them.
  Set add(Set set, AgentWord word, const Count *sees) {
    if (set == 0 || set == word || (!(set & isNode) && isOrdered(sees, set)))
      return word;
    Entry &entry = memo[(set * 0x9e3779b1u ^ word * 0x85ebca6bu) >> (32 - memoBits)];
    if (entry.set != set || entry.word != word)
      entry = {set, word, join(set, word, sees)};
    return entry.result;
  }

  /// A word of the set that an observer who knows `sees` is not behind, or 0.
  AgentWord findUnordered(Set set, const Count *sees) const {
    for (; set & isNode; set = nodes[set & ~isNode].rest)
      if (!isOrdered(sees, nodes[set & ~isNode].word))
        return nodes[set & ~isNode].word;
    return set && !isOrdered(sees, set) ? set : 0;
  }

private:
  static constexpr Set isNode = Set{1} << 31;
  static constexpr unsigned memoBits = 14;
  /// With more nodes than this the last access alone is remembered.
  static constexpr size_t mostNodes = size_t{1} << 22;

  struct Node {
    AgentWord word;
    Set rest;
  };
  struct Entry {
    Set set = 0;
    AgentWord word = 0;
    Set result = 0;
  };

  Set join(Set set, AgentWord word, const Count *sees) {
    const auto stays = [&](AgentWord other) { return agentOf(other) != agentOf(word) && !isOrdered(sees, other); };
    if (nodes.size() > mostNodes)
      return word;
    kept.clear();
    bool all = true;
    const Set whole = set;
    for (; set; set = set & isNode ? nodes[set & ~isNode].rest : 0) {
      const AgentWord other = set & isNode ? nodes[set & ~isNode].word : set;
      if (stays(other))
        kept.push_back(other);
      else if (other == word)
        return whole;
      else
        all = false;
    }
    Set result = 0;
    if (all)
      result = whole;
    else
      for (const AgentWord other : kept)
        result = result ? link(other, result) : other;
    return result ? link(word, result) : word;
  }

  Set link(AgentWord word, Set rest) {
    nodes.push_back({word, rest});
    return static_cast<Set>(nodes.size() - 1) | isNode;
  }

  std::vector<Node> nodes;
  std::vector<Entry> memo = std::vector<Entry>(size_t{1} << memoBits);
  std::vector<AgentWord> kept;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_AGENTSETS_H

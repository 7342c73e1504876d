/// \file
/// Reading memory as fast as it goes: the limit of decoding, whose keys and values are read once.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace bench {

/// A way to read memory: so many streams a thread, each of which reads its share of a piece from its start to its end,
/// asking for lines ahead or leaving that to the hardware.
struct ReadPattern {
  int streams;
  bool prefetch;
};

/// All ways that are tried: 1, 2, 4 and 8 streams, without and with prefetching.
const std::vector<ReadPattern> &readPatterns();

/// A buffer that threads read, in pieces that they take from a shared counter, as the tasks of a kernel are.
class Reader {
public:
  /// A buffer of `bytes`, rounded up to whole pieces, in pages as large as NumPy asks for; null where there is no such
  /// memory. `flushBytes` of other memory are written before each pass of a turn that is cold. With `cpuTime`, times
  /// are the CPU time of the threads while they read, over their number, and not the wall clock's.
  static std::unique_ptr<Reader> create(size_t bytes, size_t flushBytes, int threads, bool cpuTime);
  ~Reader();

  /// Seconds for `bytes`, pattern by pattern: each reads the buffer at least once, as often as fits into `budget`
  /// seconds over all patterns. The mean of its passes, as a kernel's turn is the mean of its calls.
  std::vector<double> turn(double budget, bool cold);

private:
  struct Memory;
  struct Team;
  Reader(size_t bytes, int threads, bool cpuTime);
  double pass(Team &team, size_t pattern) const;
  void flush(Team &team) const;

  size_t bytes;
  int threads;
  bool cpuTime;
  std::unique_ptr<Memory> buffer, other;
};

} // namespace bench

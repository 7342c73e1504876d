//===- Tuner.h - the best tiles for a problem, by measuring --------------------===//
//
// Knows nothing of any kind of device: candidates come ranked, a callback compiles them, and a worker process loads,
// checks and times them.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_TUNER_H
#define FLASHC_RUNTIME_TUNER_H

#include "runtime/CostModel.h"
#include "runtime/TuningStore.h"
#include "runtime/TuningWorker.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace flashc {

/// Compiles the kernel with these tiles; with TileSizes() it is the kernel that nobody tuned.
using CompileCandidate = std::function<Result<Artifact>(const TileSizes &)>;

/// One candidate's fate.
struct CandidateReport {
  TileSizes tiles;
  double predicted = 0; ///< seconds, by the cost model; 0 for the default
  double seconds = 0;   ///< median of the rounds that it took part in; infinity when it failed, 0 when it had no turn
  int rounds = 0;
  std::string failure; ///< why it failed, else ""
};

/// How far tuning is.
struct TuningProgress {
  double share = 0; ///< of the budget, from 0 to 1
  int candidates = 0, failed = 0, running = 0;
  TileSizes best;
  double speedup = 1; ///< of the best so far over the default
  std::string phase;  ///< "compiling", "timing", "confirming"
};

struct TuningOptions {
  double budgetSeconds = 10;
  int mostCandidates = 24;
  /// A candidate that takes longer than this beyond what the default took is ended.
  double patienceSeconds = 3;
  /// A candidate has to be faster than the default by this share to win.
  double margin = 0.01;
  uint64_t seed = 1;
  int32_t threads = 0;
  /// Called now and then; false stops tuning, and nothing is kept.
  std::function<bool(const TuningProgress &)> onProgress;
};

struct TuningOutcome {
  TileSizes tiles;                         ///< the winner's: the default's own where nothing beats it
  bool improved = false;                   ///< whether a candidate won over the default
  double seconds = 0;                      ///< the winner's median when it was confirmed
  double defaultSeconds = 0;               ///< the default's beside it
  std::vector<CandidateReport> candidates; ///< the default first, then in the order of the model
};

/// Finds the fastest of `candidates` for the problem in a process of its own, within a time budget.
///
/// Candidates are taken in the model's order. Each is checked against the reference before it is timed, and each timing
/// is one of many short turns in alternating rounds; a clear loser gets no more turns. One that does not compile,
/// answers wrong, crashes or hangs has lost. The winner is measured again beside the default, both fresh in a new
/// process, and wins only if it is faster there too; ties go to the default. Fails only when the default itself fails
/// or `onProgress` stops it.
Result<TuningOutcome> tuneTiles(const ProblemSizes &sizes, const std::vector<RankedTiles> &candidates,
                                const CompileCandidate &compile, const WorkerStart &worker,
                                const TuningOptions &options = {});

/// Why nothing can be tuned on a device: FLASHC_ERROR_DEVICE where its clock says nothing of a kernel's speed.
std::optional<Error> whyNotTuned(const Device &device);

/// The same candidates in an order to measure them in: by turns the best that is no neighbour of
/// an earlier one, and the best of the neighbours. Where the model errs, it errs for neighbours alike.
std::vector<RankedTiles> spread(const std::vector<RankedTiles> &ranked);

/// The tiles that a kernel's metadata records, where it has any.
std::optional<TileSizes> tilesOf(const std::string &metadata);

/// Reads "24x512" or "24x512/4096", rows, keys and split; nothing for anything else.
std::optional<TileSizes> parseTiles(const std::string &text);
std::string toString(const TileSizes &tiles);

} // namespace flashc

#endif // FLASHC_RUNTIME_TUNER_H

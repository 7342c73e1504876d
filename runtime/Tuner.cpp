//===- Tuner.cpp - the best tiles for a problem, by measuring ------------------===//

#include "runtime/Tuner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

using namespace flashc;

namespace {
using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  if (values.empty())
    return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// One candidate while it is in the running.
struct Runner {
  int id = 0;
  CandidateReport report;
  Artifact artifact;
  bool loaded = false;
  bool out = false;     ///< lost: failed, or clearly slower
  bool refused = false; ///< looked faster than the default, and was not when they were measured again
  std::vector<double> times;
};

class Session {
public:
  Session(const ProblemSizes &sizes, const std::vector<RankedTiles> &candidates, const CompileCandidate &compile,
          const WorkerStart &start, const TuningOptions &options)
      : candidates(candidates), compile(compile), options(options),
        worker(start, WorkerProblem{sizes, options.seed, options.threads}) {}

  Result<TuningOutcome> run() {
    if (std::optional<Error> error = beginWithDefault())
      return *error;
    // Half of the budget to look at candidates, most of the rest to compare the good ones, the end to make sure.
    addCandidates(0.5);
    compareRounds(0.8);
    Result<TuningOutcome> outcome = confirm();
    if (stopped)
      return Error{FLASHC_ERROR_INVALID, "tuning was stopped"};
    return outcome;
  }

private:
  double spent() const { return std::chrono::duration<double>(Clock::now() - begin).count() / options.budgetSeconds; }

  /// Long enough for the clock, short enough for many rounds.
  double slice() const { return std::clamp(options.budgetSeconds / 400, 0.002, 0.1); }

  /// How long a load or a turn of a candidate may take: what the default took tells how much is normal.
  /// A candidate that hangs does not take the others' time.
  double patience() const { return std::min(options.patienceSeconds, std::max(0.5, options.budgetSeconds / 5)); }
  double loadLimit() const { return patience() + 5 * defaultLoad; }
  double turnLimit() const { return patience() + 20 * (slice() + 4 * baseline()); }
  double baseline() const { return runners.empty() ? 0 : median(runners.front().times); }

  void fail(Runner &runner, const std::string &why) {
    runner.report.failure = why;
    runner.out = true;
    runner.loaded = false;
    runner.times.clear();
    // Others may have lost only to this one.
    for (Runner &other : runners)
      if (other.report.failure.empty() && !other.refused)
        other.out = false;
  }

  /// False when the caller wants no more.
  bool report(const char *phase) {
    if (!options.onProgress)
      return true;
    TuningProgress progress;
    progress.share = std::min(spent(), 1.0);
    progress.phase = phase;
    progress.candidates = static_cast<int>(runners.size());
    for (const Runner &runner : runners) {
      progress.failed += !runner.report.failure.empty();
      progress.running += !runner.out;
    }
    if (const Runner *best = leader()) {
      progress.best = best->report.tiles;
      progress.speedup = baseline() / median(best->times);
    }
    stopped |= !options.onProgress(progress);
    return !stopped;
  }

  const Runner *leader() const {
    const Runner *best = nullptr;
    for (const Runner &runner : runners)
      if (!runner.out && !runner.times.empty() && (!best || median(runner.times) < median(best->times)))
        best = &runner;
    return best;
  }

  /// Loads a runner into the worker, checked against the reference. A new worker has nothing loaded.
  bool ensureLoaded(Runner &runner, double limit) {
    if (!worker.alive())
      for (Runner &other : runners)
        other.loaded = false;
    if (runner.loaded)
      return true;
    if (std::optional<Error> error = worker.load(runner.id, runner.artifact, limit)) {
      fail(runner, error->message);
      // What a wrong kernel may have written over does not stay.
      worker.stop();
      return false;
    }
    runner.loaded = true;
    return true;
  }

  bool turn(Runner &runner, double seconds) {
    if (!ensureLoaded(runner, loadLimit()))
      return false;
    Result<Timing> timing = worker.time(runner.id, seconds, turnLimit());
    if (!timing && runner.id == 0) {
      // The default ran before: the process is to blame, which ran kernels that nobody had run.
      worker.stop();
      timing = ensureLoaded(runner, loadLimit()) ? worker.time(runner.id, seconds, turnLimit()) : timing;
    }
    if (!timing) {
      fail(runner, timing.error().message);
      worker.stop();
      return false;
    }
    runner.times.push_back(timing->median);
    ++runner.report.rounds;
    return true;
  }

  std::optional<Error> beginWithDefault() {
    Result<Artifact> artifact = compile(TileSizes());
    if (!artifact)
      return artifact.error();
    Runner first;
    first.artifact = std::move(*artifact);
    first.report.tiles = tilesOf(first.artifact.metadata).value_or(TileSizes());
    runners.push_back(std::move(first));
    // Without a default there is nothing to compare with, so it gets all the time that it may need.
    constexpr double generous = 120;
    const auto loadBegin = Clock::now();
    Runner &runner = runners.front();
    if (!ensureLoaded(runner, generous))
      return Error{FLASHC_ERROR_INVALID, "the untuned kernel failed: " + runner.report.failure};
    defaultLoad = std::chrono::duration<double>(Clock::now() - loadBegin).count();
    Result<Timing> timing = worker.time(0, slice(), generous);
    if (!timing)
      return Error{timing.error().status, "the untuned kernel failed: " + timing.error().message};
    runner.times.push_back(timing->median);
    ++runner.report.rounds;
    return std::nullopt;
  }

  void addCandidates(double until) {
    constexpr double clearLoser = 1.3;
    for (const RankedTiles &candidate : candidates) {
      if (static_cast<int>(runners.size()) > options.mostCandidates || spent() > until || !report("compiling"))
        return;
      // A part that is not chosen is the default's.
      TileSizes meant = candidate.tiles;
      if (meant.split == 0)
        meant.split = runners.front().report.tiles.split;
      if (std::any_of(runners.begin(), runners.end(), [&](const Runner &other) { return other.report.tiles == meant; }))
        continue;
      Runner runner;
      runner.id = static_cast<int>(runners.size());
      runner.report.tiles = meant;
      runner.report.predicted = candidate.seconds;
      Result<Artifact> artifact = compile(meant);
      runners.push_back(std::move(runner));
      Runner &added = runners.back();
      if (!artifact) {
        fail(added, artifact.error().message);
        continue;
      }
      added.artifact = std::move(*artifact);
      if (!turn(added, slice()))
        continue;
      if (const Runner *best = leader(); added.times.back() > clearLoser * median(best->times)) {
        // One bad turn may be another program's: a second one decides.
        if (turn(added, slice()) &&
            *std::min_element(added.times.begin(), added.times.end()) > clearLoser * median(leader()->times))
          added.out = true;
      }
    }
  }

  void compareRounds(double until) {
    constexpr int mostRounds = 25, fewRounds = 3;
    for (int round = 0; round < mostRounds && spent() < until; ++round) {
      int running = 0;
      for (size_t i = 0; i < runners.size() && spent() < until; ++i) {
        // Each round begins with another one, so that none always follows the same.
        Runner &runner = runners[(i + static_cast<size_t>(round)) % runners.size()];
        if (runner.out)
          continue;
        ++running;
        turn(runner, slice());
        if (!report("timing"))
          return;
      }
      if (running <= 1)
        return;
      // Losers leave sooner the more is known.
      const double allowed = round + 1 < fewRounds ? 1.15 : round < 8 ? 1.06 : 1.03;
      const Runner *best = leader();
      for (Runner &runner : runners)
        if (runner.id != 0 && !runner.out && best && median(runner.times) > allowed * median(best->times))
          runner.out = true;
    }
  }

  /// The leader beside the default in a fresh process: only what is faster there as well wins.
  Result<TuningOutcome> confirm() {
    Runner &first = runners.front();
    if (!first.report.failure.empty())
      return Error{FLASHC_ERROR_INVALID, "the untuned kernel failed: " + first.report.failure};
    Runner *winner = nullptr;
    double seconds = baseline(), defaultSeconds = seconds;
    // A second one has its chance when the first does not hold.
    for (int attempt = 0; attempt < 2 && !winner && !stopped; ++attempt) {
      Runner *best = const_cast<Runner *>(leader());
      if (!best || best->id == 0)
        break;
      if (confirmOne(*best, seconds, defaultSeconds))
        winner = best;
      else
        best->out = best->refused = true;
      if (spent() > 1.1)
        break;
    }
    TuningOutcome outcome;
    outcome.improved = winner != nullptr;
    outcome.tiles = (winner ? *winner : first).report.tiles;
    outcome.seconds = winner ? seconds : defaultSeconds;
    outcome.defaultSeconds = defaultSeconds;
    for (Runner &runner : runners) {
      runner.report.seconds =
          runner.report.failure.empty() ? median(runner.times) : std::numeric_limits<double>::infinity();
      outcome.candidates.push_back(std::move(runner.report));
    }
    worker.stop();
    return outcome;
  }

  bool confirmOne(Runner &best, double &seconds, double &defaultSeconds) {
    constexpr int fewRounds = 5, mostRounds = 15;
    Runner &first = runners.front();
    worker.stop();
    std::vector<double> bests, firsts, ratios;
    int faster = 0;
    for (int round = 0; round < mostRounds && (round < fewRounds || spent() < 1); ++round) {
      // Whoever goes first changes from round to round.
      Runner *pair[] = {&first, &best};
      if (round % 2)
        std::swap(pair[0], pair[1]);
      for (Runner *runner : pair)
        if (!turn(*runner, slice()))
          return false;
      firsts.push_back(first.times.back());
      bests.push_back(best.times.back());
      ratios.push_back(bests.back() / firsts.back());
      faster += ratios.back() < 1;
      if (!report("confirming"))
        return false;
    }
    defaultSeconds = median(firsts);
    seconds = median(bests);
    // The statistic of pairs and that of each alone have to agree, and most of the pairs with them.
    return median(ratios) < 1 - options.margin && seconds < defaultSeconds * (1 - options.margin) &&
           faster * 4 >= static_cast<int>(ratios.size()) * 3;
  }

  const std::vector<RankedTiles> &candidates;
  const CompileCandidate &compile;
  const TuningOptions &options;
  TuningWorker worker;
  std::vector<Runner> runners; // the default is number 0
  double defaultLoad = 0;
  bool stopped = false;
  const Clock::time_point begin = Clock::now();
};
} // namespace

Result<TuningOutcome> flashc::tuneTiles(const ProblemSizes &sizes, const std::vector<RankedTiles> &candidates,
                                        const CompileCandidate &compile, const WorkerStart &worker,
                                        const TuningOptions &options) {
  if (!(options.budgetSeconds > 0))
    return Error{FLASHC_ERROR_INVALID,
                 "expected a budget above 0 seconds, got " + std::to_string(options.budgetSeconds)};
  return Session(sizes, candidates, compile, worker, options).run();
}

std::optional<Error> flashc::whyNotTuned(const Device &device) {
  if (device.hasClock())
    return std::nullopt;
  const DeviceInfo info = device.describe();
  return Error{FLASHC_ERROR_DEVICE, info.name + ": expected a device whose time is a kernel's, got one that is " +
                                        "executed on the CPU; its cost model ranks tiles without measuring them"};
}

std::vector<RankedTiles> flashc::spread(const std::vector<RankedTiles> &ranked) {
  constexpr double factor = 1.45;
  auto near = [](int64_t a, int64_t b) {
    return static_cast<double>(std::max(a, b)) < factor * static_cast<double>(std::max<int64_t>(std::min(a, b), 1));
  };
  std::vector<RankedTiles> first, rest;
  for (const RankedTiles &candidate : ranked) {
    const bool isNear = std::any_of(first.begin(), first.end(), [&](const RankedTiles &other) {
      return near(candidate.tiles.rows, other.tiles.rows) && near(candidate.tiles.keys, other.tiles.keys) &&
             near(candidate.tiles.split, other.tiles.split);
    });
    (isNear ? rest : first).push_back(candidate);
  }
  // Half of one, half of the other: the second best region is worth less than the best one's surroundings.
  std::vector<RankedTiles> mixed;
  for (size_t i = 0; i < std::max(first.size(), rest.size()); ++i) {
    if (i < first.size())
      mixed.push_back(first[i]);
    if (i < rest.size())
      mixed.push_back(rest[i]);
  }
  return mixed;
}

std::optional<TileSizes> flashc::tilesOf(const std::string &metadata) {
  const nlohmann::json root = nlohmann::json::parse(metadata, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object() || !root.contains("tiles") || !root["tiles"].is_object())
    return std::nullopt;
  const nlohmann::json &tiles = root["tiles"];
  auto number = [&](const char *name) -> int64_t {
    return tiles.contains(name) && tiles[name].is_number_integer() ? tiles[name].get<int64_t>() : 0;
  };
  const TileSizes sizes{number("rows"), number("keys"), number("split")};
  if (!sizes.chosen())
    return std::nullopt;
  return sizes;
}

std::optional<TileSizes> flashc::parseTiles(const std::string &text) {
  long long rows = 0, keys = 0, split = 0;
  int end = 0;
  if (std::sscanf(text.c_str(), "%lldx%lld%n", &rows, &keys, &end) != 2)
    return std::nullopt;
  if (text[static_cast<size_t>(end)] == '/') {
    int more = 0;
    if (std::sscanf(text.c_str() + end, "/%lld%n", &split, &more) != 1 || split < 1)
      return std::nullopt;
    end += more;
  }
  const TileSizes tiles{rows, keys, split};
  if (static_cast<size_t>(end) != text.size() || !tiles.chosen())
    return std::nullopt;
  return tiles;
}

std::string flashc::toString(const TileSizes &tiles) {
  return std::to_string(tiles.rows) + "x" + std::to_string(tiles.keys) +
         (tiles.split ? "/" + std::to_string(tiles.split) : "");
}

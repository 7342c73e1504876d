//===- Tuning.h - which of a kernel's versions a call gets --------------------===//
//
// The sizes of a call are free, and so are the tiles that are best for them: a kernel has one version for every choice
// of tiles that the tuning store names for a bucket of sizes that was met.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_PYTHON_TUNING_H
#define FLASHC_PYTHON_TUNING_H

#include "python/CompilerBridge.h"
#include "runtime/TunedKernel.h"
#include "runtime/Tuner.h"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace flashc::python {

/// The versions of one kernel that was compiled without tiles of the caller's. Thread-safe.
class TunedVersions {
public:
  TunedVersions(KernelRequest request, std::shared_ptr<CompiledKernel> base);

  /// The functions for a call of these sizes, valid as long as this object: the base's where nothing else is known.
  /// Needs the GIL, and gives it up where it compiles or tunes. Never fails.
  const flashc_kernel &choose(const ProblemSizes &sizes);

  /// The tiles of such a call and where they come from: "store", "shipped (measured)", "cost model".
  FoundTiles tilesFor(const ProblemSizes &sizes) const;

  /// Candidates in the model's order, with predicted seconds.
  Result<std::vector<RankedTiles>> candidates(const ProblemSizes &sizes) const;

  /// Measures, and keeps the winner in the store. Without the GIL.
  Result<TuningOutcome> tune(const ProblemSizes &sizes, const TuningOptions &options);

private:
  struct Choice {
    uint64_t bucket = 0, epoch = 0;
    const flashc_kernel *functions = nullptr;
    std::shared_ptr<CompiledKernel> version;
  };
  const Choice *resolve(const ProblemSizes &sizes, uint64_t bucket, uint64_t epoch);
  std::optional<FoundTiles> find(const ProblemSizes &sizes) const;
  /// Says that the kernel runs slower than it could.
  void note(const std::string &what, const Error &why) const;

  const KernelRequest request;
  const std::string target;
  /// The device that suits the kernel best, or null where none does, and what the store knows it by.
  Device *const device;
  const DeviceInfo info;
  const std::shared_ptr<CompiledKernel> base;
  const std::optional<TunedKernel> traits;
  const std::optional<TileSizes> baseTiles;

  std::atomic<const Choice *> last{nullptr};
  std::mutex mutex;
  /// By bucket, and forgotten ones: a call on another thread may still run one.
  std::map<uint64_t, std::unique_ptr<Choice>> choices;
  std::vector<std::unique_ptr<Choice>> forgotten;
  std::map<TileSizes, std::shared_ptr<CompiledKernel>> versions;
};

/// What a worker's program is started as; see TuningWorker.h.
void setTuningWorker(std::vector<std::string> command);

/// Whether a call of sizes that the store knows nothing of is tuned first, and for how long.
void setTuningOnFirstUse(bool on, double budgetSeconds);

} // namespace flashc::python

#endif // FLASHC_PYTHON_TUNING_H

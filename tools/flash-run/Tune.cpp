/// flash-run --tune: the best tiles of a kernel for some sizes, found by flash-compile and a worker of this program.
#include "Commands.h"
#include "Subprocess.h"

#include "runtime/DeviceFacts.h"
#include "runtime/Pack.h"
#include "runtime/TunedKernel.h"
#include "runtime/Tuner.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <unistd.h>

namespace flashc {
namespace {

using nlohmann::json;

/// A folder for candidates, gone with this object.
class Scratch {
public:
  Scratch() {
    std::error_code failed;
    std::string name = (std::filesystem::temp_directory_path(failed) / "flash-run-XXXXXX").string();
    if (!failed && ::mkdtemp(name.data()))
      path = name;
  }
  ~Scratch() {
    std::error_code ignored;
    if (!path.empty())
      std::filesystem::remove_all(path, ignored);
  }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  std::string path;
};

/// This program's own file; its worker is the same program.
std::string ownPath() {
  std::error_code failed;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? "" : path.string();
}

/// flash-compile beside this program, else the one on the PATH.
std::string findCompiler() {
  const std::filesystem::path beside = std::filesystem::path(ownPath()).parent_path() / "flash-compile";
  return ::access(beside.c_str(), X_OK) == 0 ? beside.string() : "flash-compile";
}

/// The options that make flash-compile write this pack again.
Result<std::vector<std::string>> optionsOf(const std::string &metadata) {
  const json root = json::parse(metadata, nullptr, /*allow_exceptions=*/false);
  if (!TunedKernel::parse(metadata) || (root.contains("score") && root["score"] == true))
    return Error{FLASHC_ERROR_INVALID, "expected a pack of one attention without a score function, as only its "
                                       "description can be compiled again; give flash-compile's options behind --"};
  try {
    std::vector<std::string> options = {
        "--head-dim",       std::to_string(root.at("head_dim").get<int64_t>()),
        "--value-head-dim", std::to_string(root.at("value_head_dim").get<int64_t>()),
        "--dtype",          root.at("dtype"),
        "--target",         root.value("native", false) ? "host" : root.at("target").get<std::string>()};
    if (const std::string mask = root.value("mask", std::string()); !mask.empty())
      options.insert(options.end(), {"--mask", mask});
    for (const char *number : {"scale", "softcap"})
      if (root.contains(number))
        options.insert(options.end(), {std::string("--") + number, root[number].dump()});
    std::string maskTypes;
    for (const json &operand : root.at("operands")) {
      const std::string name = operand.at("name");
      if (name == "lse")
        options.emplace_back("--lse");
      else if (name == "bias")
        options.insert(options.end(), {"--bias", operand.at("dtype")});
      else if (name != "q" && name != "k" && name != "v" && name != "out")
        maskTypes += (maskTypes.empty() ? "" : ",") + operand.at("dtype").get<std::string>();
    }
    if (!maskTypes.empty())
      options.insert(options.end(), {"--mask-dtype", maskTypes});
    return options;
  } catch (const json::exception &) {
    return Error{FLASHC_ERROR_FORMAT, "kernel.json: expected a description as flash-compile writes it"};
  }
}

/// A default that differs between instruction sets has no tiles of its own.
std::string describe(const TileSizes &tiles) { return tiles.chosen() ? toString(tiles) : "various"; }

/// A line on the terminal, when there is one.
class Bar {
public:
  bool operator()(const TuningProgress &progress) {
    if (!terminal)
      return true;
    constexpr int width = 24;
    const int done = static_cast<int>(std::lround(progress.share * width));
    std::fprintf(stderr, "\r[%s%s] %-10s %3d candidates, %d failed, best %s (%.2fx)  ", std::string(done, '#').c_str(),
                 std::string(width - done, '.').c_str(), progress.phase.c_str(), progress.candidates, progress.failed,
                 describe(progress.best).c_str(), progress.speedup);
    return true;
  }
  ~Bar() {
    if (terminal)
      std::fprintf(stderr, "\r%79s\r", "");
  }

private:
  const bool terminal = ::isatty(STDERR_FILENO);
};

void printOutcome(const TuningOutcome &outcome) {
  std::vector<const CandidateReport *> reports;
  for (const CandidateReport &report : outcome.candidates)
    reports.push_back(&report);
  std::sort(reports.begin(), reports.end(), [](const CandidateReport *a, const CandidateReport *b) {
    return (a->rounds || !a->failure.empty() ? a->seconds : 1e300) <
           (b->rounds || !b->failure.empty() ? b->seconds : 1e300);
  });
  const CandidateReport *first = &outcome.candidates.front();
  for (const CandidateReport *report : reports) {
    std::printf("  %-14s", describe(report->tiles).c_str());
    if (!report->failure.empty())
      std::printf("failed: %s\n", report->failure.c_str());
    else if (report->rounds)
      std::printf("%10.4f ms  %5.3f of the default, %d turns%s\n", report->seconds * 1e3,
                  report->seconds / first->seconds, report->rounds, report == first ? " (the default)" : "");
  }
}
} // namespace

std::optional<Error> tune(const Arguments &arguments) {
  Scratch scratch;
  if (scratch.path.empty())
    return Error{FLASHC_ERROR_IO, "cannot make a folder for candidates"};
  std::vector<std::string> options = arguments.compileOptions;
  if (!arguments.pack.empty()) {
    Result<Artifact> pack = readPack(arguments.pack);
    if (!pack)
      return pack.error();
    Result<std::vector<std::string>> own = optionsOf(pack->metadata);
    if (!own)
      return own.error();
    options = *own;
  }
  const std::string compiler = findCompiler();
  int number = 0;
  auto compile = [&](const TileSizes &tiles) -> Result<Artifact> {
    const std::string folder = scratch.path + "/" + std::to_string(number++);
    std::vector<std::string> command = {compiler};
    command.insert(command.end(), options.begin(), options.end());
    command.insert(command.end(), {"-o", folder});
    if (tiles.chosen())
      command.insert(command.end(), {"--tiles", toString(tiles)});
    constexpr double patience = 300;
    if (std::optional<Error> error = runProgram(command, patience))
      return *error;
    Result<Artifact> artifact = readPack(folder);
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    return artifact;
  };

  // Compiled once to know what it is; the tuner's default is the same kernel.
  Result<Artifact> untuned = compile(TileSizes());
  if (!untuned)
    return untuned.error();
  std::optional<TunedKernel> kernel = TunedKernel::parse(untuned->metadata);
  if (!kernel)
    return Error{FLASHC_ERROR_INVALID, "expected a kernel that is one attention"};
  Result<Device *> device = deviceForTarget(untuned->target);
  if (!device)
    return device.error();
  const DeviceInfo info = (*device)->describe();
  if (std::optional<Error> error = whyNotTuned(**device))
    return error;
  const std::unique_ptr<CostModel> model = (*device)->costModel(deviceFacts(**device));
  if (!model)
    return Error{FLASHC_ERROR_TARGET, info.description + ": no cost model for this device"};
  std::vector<RankedTiles> candidates = spread(model->rank(kernel->shape(arguments.sizes)));
  const std::string build = json::parse(untuned->metadata).value("compiler_sources", std::string());
  const TuningKey key = tuningKey(info, *kernel, arguments.sizes, build);
  TuningStore &store = TuningStore::process();
  if (std::optional<FoundTiles> found = findTiles(store, info, key))
    candidates.insert(candidates.begin(), {found->tiles, 0});

  TuningOptions tuning;
  tuning.budgetSeconds = arguments.budget;
  tuning.seed = arguments.seed;
  tuning.threads = arguments.threads;
  WorkerStart worker;
  worker.command = {ownPath(), workerOption};
  Result<TuningOutcome> outcome = [&] {
    Bar bar;
    tuning.onProgress = [&](const TuningProgress &progress) { return bar(progress); };
    return tuneTiles(
        arguments.sizes, candidates,
        [&](const TileSizes &tiles) -> Result<Artifact> { return tiles.chosen() ? compile(tiles) : *untuned; }, worker,
        tuning);
  }();
  if (!outcome)
    return outcome.error();
  std::printf("%s, %s, on %s\n", arguments.sizes.describe().c_str(), key.kernel.c_str(), info.description.c_str());
  printOutcome(*outcome);
  std::printf("best: %s, %.4f ms, %s; ", describe(outcome->tiles).c_str(), outcome->seconds * 1e3,
              outcome->improved ? "faster than the default" : "the default");
  if (!outcome->tiles.chosen())
    std::printf("nothing to keep\n");
  else if (keepTiles(store, key, arguments.sizes, outcome->tiles, outcome->seconds))
    std::printf("kept for %s\n", key.shape.c_str());
  else
    std::printf("not kept: %s\n", store.lastProblem().c_str());
  return std::nullopt;
}

std::optional<Error> listTuned() {
  TuningStore &store = TuningStore::process();
  const auto entries = store.list();
  for (const auto &[key, record] : entries)
    std::printf("%-28s %-24s %-12s %10.4f ms  %s; %s\n", key.kernel.c_str(), key.shape.c_str(),
                toString(record.tiles).c_str(), record.seconds * 1e3, key.device.c_str(), key.compiler.c_str());
  std::printf("%zu tuned %s\n", entries.size(), entries.size() == 1 ? "kernel" : "kernels");
  if (const std::string problem = store.lastProblem(); !problem.empty())
    std::fprintf(stderr, "flash-run: note: %s\n", problem.c_str());
  return std::nullopt;
}

std::optional<Error> moveTuned(const Arguments &arguments) {
  TuningStore &store = TuningStore::process();
  if (!arguments.importPath.empty()) {
    Result<int64_t> count = store.importFrom(arguments.importPath);
    if (!count)
      return count.error();
    std::printf("imported %lld tuned %s\n", static_cast<long long>(*count), *count == 1 ? "kernel" : "kernels");
  }
  if (!arguments.exportPath.empty())
    return store.exportTo(arguments.exportPath);
  return std::nullopt;
}

int runWorker(int socket) {
  return serveTuning(
      [](const Artifact &artifact) -> Result<std::unique_ptr<LoadedKernel>> {
        Result<Device *> own = deviceForTarget(artifact.target);
        return own ? (*own)->load(artifact) : own.error();
      },
      socket);
}
} // namespace flashc

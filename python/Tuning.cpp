//===- Tuning.cpp - which of a kernel's versions a call gets ------------------===//

#include "python/Tuning.h"

#include "python/Errors.h"
#include "python/Kernel.h"
#include "runtime/DeviceFacts.h"
#include "runtime/Fallbacks.h"
#include "runtime/GpuCostModel.h"

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <cmath>
#include <limits>

namespace flashc::python {

namespace {
/// Raised whenever the store may know more: what was looked up before is looked up again.
std::atomic<uint64_t> storeEpoch{1};
std::atomic<bool> tuneOnFirstUse{false};
std::atomic<double> firstUseBudget{5};

std::mutex workerMutex;
std::vector<std::string> workerCommand;

/// Rounded up to a power of two, as the exponent.
uint64_t exponentOf(int64_t size) {
  return size <= 1 ? 0 : 64 - static_cast<uint64_t>(__builtin_clzll(static_cast<uint64_t>(size) - 1));
}

/// A number for shapeBucket's text.
uint64_t bucketNumber(const ProblemSizes &sizes) {
  return exponentOf(sizes.batch * sizes.heads) << 24 | exponentOf(sizes.heads / sizes.kvHeads) << 16 |
         exponentOf(sizes.queries) << 8 | exponentOf(sizes.keys);
}

bool isOrdinary(const ProblemSizes &sizes) {
  return sizes.batch > 0 && sizes.heads > 0 && sizes.kvHeads > 0 && sizes.queries > 0 && sizes.keys > 0;
}

/// The processor, described once: asking the system takes longer than a small call.
const DeviceInfo &hostInfo() {
  static const DeviceInfo *info = new DeviceInfo(cpuDevice().describe());
  return *info;
}

Device *deviceOf(const std::string &target) {
  // Most kernels are the processor's, and looking for GPUs takes long.
  if (target.rfind("cpu", 0) == 0)
    return &cpuDevice();
  Result<Device *> device = deviceForTarget(target);
  return device ? *device : nullptr;
}

std::string targetOf(const CompiledKernel &kernel) {
  const flashc_kernel_info *info = kernel.functions().info;
  return info ? info->target : "cpu";
}
} // namespace

TunedVersions::TunedVersions(KernelRequest wanted, std::shared_ptr<CompiledKernel> compiled)
    : request(std::move(wanted)), target(targetOf(*compiled)), device(deviceOf(target)),
      info(device && device != &cpuDevice() ? device->describe() : hostInfo()), base(std::move(compiled)),
      traits(TunedKernel::parse(base->metadata())), baseTiles(tilesOf(base->metadata())) {}

const flashc_kernel &TunedVersions::choose(const ProblemSizes &sizes) {
  if (!isOrdinary(sizes))
    return base->functions();
  const uint64_t bucket = bucketNumber(sizes), epoch = storeEpoch.load(std::memory_order_relaxed);
  const Choice *choice = last.load(std::memory_order_acquire);
  if (!choice || choice->bucket != bucket || choice->epoch != epoch) {
    const py::gil_scoped_release release;
    choice = resolve(sizes, bucket, epoch);
    last.store(choice, std::memory_order_release);
  }
  return *choice->functions;
}

const TunedVersions::Choice *TunedVersions::resolve(const ProblemSizes &sizes, uint64_t bucket, uint64_t epoch) {
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<Choice> &known = choices[bucket];
  if (known && known->epoch == epoch)
    return known.get();
  std::optional<FoundTiles> found = find(sizes);
  if (traits && tuneOnFirstUse && (!found || found->source != "store")) {
    TuningOptions options;
    options.budgetSeconds = firstUseBudget;
    options.threads = flashc_get_num_threads();
    // A kernel that cannot be tuned runs as it is.
    if (Result<TuningOutcome> outcome = tune(sizes, options)) {
      found = find(sizes);
      epoch = storeEpoch;
    } else {
      note("was not tuned at its first use", outcome.error());
    }
  }
  auto choice = std::make_unique<Choice>();
  choice->bucket = bucket;
  choice->epoch = epoch;
  choice->version = base;
  if (found && found->tiles != baseTiles) {
    std::shared_ptr<CompiledKernel> &version = versions[found->tiles];
    if (!version) {
      KernelRequest tuned = request;
      tuned.tileQueries = found->tiles.rows;
      tuned.tileKeys = found->tiles.keys;
      tuned.tileSplit = found->tiles.split;
      tuned.tilesSource = found->source;
      // Tiles that this build of the compiler refuses are no reason to fail a call.
      if (Result<std::shared_ptr<CompiledKernel>> compiled = compileAttention(tuned))
        version = *compiled;
      else
        note("has its default tiles and not " + std::to_string(found->tiles.rows) + "x" +
                 std::to_string(found->tiles.keys) + ", which are the best known for such sizes (" + found->source +
                 ")",
             compiled.error());
    }
    if (version)
      choice->version = version;
  }
  choice->functions = &choice->version->functions();
  if (known)
    forgotten.push_back(std::move(known));
  known = std::move(choice);
  return known.get();
}

void TunedVersions::note(const std::string &what, const Error &why) const {
  const std::string kernel = std::string(base->functions().info->name) + " for " + target + ": ";
  processFallbacks().note(kernel + what, kernel + what + ": " + why.message);
}

std::optional<FoundTiles> TunedVersions::find(const ProblemSizes &sizes) const {
  if (!traits)
    return std::nullopt;
  return findTiles(TuningStore::process(), info, tuningKey(info, *traits, sizes, getCompilerSources()));
}

FoundTiles TunedVersions::tilesFor(const ProblemSizes &sizes) const {
  if (isOrdinary(sizes))
    if (std::optional<FoundTiles> found = find(sizes))
      return *found;
  return {baseTiles.value_or(TileSizes()), "cost model"};
}

Result<std::vector<RankedTiles>> TunedVersions::candidates(const ProblemSizes &sizes) const {
  if (!traits || !isOrdinary(sizes))
    return Error{FLASHC_ERROR_INVALID, "expected sizes of at least 1 and a kernel that is one attention"};
  // A kernel for a GPU that is not here has the model of its chip.
  const GpuChip *chip = device ? nullptr : gpuChipOfTarget(target);
  const std::unique_ptr<CostModel> model = device ? device->costModel(deviceFacts(*device))
                                           : chip ? std::make_unique<GpuCostModel>(*chip)
                                                  : nullptr;
  if (!model)
    return Error{FLASHC_ERROR_TARGET, "no cost model for this device"};
  return model->rank(traits->shape(sizes));
}

Result<TuningOutcome> TunedVersions::tune(const ProblemSizes &sizes, const TuningOptions &options) {
  if (!device)
    return deviceForTarget(target).error();
  if (std::optional<Error> error = whyNotTuned(*device))
    return *error;
  Result<std::vector<RankedTiles>> ranked = candidates(sizes);
  if (!ranked)
    return ranked.error();
  std::vector<RankedTiles> order = spread(*ranked);
  TuningStore &store = TuningStore::process();
  const TuningKey key = tuningKey(info, *traits, sizes, getCompilerSources());
  // What won before has to win again.
  if (std::optional<FoundTiles> found = findTiles(store, info, key))
    order.insert(order.begin(), {found->tiles, 0});
  WorkerStart worker;
  {
    const std::lock_guard<std::mutex> lock(workerMutex);
    worker.command = workerCommand;
  }
  auto compile = [&](const TileSizes &tiles) {
    KernelRequest candidate = request;
    candidate.tileQueries = tiles.rows;
    candidate.tileKeys = tiles.keys;
    candidate.tileSplit = tiles.split;
    // As the winner will be asked for, so that it is in the cache on disk by then.
    candidate.tilesSource = tiles.chosen() ? "store" : "";
    return compileArtifact(candidate);
  };
  Result<TuningOutcome> outcome = tuneTiles(sizes, order, compile, worker, options);
  if (!outcome)
    return outcome;
  if (outcome->tiles.chosen())
    (void)keepTiles(store, key, sizes, outcome->tiles, outcome->seconds);
  ++storeEpoch;
  return outcome;
}

void setTuningWorker(std::vector<std::string> command) {
  const std::lock_guard<std::mutex> lock(workerMutex);
  workerCommand = std::move(command);
}

void setTuningOnFirstUse(bool on, double budgetSeconds) {
  firstUseBudget = budgetSeconds;
  tuneOnFirstUse = on;
  ++storeEpoch;
}

//===----------------------------------------------------------------------===//
// For the package
//===----------------------------------------------------------------------===//

namespace {
ProblemSizes toSizes(const std::array<int64_t, 5> &values) {
  return {values[0], values[1], values[2], values[3], values[4]};
}

py::tuple toTuple(const TileSizes &tiles) {
  if (tiles.split)
    return py::make_tuple(tiles.rows, tiles.keys, tiles.split);
  return py::make_tuple(tiles.rows, tiles.keys);
}

TunedVersions &versionsOf(const Kernel &kernel) {
  if (!kernel.versions)
    throw py::value_error(std::string(kernel.info().name) +
                          ": expected a kernel that was compiled in this process without tiles=, got one whose tiles "
                          "are fixed");
  return *kernel.versions;
}

py::dict toDict(const TuningOutcome &outcome) {
  py::list candidates;
  for (const CandidateReport &report : outcome.candidates) {
    py::dict entry;
    entry["tiles"] = toTuple(report.tiles);
    entry["predicted"] = report.predicted > 0 ? py::object(py::float_(report.predicted)) : py::none();
    entry["seconds"] = report.rounds || !report.failure.empty() ? py::object(py::float_(report.seconds)) : py::none();
    entry["rounds"] = report.rounds;
    entry["failure"] = report.failure;
    candidates.append(entry);
  }
  py::dict result;
  result["tiles"] = toTuple(outcome.tiles);
  result["improved"] = outcome.improved;
  result["seconds"] = outcome.seconds;
  result["default_seconds"] = outcome.defaultSeconds;
  result["candidates"] = candidates;
  return result;
}

py::dict tune(const Kernel &kernel, const std::array<int64_t, 5> &sizes, double budget, int mostCandidates,
              const py::object &progress) {
  TunedVersions &versions = versionsOf(kernel);
  TuningOptions options;
  options.budgetSeconds = budget;
  options.mostCandidates = mostCandidates;
  options.threads = flashc_get_num_threads();
  bool interrupted = false;
  options.onProgress = [&](const TuningProgress &now) {
    const py::gil_scoped_acquire acquire;
    // A key that was pressed ends it; the exception is raised when everything is cleaned up.
    if (PyErr_CheckSignals() != 0) {
      interrupted = true;
      PyErr_Clear();
      return false;
    }
    if (progress.is_none())
      return true;
    try {
      py::dict state;
      state["share"] = now.share;
      state["phase"] = now.phase;
      state["candidates"] = now.candidates;
      state["failed"] = now.failed;
      state["running"] = now.running;
      state["best"] = toTuple(now.best);
      state["speedup"] = now.speedup;
      return progress(state).ptr() != Py_False;
    } catch (py::error_already_set &error) {
      error.discard_as_unraisable("flashc tuning progress");
      return false;
    }
  };
  std::optional<Result<TuningOutcome>> outcome;
  {
    const py::gil_scoped_release release;
    outcome.emplace(versions.tune(toSizes(sizes), options));
  }
  if (interrupted) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    throw py::error_already_set();
  }
  if (!*outcome)
    throwError(Error{outcome->error().status == FLASHC_ERROR_DEVICE ? FLASHC_ERROR_DEVICE : FLASHC_ERROR_TARGET,
                     outcome->error().message});
  return toDict(**outcome);
}

py::list entries() {
  py::list list;
  for (const auto &[key, record] : TuningStore::process().list()) {
    py::dict entry;
    entry["device"] = key.device;
    entry["kernel"] = key.kernel;
    entry["shape"] = key.shape;
    entry["compiler"] = key.compiler;
    entry["tiles"] = toTuple(record.tiles);
    entry["seconds"] = record.seconds;
    list.append(entry);
  }
  return list;
}
} // namespace

void bindTuning(py::module_ &module) {
  module.def("tune", &tune, py::arg("kernel"), py::arg("sizes"), py::arg("budget"), py::arg("most_candidates"),
             py::arg("progress"));
  module.def("tiles_for", [](const Kernel &kernel, const std::array<int64_t, 5> &sizes) {
    const FoundTiles found = versionsOf(kernel).tilesFor(toSizes(sizes));
    return py::make_tuple(toTuple(found.tiles), found.source);
  });
  module.def("tuning_candidates", [](const Kernel &kernel, const std::array<int64_t, 5> &sizes) {
    Result<std::vector<RankedTiles>> ranked = versionsOf(kernel).candidates(toSizes(sizes));
    if (!ranked)
      throwError(ranked.error());
    py::list list;
    for (const RankedTiles &candidate : *ranked)
      list.append(py::make_tuple(toTuple(candidate.tiles), candidate.seconds));
    return list;
  });
  module.def("tuning_entries", &entries);
  module.def("export_tuning", [](const std::string &path) {
    if (std::optional<Error> error = TuningStore::process().exportTo(path))
      throwError(*error);
  });
  module.def("import_tuning", [](const std::string &path) {
    Result<int64_t> count = TuningStore::process().importFrom(path);
    if (!count)
      throwError(count.error());
    ++storeEpoch;
    return *count;
  });
  module.def("device_facts", [] {
    const py::gil_scoped_release release;
    DeviceFacts facts = deviceFacts(cpuDevice());
    return facts;
  });
  module.def("device_identity", [] { return hostInfo().identity; });
  module.def("set_tuning_worker", &setTuningWorker, py::arg("command"));
  module.def("set_tuning_on_first_use", &setTuningOnFirstUse, py::arg("on"), py::arg("budget"));
  module.def("tuning_on_first_use", [] { return tuneOnFirstUse.load(); });
  module.def("serve_tuning", [](int socket) {
    const py::gil_scoped_release release;
    return serveTuning([](const Artifact &artifact) { return loadArtifact(artifact); }, socket);
  });
}

} // namespace flashc::python

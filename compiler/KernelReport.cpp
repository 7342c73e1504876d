#include "compiler/KernelReport.h"

#include "compiler/DeviceCode.h"
#include "runtime/GpuCostModel.h"
#include "runtime/TunedKernel.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Target/TargetMachine.h"

#include <cmath>

using namespace llvm;

namespace flashc {
using Kind = InstructionKind;

namespace {
/// How a unit belongs to a multiprocessor.
enum class Owner {
  Scheduler,     ///< each scheduler has its share
  Multiprocessor ///< all have it together
};

/// The kinds of work that a subgroup does one after the other: products, and what lies between them.
enum class Phase { Products, Between };

struct Unit {
  StringRef name;
  Owner owner;
  Phase phase;
  double clocks; ///< of one block's turn where all schedulers share in it
};
} // namespace

LoopPrediction predictLoop(const KeyLoop &loop, bool usesMatrixUnit, bool wide, const GpuChip &chip, int64_t blocks,
                           double tileBytes) {
  const InstructionMix &mix = loop.turn;
  const double threads = loop.threads;
  const double subgroups = std::max(1.0, std::ceil(threads / chip.subgroupSize));
  auto lanes = [&](Kind kind, double rate) { return rate > 0 ? mix.count(kind) * threads / rate : 0; };
  const double async = mix.asyncFlops * subgroups / chip.matrixFlops;
  const double matrix = async + (mix.matrixFlops - mix.asyncFlops) * subgroups / (chip.matrixFlops * chip.mmaShare);
  const double special = lanes(Kind::Special, chip.specialLanes), fma = lanes(Kind::Fma, chip.fmaLanes),
               fma64 = lanes(Kind::Fma64, chip.fma64Lanes),
               alu = lanes(Kind::Alu, chip.aluLanes) + lanes(Kind::Convert, chip.convertLanes);
  const double bytes = mix.globalBytes > 0 ? mix.globalBytes * threads : tileBytes;
  const Phase ofFma = usesMatrixUnit ? Phase::Between : Phase::Products;

  SmallVector<Unit> units = {{"matrix", Owner::Scheduler, Phase::Products, matrix}};
  if (chip.oneVectorUnit) {
    units.push_back({"vector", Owner::Scheduler, ofFma, special + fma + fma64 + alu});
  } else {
    units.push_back({"special", Owner::Scheduler, Phase::Between, special});
    units.push_back({"fma", Owner::Scheduler, ofFma, fma});
    units.push_back({"fma64", Owner::Scheduler, ofFma, fma64});
    units.push_back({"alu", Owner::Scheduler, Phase::Between, alu});
    units.push_back({"issue", Owner::Scheduler, Phase::Between, mix.total() * subgroups / chip.schedulers});
  }
  units.push_back(
      {"shared memory", Owner::Multiprocessor, Phase::Products, mix.sharedBytes * subgroups / chip.sharedBytes});
  units.push_back({"L2 cache", Owner::Multiprocessor, Phase::Products, bytes / chip.l2Bytes});

  LoopPrediction result;
  const auto together = static_cast<double>(std::max<int64_t>(1, blocks));
  // Whole subgroups are dealt out to the schedulers.
  const double perScheduler = std::ceil(together * subgroups / chip.schedulers);
  double phases[2] = {0, 0};
  for (const Unit &unit : units) {
    if (unit.clocks <= 0)
      continue;
    const bool owned = unit.owner == Owner::Scheduler;
    const double ofSubgroup = unit.clocks / subgroups * (owned ? chip.schedulers : 1);
    const double clocks = ofSubgroup * (owned ? perScheduler : together * subgroups);
    result.units.push_back({unit.name, clocks});
    if (clocks > result.clocks) {
      result.clocks = clocks;
      result.bound = unit.name;
    }
    double &phase = phases[unsigned(unit.phase)];
    phase = std::max(phase, ofSubgroup);
  }
  // A subgroup waits for its own products, but for those that run beside its other work.
  const double hidden = async > 0 ? std::min(phases[0], phases[1]) : 0;
  const double alone = phases[0] + phases[1] - hidden;
  if (alone > result.clocks) {
    result.clocks = alone;
    result.bound = "latency";
  }
  result.issuedFlops = usesMatrixUnit ? mix.matrixFlops * subgroups : 2 * mix.multiplyAdds * threads;
  result.usefulFlops = result.issuedFlops;
  if (result.clocks > 0)
    result.share = together * result.usefulFlops / (result.clocks * chip.peakFlops(usesMatrixUnit, wide));
  return result;
}

namespace {
/// What a kernel's description says of the work in one tile.
struct TileWork {
  int64_t rows = 0, keys = 0, headDim = 0, valueHeadDim = 0, storedBytes = 2;
  bool known() const { return rows > 0 && keys > 0 && headDim > 0 && valueHeadDim > 0; }
  double flops() const { return 2.0 * double(rows) * double(keys) * double(headDim + valueHeadDim); }
  double bytes() const { return double(keys) * double(headDim + valueHeadDim) * double(storedBytes); }
};

/// Sets how many tiles a turn has, and counts only what attention asks for.
void applyWork(const TileWork &work, const KeyLoop &loop, const GpuChip &chip, bool usesMatrixUnit, bool wide,
               int64_t blocks, LoopPrediction &prediction) {
  if (!work.known() || prediction.issuedFlops < work.flops())
    return; // another form's: few rows
  // Padded head dims make a product larger, and score functions take more exponentials, never fewer.
  double tiles = std::floor(prediction.issuedFlops / work.flops());
  if (double exponentials = loop.turn.count(Kind::Special) * loop.threads; exponentials > 0)
    tiles = std::min(tiles, std::floor(exponentials / (double(work.rows) * double(work.keys))));
  prediction.tiles = std::max<int64_t>(1, int64_t(usesMatrixUnit ? tiles : 1));
  prediction.usefulFlops = double(prediction.tiles) * work.flops();
  prediction.share = double(std::max<int64_t>(1, blocks)) * prediction.usefulFlops /
                     (prediction.clocks * chip.peakFlops(usesMatrixUnit, wide));
}

/// The plan for the kernel that `metadata` describes, and `asked` for; nothing where it is not one attention.
std::optional<std::pair<PlannedForm, PlannedForm>> planForms(StringRef metadata, StringRef chip,
                                                             const TileSizes &asked) {
  const std::optional<TunedKernel> kernel = TunedKernel::parse(metadata.str());
  const GpuCapabilities *gpu = findGpuCapabilities(chip);
  if (!kernel || !gpu)
    return std::nullopt;
  const GpuTileProblem problem = getTileProblem(kernel->shape({-1, -1, -1, -1, -1}), *gpu);
  const GpuTilePlan plan = planGpuTiles(problem, asked);
  auto formOf = [](const BlockTiles &block, QueryPlace place, int64_t split) {
    return PlannedForm{{block.queries, block.keys, split},
                       block.countThreads(),
                       block.countSharedBytes(place),
                       block.countRegisters(place)};
  };
  return std::pair(formOf(plan.many, plan.queries, 0),
                   formOf(plan.few, plan.few.placeQueries(problem.sharedBytes, problem.registers), plan.split));
}
} // namespace

Expected<KernelReport> reportKernel(const Target &target, StringRef metadata, StringRef ir, StringRef assembly) {
  const DeviceTarget *device = target.getDevice();
  if (!device)
    return createStringError("--report: target '" + target.getName() + "' has no device code; expected a GPU's target");
  Expected<json::Value> parsed = json::parse(metadata);
  if (!parsed)
    return parsed.takeError();
  const json::Object *root = parsed->getAsObject();
  const json::Object *described = root ? root->getObject("device") : nullptr;
  const json::Array *list = described ? described->getArray("functions") : nullptr;
  if (!list)
    return createStringError("--report: expected a description with device functions, found none");
  auto number = [](const json::Object *object, StringRef key) {
    return object ? object->getInteger(key).value_or(0) : int64_t(0);
  };
  KernelReport report;
  report.name = root->getString("name").value_or("").str();
  report.target = target.getName().str();
  report.chip = device->getChip().str();
  report.tf32 = root->getBoolean("tf32").value_or(false);
  report.rates = findGpuChip(report.chip, report.tf32);
  const StringRef dtype = root->getString("dtype").value_or("");
  report.wide = dtype == "f64";
  TileWork work;
  const json::Object *tiles = root->getObject("tiles");
  work.rows = number(tiles, "rows");
  work.keys = number(tiles, "keys");
  work.headDim = number(root, "head_dim");
  work.valueHeadDim = number(root, "value_head_dim");
  work.storedBytes = dtype == "f64" ? 8 : dtype == "f32" ? 4 : 2;
  if (work.rows > 0)
    report.tiles = formatv("{0}x{1}", work.rows, work.keys);
  TileSizes asked;
  if (tiles && tiles->getString("source") != "cost model")
    asked = {work.rows, work.keys, number(tiles, "split")};
  report.planned = planForms(metadata, report.chip, asked);

  LLVMContext context;
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> module = parseAssemblyString(ir, diagnostic, context);
  if (!module)
    return createStringError("--report: the device's LLVM IR, line " + Twine(diagnostic.getLineNo()) + ": " +
                             diagnostic.getMessage());
  auto machine = device->createDeviceMachine(/*optLevel=*/3);
  if (!machine)
    return machine.takeError();
  std::vector<std::string> names;
  std::vector<uint32_t> threads;
  for (const json::Value &function : *list) {
    names.push_back(function.getAsObject()->getString("name").value_or("").str());
    threads.push_back(uint32_t(number(function.getAsObject(), "threads")));
  }
  DeviceResources resources = device->readResources(assembly);
  report.resourcesSource = resources.source;
  for (auto [code, function] : zip_equal(countKeyLoops(*module, **machine, names, threads), *list)) {
    FunctionReport &entry = report.functions.emplace_back();
    entry.code = std::move(code);
    entry.sharedBytes = number(function.getAsObject(), "shared_bytes");
    if (const FunctionResources *found = resources.find(entry.code.name))
      entry.resources = *found;
    if (!report.rates)
      continue;
    const int64_t registers = entry.resources ? entry.resources->registers : 0;
    entry.occupancy = gpuOccupancy(*report.rates, entry.code.threads, registers, entry.sharedBytes);
    for (const KeyLoop &loop : entry.code.loops) {
      LoopPrediction &prediction =
          entry.predictions.emplace_back(predictLoop(loop, entry.code.usesMatrixUnit, report.wide, *report.rates,
                                                     entry.occupancy.blocks, work.known() ? work.bytes() : 0));
      applyWork(work, loop, *report.rates, entry.code.usesMatrixUnit, report.wide, entry.occupancy.blocks, prediction);
    }
  }
  // The function that computes most at a time; of its loops the one for whole tiles, which masks cost nothing.
  for (auto [i, entry] : enumerate(report.functions))
    for (auto [j, prediction] : enumerate(entry.predictions)) {
      if (report.main) {
        const LoopPrediction &best = report.functions[report.main->first].predictions[report.main->second];
        const double size = prediction.usefulFlops / double(prediction.tiles),
                     bestSize = best.usefulFlops / double(best.tiles);
        if (size < bestSize || (size == bestSize && prediction.share <= best.share))
          continue;
      }
      report.main = {i, j};
    }
  return std::move(report);
}

//===----------------------------------------------------------------------===//
// Forms
//===----------------------------------------------------------------------===//

namespace {
double peakOf(const KernelReport &report, const FunctionReport &function) {
  return report.rates->peakFlops(function.code.usesMatrixUnit, report.wide) * report.rates->units *
         report.rates->clockGhz * 1e-3;
}

/// Float32 and float64 are exact on multiply-adds alone.
StringRef describeProducts(const FunctionReport &function) {
  return function.code.usesMatrixUnit ? "the matrix unit" : "multiply-adds";
}

std::string describeResources(const KernelReport &report, const FunctionReport &function) {
  std::string text;
  raw_string_ostream os(text);
  os << function.code.threads << " threads, " << function.sharedBytes << " bytes of shared memory";
  if (function.resources) {
    os << ", " << function.resources->registers << " registers";
    if (function.resources->accumulators)
      os << " (" << function.resources->accumulators << " of them accumulation registers)";
    if (function.resources->spilledBytes)
      os << ", spills " << function.resources->spilledBytes << " bytes";
    else
      os << ", no spill";
  }
  if (report.rates) {
    os << "; " << function.occupancy.blocks << (function.occupancy.blocks == 1 ? " block" : " blocks")
       << " at a time, by " << function.occupancy.limitedBy;
    if (!function.resources)
      os << " (registers are not known)";
  }
  if (!function.code.loops.empty())
    os << "; products by " << describeProducts(function);
  return text;
}

std::string describe(const PlannedForm &form) {
  return formatv("{0}x{1} by {2} threads, {3} bytes of shared memory, {4} registers", form.tiles.rows, form.tiles.keys,
                 form.threads, form.sharedBytes, form.registers);
}

json::Object toJson(const PlannedForm &form) {
  json::Object object{{"rows", form.tiles.rows},
                      {"keys", form.tiles.keys},
                      {"threads", form.threads},
                      {"shared_bytes", form.sharedBytes},
                      {"registers", form.registers}};
  if (form.tiles.split)
    object["split"] = form.tiles.split;
  return object;
}

json::Object toJson(const GpuChip &chip) {
  json::Object object{{"name", chip.name}, {"product", chip.product}};
  const std::pair<StringRef, const Sourced *> numbers[] = {
      {"units", &chip.units},
      {"clock_ghz", &chip.clockGhz},
      {"memory_gbps", &chip.memoryGbps},
      {"matrix_flops_clock", &chip.matrixFlops},
      {"mma_sync_share", &chip.mmaShare},
      {"fma_lanes", &chip.fmaLanes},
      {"packed_fma", &chip.packedFma},
      {"fma64_lanes", &chip.fma64Lanes},
      {"alu_lanes", &chip.aluLanes},
      {"special_lanes", &chip.specialLanes},
      {"convert_lanes", &chip.convertLanes},
      {"shared_bytes_clock", &chip.sharedBytes},
      {"l2_bytes_clock", &chip.l2Bytes},
  };
  for (const auto &[name, number] : numbers)
    object[name] = json::Object{{"value", number->value}, {"source", number->source}};
  return object;
}

json::Object toJson(const KeyLoop &loop, const LoopPrediction *prediction) {
  json::Object counts;
  for (unsigned i = 0; i < kNumInstructionKinds; ++i)
    if (loop.turn.counts[i] > 0)
      counts[toString(Kind(i))] = loop.turn.counts[i];
  json::Object object{{"threads", int64_t(loop.threads)},      {"instructions", std::move(counts)},
                      {"matrix_flops", loop.turn.matrixFlops}, {"shared_bytes", loop.turn.sharedBytes},
                      {"global_bytes", loop.turn.globalBytes}, {"loops_of_unknown_length", int64_t(loop.unknownLoops)}};
  if (!prediction)
    return object;
  json::Object clocks;
  for (const UnitClocks &unit : prediction->units)
    clocks[unit.unit] = unit.clocks;
  object["tiles"] = prediction->tiles;
  object["clocks"] = std::move(clocks);
  object["clocks_turn"] = prediction->clocks;
  object["bound"] = prediction->bound;
  object["issued_flops"] = prediction->issuedFlops;
  object["useful_flops"] = prediction->usefulFlops;
  object["share_of_peak"] = prediction->share;
  return object;
}
} // namespace

json::Value KernelReport::toJson() const {
  json::Array list;
  for (const FunctionReport &function : functions) {
    json::Array loops;
    for (auto [i, loop] : enumerate(function.code.loops))
      loops.push_back(flashc::toJson(loop, i < function.predictions.size() ? &function.predictions[i] : nullptr));
    json::Object object{{"name", function.code.name},
                        {"threads", int64_t(function.code.threads)},
                        {"shared_bytes", function.sharedBytes},
                        {"loops", std::move(loops)}};
    if (!function.code.loops.empty())
      object["products"] = describeProducts(function);
    if (function.resources) {
      object["registers"] = function.resources->registers;
      object["accumulation_registers"] = function.resources->accumulators;
      object["spilled_bytes"] = function.resources->spilledBytes;
      object["local_bytes"] = function.resources->localBytes;
    }
    if (rates)
      object["occupancy"] = json::Object{{"blocks", function.occupancy.blocks},
                                         {"subgroups", function.occupancy.subgroups},
                                         {"limited_by", function.occupancy.limitedBy}};
    list.push_back(std::move(object));
  }
  json::Object object{{"format", "flashc-report"},
                      {"version", 1},
                      {"name", name},
                      {"target", target},
                      {"chip", chip},
                      {"tiles", tiles},
                      {"tf32", tf32},
                      {"resources", resourcesSource},
                      {"functions", std::move(list)}};
  if (planned)
    object["plan"] = json::Object{{"many", flashc::toJson(planned->first)}, {"few", flashc::toJson(planned->second)}};
  if (rates)
    object["rates"] = flashc::toJson(*rates);
  if (main && rates) {
    const FunctionReport &function = functions[main->first];
    const LoopPrediction &prediction = function.predictions[main->second];
    object["prediction"] = json::Object{{"function", function.code.name},
                                        {"loop", int64_t(main->second)},
                                        {"share_of_peak", prediction.share},
                                        {"bound", prediction.bound},
                                        {"peak_tflops", peakOf(*this, function)},
                                        {"tflops", prediction.share * peakOf(*this, function)},
                                        {"product", rates->product}};
  }
  return object;
}

std::string KernelReport::toText() const {
  std::string text;
  raw_string_ostream os(text);
  os << name << " for " << target;
  if (!tiles.empty())
    os << ", tiles " << tiles;
  if (tf32)
    os << ", products in tf32";
  os << "\n";
  if (rates)
    os << formatv("rates: {0}, {1} multiprocessors at {2:f2} GHz\n", rates->product, int64_t(rates->units),
                  double(rates->clockGhz));
  else
    os << "rates: none are known of " << chip << "; expected sm_80, sm_90, sm_90a, gfx90a, gfx942 or gfx1100\n";
  if (planned)
    os << "plan: " << describe(planned->first) << "; for few rows " << describe(planned->second) << ", of "
       << planned->second.tiles.split << " keys a block\n";
  os << "registers: " << resourcesSource << "\n";
  for (const FunctionReport &function : functions) {
    os << "\n" << function.code.name << ": " << describeResources(*this, function) << "\n";
    if (function.code.loops.empty())
      os << "  no loop over keys\n";
    for (auto [i, loop] : enumerate(function.code.loops)) {
      os << formatv("  loop {0} over keys, {1} threads; instructions of a thread in one turn:\n   ", i + 1,
                    loop.threads);
      for (unsigned kind = 0; kind < kNumInstructionKinds; ++kind)
        if (loop.turn.counts[kind] > 0)
          os << formatv(" {0} {1:f0}", toString(Kind(kind)), loop.turn.counts[kind]);
      os << "\n";
      if (loop.unknownLoops)
        os << formatv("    {0} loops inside of unknown length, counted once\n", loop.unknownLoops);
      if (i >= function.predictions.size())
        continue;
      const LoopPrediction &prediction = function.predictions[i];
      os << "    clocks of each unit:";
      for (const UnitClocks &unit : prediction.units)
        os << formatv("{0} {1} {2:f0}", &unit == prediction.units.begin() ? "" : ",", unit.unit, unit.clocks);
      os << formatv("\n    bound by {0}: at most {1:f1} % of {2:f1} TFLOP/s",
                    prediction.bound == "latency" ? "one subgroup's own latency, as too few share a scheduler"
                                                  : prediction.bound,
                    prediction.share * 100, peakOf(*this, function));
      if (prediction.usefulFlops < prediction.issuedFlops * 0.999)
        os << formatv(" ({0:f0} % of what is multiplied counts)",
                      prediction.usefulFlops / prediction.issuedFlops * 100);
      os << "\n";
    }
  }
  if (main && rates) {
    const FunctionReport &function = functions[main->first];
    const LoopPrediction &prediction = function.predictions[main->second];
    os << formatv("\nprediction: {0:f1} TFLOP/s, {1:f1} % of {2}'s peak, bound by {3} ({4}, loop {5})\n",
                  prediction.share * peakOf(*this, function), prediction.share * 100, rates->product, prediction.bound,
                  function.code.name, main->second + 1);
  }
  return text;
}
} // namespace flashc

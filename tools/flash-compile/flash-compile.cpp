/// flash-compile: kernels ahead of time, from options or from a module.
#include "Options.h"

#include "compiler/Aot.h"
#include "compiler/Explain.h"
#include "compiler/InputText.h"
#include "compiler/KernelReport.h"
#include "compiler/Register.h"
#include "compiler/TargetRegistry.h"
#include "compiler/TunedTiles.h"
#include "runtime/Tuner.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/WithColor.h"

using namespace flashc;

static int fail(llvm::Error error) {
  llvm::WithColor::error(llvm::errs(), "flash-compile") << llvm::toString(std::move(error)) << "\n";
  return 1;
}

/// The text that --emit asks for when it is not the object.
static llvm::StringRef getEmittedStage(Emit emit) {
  return emit == Emit::Binary     ? "image"
         : emit == Emit::Assembly ? "asm"
         : emit == Emit::LlvmIr   ? "llvm-ir"
         : emit == Emit::Mlir     ? "input"
                                  : "";
}

/// Prints the report on a kernel of a GPU's target.
static llvm::Error printReport(const Target &target, const Artifact &artifact, const StageTexts &stages,
                               ReportForm form) {
  auto textOf = [&](llvm::StringRef stage) -> llvm::StringRef {
    for (const auto &entry : stages.entries)
      if (entry.stage == stage)
        return entry.text;
    return "";
  };
  auto report = reportKernel(target, artifact.metadata, textOf("llvm-ir"), textOf("asm"));
  if (!report)
    return report.takeError();
  if (form == ReportForm::Json)
    llvm::outs() << llvm::formatv("{0:2}\n", report->toJson());
  else
    llvm::outs() << report->toText();
  return llvm::Error::success();
}

using PhaseTimes = llvm::MapVector<llvm::StringRef, llvm::TimeRecord>;

/// Phases and their sum in milliseconds, of the process's CPU time and of the clock on the wall.
static void printTimes(PhaseTimes &times) {
  llvm::TimeRecord all;
  for (auto &[phase, time] : times)
    all += time;
  times["all"] = all;
  llvm::errs() << llvm::formatv("{0,-10}{1,10}{2,10}\n", "phase", "CPU ms", "wall ms");
  for (auto &[phase, time] : times)
    llvm::errs() << llvm::formatv("{0,-10}{1,10:f1}{2,10:f1}\n", phase, time.getProcessTime() * 1e3,
                                  time.getWallTime() * 1e3);
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  llvm::Expected<ToolOptions> options = parseToolOptions(argc, argv);
  if (!options)
    return fail(options.takeError());
  std::vector<std::shared_ptr<const Target>> targets;
  for (const std::string &text : options->targets) {
    auto target = parseTarget(text);
    if (!target)
      return fail(target.takeError());
    targets.push_back(*target);
  }
  const Target &target = *targets.front();
  if (options->emit == Emit::Binary && !target.getDevice())
    return fail(llvm::createStringError("--emit binary: target '" + target.getName() +
                                        "' has no device code; expected a GPU's target, or --emit object"));

  if (options->report != ReportForm::None && !target.getDevice())
    return fail(llvm::createStringError("--report: target '" + target.getName() +
                                        "' has no device code; expected a GPU's target"));

  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  // A context prints errors by itself, and nothing milder.
  mlir::ScopedDiagnosticHandler printRemarks(&context, [](mlir::Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() != mlir::DiagnosticSeverity::Remark)
      return mlir::failure();
    llvm::errs() << diagnostic.getLocation() << ": remark: " << diagnostic << "\n";
    return mlir::success();
  });
  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> module =
      options->input.empty() ? buildKernelModule(context, options->spec) : readModule(options->input, &context);
  if (mlir::failed(module))
    return 1;
  if (options->input.empty())
    options->compile.metadata = describeSpec(context, options->spec);
  if (options->tuneFor) {
    std::optional<FoundTiles> found = findTunedTiles(context, options->spec, target, *options->tuneFor);
    if (found) {
      options->compile.tiles = found->tiles;
      options->compile.tilesSource = found->source;
    }
    // Which tiles a kernel has is written in its description; that there were none to take is worth a line here.
    llvm::errs() << "flash-compile: tiles for " << options->tuneFor->describe() << ": "
                 << (found ? toString(found->tiles) + ", " + found->source : "not tuned, chosen by the cost model")
                 << "\n";
  }

  if (options->emit == Emit::Mlir && options->explain.empty()) {
    std::string text;
    llvm::raw_string_ostream os(text);
    (*module)->print(os);
    llvm::Error error = writeFile(options->output, text);
    return error ? fail(std::move(error)) : 0;
  }

  StageTexts stages;
  llvm::StringRef emitted = getEmittedStage(options->emit);
  const bool reports = options->report != ReportForm::None;
  if (!options->explain.empty() || !emitted.empty() || reports)
    options->compile.onStage = [&](llvm::StringRef stage, llvm::StringRef text) { stages.add(stage, text); };
  if (options->explain.empty() && reports)
    options->compile.stages = {"llvm-ir", "asm"};
  else if (options->explain.empty())
    options->compile.stages = {emitted.str()};
  PhaseTimes times;
  if (options->time)
    options->compile.onTime = [&](llvm::StringRef phase, const llvm::TimeRecord &time) { times[phase] += time; };
  std::vector<Artifact> artifacts;
  for (const auto &each : targets) {
    mlir::FailureOr<Artifact> compiled = compile(**module, *each, options->compile);
    if (mlir::failed(compiled))
      return 1;
    artifacts.push_back(std::move(*compiled));
  }
  const Artifact &artifact = artifacts.front();
  if (options->time)
    printTimes(times);
  if (reports)
    if (llvm::Error error = printReport(target, artifact, stages, options->report))
      return fail(std::move(error));

  if (!options->explain.empty()) {
    bool html = llvm::StringRef(options->explain).ends_with(".html");
    std::string page = html ? explainAsHtml(stages, artifact.name + " for " + artifact.target) : explainAsText(stages);
    if (llvm::Error error = writeFile(options->explain, page))
      return fail(std::move(error));
  }
  if (options->output.empty())
    return 0;
  if (options->emit == Emit::Pack) {
    llvm::Error error =
        artifacts.size() == 1 ? writePack(artifact, options->output) : writeFatPack(artifacts, options->output);
    return error ? fail(std::move(error)) : 0;
  }
  std::string bytes = options->emit == Emit::Object ? artifact.bytes : "";
  for (const auto &entry : stages.entries)
    if (entry.stage == emitted)
      bytes = entry.text;
  if (llvm::Error error = writeFile(options->output, bytes))
    return fail(std::move(error));
  return 0;
}

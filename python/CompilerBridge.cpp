//===- CompilerBridge.cpp - the compiler without LLVM's types ----------------===//

#include "python/CompilerBridge.h"

#include "compiler/Aot.h"
#include "compiler/CachedCompile.h"
#include "compiler/Compiler.h"
#include "compiler/InputText.h"
#include "compiler/Jit.h"
#include "compiler/KernelSpec.h"
#include "compiler/Register.h"
#include "compiler/TargetRegistry.h"
#include "emulator/EmulatedDevice.h"
#include "runtime/TuningStore.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <atomic>
#include <functional>
#include <mutex>
#include <new>
#include <pthread.h>
#include <shared_mutex>

using namespace mlir;

namespace flashc::python {

namespace {

std::atomic<int64_t> compiledCount{0}, fromDiskCount{0};

/// Compilations of this process on one side, forks on the other: a child that was made in the middle of a compilation
/// would find locks taken by threads that it does not have, and wait for them for ever.
std::shared_mutex &getForkGate() {
  static auto *gate = new std::shared_mutex();
  return *gate;
}

/// A context that collects what is said instead of printing it.
class Session {
public:
  Session() : context(makeRegistry(), MLIRContext::Threading::DISABLED) {
    // A message names what is wrong; whole modules below it help nobody.
    context.printOpOnDiagnostic(false);
    context.getDiagEngine().registerHandler([this](Diagnostic &diagnostic) { collect(diagnostic); });
  }

  MLIRContext &get() { return context; }

  /// The errors said so far, or `otherwise` when there were none.
  Error error(const char *otherwise) const { return {FLASHC_ERROR_INVALID, messages.empty() ? otherwise : messages}; }

private:
  static DialectRegistry makeRegistry() {
    DialectRegistry registry;
    registerCompilerDialects(registry);
    return registry;
  }

  void collect(Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
      return;
    llvm::raw_string_ostream stream(messages);
    if (!messages.empty())
      stream << "\n";
    if (auto location = dyn_cast<FileLineColLoc>(diagnostic.getLocation()))
      stream << location.getFilename().getValue() << ":" << location.getLine() << ":" << location.getColumn() << ": ";
    stream << diagnostic.str();
    for (Diagnostic &note : diagnostic.getNotes())
      stream << "\n  note: " << note.str();
  }

  MLIRContext context;
  std::string messages;
};

Error toError(llvm::Error error, flashc_status status = FLASHC_ERROR_INVALID) {
  return {status, llvm::toString(std::move(error))};
}

/// How a module for a compilation is made, in a context of its own.
using BuildModule = std::function<FailureOr<OwningOpRef<ModuleOp>>(MLIRContext &)>;

/// What a kernel is made from; kept, so that its stages can be shown and a pack of another name be written later.
struct Recipe {
  BuildModule build;
  std::shared_ptr<const Target> target;
  std::function<CompileOptions(MLIRContext &)> options;

  /// Runs the compiler. `configure` may change the options.
  Result<Artifact> run(const std::function<void(CompileOptions &)> &configure) const {
    const std::shared_lock<std::shared_mutex> gate(getForkGate());
    Session session;
    FailureOr<OwningOpRef<ModuleOp>> module = build(session.get());
    if (failed(module))
      return session.error("the module could not be built");
    CompileOptions chosen = options(session.get());
    if (configure)
      configure(chosen);
    FailureOr<Artifact> artifact = compile(**module, *target, chosen);
    if (failed(artifact))
      return session.error("the module could not be compiled");
    return std::move(*artifact);
  }
};

class CompiledImpl : public CompiledKernel {
public:
  CompiledImpl(Recipe recipe, Artifact artifact, std::unique_ptr<JitKernel> kernel)
      : recipe(std::move(recipe)), artifact(std::move(artifact)), kernel(std::move(kernel)) {}

  // While its object is still there: another one may come to lie at its address.
  ~CompiledImpl() override { forgetKernel(functions().info); }

  const flashc_kernel &functions() const override { return kernel->get(); }
  const std::string &metadata() const override { return artifact.metadata; }

  Result<std::string> printStage(const std::string &stage) const override {
    std::string text;
    bool known = false;
    Result<Artifact> made = recipe.run([&](CompileOptions &options) {
      options.stages = {stage};
      options.onStage = [&](llvm::StringRef, llvm::StringRef shown) {
        known = true;
        text = shown.str();
      };
    });
    if (!made)
      return made.error();
    if (known)
      return text;
    std::string names;
    for (const auto &[name, description] : listStages())
      names += (names.empty() ? "" : ", ") + name;
    return Error{FLASHC_ERROR_INVALID, "stage: expected one of " + names + ", got '" + stage + "'"};
  }

  std::optional<Error> save(const std::string &folder, const std::string &name) const override {
    const Artifact *saved = &artifact;
    std::optional<Artifact> renamed;
    if (name != artifact.name) {
      Result<Artifact> made = recipe.run([&](CompileOptions &options) { options.name = name; });
      if (!made)
        return made.error();
      renamed = std::move(*made);
      saved = &*renamed;
    }
    if (llvm::Error error = writePack(*saved, folder))
      return toError(std::move(error), FLASHC_ERROR_IO);
    return std::nullopt;
  }

private:
  Recipe recipe;
  Artifact artifact;
  std::unique_ptr<JitKernel> kernel;
};

/// The artifact of a recipe: from the cache on disk, else compiled and kept there.
Result<Artifact> makeArtifact(const Recipe &recipe) {
  const std::shared_lock<std::shared_mutex> gate(getForkGate());
  Session session;
  FailureOr<OwningOpRef<ModuleOp>> module = recipe.build(session.get());
  if (failed(module))
    return session.error("the module could not be built");
  bool fromDisk = false;
  FailureOr<Artifact> artifact =
      compileCached(**module, *recipe.target, recipe.options(session.get()), KernelCache::process(), &fromDisk);
  if (failed(artifact))
    return session.error("the module could not be compiled");
  ++(fromDisk ? fromDiskCount : compiledCount);
  return std::move(*artifact);
}

/// The kernel of a recipe.
Result<std::shared_ptr<CompiledKernel>> make(Recipe recipe) {
  Result<Artifact> artifact = makeArtifact(recipe);
  if (!artifact)
    return artifact.error();
  const std::shared_lock<std::shared_mutex> gate(getForkGate());
  llvm::Expected<std::unique_ptr<JitKernel>> kernel = JitKernel::load(artifact->name, artifact->bytes);
  if (!kernel)
    return toError(kernel.takeError(), FLASHC_ERROR_TARGET);
  return std::shared_ptr<CompiledKernel>(
      std::make_shared<CompiledImpl>(std::move(recipe), std::move(*artifact), std::move(*kernel)));
}

/// A kernel that the tuner's worker linked.
class LinkedKernel final : public LoadedKernel {
public:
  explicit LinkedKernel(std::unique_ptr<JitKernel> linked) : linked(std::move(linked)) { kernel = this->linked->get(); }
  ~LinkedKernel() override { forgetKernel(kernel.info); }

private:
  std::unique_ptr<JitKernel> linked;
};

KernelSpec toSpec(const KernelRequest &request) {
  KernelSpec spec;
  spec.name = request.name;
  spec.headDim = request.headDim;
  spec.valueHeadDim = request.valueHeadDim;
  spec.dtype = request.dtype;
  spec.mask = request.mask;
  spec.maskDTypes = request.maskDTypes;
  spec.biasDType = request.biasDType;
  spec.scale = request.scale;
  spec.softcap = request.softcap;
  spec.score = request.score;
  spec.lse = request.returnLse;
  spec.tf32 = request.tf32;
  return spec;
}

} // namespace

static Result<Recipe> recipeOf(const KernelRequest &request) {
  llvm::Expected<std::shared_ptr<const Target>> target = parseTarget(request.target);
  if (!target)
    return toError(target.takeError());
  Recipe recipe;
  recipe.target = *target;
  recipe.build = [request](MLIRContext &context) { return buildKernelModule(context, toSpec(request)); };
  recipe.options = [request](MLIRContext &context) {
    CompileOptions options;
    options.tiles = {request.tileQueries, request.tileKeys, request.tileSplit};
    options.tilesSource = request.tilesSource;
    options.metadata = describeSpec(context, toSpec(request));
    return options;
  };
  return recipe;
}

Result<std::shared_ptr<CompiledKernel>> compileAttention(const KernelRequest &request) {
  Result<Recipe> recipe = recipeOf(request);
  if (!recipe)
    return recipe.error();
  return make(std::move(*recipe));
}

Result<Artifact> compileArtifact(const KernelRequest &request) {
  Result<Recipe> recipe = recipeOf(request);
  if (!recipe)
    return recipe.error();
  return makeArtifact(*recipe);
}

Result<std::unique_ptr<LoadedKernel>> loadArtifact(const Artifact &artifact) {
  llvm::Expected<std::unique_ptr<JitKernel>> kernel = JitKernel::load(artifact.name, artifact.bytes);
  if (!kernel)
    return toError(kernel.takeError(), FLASHC_ERROR_TARGET);
  return std::unique_ptr<LoadedKernel>(new LinkedKernel(std::move(*kernel)));
}

Result<std::shared_ptr<CompiledKernel>> compileModule(const std::string &text, const std::string &entry,
                                                      const std::string &target, bool tf32) {
  llvm::Expected<std::shared_ptr<const Target>> parsed = parseTarget(target);
  if (!parsed)
    return toError(parsed.takeError());
  Recipe recipe;
  recipe.target = *parsed;
  recipe.build = [text](MLIRContext &context) { return parseModule(text, "module", &context); };
  recipe.options = [entry, tf32](MLIRContext &) {
    CompileOptions options;
    options.entry = entry;
    options.tf32 = tf32;
    options.vectorizeLoops = true;
    return options;
  };
  return make(std::move(recipe));
}

std::vector<std::pair<std::string, std::string>> listStages() {
  std::vector<std::pair<std::string, std::string>> stages = {{"input", "What is compiled."}};
  for (const Stage &stage : getCpuStages())
    stages.emplace_back(stage.name.str(), stage.description.str());
  stages.emplace_back("llvm-ir", "LLVM's IR after its optimisations.");
  stages.emplace_back("asm", "The assembly.");
  return stages;
}

CompileCounts getCompileCounts() { return {compiledCount.load(), fromDiskCount.load()}; }

void guardForks() {
  // Handlers run from the last registered to the first, and locks have to be taken in the order of a compilation: its
  // gate before the stores that it asks.
  (void)KernelCache::process();
  (void)TuningStore::process();
  // The child's thread has another number than the one that took the lock, which therefore begins anew.
  pthread_atfork([] { getForkGate().lock(); }, [] { getForkGate().unlock(); },
                 [] { new (&getForkGate()) std::shared_mutex(); });
}

void registerDevices() { registerEmulatedDevices(); }

std::string getCacheProblem() { return KernelCache::process().lastProblem(); }

std::string getCompilerVersion() { return flashc::getCompilerVersion().str(); }

std::string getCompilerSources() { return flashc::getCompilerSources().str(); }

Result<std::string> describeTarget(const std::string &target) {
  llvm::Expected<std::shared_ptr<const Target>> parsed = parseTarget(target);
  if (!parsed)
    return toError(parsed.takeError());
  return (*parsed)->getName().str();
}

} // namespace flashc::python

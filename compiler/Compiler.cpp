#include "compiler/Compiler.h"

#include "compiler/CodeParts.h"
#include "compiler/DeviceCode.h"
#include "compiler/Dispatch.h"
#include "compiler/KernelInterface.h"
#include "compiler/LlvmBackend.h"
#include "compiler/MergeObjects.h"
#include "compiler/targets/X86.h"
#include "dialects/Attention/Attention.h"
#include "runtime/DeviceFacts.h"
#include "runtime/include/flashc/runtime.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace mlir;

namespace flashc {
namespace {

bool isIdentifier(StringRef name) {
  return !name.empty() && name.size() < 64 && !llvm::isDigit(name.front()) &&
         llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
}

/// The C functions that each variant has of its own, which those of the kernel choose among.
constexpr StringLiteral kVariantFunctions[] = {"workspace_size", "run"};

/// What is compiled at a time.
struct CodePart {
  unsigned variant;
  /// Before it is in LLVM's IR.
  OwningOpRef<ModuleOp> source;
  /// Whether the last stage has yet to run on it.
  bool needsStage;
  /// What others use of it: other parts, and what chooses among the variants.
  SmallVector<std::string> exported;
  bool isMain;
  /// Of its own, where parts are compiled beside each other.
  std::unique_ptr<llvm::LLVMContext> context = {};
  std::unique_ptr<llvm::Module> module = {};
};

/// Lets threads of a scope work on one MLIR context.
class ScopedThreads {
public:
  explicit ScopedThreads(MLIRContext &context) : context(context), before(context.isMultithreadingEnabled()) {
    context.enableMultithreading();
  }
  ~ScopedThreads() {
    // Without threads of its own, as it was: a process may fork.
    if (!before)
      context.disableMultithreading();
  }
  ScopedThreads(const ScopedThreads &) = delete;
  ScopedThreads &operator=(const ScopedThreads &) = delete;

private:
  MLIRContext &context;
  const bool before;
};

/// One compilation: a kernel, a target and what is to be seen on the way.
class Compilation {
public:
  Compilation(const Target &target, const CompileOptions &options) : target(target), options(options) {}

  FailureOr<Artifact> run(ModuleOp source);

private:
  bool isWanted(StringRef stage) const {
    return options.onStage && (options.stages.empty() || llvm::is_contained(options.stages, stage));
  }
  void show(StringRef stage, ModuleOp module) const {
    if (!isWanted(stage))
      return;
    std::string text;
    llvm::raw_string_ostream os(text);
    module.print(os);
    options.onStage(stage, text);
  }
  LogicalResult fail(Location loc, llvm::Error error) const {
    return emitError(loc) << llvm::toString(std::move(error));
  }

  /// The result of `work`, timed for who wants to know.
  template <typename Work> auto timed(StringRef phase, Work work) const {
    if (!options.onTime)
      return work();
    auto start = llvm::TimeRecord::getCurrentTime(/*Start=*/true);
    auto result = work();
    auto taken = llvm::TimeRecord::getCurrentTime(/*Start=*/false);
    taken -= start;
    options.onTime(phase, taken);
    return result;
  }

  LogicalResult runStage(const Stage &stage, ModuleOp module, const PipelineOptions &pipeline, bool shown) const;
  /// Lowers what is around attention, and says which operands are the former results.
  LogicalResult lowerWholeModule(ModuleOp module, const PipelineOptions &pipeline, bool shown) const;
  PipelineOptions getPipeline(const CpuVariant &variant) const;
  /// Takes a copy of the prepared module through the stages, to its parts, and reads its interface.
  LogicalResult compileVariant(ModuleOp prepared, unsigned number, KernelInterface &interface);
  /// Brings a part to LLVM's IR.
  llvm::Error translate(CodePart &part, StringRef name);
  /// Brings all parts to LLVM's IR and optimises them.
  LogicalResult optimizeParts(Location loc, StringRef name);
  /// Whether somebody wants to see the code, which is one module then.
  bool isCodeShown() const { return isWanted("llvm-ir") || isWanted("asm"); }
  /// Calls `work` for each part, the largest first, some of them `beside` each other. The first error.
  llvm::Error forEachPart(bool beside, llvm::function_ref<llvm::Error(CodePart &)> work);
  /// Brings the optimised parts to one object, with `dispatch` in it.
  FailureOr<std::string> emitObject(Location loc, StringRef name, StringRef dispatch);
  std::string describe(const KernelInterface &interface) const;

  /// The tiles of the attention that has most of them; not chosen where there is none.
  static TileSizes readTiles(ModuleOp module);
  /// The member `tiles` of kernel.json, or null.
  llvm::json::Value describeTiles() const;

  const Target &target;
  const CompileOptions &options;
  SmallVector<CpuVariant> variants;
  llvm::LLVMContext context;
  std::vector<CodePart> parts;
  /// Of each variant.
  SmallVector<TileSizes> variantTiles;
  /// Of a GPU's target, which has one variant.
  std::optional<DeviceCode> deviceCode;
};

LogicalResult Compilation::runStage(const Stage &stage, ModuleOp module, const PipelineOptions &pipeline,
                                    bool shown) const {
  PassManager pm(module->getContext(), ModuleOp::getOperationName());
  pm.enableVerifier(false);
  stage.populate(pm, pipeline);
  if (failed(timed(stage.name, [&] { return pm.run(module); })))
    return failure();
  if (shown)
    show(stage.name, module);
  return success();
}

TileSizes Compilation::readTiles(ModuleOp module) {
  TileSizes tiles;
  // A kernel has a form for few rows beside the ordinary one; only its tasks divide the keys.
  int64_t split = 0;
  module.walk([&](attn::SdpaOp op) {
    std::optional<attn::TilesAttr> assigned = op.getTiles();
    if (!assigned)
      return;
    if (assigned->getSplit() > 0)
      split = std::max(split, assigned->getSplit());
    else if (assigned->getQueries() > tiles.rows)
      tiles = {assigned->getQueries(), assigned->getKeys(), 0};
  });
  tiles.split = split;
  return tiles;
}

llvm::json::Value Compilation::describeTiles() const {
  auto sizes = [](const TileSizes &tiles) {
    llvm::json::Object object{{"rows", tiles.rows}, {"keys", tiles.keys}};
    if (tiles.split)
      object["split"] = tiles.split;
    return object;
  };
  if (variantTiles.empty() || !variantTiles.back().chosen())
    return nullptr;
  llvm::json::Object object;
  if (llvm::all_equal(variantTiles)) {
    object = sizes(variantTiles.back());
  } else {
    llvm::json::Object each;
    for (auto [variant, tiles] : llvm::zip_equal(variants, variantTiles))
      each[variant.name] = sizes(tiles);
    object["instruction_sets"] = std::move(each);
  }
  object["source"] = !options.tilesSource.empty() ? options.tilesSource
                     : options.tiles.chosen()     ? "caller"
                                                  : "cost model";
  return object;
}

/// Has all attention of float32 multiply in tf32.
static LogicalResult multiplyInTf32(ModuleOp module) {
  bool any = false;
  module.walk([&](attn::SdpaOp op) {
    if (!getElementTypeOrSelf(op.getQuery()).isF32())
      return;
    op.setTf32(true);
    any = true;
  });
  if (!any)
    return emitError(module.getLoc()) << "expected attention of f32 elements in a module whose products are to be in "
                                         "tf32, found none; --remarks says what was not raised";
  // What it cannot be said of says so: mixed elements, tiles that are written down for others.
  return verify(module);
}

LogicalResult Compilation::lowerWholeModule(ModuleOp module, const PipelineOptions &pipeline, bool shown) const {
  FailureOr<func::FuncOp> kernel = getKernelFunction(module);
  if (failed(kernel))
    return failure();
  unsigned inputs = kernel->getNumArguments();
  for (unsigned i = 0; i < inputs; ++i)
    if (!kernel->getArgAttr(i, kNameAttr))
      kernel->setArgAttr(i, kNameAttr, StringAttr::get(module.getContext(), "in" + Twine(i)));
  if (failed(runStage(getModuleStage(), module, pipeline, shown)) || failed(kernel = getKernelFunction(module)))
    return failure();
  for (unsigned i = inputs; i < kernel->getNumArguments(); ++i) {
    kernel->setArgAttr(i, kNameAttr, StringAttr::get(module.getContext(), "out" + Twine(i - inputs)));
    kernel->setArgAttr(i, kOutputAttr, UnitAttr::get(module.getContext()));
  }
  return success();
}

llvm::Error Compilation::forEachPart(bool beside, llvm::function_ref<llvm::Error(CodePart &)> work) {
  SmallVector<std::pair<unsigned, size_t>> order;
  for (auto [i, part] : llvm::enumerate(parts)) {
    unsigned size = part.module ? part.module->getInstructionCount() : 0;
    if (part.source)
      part.source->walk([&](Operation *) { ++size; });
    order.push_back({size, i});
  }
  llvm::sort(order, std::greater<>());
  std::vector<std::optional<std::string>> messages(parts.size());
  auto run = [&](size_t at) {
    size_t part = order[at].second;
    if (llvm::Error error = work(parts[part]))
      messages[part] = llvm::toString(std::move(error));
  };
  if (beside)
    parallelFor(parts.size(), run);
  else
    for (size_t at = 0; at < parts.size(); ++at)
      run(at);
  for (const std::optional<std::string> &message : messages)
    if (message)
      return llvm::createStringError(*message);
  return llvm::Error::success();
}

PipelineOptions Compilation::getPipeline(const CpuVariant &variant) const {
  PipelineOptions pipeline;
  pipeline.tiles = options.tiles;
  pipeline.cpu = variant.capabilities;
  pipeline.bf16Operands = variant.capabilities.bf16Dot || variant.capabilities.amxBf16;
  if (const DeviceTarget *device = target.getDevice()) {
    pipeline.gpu = device->getCapabilities();
    pipeline.maskBounds = true;
    pipeline.bf16Operands = true;
  }
  return pipeline;
}

LogicalResult Compilation::compileVariant(ModuleOp prepared, unsigned number, KernelInterface &interface) {
  const CpuVariant &variant = variants[number];
  bool shown = number + 1 == variants.size();
  OwningOpRef<ModuleOp> module = prepared.clone();
  PipelineOptions pipeline = getPipeline(variant);
  const DeviceTarget *device = target.getDevice();
  // Once is enough: what is raised does not depend on the variant.
  pipeline.remarks = options.remarks && shown;
  if (isWholeModule(*module) && failed(lowerWholeModule(*module, pipeline, shown)))
    return failure();
  if (options.tf32 && failed(multiplyInTf32(*module)))
    return failure();
  FailureOr<func::FuncOp> kernel = getKernelFunction(*module);
  if (failed(kernel))
    return failure();
  FailureOr<KernelInterface> read = getKernelInterface(*kernel);
  if (failed(read))
    return failure();
  interface = std::move(*read);
  // In the last stage, to the LLVM dialect, no function needs to know of another: the parts take it by themselves.
  llvm::ArrayRef<Stage> stages = target.getStages();
  bool apart = !device && !isCodeShown() && !isWanted(stages.back().name);
  for (const Stage &stage : apart ? stages.drop_back() : stages) {
    if (failed(runStage(stage, *module, pipeline, shown)))
      return failure();
    if (stage.name == "tiled")
      variantTiles.push_back(readTiles(*module));
  }

  if (device) {
    auto wanted = [&](StringRef stage) { return isWanted(stage); };
    auto show = [&](StringRef stage, StringRef text) { options.onStage(stage, text); };
    FailureOr<DeviceCode> code = timed("device", [&] {
      return compileDeviceCode(*module, *device, options.optLevel, options.deviceBinary, wanted, show);
    });
    if (failed(code))
      return failure();
    deviceCode = std::move(*code);
    if (options.onStage && llvm::is_contained(options.stages, "image"))
      options.onStage("image", deviceCode->image.bytes);
  }
  KernelTasks tasks;
  if (!isCodeShown())
    tasks = takeTasks(*module, number);
  SmallVector<std::string> exported(tasks.shared.begin(), tasks.shared.end());
  for (StringRef function : kVariantFunctions)
    exported.push_back(getVariantSymbol(interface.name, function, number));
  parts.push_back({number, std::move(module), apart, std::move(exported), /*isMain=*/true});
  for (TaskModule &task : tasks.tasks)
    parts.push_back({number, std::move(task.module), apart, {task.name}, /*isMain=*/false});
  return success();
}

llvm::Error Compilation::translate(CodePart &part, StringRef name) {
  if (part.needsStage) {
    PassManager pm(part.source->getContext(), ModuleOp::getOperationName());
    pm.enableVerifier(false);
    target.getStages().back().populate(pm, getPipeline(variants[part.variant]));
    if (failed(pm.run(*part.source)))
      return llvm::createStringError("the kernel could not be brought to LLVM's dialect");
  }
  if (!isCodeShown())
    part.context = std::make_unique<llvm::LLVMContext>();
  auto translated = translateForVariant(*part.source, part.context ? *part.context : context, target,
                                        variants[part.variant], options.optLevel);
  if (!translated)
    return translated.takeError();
  part.module = std::move(*translated);
  part.source = {};
  // What parts share is seen by others until all are merged. Nothing bears a variant's names yet.
  for (const CodePart &other : parts)
    for (const std::string &symbol : other.exported)
      if (llvm::GlobalValue *value = part.module->getNamedValue(symbol); value && other.variant == part.variant) {
        value->setLinkage(llvm::GlobalValue::ExternalLinkage);
        value->setVisibility(llvm::GlobalValue::HiddenVisibility);
        value->setDSOLocal(true);
      }
  if (!part.isMain)
    return llvm::Error::success();
  if (deviceCode)
    embedDeviceCode(*part.module, *deviceCode, target.getName());
  // The kernel itself could bear the name of a function of the C library.
  part.module->getFunction(name)->setName(name + ".kernel");
  for (StringRef function : kVariantFunctions)
    part.module->getFunction((name + "_" + function).str())->setName(getVariantSymbol(name, function, part.variant));
  return llvm::Error::success();
}

/// Loads what passes need beforehand: dialects cannot be loaded while threads are at work.
static void loadDialects(const PassManager &pm) {
  DialectRegistry dialects;
  pm.getDependentDialects(dialects);
  pm.getContext()->appendDialectRegistry(dialects);
  for (StringRef dialect : dialects.getDialectNames())
    pm.getContext()->getOrLoadDialect(dialect);
}

LogicalResult Compilation::optimizeParts(Location loc, StringRef name) {
  PassManager pm(loc.getContext(), ModuleOp::getOperationName());
  if (parts.front().needsStage)
    target.getStages().back().populate(pm, getPipeline(variants.front()));
  loadDialects(pm);
  auto work = [&](CodePart &part) -> llvm::Error {
    if (llvm::Error error = translate(part, name))
      return error;
    return optimize(*part.module, part.exported, target, variants[part.variant], options.optLevel,
                    options.vectorizeLoops);
  };
  llvm::Error error = timed("optimise", [&] {
    std::optional<ScopedThreads> threads;
    if (!isCodeShown())
      threads.emplace(*loc.getContext());
    // A context may refuse, for the whole process.
    return forEachPart(threads && loc.getContext()->isMultithreadingEnabled(), work);
  });
  return error ? fail(loc, std::move(error)) : success();
}

std::string Compilation::describe(const KernelInterface &interface) const {
  llvm::json::Object object = options.metadata;
  if (options.tf32)
    object["tf32"] = true;
  object["format"] = "flashc-pack";
  object["version"] = 1;
  object["abi"] = FLASHC_ABI_VERSION;
  object["name"] = interface.name;
  object["target"] = target.getName();
  object["architecture"] = target.getArchitecture();
  object["compiler"] = getCompilerVersion();
  object["compiler_sources"] = getCompilerSources();
  llvm::json::Array sets;
  for (const CpuVariant &variant : variants)
    sets.push_back(variant.name);
  object["instruction_sets"] = std::move(sets);
  if (target.isHost())
    object["native"] = true;
  if (deviceCode)
    object["device"] = deviceCode->toJson(target.getDevice()->getChip());
  if (llvm::json::Value described = describeTiles(); described.getAsObject())
    object["tiles"] = std::move(described);
  object["operands"] = interface.toJson();
  std::string text;
  llvm::raw_string_ostream(text) << llvm::formatv("{0:2}", llvm::json::Value(std::move(object)));
  return text;
}

FailureOr<std::string> Compilation::emitObject(Location loc, StringRef name, StringRef dispatch) {
  llvm::Module &first = *parts.front().module;
  if (isCodeShown()) {
    for (CodePart &part : llvm::drop_begin(parts))
      if (llvm::Linker::linkModules(first, std::move(part.module)))
        return emitError(loc, "the versions of the kernel could not be linked");
    parts.resize(1);
  }
  if (llvm::Error error = linkText(first, dispatch))
    return fail(loc, std::move(error));
  std::string exported[] = {(name + "_query").str(), (name + "_workspace_size").str(), (name + "_run").str()};
  // The C functions of the first variant are called from its own part alone.
  llvm::StringSet<> shared;
  for (const CodePart &part : parts)
    shared.insert(part.exported.begin(), part.exported.end());
  for (StringRef function : kVariantFunctions)
    shared.erase(getVariantSymbol(name, function, 0));
  for (CodePart &part : parts)
    for (llvm::GlobalValue &value : part.module->global_values()) {
      if (shared.contains(value.getName())) {
        value.setVisibility(llvm::GlobalValue::HiddenVisibility);
        value.setDSOLocal(true);
      } else if (!value.isDeclaration() && !llvm::is_contained(exported, value.getName())) {
        value.setLinkage(llvm::GlobalValue::InternalLinkage);
      }
    }

  if (!deviceCode && isWanted("llvm-ir")) {
    std::string text;
    llvm::raw_string_ostream os(text);
    first.print(os, nullptr);
    options.onStage("llvm-ir", text);
  }
  if (!deviceCode && isWanted("asm")) {
    auto text = emitCode(*llvm::CloneModule(first), target, options.optLevel, /*assembly=*/true);
    if (!text)
      return fail(loc, text.takeError());
    options.onStage("asm", *text);
  }
  std::vector<std::string> objects(parts.size());
  auto emitPart = [&](CodePart &part) -> llvm::Error {
    auto object = emitCode(*part.module, target, options.optLevel, /*assembly=*/false);
    if (!object)
      return object.takeError();
    objects[&part - parts.data()] = std::move(*object);
    return llvm::Error::success();
  };
  if (llvm::Error error = timed("emit", [&] { return forEachPart(!isCodeShown(), emitPart); }))
    return fail(loc, std::move(error));
  llvm::Expected<std::string> merged = mergeObjects(objects);
  if (!merged)
    return fail(loc, merged.takeError());
  return std::move(*merged);
}

FailureOr<Artifact> Compilation::run(ModuleOp source) {
  if (options.optLevel < 0 || options.optLevel > 3)
    return emitError(source.getLoc(), "the optimisation level is ") << options.optLevel << "; expected 0, 1, 2 or 3";
  FailureOr<func::FuncOp> found = getKernelFunction(source, options.entry);
  if (failed(found))
    return failure();
  std::string original = found->getName().str();
  std::string name = options.name.empty() ? original : options.name;
  if (!isIdentifier(name))
    return found->emitError("the kernel's name '") << name << "' is not a C identifier of at most 63 characters";

  show("input", source);
  OwningOpRef<ModuleOp> module = source.clone();
  for (auto func : module->getOps<func::FuncOp>()) {
    if (func.getName() == original) {
      if (name != original &&
          failed(SymbolTable::replaceAllSymbolUses(func, StringAttr::get(func.getContext(), name), *module)))
        return func.emitError("could not be renamed to '") << name << "'";
      func.setName(name);
    } else if (!func.isExternal()) {
      func.setPrivate();
    }
  }
  KernelInterface interface;
  variants = selectVariants(*module, target, options);
  for (unsigned i = 0; i < variants.size(); ++i)
    if (failed(compileVariant(*module, i, interface)))
      return failure();
  if (failed(optimizeParts(source.getLoc(), name)))
    return failure();
  SmallVector<bool> tiles(variants.size());
  for (const CodePart &part : parts)
    tiles[part.variant] |= usesTiles(*part.module);
  Artifact artifact;
  artifact.name = interface.name;
  artifact.target = target.getName().str();
  artifact.metadata = describe(interface);
  FailureOr<std::string> object =
      emitObject(source.getLoc(), name, getDispatchModule(interface, target, variants, tiles, artifact.metadata));
  if (failed(object))
    return failure();
  artifact.kind = ArtifactKind::Object;
  artifact.bytes = std::move(*object);
  return artifact;
}
} // namespace

static bool hasBF16(ModuleOp module) {
  WalkResult result = module.walk([](func::FuncOp func) {
    bool any = llvm::any_of(func.getArgumentTypes(), [](Type type) { return getElementTypeOrSelf(type).isBF16(); });
    return any ? WalkResult::interrupt() : WalkResult::advance();
  });
  return result.wasInterrupted();
}

SmallVector<CpuVariant> selectVariants(ModuleOp module, const Target &target, const CompileOptions &options) {
  bool pairs = options.lowPrecision != LowPrecision::Widen && hasBF16(module);
  SmallVector<CpuVariant> selected;
  for (CpuVariant variant : target.getVariants()) {
    if (variant.onlyForPairs && !pairs)
      continue;
    if (pairs && target.isHost() && options.lowPrecision == LowPrecision::Auto && variant.capabilities.bf16Dot) {
      DeviceFacts facts = deviceFacts(cpuDevice());
      variant.capabilities.bf16Dot = fact(facts, "bf16-dot-gflops") > fact(facts, "f32-fma-gflops");
    }
    variant.capabilities.bf16Dot &= options.lowPrecision != LowPrecision::Widen;
    variant.capabilities.amxBf16 &= options.lowPrecision != LowPrecision::Widen;
    selected.push_back(std::move(variant));
  }
  return selected;
}

FailureOr<Artifact> compile(ModuleOp module, const Target &target, const CompileOptions &options) {
  return Compilation(target, options).run(module);
}
} // namespace flashc

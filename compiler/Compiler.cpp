#include "compiler/Compiler.h"

#include "compiler/DeviceCode.h"
#include "compiler/Dispatch.h"
#include "compiler/KernelInterface.h"
#include "compiler/LlvmBackend.h"
#include "compiler/targets/X86.h"
#include "dialects/Attention/Attention.h"
#include "runtime/DeviceFacts.h"
#include "runtime/include/flashc/runtime.h"

#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
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
  /// Brings a copy of the prepared module to optimised LLVM IR, and reads its interface.
  FailureOr<std::unique_ptr<llvm::Module>> compileVariant(ModuleOp prepared, unsigned number,
                                                          KernelInterface &interface);
  std::string describe(const KernelInterface &interface) const;

  /// The tiles of the attention that has most of them; not chosen where there is none.
  static TileSizes readTiles(ModuleOp module);
  /// The member `tiles` of kernel.json, or null.
  llvm::json::Value describeTiles() const;

  const Target &target;
  const CompileOptions &options;
  SmallVector<CpuVariant> variants;
  llvm::LLVMContext context;
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

FailureOr<std::unique_ptr<llvm::Module>> Compilation::compileVariant(ModuleOp prepared, unsigned number,
                                                                     KernelInterface &interface) {
  const CpuVariant &variant = variants[number];
  bool shown = number + 1 == variants.size();
  OwningOpRef<ModuleOp> module = prepared.clone();
  PipelineOptions pipeline;
  pipeline.tiles = options.tiles;
  pipeline.cpu = variant.capabilities;
  pipeline.bf16Operands = variant.capabilities.bf16Dot || variant.capabilities.amxBf16;
  const DeviceTarget *device = target.getDevice();
  if (device) {
    pipeline.gpu = device->getCapabilities();
    pipeline.chip = device->getChip().str();
    pipeline.maskBounds = true;
    pipeline.bf16Operands = true;
  }
  // Once is enough: what is raised does not depend on the variant.
  pipeline.remarks = options.remarks && shown;
  if (isWholeModule(*module) && failed(lowerWholeModule(*module, pipeline, shown)))
    return failure();
  FailureOr<func::FuncOp> kernel = getKernelFunction(*module);
  if (failed(kernel))
    return failure();
  FailureOr<KernelInterface> read = getKernelInterface(*kernel);
  if (failed(read))
    return failure();
  interface = std::move(*read);
  for (const Stage &stage : target.getStages()) {
    if (failed(runStage(stage, *module, pipeline, shown)))
      return failure();
    if (stage.name == "tiled")
      variantTiles.push_back(readTiles(*module));
  }

  Location loc = prepared.getLoc();
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
  auto llvmModule =
      timed("translate", [&] { return translateForVariant(*module, context, target, variant, options.optLevel); });
  if (!llvmModule)
    return fail(loc, llvmModule.takeError());
  if (deviceCode)
    embedDeviceCode(**llvmModule, *deviceCode, target.getName());
  // The kernel itself could bear the name of a function of the C library.
  (*llvmModule)->getFunction(interface.name)->setName(interface.name + ".kernel");
  SmallVector<std::string> exported;
  for (StringRef function : {"workspace_size", "run"}) {
    std::string symbol = getVariantSymbol(interface.name, function, number);
    (*llvmModule)->getFunction((interface.name + "_" + function).str())->setName(symbol);
    exported.push_back(symbol);
  }
  if (llvm::Error error = timed("optimise", [&] {
        return optimize(**llvmModule, exported, target, variant, options.optLevel, options.vectorizeLoops);
      }))
    return fail(loc, std::move(error));
  return std::move(*llvmModule);
}

std::string Compilation::describe(const KernelInterface &interface) const {
  llvm::json::Object object = options.metadata;
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
  std::unique_ptr<llvm::Module> all;
  SmallVector<bool> tiles;
  variants = selectVariants(*module, target, options);
  for (unsigned i = 0; i < variants.size(); ++i) {
    FailureOr<std::unique_ptr<llvm::Module>> variant = compileVariant(*module, i, interface);
    if (failed(variant))
      return failure();
    tiles.push_back(usesTiles(**variant));
    if (!all)
      all = std::move(*variant);
    else if (llvm::Linker::linkModules(*all, std::move(*variant)))
      return emitError(source.getLoc(), "the versions of the kernel could not be linked");
  }
  Artifact artifact;
  artifact.name = interface.name;
  artifact.target = target.getName().str();
  artifact.metadata = describe(interface);
  if (llvm::Error error = linkText(*all, getDispatchModule(interface, target, variants, tiles, artifact.metadata)))
    return fail(source.getLoc(), std::move(error));
  SmallVector<std::string> exported = {name + "_query", name + "_workspace_size", name + "_run"};
  for (llvm::GlobalValue &value : all->global_values())
    if (!value.isDeclaration() && !llvm::is_contained(exported, value.getName()))
      value.setLinkage(llvm::GlobalValue::InternalLinkage);

  if (!deviceCode && isWanted("llvm-ir")) {
    std::string text;
    llvm::raw_string_ostream os(text);
    all->print(os, nullptr);
    options.onStage("llvm-ir", text);
  }
  if (!deviceCode && isWanted("asm")) {
    auto text = emitCode(*llvm::CloneModule(*all), target, options.optLevel, /*assembly=*/true);
    if (!text)
      return fail(source.getLoc(), text.takeError());
    options.onStage("asm", *text);
  }
  auto object = timed("emit", [&] { return emitCode(*all, target, options.optLevel, /*assembly=*/false); });
  if (!object)
    return fail(source.getLoc(), object.takeError());
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

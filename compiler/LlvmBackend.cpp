#include "compiler/LlvmBackend.h"

#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/PassInstrumentation.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Linker/Linker.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/SmallVectorMemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/IPO/Internalize.h"

using namespace llvm;

namespace flashc {

Expected<std::unique_ptr<Module>> translateForVariant(mlir::ModuleOp module, LLVMContext &context, const Target &target,
                                                      const CpuVariant &variant, int optLevel) {
  Expected<std::unique_ptr<TargetMachine>> machine = target.createTargetMachine(variant, optLevel);
  if (!machine)
    return machine.takeError();
  std::unique_ptr<Module> result = mlir::translateModuleToLLVMIR(module, context, "flashc");
  if (!result)
    return createStringError("the module could not be translated to LLVM IR");
  result->setTargetTriple(target.getTriple());
  result->setDataLayout((*machine)->createDataLayout());
  result->setPICLevel(PICLevel::BigPIC);
  StringRef features = (*machine)->getTargetFeatureString();
  for (Function &function : *result) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", variant.cpu);
    if (!features.empty())
      function.addFnAttr("target-features", features);
    // Some CPUs ask for narrower vectors out of fear for the clock; the kernels are written in the widest.
    function.addFnAttr("prefer-vector-width", std::to_string(variant.capabilities.vectorBytes * 8));
    function.addFnAttr("no-trapping-math", "true");
    function.setDoesNotThrow();
  }
  target.finish(*result, variant);
  return std::move(result);
}

/// Passes of LLVM's pipeline that find nothing to do in code that was vectorised, blocked and scheduled before it came
/// here, and cost more than a third of the time that a kernel takes to compile. What stays was seen to matter: the
/// loop idioms become memset, unswitching frees the packing loops of their strides.
static bool isWasted(StringRef pass) {
  static constexpr StringLiteral names[] = {
      "AggressiveInstCombinePass",
      "AlignmentFromAssumptionsPass",
      "BDCEPass",
      "CallSiteSplittingPass",
      "CalledValuePropagationPass",
      "ConstantMergePass",
      "ConstraintEliminationPass",
      "DSEPass",
      "DivRemPairsPass",
      "Float2IntPass",
      "InjectTLIMappings",
      "LibCallsShrinkWrapPass",
      "LoopDistributePass",
      "LoopLoadEliminationPass",
      "LoopVectorizePass",
      "LowerConstantIntrinsicsPass",
      "MergedLoadStoreMotionPass",
      "OpenMPOptCGSCCPass",
      "OpenMPOptPass",
      "RecomputeGlobalsAAPass",
      "RelLookupTableConverterPass",
      "SLPVectorizerPass",
      "SpeculativeExecutionPass",
      "TailCallElimPass",
      "VectorCombinePass",
      "WarnMissedTransformationsPass",
  };
  return is_contained(names, pass);
}

llvm::Error optimize(Module &module, ArrayRef<std::string> exported, const Target &target, const CpuVariant &variant,
                     int optLevel, bool vectorizeLoops) {
  internalizeModule(module, [&](const GlobalValue &value) { return is_contained(exported, value.getName()); });
  for (const std::string &name : exported)
    if (GlobalValue *value = module.getNamedValue(name))
      value->setDSOLocal(true);

  Expected<std::unique_ptr<TargetMachine>> machine = target.createTargetMachine(variant, optLevel);
  if (!machine)
    return machine.takeError();
  PipelineTuningOptions tuning;
  tuning.LoopVectorization = vectorizeLoops;
  tuning.SLPVectorization = vectorizeLoops;
  tuning.LoopInterleaving = vectorizeLoops;
  // A kernel's loops have their blocks; unrolling the rest by guess makes more code and no speed.
  tuning.LoopUnrolling = vectorizeLoops;
  PassInstrumentationCallbacks callbacks;
  if (!vectorizeLoops)
    callbacks.registerShouldRunOptionalPassCallback([](StringRef pass, Any) { return !isWasted(pass); });
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  ModuleAnalysisManager modules;
  PassBuilder builder(machine->get(), tuning, std::nullopt, &callbacks);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  OptimizationLevel level = optLevel <= 0   ? OptimizationLevel::O0
                            : optLevel == 1 ? OptimizationLevel::O1
                            : optLevel == 2 ? OptimizationLevel::O2
                                            : OptimizationLevel::O3;
  ModulePassManager passes = level == OptimizationLevel::O0 ? builder.buildO0DefaultPipeline(level)
                                                            : builder.buildPerModuleDefaultPipeline(level);
  passes.run(module, modules);
  return llvm::Error::success();
}

llvm::Error linkText(Module &module, StringRef text) {
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> other = parseAssemblyString(text, diagnostic, module.getContext());
  if (!other)
    return createStringError("generated LLVM assembly, line " + Twine(diagnostic.getLineNo()) + ": " +
                             diagnostic.getMessage());
  other->setDataLayout(module.getDataLayout());
  if (Linker::linkModules(module, std::move(other)))
    return createStringError("the versions of the kernel could not be linked");
  return llvm::Error::success();
}

Expected<std::string> emitCode(Module &module, const Target &target, int optLevel, bool assembly) {
  // The first variant runs everywhere, so the dispatcher is compiled for it; kernels carry their own CPU.
  Expected<std::unique_ptr<TargetMachine>> machine = target.createTargetMachine(target.getVariants().front(), optLevel);
  if (!machine)
    return machine.takeError();
  SmallVector<char, 0> bytes;
  raw_svector_ostream os(bytes);
  legacy::PassManager passes;
  CodeGenFileType type = assembly ? CodeGenFileType::AssemblyFile : CodeGenFileType::ObjectFile;
  if ((*machine)->addPassesToEmitFile(passes, os, nullptr, type, /*DisableVerify=*/true))
    return createStringError("LLVM cannot emit this kind of file for " + target.getTriple());
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}
} // namespace flashc

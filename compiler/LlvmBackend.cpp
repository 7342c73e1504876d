#include "compiler/LlvmBackend.h"

#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/IntrinsicsNVPTX.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Linker/Linker.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/SmallVectorMemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/IPO/Internalize.h"
#include "llvm/Transforms/Scalar/Sink.h"

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

/// What LLVM does to a kernel, in the notation of `opt -passes=`. The code was vectorised, blocked and unrolled before
/// it came here: most of the default pipeline finds nothing to do in it and takes three times as long. What is here was
/// seen to matter: rotation and the loop idioms turn fills into memset, unswitching frees the packing loops of their
/// strides, and invariant code - addresses, broadcasts - has to be out of the loops before code is generated.
static constexpr StringLiteral kKernelPasses =
    "globalopt,cgscc(inline),function<eager-inv>("
    // Values that branches and loops hide from each other.
    "sroa<modify-cfg>,early-cse<memssa>,simplifycfg,"
    "loop-mssa(loop-rotate<header-duplication>,licm<no-allowspeculation>,simple-loop-unswitch<nontrivial;trivial>),"
    "simplifycfg,loop(loop-idiom,loop-deletion),early-cse<memssa>,"
    // Once: what is left of the lowering's arithmetic on indices.
    "instcombine<max-iterations=1;no-verify-fixpoint>,loop-mssa(licm<allowspeculation>),simplifycfg),"
    "globaldce";

void internalize(Module &module, ArrayRef<std::string> exported) {
  internalizeModule(module, [&](const GlobalValue &value) { return is_contained(exported, value.getName()); });
}

llvm::Error optimize(Module &module, ArrayRef<std::string> exported, const Target &target, const CpuVariant &variant,
                     int optLevel, bool vectorizeLoops) {
  internalize(module, exported);
  for (const std::string &name : exported)
    if (GlobalValue *value = module.getNamedValue(name))
      value->setDSOLocal(true);
  Expected<std::unique_ptr<TargetMachine>> machine = target.createTargetMachine(variant, optLevel);
  if (!machine)
    return machine.takeError();
  return runPasses(module, **machine, optLevel, vectorizeLoops ? PassList::Vectorize : PassList::Kernel);
}

namespace {
/// What is used behind a loop is computed there: its operands are parameters more often than not, which NVIDIA's
/// assembler reads where it needs them, while results would keep registers through the loop. Where roles divide the
/// registers, the producer has none for operands that its loops do not need otherwise.
struct ComputeBehindLoops : PassInfoMixin<ComputeBehindLoops> {
  static bool hasRoles(const Function &function) {
    return any_of(instructions(function), [](const Instruction &instruction) {
      auto *call = dyn_cast<IntrinsicInst>(&instruction);
      return call && call->getIntrinsicID() == Intrinsic::nvvm_setmaxnreg_dec_sync_aligned_u32;
    });
  }

  PreservedAnalyses run(Function &function, FunctionAnalysisManager &analyses) {
    return hasRoles(function) ? PreservedAnalyses::all() : SinkingPass().run(function, analyses);
  }
};
} // namespace

llvm::Error runPasses(Module &module, TargetMachine &machine, int optLevel, PassList list) {
  PipelineTuningOptions tuning;
  tuning.SLPVectorization = list == PassList::Vectorize;
  if (list == PassList::Device)
    tuning.LoopVectorization = tuning.LoopInterleaving = tuning.LoopUnrolling = false;
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  ModuleAnalysisManager modules;
  PassBuilder builder(&machine, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  ModulePassManager passes;
  if (optLevel <= 0)
    passes = builder.buildO0DefaultPipeline(OptimizationLevel::O0);
  else if (list != PassList::Kernel)
    passes = builder.buildPerModuleDefaultPipeline(optLevel == 1   ? OptimizationLevel::O1
                                                   : optLevel == 2 ? OptimizationLevel::O2
                                                                   : OptimizationLevel::O3);
  else if (llvm::Error error = builder.parsePassPipeline(passes, kKernelPasses))
    return error;
  if (optLevel > 0 && list == PassList::Device && machine.getTargetTriple().isNVPTX())
    passes.addPass(createModuleToFunctionPassAdaptor(ComputeBehindLoops()));
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
} // namespace flashc

#include "compiler/Pipelines.h"

#include "compiler/CAbi.h"
#include "compiler/PipelineParts.h"
#include "dialects/Attention/Attention.h"
#include "passes/ModulePipeline.h"
#include "passes/Passes.h"
#include "passes/TaskPasses.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace flashc {
void populateOnline(OpPassManager &pm, const PipelineOptions &options) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createConvertToOnline());
  TileKeysOptions keys;
  keys.maskBounds = options.maskBounds;
  functions.addPass(createTileKeys(keys));
  functions.addPass(createSplitMaskedTiles());
}

void populateTiles(OpPassManager &pm, const PipelineOptions &options) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  // What merging ends with is the end of an online softmax, which is decomposed with the others.
  functions.addPass(createDecomposeMergeSplits());
  functions.addPass(createDecomposeOnline());
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
}

void populateWorkspace(OpPassManager &pm, const PipelineOptions &options) {
  pm.addNestedPass<func::FuncOp>(createHoistBranchAllocations());
  // Sizes of views are folded to the arguments' before the workspace is planned from them.
  pm.addPass(memref::createResolveRankedShapeTypeResultDimsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createPlanWorkspace());
}

void populateLlvm(OpPassManager &pm, const PipelineOptions &options) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  // A loop over tasks that could not become tasks runs on its thread.
  functions.addPass(createForallToForLoopPass());
  functions.addPass(memref::createExpandStridedMetadataPass());
  functions.addPass(createLowerAffinePass());
  functions.addPass(createConvertVectorToSCFPass());
  functions.addPass(createConvertSCFToCFPass());
  arith::ArithExpandOpsPassOptions expand;
  // Where there are instructions for bf16, LLVM rounds whole vectors with one.
  expand.includeBf16 = !options.cpu.bf16Dot;
  functions.addPass(arith::createArithExpandOpsPass(expand));
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createConvertIndexToLLVMPass());
  // What is dead or twice there by now goes in LLVM, which takes a third of the time for it.
  pm.addPass(createReconcileUnrealizedCastsPass());
}

namespace {

void populateModule(OpPassManager &pm, const PipelineOptions &options) {
  // One kernel is one function: what it calls becomes part of it.
  pm.addPass(createInlinerPass());
  pm.addPass(createSymbolDCEPass());
  ModulePipelineOptions module;
  module.cpu = options.cpu;
  module.remarks = options.remarks;
  buildModulePipeline(pm, module);
}

void populateTiled(OpPassManager &pm, const PipelineOptions &options) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  // Masks that attend everything and windows that meet go away before they cost a loop.
  functions.addPass(createCanonicalizerPass());
  AssignTileSizesOptions sizes;
  sizes.queries = options.tiles.rows;
  sizes.keys = options.tiles.keys;
  sizes.vectorBytes = options.cpu.vectorBytes;
  sizes.vectorRegisters = options.cpu.vectorRegisters;
  sizes.l1Bytes = options.cpu.l1Bytes;
  sizes.fewQueries = -1;
  sizes.split = options.tiles.split;
  sizes.bf16Operands = options.bf16Operands;
  sizes.matrixTiles = options.cpu.amxBf16;
  functions.addPass(createAssignTileSizes(sizes));
  functions.addPass(createTileQueries());
}

void populateVector(OpPassManager &pm, const PipelineOptions &options) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  AssignTileLayoutsOptions layouts;
  layouts.vectorBytes = options.cpu.vectorBytes;
  layouts.vectorRegisters = options.cpu.vectorRegisters;
  layouts.matrixTiles = options.cpu.amxBf16;
  functions.addPass(createAssignTileLayouts(layouts));
  functions.addPass(createPackOperands());
  functions.addPass(createFusePacking());
  LowerTilesToVectorOptions vector;
  vector.maskedMemory = options.cpu.maskedMemory;
  functions.addPass(createLowerTilesToVector(vector));
  LowerCooperationOptions cooperation;
  cooperation.pause = options.cpu.pause;
  functions.addPass(createLowerCooperation(cooperation));
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
  ExpandMathOptions math;
  math.scaleInstruction = options.cpu.scalef;
  math.f16Convert = options.cpu.f16Convert;
  math.bf16Dot = options.cpu.bf16Dot;
  functions.addPass(createExpandMath(math));
}

/// A kernel with a workspace, tasks and its C functions, still in func, scf, memref, vector and arith.
void populateCallable(OpPassManager &pm, const PipelineOptions &options) {
  // Before the workspace is planned, which the memory becomes a part of.
  pm.addNestedPass<func::FuncOp>(createPlaceLargeScratch());
  populateWorkspace(pm, options);
  pm.addPass(createOutlineParallelTasks());
  // What tasks have twice is compiled once; they are compiled beside each other, so what two tasks have stays in both.
  pm.addPass(createShareLoops());
  pm.addPass(createEmitCAbiPass());
}

constexpr Stage kModuleStage = {"module", "attention raised, everything else in loops on buffers", populateModule};

constexpr Stage kCpuStages[] = {
    {"tiled", "attention as a parallel loop over batches, heads and query blocks", populateTiled},
    kOnlineStage,
    kTilesStage,
    {"vector", "vector code for the target", populateVector},
    {"callable", "tasks, a workspace and the C functions", populateCallable},
    {"llvm", "the LLVM dialect", populateLlvm},
};
constexpr size_t kTileStages = 3;

/// The pipelines' options on the command line.
struct CommandLineOptions : public PassPipelineOptions<CommandLineOptions> {
  Option<int64_t> rows{*this, "rows", llvm::cl::desc("Query rows of a tile; 0 = choose"), llvm::cl::init(0)};
  Option<int64_t> keys{*this, "keys", llvm::cl::desc("Keys of a tile; 0 = choose"), llvm::cl::init(0)};
  Option<unsigned> vectorBytes{*this, "vector-bytes", llvm::cl::desc("Bytes of a native vector register"),
                               llvm::cl::init(64)};
  Option<unsigned> vectorRegisters{*this, "vector-registers",
                                   llvm::cl::desc("How many native vector registers there are"), llvm::cl::init(32)};
  Option<bool> bf16Dot{*this, "bf16-dot", llvm::cl::desc("Whether there is a product of bf16 pairs, and it is used"),
                       llvm::cl::init(false)};
  Option<bool> matrixTiles{*this, "matrix-tiles", llvm::cl::desc("Whether products of bf16 are done in AMX tiles"),
                           llvm::cl::init(false)};
  Option<bool> fma{*this, "fma", llvm::cl::desc("Whether there is a fused multiply-add"), llvm::cl::init(true)};

  PipelineOptions get() const {
    PipelineOptions options;
    options.tiles = {rows, keys};
    options.cpu.vectorBytes = vectorBytes;
    options.cpu.vectorRegisters = vectorRegisters;
    options.cpu.fma = fma;
    options.cpu.scalef = options.cpu.maskedMemory = vectorBytes == 64;
    options.cpu.f16Convert = vectorBytes >= 32;
    options.cpu.bf16Dot = bf16Dot;
    options.cpu.amxBf16 = matrixTiles;
    options.bf16Operands = bf16Dot || matrixTiles;
    return options;
  }
};

template <llvm::ArrayRef<Stage> (*stages)()> void populateAll(OpPassManager &pm, const CommandLineOptions &options) {
  for (const Stage &stage : stages())
    stage.populate(pm, options.get());
}
} // namespace

bool isWholeModule(ModuleOp module) {
  auto isTensor = [](Type type) { return isa<TensorType>(type); };
  WalkResult result = module.walk([&](Operation *op) {
    if (auto func = dyn_cast<func::FuncOp>(op); func && llvm::any_of(func.getArgumentTypes(), isTensor))
      return WalkResult::interrupt();
    bool foreign = isa<attn::MergeOp>(op) || isa_and_nonnull<linalg::LinalgDialect>(op->getDialect());
    return foreign || llvm::any_of(op->getResultTypes(), isTensor) ? WalkResult::interrupt() : WalkResult::advance();
  });
  return result.wasInterrupted();
}

const Stage &getModuleStage() { return kModuleStage; }
llvm::ArrayRef<Stage> getCpuStages() { return kCpuStages; }
llvm::ArrayRef<Stage> getTileStages() { return llvm::ArrayRef(kCpuStages).take_front(kTileStages); }

void registerPipelines() {
  PassPipelineRegistration<CommandLineOptions>("attention-to-tiles", "From attn.sdpa on memrefs to tile operations",
                                               populateAll<getTileStages>);
  PassPipelineRegistration<CommandLineOptions>("attention-to-cpu", "From attn.sdpa on memrefs to the LLVM dialect",
                                               populateAll<getCpuStages>);
  registerGpuPipelines();
}
} // namespace flashc

#include "compiler/Pipelines.h"

#include "compiler/CAbi.h"
#include "passes/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace flashc {
namespace {

void populateTiled(OpPassManager &pm, const PipelineOptions &options) {}

void populateVector(OpPassManager &pm, const PipelineOptions &options) {}

/// A kernel with a workspace, tasks and its C functions, still in func, scf, memref, vector and arith.
void populateCallable(OpPassManager &pm, const PipelineOptions &options) {
  // Sizes of views are folded to the arguments' before the workspace is planned from them.
  pm.addPass(memref::createResolveRankedShapeTypeResultDimsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createPlanWorkspace());
  pm.addPass(createOutlineParallelTasks());
  pm.addPass(createEmitCAbiPass());
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
  expand.includeBf16 = true;
  functions.addPass(arith::createArithExpandOpsPass(expand));
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

constexpr Stage kCpuStages[] = {
    {"tiled", "attention as a parallel loop over batches, heads and query blocks", populateTiled},
    {"vector", "vector code for the target", populateVector},
    {"callable", "tasks, a workspace and the C functions", populateCallable},
    {"llvm", "the LLVM dialect", populateLlvm},
};
} // namespace

llvm::ArrayRef<Stage> getCpuStages() { return kCpuStages; }

void registerPipelines() {
  PassPipelineRegistration<>("attention-to-cpu", "From attn.sdpa to the LLVM dialect for a CPU", [](OpPassManager &pm) {
    PipelineOptions options;
    for (const Stage &stage : getCpuStages())
      stage.populate(pm, options);
  });
}
} // namespace flashc

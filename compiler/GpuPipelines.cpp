/// The order of passes on the GPU targets.
#include "compiler/CAbi.h"
#include "compiler/LowerGpuModule.h"
#include "compiler/PipelineParts.h"
#include "passes/GpuUnits.h"
#include "passes/Passes.h"
#include "passes/ScanPasses.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace flashc {
namespace {
constexpr StringLiteral kNvidiaExp2 = "llvm.nvvm.ex2.approx.ftz.f", kAmdExp2 = "llvm.amdgcn.exp2.f32";

void populateTiled(OpPassManager &pm, const PipelineOptions &options) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  // Masks that attend everything and windows that meet go away before they cost a loop.
  functions.addPass(createCanonicalizerPass());
  AssignGpuTileSizesOptions sizes;
  sizes.queries = options.tiles.rows;
  sizes.keys = options.tiles.keys;
  sizes.split = options.tiles.split;
  sizes.matrixUnit = toString(options.gpu.matrixUnit).str();
  sizes.subgroupSize = options.gpu.subgroupSize;
  sizes.sharedBytes = options.gpu.sharedBytes;
  if (options.gpu.registers)
    sizes.registers = options.gpu.registers;
  functions.addPass(createAssignGpuTileSizes(sizes));
  // Where they stay many, each head's rows would fill a part of a tile, and all keys would be one block's.
  functions.addPass(createTileQueries({/*divideHeads=*/true}));
}

/// The code of one thread: layouts, copies and the expansion of tile operations.
void populateThreads(OpPassManager &pm, const PipelineOptions &options) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  // Turns that do something, all in a row, are what schedules are for. An assembler has too few registers for what that
  // adds to a turn.
  if (options.gpu.registers != 0)
    functions.addPass(createSkipIdleTurns());
  AssignFragmentsOptions fragments;
  fragments.matrixUnit = toString(options.gpu.matrixUnit).str();
  fragments.subgroupSize = options.gpu.subgroupSize;
  fragments.sharedBytes = options.gpu.sharedBytes;
  if (options.gpu.registers)
    fragments.registers = options.gpu.registers;
  functions.addPass(createAssignFragments(fragments));
  if (options.gpu.tma)
    functions.addPass(createMakePersistent());
  if (options.gpu.matrixUnit == MatrixUnit::Wgmma)
    functions.addPass(createScheduleProducts());
  // Where there is a copy unit, threads of their own feed it, in blocks that outlive their first piece of work.
  if (options.gpu.tma) {
    SpecializeRolesOptions roles;
    roles.sharedBytes = options.gpu.sharedBytes;
    functions.addPass(createSpecializeRoles(roles));
  }
  functions.addPass(createScheduleCopies());
  ShareScansOptions scans;
  scans.subgroupSize = options.gpu.subgroupSize;
  // A code generator that allocates registers knows those of whole subgroups; an assembler finds out by itself.
  scans.uniform = options.gpu.registers != 0;
  functions.addPass(createShareScans(scans));
  LowerTilesToThreadsOptions threads;
  threads.matrixUnit = fragments.matrixUnit;
  threads.subgroupSize = fragments.subgroupSize;
  threads.sharedBytes = options.gpu.sharedBytes;
  threads.asyncCopy = options.gpu.asyncCopy;
  threads.registers = options.gpu.registers;
  threads.unalignedAccess = options.gpu.unalignedAccess;
  functions.addPass(createLowerTilesToThreads(threads));
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
}

void populateKernels(OpPassManager &pm, const PipelineOptions &options) {
  populateWorkspace(pm, options);
  OutlineGpuKernelsOptions outline;
  outline.sharedBytes = options.gpu.sharedBytes;
  pm.addPass(createOutlineGpuKernels(outline));
  pm.addPass(createEmitCAbiPass());
}

/// What is the same for all vendors, up to their dialects; then the vendor's conversion.
template <typename Convert>
void populateDevice(OpPassManager &pm, StringRef exp2, std::unique_ptr<Pass> instructions, Convert convert) {
  OpPassManager &device = pm.nest<gpu::GPUModuleOp>();
  device.addPass(createLowerGpuMemory());
  device.addPass(std::move(instructions));
  device.addPass(createForallToForLoopPass());
  device.addPass(memref::createExpandStridedMetadataPass());
  device.addPass(createLowerAffinePass());
  device.addPass(createConvertVectorToSCFPass());
  device.addPass(createConvertSCFToCFPass());
  device.addPass(arith::createArithExpandOpsPass());
  device.addPass(createApproximateMath());
  device.addPass(createExpandPowers());
  ExpandMathOptions math;
  math.exp2Intrinsic = exp2.str();
  // Both vendors round and widen 16-bit floats in hardware or in their code generators.
  math.f16Convert = true;
  math.bf16Dot = true;
  device.addPass(createExpandMath(math));
  device.addPass(createCheckGpuMath());
  device.addPass(createCanonicalizerPass());
  device.addPass(createCSEPass());
  device.addPass(createConvertVectorToLLVMPass());
  device.addPass(createConvertMathToLLVMPass());
  convert(device);
  device.addPass(createConvertIndexToLLVMPass());
  device.addPass(createReconcileUnrealizedCastsPass());
  device.addPass(createCanonicalizerPass());
  device.addPass(createCSEPass());
}

void populateNvptxLlvm(OpPassManager &pm, const PipelineOptions &options) {
  populateDevice(pm, kNvidiaExp2, createConvertTileToNvvm(),
                 [](OpPassManager &device) { device.addPass(createLowerGpuToNvvmPass()); });
  populateLlvm(pm, options);
}

void populateAmdgpuLlvm(OpPassManager &pm, const PipelineOptions &options) {
  ConvertTileToRocdlOptions instructions;
  instructions.subgroupSize = options.gpu.subgroupSize;
  populateDevice(pm, kAmdExp2, createConvertTileToRocdl(instructions), [](OpPassManager &device) {
    // This conversion takes bf16 for 16 bits; what is left for it are memory and the GPU's own operations.
    device.addPass(createArithToLLVMConversionPass());
    device.addPass(createLowerGpuToRocdlPass());
    device.addPass(createResolveBitCasts());
  });
  populateLlvm(pm, options);
}

constexpr Stage kTiledStage = {"tiled", "attention as a parallel loop over batches, heads and query blocks",
                               populateTiled};
constexpr Stage kThreadsStage = {"threads", "the code of one thread of a block, blocks in parallel loops",
                                 populateThreads};
constexpr Stage kKernelsStage = {"kernels", "kernels in a module of their own, the C functions that launch them",
                                 populateKernels};
constexpr StringLiteral kLlvmDescription = "the LLVM dialect, the device's code in the vendor's";

constexpr Stage kNvptxStages[] = {kTiledStage,   kOnlineStage,  kTilesStage,
                                  kThreadsStage, kKernelsStage, {"llvm", kLlvmDescription, populateNvptxLlvm}};
constexpr Stage kAmdgpuStages[] = {kTiledStage,   kOnlineStage,  kTilesStage,
                                   kThreadsStage, kKernelsStage, {"llvm", kLlvmDescription, populateAmdgpuLlvm}};

/// The pipelines' options on the command line.
struct CommandLineOptions : public PassPipelineOptions<CommandLineOptions> {
  Option<int64_t> rows{*this, "rows", llvm::cl::desc("Query rows of a tile; 0 = choose"), llvm::cl::init(0)};
  Option<int64_t> keys{*this, "keys", llvm::cl::desc("Keys of a tile; 0 = choose"), llvm::cl::init(0)};
  Option<unsigned> subgroupSize{*this, "subgroup-size", llvm::cl::desc("Threads of a warp or wave"),
                                llvm::cl::init(32)};
  Option<int64_t> sharedBytes{*this, "shared-bytes", llvm::cl::desc("Shared memory of a block"),
                              llvm::cl::init(99 << 10)};
  Option<std::string> matrixUnit{*this, "matrix-unit",
                                 llvm::cl::desc("What multiplies 16-bit elements: none, mma, wgmma, mfma or wmma"),
                                 llvm::cl::init("none")};
  Option<bool> asyncCopy{*this, "async-copy", llvm::cl::desc("Whether copies are started and awaited"),
                         llvm::cl::init(false)};
  Option<int64_t> registers{
      *this, "registers", llvm::cl::desc("Registers of a thread that the code generator allocates; 0 = an assembler's"),
      llvm::cl::init(0)};
  Option<bool> tma{*this, "tma", llvm::cl::desc("Whether a unit of its own copies boxes of tensors"),
                   llvm::cl::init(false)};
  Option<bool> unalignedAccess{*this, "unaligned-access",
                               llvm::cl::desc("Whether an access to neighbours in global memory may begin anywhere"),
                               llvm::cl::init(false)};

  PipelineOptions get() const {
    PipelineOptions options;
    options.tiles = {rows, keys};
    options.gpu.subgroupSize = subgroupSize;
    options.gpu.sharedBytes = sharedBytes;
    options.gpu.matrixUnit = parseMatrixUnit(matrixUnit).value_or(MatrixUnit::None);
    options.gpu.asyncCopy = asyncCopy;
    options.gpu.tma = tma;
    options.gpu.registers = registers;
    options.gpu.unalignedAccess = unalignedAccess;
    options.maskBounds = true;
    return options;
  }
};
} // namespace

llvm::ArrayRef<Stage> getNvptxStages() { return kNvptxStages; }
llvm::ArrayRef<Stage> getAmdgpuStages() { return kAmdgpuStages; }

void registerGpuPipelines() {
  PassPipelineRegistration<CommandLineOptions>("attention-to-nvptx", "From attn.sdpa on memrefs to the NVVM dialect",
                                               [](OpPassManager &pm, const CommandLineOptions &options) {
                                                 for (const Stage &stage : kNvptxStages)
                                                   stage.populate(pm, options.get());
                                               });
  PassPipelineRegistration<CommandLineOptions>("attention-to-amdgpu", "From attn.sdpa on memrefs to the ROCDL dialect",
                                               [](OpPassManager &pm, const CommandLineOptions &options) {
                                                 for (const Stage &stage : kAmdgpuStages)
                                                   stage.populate(pm, options.get());
                                               });
}
} // namespace flashc

/// The only place where passes are put in order.
#ifndef FLASHC_COMPILER_PIPELINES_H
#define FLASHC_COMPILER_PIPELINES_H

#include "passes/CpuCapabilities.h"
#include "runtime/GpuCapabilities.h"
#include "runtime/TileSizes.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/ArrayRef.h"

namespace flashc {

/// Everything that the pipelines depend on besides the module.
struct PipelineOptions {
  /// Chosen by assign-tile-sizes where 0.
  TileSizes tiles;
  CpuCapabilities cpu;
  /// Of a GPU's target.
  GpuCapabilities gpu;
  /// Whether the last key is an edge of the mask, as it has to be where reductions do not respect a tile's extent.
  bool maskBounds = false;
  /// Whether products take bf16 as it is; else it is widened while packing.
  bool bf16Operands = false;
  /// Whether raise-to-attention says, for each near miss, what broke the match.
  bool remarks = false;
};

/// A part of the pipeline after which the module is worth a look.
struct Stage {
  /// The name under which `kernel.ir(name)` and `flash-compile --explain` show it.
  llvm::StringLiteral name;
  /// One sentence: what the module is at its end.
  llvm::StringLiteral description;
  void (*populate)(mlir::OpPassManager &pm, const PipelineOptions &options);
};

/// Whether `module` holds anything that has to become loops on buffers before the other stages can take it: tensors, or
/// operations of a whole model.
bool isWholeModule(mlir::ModuleOp module);

/// The stage that such a module goes through first: attention is raised, everything else becomes loops on buffers.
const Stage &getModuleStage();

/// The stages that bring a module with attention to the LLVM dialect for a CPU, in order.
llvm::ArrayRef<Stage> getCpuStages();

/// The stages that end in tile operations, the same for every target; a prefix of every target's stages.
llvm::ArrayRef<Stage> getTileStages();

/// The stages of NVIDIA's and of AMD's GPUs: the host's part in the LLVM dialect, the device's in a gpu.module.
llvm::ArrayRef<Stage> getNvptxStages();
llvm::ArrayRef<Stage> getAmdgpuStages();

/// `--attention-to-tiles`, `--attention-to-cpu`, `--attention-to-nvptx` and `--attention-to-amdgpu`.
void registerPipelines();

} // namespace flashc

#endif // FLASHC_COMPILER_PIPELINES_H

/// The only place where passes are put in order.
#ifndef FLASHC_COMPILER_PIPELINES_H
#define FLASHC_COMPILER_PIPELINES_H

#include "passes/CpuCapabilities.h"

#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/ArrayRef.h"

namespace flashc {

/// What a caller may choose about the tiles; 0 leaves the choice to assign-tile-sizes.
struct TileSizeOptions {
  /// Query rows of a tile.
  int64_t rows = 0;
  /// Keys of a tile.
  int64_t keys = 0;
};

/// Everything that the pipelines depend on besides the module.
struct PipelineOptions {
  TileSizeOptions tiles;
  CpuCapabilities cpu;
};

/// A part of the pipeline after which the module is worth a look.
struct Stage {
  /// The name under which `kernel.ir(name)` and `flash-compile --explain` show it.
  llvm::StringLiteral name;
  /// One sentence: what the module is at its end.
  llvm::StringLiteral description;
  void (*populate)(mlir::OpPassManager &pm, const PipelineOptions &options);
};

/// The stages that bring a module with attention to the LLVM dialect for a CPU, in order.
llvm::ArrayRef<Stage> getCpuStages();

/// `--attention-to-cpu` and `--attention-to-tiles`.
void registerPipelines();

} // namespace flashc

#endif // FLASHC_COMPILER_PIPELINES_H

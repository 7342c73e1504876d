/// What the pipelines of several targets are made of. Only Pipelines.cpp and its siblings use it.
#ifndef FLASHC_COMPILER_PIPELINEPARTS_H
#define FLASHC_COMPILER_PIPELINEPARTS_H

#include "compiler/Pipelines.h"

namespace flashc {

/// From the loop over query blocks to a loop over key tiles.
void populateOnline(mlir::OpPassManager &pm, const PipelineOptions &options);
/// From there to operations on tiles.
void populateTiles(mlir::OpPassManager &pm, const PipelineOptions &options);
/// Carves a function's allocations out of a workspace.
void populateWorkspace(mlir::OpPassManager &pm, const PipelineOptions &options);
/// From func, scf, memref, vector and arith to the LLVM dialect, for a CPU.
void populateLlvm(mlir::OpPassManager &pm, const PipelineOptions &options);

inline constexpr Stage kOnlineStage = {
    "online", "a loop over key tiles that carries the running maximum and sum, split by what the masks know",
    populateOnline};
inline constexpr Stage kTilesStage = {"tiles", "the recurrence in operations on tiles", populateTiles};

/// Registers `--attention-to-nvptx` and `--attention-to-amdgpu`.
void registerGpuPipelines();

} // namespace flashc

#endif // FLASHC_COMPILER_PIPELINEPARTS_H

//===- ModulePipeline.h - A whole module around its attentions ------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// From a module on tensors, as a framework exports it, to functions on buffers in which attn.sdpa waits for the passes
/// of attention and everything else is parallel loops of vector code.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_MODULEPIPELINE_H
#define FLASHC_PASSES_MODULEPIPELINE_H

#include "passes/CpuCapabilities.h"

namespace mlir {
class DialectRegistry;
class OpPassManager;
} // namespace mlir

namespace flashc {

struct ModulePipelineOptions {
  /// What the vector code is shaped for.
  CpuCapabilities cpu;
  /// Remarks of raise-to-attention.
  bool remarks = false;
};

/// Raise attention, fuse what is element-wise, bufferize (results of a function become trailing arguments, all buffers
/// have identity layouts) and lower linalg to `scf.forall` loops with vector code. `attn.sdpa` stays, on memrefs. Runs
/// on a module of `func.func`s on tensors; one that is on memrefs already passes through.
void buildModulePipeline(mlir::OpPassManager &pm, const ModulePipelineOptions &options);

/// The dialects and external models that the pipeline needs.
void registerModulePipelineDialects(mlir::DialectRegistry &registry);

/// `--module-to-loops`.
void registerModulePipeline();

} // namespace flashc

#endif // FLASHC_PASSES_MODULEPIPELINE_H

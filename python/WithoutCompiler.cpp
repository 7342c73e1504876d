//===- WithoutCompiler.cpp - the bridge of a build that has no compiler ------===//
//
// FLASHC_ENABLE_COMPILER=OFF gives an extension that loads packs and needs no LLVM.
//
//===----------------------------------------------------------------------===//

#include "python/CompilerBridge.h"

namespace flashc::python {

static Error noCompiler() {
  return {FLASHC_ERROR_TARGET, "expected a build of flashc with its compiler, got one that only loads packs "
                               "(FLASHC_ENABLE_COMPILER=OFF)"};
}

Result<std::shared_ptr<CompiledKernel>> compileAttention(const KernelRequest &) { return noCompiler(); }

Result<std::shared_ptr<CompiledKernel>> compileModule(const std::string &, const std::string &, const std::string &,
                                                      bool) {
  return noCompiler();
}

Result<Artifact> compileArtifact(const KernelRequest &) { return noCompiler(); }

Result<std::unique_ptr<LoadedKernel>> loadArtifact(const Artifact &) { return noCompiler(); }

std::vector<std::pair<std::string, std::string>> listStages() { return {}; }

CompileCounts getCompileCounts() { return {}; }

void guardForks() {}

void registerDevices() {}

std::string getCacheProblem() { return ""; }

std::string getCompilerVersion() { return "none"; }

std::string getCompilerSources() { return "none"; }

Result<std::string> describeTarget(const std::string &) { return noCompiler(); }

} // namespace flashc::python

/// Compiling through the kernel cache: what one process compiled, no process compiles again.
#ifndef FLASHC_COMPILER_CACHEDCOMPILE_H
#define FLASHC_COMPILER_CACHEDCOMPILE_H

#include "compiler/Compiler.h"
#include "runtime/KernelCache.h"

#include <string>

namespace flashc {

/// Everything that compile()'s result depends on, as one text: the compiler's build, the target and its instruction
/// sets, the options and the module.
std::string getCacheKey(mlir::ModuleOp module, const Target &target, const CompileOptions &options);

/// compile(), or the artifact that an equal call left in `cache`. A damaged entry counts as none. When options.onStage
/// is set the module is always compiled, as only that shows the stages. `*fromCache`, when not null, says which it was.
mlir::FailureOr<Artifact> compileCached(mlir::ModuleOp module, const Target &target, const CompileOptions &options,
                                        KernelCache &cache, bool *fromCache = nullptr);

} // namespace flashc

#endif // FLASHC_COMPILER_CACHEDCOMPILE_H

/// What a context has to know: for the compiler alone, and for tools that take any module.
#ifndef FLASHC_COMPILER_REGISTER_H
#define FLASHC_COMPILER_REGISTER_H

#include "mlir/IR/DialectRegistry.h"

namespace flashc {
/// The dialects, interfaces and translations that compiling a kernel needs. Cheap: nothing else is loaded.
void registerCompilerDialects(mlir::DialectRegistry &registry);

/// Every upstream dialect and extension, and ours.
void registerAllDialects(mlir::DialectRegistry &registry);

/// Every upstream pass and pipeline, and ours, under their command-line names.
void registerAllPasses();
} // namespace flashc

#endif // FLASHC_COMPILER_REGISTER_H

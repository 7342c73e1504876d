/// Reading modules that nobody vouches for.
#ifndef FLASHC_COMPILER_INPUTTEXT_H
#define FLASHC_COMPILER_INPUTTEXT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/MemoryBuffer.h"

namespace flashc {

/// The deepest nesting of brackets that is parsed. MLIR's parser calls itself for each level and would run out of stack
/// at some thousands; what people and programs write stays below thirty.
inline constexpr unsigned kDeepestNesting = 256;

/// Refuses text that is nested deeper than kDeepestNesting, and bytecode unless `acceptBytecode` (MLIR's reader trusts
/// it), with an error at the place. Comments and strings do not count.
mlir::LogicalResult checkInputText(llvm::MemoryBufferRef buffer, mlir::MLIRContext *context,
                                   bool acceptBytecode = false);

/// Checks and parses a module; "-" is the standard input. Errors go to the context's handlers.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> readModule(llvm::StringRef path, mlir::MLIRContext *context);

/// The same from memory; `name` stands in locations.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> parseModule(llvm::StringRef text, llvm::StringRef name,
                                                               mlir::MLIRContext *context);

} // namespace flashc

#endif // FLASHC_COMPILER_INPUTTEXT_H

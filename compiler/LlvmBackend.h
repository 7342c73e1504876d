/// The part of the compiler below MLIR: LLVM modules, their optimisation and their objects.
#ifndef FLASHC_COMPILER_LLVMBACKEND_H
#define FLASHC_COMPILER_LLVMBACKEND_H

#include "compiler/Target.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/Module.h"

#include <string>

namespace flashc {

/// Translates a module in the LLVM dialect and prepares it for `variant`: triple, data layout, function attributes.
llvm::Expected<std::unique_ptr<llvm::Module>> translateForVariant(mlir::ModuleOp module, llvm::LLVMContext &context,
                                                                  const Target &target, const CpuVariant &variant,
                                                                  int optLevel);

/// Makes everything but `exported` internal and runs LLVM's passes: its default pipeline of `optLevel` where
/// `vectorizeLoops`, for loops that are still scalar, and a short list of passes for a kernel's code.
llvm::Error optimize(llvm::Module &module, llvm::ArrayRef<std::string> exported, const Target &target,
                     const CpuVariant &variant, int optLevel, bool vectorizeLoops);

/// Makes everything but `exported` internal.
void internalize(llvm::Module &module, llvm::ArrayRef<std::string> exported);

/// Which of LLVM's passes run.
enum class PassList {
  Kernel,    ///< a short list for a CPU's vector code
  Vectorize, ///< the default pipeline, for loops that are still scalar
  Device,    ///< the default pipeline without vectors and without loops unrolled by guess, for a GPU's threads
};
llvm::Error runPasses(llvm::Module &module, llvm::TargetMachine &machine, int optLevel, PassList list);

/// Parses LLVM assembly and links it into `module`.
llvm::Error linkText(llvm::Module &module, llvm::StringRef text);

/// Emits an object, or assembly, for the whole module; functions carry their own CPU. The module is consumed.
llvm::Expected<std::string> emitCode(llvm::Module &module, const Target &target, int optLevel, bool assembly);

/// The same for one machine.
llvm::Expected<std::string> emitCode(llvm::Module &module, llvm::TargetMachine &machine, bool assembly);

} // namespace flashc

#endif // FLASHC_COMPILER_LLVMBACKEND_H

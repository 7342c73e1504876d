/// The part of a kernel's object that is the same for every instruction set: NAME_query, and the choice among versions.
#ifndef FLASHC_COMPILER_DISPATCH_H
#define FLASHC_COMPILER_DISPATCH_H

#include "compiler/KernelInterface.h"
#include "compiler/Target.h"

#include <string>

namespace flashc {

/// The name of a version's C function before it is hidden behind the dispatcher: `NAME_run.3` for variant 3.
std::string getVariantSymbol(llvm::StringRef kernel, llvm::StringRef function, unsigned variant);

/// LLVM assembly that defines NAME_query, NAME_workspace_size and NAME_run. The latter two call the last variant whose
/// instructions the machine has, found by CPUID on the first call; without one NAME_run returns FLASHC_ERROR_TARGET.
/// `tiles` says of each variant whether it uses tiles (AMX): the operating system is asked for them then, and a variant
/// that it refuses them to does not count. The code allocates nothing, needs no constructor and may run on several
/// threads at a time.
/// A variant that is only for pairs of bf16 counts where a measurement on the first call shows their product to be
/// faster.
std::string getDispatchModule(const KernelInterface &interface, const Target &target,
                              llvm::ArrayRef<CpuVariant> variants, llvm::ArrayRef<bool> tiles,
                              llvm::StringRef metadata);

} // namespace flashc

#endif // FLASHC_COMPILER_DISPATCH_H

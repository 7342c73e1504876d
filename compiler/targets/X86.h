/// What x86 kernels need below MLIR.
#ifndef FLASHC_COMPILER_TARGETS_X86_H
#define FLASHC_COMPILER_TARGETS_X86_H

#include "llvm/IR/Module.h"

namespace flashc {

/// Wraps every function with the attribute "flashc-task" so that it flushes subnormal numbers to zero, as inputs and as
/// results, and puts the caller's mode back at its end. A probability of 2^-130 is nothing, and would cost a microcode
/// assist; and all hosts get the same bits.
void flushSubnormals(llvm::Module &module);

} // namespace flashc

#endif // FLASHC_COMPILER_TARGETS_X86_H

/// What x86 kernels need below MLIR.
#ifndef FLASHC_COMPILER_TARGETS_X86_H
#define FLASHC_COMPILER_TARGETS_X86_H

#include "llvm/IR/Module.h"

namespace flashc {

/// Wraps every function with the attribute "flashc-task" so that it flushes subnormal numbers to zero, as inputs and as
/// results, and puts the caller's mode back at its end. A probability of 2^-130 is nothing, and would cost a microcode
/// assist; and all hosts get the same bits.
void flushSubnormals(llvm::Module &module);

/// Whether the module multiplies tiles (AMX).
bool usesTiles(const llvm::Module &module);

/// Configures the tiles of every function with the attribute "flashc-task" that uses them - eight of 16 rows of 64
/// bytes - and releases them at its end: the calling thread keeps no tile state, which would cost each of its context
/// switches 8 KiB. Before `flushSubnormals`.
void configureTiles(llvm::Module &module);

/// Asks the operating system to let this process use tiles (Linux: arch_prctl, once for all of its threads); false
/// where it refuses or cannot be asked. The machine has to have tiles.
bool requestTiles();

} // namespace flashc

#endif // FLASHC_COMPILER_TARGETS_X86_H

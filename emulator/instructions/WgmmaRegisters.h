/// Watches the registers that a wgmma under way reads: those of A.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_WGMMAREGISTERS_H
#define FLASHC_EMULATOR_INSTRUCTIONS_WGMMAREGISTERS_H

#include "llvm/ADT/SmallVector.h"

namespace llvm {
class CallInst;
class Module;
} // namespace llvm

namespace flashc::emulator {

/// Which arguments of a call of inline assembly are registers of A of its wgmma statements, in order, each once.
llvm::SmallVector<unsigned> findRegistersOfA(const llvm::CallInst &call);

/// Inserts `flashc.wgmma.site`, which numbers the calls that read A from registers, in front of them, and
/// `flashc.wgmma.touches` behind what reads or writes such a register (inline assembly, see WgmmaInstructions.cpp),
/// once between two statements of wgmma. To be run on a kernel's own IR, before anything else is put into it.
void watchWgmmaRegisters(llvm::Module &module);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_WGMMAREGISTERS_H

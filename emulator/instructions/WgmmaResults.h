/// Puts the delivery of wgmma results into a kernel's IR.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_WGMMARESULTS_H
#define FLASHC_EMULATOR_INSTRUCTIONS_WGMMARESULTS_H

namespace llvm {
class Module;
} // namespace llvm

namespace flashc::emulator {

/// Inserts `flashc.wgmma.result` (inline assembly, see WgmmaInstructions.cpp) in front of the uses of wgmma
/// accumulators: one in each basic block that uses a value. Run it before inline assembly is replaced.
void deliverWgmmaResults(llvm::Module &module);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_WGMMARESULTS_H

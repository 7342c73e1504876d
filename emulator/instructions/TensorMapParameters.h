/// Whether a kernel's tensor maps stay where the copy engine can read them.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_TENSORMAPPARAMETERS_H
#define FLASHC_EMULATOR_INSTRUCTIONS_TENSORMAPPARAMETERS_H

#include <string>

namespace llvm {
class Module;
} // namespace llvm

namespace flashc::emulator {

/// A parameter by value whose address is taken is copied to local memory by the NVPTX code generator, where the copy
/// engine cannot read it, unless nvvm.annotations say that it is a grid constant. Returns which kernel's tensor map is
/// none, or nothing.
std::string findMisplacedTensorMap(const llvm::Module &module);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_TENSORMAPPARAMETERS_H

/// The texts of a pack.
#ifndef FLASHC_COMPILER_PACKFILES_H
#define FLASHC_COMPILER_PACKFILES_H

#include "llvm/ADT/StringRef.h"

#include <string>

namespace flashc {

/// runtime/include/flashc/runtime.h, which a pack carries so that it is complete.
llvm::StringRef getRuntimeHeader();

/// NAMEConfig.cmake: the targets NAME::NAME (static) and NAME::NAME_shared.
std::string getCMakeConfig(llvm::StringRef name);

/// NAME.pc.
std::string getPkgConfig(llvm::StringRef name);

} // namespace flashc

#endif // FLASHC_COMPILER_PACKFILES_H

/// One relocatable object out of several, without a linker.
#ifndef FLASHC_COMPILER_MERGEOBJECTS_H
#define FLASHC_COMPILER_MERGEOBJECTS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <string>

namespace flashc {

/// Merges relocatable 64-bit little-endian ELF objects of one machine, as LLVM writes them for kernels. The result has
/// the sections of all of them, in order, under their names; what has hidden visibility in one and is needed by another
/// becomes local. An error says which object is not of this kind, or which symbol two of them define.
llvm::Expected<std::string> mergeObjects(llvm::ArrayRef<std::string> objects);

} // namespace flashc

#endif // FLASHC_COMPILER_MERGEOBJECTS_H

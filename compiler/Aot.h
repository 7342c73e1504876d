/// Packs: a compiled kernel as a folder that C, C++ and CMake projects use, and that the runtime loads
/// (runtime/Pack.md).
#ifndef FLASHC_COMPILER_AOT_H
#define FLASHC_COMPILER_AOT_H

#include "compiler/Compiler.h"

#include "llvm/Support/Error.h"

#include <string>

namespace flashc {

/// Writes the pack of `artifact` to `folder`: header, object, static and shared library, CMake package, pkg-config file
/// and kernel.json. Everything is written beside `folder` first and renamed at the end, so that `folder` is the whole
/// pack or what it was before. A pack that is there is replaced; any other folder with files in it is refused.
llvm::Error writePack(const Artifact &artifact, llvm::StringRef folder);

/// Writes the packs of one kernel for several targets, in order of preference, to one folder (runtime/Pack.md, "A fat
/// pack").
llvm::Error writeFatPack(llvm::ArrayRef<Artifact> artifacts, llvm::StringRef folder);

/// Writes one file in the same way.
llvm::Error writeFile(llvm::StringRef path, llvm::StringRef bytes);

/// The header NAME.h of the pack.
std::string getPackHeader(const Artifact &artifact);

} // namespace flashc

#endif // FLASHC_COMPILER_AOT_H

/// The targets by name.
#ifndef FLASHC_COMPILER_TARGETREGISTRY_H
#define FLASHC_COMPILER_TARGETREGISTRY_H

#include "compiler/Target.h"

namespace flashc {

/// Parses `FAMILY[:DETAIL]`: `cpu`, `cpu:znver5`, `cpu:x86-64-v3`, `cpu:x86-64-v4,+avx512bf16`, `host`, `nvptx:sm_80`,
/// `amdgpu:gfx942`, `emulated:sm_80`. An error says what was given and lists what is known.
llvm::Expected<std::shared_ptr<const Target>> parseTarget(llvm::StringRef text);

/// What may stand before the colon.
llvm::SmallVector<llvm::StringRef> getTargetFamilies();

} // namespace flashc

#endif // FLASHC_COMPILER_TARGETREGISTRY_H

//===- Artifact.h - a compiled kernel as bytes --------------------------------===//
#ifndef FLASHC_RUNTIME_ARTIFACT_H
#define FLASHC_RUNTIME_ARTIFACT_H

#include "runtime/Error.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace flashc {

/// What an artifact's bytes are. The numbers are part of the serialised form.
enum class ArtifactKind : uint32_t {
  Object = 0,   ///< a relocatable object file
  Shared = 1,   ///< a shared library that exports NAME_query, NAME_workspace_size and NAME_run
  Assembly = 2, ///< assembly text of the target
  Ptx = 3,      ///< PTX text
  Cubin = 4,    ///< a CUDA binary
  Hsaco = 5,    ///< an AMDGPU code object
};

/// "object", "shared", "assembly", "ptx", "cubin", "hsaco".
const char *toString(ArtifactKind kind);

/// What the compiler makes of a module, and what a device loads.
struct Artifact {
  std::string name;   ///< the prefix NAME of the kernel's functions
  std::string target; ///< in the grammar of --target: "cpu:x86-64-v3"
  ArtifactKind kind = ArtifactKind::Object;
  std::string bytes;    ///< what `kind` says
  std::string metadata; ///< a JSON object, the members of runtime/Pack.md without `files`

  /// A self-contained form: magic, version, sizes, SHA-256 of all of it, the four strings.
  std::string serialise() const;

  /// Reads that form. Trusts nothing: any truncation, extension or changed bit is FLASHC_ERROR_FORMAT, a newer version
  /// is FLASHC_ERROR_ABI, each with expected and actual.
  static Result<Artifact> parse(std::string_view data);
};

} // namespace flashc

#endif // FLASHC_RUNTIME_ARTIFACT_H

//===- Pack.h - a kernel as a folder -------------------------------------------===//
#ifndef FLASHC_RUNTIME_PACK_H
#define FLASHC_RUNTIME_PACK_H

#include "runtime/Artifact.h"
#include "runtime/devices/Device.h"

#include <memory>
#include <string>

namespace flashc {

/// Reads a pack (runtime/Pack.md) into an artifact of kind Shared: `metadata` is the text of kernel.json, `bytes` the
/// library, whose size and SHA-256 are those of kernel.json. `path` is the folder or its kernel.json.
Result<Artifact> readPack(const std::string &path);

/// A pack that is loaded on the device of its target.
struct LoadedPack {
  Device *device = nullptr;
  std::unique_ptr<LoadedKernel> kernel;
  std::string metadata; ///< the text of kernel.json
};

/// readPack and Device::load.
Result<LoadedPack> loadPack(const std::string &path);

} // namespace flashc

#endif // FLASHC_RUNTIME_PACK_H

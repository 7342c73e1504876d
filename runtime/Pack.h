//===- Pack.h - a kernel as a folder -------------------------------------------===//
#ifndef FLASHC_RUNTIME_PACK_H
#define FLASHC_RUNTIME_PACK_H

#include "runtime/Artifact.h"
#include "runtime/KernelCheck.h"
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

/// readPack and Device::load. Of a fat pack, which holds one for each of several targets, it takes the one that suits
/// the device best. Without a device it is the one that suits the pack best; for a fat pack, the one of its first pack
/// that has any.
Result<LoadedPack> loadPack(const std::string &path, Device *device = nullptr);

/// A pack and what came of comparing it with the float64 reference on random operands, on its own device.
Result<Verdict> verifyPack(const LoadedPack &pack, const ProblemSizes &sizes, uint64_t seed);

/// The time of its single runs on operands of these sizes.
Result<Timing> timePack(const LoadedPack &pack, const ProblemSizes &sizes, uint64_t seed, const TimeOptions &options,
                        double *flops = nullptr);

} // namespace flashc

#endif // FLASHC_RUNTIME_PACK_H

#include "compiler/CachedCompile.h"

#include "compiler/DeviceCode.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace flashc {

std::string getCacheKey(ModuleOp module, const Target &target, const CompileOptions &options) {
  std::string key;
  llvm::raw_string_ostream os(key);
  os << getCompilerId() << '\n' << target.getName() << ' ' << target.getTriple() << '\n';
  for (const CpuVariant &variant : selectVariants(module, target, options)) {
    const CpuCapabilities &cpu = variant.capabilities;
    os << variant.name << ' ' << variant.cpu << ' ' << variant.features << ' ' << cpu.vectorBytes << ' '
       << cpu.vectorRegisters << ' ' << cpu.l1Bytes << ' ' << cpu.l2Bytes << ' ' << cpu.l3Bytes << ' ' << cpu.bf16Dot
       << ' ' << cpu.amxBf16 << '\n';
  }
  if (const DeviceTarget *device = target.getDevice())
    os << options.deviceBinary << ' ' << device->describeTools(options.deviceBinary) << '\n';
  os << options.entry << '\n'
     << options.name << '\n'
     << options.tiles.rows << ' ' << options.tiles.keys << ' ' << options.tiles.split << ' ' << options.tilesSource
     << ' ' << options.optLevel << ' ' << options.vectorizeLoops << ' ' << options.tf32 << '\n'
     << llvm::json::Value(llvm::json::Object(options.metadata)) << '\n';
  module->print(os, OpPrintingFlags().printGenericOpForm(false));
  return key;
}

FailureOr<Artifact> compileCached(ModuleOp module, const Target &target, const CompileOptions &options,
                                  KernelCache &cache, bool *fromCache) {
  if (fromCache)
    *fromCache = false;
  if (options.onStage)
    return compile(module, target, options);
  std::string key = getCacheKey(module, target, options);
  if (std::optional<std::string> bytes = cache.lookup(key)) {
    Result<Artifact> artifact = Artifact::parse(*bytes);
    if (artifact) {
      if (fromCache)
        *fromCache = true;
      return *artifact;
    }
    cache.remove(key);
  }
  FailureOr<Artifact> artifact = compile(module, target, options);
  // An artifact that cannot be kept is still a good one.
  if (succeeded(artifact))
    (void)cache.store(key, artifact->serialise());
  return artifact;
}
} // namespace flashc

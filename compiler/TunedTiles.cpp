#include "compiler/TunedTiles.h"

#include "compiler/Compiler.h"
#include "runtime/devices/Device.h"

#include "llvm/Support/raw_ostream.h"

namespace flashc {

std::optional<FoundTiles> findTunedTiles(mlir::MLIRContext &context, const KernelSpec &spec, const Target &target,
                                         const ProblemSizes &sizes) {
  // The members of kernel.json that a key is made of.
  llvm::json::Object description = describeSpec(context, spec);
  description["target"] = target.getName();
  if (target.isHost())
    description["native"] = true;
  if (spec.biasDType)
    description["operands"] = llvm::json::Array{llvm::json::Object{{"name", "bias"}}};
  std::string text;
  llvm::raw_string_ostream(text) << llvm::json::Value(std::move(description));
  std::optional<TunedKernel> kernel = TunedKernel::parse(text);
  Result<Device *> device = deviceForTarget(std::string_view(target.getName().data(), target.getName().size()));
  if (!kernel || !device)
    return std::nullopt;
  const DeviceInfo info = (*device)->describe();
  return findTiles(TuningStore::process(), info, tuningKey(info, *kernel, sizes, getCompilerSources().str()));
}
} // namespace flashc

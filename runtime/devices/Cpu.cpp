//===- Cpu.cpp - the machine's own processor as a device ----------------------===//

#include "runtime/devices/Cpu.h"
#include "runtime/Cpus.h"
#include "runtime/DeviceFacts.h"
#include "runtime/SharedLibrary.h"
#include "runtime/devices/CpuFeatures.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <unistd.h>

using namespace flashc;

namespace {
class CpuKernel final : public LoadedKernel {
public:
  CpuKernel(std::unique_ptr<SharedLibrary> library, const flashc_kernel &functions) : library(std::move(library)) {
    kernel = functions;
  }

private:
  std::unique_ptr<SharedLibrary> library;
};

/// "AMD EPYC 9B45", or "" where the system does not say.
std::string modelName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  return "";
}

/// Calls NAME_query and checks the answer.
Result<const flashc_kernel_info *> query(flashc_query_fn function, const Artifact &artifact) {
  const flashc_kernel_info *info = function(FLASHC_ABI_VERSION);
  if (!info || info->abi_version > FLASHC_ABI_VERSION)
    return Error{FLASHC_ERROR_ABI, artifact.name + ": expected a kernel of ABI version at most " +
                                       std::to_string(FLASHC_ABI_VERSION) + ", got " +
                                       (info ? std::to_string(info->abi_version) : "one that needs a newer version")};
  if (info->struct_size < sizeof(flashc_kernel_info))
    return Error{FLASHC_ERROR_FORMAT, artifact.name + ": expected a kernel info of at least " +
                                          std::to_string(sizeof(flashc_kernel_info)) + " bytes, got " +
                                          std::to_string(info->struct_size)};
  const std::string name(info->name, strnlen(info->name, sizeof(info->name)));
  if (name != artifact.name)
    return Error{FLASHC_ERROR_FORMAT, "expected the kernel \"" + artifact.name + "\", got \"" + name + "\""};
  if (info->num_operands && !info->operands)
    return Error{FLASHC_ERROR_FORMAT, artifact.name + ": expected a description of " +
                                          std::to_string(info->num_operands) + " operands, got null"};
  return info;
}
} // namespace

DeviceInfo CpuDevice::describe() const {
  DeviceInfo info;
  info.family = "cpu";
  info.architecture = hostArchitecture();
  info.units = usableCpus();
  info.memoryBytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  const std::string model = modelName();
  info.description = (model.empty() ? info.architecture : model) + ", " + std::to_string(info.units) +
                     (info.units == 1 ? " CPU" : " CPUs");
  const CpuFeatures &features = hostCpuFeatures();
  info.features = features.names();
  // A virtual machine may give a model no name of its own, and may hide what its processor has.
  info.identity = (features.model.empty() ? "" : features.model + ", ") + info.description +
                  (info.features.empty() ? "" : ", " + info.features);
  return info;
}

std::unique_ptr<CostModel> CpuDevice::costModel(const DeviceFacts &facts) const {
  const CpuFeatures &features = hostCpuFeatures();
  CpuLimits limits;
  limits.vectorBytes = features.avx512 ? 64 : features.avx2 ? 32 : 16;
  limits.vectorRegisters = features.avx512 || features.neon ? 32 : 16;
  limits.units = usableCpus();
  for (auto [bytes, name] : {std::pair(&limits.l1Bytes, "l1-bytes"), std::pair(&limits.l2Bytes, "l2-bytes"),
                             std::pair(&limits.l3Bytes, "l3-bytes")})
    *bytes = static_cast<int64_t>(fact(facts, name, static_cast<double>(*bytes)));
  for (auto [rate, name] :
       {std::pair(&limits.f32Gflops, "f32-fma-gflops"), std::pair(&limits.f64Gflops, "f64-fma-gflops"),
        std::pair(&limits.l1Gbps, "l1-read-gbps"), std::pair(&limits.l2Gbps, "l2-read-gbps"),
        std::pair(&limits.l3Gbps, "l3-read-gbps"), std::pair(&limits.dramGbps, "dram-read-gbps"),
        std::pair(&limits.dramAllGbps, "dram-read-gbps-all")})
    *rate = std::max(1e-3, fact(facts, name, *rate));
  // Pairs of bfloat16 are multiplied where that is faster than widening them.
  limits.productGflops = std::max(limits.f32Gflops, fact(facts, "bf16-dot-gflops", 0));
  if (const double rate = fact(facts, "amx-bf16-gflops", 0); rate > limits.productGflops)
    limits.tileGflops = rate;
  return std::make_unique<CpuCostModel>(limits);
}

Result<std::unique_ptr<LoadedKernel>> CpuDevice::load(const Artifact &artifact) {
  if (artifact.target.substr(0, artifact.target.find(':')) != "cpu")
    return Error{FLASHC_ERROR_TARGET,
                 artifact.name + ": expected a kernel for a cpu target, got \"" + artifact.target + "\""};
  if (artifact.kind != ArtifactKind::Shared)
    return Error{FLASHC_ERROR_INVALID,
                 artifact.name + ": expected an artifact of kind shared, got " + toString(artifact.kind)};
  Result<std::unique_ptr<SharedLibrary>> library = SharedLibrary::load(artifact.bytes, artifact.name);
  if (!library)
    return library.error();
  void *functions[3];
  const char *suffixes[] = {"_query", "_workspace_size", "_run"};
  for (int i = 0; i < 3; ++i) {
    functions[i] = (*library)->symbol(artifact.name + suffixes[i]);
    if (!functions[i])
      return Error{FLASHC_ERROR_FORMAT,
                   artifact.name + ": expected the library to export \"" + artifact.name + suffixes[i] + "\""};
  }
  Result<const flashc_kernel_info *> info = query(reinterpret_cast<flashc_query_fn>(functions[0]), artifact);
  if (!info)
    return info.error();
  const flashc_kernel kernel{*info, reinterpret_cast<flashc_workspace_size_fn>(functions[1]),
                             reinterpret_cast<flashc_run_fn>(functions[2])};
  return std::unique_ptr<LoadedKernel>(new CpuKernel(std::move(*library), kernel));
}

std::optional<Error> CpuDevice::launch(const LoadedKernel &kernel, const flashc_args &args, void *) {
  if (flashc_status status = flashc_kernel_run(&kernel.functions(), &args))
    return Error{status, flashc_last_error()};
  return std::nullopt;
}

Result<Timing> CpuDevice::time(const LoadedKernel &kernel, const flashc_args &args, const TimeOptions &options) {
  if (options.repeats < 1)
    return Error{FLASHC_ERROR_INVALID, "expected at least 1 measured run, got " + std::to_string(options.repeats)};
  for (int32_t i = 0; i < options.warmups; ++i)
    if (std::optional<Error> error = launch(kernel, args, nullptr))
      return *error;
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  double total = 0;
  while (static_cast<int32_t>(seconds.size()) < options.repeats || total < options.minSeconds) {
    const auto begin = Clock::now();
    if (std::optional<Error> error = launch(kernel, args, nullptr))
      return *error;
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    total += seconds.back();
  }
  Timing timing;
  timing.runs = static_cast<int32_t>(seconds.size());
  std::sort(seconds.begin(), seconds.end());
  timing.best = seconds.front();
  timing.median = seconds[seconds.size() / 2];
  return timing;
}

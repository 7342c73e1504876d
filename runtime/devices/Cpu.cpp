//===- Cpu.cpp - the machine's own processor as a device ----------------------===//

#include "runtime/devices/Cpu.h"
#include "runtime/Cpus.h"
#include "runtime/DeviceFacts.h"
#include "runtime/SharedLibrary.h"
#include "runtime/devices/CpuFeatures.h"
#include "runtime/devices/HostKernel.h"

#include <algorithm>
#include <fstream>
#include <unistd.h>

using namespace flashc;

namespace {
/// "AMD EPYC 9B45", or "" where the system does not say.
std::string modelName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  return "";
}
} // namespace

DeviceInfo CpuDevice::describe() const {
  DeviceInfo info;
  info.name = "cpu";
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
  if (Result<int> suits = suitability(artifact.target); !suits)
    return Error{suits.error().status, artifact.name + ": " + suits.error().message};
  return loadHostKernel(artifact);
}

std::optional<Error> CpuDevice::launch(const flashc_kernel &kernel, const flashc_args &args, void *) {
  if (flashc_status status = flashc_kernel_run(&kernel, &args))
    return Error{status, flashc_last_error()};
  return std::nullopt;
}

Result<Timing> CpuDevice::time(const flashc_kernel &kernel, const flashc_args &args, const TimeOptions &options) {
  return timeRuns([&] { return launch(kernel, args, nullptr); }, options);
}

//===- HostKernel.cpp - the host side of a kernel, loaded from a library ------===//

#include "runtime/devices/HostKernel.h"
#include "runtime/SharedLibrary.h"

#include <algorithm>
#include <chrono>
#include <cstring>

using namespace flashc;

namespace {
class HostKernel final : public LoadedKernel {
public:
  HostKernel(std::unique_ptr<SharedLibrary> library, const flashc_kernel &functions) : library(std::move(library)) {
    kernel = functions;
  }
  // While the library is still there: another one may come to lie at its address.
  ~HostKernel() override { forgetKernel(kernel.info); }

private:
  std::unique_ptr<SharedLibrary> library;
};

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

Result<std::unique_ptr<LoadedKernel>> flashc::loadHostKernel(const Artifact &artifact) {
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
  return std::unique_ptr<LoadedKernel>(new HostKernel(std::move(*library), kernel));
}

Result<Timing> flashc::timeRuns(const std::function<std::optional<Error>()> &run, const TimeOptions &options) {
  if (options.repeats < 1)
    return Error{FLASHC_ERROR_INVALID, "expected at least 1 measured run, got " + std::to_string(options.repeats)};
  for (int32_t i = 0; i < options.warmups; ++i)
    if (std::optional<Error> error = run())
      return *error;
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  double total = 0;
  while (static_cast<int32_t>(seconds.size()) < options.repeats || total < options.minSeconds) {
    const auto begin = Clock::now();
    if (std::optional<Error> error = run())
      return *error;
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    total += seconds.back();
  }
  return summarize(seconds);
}

Timing flashc::summarize(std::vector<double> &seconds) {
  Timing timing;
  timing.runs = static_cast<int32_t>(seconds.size());
  std::sort(seconds.begin(), seconds.end());
  timing.best = seconds.front();
  timing.median = seconds[seconds.size() / 2];
  return timing;
}

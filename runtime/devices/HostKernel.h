//===- HostKernel.h - the host side of a kernel, loaded from a library --------===//
#ifndef FLASHC_RUNTIME_DEVICES_HOSTKERNEL_H
#define FLASHC_RUNTIME_DEVICES_HOSTKERNEL_H

#include "runtime/devices/Device.h"

#include <functional>

namespace flashc {

/// Loads an artifact of kind Shared into this process, finds NAME_query, NAME_workspace_size and NAME_run, and asks for
/// the ABI. The kernel tells the devices before it is unloaded.
Result<std::unique_ptr<LoadedKernel>> loadHostKernel(const Artifact &artifact);

/// The time of single runs of `run`, by the host's clock. An error of `run` ends it.
Result<Timing> timeRuns(const std::function<std::optional<Error>()> &run, const TimeOptions &options);

/// The statistic of at least one measured time; sorts them.
Timing summarize(std::vector<double> &seconds);

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_HOSTKERNEL_H

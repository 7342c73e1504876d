#include "Commands.h"

#include "runtime/PlacedProblem.h"

#include <cstdio>

namespace flashc {

std::optional<Error> bench(const LoadedPack &pack, const Arguments &arguments) {
  Result<std::unique_ptr<KernelProblem>> problem =
      KernelProblem::create(pack.kernel->info(), pack.metadata, arguments.sizes, arguments.seed);
  if (!problem)
    return problem.error();
  Result<std::unique_ptr<PlacedProblem>> placed = PlacedProblem::create(*pack.device, **problem);
  if (!placed)
    return placed.error();
  TimeOptions options;
  options.minSeconds = arguments.seconds;
  Result<Timing> timing = pack.device->time(*pack.kernel, (*placed)->getArgs(), options);
  if (!timing)
    return timing.error();
  std::printf("%s, %d threads, %s: median %.3f ms, best %.3f ms of %d runs, caches warm",
              pack.device->describe().description.c_str(), flashc_get_num_threads(), arguments.sizes.describe().c_str(),
              timing->median * 1e3, timing->best * 1e3, timing->runs);
  // What a mask leaves out is not counted as done.
  if (double flops = (*problem)->getFlops(); flops > 0 && (*problem)->getReference().masks.empty())
    std::printf(", %.1f GFLOP/s", flops / timing->median * 1e-9);
  std::printf("\n");
  return std::nullopt;
}
} // namespace flashc

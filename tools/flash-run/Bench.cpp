#include "Commands.h"

#include <cstdio>

namespace flashc {

std::optional<Error> bench(const LoadedPack &pack, const Arguments &arguments) {
  TimeOptions options;
  options.minSeconds = arguments.seconds;
  double flops = 0;
  Result<Timing> timing = timePack(pack, arguments.sizes, arguments.seed, options, &flops);
  if (!timing)
    return timing.error();
  const std::string threads =
      pack.device->usesHostMemory() ? ", " + std::to_string(flashc_get_num_threads()) + " threads" : "";
  std::printf("%s%s, %s: median %.3f ms, best %.3f ms of %d runs, caches warm",
              pack.device->describe().description.c_str(), threads.c_str(), arguments.sizes.describe().c_str(),
              timing->median * 1e3, timing->best * 1e3, timing->runs);
  if (flops > 0)
    std::printf(", %.1f GFLOP/s", flops / timing->median * 1e-9);
  std::printf("\n");
  return std::nullopt;
}
} // namespace flashc

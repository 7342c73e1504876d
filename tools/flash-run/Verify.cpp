/// flash-run --verify: a pack against the float64 reference.
#include "Commands.h"

#include <cstdio>

namespace flashc {
namespace {

std::vector<ProblemSizes> getDefaultSizes() {
  return {{1, 1, 1, 1, 1},    {2, 4, 4, 17, 33},   {1, 4, 2, 128, 128}, {2, 6, 1, 97, 200},
          {1, 2, 2, 1, 1023}, {1, 2, 2, 200, 113}, {3, 2, 2, 64, 1025}, {1, 2, 1, 384, 384},
          {2, 2, 2, 5, 0},    {1, 2, 2, 513, 700}, {0, 2, 2, 8, 8},     {1, 2, 2, 0, 8}};
}
} // namespace

Result<bool> verify(const LoadedPack &pack, const Arguments &arguments) {
  bool good = true;
  const DeviceInfo device = pack.device->describe();
  std::printf("%s for %s on %s: %s\n", pack.kernel->info().name, pack.kernel->info().target, device.name.c_str(),
              device.description.c_str());
  for (const ProblemSizes &sizes :
       arguments.sizesGiven ? std::vector<ProblemSizes>{arguments.sizes} : getDefaultSizes()) {
    Result<Verdict> verdict = verifyPack(pack, sizes, arguments.seed);
    if (!verdict)
      return Error{verdict.error().status, sizes.describe() + ": " + verdict.error().message};
    std::printf("%-28s %s  %s\n", sizes.describe().c_str(), verdict->describe().c_str(),
                verdict->passed() ? "ok" : "WRONG");
    good &= verdict->passed();
  }
  return good;
}
} // namespace flashc

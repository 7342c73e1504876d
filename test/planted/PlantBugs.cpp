// flashc-plant-bugs PACK SIZES [PER-KIND]: for each function that a pack of an emulated target launches, and each bug
// that can be planted in it, whether it is caught: by a finding, or by wrong results. Asynchronous work completes as
// late as it may, then in two random orders; a bug is caught if one of the runs shows it. Ends with 1 if the kernel as
// it is fails.

#include "emulator/EmulatedDevice.h"
#include "emulator/PlantedBugs.h"
#include "runtime/Pack.h"

#include <cstdio>
#include <cstdlib>
#include <map>

using namespace flashc;
using namespace flashc::emulator;

namespace {
/// One launch of the whole kernel; "" when its results are right.
class Subject {
public:
  Subject(const Chip &chip, std::string path, const KernelProblem &problem, const KernelCheck &check)
      : chip(chip), path(std::move(path)), problem(problem), check(check) {}

  std::string run(const EmulatedDevice::Rewrite &rewrite, AsyncOrder order, uint64_t seed) const {
    EmulatedDevice device(chip);
    device.setRewrite(rewrite);
    device.setAsyncOrder(order, seed);
    Result<LoadedPack> pack = loadPack(path, &device);
    if (!pack)
      return pack.error().message;
    if (std::optional<Error> error = device.launch(pack->kernel->functions(), problem.getArgs()))
      return error->message;
    const Verdict verdict = check.judge(problem);
    return verdict.passed() ? "" : "wrong results: " + verdict.describe();
  }

private:
  const Chip &chip;
  std::string path;
  const KernelProblem &problem;
  const KernelCheck &check;
};

struct Order {
  AsyncOrder kind;
  uint64_t seed;
};

int fail(const std::string &why) {
  std::fprintf(stderr, "flashc-plant-bugs: %s\n", why.c_str());
  return 1;
}
} // namespace

int main(int argc, char **argv) {
  if (argc < 3)
    return fail("expected PACK SIZES [PER-KIND]");
  const auto perKind = static_cast<unsigned>(argc > 3 ? std::atoi(argv[3]) : 4);
  registerEmulatedDevices();
  Result<LoadedPack> pack = loadPack(argv[1]);
  if (!pack)
    return fail(pack.error().message);
  const std::string name = pack->device->describe().architecture;
  const Chip *chip = findChip(name);
  if (!chip)
    return fail("expected a pack for an emulated device, got one for " + pack->device->describe().name);
  const Result<ProblemSizes> sizes = ProblemSizes::parse(argv[2]);
  if (!sizes)
    return fail(sizes.error().message);
  const auto problem = KernelProblem::create(pack->kernel->info(), pack->metadata, *sizes, 1);
  if (!problem)
    return fail(problem.error().message);
  const auto check = KernelCheck::create(**problem);
  if (!check)
    return fail(check.error().message);
  const Subject subject(*chip, argv[1], **problem, *check);

  // The kernel as it is, and the functions that it launches.
  std::map<std::string, std::string> functions;
  const auto keep = [&](std::string_view text, std::string_view kernel) {
    functions[std::string(kernel)] = std::string(text);
    return std::string(text);
  };
  const Order orders[] = {{AsyncOrder::Late, 0}, {AsyncOrder::Random, 1}, {AsyncOrder::Random, 2}};
  for (const Order &order : orders)
    if (const std::string problem = subject.run(keep, order.kind, order.seed); !problem.empty())
      return fail("the kernel as it is: " + problem);

  std::map<BugKind, std::pair<unsigned, unsigned>> counts; // caught, planted
  for (const auto &entry : functions) {
    const std::string &function = entry.first, &text = entry.second;
    const Result<std::vector<PlantedBug>> bugs = findPlantableBugs(text, function, perKind);
    if (!bugs)
      return fail(bugs.error().message);
    for (const PlantedBug &bug : *bugs) {
      const Result<std::string> broken = plantBug(text, function, bug);
      if (!broken)
        return fail(broken.error().message);
      const auto run = [&](const std::string &text) {
        const auto rewrite = [&](std::string_view original, std::string_view kernel) {
          return kernel == function ? text : std::string(original);
        };
        std::string found;
        for (const Order &order : orders)
          if (found = subject.run(rewrite, order.kind, order.seed); !found.empty())
            break;
        return found;
      };
      const std::string found = run(*broken);
      if (found.empty() && run(*plantTrap(text, function, bug)).empty())
        continue;
      counts[bug.kind].first += !found.empty();
      ++counts[bug.kind].second;
      std::printf("%s %s %u of %s: %s\n    %s\n", found.empty() ? "harmless" : "caught", toString(bug.kind), bug.number,
                  function.c_str(), bug.instruction.c_str(), found.substr(0, 300).c_str());
    }
  }
  for (const auto &entry : counts)
    std::printf("%s: %u caught of %u\n", toString(entry.first), entry.second.first, entry.second.second);
  return 0;
}

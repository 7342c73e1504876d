// flashc-plant-bugs PACK [--per-kind N] [--harmless FILE] [PROBLEM...]: for the functions that a pack of an emulated
// target launches on the problems (Trial.h), and the bugs that can be planted in them, whether each is caught: by a
// finding, or by wrong results. A bug is tried where it changes something, asynchronous work completing as late as it
// may, then in two random orders; it is caught if one of the runs shows it. A bug that changes nothing on any problem
// is one that nobody has looked for. FILE has lines "HARMLESS: EXPRESSION BECAUSE REASON" for bugs that are not caught,
// with UNREACHED for those among them that change nothing on any problem. Ends with 1 if the kernel as it is fails, or
// if a bug is not caught of which neither a proof nor a line says that it changes nothing.

#include "emulator/PlantedBugs.h"
#include "emulator/Planting.h"
#include "test/planted/Trial.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>

using namespace flashc;
using namespace flashc::emulator;
using flashc::test::Trial;

namespace {
struct Order {
  AsyncOrder kind;
  uint64_t seed;
};

/// What came of the bugs of one kind.
struct Count {
  unsigned caught = 0, harmless = 0, excused = 0, untouched = 0, stayed = 0;
};

class Suite {
public:
  explicit Suite(const Chip &chip) : device(chip), planting(mostBugs) {
    device.setPlanting(&planting);
    device.setWorkers(1);
    // AMD's kernels have no asynchronous work.
    orders = {{AsyncOrder::Late, 0}};
    if (chip.vendor == Vendor::Nvidia)
      orders.insert(orders.end(), {{AsyncOrder::Random, 1}, {AsyncOrder::Random, 2}});
  }

  /// Empty, or what went wrong before the first bug.
  std::string load(const std::string &path, const std::vector<std::string> &problems, unsigned perKind) {
    device.setRewrite([this, perKind](std::string_view text, std::string_view function) {
      Result<PlantedKernel> planted = plantBugs(text, function, static_cast<unsigned>(bugs.size()) + 1, perKind);
      if (!planted || bugs.size() + planted->bugs.size() > mostBugs) {
        refused = planted ? "expected at most " + std::to_string(mostBugs) + " bugs" : planted.error().message;
        return std::string(text);
      }
      for (PlantedBug &bug : planted->bugs) {
        bugs.push_back(std::move(bug));
        functions.push_back(std::string(function));
      }
      return std::move(planted->text);
    });
    Result<LoadedPack> loaded = loadPack(path, &device);
    if (!loaded)
      return loaded.error().message;
    pack = std::move(*loaded);
    for (const std::string &problem : problems) {
      const std::vector<std::string> all = expand(problem);
      for (const std::string &one : all) {
        Result<std::unique_ptr<Trial>> trial = Trial::create(pack, one);
        if (!trial)
          return one + ": " + trial.error().message;
        // Of many that differ in one size alone the late order is enough.
        trials.push_back({std::move(*trial), std::vector<bool>(mostBugs + 1), all.size() > 1 ? 1 : orders.size()});
        Tried &last = trials.back();
        if (const std::string wrong = run(last, 0); !wrong.empty())
          return one + ": the kernel as it is: " + wrong;
        for (unsigned i = 1; i <= mostBugs; ++i)
          last.touched[i] = planting.touched[i].exchange(false);
      }
    }
    return bugs.empty() && refused.empty() ? "expected a kernel in which a bug can be planted" : refused;
  }

  /// Reads which bugs change nothing, and why; false for a file that cannot be read or has a line without a reason.
  bool readHarmless(const std::string &path) {
    std::ifstream file(path);
    const std::string because = " BECAUSE ";
    bool good = file.good();
    for (std::string line; std::getline(file, line);)
      for (const bool unreached : {false, true}) {
        const std::string mark = unreached ? "UNREACHED: " : "HARMLESS: ";
        const size_t reason = line.find(because);
        if (line.compare(0, mark.size(), mark) != 0)
          continue;
        good &= reason != std::string::npos;
        if (good)
          equivalents.push_back({std::regex(line.substr(mark.size(), reason - mark.size())), unreached,
                                 line.substr(reason + because.size())});
      }
    return good;
  }

  bool runAll() {
    for (unsigned i = 0; i != bugs.size(); ++i)
      judge(i);
    unsigned stayed = 0;
    for (const auto &[kind, count] : counts) {
      std::printf("%s: %u caught of %u", toString(kind), count.caught,
                  count.caught + count.harmless + count.excused + count.untouched + count.stayed);
      for (const auto &[number, what] : {std::pair(count.harmless, "proved harmless"),
                                         {count.excused, "equivalent"},
                                         {count.untouched, "changed nothing"},
                                         {count.stayed, "stayed"}})
        if (number)
          std::printf(", %u %s", number, what);
      std::printf("\n");
      stayed += count.stayed + count.untouched;
    }
    return stayed == 0;
  }

private:
  /// "1,1,1,40,64:each": with 64 keys and fewer, so that they end at every column of a tile; ":rows" and ":heads" are
  /// the same of query rows and of the query heads of one key head. Other words stay.
  static std::vector<std::string> expand(const std::string &problem) {
    std::array<int, 5> sizes{};
    int end = 0;
    std::sscanf(problem.c_str(), "%d,%d,%d,%d,%d%n", &sizes[0], &sizes[1], &sizes[2], &sizes[3], &sizes[4], &end);
    for (const auto &[word, size] : {std::pair(std::string(":each"), 4), {":rows", 3}, {":heads", 1}})
      if (problem.compare(static_cast<size_t>(end), word.size(), word) == 0) {
        std::vector<std::string> result;
        for (int &counted = sizes[static_cast<size_t>(size)]; counted > 0; --counted) {
          std::string one;
          for (const int each : sizes)
            one += (one.empty() ? "" : ",") + std::to_string(each);
          result.push_back(one + problem.substr(static_cast<size_t>(end) + word.size()));
        }
        return result;
      }
    return {problem};
  }

  /// Bugs that nobody can see, and why; some of them only where no problem comes to where they matter.
  struct Equivalent {
    std::regex bugs;
    bool unreached;
    std::string reason;
  };

  static constexpr unsigned mostBugs = 8192;

  /// A problem, which bugs would change something there, and in how many of the orders it is run.
  struct Tried {
    std::unique_ptr<Trial> trial;
    std::vector<bool> touched;
    size_t numOrders;
  };

  std::string run(Tried &tried, unsigned bug) {
    planting.active = bug;
    std::string wrong;
    for (size_t i = 0; i != tried.numOrders && wrong.empty(); ++i) {
      device.setAsyncOrder(orders[i].kind, orders[i].seed);
      wrong = tried.trial->run(device, pack);
    }
    return wrong;
  }

  void judge(unsigned i) {
    const PlantedBug &bug = bugs[i];
    Count &count = counts[bug.kind];
    std::string found, where, all;
    for (Tried &tried : trials)
      if (found.empty() && tried.touched[i + 1]) {
        where = tried.trial->name();
        all += (all.empty() ? "" : " ") + where;
        found = run(tried, i + 1);
      }
    const bool matters = !all.empty();
    const char *what = "stayed";
    const std::string line = std::string(toString(bug.kind)) + " of " + functions[i] + ": " + bug.instruction;
    const auto known = std::find_if(equivalents.begin(), equivalents.end(), [&](const Equivalent &entry) {
      return (!matters || !entry.unreached) && std::regex_search(line, entry.bugs);
    });
    if (!found.empty()) {
      ++count.caught;
      what = "caught";
    } else if (!matters && !bug.harmless.empty()) {
      ++count.harmless;
      what = "harmless";
      found = bug.harmless;
    } else if (known != equivalents.end()) {
      ++count.excused;
      what = "equivalent";
      found = known->reason;
    } else if (matters && !bug.excuse.empty()) {
      ++count.excused;
      what = "equivalent";
      found = bug.excuse;
    } else if (!matters) {
      ++count.untouched;
      what = "changed nothing:";
    } else {
      ++count.stayed;
      where = all; // for whoever looks for a problem that shows it
    }
    std::printf("%s %s %u of %s: %s\n    %s%s%s\n", what, toString(bug.kind), bug.place, functions[i].c_str(),
                bug.instruction.c_str(), where.substr(0, 1000).c_str(), where.empty() ? "" : ": ",
                found.substr(0, 300).c_str());
  }

  EmulatedDevice device;
  Planting planting;
  LoadedPack pack;
  std::vector<Order> orders;
  std::vector<PlantedBug> bugs;
  std::vector<std::string> functions; ///< of each bug
  std::vector<Tried> trials;
  std::map<BugKind, Count> counts;
  std::vector<Equivalent> equivalents;
  std::string refused; ///< why a kernel has no bugs
};

/// Lengths below, at and beyond tiles and all their ends, few query rows and many, one part of the keys and several,
/// more pieces of work than blocks, and every way for operands to lie.
const char *const allProblems[] = {
    "1,1,1,64,128:each",
    "1,5,1,3,64:each",
    "1,1,1,66,24:rows",
    "1,16,1,1,64:heads",
    "1,16,1,1,600:heads",
    "1,1,1,40,64:each:odd",
    "1,5,1,3,64:each:odd",
    "1,1,1,66,24:rows:spread",
    "1,16,1,1,64:heads:odd",
    "1,16,1,1,600:heads:spread",
    "34,1,1,64,70",
    "37,1,1,64,72",
    "34,1,1,64,134",
    "34,1,1,64,136",
    "34,1,1,3,70",
    "37,1,1,3,72",
    "1,2,1,100,253",
    "1,2,2,70,65:odd",
    "1,2,2,130,33:gaps",
    "1,2,1,66,40:columns",
    "1,2,1,65,129:spread",
    "1,4,2,20,65:empty",
    "1,4,2,3,65:empty",
    "2,2,1,20,65:empty:columns",
    "1,2,1,3,65:empty:columns",
    "2,2,1,3,300:odd",
    "3,2,1,65,127:inf",
    "3,2,1,2,127:inf",
    "1,2,1,2,90:columns",
    "1,2,1,1,65:spread",
    "1,2,1,1,1100",
    "1,2,2,1,600:gaps",
    "1,2,2,1,600:odd",
    "1,4,2,130,400",
    "1,4,1,66,300:spread",
    "1,1,1,66,700:odd",
    "1,4,2,66,300:odd",
    "4,1,1,66,300:shared",
    "3,1,1,3,100:shared",
};

int fail(const std::string &why) {
  std::fprintf(stderr, "flashc-plant-bugs: %s\n", why.c_str());
  return 1;
}
} // namespace

int main(int argc, char **argv) {
  unsigned perKind = 8;
  std::string harmless;
  std::vector<std::string> problems;
  for (int i = 2; i < argc; ++i)
    if (std::string(argv[i]) == "--per-kind" && i + 1 < argc)
      perKind = static_cast<unsigned>(std::atoi(argv[++i]));
    else if (std::string(argv[i]) == "--harmless" && i + 1 < argc)
      harmless = argv[++i];
    else
      problems.push_back(argv[i]);
  // More of them than a test takes.
  if (const char *profile = std::getenv("FLASHC_DEEP"); profile && *profile == '1')
    perKind = 1000;
  if (argc < 2)
    return fail("expected PACK [--per-kind N] [--harmless FILE] [PROBLEM...]");
  if (problems.empty())
    problems.assign(std::begin(allProblems), std::end(allProblems));
  registerEmulatedDevices();
  Result<LoadedPack> pack = loadPack(argv[1]);
  if (!pack)
    return fail(pack.error().message);
  const Chip *chip = findChip(pack->device->describe().architecture);
  if (!chip)
    return fail("expected a pack for an emulated device, got one for " + pack->device->describe().name);
  Suite suite(*chip);
  if (!harmless.empty() && !suite.readHarmless(harmless))
    return fail("expected a file with lines 'HARMLESS: EXPRESSION BECAUSE REASON', got " + harmless);
  if (const std::string wrong = suite.load(argv[1], problems, perKind); !wrong.empty())
    return fail(wrong);
  return suite.runAll() ? 0 : 1;
}

// flashc-plant-bugs PACK... [--per-kind N] [--every N] [--only TEXT] [--harmless FILE] [PROBLEM...]
// [+PROBLEM...]: for the functions that packs of emulated targets launch on the problems (Trial.h; they begin with a
// digit, and those to try besides the usual ones with a plus), of those that differ in rows or keys alone only every
// Nth, and the bugs that can be planted in them, N of a kind and function (8, with FLASHC_DEEP=1 all, on more problems)
// and of these those whose line has TEXT in it, whether each is caught: by a finding, or by wrong results. A bug is
// tried where it changes something, asynchronous work completing as late as it may, then in two random orders; it is
// caught if one of the runs shows it. A bug that changes nothing on any problem is one that nobody has looked for. FILE
// has lines "HARMLESS: EXPRESSION BECAUSE REASON" for bugs that are not caught, with UNREACHED for those among them
// that change nothing on any problem. Ends with 1 if a kernel as it is fails, if a bug is not caught of which neither a
// proof nor a line says that it changes nothing, or if a line fits no bug that can be planted.

#include "emulator/PlantedBugs.h"
#include "emulator/Planting.h"
#include "test/planted/Excuses.h"
#include "test/planted/Trial.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>

using namespace flashc;
using namespace flashc::emulator;
using flashc::test::Excuses;
using flashc::test::Trial;

namespace {
struct Order {
  AsyncOrder kind;
  uint64_t seed;
};

struct Request {
  std::vector<std::string> packs, problems, more;
  unsigned perKind = 8, every = 1;
  std::string only;
};

/// What came of the bugs of one kind.
struct Count {
  unsigned caught = 0, harmless = 0, excused = 0, untouched = 0, stayed = 0;
};
using Counts = std::map<BugKind, Count>;

/// The bugs of one pack.
class Suite {
public:
  Suite(const Chip &chip, Excuses &excuses) : device(chip), planting(mostBugs), excuses(excuses) {
    device.setPlanting(&planting);
    device.setWorkers(1);
    // AMD's kernels have no asynchronous work.
    orders = {{AsyncOrder::Late, 0}};
    if (chip.vendor == Vendor::Nvidia)
      orders.insert(orders.end(), {{AsyncOrder::Random, 1}, {AsyncOrder::Random, 2}});
  }

  /// Empty, or what went wrong before the first bug.
  std::string load(const std::string &path, const Request &request) {
    device.setRewrite([this, perKind = request.perKind](std::string_view text, std::string_view function) {
      Result<PlantedKernel> planted = plantBugs(text, function, static_cast<unsigned>(bugs.size()) + 1, perKind);
      if (!planted || bugs.size() + planted->bugs.size() > mostBugs) {
        refused = planted ? "expected at most " + std::to_string(mostBugs) + " bugs" : planted.error().message;
        return std::string(text);
      }
      for (const PlantedBug &bug : planted->left)
        excuses.note(describe(bug, std::string(function)));
      for (PlantedBug &bug : planted->bugs) {
        excuses.note(describe(bug, std::string(function)));
        bugs.push_back(std::move(bug));
        functions.push_back(std::string(function));
      }
      return std::move(planted->text);
    });
    Result<LoadedPack> loaded = loadPack(path, &device);
    if (!loaded)
      return loaded.error().message;
    pack = std::move(*loaded);
    for (const std::string &problem : request.problems) {
      const std::vector<std::string> all = expand(problem, static_cast<int>(request.every));
      for (const std::string &one : all) {
        Result<std::unique_ptr<Trial>> trial = Trial::create(pack, one);
        if (!trial)
          return one + ": " + trial.error().message;
        // Of many that differ in one size alone the late order is enough.
        trials.push_back({std::move(*trial), std::vector<bool>(mostBugs + 1), all.size() > 1 ? 1 : orders.size()});
        Tried &last = trials.back();
        if (const std::string wrong = run(last, 0); !wrong.empty())
          return one + ": the kernel as it is: " + wrong;
        for (size_t i = 1; i <= bugs.size(); ++i)
          last.touched[i] = planting.touched[i].exchange(false);
      }
    }
    return bugs.empty() && refused.empty() ? "expected a kernel in which a bug can be planted" : refused;
  }

  void run(Counts &counts, const std::string &only) {
    for (unsigned i = 0; i != bugs.size(); ++i)
      if (describe(bugs[i], functions[i]).find(only) != std::string::npos)
        judge(i, counts[bugs[i].kind]);
  }

private:
  /// "1,1,1,40,64:each": with 64 keys and fewer, so that they end at every column of a tile; ":rows" and ":heads" are
  /// the same of query rows and of the query heads of one key head. Other words stay.
  static std::vector<std::string> expand(const std::string &problem, int every) {
    std::array<int, 5> sizes{};
    int end = 0;
    std::sscanf(problem.c_str(), "%d,%d,%d,%d,%d%n", &sizes[0], &sizes[1], &sizes[2], &sizes[3], &sizes[4], &end);
    for (const auto &[word, size] : {std::pair(std::string(":each"), 4), {":rows", 3}, {":heads", 1}})
      if (problem.compare(static_cast<size_t>(end), word.size(), word) == 0) {
        std::vector<std::string> result;
        // Heads are few, and each count of them is another number of rows that a block shares.
        for (int &counted = sizes[static_cast<size_t>(size)]; counted > 0; counted -= size == 1 ? 1 : every) {
          std::string one;
          for (const int each : sizes)
            one += (one.empty() ? "" : ",") + std::to_string(each);
          result.push_back(one + problem.substr(static_cast<size_t>(end) + word.size()));
        }
        return result;
      }
    return {problem};
  }

  static constexpr unsigned mostBugs = 8192;
  /// On how many of the problems on which it changes something a bug is tried for which there is an excuse.
  static constexpr size_t triesOfExcused = 32;

  /// The line of a bug.
  static std::string describe(const PlantedBug &bug, const std::string &function) {
    return std::string(toString(bug.kind)) + " of " + function + ": " + bug.instruction;
  }

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

  /// The problems on which a bug changes something, in an order in which neighbours, which are alike, lie far apart.
  std::vector<Tried *> findTouched(unsigned bug) {
    std::vector<Tried *> touched;
    for (Tried &tried : trials)
      if (tried.touched[bug])
        touched.push_back(&tried);
    const size_t count = touched.size();
    size_t stride = std::max<size_t>(count * 5 / 8, 1);
    while (count && std::gcd(stride, count) != 1)
      ++stride;
    std::vector<Tried *> result;
    for (size_t i = 0; i != count; ++i)
      result.push_back(touched[i * stride % count]);
    return result;
  }

  void judge(unsigned i, Count &count) {
    const PlantedBug &bug = bugs[i];
    std::vector<Tried *> touched = findTouched(i + 1);
    const bool matters = !touched.empty();
    const std::string *known = excuses.find(describe(bug, functions[i]), matters);
    if (!known && matters && !bug.excuse.empty())
      known = &bug.excuse;
    if (known && touched.size() > triesOfExcused)
      touched.resize(triesOfExcused);
    std::string found, where, all;
    for (Tried *tried : touched)
      if (found.empty()) {
        where = tried->trial->name();
        all += (all.empty() ? "" : " ") + where;
        found = run(*tried, i + 1);
      }
    const char *what = "stayed";
    if (!found.empty()) {
      ++count.caught;
      what = "caught";
    } else if (!matters && !bug.harmless.empty()) {
      ++count.harmless;
      what = "harmless";
      found = bug.harmless;
    } else if (known) {
      ++count.excused;
      what = "equivalent";
      found = *known;
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
  Excuses &excuses;
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
    "1,5,1,6,70",
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

/// Where all bugs are planted: a diagonal that crosses from one tile of keys into the next below few rows, a block's
/// third piece of work and more whose rows no unit for copies takes, rows of single elements that are none, or as many
/// as a tile has, one infinite value among a tile's last, as many rows as are few where keys are many, heads that do
/// not begin where the rows before them end, the last key of all batches at the end of a tile that is loaded ahead, a
/// first tile that TMA does not take and that is not whole, and keys that come by threads where queries come by TMA.
const char *const deepProblems[] = {
    "34,1,1,16,141",
    "34,1,1,16,141:odd",
    "10,1,1,64,134:odd",
    "1,4,2,20,65:empty:spread",
    "1,4,2,3,65:empty:spread",
    "1,2,1,66,127:spread",
    "1,2,1,65,64:corner",
    "1,2,1,3,64:corner",
    "1,1,1,32,600",
    "1,4,1,8,1030:odd",
    "1,4,1,1,64:apart",
    "1,1,1,16,137",
    "1,1,1,16,141",
    "1,1,1,64,299:spread",
    "4,1,1,66,70:shared",
    "10,1,1,140,260:odd:keys",
};

int fail(const std::string &why) {
  std::fprintf(stderr, "flashc-plant-bugs: %s\n", why.c_str());
  return 1;
}

/// What came of all bugs, kind by kind; how many are neither caught nor harmless.
unsigned report(const Counts &counts) {
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
  return stayed;
}

/// Empty, or what went wrong before the first bug of a pack.
std::string plant(const std::string &path, const Request &request, Excuses &excuses, Counts &counts) {
  Result<LoadedPack> pack = loadPack(path);
  if (!pack)
    return pack.error().message;
  const Chip *chip = findChip(pack->device->describe().architecture);
  if (!chip)
    return "expected a pack for an emulated device, got one for " + pack->device->describe().name;
  Suite suite(*chip, excuses);
  std::string wrong = suite.load(path, request);
  if (wrong.empty())
    suite.run(counts, request.only);
  return wrong;
}
} // namespace

int main(int argc, char **argv) {
  Request request;
  const char *profile = std::getenv("FLASHC_DEEP");
  const bool deep = profile && *profile == '1';
  if (deep)
    request.perKind = 1000; // more of them than a test takes
  Excuses excuses;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--per-kind" && i + 1 < argc) {
      request.perKind = static_cast<unsigned>(std::atoi(argv[++i]));
    } else if (word == "--every" && i + 1 < argc) {
      request.every = static_cast<unsigned>(std::max(std::atoi(argv[++i]), 1));
    } else if (word == "--only" && i + 1 < argc) {
      request.only = argv[++i];
    } else if (word == "--harmless" && i + 1 < argc) {
      if (const std::string wrong = excuses.read(argv[++i]); !wrong.empty())
        return fail(wrong);
    } else if (word[0] == '+') {
      request.more.push_back(word.substr(1));
    } else {
      (std::isdigit(static_cast<unsigned char>(word[0])) ? request.problems : request.packs).push_back(word);
    }
  }
  if (request.packs.empty())
    return fail(
        "expected PACK... [--per-kind N] [--every N] [--only TEXT] [--harmless FILE] [PROBLEM...] [+PROBLEM...]");
  if (request.problems.empty()) {
    request.problems.assign(std::begin(allProblems), std::end(allProblems));
    if (deep)
      request.problems.insert(request.problems.end(), std::begin(deepProblems), std::end(deepProblems));
  }
  request.problems.insert(request.problems.end(), request.more.begin(), request.more.end());
  registerEmulatedDevices();
  Counts counts;
  for (const std::string &pack : request.packs)
    if (const std::string wrong = plant(pack, request, excuses, counts); !wrong.empty())
      return fail(wrong);
  const std::vector<std::string> stale = excuses.findStale();
  for (const std::string &line : stale)
    std::printf("this excuse is for nothing: %s\n", line.c_str());
  return report(counts) == 0 && stale.empty() ? 0 : 1;
}

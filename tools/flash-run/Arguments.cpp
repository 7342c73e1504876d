#include "Arguments.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace flashc {
namespace {

/// An option with a number: where it goes and what is legal.
struct NumberOption {
  const char *name;
  int64_t least;
  int64_t *value;
  bool isSize;
};

bool parseNumber(const char *text, int64_t &value) {
  char *end;
  errno = 0;
  value = std::strtoll(text, &end, 10);
  return end != text && *end == '\0' && errno == 0;
}

Error wrong(const std::string &message) { return {FLASHC_ERROR_INVALID, message}; }
} // namespace

const char *getUsage() {
  return "flash-run PACK [options]: run a kernel that flash-compile wrote\n"
         "\n"
         "  --info              what the kernel says of itself (default)\n"
         "  --verify            compare with the float64 reference\n"
         "  --bench             time it\n"
         "  --tune              find the fastest tiles for the sizes below and keep them in the tuning store; instead "
         "of a\n"
         "                      pack, options of flash-compile may follow --\n"
         "  --budget S          seconds that --tune takes, 20 by default\n"
         "  --tune --list       what the tuning store holds\n"
         "  --tune --export FILE, --tune --import FILE\n"
         "                      carry tuned tiles to another machine or user\n"
         "  --devices           what there is to run on, and why there is nothing else\n"
         "  --device NAME       run on this device; by default on the one that suits the pack best\n"
         "  --batch N --heads N --kv-heads N --queries N --keys N\n"
         "                      the sizes to run; --verify without them goes through a list of its own\n"
         "  --threads N         workers, 0 = the default number\n"
         "  --seconds X         how long --bench measures\n"
         "  --seed N            of the random operands\n";
}

Result<Arguments> parseArguments(int argc, char **argv) {
  Arguments arguments;
  int64_t threads = 0, seed = 1;
  const NumberOption numbers[] = {
      {"--batch", 0, &arguments.sizes.batch, true},
      {"--heads", 0, &arguments.sizes.heads, true},
      {"--kv-heads", 1, &arguments.sizes.kvHeads, true},
      {"--queries", 0, &arguments.sizes.queries, true},
      {"--keys", 0, &arguments.sizes.keys, true},
      {"--threads", 0, &threads, false},
      {"--seed", 0, &seed, false},
  };
  bool keysGiven = false, kvHeadsGiven = false;
  for (int i = 1; i < argc; ++i) {
    std::string option = argv[i];
    std::string value;
    bool hasValue = false;
    if (size_t equals = option.find('='); equals != std::string::npos && option.rfind("--", 0) == 0) {
      value = option.substr(equals + 1);
      option.resize(equals);
      hasValue = true;
    }
    auto take = [&]() -> bool {
      if (!hasValue && i + 1 < argc) {
        value = argv[++i];
        hasValue = true;
      }
      return hasValue;
    };
    bool *flag = option == "--info"      ? &arguments.info
                 : option == "--verify"  ? &arguments.verify
                 : option == "--bench"   ? &arguments.bench
                 : option == "--tune"    ? &arguments.tune
                 : option == "--list"    ? &arguments.list
                 : option == "--help"    ? &arguments.help
                 : option == "--devices" ? &arguments.devices
                                         : nullptr;
    if (flag) {
      *flag = true;
      continue;
    }
    if (option == "--" && !hasValue) {
      arguments.compileOptions.assign(argv + i + 1, argv + argc);
      break;
    }
    if (option == "--seconds" || option == "--budget") {
      double &seconds = option == "--seconds" ? arguments.seconds : arguments.budget;
      char *end = nullptr;
      if (!take() || (seconds = std::strtod(value.c_str(), &end), *end != '\0') || !(seconds > 0) || seconds > 1e6)
        return wrong(option + ": expected a number above 0, found '" + value + "'");
      continue;
    }
    if (option == "--device") {
      if (!take() || value.empty())
        return wrong(option + ": expected the name of a device, as --devices lists them, found none");
      arguments.device = value;
      continue;
    }
    if (option == "--import" || option == "--export") {
      if (!take() || value.empty())
        return wrong(option + ": expected a file, found none");
      (option == "--import" ? arguments.importPath : arguments.exportPath) = value;
      continue;
    }
    bool known = false;
    for (const NumberOption &number : numbers) {
      if (option != number.name)
        continue;
      known = true;
      if (!take() || !parseNumber(value.c_str(), *number.value) || *number.value < number.least)
        return wrong(option + ": expected a whole number of at least " + std::to_string(number.least) + ", found '" +
                     value + "'");
      arguments.sizesGiven |= number.isSize;
      keysGiven |= option == "--keys";
      kvHeadsGiven |= option == "--kv-heads";
    }
    if (known)
      continue;
    if (option.rfind("-", 0) == 0)
      return wrong("unknown option '" + option + "'; see --help");
    if (!arguments.pack.empty())
      return wrong("expected one pack, found '" + arguments.pack + "' and '" + option + "'");
    arguments.pack = option;
  }
  if (threads > 1024)
    return wrong("--threads: expected at most 1024, found " + std::to_string(threads));
  arguments.threads = static_cast<int32_t>(threads);
  arguments.seed = static_cast<uint64_t>(seed);
  if (!keysGiven)
    arguments.sizes.keys = arguments.sizes.queries;
  if (!kvHeadsGiven)
    arguments.sizes.kvHeads = arguments.sizes.heads;
  const bool ofStore = arguments.list || !arguments.importPath.empty() || !arguments.exportPath.empty();
  if (ofStore && !arguments.tune)
    return wrong("--list, --import and --export: expected --tune before them, found none");
  if (ofStore && !arguments.pack.empty())
    return wrong("--list, --import and --export are about the tuning store: expected no pack, found '" +
                 arguments.pack + "'");
  if (!arguments.compileOptions.empty() && (!arguments.tune || ofStore || !arguments.pack.empty()))
    return wrong("--: expected options of flash-compile behind --tune, without a pack");
  if (arguments.tune && !ofStore &&
      (std::min({arguments.sizes.batch, arguments.sizes.heads, arguments.sizes.queries, arguments.sizes.keys}) < 1))
    return wrong("--tune: expected sizes of at least 1, found " + arguments.sizes.describe());
  if (arguments.pack.empty() && arguments.compileOptions.empty() && !ofStore && !arguments.help && !arguments.devices)
    return wrong("expected the folder of a pack, found none; see --help");
  return arguments;
}
} // namespace flashc

/// The command line of flash-run.
#ifndef FLASHC_TOOLS_FLASHRUN_ARGUMENTS_H
#define FLASHC_TOOLS_FLASHRUN_ARGUMENTS_H

#include "runtime/Error.h"
#include "runtime/KernelProblem.h"

#include <cstdint>
#include <string>
#include <vector>

namespace flashc {

struct Arguments {
  std::string pack;
  bool help = false, info = false, verify = false, bench = false, tune = false, list = false, devices = false;
  /// The device to run on, "cuda:1"; "" for the one that suits the pack best.
  std::string device;
  /// Files of tuned tiles; "" for none.
  std::string importPath, exportPath;
  /// What follows `--`: options of flash-compile that stand for a pack.
  std::vector<std::string> compileOptions;
  /// Sizes were given: --verify checks these alone instead of its own list.
  bool sizesGiven = false;
  ProblemSizes sizes;
  int32_t threads = 0;
  double seconds = 0.5;
  /// Seconds that --tune takes.
  double budget = 20;
  uint64_t seed = 1;
};

/// Parses the command line; the error says what was expected and found.
Result<Arguments> parseArguments(int argc, char **argv);

/// What --help prints.
const char *getUsage();

} // namespace flashc

#endif // FLASHC_TOOLS_FLASHRUN_ARGUMENTS_H

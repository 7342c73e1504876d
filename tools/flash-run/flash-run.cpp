/// flash-run: a pack, run by the runtime alone.
#include "Commands.h"

#include "runtime/Fallbacks.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace flashc;

static int fail(const Error &error) {
  std::fprintf(stderr, "flash-run: error: %s (%s)\n", error.message.c_str(), flashc_status_string(error.status));
  return 1;
}

/// What ran slower than it could have, beside what was asked for.
static void printFallbacks() {
  for (const std::string &text : fallbacks())
    std::fprintf(stderr, "flash-run: note: %s\n", text.c_str());
}

static void printInfo(const LoadedPack &pack) { std::printf("%s\n", pack.metadata.c_str()); }

int main(int argc, char **argv) {
  if (argc == 3 && std::strcmp(argv[1], workerOption) == 0)
    return runWorker(std::atoi(argv[2]));
  Result<Arguments> arguments = parseArguments(argc, argv);
  if (!arguments)
    return fail(arguments.error());
  if (arguments->help) {
    std::fputs(getUsage(), stdout);
    return 0;
  }
  if (arguments->threads && flashc_set_num_threads(arguments->threads) != FLASHC_OK)
    return fail({FLASHC_ERROR_INVALID, flashc_last_error()});
  if (arguments->tune) {
    const bool moves = !arguments->importPath.empty() || !arguments->exportPath.empty();
    std::optional<Error> error = moves ? moveTuned(*arguments) : std::nullopt;
    if (!error && arguments->list)
      error = listTuned();
    if (!error && !moves && !arguments->list)
      error = tune(*arguments);
    return error ? fail(*error) : 0;
  }
  if (arguments->devices) {
    listDevices();
    return 0;
  }
  Result<LoadedPack> pack = loadPackOnDevice(*arguments);
  if (!pack)
    return fail(pack.error());
  if (arguments->info || (!arguments->verify && !arguments->bench))
    printInfo(*pack);
  if (arguments->verify) {
    Result<bool> good = verify(*pack, *arguments);
    if (!good)
      return fail(good.error());
    if (!*good)
      return fail({FLASHC_ERROR_INVALID, "expected results within the tolerance, found larger errors"});
  }
  if (arguments->bench)
    if (std::optional<Error> error = bench(*pack, *arguments))
      return fail(*error);
  printFallbacks();
  return 0;
}

/// What flash-run does with a loaded pack.
#ifndef FLASHC_TOOLS_FLASHRUN_COMMANDS_H
#define FLASHC_TOOLS_FLASHRUN_COMMANDS_H

#include "Arguments.h"

#include "runtime/Pack.h"

namespace flashc {

/// Compares the kernel with the reference and prints where, and a line for each problem. An error is a problem that
/// could not be run; false is a result outside the tolerance.
Result<bool> verify(const LoadedPack &pack, const Arguments &arguments);

/// Times one problem and prints the median, the rate and the statistic.
std::optional<Error> bench(const LoadedPack &pack, const Arguments &arguments);

/// Loads the pack on the device that was asked for, else on the one that suits it best.
Result<LoadedPack> loadPackOnDevice(const Arguments &arguments);

/// Prints every device, and why there is none of each other kind.
void listDevices();

/// Finds the fastest tiles for the given sizes, prints what became of the candidates, and keeps the winner.
std::optional<Error> tune(const Arguments &arguments);

/// Prints what the tuning store holds.
std::optional<Error> listTuned();

/// --import, then --export.
std::optional<Error> moveTuned(const Arguments &arguments);

/// What the tuner starts this program with, and the number of a socket behind it.
constexpr const char *workerOption = "--tuning-worker";
int runWorker(int socket);

} // namespace flashc

#endif // FLASHC_TOOLS_FLASHRUN_COMMANDS_H

/// Running another program with a time limit.
#ifndef FLASHC_TOOLS_FLASHRUN_SUBPROCESS_H
#define FLASHC_TOOLS_FLASHRUN_SUBPROCESS_H

#include "runtime/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace flashc {

/// Runs a program, found on the PATH where its name has no slash, and waits for it; after `seconds` it is killed. What
/// it writes to its standard error is in the error when it fails.
std::optional<Error> runProgram(const std::vector<std::string> &command, double seconds);

} // namespace flashc

#endif // FLASHC_TOOLS_FLASHRUN_SUBPROCESS_H

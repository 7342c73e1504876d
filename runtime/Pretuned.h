//===- Pretuned.h - tiles that come with the package ---------------------------===//
#ifndef FLASHC_RUNTIME_PRETUNED_H
#define FLASHC_RUNTIME_PRETUNED_H

#include "runtime/TunedKernel.h"

#include <optional>
#include <string>

namespace flashc {

/// The entry of pretuned.json for a device like `device`. An entry belongs to a class of devices, which is told by what
/// they can do and not by their names, and holds for every build of the compiler; the compiler checks the tiles as it
/// checks a caller's.
std::optional<FoundTiles> findPretuned(const DeviceInfo &device, const TuningKey &key);

/// The same in the text of a file; a damaged one holds nothing.
std::optional<FoundTiles> findPretuned(const std::string &text, const DeviceInfo &device, const TuningKey &key);

/// Where the file is: FLASHC_PRETUNED, else beside the library or program that this code is in, else in its
/// ../share/flashc; "" where there is none.
std::string pretunedPath();

} // namespace flashc

#endif // FLASHC_RUNTIME_PRETUNED_H

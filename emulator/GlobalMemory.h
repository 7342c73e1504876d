//===- GlobalMemory.h - what a launch may touch --------------------------------===//
#ifndef FLASHC_EMULATOR_GLOBALMEMORY_H
#define FLASHC_EMULATOR_GLOBALMEMORY_H

#include "emulator/GlobalShadow.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace flashc::emulator {

/// A range of host memory that a kernel may access.
struct MemoryRegion {
  uint64_t begin = 0;
  uint64_t bytes = 0;
  bool writable = true;
  std::string name; ///< for reports: "q", "workspace"
};

/// The global memory of one launch.
class GlobalMemory {
public:
  GlobalMemory() = default;
  /// With `permissive`, what lies in no region is allowed too.
  GlobalMemory(std::vector<MemoryRegion> regions, bool permissive)
      : regions(std::move(regions)), permissive(permissive) {}

  /// The number of a region that holds all of an access, or -1; one that may be written where there are several.
  int find(uint64_t address, uint64_t bytes) const {
    int found = -1;
    for (unsigned i = 0, end = static_cast<unsigned>(regions.size()); i != end; ++i)
      if (holds(regions[i], address, bytes) && (found < 0 || regions[i].writable))
        found = static_cast<int>(i);
    return found;
  }
  /// Whether region `i` is there, holds all of an access and allows it.
  bool holds(unsigned i, uint64_t address, uint64_t bytes, bool write) const {
    return i < regions.size() && holds(regions[i], address, bytes) && (!write || regions[i].writable);
  }
  const MemoryRegion &operator[](unsigned i) const { return regions[i]; }
  bool isPermissive() const { return permissive; }
  void add(MemoryRegion region) { regions.push_back(std::move(region)); }

  /// From now on accesses of what may be written are noted; for the launch that begins.
  void track() {
    shadows.resize(regions.size());
    for (size_t i = 0; i != regions.size(); ++i)
      if (regions[i].writable && regions[i].bytes)
        shadows[i] = std::make_shared<GlobalShadow>(regions[i].bytes);
  }
  /// The shadow of region `i`, or null.
  GlobalShadow *shadow(unsigned i) const {
    return i < shadows.size() && shadows[i] && shadows[i]->valid() ? shadows[i].get() : nullptr;
  }

  /// "8 bytes past the end of k (4096 bytes at 0x...)", for a report about an address that no region holds.
  std::string describe(uint64_t address, uint64_t bytes) const;

private:
  static bool holds(const MemoryRegion &region, uint64_t address, uint64_t bytes) {
    const uint64_t offset = address - region.begin;
    return offset <= region.bytes && bytes <= region.bytes - offset;
  }
  std::vector<MemoryRegion> regions;
  std::vector<std::shared_ptr<GlobalShadow>> shadows; ///< of each region
  bool permissive = false;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_GLOBALMEMORY_H

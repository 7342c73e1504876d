//===- Chip.h - what the emulator knows of a GPU -------------------------------===//
#ifndef FLASHC_EMULATOR_CHIP_H
#define FLASHC_EMULATOR_CHIP_H

#include <cstdint>
#include <string_view>
#include <vector>

namespace flashc::emulator {

enum class Vendor : uint8_t { Nvidia, Amd };

/// A GPU, as the code of one block sees it.
struct Chip {
  std::string_view name; ///< "sm_80", "gfx942"
  Vendor vendor = Vendor::Nvidia;
  unsigned subgroupSize = 32;    ///< lanes of a warp or wave
  unsigned maxThreads = 1024;    ///< of a block
  uint64_t sharedBytes = 0;      ///< most shared memory of a block, static and dynamic
  unsigned maxClusterBlocks = 1; ///< most blocks of a cluster, without asking for more than is portable
  int version = 0;               ///< 80, 90; 0x90a, 0x942, 0x1100 on AMD
};

/// The chip of that name, or null.
const Chip *findChip(std::string_view name);

/// All chips, in the order in which devices are listed.
const std::vector<Chip> &chips();

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_CHIP_H

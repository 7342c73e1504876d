//===- GpuCapabilities.cpp - what code for a GPU may use ------------------------===//

#include "runtime/GpuCapabilities.h"

using namespace flashc;

namespace {
/// Code for sm_80 runs on everything newer, of which some have 99 KiB; only code for an `a` chip stays on that chip.
constexpr int64_t sharedOfAny = 99 << 10, sharedOfHopper = 227 << 10;

constexpr GpuCapabilities nvidia(int64_t sharedBytes, MatrixUnit unit, bool tma) {
  GpuCapabilities gpu;
  gpu.sharedBytes = sharedBytes;
  gpu.matrixUnit = unit;
  gpu.asyncCopy = true;
  gpu.tma = tma;
  return gpu;
}

constexpr GpuCapabilities amd(unsigned subgroupSize, MatrixUnit unit, unsigned wavesPerSimd) {
  GpuCapabilities gpu;
  gpu.subgroupSize = subgroupSize;
  gpu.sharedBytes = 64 << 10;
  gpu.matrixUnit = unit;
  // Half of a SIMD of CDNA's, and all that an instruction of RDNA's can name.
  gpu.registers = 256;
  // ROCm's drivers set SH_MEM_CONFIG.alignment_mode, which LLVM takes for granted on amdhsa.
  gpu.unalignedAccess = true;
  gpu.wavesPerSimd = wavesPerSimd;
  return gpu;
}

struct Chip {
  std::string_view name;
  GpuCapabilities gpu;
};
constexpr GpuCapabilities ampere = nvidia(sharedOfAny, MatrixUnit::Mma, /*tma=*/false);
constexpr Chip chips[] = {
    {"sm_80", ampere},
    {"sm_86", ampere},
    {"sm_87", ampere},
    {"sm_89", ampere},
    {"sm_90", ampere},
    {"sm_90a", nvidia(sharedOfHopper, MatrixUnit::Wgmma, /*tma=*/true)},
    {"gfx90a", amd(64, MatrixUnit::Mfma, /*wavesPerSimd=*/2)},
    {"gfx942", amd(64, MatrixUnit::Mfma, /*wavesPerSimd=*/2)},
    {"gfx1100", amd(32, MatrixUnit::Wmma, /*wavesPerSimd=*/0)},
};
} // namespace

const GpuCapabilities *flashc::findGpuCapabilities(std::string_view chip) {
  for (const Chip &each : chips)
    if (each.name == chip)
      return &each.gpu;
  return nullptr;
}

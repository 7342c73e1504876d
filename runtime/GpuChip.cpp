//===- GpuChip.cpp - what a GPU's units do in a clock --------------------------===//

#include "runtime/GpuChip.h"

#include <algorithm>

using namespace flashc;

namespace {
constexpr const char *guide80 = "CUDA C++ Programming Guide, throughput of native arithmetic instructions, 8.0";
constexpr const char *guide90 = "CUDA C++ Programming Guide, throughput of native arithmetic instructions, 9.0";
constexpr const char *a100Paper = "NVIDIA A100 Tensor Core GPU Architecture, table 4 (GA100, SXM4)";
constexpr const char *h100Paper = "NVIDIA H100 Tensor Core GPU Architecture, table 2 (GH100, SXM5)";
constexpr const char *cdna2Paper = "AMD CDNA 2 Architecture, table 1 (MI250X, one of its two dies)";
constexpr const char *cdna3Paper = "AMD CDNA 3 Architecture, table 1 (MI300X)";
constexpr const char *cdna2Isa = "AMD Instinct MI200 Instruction Set Architecture: 16 lanes a SIMD, 4 SIMDs";
constexpr const char *cdna3Isa = "AMD Instinct MI300 Instruction Set Architecture: 16 lanes a SIMD, 4 SIMDs";
constexpr const char *rdna3Isa = "RDNA3 Instruction Set Architecture: 32 lanes a SIMD, 2 SIMDs a compute unit";
constexpr const char *rdna3Specs = "AMD Radeon RX 7900 XTX, product specifications";
constexpr const char *quarterRate = "a quarter of the vector unit's lanes: AMD's ISA documents, transcendentals";
constexpr const char *rocmSpecs = "ROCm documentation, GPU hardware specifications";
constexpr const char *banks = "32 banks of 4 bytes: CUDA C++ Programming Guide, shared memory";
constexpr const char *ldsBanks = "32 banks of 4 bytes: AMD's ISA documents, LDS";
constexpr const char *cudaResidency = "CUDA C++ Programming Guide, technical specifications per compute capability";

GpuChip makeA100() {
  GpuChip chip;
  chip.name = "sm_80";
  chip.product = "A100 SXM 80 GB";
  chip.units = {108, a100Paper};
  chip.clockGhz = {1.41, a100Paper};
  chip.memoryGbps = {2039, "NVIDIA A100 80GB data sheet"};
  chip.matrixFlops = {2048, a100Paper}; // 256 multiply-adds of each of four tensor cores
  chip.mmaShare = {1, "mma.sync is this chip's only one"};
  chip.fmaLanes = {64, guide80};
  chip.packedFma = {1, guide80};
  chip.fma64Lanes = {32, guide80};
  chip.aluLanes = {64, guide80};
  chip.specialLanes = {16, guide80};
  chip.convertLanes = {64, guide80};
  chip.sharedBytes = {128, banks};
  chip.l2Bytes = {5120.0 / 108, "NVIDIA A100 Tensor Core GPU Architecture: 5,120 bytes a clock from L2, of all"};
  chip.registers = 16384; // 64K of a multiprocessor
  chip.mostRegisters = 255;
  chip.subgroupsAtATime = 16;
  chip.blocksAtATime = 32;
  chip.sharedAtATime = 164 << 10;
  chip.sharedPerBlock = 163 << 10;
  chip.sharedReserved = 1 << 10;
  chip.residency = cudaResidency;
  return chip;
}

GpuChip makeH100() {
  GpuChip chip = makeA100();
  chip.name = "sm_90a";
  chip.product = "H100 SXM";
  chip.units = {132, h100Paper};
  chip.clockGhz = {1.83, "the clock at which H100's 989.4 TFLOP/s are 4,096 operations of 132 multiprocessors"};
  chip.memoryGbps = {3350, "NVIDIA H100 data sheet"};
  chip.matrixFlops = {4096, h100Paper}; // 512 multiply-adds of each of four tensor cores
  chip.mmaShare = {0.62, "Luo et al., Benchmarking and Dissecting the Nvidia Hopper GPU Architecture "
                         "(arXiv 2402.13499): mma.sync beside wgmma"};
  chip.fmaLanes = {128, guide90};
  chip.packedFma = {1, guide90};
  chip.fma64Lanes = {64, guide90};
  for (Sourced *lanes : {&chip.aluLanes, &chip.specialLanes, &chip.convertLanes})
    lanes->source = guide90;
  chip.l2Bytes = {5120.0 / 132, "as A100's, of all: NVIDIA states no other number"};
  chip.sharedAtATime = 228 << 10;
  chip.sharedPerBlock = 227 << 10;
  return chip;
}

/// The same where products are in tf32.
GpuChip withTf32(GpuChip chip, const char *source) {
  chip.matrixFlops = {chip.matrixFlops * GpuChip::tf32Share, source};
  return chip;
}

/// 4 SIMDs of 16 lanes, waves of 64.
GpuChip makeCdna() {
  GpuChip chip;
  chip.subgroupSize = 64;
  chip.oneVectorUnit = true;
  chip.specialLanes = {16, quarterRate};
  chip.sharedBytes = {128, ldsBanks};
  chip.registers = 512 * 64; // of VGPRs and AGPRs together
  chip.mostRegisters = 512;
  chip.subgroupsAtATime = 8;
  chip.blocksAtATime = 32;
  chip.sharedAtATime = chip.sharedPerBlock = 64 << 10;
  chip.residency = "LLVM's AMDGPU subtarget: 512 registers a lane, 8 waves a SIMD; 64 KiB of LDS";
  return chip;
}

GpuChip makeMi250x() {
  GpuChip chip = makeCdna();
  chip.name = "gfx90a";
  chip.product = "MI250X, one die";
  chip.units = {110, cdna2Paper};
  chip.clockGhz = {1.7, cdna2Paper};
  chip.memoryGbps = {1638, cdna2Paper};
  chip.matrixFlops = {1024, cdna2Paper};
  chip.mmaShare = {1, cdna2Paper};
  chip.fmaLanes = chip.fma64Lanes = chip.aluLanes = chip.convertLanes = {64, cdna2Isa};
  chip.packedFma = {2, "AMD Instinct MI200 Instruction Set Architecture: v_pk_fma_f32"};
  chip.l2Bytes = {4096.0 / 110, "AMD CDNA 2 Architecture: 128 bytes of each of 32 channels of L2 a clock, of all"};
  return chip;
}

GpuChip makeMi300x() {
  GpuChip chip = makeCdna();
  chip.name = "gfx942";
  chip.product = "MI300X";
  chip.units = {304, cdna3Paper};
  chip.clockGhz = {2.1, cdna3Paper};
  chip.memoryGbps = {5300, cdna3Paper};
  chip.matrixFlops = {2048, cdna3Paper};
  chip.mmaShare = {1, cdna3Paper};
  chip.fmaLanes = chip.fma64Lanes = chip.aluLanes = chip.convertLanes = {64, cdna3Isa};
  chip.packedFma = {2, "AMD Instinct MI300 Instruction Set Architecture: v_pk_fma_f32"};
  chip.l2Bytes = {2048.0 / 38, "AMD CDNA 3 Architecture: 2 KiB a clock from the L2 of a die with 38 compute units"};
  return chip;
}

GpuChip makeRx7900() {
  GpuChip chip;
  chip.name = "gfx1100";
  chip.product = "RX 7900 XTX";
  chip.schedulers = 2;
  chip.oneVectorUnit = true;
  chip.units = {96, rdna3Specs};
  chip.clockGhz = {2.5, rdna3Specs};
  chip.memoryGbps = {960, rdna3Specs};
  chip.matrixFlops = {512, "RX 7900 XTX: 122.8 TFLOP/s of 96 compute units at 2.5 GHz"};
  chip.mmaShare = {1, rdna3Specs};
  chip.fmaLanes = {128, "RX 7900 XTX: 61.4 TFLOP/s of float32, two instructions issued together (VOPD)"};
  chip.packedFma = {1, rdna3Isa};
  chip.aluLanes = chip.convertLanes = {64, rdna3Isa};
  chip.fma64Lanes = {4, "RX 7900 XTX: 1.92 TFLOP/s of float64"};
  chip.specialLanes = {16, quarterRate};
  chip.sharedBytes = {128, ldsBanks};
  chip.l2Bytes = {64, "RDNA whitepaper: a line of 128 bytes in two clocks to each vector cache"};
  chip.registers = 1536 * 32;
  chip.registerGranule = 24;
  chip.mostRegisters = 256;
  chip.subgroupsAtATime = 16;
  chip.blocksAtATime = 32;
  chip.sharedAtATime = chip.sharedPerBlock = 64 << 10;
  chip.residency = rocmSpecs;
  return chip;
}
} // namespace

double GpuChip::peakFlops(bool matrixUnit, bool wide) const {
  return matrixUnit ? matrixFlops : 2 * (wide ? fma64Lanes : fmaLanes * packedFma);
}

const GpuChip *flashc::findGpuChip(std::string_view name, bool tf32) {
  static const GpuChip chips[] = {makeA100(), makeH100(), makeMi250x(), makeMi300x(), makeRx7900()};
  static const GpuChip tf32Chips[] = {withTf32(makeA100(), a100Paper), withTf32(makeH100(), h100Paper)};
  if (name == "sm_90")
    name = "sm_90a";
  if (tf32) {
    for (const GpuChip &chip : tf32Chips)
      if (name == chip.name)
        return &chip;
    return nullptr;
  }
  for (const GpuChip &chip : chips)
    if (name == chip.name)
      return &chip;
  return nullptr;
}

const GpuChip *flashc::gpuChipOfTarget(std::string_view target) {
  const size_t colon = target.find(':');
  return colon == std::string_view::npos ? nullptr : findGpuChip(target.substr(colon + 1));
}

GpuOccupancy flashc::gpuOccupancy(const GpuChip &chip, int64_t threads, int64_t registers, int64_t sharedBytes) {
  GpuOccupancy found;
  const int64_t subgroups = std::max<int64_t>(1, (threads + chip.subgroupSize - 1) / chip.subgroupSize);
  auto limit = [&](int64_t blocks, const char *by) {
    if (found.limitedBy.empty() || blocks < found.blocks) {
      found.blocks = blocks;
      found.limitedBy = by;
    }
  };
  limit(chip.blocksAtATime, "blocks");
  limit(chip.subgroupsAtATime * chip.schedulers / subgroups, "threads");
  limit(chip.sharedAtATime / std::max<int64_t>(1, sharedBytes + chip.sharedReserved), "shared memory");
  if (registers > chip.mostRegisters) {
    limit(0, "registers");
  } else if (registers > 0) {
    const int64_t given = (registers + chip.registerGranule - 1) / chip.registerGranule * chip.registerGranule;
    // Subgroups are dealt out to the schedulers in turn.
    const int64_t perScheduler = std::min(chip.subgroupsAtATime, chip.registers / (given * chip.subgroupSize));
    limit(perScheduler * chip.schedulers / subgroups, "registers");
  }
  found.subgroups = found.blocks * subgroups;
  return found;
}

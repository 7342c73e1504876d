//===- GpuChip.h - what a GPU's units do in a clock ----------------------------===//
//
// Free of LLVM and of the rest of the runtime: the compiler's report and the tuner's cost model share it.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_GPUCHIP_H
#define FLASHC_RUNTIME_GPUCHIP_H

#include <cstdint>
#include <string>
#include <string_view>

namespace flashc {

/// A number with the document that it is from. 0 = not known, or no limit.
struct Sourced {
  double value = 0;
  const char *source = "";
  operator double() const { return value; }
};

/// A chip by what one multiprocessor or compute unit of it does in one clock, and how many of them a device has.
struct GpuChip {
  const char *name = "";    ///< LLVM's: "sm_90a", "gfx942"
  const char *product = ""; ///< the device that numbers of a whole device are of
  int32_t subgroupSize = 32;
  /// Parts of a multiprocessor that issue one instruction of a subgroup a clock and own a share of its units.
  int32_t schedulers = 4;
  /// Whether additions, comparisons, conversions and exponentials take turns on one vector unit (AMD's SIMDs), or have
  /// units of their own.
  bool oneVectorUnit = false;

  Sourced units;       ///< multiprocessors of a device
  Sourced clockGhz;    ///< the highest that the peak is quoted for
  Sourced memoryGbps;  ///< device memory
  Sourced matrixFlops; ///< 16-bit products into float32, or, where it is asked for, products in tf32
  /// Of 16-bit products' rate: that of products in tf32, where there are any.
  static constexpr double tf32Share = 0.5;
  Sourced mmaShare;   ///< the share of it that mma.sync reaches, where another instruction reaches all
  Sourced fmaLanes;   ///< instructions on float32
  Sourced packedFma;  ///< multiply-adds of float32 that one instruction does for a lane, of neighbours in a vector
  Sourced fma64Lanes; ///< float64 ones
  Sourced aluLanes;   ///< 32-bit integers, comparisons, minima
  Sourced specialLanes;
  Sourced convertLanes;
  Sourced sharedBytes; ///< bytes that shared memory delivers
  Sourced l2Bytes;     ///< bytes that come from the second-level cache

  // What stays on a multiprocessor at a time.
  int64_t registers = 0;        ///< 32-bit registers of a lane times lanes, of one scheduler's part
  int64_t registerGranule = 8;  ///< registers of a thread are given out in these steps
  int64_t mostRegisters = 255;  ///< of one thread
  int64_t subgroupsAtATime = 0; ///< of one scheduler's part
  int64_t blocksAtATime = 0;
  int64_t sharedAtATime = 0;  ///< bytes of all blocks
  int64_t sharedPerBlock = 0; ///< the most of one block
  int64_t sharedReserved = 0; ///< bytes that each block costs beyond its own
  const char *residency = ""; ///< where these are from

  /// Peak of the products of a kernel in operations a clock of one multiprocessor.
  double peakFlops(bool matrixUnit, bool wide) const;
};

/// The chip that code for `name` is modelled on: "sm_80", "sm_90" and "sm_90a", "gfx90a", "gfx942", "gfx1100"; null for
/// one whose rates are not known. With `tf32` its matrix unit's rate is that of products in tf32.
const GpuChip *findGpuChip(std::string_view name, bool tf32 = false);

/// The same for a target: "nvptx:sm_90a", "emulated:gfx942".
const GpuChip *gpuChipOfTarget(std::string_view target);

/// How many blocks stay on a multiprocessor at a time.
struct GpuOccupancy {
  int64_t blocks = 0;    ///< 0 = not even one
  int64_t subgroups = 0; ///< of all of them
  std::string limitedBy; ///< "registers", "shared memory", "threads", "blocks"
};

/// Of blocks of `threads` threads with `registers` registers each (0 = not known, no limit) and `sharedBytes` bytes.
GpuOccupancy gpuOccupancy(const GpuChip &chip, int64_t threads, int64_t registers, int64_t sharedBytes);

} // namespace flashc

#endif // FLASHC_RUNTIME_GPUCHIP_H

//===- GpuCapabilities.h - what code for a GPU may use --------------------------===//
//
// Plain numbers, free of MLIR and LLVM: the compiler's targets and passes and the tuner's cost model share them.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_GPUCAPABILITIES_H
#define FLASHC_RUNTIME_GPUCAPABILITIES_H

#include <cstdint>
#include <string_view>

namespace flashc {

/// How products of 16-bit elements into float32 are done. Names are those of passes' option `matrix-unit`.
enum class MatrixUnit {
  None,  ///< fused multiply-adds on single elements
  Mma,   ///< NVIDIA's mma.sync m16n8k16, a warp's fragments, ldmatrix
  Wgmma, ///< NVIDIA's wgmma.mma_async, four warps' fragments, operands in shared memory
  Mfma,  ///< AMD's MFMA of 64 lanes: 32x32x8, for tiles of few rows 16x16x16
  Wmma,  ///< AMD's WMMA 16x16x16 of 32 lanes
};

/// One multiprocessor or compute unit, as code for it sees it.
struct GpuCapabilities {
  /// Threads that execute together: a warp or a wave.
  unsigned subgroupSize = 32;
  /// Shared memory that a block may use on every device of the target.
  int64_t sharedBytes = 99 << 10;
  MatrixUnit matrixUnit = MatrixUnit::None;
  /// Registers of 32 bits that a thread has where the target's code is allocated by LLVM's code generator, which then
  /// has to be kept from reading too far ahead; 0 where an assembler does that.
  int64_t registers = 0;
  /// Copies from global to shared memory that a thread starts and later waits for (cp.async).
  bool asyncCopy = false;
  /// Copies of whole boxes by a unit of its own (TMA).
  bool tma = false;
  /// Whether an access to several neighbours in global memory may begin at any of them.
  bool unalignedAccess = false;
  /// Waves that share a SIMD and what it has of registers, so that each hides what the other waits for; 0 = as many as
  /// there is room for.
  unsigned wavesPerSimd = 0;
};

/// Those of code for a chip by LLVM's name, "sm_90a"; null for one that no code is made for.
const GpuCapabilities *findGpuCapabilities(std::string_view chip);

} // namespace flashc

#endif // FLASHC_RUNTIME_GPUCAPABILITIES_H

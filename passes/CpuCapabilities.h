/// What the lowering passes may know of a CPU: plain numbers, free of LLVM and of any CPU's name.
#ifndef FLASHC_PASSES_CPUCAPABILITIES_H
#define FLASHC_PASSES_CPUCAPABILITIES_H

#include <cstdint>

namespace flashc {

/// The vector unit and the caches of one core. The defaults are the least an x86-64 or AArch64 CPU has.
struct CpuCapabilities {
  /// Bytes of a native vector register: 16, 32 or 64.
  unsigned vectorBytes = 16;
  /// How many of them the instruction set names: 16 or 32.
  unsigned vectorRegisters = 16;
  /// Fused multiply-add on native vectors.
  bool fma = false;
  /// Scaling by a power of two and rounding in one instruction each (AVX-512's vscalef, vrndscale).
  bool scalef = false;
  /// Masked loads and stores that cost nothing extra (AVX-512).
  bool maskedMemory = false;
  /// Conversion between float32 and float16 on vectors.
  bool f16Convert = false;
  /// The dot product of bfloat16 pairs into float32 (AVX512-BF16's vdpbf16ps, NEON's bfdot).
  bool bf16Dot = false;
  /// Arithmetic on float16 vectors.
  bool f16Arithmetic = false;
  /// Tile products of bfloat16 (AMX).
  bool amxBf16 = false;
  /// The LLVM intrinsic that a thread calls while it waits for another one; "" where there is none.
  const char *pause = "";
  /// Cache sizes in bytes; the last level is this core's share when that is known.
  int64_t l1Bytes = 32 << 10;
  int64_t l2Bytes = 256 << 10;
  int64_t l3Bytes = 1 << 20;
};

} // namespace flashc

#endif // FLASHC_PASSES_CPUCAPABILITIES_H

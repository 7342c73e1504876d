/// What wgmma.mma_async computes, as a function of descriptors, shared memory and registers.
///
/// PTX ISA 9.0, section 9.7.15.5 "Asynchronous wgmma.mma_async": register fragments (9.7.15.5.1.1), canonical layouts
/// of matrices in shared memory (9.7.15.5.1.2.1.3), matrix descriptors (9.7.15.5.1.2.2).
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_WGMMA_H
#define FLASHC_EMULATOR_INSTRUCTIONS_WGMMA_H

#include "emulator/TensorMap.h"

#include <cstdint>

namespace flashc::emulator {

/// A matrix of 64 or N rows and one step of depth in shared memory.
struct WgmmaDescriptor {
  uint32_t start;         ///< byte address, the 18 bits that the descriptor has
  uint32_t leadingOffset; ///< bytes
  uint32_t strideOffset;  ///< bytes
  uint32_t baseOffset;
  unsigned swizzleBytes; ///< 0, 32, 64, 128

  static WgmmaDescriptor decode(uint64_t bits) {
    static constexpr unsigned swizzles[] = {0, 128, 64, 32};
    auto field = [&](unsigned low) { return uint32_t(bits >> low & 0x3fff) << 4; };
    return {field(0), field(16), field(32), uint32_t(bits >> 49 & 7), swizzles[bits >> 62]};
  }

  /// Where element (outer, k) lies: outer is A's row or B's column. `elementBytes` is 2 or 4; `depthMajor` is what no
  /// transposition means. The address before the swizzle is a sum of strides; the swizzle then works on the whole
  /// address, counted from where its pattern begins.
  uint32_t address(unsigned outer, unsigned k, unsigned elementBytes, bool depthMajor) const {
    const unsigned chunk = 16 / elementBytes; // T in the manual
    const unsigned row = swizzleBytes ? swizzleBytes : 16;
    uint32_t offset;
    if (depthMajor) {
      // ((8,m),(T,2k)) : ((row,SBO),(1,T)); without swizzle the second 16 bytes of the depth are LBO away.
      const uint32_t chunkStride = swizzleBytes ? 16 : leadingOffset;
      offset = outer % 8 * row + outer / 8 * strideOffset + k % chunk * elementBytes + k / chunk * chunkStride;
    } else {
      // ((T,row/16,m),(8,k)) : ((1,T,LBO),(row,SBO)); without swizzle LBO and SBO change roles.
      const unsigned outerRow = row / elementBytes;
      const uint32_t outerStride = swizzleBytes ? leadingOffset : strideOffset;
      const uint32_t depthStride = swizzleBytes ? strideOffset : leadingOffset;
      offset = outer % outerRow * elementBytes + outer / outerRow * outerStride + k % 8 * row + k / 8 * depthStride;
    }
    const uint32_t address = start + offset;
    const uint32_t phase = ((address >> 7) - baseOffset) & (swizzleBytes ? swizzleBytes / 16 - 1 : 0);
    return address ^ (phase << 4);
  }
};

/// Where element `i` of a thread's registers lies in D (f32, 64 x N): figure "WGMMA .m64nNk16 register fragment layout
/// for accumulator matrix D".
struct WgmmaPlace {
  unsigned row, column;
};
inline WgmmaPlace wgmmaAccumulator(unsigned thread, unsigned i) {
  return {thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8, i / 4 * 8 + thread % 4 * 2 + i % 2};
}
/// The same for A (16-bit elements, 64 x 16) in registers.
inline WgmmaPlace wgmmaOperandA(unsigned thread, unsigned i) {
  return {thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8, i / 4 * 8 + thread % 4 * 2 + i % 2};
}

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_WGMMA_H

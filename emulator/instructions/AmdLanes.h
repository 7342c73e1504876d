/// AMD's operations across the lanes of a wave, and its odd scalar ones, as functions of the lanes' values.
///
/// After "AMD Instinct MI300 Instruction Set Architecture" (DPP: section "Data Parallel Processing"; DS_PERMUTE_B32,
/// DS_BPERMUTE_B32, DS_SWIZZLE_B32: "Data Share Instructions") and "RDNA3 Instruction Set Architecture" (V_PERMLANE16,
/// V_PERMLANEX16; DPP16 differs: no wave shifts, no row broadcasts of lanes 15 and 31, but row_share and row_xmask).
/// Every value is 32 bits wide. Lanes without a value do not take part (their EXEC bit is 0). A non-empty string is
/// what is wrong with the operation.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_AMDLANES_H
#define FLASHC_EMULATOR_INSTRUCTIONS_AMDLANES_H

#include "emulator/instructions/LaneValues.h"

#include <string>

namespace flashc::emulator {

struct DppControl {
  uint32_t control; ///< dpp_ctrl, 9 bits
  uint32_t rowMask, bankMask;
  bool boundControl; ///< invalid source lanes read as zero instead of leaving `old`
};

/// d = source moved between lanes, or `old` where the masks or an invalid source say so. `gfx9` chips are CDNA's.
std::string runDpp(const DppControl &dpp, bool gfx9, const LaneValues &old, const LaneValues &source,
                   const LaneValues &d);

/// d[i] = source[address[i] / 4]; zero from a lane that does not take part.
void runDsBpermute(const LaneValues &address, const LaneValues &source, const LaneValues &d);
/// d[address[i] / 4] = source[i]; of several the highest lane wins, lanes nobody writes get zero.
void runDsPermute(const LaneValues &address, const LaneValues &source, const LaneValues &d);
/// The quad and the bit-mask mode of DS_SWIZZLE_B32.
std::string runDsSwizzle(uint32_t pattern, const LaneValues &source, const LaneValues &d);
/// V_PERMLANE16_B32, and with `across` V_PERMLANEX16_B32, which reads the other row of 16 lanes. The two selectors hold
/// four bits a lane of a row and are the same in every lane.
std::string runPermlane16(bool across, bool fetchInactive, bool boundControl, const LaneValues &old,
                          const LaneValues &source, const LaneValues &selectLow, const LaneValues &selectHigh,
                          const LaneValues &d);

/// V_PERM_B32: each byte of `selector` picks one of the eight bytes of {high, low}, or a sign, or a constant.
uint32_t permuteBytes(uint32_t high, uint32_t low, uint32_t selector);
/// V_MED3_F32: the middle one; the smallest if one is NaN.
float medianOfThree(float a, float b, float c);
/// V_MBCNT: how many bits of `mask` belong to lanes below `lane`, of the lower or the upper 32 lanes.
uint32_t countMaskedBelow(uint32_t mask, unsigned lane, bool upper);

/// A buffer resource: what V# says of a raw buffer (stride 0).
struct BufferResource {
  uint64_t base;
  uint32_t records; ///< bytes
  uint32_t flags;
  uint16_t stride;
};
/// The bytes of an access of `bytes` at `offset` + `scalarOffset` that lie inside, as a mask of its dwords (or of one
/// unit if it is narrower): each is checked for itself. Section "Buffer Addressing", range checking of raw buffers.
uint32_t dwordsInBounds(const BufferResource &resource, uint32_t offset, uint32_t scalarOffset, unsigned bytes);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_AMDLANES_H

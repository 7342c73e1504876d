/// The narrow floating-point types of matrix units, as bits.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_NARROWFLOATS_H
#define FLASHC_EMULATOR_INSTRUCTIONS_NARROWFLOATS_H

#include <cmath>
#include <cstdint>
#include <cstring>

namespace flashc::emulator {

inline float floatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline uint32_t bitsOfFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float floatOfBf16(uint16_t bits) { return floatOfBits(uint32_t(bits) << 16); }

inline float floatOfF16(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent == 31)
    return floatOfBits(sign | 0x7f800000 | fraction << 13);
  float magnitude = exponent ? floatOfBits((exponent + 112) << 23 | fraction << 13) : std::ldexp(float(fraction), -24);
  return sign ? -magnitude : magnitude;
}

/// tf32 and xf32 read the upper 19 bits of a float.
inline float floatOfTf32(uint32_t bits) { return floatOfBits(bits & 0xffffe000); }

/// The f16 next to `value` towards zero; beyond the largest it is the largest, NaN stays NaN.
uint16_t f16TowardsZero(float value);
/// The nearest f16, ties to even.
uint16_t f16Nearest(float value);
/// The nearest bf16, ties to even.
uint16_t bf16Nearest(float value);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_NARROWFLOATS_H

#include "emulator/instructions/NarrowFloats.h"

namespace flashc::emulator {

/// Rounds |value| to f16: `remainder` is what was cut off, in units of the last place, to decide on rounding up.
static uint16_t toF16(float value, bool nearest) {
  uint32_t bits = bitsOfFloat(value), sign = bits >> 16 & 0x8000;
  if (std::isnan(value))
    return uint16_t(sign | 0x7e00);
  if (std::isinf(value))
    return uint16_t(sign | 0x7c00);
  float magnitude = std::fabs(value);
  int exponent = magnitude > 0 ? std::ilogb(magnitude) : -100;
  int unit = (exponent < -14 ? -14 : exponent) - 10; // log2 of a unit in the last place
  float scaled = std::ldexp(magnitude, -unit);       // exact: a power of two, far from the ends of float
  float whole = nearest ? std::nearbyint(scaled) : std::floor(scaled);
  // A carry out of the fraction lands in the exponent, as it should.
  uint32_t code = uint32_t(whole);
  if (exponent >= -14)
    code += uint32_t(exponent + 14) << 10;
  if (code > 0x7bff)
    code = nearest ? 0x7c00 : 0x7bff;
  return uint16_t(sign | code);
}

uint16_t f16TowardsZero(float value) { return toF16(value, /*nearest=*/false); }
uint16_t f16Nearest(float value) { return toF16(value, /*nearest=*/true); }

uint16_t bf16Nearest(float value) {
  uint32_t bits = bitsOfFloat(value);
  if (std::isnan(value))
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

} // namespace flashc::emulator

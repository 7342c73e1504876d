//===- LowPrecision.h - rounding to the element types --------------------------===//
//
// For operands, and for the standard computation that results are judged by.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_LOWPRECISION_H
#define FLASHC_RUNTIME_LOWPRECISION_H

#include "runtime/include/flashc/runtime.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace flashc {

/// The nearest value with `bits` bits of significand and exponents down to `least`; ties to even. Overflow is left out:
/// attention's values are far from it.
inline double roundTo(double value, int bits, int least) {
  if (value == 0 || !std::isfinite(value))
    return value;
  int exponent = std::max(std::ilogb(value), least);
  double unit = std::ldexp(1.0, exponent - bits + 1);
  return std::nearbyint(value / unit) * unit;
}

inline double roundToDType(double value, int32_t dtype) {
  switch (dtype) {
  case FLASHC_F32:
    return static_cast<float>(value);
  case FLASHC_F16:
    return roundTo(value, 11, -14);
  case FLASHC_BF16:
    return roundTo(value, 8, -126);
  default:
    return value;
  }
}

/// The nearest tf32, a float32 with 11 bits of significand; ties away from zero, as matrix units' operands are rounded.
inline float roundToTf32(double value) {
  if (value == 0 || !std::isfinite(value))
    return static_cast<float>(value);
  const double unit = std::ldexp(1.0, std::max(std::ilogb(value), -126) - 10);
  return static_cast<float>(std::round(value / unit) * unit);
}

/// Writes one element; the value is rounded. Of floats infinities and NaN stay what they are.
inline void writeElement(void *address, int32_t dtype, double value) {
  auto put = [&](auto element) { std::memcpy(address, &element, sizeof(element)); };
  switch (dtype) {
  case FLASHC_F64:
    return put(value);
  case FLASHC_F32:
    return put(static_cast<float>(value));
  case FLASHC_BF16: {
    float rounded = static_cast<float>(roundToDType(value, dtype));
    uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof(bits));
    return put(static_cast<uint16_t>(bits >> 16));
  }
  case FLASHC_F16: {
    double rounded = roundToDType(value, dtype);
    uint16_t sign = std::signbit(rounded) ? 0x8000 : 0;
    double magnitude = std::fabs(rounded);
    uint16_t bits = 0;
    if (!(magnitude < std::ldexp(1.0, 16))) {
      bits = std::isnan(magnitude) ? 0x7e00 : 0x7c00;
    } else if (magnitude >= std::ldexp(1.0, -14)) {
      int exponent = std::ilogb(magnitude);
      bits = static_cast<uint16_t>(((exponent + 15) << 10) |
                                   (static_cast<int>(std::ldexp(magnitude, 10 - exponent)) & 0x3ff));
    } else {
      bits = static_cast<uint16_t>(std::ldexp(magnitude, 24));
    }
    return put(static_cast<uint16_t>(sign | bits));
  }
  case FLASHC_I64:
    return put(static_cast<int64_t>(value));
  case FLASHC_I32:
    return put(static_cast<int32_t>(value));
  default:
    return put(static_cast<int8_t>(value));
  }
}

} // namespace flashc

#endif // FLASHC_RUNTIME_LOWPRECISION_H

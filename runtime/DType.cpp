//===- DType.cpp - element types ---------------------------------------------===//

#include "runtime/DType.h"

#include <cmath>
#include <cstring>

using namespace flashc;

namespace {
struct DTypeRow {
  const char *name;
  size_t size;
};
// In the order of flashc_dtype.
constexpr DTypeRow table[] = {{"f64", 8}, {"f32", 4}, {"f16", 2}, {"bf16", 2},
                              {"i64", 8}, {"i32", 4}, {"i8", 1},  {"bool", 1}};
constexpr int32_t numDTypes = sizeof(table) / sizeof(table[0]);

template <typename T> T load(const void *address) {
  T value;
  std::memcpy(&value, address, sizeof(T));
  return value;
}

double halfToDouble(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const double sign = (bits & 0x8000) ? -1.0 : 1.0;
  if (exponent == 31)
    return fraction ? std::nan("") : sign * HUGE_VAL;
  if (exponent == 0)
    return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

double bfloatToDouble(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  return load<float>(&wide);
}
} // namespace

std::optional<flashc_dtype> flashc::parseDType(std::string_view name) {
  for (int32_t i = 0; i < numDTypes; ++i)
    if (name == table[i].name)
      return static_cast<flashc_dtype>(i);
  return std::nullopt;
}

double flashc::readAsDouble(const void *address, int32_t dtype) {
  switch (dtype) {
  case FLASHC_F64:
    return load<double>(address);
  case FLASHC_F32:
    return load<float>(address);
  case FLASHC_F16:
    return halfToDouble(load<uint16_t>(address));
  case FLASHC_BF16:
    return bfloatToDouble(load<uint16_t>(address));
  default:
    return static_cast<double>(readAsInteger(address, dtype));
  }
}

int64_t flashc::readAsInteger(const void *address, int32_t dtype) {
  switch (dtype) {
  case FLASHC_I64:
    return load<int64_t>(address);
  case FLASHC_I32:
    return load<int32_t>(address);
  case FLASHC_I8:
    return load<int8_t>(address);
  case FLASHC_BOOL:
    return load<uint8_t>(address) != 0;
  default:
    return 0;
  }
}

const char *flashc_dtype_name(int32_t dtype) { return dtype >= 0 && dtype < numDTypes ? table[dtype].name : "?"; }

size_t flashc_dtype_size(int32_t dtype) { return dtype >= 0 && dtype < numDTypes ? table[dtype].size : 0; }

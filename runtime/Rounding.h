//===- Rounding.h - whole units of a size -------------------------------------===//
#ifndef FLASHC_RUNTIME_ROUNDING_H
#define FLASHC_RUNTIME_ROUNDING_H

#include <cstdint>

namespace flashc {

/// How many units of `unit` hold `size`, which is not negative; `unit` is at least 1.
constexpr int64_t divideUp(int64_t size, int64_t unit) { return (size + unit - 1) / unit; }

/// The smallest multiple of `unit` that is at least `size`, which is not negative.
constexpr int64_t roundUp(int64_t size, int64_t unit) { return divideUp(size, unit) * unit; }

} // namespace flashc

#endif // FLASHC_RUNTIME_ROUNDING_H

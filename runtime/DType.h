//===- DType.h - element types and their conversion to double ---------------===//
#ifndef FLASHC_RUNTIME_DTYPE_H
#define FLASHC_RUNTIME_DTYPE_H

#include "runtime/include/flashc/runtime.h"

#include <optional>
#include <string_view>

namespace flashc {

/// The element type that a name of kernel.json stands for: "f64 f32 f16 bf16 i64 i32 i8 bool".
std::optional<flashc_dtype> parseDType(std::string_view name);

/// The value of the element at `address`, exactly, whatever its alignment. 0 for a value that is no element type.
double readAsDouble(const void *address, int32_t dtype);

/// The same for integers and booleans, without going through double.
int64_t readAsInteger(const void *address, int32_t dtype);

} // namespace flashc

#endif // FLASHC_RUNTIME_DTYPE_H

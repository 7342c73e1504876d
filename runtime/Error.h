//===- Error.h - errors as values ------------------------------------------===//
//
// The runtime throws nothing across its interfaces: a failure is a status with a message that says expected and
// actual. The compiler, built without exceptions, uses the same types.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_ERROR_H
#define FLASHC_RUNTIME_ERROR_H

#include "runtime/include/flashc/runtime.h"

#include <string>
#include <utility>
#include <variant>

namespace flashc {

/// Why something failed. `status` is never FLASHC_OK.
struct Error {
  flashc_status status;
  std::string message;
};

/// A value, or the reason why there is none. Test it before taking either.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : storage(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : storage(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return storage.index() == 0; }
  T &operator*() { return *std::get_if<0>(&storage); }
  const T &operator*() const { return *std::get_if<0>(&storage); }
  T *operator->() { return std::get_if<0>(&storage); }
  const T *operator->() const { return std::get_if<0>(&storage); }
  const Error &error() const { return *std::get_if<1>(&storage); }

private:
  std::variant<T, Error> storage;
};

/// Keeps a message for flashc_last_error() of the calling thread, cut at 1,023 bytes, and returns the status.
/// Allocates nothing.
flashc_status setLastError(flashc_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
flashc_status setLastError(const Error &error);

} // namespace flashc

#endif // FLASHC_RUNTIME_ERROR_H

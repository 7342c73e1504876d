//===- SharedLibrary.h - code loaded from checked bytes ------------------------===//
#ifndef FLASHC_RUNTIME_SHAREDLIBRARY_H
#define FLASHC_RUNTIME_SHAREDLIBRARY_H

#include "runtime/Error.h"
#include "runtime/File.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace flashc {

/// "x86_64" or "aarch64": the machine this library runs on, as kernel.json names it.
const char *hostArchitecture();

/// A shared library in this process, loaded from memory: the bytes that were checked are the bytes that run, and a file
/// that changes later changes nothing.
class SharedLibrary {
public:
  /// Loads the bytes of a shared library. FLASHC_ERROR_FORMAT when they are no ELF library, FLASHC_ERROR_TARGET when
  /// they are one of another machine, FLASHC_ERROR_IO when the system refuses to load it. `name` is for messages.
  static Result<std::unique_ptr<SharedLibrary>> load(std::string_view bytes, const std::string &name);

  ~SharedLibrary();
  SharedLibrary(const SharedLibrary &) = delete;
  SharedLibrary &operator=(const SharedLibrary &) = delete;

  /// The address of an exported symbol, or null.
  void *symbol(const std::string &symbolName) const;

private:
  SharedLibrary(void *handle, FileDescriptor file) : handle(handle), file(std::move(file)) {}

  void *handle;
  // Open as long as the library: the loader knows it by "/proc/self/fd/N", which must not come to mean another one.
  FileDescriptor file;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_SHAREDLIBRARY_H

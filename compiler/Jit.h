/// Running a kernel in the process that compiled it, or that found it in a cache.
#ifndef FLASHC_COMPILER_JIT_H
#define FLASHC_COMPILER_JIT_H

#include "runtime/include/flashc/runtime.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>

namespace flashc {

/// A kernel's object, linked into this process. The functions live as long as the value does. Loading and destroying
/// may happen on any thread; the functions may be called from any thread.
class JitKernel {
public:
  /// Links the object of the kernel `name`, which came from compile() or from a cache of its results.
  static llvm::Expected<std::unique_ptr<JitKernel>> load(llvm::StringRef name, llvm::StringRef object);
  ~JitKernel();

  const flashc_kernel &get() const { return kernel; }
  flashc_query_fn getQuery() const { return query; }

private:
  JitKernel() = default;

  struct Library;
  std::unique_ptr<Library> library;
  flashc_kernel kernel{};
  flashc_query_fn query = nullptr;
};

} // namespace flashc

#endif // FLASHC_COMPILER_JIT_H

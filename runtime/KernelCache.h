//===- KernelCache.h - compiled kernels on disk --------------------------------===//
#ifndef FLASHC_RUNTIME_KERNELCACHE_H
#define FLASHC_RUNTIME_KERNELCACHE_H

#include "runtime/CacheFolder.h"

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace flashc {

/// A map from a string that says everything about a kernel (IR, options, compiler build) to its bytes, shared by the
/// processes of one user.
///
/// On disk an entry is one file in a directory of mode 0700 that belongs to the user and is not a symbolic link. It is
/// written to an unpredictable name beside and renamed, so readers see all of it or nothing, and a writer that is
/// killed leaves the old state. Its content carries the hash of its key and of its bytes: a damaged or foreign entry is
/// a miss and is removed. Where the directory cannot be used (read-only, full, no HOME, owned by someone else), entries
/// live in memory, and lastProblem() says why. Nothing here fails a compilation. May be used from several threads.
class KernelCache {
public:
  struct Options {
    std::string directory;                 ///< "" = CacheFolder::defaultPath()
    uint64_t maxBytes = uint64_t(1) << 30; ///< the least recently used entries beyond this are removed
  };

  struct Statistics {
    uint64_t hits = 0;
    uint64_t misses = 0;
    uint64_t stored = 0;
    uint64_t evicted = 0;
    uint64_t damaged = 0;
  };

  explicit KernelCache(Options options);
  KernelCache() : KernelCache(Options()) {}

  /// The process-wide cache in the default directory, never destroyed.
  static KernelCache &process();

  /// The bytes stored for `key`, or nothing.
  std::optional<std::string> lookup(std::string_view key);

  /// Keeps `bytes` for `key`, replacing what was there. True when they are on disk, false when in memory.
  bool store(std::string_view key, std::string_view bytes);

  /// Forgets one entry, on disk and in memory.
  void remove(std::string_view key);

  /// Why the last operation did not use the disk, or what it found damaged; "" when all was well.
  std::string lastProblem() const;

  /// Where entries are on disk; "" when there is no usable directory.
  std::string directory();

  Statistics statistics() const;

private:
  bool openFolder();
  std::optional<std::string> readEntry(const std::string &name, std::string_view key);
  void dropDamaged(const std::string &name, const std::string &why);
  void evict();
  void keepInMemory(const std::string &name, std::string_view bytes);
  void forgetInMemory(const std::string &name);

  const Options options;
  mutable std::mutex mutex;
  CacheFolder folder;
  std::string problem;
  Statistics counts;

  // What could not be written; bounded by maxBytes, the oldest first out.
  std::unordered_map<std::string, std::string> memory;
  std::vector<std::string> memoryOrder;
  uint64_t memoryBytes = 0;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_KERNELCACHE_H

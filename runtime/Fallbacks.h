//===- Fallbacks.h - what runs slower than it could, and why ------------------===//
//
// A kernel that does without something says so instead of being slow in silence: flashc_devices() lists it, flash-run
// and scripts/check_gpu.py print it, and Python warns of it.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_FALLBACKS_H
#define FLASHC_RUNTIME_FALLBACKS_H

#include <atomic>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

namespace flashc {

/// The fall-backs that one device, or the process, has taken. Thread-safe.
class FallbackLog {
public:
  /// Keeps `text` unless one was kept under `key` before, or the log is full: a program that runs for months says each
  /// thing once.
  void note(const std::string &key, const std::string &text);
  std::vector<std::string> texts() const;
  size_t count() const { return counted.load(std::memory_order_acquire); }

private:
  static constexpr size_t most = 64;
  mutable std::mutex mutex;
  std::unordered_set<std::string> keys;
  std::vector<std::string> kept;
  std::atomic<size_t> counted{0};
};

/// Those that belong to no device: of picking one, and of choosing tiles.
FallbackLog &processFallbacks();

/// All of this process, the devices' behind the others; each begins with the kernel that it is about.
std::vector<std::string> fallbacks();

} // namespace flashc

#endif // FLASHC_RUNTIME_FALLBACKS_H

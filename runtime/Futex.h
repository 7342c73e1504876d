//===- Futex.h - sleep until a word changes ----------------------------------===//
#ifndef FLASHC_RUNTIME_FUTEX_H
#define FLASHC_RUNTIME_FUTEX_H

#include <atomic>
#include <climits>
#include <cstdint>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <chrono>
#include <thread>
#endif

namespace flashc {

/// Sleeps while `word` holds `expected`. May return early; the caller checks again.
inline void futexWait(std::atomic<uint32_t> &word, uint32_t expected) {
#if defined(__linux__)
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "the kernel looks at the plain word");
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
#else
  if (word.load(std::memory_order_acquire) == expected)
    std::this_thread::sleep_for(std::chrono::microseconds(20));
#endif
}

/// Wakes at most `count` threads that sleep on `word`.
inline void futexWake(std::atomic<uint32_t> &word, int count) {
#if defined(__linux__)
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
#else
  (void)word;
  (void)count;
#endif
}

} // namespace flashc

#endif // FLASHC_RUNTIME_FUTEX_H

//===- FloatMode.h - subnormal numbers around generated code ----------------===//
#ifndef FLASHC_RUNTIME_FLOATMODE_H
#define FLASHC_RUNTIME_FLOATMODE_H

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace flashc {

/// How code treats subnormal numbers: as its caller does; flushed to zero, in operands and in results, as generated
/// code wants it (a subnormal operand costs a microcode assist of some hundred cycles); or kept.
enum class FloatMode { Inherit, FlushToZero, KeepSubnormals };

/// Sets the calling thread's mode and restores what it found.
class ScopedFloatMode {
public:
  explicit ScopedFloatMode(FloatMode mode) : saved(read()) {
    if (mode == FloatMode::FlushToZero)
      write(saved | flushBits);
    else if (mode == FloatMode::KeepSubnormals)
      write(saved & ~flushBits);
  }
  ~ScopedFloatMode() {
    if (read() != saved)
      write(saved);
  }
  ScopedFloatMode(const ScopedFloatMode &) = delete;
  ScopedFloatMode &operator=(const ScopedFloatMode &) = delete;

private:
#if defined(__x86_64__)
  using Register = uint32_t;
  static constexpr Register flushBits = 0x8040; // MXCSR: FTZ is bit 15, DAZ is bit 6
  static Register read() { return _mm_getcsr(); }
  static void write(Register value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
  using Register = uint64_t;
  static constexpr Register flushBits = 1u << 24; // FPCR.FZ
  static Register read() {
    Register value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(Register value) { asm volatile("msr fpcr, %0" ::"r"(value)); }
#else
  using Register = uint32_t;
  static constexpr Register flushBits = 0;
  static Register read() { return 0; }
  static void write(Register) {}
#endif
  const Register saved;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_FLOATMODE_H

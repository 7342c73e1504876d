/// The fake drivers of GPUs, as tests see them.
#ifndef FLASHC_TEST_RUNTIME_FAKEDRIVER_H
#define FLASHC_TEST_RUNTIME_FAKEDRIVER_H

#include "fake_gpu.h"

#include <cstdint>
#include <dlfcn.h>

namespace flashc::test {

/// The functions of a fake driver that tests steer it by.
struct Fake {
  explicit Fake(const char *path) : library(::dlopen(path, RTLD_NOW | RTLD_LOCAL)) {}
  template <typename F> F *symbol(const char *name) const { return reinterpret_cast<F *>(::dlsym(library, name)); }
  void reset() const { symbol<decltype(fake_reset)>("fake_reset")(); }
  void failAt(int64_t call, int code) const { symbol<decltype(fake_fail_at)>("fake_fail_at")(call, code); }
  void set(int devices, int chip, int64_t memory = 1 << 20) const {
    symbol<decltype(fake_set)>("fake_set")(devices, chip, memory);
  }
  void setCapturing(bool on) const { symbol<decltype(fake_set_capturing)>("fake_set_capturing")(on); }
  void setBusy(bool on) const { symbol<decltype(fake_set_busy)>("fake_set_busy")(on); }
  bool owns(const void *pointer) const { return symbol<decltype(fake_owns)>("fake_owns")(pointer); }
  fake_counts counts() const {
    fake_counts result;
    symbol<decltype(fake_get)>("fake_get")(&result);
    return result;
  }
  void *library;
};

} // namespace flashc::test

#endif // FLASHC_TEST_RUNTIME_FAKEDRIVER_H

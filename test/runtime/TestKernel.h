//===- TestKernel.h - a small kernel to call ----------------------------------===//
#ifndef FLASHC_TEST_RUNTIME_TESTKERNEL_H
#define FLASHC_TEST_RUNTIME_TESTKERNEL_H

#include "runtime/include/flashc/runtime.h"

#include <cstring>
#include <initializer_list>

namespace flashc::test {

inline flashc_operand_info operand(const char *name, flashc_dtype dtype, std::initializer_list<int64_t> sizes,
                                   uint32_t flags = 0) {
  flashc_operand_info info{};
  std::strncpy(info.name, name, sizeof(info.name) - 1);
  info.dtype = dtype;
  info.rank = static_cast<int32_t>(sizes.size());
  info.flags = flags;
  int d = 0;
  for (int64_t size : sizes)
    info.size[d++] = size;
  return info;
}

/// A row-major tensor.
inline flashc_tensor tensor(void *data, flashc_dtype dtype, std::initializer_list<int64_t> sizes) {
  flashc_tensor t{};
  t.data = data;
  t.dtype = dtype;
  t.rank = static_cast<int32_t>(sizes.size());
  int d = 0;
  for (int64_t size : sizes)
    t.size[d++] = size;
  int64_t stride = 1;
  for (d = t.rank - 1; d >= 0; --d) {
    t.stride[d] = stride;
    stride *= t.size[d];
  }
  return t;
}

/// The description of attention in float32 with head dims 64 and 32.
struct AttentionInfo {
  flashc_operand_info operands[4] = {
      operand("q", FLASHC_F32, {FLASHC_SIZE_BATCH, FLASHC_SIZE_Q_HEADS, FLASHC_SIZE_QUERIES, 64}),
      operand("k", FLASHC_F32, {FLASHC_SIZE_BATCH, FLASHC_SIZE_KV_HEADS, FLASHC_SIZE_KEYS, 64}),
      operand("v", FLASHC_F32, {FLASHC_SIZE_BATCH, FLASHC_SIZE_KV_HEADS, FLASHC_SIZE_KEYS, 32}),
      operand("out", FLASHC_F32, {FLASHC_SIZE_BATCH, FLASHC_SIZE_Q_HEADS, FLASHC_SIZE_QUERIES, 32},
              FLASHC_OPERAND_OUTPUT)};
  flashc_kernel_info info{FLASHC_ABI_VERSION, sizeof(flashc_kernel_info), "attention", "cpu", 4, 0, operands, "{}"};
};

} // namespace flashc::test

#endif // FLASHC_TEST_RUNTIME_TESTKERNEL_H

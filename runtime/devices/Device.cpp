//===- Device.cpp - devices whose memory is the host's ------------------------===//

#include "runtime/devices/Device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace flashc;

Result<int> Device::suitability(std::string_view target) const {
  const std::string family = describe().family;
  if (target.substr(0, target.find(':')) == family)
    return 0;
  return Error{FLASHC_ERROR_TARGET,
               "expected a kernel for a " + family + " target, got \"" + std::string(target) + "\""};
}

Result<void *> Device::allocate(size_t bytes) {
  constexpr size_t alignment = 256;
  void *memory = nullptr;
  if (posix_memalign(&memory, alignment, std::max(bytes, alignment)) != 0)
    return Error{FLASHC_ERROR_MEMORY,
                 describe().name + ": expected memory for " + std::to_string(bytes) + " bytes, got none"};
  return memory;
}

std::optional<Error> Device::free(void *memory) {
  std::free(memory);
  return std::nullopt;
}

std::optional<Error> Device::copyToDevice(void *to, const void *from, size_t bytes, void *) {
  if (bytes)
    std::memcpy(to, from, bytes);
  return std::nullopt;
}

std::optional<Error> Device::copyToHost(void *to, const void *from, size_t bytes, void *) {
  if (bytes)
    std::memcpy(to, from, bytes);
  return std::nullopt;
}

std::optional<Error> Device::zero(void *memory, size_t bytes, void *) {
  if (bytes)
    std::memset(memory, 0, bytes);
  return std::nullopt;
}

std::optional<Error> Device::synchronize(void *) { return std::nullopt; }

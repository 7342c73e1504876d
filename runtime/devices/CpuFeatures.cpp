//===- CpuFeatures.cpp - which instructions this machine runs -----------------===//

#include "runtime/devices/CpuFeatures.h"

#include <cstdint>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

using namespace flashc;

#if defined(__x86_64__)
namespace {
struct Leaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  Leaf(uint32_t number, uint32_t part) {
    if (!__get_cpuid_count(number, part, &eax, &ebx, &ecx, &edx))
      eax = ebx = ecx = edx = 0;
  }
};

bool bit(uint32_t value, int number) { return (value >> number) & 1; }

/// The register states that the system saves; only meaningful where OSXSAVE is set.
uint64_t savedStates() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t(high) << 32) | low;
}

/// Linux gives the large tile registers to those who ask.
bool askForTiles() {
#if defined(__linux__)
  constexpr long requestPermission = 0x1023, tileData = 18;
  return ::syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
#else
  return false;
#endif
}

CpuFeatures detect() {
  CpuFeatures features;
  const Leaf maker(0, 0), basic(1, 0), extended(7, 0), more(7, 1);
  char name[13] = {};
  std::memcpy(name, &maker.ebx, 4);
  std::memcpy(name + 4, &maker.edx, 4);
  std::memcpy(name + 8, &maker.ecx, 4);
  uint32_t family = (basic.eax >> 8) & 15, model = (basic.eax >> 4) & 15;
  if (family == 6 || family == 15)
    model |= ((basic.eax >> 16) & 15) << 4;
  if (family == 15)
    family += (basic.eax >> 20) & 255;
  features.model = std::string(name) + " " + std::to_string(family) + "/" + std::to_string(model);

  const uint64_t saved = bit(basic.ecx, 27) ? savedStates() : 0;
  const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6, tiles = (saved & 0x60000) == 0x60000;
  features.avx2 = ymm && bit(extended.ebx, 5) && bit(basic.ecx, 12);
  features.avx512 = features.avx2 && zmm && bit(extended.ebx, 16) && bit(extended.ebx, 17) && bit(extended.ebx, 30) &&
                    bit(extended.ebx, 31);
  features.avx512Bf16 = features.avx512 && bit(more.eax, 5);
  features.avx512Fp16 = features.avx512 && bit(extended.edx, 23);
  features.amxBf16 = tiles && bit(extended.edx, 22) && bit(extended.edx, 24) && askForTiles();
  return features;
}
} // namespace
#elif defined(__aarch64__)
static CpuFeatures detect() {
  CpuFeatures features;
  features.neon = true;
#if defined(__linux__)
  constexpr unsigned long asimdHalf = 1ul << 10, bf16 = 1ul << 14;
  features.neonFp16 = ::getauxval(AT_HWCAP) & asimdHalf;
  features.neonBf16 = ::getauxval(AT_HWCAP2) & bf16;
#endif
  return features;
}
#else
static CpuFeatures detect() { return {}; }
#endif

std::string CpuFeatures::names() const {
  std::string text;
  for (auto [name, has] : {std::pair<const char *, bool>{"avx2", avx2},
                           {"avx512", avx512},
                           {"avx512-bf16", avx512Bf16},
                           {"avx512-fp16", avx512Fp16},
                           {"amx-bf16", amxBf16},
                           {"neon", neon},
                           {"neon-fp16", neonFp16},
                           {"neon-bf16", neonBf16}})
    if (has)
      text += (text.empty() ? "" : " ") + std::string(name);
  return text;
}

const CpuFeatures &flashc::hostCpuFeatures() {
  static const CpuFeatures *features = new CpuFeatures(detect());
  return *features;
}

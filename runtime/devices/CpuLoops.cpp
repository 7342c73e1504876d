//===- CpuLoops.cpp - loops that run at the processor's limits ----------------===//

#include "runtime/devices/CpuLoops.h"

using namespace flashc;

#if defined(__x86_64__)

// Twelve accumulators hide six cycles of latency on two pipes. Only registers 0 to 15 are used: the compiler knows of
// no others in a build for plain x86-64.
#define FLASHC_TWELVE(op, reg)                                                                                         \
  op " %%" reg "14, %%" reg "15, %%" reg "0\n\t" op " %%" reg "14, %%" reg "15, %%" reg "1\n\t" op " %%" reg           \
     "14, %%" reg "15, %%" reg "2\n\t" op " %%" reg "14, %%" reg "15, %%" reg "3\n\t" op " %%" reg "14, %%" reg        \
     "15, %%" reg "4\n\t" op " %%" reg "14, %%" reg "15, %%" reg "5\n\t" op " %%" reg "14, %%" reg "15, %%" reg        \
     "6\n\t" op " %%" reg "14, %%" reg "15, %%" reg "7\n\t" op " %%" reg "14, %%" reg "15, %%" reg "8\n\t" op          \
     " %%" reg "14, %%" reg "15, %%" reg "9\n\t" op " %%" reg "14, %%" reg "15, %%" reg "10\n\t" op " %%" reg          \
     "14, %%" reg "15, %%" reg "11\n\t"
#define FLASHC_TWELVE_SSE(op, source)                                                                                  \
  op " %%xmm" source ", %%xmm0\n\t" op " %%xmm" source ", %%xmm1\n\t" op " %%xmm" source ", %%xmm2\n\t" op             \
     " %%xmm" source ", %%xmm3\n\t" op " %%xmm" source ", %%xmm4\n\t" op " %%xmm" source ", %%xmm5\n\t" op             \
     " %%xmm" source ", %%xmm6\n\t" op " %%xmm" source ", %%xmm7\n\t" op " %%xmm" source ", %%xmm8\n\t" op             \
     " %%xmm" source ", %%xmm9\n\t" op " %%xmm" source ", %%xmm10\n\t" op " %%xmm" source ", %%xmm11\n\t"
#define FLASHC_CLOBBERS                                                                                                \
  "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",    \
      "xmm12", "xmm13", "xmm14", "xmm15"
// All registers start at zero, which is a number that costs nothing in every format.
#define FLASHC_LOOP(name, body)                                                                                        \
  void name(int64_t iterations) {                                                                                      \
    __asm__ volatile("vzeroall\n"                                                                                      \
                     "1:\n\t" body "dec %0\n\t"                                                                        \
                     "jnz 1b\n\t"                                                                                      \
                     "vzeroupper"                                                                                      \
                     : "+r"(iterations)                                                                                \
                     :                                                                                                 \
                     : FLASHC_CLOBBERS);                                                                               \
  }

namespace {
FLASHC_LOOP(f32Avx512, FLASHC_TWELVE("vfmadd231ps", "zmm"))
FLASHC_LOOP(f64Avx512, FLASHC_TWELVE("vfmadd231pd", "zmm"))
FLASHC_LOOP(f32Avx2, FLASHC_TWELVE("vfmadd231ps", "ymm"))
FLASHC_LOOP(f64Avx2, FLASHC_TWELVE("vfmadd231pd", "ymm"))
FLASHC_LOOP(f16Avx512, FLASHC_TWELVE("vfmadd231ph", "zmm"))
FLASHC_LOOP(bf16Avx512, FLASHC_TWELVE("vdpbf16ps", "zmm"))

void f32Sse(int64_t iterations) {
  __asm__ volatile("xorps %%xmm14, %%xmm14\n\txorps %%xmm15, %%xmm15\n1:\n\t" FLASHC_TWELVE_SSE("mulps", "14")
                       FLASHC_TWELVE_SSE("addps", "15") "dec %0\n\tjnz 1b"
                   : "+r"(iterations)
                   :
                   : FLASHC_CLOBBERS);
}
void f64Sse(int64_t iterations) {
  __asm__ volatile("xorps %%xmm14, %%xmm14\n\txorps %%xmm15, %%xmm15\n1:\n\t" FLASHC_TWELVE_SSE("mulpd", "14")
                       FLASHC_TWELVE_SSE("addpd", "15") "dec %0\n\tjnz 1b"
                   : "+r"(iterations)
                   :
                   : FLASHC_CLOBBERS);
}

/// What ldtilecfg reads: eight tiles of 16 rows of 64 bytes.
struct TileConfiguration {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t rowBytes[16] = {};
  uint8_t rows[16] = {};
};

/// Four accumulators, two tiles of each side: 16 x 16 x 32 multiply-adds an instruction.
void bf16Amx(int64_t iterations) {
  TileConfiguration configuration;
  for (int tile = 0; tile < 8; ++tile) {
    configuration.rowBytes[tile] = 64;
    configuration.rows[tile] = 16;
  }
  __asm__ volatile("ldtilecfg %1\n\t"
                   "tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t"
                   "tilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7\n"
                   "1:\n\t"
                   "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
                   "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3\n\t"
                   "dec %0\n\tjnz 1b\n\t"
                   "tilerelease"
                   : "+r"(iterations)
                   : "m"(configuration)
                   : "cc", "memory");
}

#define FLASHC_READ_LOOP(name, move, reg, step)                                                                        \
  void name(const void *memory, int64_t bytes) {                                                                       \
    const char *at = static_cast<const char *>(memory), *end = at + bytes;                                             \
    __asm__ volatile("1:\n\t" move " (%0), %%" reg "0\n\t" move " 1*" step "(%0), %%" reg "1\n\t" move " 2*" step      \
                     "(%0), %%" reg "2\n\t" move " 3*" step "(%0), %%" reg "3\n\t" move " 4*" step "(%0), %%" reg      \
                     "4\n\t" move " 5*" step "(%0), %%" reg "5\n\t" move " 6*" step "(%0), %%" reg "6\n\t" move        \
                     " 7*" step "(%0), %%" reg "7\n\t"                                                                 \
                     "add $8*" step ", %0\n\tcmp %1, %0\n\tjb 1b"                                                      \
                     : "+r"(at)                                                                                        \
                     : "r"(end)                                                                                        \
                     : FLASHC_CLOBBERS);                                                                               \
  }
FLASHC_READ_LOOP(readAvx512, "vmovaps", "zmm", "64")
FLASHC_READ_LOOP(readAvx2, "vmovaps", "ymm", "32")
FLASHC_READ_LOOP(readSse, "movaps", "xmm", "16")

constexpr int accumulators = 12;
} // namespace

ArithmeticLoop flashc::f32Loop(const CpuFeatures &features) {
  return features.avx512 ? ArithmeticLoop{f32Avx512, accumulators * 32}
         : features.avx2 ? ArithmeticLoop{f32Avx2, accumulators * 16}
                         : ArithmeticLoop{f32Sse, accumulators * 8};
}

ArithmeticLoop flashc::f64Loop(const CpuFeatures &features) {
  return features.avx512 ? ArithmeticLoop{f64Avx512, accumulators * 16}
         : features.avx2 ? ArithmeticLoop{f64Avx2, accumulators * 8}
                         : ArithmeticLoop{f64Sse, accumulators * 4};
}

ArithmeticLoop flashc::f16Loop(const CpuFeatures &features) {
  return features.avx512Fp16 ? ArithmeticLoop{f16Avx512, accumulators * 64} : ArithmeticLoop{};
}

ArithmeticLoop flashc::bf16DotLoop(const CpuFeatures &features) {
  return features.avx512Bf16 ? ArithmeticLoop{bf16Avx512, accumulators * 64} : ArithmeticLoop{};
}

ArithmeticLoop flashc::amxBf16Loop(const CpuFeatures &features) {
  return features.amxBf16 ? ArithmeticLoop{bf16Amx, 4 * 2.0 * 16 * 16 * 32} : ArithmeticLoop{};
}

ReadLoop flashc::readLoop(const CpuFeatures &features) {
  return features.avx512 ? readAvx512 : features.avx2 ? readAvx2 : readSse;
}

bool flashc::dropFromCaches(const void *memory, int64_t bytes) {
  const char *lines = static_cast<const char *>(memory);
  for (int64_t i = 0; i < bytes; i += 64)
    __asm__ volatile("clflush %0" : : "m"(lines[i]) : "memory");
  __asm__ volatile("mfence" : : : "memory");
  return true;
}

#elif defined(__aarch64__)

#define FLASHC_SIXTEEN(op, shape, source)                                                                              \
  op " v0." shape ", " source "\n\t" op " v1." shape ", " source "\n\t" op " v2." shape ", " source "\n\t" op          \
     " v3." shape ", " source "\n\t" op " v4." shape ", " source "\n\t" op " v5." shape ", " source "\n\t" op          \
     " v6." shape ", " source "\n\t" op " v7." shape ", " source "\n\t" op " v16." shape ", " source "\n\t" op         \
     " v17." shape ", " source "\n\t" op " v18." shape ", " source "\n\t" op " v19." shape ", " source "\n\t" op       \
     " v20." shape ", " source "\n\t" op " v21." shape ", " source "\n\t" op " v22." shape ", " source "\n\t" op       \
     " v23." shape ", " source "\n\t"
#define FLASHC_CLOBBERS                                                                                                \
  "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22",     \
      "v23", "v24", "v25"
#define FLASHC_LOOP(name, extension, op, shape, source)                                                                \
  void name(int64_t iterations) {                                                                                      \
    __asm__ volatile(extension "movi v24.4s, #0\n\tmovi v25.4s, #0\n"                                                  \
                               "1:\n\t" FLASHC_SIXTEEN(op, shape, source) "subs %0, %0, #1\n\tb.ne 1b"                 \
                     : "+r"(iterations)                                                                                \
                     :                                                                                                 \
                     : FLASHC_CLOBBERS);                                                                               \
  }

namespace {
FLASHC_LOOP(f32Neon, "", "fmla", "4s", "v24.4s, v25.4s")
FLASHC_LOOP(f64Neon, "", "fmla", "2d", "v24.2d, v25.2d")
FLASHC_LOOP(f16Neon, ".arch_extension fp16\n\t", "fmla", "8h", "v24.8h, v25.8h")
FLASHC_LOOP(bf16Neon, ".arch_extension bf16\n\t", "bfdot", "4s", "v24.8h, v25.8h")

void readNeon(const void *memory, int64_t bytes) {
  const char *at = static_cast<const char *>(memory), *end = at + bytes;
  __asm__ volatile("1:\n\tldp q0, q1, [%0]\n\tldp q2, q3, [%0, #32]\n\tldp q4, q5, [%0, #64]\n\t"
                   "ldp q6, q7, [%0, #96]\n\tadd %0, %0, #128\n\tcmp %0, %1\n\tb.lo 1b"
                   : "+r"(at)
                   : "r"(end)
                   : FLASHC_CLOBBERS);
}

constexpr int accumulators = 16;
} // namespace

ArithmeticLoop flashc::f32Loop(const CpuFeatures &) { return {f32Neon, accumulators * 8}; }
ArithmeticLoop flashc::f64Loop(const CpuFeatures &) { return {f64Neon, accumulators * 4}; }
ArithmeticLoop flashc::f16Loop(const CpuFeatures &features) {
  return features.neonFp16 ? ArithmeticLoop{f16Neon, accumulators * 16} : ArithmeticLoop{};
}
ArithmeticLoop flashc::bf16DotLoop(const CpuFeatures &features) {
  return features.neonBf16 ? ArithmeticLoop{bf16Neon, accumulators * 16} : ArithmeticLoop{};
}
ArithmeticLoop flashc::amxBf16Loop(const CpuFeatures &) { return {}; }
ReadLoop flashc::readLoop(const CpuFeatures &) { return readNeon; }

bool flashc::dropFromCaches(const void *memory, int64_t bytes) {
  const char *lines = static_cast<const char *>(memory);
  for (int64_t i = 0; i < bytes; i += 64)
    __asm__ volatile("dc civac, %0" : : "r"(lines + i) : "memory");
  __asm__ volatile("dsb sy" : : : "memory");
  return true;
}

#else

// An architecture whose assembly is not known here: plain loops that its compiler makes the best of.
namespace {
template <typename T> void plainLoop(int64_t iterations) {
  volatile T sink = 0;
  T sums[16] = {};
  for (int64_t i = 0; i < iterations; ++i)
    for (T &sum : sums)
      sum = sum * T(0.5) + T(1);
  for (T sum : sums)
    sink = sum;
  (void)sink;
}
void readPlain(const void *memory, int64_t bytes) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < bytes / 8; ++i)
    sum += static_cast<const volatile uint64_t *>(memory)[i];
  (void)sum;
}
} // namespace

ArithmeticLoop flashc::f32Loop(const CpuFeatures &) { return {plainLoop<float>, 32}; }
ArithmeticLoop flashc::f64Loop(const CpuFeatures &) { return {plainLoop<double>, 32}; }
ArithmeticLoop flashc::f16Loop(const CpuFeatures &) { return {}; }
ArithmeticLoop flashc::bf16DotLoop(const CpuFeatures &) { return {}; }
ArithmeticLoop flashc::amxBf16Loop(const CpuFeatures &) { return {}; }
ReadLoop flashc::readLoop(const CpuFeatures &) { return readPlain; }
bool flashc::dropFromCaches(const void *, int64_t) { return false; }

#endif

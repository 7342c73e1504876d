// Measures what the machine can do: the limits that the bench's shares are of.
//
//   flashc-peak [threads] [--cpu-time]
//       prints one JSON object: {"isa", "threads", "clock", "f32_gflops", "f64_gflops", "vdpbf16ps_gflops",
//       "amx_bf16_gflops", "dram_gbs"}; what does not exist is left out
//   flashc-peak [threads] [--cpu-time] --read BYTES --flush BYTES
//       takes turns with others: prints {"patterns": [names]}, then answers each line "SECONDS warm|cold" of its input
//       by {"seconds": [a pass of the BYTES, pattern by pattern]} after about as many seconds
//
// Each thread keeps independent chains of multiply-adds in registers, so that neither latency nor memory counts; for
// the bandwidth they read a buffer far larger than the caches. A number is the best of several short rounds, since a
// limit is what the machine can do at its best. With --cpu-time the process's CPU time over the threads takes the wall
// clock's place: for machines on which others work.
#include "Reading.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr int kChains = 12;        // more than latency (4) times issue width (2), fewer than AVX2's 16 registers
constexpr long kSteps = 2'000'000; // about 10 ms a round
constexpr int kRounds = 15;
constexpr size_t kBuffer = size_t(512) << 20; // bytes that are read; far more than the caches hold

bool cpuTime = false;

double now() {
  if (cpuTime) {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Units of work a second, `units` being what one call of `body` on one thread does; the best of `rounds`.
double best(const std::function<double(int)> &body, double units, int threads, int rounds) {
  double most = 0;
  volatile double sink = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::thread> pool;
    std::vector<double> sums(threads);
    double start = now();
    for (int t = 1; t < threads; ++t)
      pool.emplace_back([&, t] { sums[t] = body(t); });
    sums[0] = body(0);
    for (std::thread &thread : pool)
      thread.join();
    double seconds = (now() - start) / (cpuTime ? threads : 1);
    for (double sum : sums)
      sink = sink + sum;
    most = std::max(most, units * threads / seconds);
  }
  return most * 1e-9;
}

template <typename T, int bytes> struct Native {
  typedef T type __attribute__((vector_size(bytes)));
};

// One body for every instruction set: the caller's target attribute decides what it becomes.
template <typename T, int bytes> __attribute__((always_inline)) inline double chains(long steps) {
  using V = typename Native<T, bytes>::type;
  V acc[kChains];
  V scale, shift;
  for (unsigned i = 0; i < bytes / sizeof(T); ++i) {
    scale[i] = T(0.9999);
    shift[i] = T(1e-4) * T(i);
  }
  for (int c = 0; c < kChains; ++c)
    acc[c] = shift * T(c);
  for (long s = 0; s < steps; ++s) {
#pragma clang loop unroll(full)
    for (int c = 0; c < kChains; ++c) {
#pragma clang fp contract(fast)
      acc[c] = acc[c] * scale + shift;
    }
  }
  double sum = 0;
  for (int c = 0; c < kChains; ++c)
    for (unsigned i = 0; i < bytes / sizeof(T); ++i)
      sum += acc[c][i];
  return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) double f32Avx512(long steps) { return chains<float, 64>(steps); }
__attribute__((target("avx512f"))) double f64Avx512(long steps) { return chains<double, 64>(steps); }
__attribute__((target("avx2,fma"))) double f32Avx2(long steps) { return chains<float, 32>(steps); }
__attribute__((target("avx2,fma"))) double f64Avx2(long steps) { return chains<double, 32>(steps); }

// Pairs of bf16, 32 products a register.
__attribute__((target("avx512f,avx512bf16"))) double bf16Pairs(long steps) {
  __m512 acc[kChains];
  __m512i ones = _mm512_set1_epi32(0x3f803f80), small = _mm512_set1_epi32(0x38003800);
  for (int c = 0; c < kChains; ++c)
    acc[c] = _mm512_set1_ps(float(c));
  for (long s = 0; s < steps; ++s) {
#pragma clang loop unroll(full)
    for (int c = 0; c < kChains; ++c)
      acc[c] = _mm512_dpbf16_ps(acc[c], (__m512bh)ones, (__m512bh)small);
  }
  __m512 sum = acc[0];
  for (int c = 1; c < kChains; ++c)
    sum = _mm512_add_ps(sum, acc[c]);
  return _mm512_reduce_add_ps(sum);
}
#endif
double f32Base(long steps) { return chains<float, 16>(steps); }
double f64Base(long steps) { return chains<double, 16>(steps); }

#if defined(__linux__) && defined(__x86_64__)
constexpr int kAmxTiles = 4; // accumulators; tiles 4 to 7 are operands
constexpr long kAmxSteps = 200'000;

__attribute__((target("amx-tile,amx-bf16"))) double amxPairs(long steps) {
  struct {
    unsigned char palette = 1, start = 0, reserved[14] = {};
    unsigned short columns[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    unsigned char rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  alignas(64) unsigned short operand[512];
  alignas(64) float out[256] = {};
  for (unsigned short &x : operand)
    x = 0x3800;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, operand, 64);
  _tile_loadd(5, operand, 64);
  for (long s = 0; s < steps; ++s) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(0, out, 64);
  _tile_release();
  return double(out[0]);
}

// Linux hands tiles to a process that asks for them.
bool askForTiles() {
  constexpr long requestPermission = 0x1023, tileData = 18;
  return __builtin_cpu_supports("amx-bf16") && syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
}
#endif

struct Isa {
  const char *name;
  double (*f32)(long);
  double (*f64)(long);
  int bytes;
};

Isa detect() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return {"avx512", f32Avx512, f64Avx512, 64};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {"avx2", f32Avx2, f64Avx2, 32};
  return {"sse2", f32Base, f64Base, 16};
#else
  return {"neon", f32Base, f64Base, 16};
#endif
}

// GFLOP/s of chains with `lanes` products a step.
double chainRate(double (*body)(long), int lanes, int threads) {
  return best([body](int) { return body(kSteps); }, 2.0 * lanes * kChains * double(kSteps), threads, kRounds);
}

// GB/s of the best pattern's best pass.
double bandwidth(int threads) {
  auto reader = bench::Reader::create(kBuffer, 0, threads, cpuTime);
  double least = 0;
  for (int round = 0; reader && round < kRounds; ++round)
    for (double seconds : reader->turn(/*budget=*/0, /*cold=*/false))
      least = least == 0 ? seconds : std::min(least, seconds);
  return least == 0 ? 0 : double(kBuffer) / least * 1e-9;
}

// Answers turns until the input ends.
int takeTurns(size_t bytes, size_t flushBytes, int threads) {
  auto reader = bench::Reader::create(bytes, flushBytes, threads, cpuTime);
  if (!reader) {
    std::printf("{\"error\": \"no memory for %zu bytes and %zu to flush the caches\"}\n", bytes, flushBytes);
    return 1;
  }
  const char *separator = "{\"patterns\": [";
  for (bench::ReadPattern pattern : bench::readPatterns()) {
    std::printf("%s\"%d stream%s a thread%s\"", separator, pattern.streams, pattern.streams == 1 ? "" : "s",
                pattern.prefetch ? ", prefetched" : "");
    separator = ", ";
  }
  std::printf("]}\n");
  std::fflush(stdout);
  double budget;
  char temperature[8];
  while (std::scanf("%lf %7s", &budget, temperature) == 2) {
    separator = "{\"seconds\": [";
    for (double seconds : reader->turn(budget, !std::strcmp(temperature, "cold"))) {
      std::printf("%s%.9f", separator, seconds);
      separator = ", ";
    }
    std::printf("]}\n");
    std::fflush(stdout);
  }
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  int threads = int(std::thread::hardware_concurrency());
  size_t bytes = 0, flushBytes = 0;
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--cpu-time"))
      cpuTime = true;
    else if (!std::strcmp(argv[i], "--read") && i + 1 < argc)
      bytes = std::strtoull(argv[++i], nullptr, 10);
    else if (!std::strcmp(argv[i], "--flush") && i + 1 < argc)
      flushBytes = std::strtoull(argv[++i], nullptr, 10);
    else
      threads = std::atoi(argv[i]);
  }
  if (threads < 1) {
    std::fprintf(stderr, "usage: flashc-peak [threads >= 1] [--cpu-time] [--read BYTES --flush BYTES]\n");
    return 1;
  }
  if (bytes)
    return takeTurns(bytes, flushBytes, threads);
  Isa isa = detect();
  std::printf("{\"isa\": \"%s\", \"threads\": %d, \"clock\": \"%s\"", isa.name, threads, cpuTime ? "cpu" : "wall");
  std::printf(", \"f32_gflops\": %.1f, \"f64_gflops\": %.1f", chainRate(isa.f32, isa.bytes / 4, threads),
              chainRate(isa.f64, isa.bytes / 8, threads));
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16"))
    std::printf(", \"vdpbf16ps_gflops\": %.1f", chainRate(bf16Pairs, 32, threads));
#endif
#if defined(__linux__) && defined(__x86_64__)
  if (askForTiles())
    std::printf(", \"amx_bf16_gflops\": %.1f", best([](int) { return amxPairs(kAmxSteps); },
                                                    2.0 * 16 * 16 * 32 * kAmxTiles * kAmxSteps, threads, kRounds));
#endif
  std::printf(", \"dram_gbs\": %.1f}\n", bandwidth(threads));
  return 0;
}

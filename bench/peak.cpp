// Measures what the machine can do: the limits that the bench's shares are of.
//
//   flashc-peak [threads] [--cpu-time]     prints one JSON object: {"isa", "threads", "clock", "f32_gflops",
//   "f64_gflops",
//                                          "vdpbf16ps_gflops", "amx_bf16_gflops", "dram_gbs"}; what does not exist is
//                                          left out
//
// Each thread keeps independent chains of multiply-adds in registers, so that neither latency nor memory counts; for
// the bandwidth each reads a part of a buffer far larger than the caches. A number is the best of several short rounds,
// since a limit is what the machine can do at its best. With --cpu-time the process's CPU time over the threads takes
// the wall clock's place: for machines on which others work.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
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

// Reads `size` bytes in four streams; `size` is a multiple of 256 vectors.
template <int bytes> __attribute__((always_inline)) inline double readAll(const char *from, size_t size) {
  using V = typename Native<long long, bytes>::type;
  const V *data = reinterpret_cast<const V *>(from);
  size_t quarter = size / bytes / 4;
  V acc[4] = {};
  for (size_t i = 0; i < quarter; ++i)
    for (int s = 0; s < 4; ++s)
      acc[s] ^= data[s * quarter + i];
  V all = acc[0] ^ acc[1] ^ acc[2] ^ acc[3];
  double sum = 0;
  for (unsigned i = 0; i < bytes / 8; ++i)
    sum += double(all[i]);
  return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) double f32Avx512(long steps) { return chains<float, 64>(steps); }
__attribute__((target("avx512f"))) double f64Avx512(long steps) { return chains<double, 64>(steps); }
__attribute__((target("avx2,fma"))) double f32Avx2(long steps) { return chains<float, 32>(steps); }
__attribute__((target("avx2,fma"))) double f64Avx2(long steps) { return chains<double, 32>(steps); }
__attribute__((target("avx512f"))) double readAvx512(const char *from, size_t size) { return readAll<64>(from, size); }
__attribute__((target("avx2"))) double readAvx2(const char *from, size_t size) { return readAll<32>(from, size); }

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
double readBase(const char *from, size_t size) { return readAll<16>(from, size); }

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
  double (*read)(const char *, size_t);
  int bytes;
};

Isa detect() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return {"avx512", f32Avx512, f64Avx512, readAvx512, 64};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {"avx2", f32Avx2, f64Avx2, readAvx2, 32};
  return {"sse2", f32Base, f64Base, readBase, 16};
#else
  return {"neon", f32Base, f64Base, readBase, 16};
#endif
}

// GFLOP/s of chains with `lanes` products a step.
double chainRate(double (*body)(long), int lanes, int threads) {
  return best([body](int) { return body(kSteps); }, 2.0 * lanes * kChains * double(kSteps), threads, kRounds);
}

double bandwidth(const Isa &isa, int threads) {
  std::unique_ptr<char, void (*)(void *)> buffer(static_cast<char *>(std::aligned_alloc(4096, kBuffer)), std::free);
  if (!buffer)
    return 0;
  std::memset(buffer.get(), 1, kBuffer);
  size_t part = kBuffer / threads / 65536 * 65536;
  return best([&](int t) { return isa.read(buffer.get() + t * part, part); }, double(part), threads, kRounds);
}

} // namespace

int main(int argc, char **argv) {
  int threads = int(std::thread::hardware_concurrency());
  for (int i = 1; i < argc; ++i) {
    if (!std::strcmp(argv[i], "--cpu-time"))
      cpuTime = true;
    else
      threads = std::atoi(argv[i]);
  }
  if (threads < 1) {
    std::fprintf(stderr, "usage: flashc-peak [threads >= 1] [--cpu-time]\n");
    return 1;
  }
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
  std::printf(", \"dram_gbs\": %.1f}\n", bandwidth(isa, threads));
  return 0;
}

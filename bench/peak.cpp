// Measures what the machine's multiply-add units can do: the limit that the bench's shares are of.
//
//   flashc-peak [threads]      prints one JSON object: {"isa", "threads", "f32_gflops", "f64_gflops"}
//
// Each thread keeps independent chains of fused multiply-adds in registers, so that neither latency nor memory counts.
// The number is the best of several short rounds, since a limit is what the machine can do at its best.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

constexpr int kChains = 12;        // more than latency (4) times issue width (2), fewer than AVX2's 16 registers
constexpr long kSteps = 2'000'000; // about 10 ms a round

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
#endif
double f32Base(long steps) { return chains<float, 16>(steps); }
double f64Base(long steps) { return chains<double, 16>(steps); }

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

// GFLOP/s of `body` on `threads` threads at once; `lanes` elements a vector.
double measure(double (*body)(long), int lanes, int threads) {
  double best = 0;
  volatile double sink = 0;
  for (int round = 0; round < 15; ++round) {
    std::vector<std::thread> pool;
    std::vector<double> sums(threads);
    auto start = std::chrono::steady_clock::now();
    for (int t = 1; t < threads; ++t)
      pool.emplace_back([&, t] { sums[t] = body(kSteps); });
    sums[0] = body(kSteps);
    for (std::thread &thread : pool)
      thread.join();
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    for (double sum : sums)
      sink = sink + sum;
    double flops = 2.0 * lanes * kChains * double(kSteps) * threads / seconds.count();
    best = flops > best ? flops : best;
  }
  return best * 1e-9;
}

} // namespace

int main(int argc, char **argv) {
  int threads = argc > 1 ? std::atoi(argv[1]) : int(std::thread::hardware_concurrency());
  if (argc > 2 || threads < 1) {
    std::fprintf(stderr, "usage: flashc-peak [threads >= 1]\n");
    return 1;
  }
  Isa isa = detect();
  std::printf("{\"isa\": \"%s\", \"threads\": %d, \"f32_gflops\": %.1f, \"f64_gflops\": %.1f}\n", isa.name, threads,
              measure(isa.f32, isa.bytes / 4, threads), measure(isa.f64, isa.bytes / 8, threads));
  return 0;
}

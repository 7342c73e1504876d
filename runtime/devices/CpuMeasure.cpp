//===- CpuMeasure.cpp - how fast this machine's processor is ------------------===//
//
// Each value is the best of several runs that are much shorter than a time slice: other programs make a run slower and
// never faster. All of it takes some tens of milliseconds.
//
//===----------------------------------------------------------------------===//

#include "runtime/Cpus.h"
#include "runtime/devices/Cpu.h"
#include "runtime/devices/CpuLoops.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>

using namespace flashc;

namespace {
using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// How long `work(thread)` takes on several threads at once, from the first start to the last end.
template <typename Work> double timeTogether(int threads, const Work &work) {
  if (threads == 1) {
    const auto begin = Clock::now();
    work(0);
    return secondsSince(begin);
  }
  std::atomic<int> ready{0};
  std::vector<Clock::time_point> begins(threads), ends(threads);
  auto body = [&](int thread) {
    ++ready;
    while (ready < threads)
      std::this_thread::yield();
    begins[thread] = Clock::now();
    work(thread);
    ends[thread] = Clock::now();
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread)
    others.emplace_back(body, thread);
  body(0);
  for (std::thread &other : others)
    other.join();
  return std::chrono::duration<double>(*std::max_element(ends.begin(), ends.end()) -
                                       *std::min_element(begins.begin(), begins.end()))
      .count();
}

/// Operations in a nanosecond on each of `threads` cores together.
double arithmeticRate(const ArithmeticLoop &loop, int threads) {
  constexpr double wanted = 60e-6;
  int64_t iterations = 64;
  double seconds = 0;
  // The first runs also bring the clock up.
  for (; iterations < (int64_t(1) << 24); iterations *= 2) {
    const auto begin = Clock::now();
    loop.run(iterations);
    seconds = secondsSince(begin);
    if (seconds > wanted)
      break;
  }
  double best = 1e9;
  for (int run = 0; run < (threads == 1 ? 12 : 5); ++run)
    best = std::min(best, timeTogether(threads, [&](int) { loop.run(iterations); }));
  return loop.operations * static_cast<double>(iterations) * threads / best * 1e-9;
}

/// Memory of each thread, touched, in large pages where the system has them.
class Buffers {
public:
  Buffers(int threads, int64_t bytes) : bytes(bytes) {
    for (int thread = 0; thread < threads; ++thread) {
      void *memory = nullptr;
      if (posix_memalign(&memory, size_t(2) << 20, static_cast<size_t>(bytes)) != 0)
        memory = nullptr;
      else
        std::memset(memory, 1, static_cast<size_t>(bytes));
      parts.emplace_back(static_cast<char *>(memory), &std::free);
    }
  }
  bool complete() const {
    return std::all_of(parts.begin(), parts.end(), [](const auto &part) { return part != nullptr; });
  }
  const char *operator[](int thread) const { return parts[thread].get(); }
  const int64_t bytes;

private:
  std::vector<std::unique_ptr<char, decltype(&std::free)>> parts;
};

/// Bytes in a nanosecond that `threads` cores read together, each over and over from `bytes` of its own.
double cachedRate(ReadLoop read, const Buffers &buffers, int64_t bytes, int threads) {
  constexpr double wanted = 60e-6;
  int64_t passes = 1;
  for (double seconds = 0; seconds < wanted && passes < (1 << 20); passes *= 2) {
    const auto begin = Clock::now();
    for (int64_t pass = 0; pass < passes; ++pass)
      read(buffers[0], bytes);
    seconds = secondsSince(begin);
  }
  double best = 1e9;
  for (int run = 0; run < (threads == 1 ? 8 : 5); ++run)
    best = std::min(best, timeTogether(threads, [&](int thread) {
                      for (int64_t pass = 0; pass < passes; ++pass)
                        read(buffers[thread], bytes);
                    }));
  return static_cast<double>(bytes * passes) * threads / best * 1e-9;
}

/// The same from memory: what is read was dropped from the caches, or is more than they hold.
double memoryRate(ReadLoop read, const Buffers &buffers, int threads) {
  double best = 1e9;
  for (int run = 0; run < 3; ++run) {
    timeTogether(threads, [&](int thread) { dropFromCaches(buffers[thread], buffers.bytes); });
    best = std::min(best, timeTogether(threads, [&](int thread) { read(buffers[thread], buffers.bytes); }));
  }
  return static_cast<double>(buffers.bytes) * threads / best * 1e-9;
}

/// The bytes of a level of data caches, as the system's description of its first processor says, else `otherwise`.
/// (What the processor itself says is the size of a whole socket's, also in a virtual machine that has a part of it.)
int64_t cacheBytes(int level, int name, int64_t otherwise) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index);
    int found = 0;
    std::string type, size;
    if (!(std::ifstream(folder + "/level") >> found))
      break;
    std::ifstream(folder + "/type") >> type;
    std::ifstream(folder + "/size") >> size;
    if (found == level && type != "Instruction" && !size.empty())
      if (const int64_t count = std::atoll(size.c_str()); count > 0)
        return count * (size.back() == 'K' ? 1 << 10 : size.back() == 'M' ? 1 << 20 : 1);
  }
  const long bytes = sysconf(name);
  return bytes > 0 ? bytes : otherwise;
}
} // namespace

DeviceFacts CpuDevice::measure() {
  const CpuFeatures &features = hostCpuFeatures();
  const int units = usableCpus();
  DeviceFacts facts;
  // To scale a rate to a machine of many cores the first few say enough.
  const int together = std::min(units, 16);
  auto all = [&](const std::string &name, double rate) { facts[name + "-all"] = rate * units / together; };

  const std::pair<const char *, ArithmeticLoop> loops[] = {{"f32-fma-gflops", f32Loop(features)},
                                                           {"f64-fma-gflops", f64Loop(features)},
                                                           {"f16-fma-gflops", f16Loop(features)},
                                                           {"bf16-dot-gflops", bf16DotLoop(features)},
                                                           {"amx-bf16-gflops", amxBf16Loop(features)}};
  for (const auto &[name, loop] : loops)
    if (loop.run)
      facts[name] = arithmeticRate(loop, 1);
  all("f32-fma-gflops", arithmeticRate(f32Loop(features), together));

  const int64_t l1 = cacheBytes(1, _SC_LEVEL1_DCACHE_SIZE, 32 << 10),
                l2 = cacheBytes(2, _SC_LEVEL2_CACHE_SIZE, 512 << 10), l3 = cacheBytes(3, _SC_LEVEL3_CACHE_SIZE, 0);
  facts["l1-bytes"] = static_cast<double>(l1);
  facts["l2-bytes"] = static_cast<double>(l2);
  facts["l3-bytes"] = static_cast<double>(l3);
  const int64_t memoryBytes = int64_t(16) << 20;
  const Buffers buffers(together, std::max(memoryBytes, 4 * l2));
  if (!buffers.complete())
    return facts;
  const ReadLoop read = readLoop(features);
  // Half of a level leaves room for what else is in it; a third level that is not there is memory.
  const std::pair<const char *, int64_t> levels[] = {
      {"l1-read-gbps", l1 / 2}, {"l2-read-gbps", l2 / 2}, {"l3-read-gbps", l3 > 2 * l2 ? std::min(l3 / 2, 2 * l2) : 0}};
  for (const auto &[name, bytes] : levels)
    if (bytes) {
      facts[name] = cachedRate(read, buffers, bytes / 512 * 512, 1);
      all(name, cachedRate(read, buffers, bytes / 512 * 512, together));
    }
  facts["dram-read-gbps"] = memoryRate(read, buffers, 1);
  all("dram-read-gbps", memoryRate(read, buffers, together));
  return facts;
}

#include "Reading.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <numeric>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

using namespace bench;

namespace {

constexpr size_t kLine = 64;
constexpr size_t kPiece = size_t(1) << 20; // what a thread takes at a time; a multiple of 8 streams of whole lines
constexpr size_t kPage = size_t(2) << 20;

// `size` bytes in `streams` streams, a line of each in turn. One body for every instruction set: the caller's target
// attribute decides what it becomes.
template <int bytes, int streams, bool prefetch>
__attribute__((always_inline)) inline long long readPiece(const char *from, size_t size) {
  typedef long long Vector __attribute__((vector_size(bytes)));
  // As many lines in flight whatever the number of streams, but far enough ahead for one of eight.
  constexpr size_t ahead = std::max<size_t>(8192 / streams, 1024);
  size_t share = size / streams;
  Vector acc[streams] = {};
  for (size_t at = 0; at < share; at += kLine) {
    for (int s = 0; s < streams; ++s) {
      const char *line = from + s * share + at;
      if (prefetch)
        __builtin_prefetch(line + ahead, 0, 2);
      for (size_t part = 0; part < kLine; part += bytes)
        acc[s] ^= *reinterpret_cast<const Vector *>(line + part);
    }
  }
  Vector all = acc[0];
  for (int s = 1; s < streams; ++s)
    all ^= acc[s];
  long long sum = 0;
  for (unsigned i = 0; i < bytes / sizeof(long long); ++i)
    sum ^= all[i];
  return sum;
}

using ReadPieces = long long (*)(size_t pattern, const char *from, size_t size);

// One function an instruction set; the order is that of readPatterns().
template <int bytes>
__attribute__((always_inline)) inline long long readBy(size_t pattern, const char *from, size_t n) {
  switch (pattern) {
  case 0:
    return readPiece<bytes, 1, false>(from, n);
  case 1:
    return readPiece<bytes, 2, false>(from, n);
  case 2:
    return readPiece<bytes, 4, false>(from, n);
  case 3:
    return readPiece<bytes, 8, false>(from, n);
  case 4:
    return readPiece<bytes, 1, true>(from, n);
  case 5:
    return readPiece<bytes, 2, true>(from, n);
  case 6:
    return readPiece<bytes, 4, true>(from, n);
  default:
    return readPiece<bytes, 8, true>(from, n);
  }
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) long long readAvx512(size_t pattern, const char *from, size_t size) {
  return readBy<64>(pattern, from, size);
}
__attribute__((target("avx2"))) long long readAvx2(size_t pattern, const char *from, size_t size) {
  return readBy<32>(pattern, from, size);
}
#endif
long long readBase(size_t pattern, const char *from, size_t size) { return readBy<16>(pattern, from, size); }

ReadPieces readPieces() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return readAvx512;
  if (__builtin_cpu_supports("avx2"))
    return readAvx2;
#endif
  return readBase;
}

double wallTime() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double threadTime() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

} // namespace

const std::vector<ReadPattern> &bench::readPatterns() {
  static const std::vector<ReadPattern> all = {{1, false}, {2, false}, {4, false}, {8, false},
                                               {1, true},  {2, true},  {4, true},  {8, true}};
  return all;
}

struct Reader::Memory {
  explicit Memory(size_t wanted) : size((wanted + kPage - 1) / kPage * kPage) {
    data = static_cast<char *>(std::aligned_alloc(kPage, size));
    if (!data)
      return;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    madvise(data, size, MADV_HUGEPAGE);
#endif
    std::memset(data, 1, size);
  }
  ~Memory() { std::free(data); }
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;

  size_t size;
  char *data;
};

// Threads that live as long as a turn and wait for each other without sleeping: waking them would take longer than a
// small buffer is read.
struct Reader::Team {
  using Job = std::function<void(int)>;
  explicit Team(int threads) : threads(threads) {
    for (int t = 1; t < threads; ++t)
      pool.emplace_back([this, t] { work(t); });
  }
  ~Team() {
    run({});
    for (std::thread &thread : pool)
      thread.join();
  }

  // The job on every thread; an empty one ends them.
  void run(Job next) {
    job = std::move(next);
    left.store(threads - 1);
    round.fetch_add(1);
    if (job)
      job(0);
    for (int tries = 0; left.load() != 0; ++tries)
      pause(tries);
  }

private:
  void work(int t) {
    for (long seen = 1;; ++seen) {
      for (int tries = 0; round.load() < seen; ++tries)
        pause(tries);
      bool last = !job;
      if (!last)
        job(t);
      left.fetch_sub(1);
      if (last)
        return;
    }
  }
  // Where threads outnumber the free CPUs, the one waited for needs this one's.
  static void pause(int tries) {
    constexpr int most = 10'000; // some 100 us
    if (tries > most)
      std::this_thread::yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  int threads;
  Job job;
  std::atomic<long> round{0};
  std::atomic<int> left{0};
  std::vector<std::thread> pool;
};

Reader::Reader(size_t bytes, int threads, bool cpuTime) : bytes(bytes), threads(threads), cpuTime(cpuTime) {}
Reader::~Reader() = default;

std::unique_ptr<Reader> Reader::create(size_t bytes, size_t flushBytes, int threads, bool cpuTime) {
  std::unique_ptr<Reader> reader(new Reader(bytes, threads, cpuTime));
  reader->buffer = std::make_unique<Memory>(bytes);
  reader->other = std::make_unique<Memory>(flushBytes);
  return reader->buffer->data && reader->other->data ? std::move(reader) : nullptr;
}

double Reader::pass(Team &team, size_t pattern) const {
  static const ReadPieces read = readPieces();
  static std::atomic<long long> sink{0};
  size_t pieces = std::max<size_t>((bytes + kPiece - 1) / kPiece, 1);
  std::atomic<size_t> next{0};
  std::vector<double> used(threads);
  double start = wallTime();
  team.run([&](int t) {
    double begin = cpuTime ? threadTime() : 0;
    long long sum = 0;
    for (size_t i = next++; i < pieces; i = next++) {
      // The last piece is as long as whole lines of all streams let it be.
      size_t size = std::min(kPiece, (bytes - i * kPiece) / (8 * kLine) * (8 * kLine));
      sum ^= read(pattern, buffer->data + i * kPiece, size);
    }
    sink ^= sum;
    used[t] = cpuTime ? threadTime() - begin : 0;
  });
  return cpuTime ? std::accumulate(used.begin(), used.end(), 0.0) / threads : wallTime() - start;
}

void Reader::flush(Team &team) const {
  size_t share = other->size / threads / kLine * kLine;
  team.run([&](int t) {
    char *part = other->data + t * share;
    for (size_t at = 0; at < share; at += kLine)
      ++part[at];
  });
}

std::vector<double> Reader::turn(double budget, bool cold) {
  Team team(threads);
  size_t count = readPatterns().size();
  std::vector<double> seconds(count);
  double spent = 0;
  int passes = 0;
  // Rounds of all patterns, so that what disturbs one disturbs the others.
  while (passes == 0 || spent * (passes + 1) / passes <= budget) {
    for (size_t pattern = 0; pattern < count; ++pattern) {
      if (cold)
        flush(team);
      double time = pass(team, pattern);
      seconds[pattern] += time;
      spent += time;
    }
    ++passes;
  }
  for (double &time : seconds)
    time /= passes;
  return seconds;
}

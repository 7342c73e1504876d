//===- ThreadPool.cpp - persistent workers behind parallel_for --------------===//

#include "runtime/ThreadPool.h"
#include "runtime/Cpus.h"
#include "runtime/Error.h"
#include "runtime/Futex.h"

#include <chrono>
#include <csignal>
#include <mutex>
#include <new>

using namespace flashc;

namespace {
// ThreadPool::state: workers may enter while Open; Waiting asks the last one that leaves to wake the caller.
constexpr uint32_t Open = 1u << 31;
constexpr uint32_t Waiting = 1u << 30;
constexpr uint32_t InsideMask = Waiting - 1;

// Long enough to bridge the gap between the loops of one model step, short enough not to be seen in a profile.
constexpr auto spinTime = std::chrono::microseconds(40);

// True on a thread that is inside a task of any pool.
thread_local bool insideTask = false;

// All pools, under the mutex; a plain pointer, so that it needs no constructor before the first pool.
std::mutex poolsMutex;
ThreadPool *allPools = nullptr;

std::atomic<ThreadPool *> currentDefault{nullptr};
// Taken before poolsMutex where both are held.
std::mutex defaultsMutex;
// One pool for each size ever asked for, kept because hosts may hold them; idle ones cost sleeping threads.
ThreadPool *defaults[ThreadPool::maxWorkers + 1];

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Polls `done` for spinTime; true as soon as it holds.
template <typename Predicate> bool spinUntil(Predicate done) {
  const auto end = std::chrono::steady_clock::now() + spinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done())
        return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

void hostParallelFor(void *user, int64_t count, flashc_task task, void *context) {
  static_cast<ThreadPool *>(user)->parallelFor(count, task, context, FloatMode::FlushToZero);
}
} // namespace

struct ThreadPool::StartArgument {
  ThreadPool *pool;
  int32_t worker;
  uint32_t epoch;
};

ThreadPool::ThreadPool(int32_t numWorkers)
    : workers(numWorkers), face{FLASHC_ABI_VERSION, numWorkers, this, hostParallelFor, nullptr, nullptr, 0, 0},
      spins(numWorkers <= usableCpus()), threads(new pthread_t[numWorkers]) {
  static std::once_flag registered;
  std::call_once(registered, [] { pthread_atfork(forkPrepare, forkParent, forkChild); });
  std::lock_guard<std::mutex> lock(poolsMutex);
  nextPool = allPools;
  allPools = this;
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(poolsMutex);
    ThreadPool **link = &allPools;
    while (*link != this)
      link = &(*link)->nextPool;
    *link = nextPool;
  }
  stopping.store(true, std::memory_order_seq_cst);
  epoch.fetch_add(1, std::memory_order_seq_cst);
  futexWake(epoch, INT_MAX);
  for (int32_t i = 0; i < numThreads; ++i)
    pthread_join(threads[i], nullptr);
}

void ThreadPool::startThreads() {
  started = true;
  // Signals belong to the host's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (int32_t worker = 1; worker < workers; ++worker) {
    auto *argument = new (std::nothrow) StartArgument{this, worker, epoch.load(std::memory_order_relaxed)};
    // Fewer threads than asked for is slower, not wrong.
    if (!argument || pthread_create(&threads[numThreads], nullptr, threadMain, argument) != 0) {
      delete argument;
      break;
    }
    ++numThreads;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void *ThreadPool::threadMain(void *argument) {
  const std::unique_ptr<StartArgument> start(static_cast<StartArgument *>(argument));
  start->pool->work(start->worker, start->epoch);
  return nullptr;
}

void ThreadPool::work(int32_t worker, uint32_t seenEpoch) {
  for (;;) {
    waitForNewEpoch(seenEpoch);
    seenEpoch = epoch.load(std::memory_order_acquire);
    if (stopping.load(std::memory_order_acquire))
      return;
    uint32_t now = state.load(std::memory_order_relaxed);
    // A loop that is already closed is not entered, so its caller does not wait for us.
    while (now & Open) {
      if (!state.compare_exchange_weak(now, now + 1, std::memory_order_acquire, std::memory_order_relaxed))
        continue;
      runTasks(worker);
      if (state.fetch_sub(1, std::memory_order_acq_rel) == (Waiting | 1))
        futexWake(state, 1);
      break;
    }
  }
}

void ThreadPool::waitForNewEpoch(uint32_t seen) {
  if (spins && spinUntil([&] { return epoch.load(std::memory_order_acquire) != seen; }))
    return;
  // Either the caller sees this sleeper and wakes it, or the futex sees the caller's new epoch and does not sleep.
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (epoch.load(std::memory_order_seq_cst) == seen)
    futexWait(epoch, seen);
  sleepers.fetch_sub(1, std::memory_order_relaxed);
}

void ThreadPool::runTasks(int32_t worker) {
  const ScopedFloatMode scope(floatMode);
  insideTask = true;
  for (;;) {
    const int64_t index = next.fetch_add(1, std::memory_order_relaxed);
    if (index >= count)
      break;
    task(context, index, worker);
  }
  insideTask = false;
}

void ThreadPool::runSerially(int64_t count, flashc_task task, void *context, FloatMode mode) {
  const ScopedFloatMode scope(mode);
  const bool before = insideTask;
  insideTask = true;
  for (int64_t index = 0; index < count; ++index)
    task(context, index, 0);
  insideTask = before;
}

void ThreadPool::parallelFor(int64_t numTasks, flashc_task function, void *argument, FloatMode mode) {
  if (numTasks <= 0)
    return;
  if (numTasks == 1 || workers == 1 || insideTask || busy.exchange(true, std::memory_order_acquire))
    return runSerially(numTasks, function, argument, mode);
  if (!started)
    startThreads();

  task = function;
  context = argument;
  count = numTasks;
  floatMode = mode;
  next.store(0, std::memory_order_relaxed);
  state.store(Open, std::memory_order_release);
  epoch.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers.load(std::memory_order_seq_cst) != 0)
    futexWake(epoch, numTasks < workers ? static_cast<int>(numTasks - 1) : workers - 1);

  runTasks(0);
  waitForWorkers();
  busy.store(false, std::memory_order_release);
}

void ThreadPool::waitForWorkers() {
  state.fetch_and(~Open, std::memory_order_acq_rel);
  auto empty = [&] { return (state.load(std::memory_order_acquire) & InsideMask) == 0; };
  if (!(spins && spinUntil(empty))) {
    while (!empty()) {
      const uint32_t now = state.fetch_or(Waiting, std::memory_order_acq_rel) | Waiting;
      if (now & InsideMask)
        futexWait(state, now);
    }
  }
  // Nobody enters a closed loop, so nobody else writes.
  state.store(0, std::memory_order_relaxed);
}

//===----------------------------------------------------------------------===//
// Fork: the child has the memory of the pools, but none of their threads.
//===----------------------------------------------------------------------===//

void ThreadPool::resetAfterFork() {
  state.store(0, std::memory_order_relaxed);
  sleepers.store(0, std::memory_order_relaxed);
  busy.store(false, std::memory_order_relaxed);
  numThreads = 0;
  started = false;
}

void ThreadPool::forkPrepare() {
  defaultsMutex.lock();
  poolsMutex.lock();
}
void ThreadPool::forkParent() {
  poolsMutex.unlock();
  defaultsMutex.unlock();
}
void ThreadPool::forkChild() {
  for (ThreadPool *pool = allPools; pool; pool = pool->nextPool)
    pool->resetAfterFork();
  poolsMutex.unlock();
  defaultsMutex.unlock();
}

//===----------------------------------------------------------------------===//
// The process-wide pool
//===----------------------------------------------------------------------===//

void ThreadPool::setDefaultWorkers(int32_t numWorkers) {
  if (numWorkers == 0)
    numWorkers = defaultWorkers();
  std::lock_guard<std::mutex> lock(defaultsMutex);
  if (!defaults[numWorkers])
    defaults[numWorkers] = new ThreadPool(numWorkers);
  currentDefault.store(defaults[numWorkers], std::memory_order_release);
}

ThreadPool &ThreadPool::defaultPool() {
  if (ThreadPool *pool = currentDefault.load(std::memory_order_acquire))
    return *pool;
  setDefaultWorkers(0);
  return *currentDefault.load(std::memory_order_acquire);
}

int32_t ThreadPool::defaultWorkers() {
  const int32_t wanted = threadsFromEnvironment();
  const int32_t workers = wanted > 0 ? wanted : usableCpus();
  return workers < maxWorkers ? workers : maxWorkers;
}

//===----------------------------------------------------------------------===//
// The C face
//===----------------------------------------------------------------------===//

struct flashc_pool {
  explicit flashc_pool(int32_t workers) : pool(workers) {}
  ThreadPool pool;
};

static flashc_status checkNumThreads(const char *function, int32_t numThreads) {
  if (numThreads >= 0 && numThreads <= ThreadPool::maxWorkers)
    return FLASHC_OK;
  return setLastError(FLASHC_ERROR_INVALID, "%s: expected a number of threads from 0 (the default) to %d, got %d",
                      function, ThreadPool::maxWorkers, numThreads);
}

extern "C" {

flashc_status flashc_pool_create(int32_t num_threads, flashc_pool **pool) {
  if (!pool)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_pool_create: expected a place for the pool, got null");
  *pool = nullptr;
  if (flashc_status status = checkNumThreads("flashc_pool_create", num_threads))
    return status;
  try {
    *pool = new flashc_pool(num_threads ? num_threads : ThreadPool::defaultWorkers());
  } catch (const std::exception &) {
    return setLastError(FLASHC_ERROR_MEMORY, "flashc_pool_create: no memory for a pool of %d threads", num_threads);
  }
  return FLASHC_OK;
}

void flashc_pool_destroy(flashc_pool *pool) { delete pool; }

const flashc_host *flashc_pool_host(const flashc_pool *pool) { return pool ? pool->pool.host() : nullptr; }

const flashc_host *flashc_default_host(void) { return ThreadPool::defaultPool().host(); }

flashc_status flashc_set_num_threads(int32_t num_threads) {
  if (flashc_status status = checkNumThreads("flashc_set_num_threads", num_threads))
    return status;
  try {
    ThreadPool::setDefaultWorkers(num_threads);
  } catch (const std::exception &) {
    return setLastError(FLASHC_ERROR_MEMORY, "flashc_set_num_threads: no memory for a pool of %d threads", num_threads);
  }
  return FLASHC_OK;
}

int32_t flashc_get_num_threads(void) { return ThreadPool::defaultPool().numWorkers(); }
}

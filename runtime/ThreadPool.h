//===- ThreadPool.h - persistent workers behind parallel_for ----------------===//
#ifndef FLASHC_RUNTIME_THREADPOOL_H
#define FLASHC_RUNTIME_THREADPOOL_H

#include "runtime/FloatMode.h"
#include "runtime/include/flashc/runtime.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <pthread.h>
#include <type_traits>

namespace flashc {

/// A fixed number of workers that share the tasks of one loop at a time.
///
/// The calling thread is worker 0; worker k > 0 is a persistent thread that spins shortly after a loop and then sleeps.
/// Tasks come from one atomic counter, so the longest ones belong at the front. A loop that is called while the pool is
/// busy, from a task or from another thread, runs on its caller as worker 0: never a deadlock, and `worker` stays
/// exact within each loop. A caller never waits for a worker that has not begun to work, so a worker that
/// the system schedules late costs nothing. Threads start at the first loop, and again after a fork in the child.
class ThreadPool {
public:
  static constexpr int32_t maxWorkers = 1024;

  /// `numWorkers` in [1, maxWorkers], the calling thread counted.
  explicit ThreadPool(int32_t numWorkers);
  /// Joins the threads; no loop may be running.
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  int32_t numWorkers() const { return workers; }

  /// The C face of this pool; its loops flush subnormal numbers. Valid as long as the pool.
  const flashc_host *host() const { return &face; }

  /// Runs task(context, 0 .. count-1, worker) and returns when all have ended. Tasks must not throw.
  void parallelFor(int64_t count, flashc_task task, void *context, FloatMode mode = FloatMode::Inherit);

  /// The same for anything callable as body(int64_t task, int32_t worker).
  template <typename Body> void parallelFor(int64_t count, Body &&body) {
    using Callable = std::remove_reference_t<Body>;
    parallelFor(
        count, [](void *context, int64_t task, int32_t worker) { (*static_cast<Callable *>(context))(task, worker); },
        const_cast<void *>(static_cast<const void *>(&body)));
  }

  /// The process-wide pool, never destroyed.
  static ThreadPool &defaultPool();
  /// Chooses the size of defaultPool() for later calls; 0 restores the default.
  static void setDefaultWorkers(int32_t numWorkers);
  /// FLASHC_NUM_THREADS if it is a number in [1, maxWorkers], else the CPUs this process may use.
  static int32_t defaultWorkers();

private:
  struct StartArgument;
  static void *threadMain(void *argument);
  void work(int32_t worker, uint32_t seenEpoch);
  void startThreads();
  void runTasks(int32_t worker);
  void waitForNewEpoch(uint32_t seen);
  void waitForWorkers();
  static void runSerially(int64_t count, flashc_task task, void *context, FloatMode mode);

  // Keeps pools usable on both sides of a fork.
  void resetAfterFork();
  static void forkPrepare();
  static void forkParent();
  static void forkChild();

  const int32_t workers;
  flashc_host face;
  bool spins; // false when there are more workers than CPUs: spinning would steal a worker's CPU

  // The loop in progress: written by its caller while `state` is 0, read by those who entered it.
  flashc_task task = nullptr;
  void *context = nullptr;
  int64_t count = 0;
  FloatMode floatMode = FloatMode::Inherit;

  // Each on a cache line of its own, since all workers poll or change them.
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<uint32_t> state{0}; // open and waiting flags, and the number of workers inside
  alignas(64) std::atomic<uint32_t> epoch{0}; // raised once a loop; what sleeping workers wait on
  alignas(64) std::atomic<uint32_t> sleepers{0};
  std::atomic<bool> busy{false}; // held by the caller of the loop in progress
  std::atomic<bool> stopping{false};

  // Touched by the holder of `busy`, the destructor and the child of a fork only.
  std::unique_ptr<pthread_t[]> threads;
  int32_t numThreads = 0;
  bool started = false;

  ThreadPool *nextPool = nullptr; // the list of all pools, for the child of a fork
};

} // namespace flashc

#endif // FLASHC_RUNTIME_THREADPOOL_H

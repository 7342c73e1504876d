// The pool: every task once, exact worker ids, nesting, concurrent callers, fork, float mode, start and stop.

#include "runtime/ThreadPool.h"
#include "runtime/Cpus.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

using namespace flashc;

namespace {

/// Runs a loop and checks that each task ran once and that no two concurrent tasks shared a worker.
void checkLoop(ThreadPool &pool, int64_t count) {
  std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
  std::vector<std::atomic<int>> inside(static_cast<size_t>(pool.numWorkers()));
  std::atomic<bool> shared{false};
  pool.parallelFor(count, [&](int64_t task, int32_t worker) {
    if (worker < 0 || worker >= pool.numWorkers() || inside[worker].fetch_add(1) != 0)
      shared = true;
    seen[task].fetch_add(1);
    inside[worker].fetch_sub(1);
  });
  EXPECT_FALSE(shared);
  for (auto &times : seen)
    ASSERT_EQ(times, 1);
}

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (int32_t workers : {1, 2, 3, 8}) {
    ThreadPool pool(workers);
    for (int64_t count : {0, 1, 2, 3, 7, 64, 1000})
      checkLoop(pool, count);
  }
}

TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(4);
  int64_t sum = 0;
  for (int round = 0; round < 3000; ++round) {
    std::atomic<int64_t> total{0};
    pool.parallelFor(5, [&](int64_t task, int32_t) { total += task; });
    sum += total;
  }
  EXPECT_EQ(sum, 30000);
}

TEST(ThreadPool, WakesWorkersThatSleep) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    checkLoop(pool, 100);
  }
}

TEST(ThreadPool, UsesItsWorkers) {
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  // Both tasks wait for each other, so one thread alone would never end.
  pool.parallelFor(2, [&](int64_t, int32_t) {
    ++arrived;
    while (arrived < 2)
      std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 2);
}

TEST(ThreadPool, RunsNestedLoopsOnTheirCaller) {
  ThreadPool pool(4), other(3);
  std::atomic<int> total{0};
  std::atomic<bool> wrongWorker{false};
  pool.parallelFor(8, [&](int64_t, int32_t) {
    const auto caller = std::this_thread::get_id();
    for (ThreadPool *inner : {&pool, &other})
      inner->parallelFor(10, [&](int64_t, int32_t worker) {
        if (worker != 0 || std::this_thread::get_id() != caller)
          wrongWorker = true;
        ++total;
      });
  });
  EXPECT_EQ(total, 160);
  EXPECT_FALSE(wrongWorker);
}

TEST(ThreadPool, ServesConcurrentCallers) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        checkLoop(pool, 17);
    });
  for (std::thread &caller : callers)
    caller.join();
}

TEST(ThreadPool, CreatesAndDestroys) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool idle(3);
    ThreadPool used(3);
    checkLoop(used, 10);
  }
}

TEST(ThreadPool, FlushesSubnormalsInTasksOfTheHostOnly) {
  ThreadPool pool(3);
  auto task = [](void *context, int64_t, int32_t) {
    volatile double smallest = 5e-324;
    if (smallest * 1.0 != 0.0)
      ++*static_cast<std::atomic<int> *>(context);
  };
  std::atomic<int> kept{0};
  pool.host()->parallel_for(pool.host()->user, 100, task, &kept);
  EXPECT_EQ(kept, 0);
  pool.parallelFor(100, task, &kept);
  EXPECT_EQ(kept, 100);
  volatile double smallest = 5e-324;
  EXPECT_NE(smallest * 1.0, 0.0);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FLASHC_TSAN // does not follow a fork of a process with threads
#endif
#elif defined(__SANITIZE_THREAD__)
#define FLASHC_TSAN
#endif

#if !defined(FLASHC_TSAN)
TEST(ThreadPool, SurvivesFork) {
  ThreadPool pool(3);
  checkLoop(pool, 20);
  flashc_default_host();
  // While another thread keeps the pool busy, so that some children are made in the middle of a loop.
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop)
      pool.parallelFor(50, [](int64_t, int32_t) {});
  });
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      std::atomic<int> total{0};
      for (int round = 0; round < 20; ++round)
        pool.parallelFor(10, [&](int64_t, int32_t) { ++total; });
      // Two tasks that need two threads: the child has its own.
      std::atomic<int> arrived{0};
      pool.parallelFor(2, [&](int64_t, int32_t) {
        ++arrived;
        while (arrived < 2)
          std::this_thread::yield();
      });
      _exit(total == 200 && flashc_get_num_threads() > 0 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  stop = true;
  other.join();
  checkLoop(pool, 20);
}
#endif

TEST(ThreadPool, DefaultPoolFollowsTheNumberAsked) {
  EXPECT_GE(flashc_get_num_threads(), 1);
  ASSERT_EQ(flashc_set_num_threads(3), FLASHC_OK);
  EXPECT_EQ(flashc_get_num_threads(), 3);
  const flashc_host *three = flashc_default_host();
  EXPECT_EQ(three->num_workers, 3);
  ASSERT_EQ(flashc_set_num_threads(1), FLASHC_OK);
  EXPECT_EQ(flashc_default_host()->num_workers, 1);
  // A host that was handed out stays valid.
  std::atomic<int> total{0};
  three->parallel_for(
      three->user, 9, [](void *context, int64_t, int32_t) { ++*static_cast<std::atomic<int> *>(context); }, &total);
  EXPECT_EQ(total, 9);
  ASSERT_EQ(flashc_set_num_threads(0), FLASHC_OK);
  EXPECT_EQ(flashc_get_num_threads(), ThreadPool::defaultWorkers());
}

TEST(ThreadPool, RefusesSillyNumbers) {
  EXPECT_EQ(flashc_set_num_threads(-1), FLASHC_ERROR_INVALID);
  EXPECT_STREQ(flashc_last_error(),
               "flashc_set_num_threads: expected a number of threads from 0 (the default) to 1024, got -1");
  flashc_pool *pool = nullptr;
  EXPECT_EQ(flashc_pool_create(5000, &pool), FLASHC_ERROR_INVALID);
  EXPECT_EQ(pool, nullptr);
  EXPECT_EQ(flashc_pool_create(2, nullptr), FLASHC_ERROR_INVALID);
  flashc_pool_destroy(nullptr);
  EXPECT_EQ(flashc_pool_host(nullptr), nullptr);
}

TEST(ThreadPool, CFaceOfACreatedPool) {
  flashc_pool *pool = nullptr;
  ASSERT_EQ(flashc_pool_create(2, &pool), FLASHC_OK);
  const flashc_host *host = flashc_pool_host(pool);
  EXPECT_EQ(host->num_workers, 2);
  EXPECT_EQ(host->abi_version, FLASHC_ABI_VERSION);
  flashc_pool_destroy(pool);
}

TEST(Cpus, EnvironmentDecidesWhenItIsANumber) {
  setenv("FLASHC_NUM_THREADS", "5", 1);
  EXPECT_EQ(ThreadPool::defaultWorkers(), 5);
  for (const char *text : {"", "0", "-3", "4x", "99999"}) {
    setenv("FLASHC_NUM_THREADS", text, 1);
    EXPECT_EQ(threadsFromEnvironment(), 0) << text;
    EXPECT_GE(ThreadPool::defaultWorkers(), 1);
  }
  unsetenv("FLASHC_NUM_THREADS");
}

} // namespace

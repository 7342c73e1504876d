// The tuning store and the kernel cache between processes: none loses what another wrote, whenever it dies, and none
// believes a file that is not the user's own.

#include "TestFolder.h"

#include "runtime/KernelCache.h"
#include "runtime/TuningStore.h"

#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <random>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace flashc;
using namespace flashc::test;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

namespace {

TuningKey keyOf(int n) { return {"EPYC, 2 CPUs", "forward f32 64", "S" + std::to_string(n), "flashc 0.1", ""}; }

TuningRecord recordOf(int64_t rows, int64_t keys, double seconds) {
  TuningRecord record;
  record.tiles.rows = rows;
  record.tiles.keys = keys;
  record.seconds = seconds;
  return record;
}

pid_t startChild(const std::function<bool()> &body) {
  const pid_t child = fork();
  if (child == 0)
    _exit(body() ? 0 : 1);
  return child;
}

bool succeeded(pid_t child) {
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void killChild(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

class SharedStores : public ::testing::Test {
protected:
  TestFolder folder;
  std::string directory = folder / "cache";
  std::string file = directory + "/" + TuningStore::fileName;

  /// Files that are neither a store, a lock nor an entry.
  size_t countLeftovers() const {
    size_t count = 0;
    for (const auto &item : fs::directory_iterator(directory))
      count += item.path().filename().string().rfind(CacheFolder::temporaryPrefix, 0) == 0;
    return count;
  }
};

TEST_F(SharedStores, SixtyFourProcessesRecordAndLoseNothing) {
  constexpr int processes = 64, records = 3;
  std::vector<pid_t> children;
  for (int c = 0; c < processes; ++c)
    children.push_back(startChild([&] {
      TuningStore store(directory);
      bool good = true;
      for (int r = 0; r < records; ++r)
        good &= store.record(keyOf(records * c + r), recordOf(24, 512, 1 + r));
      good &= store.record(keyOf(100000), recordOf(c + 1, 64, 1.0 / (c + 1)));
      return good && store.recordFact("EPYC", "fact " + std::to_string(c), c);
    }));
  for (pid_t child : children)
    EXPECT_TRUE(succeeded(child));
  TuningStore store(directory);
  for (int n = 0; n < processes * records; ++n)
    EXPECT_TRUE(store.lookup(keyOf(n))) << n;
  ASSERT_TRUE(store.lookup(keyOf(100000)));
  EXPECT_EQ(store.lookup(keyOf(100000))->tiles.rows, processes);
  for (int c = 0; c < processes; ++c)
    EXPECT_EQ(store.fact("EPYC", "fact " + std::to_string(c)), c);
  EXPECT_EQ(store.lastProblem(), "");
  EXPECT_EQ(countLeftovers(), 0u);
}

TEST_F(SharedStores, KilledAtAnyMomentTheStoreKeepsWhatWasRecorded) {
  constexpr int known = 30;
  for (int n = 0; n < known; ++n)
    ASSERT_TRUE(TuningStore(directory).record(keyOf(n), recordOf(24, 512, 1)));
  std::mt19937 random(1);
  for (int round = 0; round < 80; ++round) {
    const pid_t writer = startChild([&] {
      TuningStore own(directory);
      for (int i = 1;; ++i)
        own.record(keyOf(1000 + i % 50), recordOf(24, 512, 1.0 / i));
      return true;
    });
    usleep(std::uniform_int_distribution<>(0, 6000)(random));
    killChild(writer);
    TuningStore fresh(directory);
    for (int n = 0; n < known; ++n)
      ASSERT_TRUE(fresh.lookup(keyOf(n))) << fresh.lastProblem();
    ASSERT_EQ(fresh.lastProblem(), "");
  }
}

TEST_F(SharedStores, KilledAtAnyMomentTheCacheKeepsWhatWasStored) {
  const KernelCache::Options options{directory, uint64_t(1) << 30};
  const std::string bytes(200000, 'x');
  ASSERT_TRUE(KernelCache(options).store("kept", bytes));
  std::mt19937 random(2);
  for (int round = 0; round < 60; ++round) {
    const pid_t writer = startChild([&] {
      KernelCache cache(options);
      for (int i = 0;; ++i)
        cache.store(i % 2 ? "kept" : "other", bytes);
      return true;
    });
    usleep(std::uniform_int_distribution<>(0, 6000)(random));
    killChild(writer);
    KernelCache cache(options);
    ASSERT_EQ(cache.lookup("kept"), bytes) << cache.lastProblem();
    const auto other = cache.lookup("other");
    ASSERT_TRUE(!other || *other == bytes);
    ASSERT_EQ(cache.statistics().damaged, 0u);
  }
}

TEST_F(SharedStores, AProcessThatStandsStillWithTheLockStopsNobody) {
  ASSERT_TRUE(TuningStore(directory).record(keyOf(1), recordOf(24, 512, 1)));
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t holder = startChild([&] {
    const int lock = open((directory + "/tuning.lock").c_str(), O_RDWR | O_CREAT, 0600);
    const bool good = lock >= 0 && flock(lock, LOCK_EX) == 0 && write(ready[1], "x", 1) == 1;
    pause();
    return good;
  });
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(TuningStore(directory).record(keyOf(2), recordOf(24, 512, 1)));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  killChild(holder);
  TuningStore fresh(directory);
  EXPECT_TRUE(fresh.lookup(keyOf(1)));
  EXPECT_TRUE(fresh.lookup(keyOf(2)));
}

TEST_F(SharedStores, AFullDiskLeavesTheStoreAsItWas) {
  ASSERT_TRUE(TuningStore(directory).record(keyOf(1), recordOf(24, 512, 1)));
  const std::string before = readText(file);
  EXPECT_TRUE(succeeded(startChild([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{before.size(), before.size()};
    setrlimit(RLIMIT_FSIZE, &limit);
    TuningStore store(directory);
    const bool recorded = store.record(keyOf(2), recordOf(48, 64, 1));
    return !recorded && store.lastProblem().find("File too large") != std::string::npos && store.lookup(keyOf(2)) &&
           store.lookup(keyOf(1));
  })));
  EXPECT_EQ(readText(file), before);
  EXPECT_EQ(countLeftovers(), 0u);
}

TEST_F(SharedStores, TheStoreFollowsNoSymbolicLink) {
  ASSERT_TRUE(TuningStore(directory).record(keyOf(1), recordOf(24, 512, 1)));
  const std::string elsewhere = folder / "elsewhere.json", content = readText(file);
  fs::rename(file, elsewhere);
  fs::create_symlink(elsewhere, file);
  TuningStore store(directory);
  EXPECT_FALSE(store.lookup(keyOf(1)));
  EXPECT_THAT(store.lastProblem(), HasSubstr("expected a file, got a symbolic link"));
  // The link gives way to a file; what it led to stays.
  EXPECT_TRUE(store.record(keyOf(2), recordOf(24, 512, 1)));
  EXPECT_FALSE(fs::is_symlink(file));
  EXPECT_EQ(readText(elsewhere), content);
  // A lock that is a link is no lock, and no reason to fail.
  fs::remove(directory + "/tuning.lock");
  fs::create_symlink(elsewhere, directory + "/tuning.lock");
  EXPECT_TRUE(store.record(keyOf(3), recordOf(24, 512, 1)));
  EXPECT_EQ(readText(elsewhere), content);
}

TEST_F(SharedStores, TheStoreBelievesNobodyElsesFile) {
  if (geteuid() != 0)
    GTEST_SKIP() << "needs root to give a file away";
  ASSERT_TRUE(TuningStore(directory).record(keyOf(1), recordOf(24, 512, 1)));
  ASSERT_EQ(chown(file.c_str(), 65534, 65534), 0);
  TuningStore store(directory);
  EXPECT_FALSE(store.lookup(keyOf(1)));
  EXPECT_THAT(store.lastProblem(), HasSubstr("expected a file of this user"));
}

TEST_F(SharedStores, AFlippedBitOfTheStoreIsAMissOrAnotherSoundRecord) {
  ASSERT_TRUE(TuningStore(directory).record(keyOf(1), recordOf(24, 512, 0.5)));
  const std::string good = readText(file);
  for (size_t bit = 0; bit < 8 * good.size(); bit += 5) { // 5: each place of a byte
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    writeText(file, flipped);
    if (auto record = TuningStore(directory).lookup(keyOf(1))) {
      ASSERT_TRUE(record->tiles.chosen()) << bit;
      ASSERT_GT(record->seconds, 0) << bit;
    }
  }
  writeText(file, good);
  EXPECT_TRUE(TuningStore(directory).lookup(keyOf(1)));
}

} // namespace

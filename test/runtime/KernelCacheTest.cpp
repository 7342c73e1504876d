// The cache on disk: what is promised of it under damage, races, kills and directories that cannot be used.

#include "TestFolder.h"

#include "runtime/KernelCache.h"

#include <gmock/gmock.h>

#include <csignal>
#include <fcntl.h>
#include <functional>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace flashc;
using namespace flashc::test;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

namespace {

std::string payload(int i, size_t size = 5000) { return std::string(size, static_cast<char>('a' + i % 26)); }

/// The files of the cache that are entries.
std::vector<fs::path> entries(const std::string &directory) {
  std::vector<fs::path> found;
  for (const auto &item : fs::directory_iterator(directory))
    if (item.path().extension() == ".kernel")
      found.push_back(item.path());
  return found;
}

/// Runs `body` in a child; true when it returned true.
bool inChild(const std::function<bool()> &body) {
  const pid_t child = fork();
  if (child == 0)
    _exit(body() ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class Cache : public ::testing::Test {
protected:
  TestFolder folder;
  std::string directory = folder / "cache";
  KernelCache::Options options{directory, uint64_t(1) << 30};
};

TEST_F(Cache, StoresAndFinds) {
  KernelCache cache(options);
  EXPECT_EQ(cache.lookup("key"), std::nullopt);
  EXPECT_TRUE(cache.store("key", payload(1)));
  EXPECT_EQ(cache.lookup("key"), payload(1));
  EXPECT_TRUE(cache.store("key", payload(2)));
  EXPECT_EQ(KernelCache(options).lookup("key"), payload(2));
  EXPECT_TRUE(cache.store("empty", ""));
  EXPECT_EQ(cache.lookup("empty"), "");
  cache.remove("key");
  EXPECT_EQ(cache.lookup("key"), std::nullopt);
  EXPECT_EQ(cache.lastProblem(), "");
  EXPECT_EQ(cache.directory(), directory);
  EXPECT_EQ(cache.statistics().hits, 2u);
  EXPECT_EQ(cache.statistics().misses, 2u);
  EXPECT_EQ(cache.statistics().stored, 3u);
}

TEST_F(Cache, MakesItsDirectoryPrivate) {
  options.directory = folder / "a/b/cache";
  KernelCache cache(options);
  EXPECT_TRUE(cache.store("key", "x"));
  struct stat info;
  for (const char *name : {"a", "a/b", "a/b/cache"}) {
    ASSERT_EQ(stat((folder / name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700u);
  }
  ASSERT_EQ(stat(entries(options.directory)[0].c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(Cache, DamagedEntriesAreMissesAndGo) {
  KernelCache cache(options);
  ASSERT_TRUE(cache.store("key", payload(1, 40)));
  const std::string file = entries(directory)[0];
  const std::string good = readText(file);
  for (size_t size = 0; size < good.size(); ++size) {
    writeText(file, good.substr(0, size));
    EXPECT_EQ(cache.lookup("key"), std::nullopt) << size;
    EXPECT_THAT(cache.lastProblem(), HasSubstr("is damaged and was removed"));
    EXPECT_FALSE(fs::exists(file));
  }
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    writeText(file, flipped);
    EXPECT_EQ(cache.lookup("key"), std::nullopt) << bit;
    EXPECT_FALSE(fs::exists(file));
  }
  writeText(file, good + "x");
  EXPECT_EQ(cache.lookup("key"), std::nullopt);
  EXPECT_EQ(cache.statistics().damaged, good.size() + 8 * good.size() + 1);
  writeText(file, good);
  EXPECT_EQ(cache.lookup("key"), payload(1, 40));
}

TEST_F(Cache, AnEntryUnderAnotherNameIsNotBelieved) {
  KernelCache cache(options);
  ASSERT_TRUE(cache.store("one", "1"));
  const fs::path one = entries(directory)[0];
  ASSERT_TRUE(cache.store("two", "2"));
  for (const fs::path &file : entries(directory))
    if (file != one)
      fs::copy_file(one, file, fs::copy_options::overwrite_existing);
  EXPECT_EQ(cache.lookup("two"), std::nullopt);
  EXPECT_THAT(cache.lastProblem(), HasSubstr("expected the entry of this key, got another one"));
  EXPECT_EQ(cache.lookup("one"), "1");
}

TEST_F(Cache, FollowsNoSymbolicLink) {
  fs::create_directory(folder / "elsewhere");
  fs::create_directory_symlink(folder / "elsewhere", directory);
  for (const std::string &path : {directory, directory + "/"}) {
    KernelCache cache(KernelCache::Options{path, 1000000});
    EXPECT_FALSE(cache.store("key", "x"));
    EXPECT_EQ(cache.lastProblem(), "cache directory " + directory + ": expected a directory, got a symbolic link");
    EXPECT_EQ(cache.lookup("key"), "x"); // from memory
    EXPECT_EQ(cache.directory(), "");
  }
  EXPECT_TRUE(fs::is_empty(folder / "elsewhere"));

  // An entry that is a link is not read either.
  options.directory = folder / "real";
  KernelCache cache(options);
  ASSERT_TRUE(cache.store("key", "x"));
  const fs::path file = entries(options.directory)[0];
  fs::rename(file, folder / "moved");
  fs::create_symlink(folder / "moved", file);
  EXPECT_EQ(cache.lookup("key"), std::nullopt);
  EXPECT_THAT(cache.lastProblem(), HasSubstr("expected a file, got a symbolic link"));
  EXPECT_TRUE(fs::exists(folder / "moved"));
}

TEST_F(Cache, RefusesADirectoryThatOthersCanWrite) {
  for (mode_t mode : {0770, 0707, 01777}) {
    fs::remove_all(directory);
    ASSERT_EQ(mkdir(directory.c_str(), 0700), 0);
    ASSERT_EQ(chmod(directory.c_str(), mode), 0);
    KernelCache cache(options);
    EXPECT_FALSE(cache.store("key", "x"));
    EXPECT_THAT(cache.lastProblem(), HasSubstr("expected no write permission for group and others, got mode "));
    EXPECT_TRUE(fs::is_empty(directory));
  }
}

TEST_F(Cache, RefusesADirectoryOfAnotherUser) {
  if (geteuid() != 0)
    GTEST_SKIP() << "needs root to give a directory away";
  ASSERT_EQ(mkdir(directory.c_str(), 0700), 0);
  ASSERT_EQ(chown(directory.c_str(), 65534, 65534), 0);
  KernelCache cache(options);
  EXPECT_FALSE(cache.store("key", "x"));
  EXPECT_EQ(cache.lastProblem(), "cache directory " + directory + ": expected owner 0, got 65534");
  EXPECT_EQ(cache.lookup("key"), "x");
}

TEST_F(Cache, WorksInMemoryWhereItCannotWrite) {
  ASSERT_EQ(mkdir(directory.c_str(), 0700), 0);
  ASSERT_TRUE(KernelCache(options).store("old", "kept"));
  ASSERT_EQ(chmod(directory.c_str(), 0500), 0);
  ASSERT_EQ(chmod(folder.path.c_str(), 0755), 0);
  const bool root = geteuid() == 0;
  if (root) {
    ASSERT_EQ(chown(directory.c_str(), 65534, 65534), 0);
    ASSERT_EQ(chown(entries(directory)[0].c_str(), 65534, 65534), 0);
  }
  EXPECT_TRUE(inChild([&] {
    if (root && (setgid(65534) != 0 || setuid(65534) != 0))
      return false;
    KernelCache cache(options);
    return cache.lookup("old") == "kept" && !cache.store("new", "x") &&
           cache.lastProblem().find("Permission denied") != std::string::npos && cache.lookup("new") == "x" &&
           cache.lookup("old") == "kept";
  }));
}

TEST_F(Cache, WorksInMemoryWhenTheDiskIsFull) {
  EXPECT_TRUE(inChild([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    KernelCache cache(options);
    return !cache.store("key", payload(1, 100000)) && cache.lastProblem().find("File too large") != std::string::npos &&
           cache.lookup("key") == payload(1, 100000) && cache.store("small", "x") && cache.lookup("small") == "x";
  }));
  // Nothing half-written stays.
  EXPECT_EQ(std::distance(fs::directory_iterator(directory), fs::directory_iterator()), 1);
}

TEST_F(Cache, FindsItsDirectoryInTheEnvironment) {
  EXPECT_TRUE(inChild([&] {
    setenv("HOME", folder.path.c_str(), 1);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("FLASHC_CACHE_DIR");
    bool good = KernelCache().store("a", "x") && KernelCache().directory() == (folder / ".cache/flashc");
    setenv("XDG_CACHE_HOME", "relative", 1);
    good &= *CacheFolder::defaultPath() == (folder / ".cache/flashc");
    setenv("XDG_CACHE_HOME", (folder / "xdg").c_str(), 1);
    good &= *CacheFolder::defaultPath() == (folder / "xdg/flashc");
    setenv("FLASHC_CACHE_DIR", (folder / "own").c_str(), 1);
    good &= *CacheFolder::defaultPath() == (folder / "own");
    for (const char *name : {"FLASHC_CACHE_DIR", "XDG_CACHE_HOME", "HOME"})
      unsetenv(name);
    KernelCache cache;
    good &= !cache.store("b", "y") && cache.lookup("b") == "y" &&
            cache.lastProblem() == "no cache directory: none of FLASHC_CACHE_DIR, XDG_CACHE_HOME and HOME is set";
    setenv("HOME", "/proc/none", 1);
    good &= !cache.store("c", "z") && cache.lookup("c") == "z";
    return good;
  }));
}

TEST_F(Cache, DropsTheLeastRecentlyUsed) {
  options.maxBytes = 4 * 1100;
  KernelCache cache(options);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(cache.store("key" + std::to_string(i), payload(i, 1000)));
    std::this_thread::sleep_for(std::chrono::milliseconds(20)); // file times tick with the kernel's clock
  }
  EXPECT_TRUE(cache.lookup("key0"));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ASSERT_TRUE(cache.store("key4", payload(4, 1000)));
  EXPECT_EQ(cache.statistics().evicted, 1u);
  EXPECT_TRUE(cache.lookup("key0"));
  EXPECT_FALSE(cache.lookup("key1"));
  EXPECT_TRUE(cache.lookup("key2"));
}

TEST_F(Cache, BoundsWhatItKeepsInMemory) {
  writeText(directory, "a file in the way");
  options.maxBytes = 2500;
  KernelCache cache(options);
  for (int i = 0; i < 4; ++i)
    EXPECT_FALSE(cache.store("key" + std::to_string(i), payload(i, 1000)));
  EXPECT_THAT(cache.lastProblem(), HasSubstr("Not a directory"));
  EXPECT_FALSE(cache.lookup("key1"));
  EXPECT_TRUE(cache.lookup("key2"));
  EXPECT_TRUE(cache.lookup("key3"));
  cache.remove("key3");
  EXPECT_FALSE(cache.lookup("key3"));
}

TEST_F(Cache, MakesItsDirectoryAgain) {
  KernelCache cache(options);
  ASSERT_TRUE(cache.store("a", "1"));
  fs::remove_all(directory);
  EXPECT_FALSE(cache.lookup("a"));
  EXPECT_TRUE(cache.store("a", "2")) << cache.lastProblem();
  EXPECT_EQ(KernelCache(options).lookup("a"), "2");
}

TEST_F(Cache, RemovesWhatDeadWritersLeft) {
  KernelCache cache(options);
  ASSERT_TRUE(cache.store("a", "1"));
  writeText(directory + "/.new-old", "half");
  writeText(directory + "/.new-young", "half");
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, (directory + "/.new-old").c_str(), old, 0), 0);
  ASSERT_TRUE(cache.store("b", "2"));
  EXPECT_FALSE(fs::exists(directory + "/.new-old"));
  EXPECT_TRUE(fs::exists(directory + "/.new-young"));
}

TEST_F(Cache, ManyThreads) {
  KernelCache cache(options);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string key = "key" + std::to_string((t + i) % 5);
        if (auto found = cache.lookup(key); found && *found != payload((t + i) % 5))
          ++wrong;
        cache.store(key, payload((t + i) % 5));
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Cache, SixtyFourProcessesOnAColdCache) {
  std::vector<pid_t> children;
  for (int c = 0; c < 64; ++c) {
    const pid_t child = fork();
    if (child == 0) {
      KernelCache cache(options);
      bool good = true;
      for (int i = 0; i < 5; ++i) {
        const std::string key = "key" + std::to_string((c + i) % 5);
        auto found = cache.lookup(key);
        if (!found) {
          good &= cache.store(key, payload((c + i) % 5));
          found = cache.lookup(key);
        }
        good &= found == payload((c + i) % 5);
      }
      _exit(good && cache.lastProblem().empty() ? 0 : 1);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  EXPECT_EQ(entries(directory).size(), 5u);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory), fs::directory_iterator()), 5);
}

TEST_F(Cache, AKilledWriterLosesNothing) {
  ASSERT_TRUE(KernelCache(options).store("key", payload(0, 300000)));
  for (int round = 0; round < 25; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      KernelCache cache(options);
      for (int i = 0;; ++i)
        cache.store("key", payload(i, 300000));
    }
    usleep(2000 + 700 * round);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    KernelCache cache(options);
    const auto found = cache.lookup("key");
    ASSERT_TRUE(found) << cache.lastProblem();
    ASSERT_EQ(*found, payload((*found)[0] - 'a', 300000));
    ASSERT_EQ(cache.statistics().damaged, 0u);
  }
}

} // namespace

// The tuning store: what it remembers, joins and survives.

#include "TestFolder.h"

#include "runtime/TuningStore.h"

#include <gmock/gmock.h>

#include <cmath>
#include <csignal>
#include <limits>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace flashc;
using namespace flashc::test;
using nlohmann::json;
using ::testing::HasSubstr;

namespace {

TuningKey keyOf(int n) { return {"EPYC, 2 CPUs", "forward f32 64", "S" + std::to_string(n), "flashc 0.1", ""}; }

class Tuning : public ::testing::Test {
protected:
  TestFolder folder;
  std::string directory = folder / "cache";
  std::string file = directory + "/" + TuningStore::fileName;
};

TEST_F(Tuning, RemembersAcrossStores) {
  TuningStore store(directory);
  EXPECT_FALSE(store.lookup(keyOf(1)));
  EXPECT_TRUE(store.record(keyOf(1), {{24, 512}, 0.5})) << store.lastProblem();
  EXPECT_TRUE(store.recordFact("EPYC", "f32 FMA GFLOP/s", 506.25));
  TuningStore other(directory);
  ASSERT_TRUE(other.lookup(keyOf(1)));
  EXPECT_EQ(other.lookup(keyOf(1))->tiles, (TileSizes{24, 512}));
  EXPECT_EQ(other.lookup(keyOf(1))->seconds, 0.5);
  EXPECT_EQ(other.fact("EPYC", "f32 FMA GFLOP/s"), 506.25);
  EXPECT_EQ(other.fact("EPYC", "bf16"), std::nullopt);
  EXPECT_EQ(other.lastProblem(), "");
}

TEST_F(Tuning, ReadersMakeNoFolder) {
  TuningStore store(directory);
  EXPECT_FALSE(store.lookup(keyOf(1)));
  EXPECT_EQ(store.lastProblem(), "");
  EXPECT_NE(::access(directory.c_str(), F_OK), 0);
  // What another store writes there later is found.
  EXPECT_TRUE(TuningStore(directory).record(keyOf(1), {{24, 512}, 0.5}));
  EXPECT_TRUE(store.lookup(keyOf(1)));
}

TEST_F(Tuning, EveryPartOfTheKeyCounts) {
  TuningStore store(directory);
  ASSERT_TRUE(store.record({"d", "k", "s", "c", "a"}, {{1, 2}, 1}));
  for (const TuningKey &key : {TuningKey{"x", "k", "s", "c", "a"},
                               {"d", "x", "s", "c", "a"},
                               {"d", "k", "x", "c", "a"},
                               {"d", "k", "s", "x", "a"},
                               {"d", "k", "s", "c", "x"}})
    EXPECT_FALSE(store.lookup(key));
}

TEST_F(Tuning, TheFasterStaysWhateverTheOrder) {
  TuningStore a(directory), b(directory);
  EXPECT_TRUE(a.record(keyOf(1), {{24, 512}, 0.5}));
  EXPECT_TRUE(b.record(keyOf(1), {{48, 256}, 0.7}));
  EXPECT_EQ(b.lookup(keyOf(1))->tiles, (TileSizes{24, 512}));
  EXPECT_TRUE(b.record(keyOf(1), {{32, 128}, 0.3}));
  EXPECT_EQ(a.lookup(keyOf(1))->tiles, (TileSizes{32, 128}));
  // Of a fact, the later.
  EXPECT_TRUE(a.recordFact("d", "x", 1));
  EXPECT_TRUE(b.recordFact("d", "x", 2));
  EXPECT_TRUE(a.record(keyOf(2), {{1, 1}, 1}));
  EXPECT_EQ(a.fact("d", "x"), 2);
}

TEST_F(Tuning, IsReadableAndEditable) {
  TuningStore store(directory);
  ASSERT_TRUE(store.record(keyOf(1), {{24, 512}, 0.5}));
  json content = json::parse(readText(file));
  EXPECT_EQ(content["format"], "flashc-tuning");
  EXPECT_EQ(content["entries"][0]["tiles"]["keys"], 512);
  content["entries"][0]["tiles"]["keys"] = 1024;
  content["entries"][0]["seconds"] = 0.9;
  writeText(file, content.dump());
  EXPECT_EQ(store.lookup(keyOf(1))->tiles, (TileSizes{24, 1024}));
  std::filesystem::remove(file);
  EXPECT_FALSE(store.lookup(keyOf(1)));
}

TEST_F(Tuning, RefusesWhatIsNoMeasurement) {
  TuningStore store(directory);
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  for (const TuningRecord &record : {TuningRecord{{24, 512}, 0},
                                     {{24, 512}, -1},
                                     {{24, 512}, nan},
                                     {{24, 512}, inf},
                                     {{0, 512}, 1},
                                     {{24, -1}, 1}}) {
    EXPECT_FALSE(store.record(keyOf(1), record));
    EXPECT_THAT(store.lastProblem(), HasSubstr("expected tile sizes of at least 1 and a positive time, got "));
  }
  EXPECT_FALSE(store.recordFact("d", "x", inf));
  EXPECT_EQ(store.lastProblem(), "tuning store: expected a finite value of \"x\", got inf");
  EXPECT_FALSE(store.lookup(keyOf(1)));
}

TEST_F(Tuning, ADamagedFileIsEmptyAndReplaced) {
  TuningStore store(directory);
  ASSERT_TRUE(store.record(keyOf(1), {{24, 512}, 0.5}));
  const std::string good = readText(file);
  for (size_t size = 0; size + 2 < good.size(); size += 7) {
    writeText(file, good.substr(0, size));
    EXPECT_FALSE(TuningStore(directory).lookup(keyOf(1))) << size;
  }
  for (const char *text : {"[]", "{}", "nonsense", "{\"format\":\"flashc-tuning\",\"version\":2,\"entries\":[]}"}) {
    writeText(file, text);
    TuningStore fresh(directory);
    EXPECT_FALSE(fresh.lookup(keyOf(1)));
    EXPECT_EQ(fresh.lastProblem(), "tuning store: tuning-1.json is damaged and counts as empty");
    EXPECT_TRUE(fresh.record(keyOf(2), {{1, 1}, 1}));
    EXPECT_TRUE(TuningStore(directory).lookup(keyOf(2)));
  }
}

TEST_F(Tuning, DamagedEntriesAreSkipped) {
  TuningStore store(directory);
  ASSERT_TRUE(store.record(keyOf(1), {{24, 512}, 0.5}));
  json content = json::parse(readText(file));
  const json good = content["entries"][0];
  json noTiles = good, textTime = good, negative = good, huge = good, vast = good, half = good;
  noTiles.erase("tiles");
  textTime["seconds"] = "fast";
  negative["tiles"]["rows"] = -24;
  huge["tiles"]["keys"] = 1e300;
  vast["tiles"]["keys"] = ~uint64_t(0);
  half["tiles"]["split"] = 0.5;
  for (const json &bad : {noTiles, textTime, negative, huge, vast, half, json(), json(7), json::array()})
    content["entries"].push_back(bad);
  content["facts"] = {{"d", {{"x", "y"}, {"z", 1.5}}}};
  writeText(file, content.dump());
  TuningStore fresh(directory);
  EXPECT_TRUE(fresh.lookup(keyOf(1)));
  EXPECT_EQ(fresh.lastProblem(), "tuning store: tuning-1.json: 10 damaged entries were skipped");
  EXPECT_EQ(fresh.fact("d", "z"), 1.5);
  content["entries"] = 5;
  content["facts"] = "none";
  writeText(file, content.dump());
  EXPECT_FALSE(fresh.lookup(keyOf(1)));
}

TEST_F(Tuning, WorksInMemoryWhereItCannotWrite) {
  writeText(directory, "a file in the way");
  TuningStore store(directory);
  EXPECT_FALSE(store.record(keyOf(1), {{24, 512}, 0.5}));
  EXPECT_THAT(store.lastProblem(), HasSubstr("Not a directory"));
  EXPECT_TRUE(store.lookup(keyOf(1)));
  EXPECT_FALSE(store.recordFact("d", "x", 3));
  EXPECT_EQ(store.fact("d", "x"), 3);
  // As soon as it can, what was kept is written.
  std::filesystem::remove(directory);
  EXPECT_TRUE(store.record(keyOf(2), {{8, 8}, 1}));
  TuningStore other(directory);
  EXPECT_TRUE(other.lookup(keyOf(1)));
  EXPECT_EQ(other.fact("d", "x"), 3);
}

TEST_F(Tuning, JoinsWhatManyProcessesWrite) {
  constexpr int processes = 16;
  std::vector<pid_t> children;
  for (int c = 0; c < processes; ++c) {
    const pid_t child = fork();
    if (child == 0) {
      TuningStore store(directory);
      bool good = store.record(keyOf(c), {{24, 512}, 1.0});
      good &= store.record(keyOf(1000), {{c + 1, 64}, 1.0 / (c + 1)});
      _exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  TuningStore store(directory);
  for (int c = 0; c < processes; ++c)
    EXPECT_TRUE(store.lookup(keyOf(c))) << c;
  EXPECT_EQ(store.lookup(keyOf(1000))->tiles.rows, processes);
}

TEST_F(Tuning, AKilledWriterLosesNothing) {
  TuningStore store(directory);
  for (int n = 0; n < 50; ++n)
    ASSERT_TRUE(store.record(keyOf(n), {{24, 512}, 1}));
  for (int round = 0; round < 10; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      TuningStore own(directory);
      for (int i = 1;; ++i)
        own.record(keyOf(i % 50), {{24, 512}, 1.0 / i});
    }
    usleep(3000 + 1000 * round);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    TuningStore fresh(directory);
    for (int n = 0; n < 50; ++n)
      ASSERT_TRUE(fresh.lookup(keyOf(n))) << fresh.lastProblem();
  }
}

} // namespace

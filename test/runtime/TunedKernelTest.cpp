//===- TunedKernelTest.cpp - what is in a key of the tuning store, and what is not ---===//

#include "runtime/TunedKernel.h"
#include "runtime/Pretuned.h"
#include "test/runtime/TestFolder.h"

#include <cstdlib>

using namespace flashc;
using flashc::test::readText;
using flashc::test::TestFolder;
using flashc::test::writeText;

namespace {
const std::string plain = R"json({"dtype": "bf16", "head_dim": 64, "value_head_dim": 64, "mask": "causal(top_left)",
                  "score" : false, "native" : true, "target" : "cpu:znver4,+avx2"
})json";

std::string keyOf(const std::string &metadata) {
  std::optional<TunedKernel> kernel = TunedKernel::parse(metadata);
  return kernel ? kernel->key() : "none";
}

std::string with(std::string metadata, const std::string &member) {
  return metadata.replace(metadata.rfind('}'), 1, ", " + member + "}");
}

TEST(TuningKeys, SayWhatMatters) {
  EXPECT_EQ(keyOf(plain), "forward bf16 d64 causal(top_left)");
  EXPECT_EQ(keyOf(R"json({"dtype": "f32", "head_dim": 192, "value_head_dim": 128, "mask": "", "target": "cpu"})json"),
            "forward f32 d192/128 for cpu");
  EXPECT_EQ(keyOf(with(plain, R"json("softcap": 30.0, "operands": [{"name": "q"}, {"name": "bias"}])json")),
            "forward bf16 d64 causal(top_left) +bias +softcap");
  EXPECT_EQ(keyOf(R"json({"dtype": "f32", "head_dim": 64, "value_head_dim": 64, "score": true, "native": true})json"),
            "forward f32 d64 +score");
  EXPECT_EQ(keyOf(with(plain, R"json("tf32": true)json")), "forward bf16 d64 causal(top_left) +tf32");
}

TEST(TuningKeys, SayNothingElse) {
  for (const char *member :
       {R"json("scale": 0.25)json", R"json("name": "mine")json",
        R"json("operands": [{"name": "q"}, {"name": "out"}, {"name": "lse"}])json", R"json("compiler": "flashc 9")json",
        R"json("tiles": {"rows": 1, "keys": 2})json", R"json("target": "cpu:znver5,-avx2")json"})
    EXPECT_EQ(keyOf(with(plain, member)), keyOf(plain)) << member;
  // The number of threads is a matter of the call, and the device's identity holds how many CPUs there are.
  const DeviceInfo device = cpuDevice().describe();
  const TuningKey key = tuningKey(device, *TunedKernel::parse(plain), {1, 8, 8, 1024, 1024}, "build");
  ::setenv("FLASHC_NUM_THREADS", "1", 1);
  ASSERT_EQ(flashc_set_num_threads(1), FLASHC_OK);
  const TuningKey other = tuningKey(cpuDevice().describe(), *TunedKernel::parse(plain), {1, 8, 8, 1000, 700}, "build");
  ::unsetenv("FLASHC_NUM_THREADS");
  ASSERT_EQ(flashc_set_num_threads(0), FLASHC_OK);
  EXPECT_FALSE(key < other || other < key) << key.shape << " and " << other.shape;
}

TEST(TuningKeys, BucketSizes) {
  EXPECT_EQ(shapeBucket({1, 8, 8, 1024, 1024}), "h8 g1 q1024 k1024");
  EXPECT_EQ(shapeBucket({2, 4, 4, 513, 1000}), "h8 g1 q1024 k1024");
  EXPECT_EQ(shapeBucket({1, 32, 8, 1, 4097}), "h32 g4 q1 k8192");
  EXPECT_EQ(shapeBucket({0, 8, 8, 0, 0}), "h0 g1 q0 k0");
  const ProblemSizes largest = bucketProblem({3, 12, 4, 197, 197});
  EXPECT_EQ(shapeBucket(largest), shapeBucket({3, 12, 4, 197, 197}));
  EXPECT_EQ(largest.describe(), "B1 Hq64/16 Sq256 Sk256");
}

TEST(TuningKeys, ClassWindows) {
  EXPECT_EQ(maskClassOf(""), "");
  EXPECT_EQ(maskClassOf("causal(top_left) & window(100,0,top_left)"), "causal(top_left) & window(128,0,top_left)");
  EXPECT_EQ(maskClassOf("window(-1,5,bottom_right) & key_lengths"), "window(-1,8,bottom_right) & key_lengths");
  const TunedKernel kernel = *TunedKernel::parse(
      R"json({"dtype": "f32", "head_dim": 64, "value_head_dim": 64, "mask": "causal(top_left) & window(127,0,top_left)"
})json");
  EXPECT_TRUE(kernel.causal);
  EXPECT_EQ(kernel.window, 128);
}

TEST(TuningKeys, TellWhatIsDoneToScores) {
  struct Traits {
    const char *members;
    bool hasMask, hasBias, hasScore, hasSoftcap, readsKeys, hasWindow;
  };
  for (const Traits &expected :
       {Traits{R"json("mask": "")json", false, false, false, false, false, false},
        {R"json("mask": "causal(top_left) & key_lengths")json", true, false, false, false, false, false},
        {R"json("mask": "segments")json", true, false, false, false, true, false},
        {R"json("mask": "causal(top_left) & key_padding")json", true, false, false, false, true, false},
        {R"json("mask": "tensor & window(9,-1,top_left)")json", true, false, false, false, true, true},
        {R"json("mask": "window(-1,3,top_left)")json", true, false, false, false, false, false},
        {R"json("mask": "window(9,0,top_left) & window(-1,3,top_left)")json", true, false, false, false, false, true},
        {R"json("mask": "window(-1,-1,top_left)")json", false, false, false, false, false, false},
        {R"json("mask": "", "score": true)json", false, false, true, false, false, false},
        {R"json("mask": "", "softcap": 3.0, "operands": [{"name": "bias"}])json", false, true, false, true, false,
         false}}) {
    const std::string text = R"json({"dtype": "f32", "head_dim": 64, "value_head_dim": 64, )json";
    const std::optional<TunedKernel> kernel = TunedKernel::parse(text + expected.members + "}");
    ASSERT_TRUE(kernel) << expected.members;
    const ScoreTraits scores = kernel->shape({1, 8, 8, 64, 64}).scores;
    EXPECT_EQ(scores.hasMask, expected.hasMask) << expected.members;
    EXPECT_EQ(scores.hasBias, expected.hasBias) << expected.members;
    EXPECT_EQ(scores.hasScore, expected.hasScore) << expected.members;
    EXPECT_EQ(scores.hasSoftcap, expected.hasSoftcap) << expected.members;
    EXPECT_EQ(scores.readsKeys, expected.readsKeys) << expected.members;
    EXPECT_EQ(scores.hasWindow, expected.hasWindow) << expected.members;
  }
}

TEST(TuningKeys, AreOfOneAttention) {
  for (const char *text : {"", "[]", "{}", R"json({"dtype": "f32"})json", R"json({"dtype": 1, "head_dim": 64})json",
                           R"json({"dtype": "f32", "head_dim": -1, "value_head_dim": 1})json"})
    EXPECT_EQ(keyOf(text), "none") << text;
}

//===----------------------------------------------------------------------===//
// Records
//===----------------------------------------------------------------------===//

const TuningKey someKey{"device", "kernel", "h8 g1 q1024 k1024", "build", ""};

TEST(TunedTiles, CompareWithinABucket) {
  TestFolder folder;
  TuningStore store(folder.path);
  // Three quarters of the bucket's work: what is kept is the time of the bucket's largest problem.
  ASSERT_TRUE(keepTiles(store, someKey, {1, 8, 8, 1024, 768}, {24, 512, 0}, 3e-3));
  EXPECT_DOUBLE_EQ(store.lookup(someKey)->seconds, 4e-3);
}

TEST(TunedTiles, ReplaceWhatTheyWereComparedWith) {
  TestFolder folder;
  TuningStore store(folder.path);
  ASSERT_TRUE(store.record(someKey, {{24, 512, 0}, 1e-3}));
  ASSERT_TRUE(store.record(someKey, {{48, 512, 0}, 2e-3}));
  EXPECT_EQ(store.lookup(someKey)->tiles, (TileSizes{24, 512, 0}));
  ASSERT_TRUE(store.replace(someKey, {{48, 512, 4096}, 2e-3}));
  EXPECT_EQ(store.lookup(someKey)->tiles, (TileSizes{48, 512, 4096}));
  EXPECT_EQ(TuningStore(folder.path).lookup(someKey)->tiles, (TileSizes{48, 512, 4096}));
}

TEST(TunedTiles, TravelInAFile) {
  TestFolder folder, other;
  TuningStore store(folder.path);
  ASSERT_TRUE(store.record(someKey, {{24, 512, 0}, 1e-3}));
  ASSERT_TRUE(store.recordFact("device", "f32-fma-gflops", 100));
  ASSERT_EQ(store.exportTo(other / "tuned.json"), std::nullopt);

  TuningStore target(other.path);
  TuningKey slower = someKey;
  slower.shape = "h8 g1 q2048 k2048";
  ASSERT_TRUE(target.record(slower, {{6, 64, 0}, 1e-3}));
  ASSERT_TRUE(target.record(someKey, {{6, 64, 0}, 5e-3}));
  ASSERT_TRUE(target.recordFact("device", "f32-fma-gflops", 90));
  Result<int64_t> count = target.importFrom(other / "tuned.json");
  ASSERT_TRUE(count) << count.error().message;
  EXPECT_EQ(*count, 1);
  EXPECT_EQ(target.list().size(), 2u);
  EXPECT_EQ(target.lookup(someKey)->tiles, (TileSizes{24, 512, 0})); // the faster one
  EXPECT_EQ(target.fact("device", "f32-fma-gflops"), 90);            // measured here
  EXPECT_EQ(TuningStore(other.path).list().size(), 2u);
}

TEST(TunedTiles, RefuseAForeignFile) {
  TestFolder folder;
  TuningStore store(folder.path);
  for (const char *text : {"", "{}", "[1]", "{\"format\": \"flashc-tuning\", \"version\": 2}", "\xff\xfe"}) {
    writeText(folder / "foreign.json", text);
    Result<int64_t> count = store.importFrom(folder / "foreign.json");
    ASSERT_FALSE(count) << text;
    EXPECT_EQ(count.error().status, FLASHC_ERROR_FORMAT);
    EXPECT_NE(count.error().message.find("expected a file that flash-run --tune --export wrote"), std::string::npos);
  }
  EXPECT_EQ(store.importFrom(folder / "missing.json").error().status, FLASHC_ERROR_IO);
  EXPECT_EQ(store.exportTo(folder / "no/such/folder.json")->status, FLASHC_ERROR_IO);
  EXPECT_TRUE(store.list().empty());
}

//===----------------------------------------------------------------------===//
// Shipped
//===----------------------------------------------------------------------===//

const std::string shipped = R"json({"format": "flashc-pretuned", "version": 1, "classes": [
  {"name": "a", "family": "cpu", "requires": ["avx512", "amx-bf16"], "entries": [
    {"kernel": "kernel", "shape": "h8 g1 q1024 k1024", "tiles": {"rows": 128, "keys": 256}, "source": "modelled"}]},
  {"name": "b", "family": "cpu", "requires": ["avx512"], "excludes": ["amx-bf16"], "entries": [
    {"kernel": "kernel", "shape": "h8 g1 q1024 k1024", "tiles": {"rows": "many"}, "source": "measured"},
    {"kernel": "kernel", "shape": "h8 g1 q1024 k1024", "tiles": {"rows": 24, "keys": 512}, "source": "measured"}]}]})json";

DeviceInfo deviceWith(const std::string &features, const std::string &family = "cpu") {
  DeviceInfo info;
  info.family = family;
  info.features = features;
  info.identity = "some name";
  return info;
}

TEST(Pretuned, GoesByWhatADeviceCanDo) {
  std::optional<FoundTiles> found = findPretuned(shipped, deviceWith("avx2 avx512 amx-bf16"), someKey);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->tiles, (TileSizes{128, 256, 0}));
  EXPECT_EQ(found->source, "shipped (modelled)");
  found = findPretuned(shipped, deviceWith("avx2 avx512"), someKey);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->tiles, (TileSizes{24, 512, 0}));
  EXPECT_EQ(found->source, "shipped (measured)");
  EXPECT_FALSE(findPretuned(shipped, deviceWith("avx2"), someKey));
  EXPECT_FALSE(findPretuned(shipped, deviceWith("avx2 avx512-bf16"), someKey));
  EXPECT_FALSE(findPretuned(shipped, deviceWith("avx2 avx512", "cuda"), someKey));
  TuningKey other = someKey;
  other.shape = "h8 g1 q2048 k2048";
  EXPECT_FALSE(findPretuned(shipped, deviceWith("avx512"), other));
  other = someKey;
  other.compiler = "another build";
  EXPECT_TRUE(findPretuned(shipped, deviceWith("avx512"), other));
  for (const char *damaged :
       {"", "{}", "[]", "{\"format\": \"flashc-pretuned\", \"version\": 1, \"classes\": [1, {}]}"})
    EXPECT_FALSE(findPretuned(damaged, deviceWith("avx512"), someKey)) << damaged;
}

TEST(Pretuned, ComesAfterTheUsersOwn) {
  TestFolder folder;
  TuningStore store(folder.path);
  DeviceInfo info = cpuDevice().describe();
  ASSERT_TRUE(store.record(someKey, {{6, 64, 0}, 1}));
  EXPECT_EQ(findTiles(store, info, someKey)->source, "store");
}

TEST(Pretuned, TheFileOfThePackageIsWhole) {
  const std::string text = readText(PRETUNED_FILE);
  const TuningKey intel{"", "forward bf16 d128", "h8 g1 q4096 k4096", "any", ""};
  std::optional<FoundTiles> found =
      findPretuned(text, deviceWith("avx2 avx512 avx512-bf16 avx512-fp16 amx-bf16"), intel);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->source, "shipped (modelled)");
  EXPECT_GE(found->tiles.rows, 128);
  const TuningKey amd{"", "forward f32 d64 causal(top_left)", "h8 g1 q1024 k1024", "any", ""};
  found = findPretuned(text, deviceWith("avx2 avx512 avx512-bf16"), amd);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->source, "shipped (measured)");
  EXPECT_FALSE(findPretuned(text, deviceWith("avx2"), amd));
}
} // namespace

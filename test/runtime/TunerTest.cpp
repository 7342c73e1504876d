//===- TunerTest.cpp - tuning on a device that does as it is told ---------------===//

#include "runtime/Tuner.h"
#include "test/runtime/TestFolder.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <random>
#include <thread>
#include <unistd.h>

using namespace flashc;

namespace {
/// How a scripted kernel behaves.
struct Script {
  double seconds = 1e-3;
  double noise = 0; ///< share by which single timings vary
  std::string trouble =
      "";           ///< "wrong", "nothing", "nan", "crash", "hang", "exit", "no-compile", "no-load", "wrong-rows"
  double drift = 0; ///< each later timing is longer by this share
};
using Scripts = std::map<TileSizes, Script>;

constexpr int64_t headDim = 4;

flashc_operand_info operand(const char *name, int64_t heads, int64_t length, uint32_t flags) {
  flashc_operand_info info{};
  std::snprintf(info.name, sizeof(info.name), "%s", name);
  info.dtype = FLASHC_F32;
  info.rank = 4;
  info.flags = flags;
  const int64_t sizes[] = {FLASHC_SIZE_BATCH, heads, length, headDim};
  std::copy(sizes, sizes + 4, info.size);
  return info;
}

const flashc_operand_info operands[] = {
    operand("q", FLASHC_SIZE_Q_HEADS, FLASHC_SIZE_QUERIES, 0), operand("k", FLASHC_SIZE_KV_HEADS, FLASHC_SIZE_KEYS, 0),
    operand("v", FLASHC_SIZE_KV_HEADS, FLASHC_SIZE_KEYS, 0),
    operand("out", FLASHC_SIZE_Q_HEADS, FLASHC_SIZE_QUERIES, FLASHC_OPERAND_OUTPUT)};

class ScriptedKernel;

/// The device finds the kernel by the info that its functions come with.
struct ScriptedInfo : flashc_kernel_info {
  const ScriptedKernel *kernel = nullptr;
};

class ScriptedKernel final : public LoadedKernel {
public:
  explicit ScriptedKernel(const Script &script) : script(script) {
    described.kernel = this;
    described.abi_version = FLASHC_ABI_VERSION;
    described.struct_size = sizeof(flashc_kernel_info);
    described.num_operands = 4;
    described.operands = operands;
    kernel.info = &described;
  }
  static const ScriptedKernel &of(const flashc_kernel &functions) {
    return *static_cast<const ScriptedInfo *>(functions.info)->kernel;
  }
  Script script;
  mutable int timed = 0;

private:
  ScriptedInfo described{};
};

/// Runs the reference as its kernel, or does what the script says.
class ScriptedDevice final : public Device {
public:
  explicit ScriptedDevice(Scripts scripts) : scripts(std::move(scripts)) {}
  DeviceInfo describe() const override {
    DeviceInfo info;
    info.family = "scripted";
    info.identity = "scripted, 1 unit";
    return info;
  }
  DeviceFacts measure() override { return {}; }
  std::unique_ptr<CostModel> costModel(const DeviceFacts &) const override { return nullptr; }
  Result<std::unique_ptr<LoadedKernel>> load(const Artifact &artifact) override {
    const Script script = scripts.at(*tilesOf(artifact.metadata));
    if (script.trouble == "no-load")
      return Error{FLASHC_ERROR_FORMAT, "damaged"};
    return std::unique_ptr<LoadedKernel>(new ScriptedKernel(script));
  }
  std::optional<Error> launch(const flashc_kernel &kernel, const flashc_args &args, void *) override {
    const Script &script = ScriptedKernel::of(kernel).script;
    if (script.trouble == "crash")
      ::raise(SIGSEGV);
    if (script.trouble == "exit")
      ::_exit(7);
    if (script.trouble == "hang")
      std::this_thread::sleep_for(std::chrono::hours(1));
    // What the kernel before it wrote is right, and still there.
    if (script.trouble == "nothing")
      return std::nullopt;
    AttentionProblem problem;
    problem.q = args.tensors[0];
    problem.k = args.tensors[1];
    problem.v = args.tensors[2];
    Result<AttentionResult> result = referenceAttention(problem, nullptr);
    if (!result)
      return result.error();
    auto *out = static_cast<float *>(args.tensors[3].data);
    for (size_t i = 0; i < result->out.size(); ++i)
      out[i] = static_cast<float>(result->out[i]);
    if (script.trouble == "wrong" && !result->out.empty())
      out[result->out.size() / 2] += 0.01f;
    // Right on the small problem, wrong on the large one.
    if (script.trouble == "wrong-rows" && problem.q.size[2] > 300)
      std::fill_n(out, result->out.size(), 0.5f);
    if (script.trouble == "nan")
      out[0] = std::nanf("");
    return std::nullopt;
  }
  Result<Timing> time(const flashc_kernel &loaded, const flashc_args &, const TimeOptions &) override {
    const auto &kernel = ScriptedKernel::of(loaded);
    if (kernel.script.trouble == "late-crash" && kernel.timed > 2)
      ::raise(SIGABRT);
    if (kernel.script.trouble == "late-hang" && kernel.timed > 1)
      std::this_thread::sleep_for(std::chrono::hours(1));
    Timing timing;
    timing.runs = 3;
    timing.median = timing.best = kernel.script.seconds *
                                  (1 + kernel.script.noise * std::uniform_real_distribution<>(-1, 1)(random)) *
                                  (1 + kernel.script.drift * kernel.timed++);
    return timing;
  }

private:
  const Scripts scripts;
  std::mt19937 random{static_cast<unsigned>(::getpid())};
};

class Tune : public ::testing::Test {
protected:
  /// Tunes with scripted candidates; the first is the default.
  Result<TuningOutcome> tune(const std::vector<std::pair<TileSizes, Script>> &list) {
    Scripts scripts(list.begin(), list.end());
    std::vector<RankedTiles> ranked;
    for (const auto &[tiles, script] : list)
      ranked.push_back({tiles, 1});
    CompileCandidate compile = [&](const TileSizes &tiles) -> Result<Artifact> {
      const TileSizes actual = tiles.chosen() ? tiles : list.front().first;
      ++compiled[actual];
      if (scripts.at(actual).trouble == "no-compile")
        return Error{FLASHC_ERROR_INVALID, "does not compile"};
      Artifact artifact;
      artifact.name = "scripted";
      artifact.target = "scripted";
      artifact.metadata = nlohmann::json{{"tiles", {{"rows", actual.rows}, {"keys", actual.keys}}}}.dump();
      return artifact;
    };
    WorkerStart start;
    start.body = [scripts](int socket) {
      ScriptedDevice device(scripts);
      return serveTuning(device, [&](const Artifact &artifact) { return device.load(artifact); }, socket);
    };
    const auto begin = std::chrono::steady_clock::now();
    Result<TuningOutcome> outcome = tuneTiles({1, 2, 1, 400, 40}, ranked, compile, start, options);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return outcome;
  }

  const CandidateReport &reportOf(const TuningOutcome &outcome, const TileSizes &tiles) {
    return *std::find_if(outcome.candidates.begin(), outcome.candidates.end(),
                         [&](const CandidateReport &report) { return report.tiles == tiles; });
  }

  void SetUp() override {
    options.budgetSeconds = 1;
    options.patienceSeconds = 1;
  }

  TuningOptions options;
  std::map<TileSizes, int> compiled;
  double seconds = 0;
  const TileSizes a{6, 64}, b{12, 64}, c{24, 64}, d{48, 64};
};

TEST_F(Tune, FindsTheFastest) {
  Result<TuningOutcome> outcome = tune({{a, {1e-3}}, {b, {0.9e-3}}, {c, {0.5e-3}}, {d, {0.6e-3}}});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->tiles, c);
  EXPECT_TRUE(outcome->improved);
  EXPECT_DOUBLE_EQ(outcome->seconds, 0.5e-3);
  EXPECT_DOUBLE_EQ(outcome->defaultSeconds, 1e-3);
  EXPECT_EQ(outcome->candidates.size(), 4u);
  EXPECT_EQ(outcome->candidates.front().tiles, a);
}

TEST_F(Tune, FindsTheFastestInNoise) {
  Result<TuningOutcome> outcome = tune({{a, {1e-3, 0.2}}, {b, {1.3e-3, 0.2}}, {c, {0.6e-3, 0.2}}, {d, {0.9e-3, 0.2}}});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->tiles, c);
}

TEST_F(Tune, LeavesTiesToTheDefault) {
  Result<TuningOutcome> outcome = tune({{a, {1e-3}}, {b, {1e-3}}, {c, {0.995e-3}}});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->tiles, a);
  EXPECT_FALSE(outcome->improved);
}

TEST_F(Tune, NeverLosesToTheDefaultInNoise) {
  options.budgetSeconds = 0.2;
  for (int trial = 0; trial < 10; ++trial) {
    Result<TuningOutcome> outcome =
        tune({{a, {1e-3, 0.4}}, {b, {1.05e-3, 0.4}}, {c, {1.1e-3, 0.4}}, {d, {1.2e-3, 0.4}}});
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_TRUE(outcome->tiles == a || outcome->seconds < outcome->defaultSeconds);
  }
}

TEST_F(Tune, DropsWhatOnlyLooksFastAtFirst) {
  // A candidate that slows down the longer it runs: fast in its first turns, slow when it is measured again.
  Result<TuningOutcome> outcome = tune({{a, {1e-3}}, {b, {0.7e-3, 0, "", 0.2}}});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->tiles, a);
}

TEST_F(Tune, NothingThatFailsWins) {
  options.budgetSeconds = 3;
  for (const char *trouble : {"wrong", "wrong-rows", "nothing", "nan", "crash", "exit", "hang", "no-compile", "no-load",
                              "late-crash", "late-hang"}) {
    SCOPED_TRACE(trouble);
    Result<TuningOutcome> outcome = tune({{a, {1e-3}}, {b, {1e-5, 0, trouble}}, {c, {0.8e-3}}});
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->tiles, c);
    const CandidateReport &failed = reportOf(*outcome, b);
    EXPECT_NE(failed.failure, "");
    EXPECT_TRUE(std::isinf(failed.seconds));
    EXPECT_LT(seconds, 20);
  }
}

TEST_F(Tune, SaysHowACandidateFailed) {
  options.budgetSeconds = 5;
  Result<TuningOutcome> outcome =
      tune({{a, {1e-3}}, {b, {1e-3, 0, "crash"}}, {c, {1e-3, 0, "hang"}}, {d, {1e-3, 0, "wrong"}}});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_NE(reportOf(*outcome, b).failure.find("crashed"), std::string::npos) << reportOf(*outcome, b).failure;
  EXPECT_NE(reportOf(*outcome, c).failure.find("took longer than"), std::string::npos);
  EXPECT_EQ(reportOf(*outcome, d).failure.find("wrong result for B1 Hq2/1 Sq199 Sk40: out: error"), 0u)
      << reportOf(*outcome, d).failure;
}

TEST_F(Tune, FailsWithTheDefaultAlone) {
  Result<TuningOutcome> outcome = tune({{a, {1e-3, 0, "wrong"}}, {b, {1e-3}}});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().message.find("the untuned kernel failed: wrong result"), 0u) << outcome.error().message;
}

TEST_F(Tune, KeepsToItsBudget) {
  options.budgetSeconds = 0.3;
  std::vector<std::pair<TileSizes, Script>> many = {{a, {1e-3}}};
  for (int64_t i = 1; i <= 200; ++i)
    many.push_back({{6, 64 * (i + 1)}, {1e-3 - 1e-6 * static_cast<double>(i)}});
  options.mostCandidates = 1000;
  Result<TuningOutcome> outcome = tune(many);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_LT(seconds, 5);
}

TEST_F(Tune, CompilesEachCandidateOnceAndNotAllOfThem) {
  options.mostCandidates = 2;
  Result<TuningOutcome> outcome = tune({{a, {1e-3}}, {b, {0.9e-3}}, {c, {0.8e-3}}, {d, {0.1e-3}}});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->tiles, c);
  EXPECT_EQ(compiled, (std::map<TileSizes, int>{{a, 1}, {b, 1}, {c, 1}}));
}

TEST_F(Tune, SaysHowFarItIsAndStopsWhenTold) {
  std::vector<std::string> phases;
  double last = 0;
  options.onProgress = [&](const TuningProgress &progress) {
    EXPECT_GE(progress.share, last);
    last = progress.share;
    if (phases.empty() || phases.back() != progress.phase)
      phases.push_back(progress.phase);
    return true;
  };
  ASSERT_TRUE(tune({{a, {1e-3}}, {b, {0.9e-3}}}));
  EXPECT_EQ(phases, (std::vector<std::string>{"compiling", "timing", "confirming"}));
  options.onProgress = [](const TuningProgress &) { return false; };
  Result<TuningOutcome> outcome = tune({{a, {1e-3}}, {b, {0.9e-3}}});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().message, "tuning was stopped");
}

TEST_F(Tune, RefusesABudgetOfNothing) {
  options.budgetSeconds = 0;
  EXPECT_FALSE(tune({{a, {1e-3}}}));
}

TEST_F(Tune, SaysWhenItsWorkerCannotStart) {
  WorkerStart start;
  start.command = {"/no/such/program"};
  auto compile = [](const TileSizes &) -> Result<Artifact> { return Artifact(); };
  Result<TuningOutcome> outcome = tuneTiles({}, {{a, 1}}, compile, start, options);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message.find("cannot start \"/no/such/program\""), std::string::npos)
      << outcome.error().message;
}

TEST(Tiles, ReadAndPrint) {
  EXPECT_EQ(parseTiles("24x512"), (TileSizes{24, 512, 0}));
  EXPECT_EQ(parseTiles("6x512/4096"), (TileSizes{6, 512, 4096}));
  for (const char *text : {"", "24", "24x", "x512", "0x512", "24x512x", "24x512/", "24x512/0", "-6x64", "24x512 "})
    EXPECT_EQ(parseTiles(text), std::nullopt) << text;
  EXPECT_EQ(toString(TileSizes{24, 512, 0}), "24x512");
  EXPECT_EQ(toString(TileSizes{6, 512, 4096}), "6x512/4096");
}
} // namespace

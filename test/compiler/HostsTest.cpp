/// Hosts of every kind run the tasks of one kernel: results are the same to the bit, and every order makes progress.
#include "TestKernels.h"

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

using namespace flashc;

namespace {
constexpr const char *kAttention = R"(
!t = memref<?x?x?x64xf32, strided<[?, ?, ?, ?], offset: ?>>
func.func @attention(%q: !t, %k: !t, %v: !t, %out: !t {flashc.output}) {
  attn.sdpa ins(%q, %k, %v : !t, !t, !t) outs(%out : !t) masks [#attn.causal<top_left>]
  return
}
)";

/// Runs tasks in some way on some threads.
using Schedule = std::function<void(int64_t count, const std::function<void(int64_t task, int32_t worker)> &run)>;

struct Host {
  Host(int32_t workers, Schedule schedule)
      : schedule(std::move(schedule)), face{FLASHC_ABI_VERSION, workers, this, parallelFor, nullptr, nullptr} {}
  static void parallelFor(void *user, int64_t count, flashc_task task, void *context) {
    static_cast<Host *>(user)->schedule(count, [&](int64_t i, int32_t worker) { task(context, i, worker); });
  }
  Schedule schedule;
  flashc_host face;
};

/// `workers` threads; `next(worker)` gives each one its tasks until it is at least the count.
Schedule onThreads(int32_t workers, std::function<std::function<int64_t()>(int64_t count, int32_t worker)> order) {
  return [=](int64_t count, const std::function<void(int64_t, int32_t)> &run) {
    std::vector<std::thread> threads;
    for (int32_t w = 0; w < workers; ++w)
      threads.emplace_back([&, w, next = order(count, w)] {
        for (int64_t i = next(); i >= 0 && i < count; i = next())
          run(i, w);
      });
    for (std::thread &thread : threads)
      thread.join();
  };
}

struct Call {
  Call(int64_t batch, int64_t heads, int64_t keyHeads, int64_t length) {
    const int64_t counts[4] = {heads, keyHeads, keyHeads, heads};
    uint32_t seed = 1;
    for (int t = 0; t < 4; ++t) {
      data[t].resize(batch * counts[t] * length * 64);
      for (float &x : data[t])
        x = static_cast<float>((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
      tensors[t] = {
          data[t].data(), FLASHC_F32, 4, {batch, counts[t], length, 64}, {counts[t] * length * 64, length * 64, 64, 1}};
    }
  }
  /// The result, bit for bit.
  std::vector<float> run(const flashc_kernel &kernel, const flashc_host *host) {
    std::fill(data[3].begin(), data[3].end(), -1.0f);
    flashc_args args{FLASHC_ABI_VERSION, 4, tensors, host};
    const size_t size = kernel.workspace_size(&args);
    std::unique_ptr<void, decltype(&free)> workspace(aligned_alloc(64, size + 64 - size % 64), &free);
    EXPECT_EQ(kernel.run(&args, nullptr, workspace.get(), size), FLASHC_OK);
    return data[3];
  }
  std::vector<float> data[4];
  flashc_tensor tensors[4];
};

class HostsTest : public flashc::test::CompilerTest {
protected:
  std::unique_ptr<JitKernel> build() {
    auto module = parse(kAttention);
    EXPECT_TRUE(module) << messages;
    auto artifact = compile(*module, *target("host"));
    EXPECT_TRUE(mlir::succeeded(artifact)) << messages;
    return llvm::cantFail(JitKernel::load(artifact->name, artifact->bytes));
  }
};

bool areSame(const std::vector<float> &x, const std::vector<float> &y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

TEST_F(HostsTest, AnyOrderGivesTheSameBits) {
  auto kernel = build();
  std::vector<Host> hosts;
  auto serial = [](int64_t count, const std::function<void(int64_t, int32_t)> &run) {
    for (int64_t i = 0; i < count; ++i)
      run(i, 0);
  };
  auto reverse = [](int64_t count, const std::function<void(int64_t, int32_t)> &run) {
    for (int64_t i = count; i-- > 0;)
      run(i, 1);
  };
  auto halves = [](int64_t count, int32_t worker) {
    const int64_t half = (count + 1) / 2, end = worker ? count : half;
    return [end, i = worker ? half : 0]() mutable { return i < end ? i++ : -1; };
  };
  auto backwards = [](int64_t count, int32_t worker) {
    return [i = count - 1 - worker]() mutable { return (i -= 3) + 3; };
  };
  hosts.emplace_back(2, serial);
  hosts.emplace_back(2, reverse);
  hosts.emplace_back(2, onThreads(2, halves));
  hosts.emplace_back(3, onThreads(3, backwards));
  // One group of few blocks, heads for tasks of whole heads, and less than one task for each worker.
  for (auto [batch, length] : {std::pair<int64_t, int64_t>{1, 150}, {40, 70}, {1, 5}}) {
    Call call(batch, 4, 2, length);
    const std::vector<float> alone = call.run(kernel->get(), nullptr);
    for (Host &host : hosts) {
      host.face.user = &host;
      EXPECT_TRUE(areSame(call.run(kernel->get(), &host.face), alone)) << batch << " x " << length;
    }
    for (int32_t workers : {2, 8, 64}) {
      Host host(workers, nullptr);
      host.schedule = [&](int64_t count, const std::function<void(int64_t, int32_t)> &run) {
        std::atomic<int64_t> next{0};
        std::vector<std::thread> threads;
        for (int32_t w = 0; w < workers; ++w)
          threads.emplace_back([&, w] {
            for (int64_t i = next++; i < count; i = next++)
              run(i, w);
          });
        for (std::thread &thread : threads)
          thread.join();
      };
      EXPECT_TRUE(areSame(call.run(kernel->get(), &host.face), alone)) << workers << " workers";
    }
  }
}

TEST_F(HostsTest, CallersDoNotMeet) {
  auto kernel = build();
  Call first(1, 4, 4, 120);
  const std::vector<float> expected = first.run(kernel->get(), nullptr);
  std::atomic<int> good{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      Call call(1, 4, 4, 120);
      Host host(2, [](int64_t count, const std::function<void(int64_t, int32_t)> &run) {
        std::thread odd([&] {
          for (int64_t i = 1; i < count; i += 2)
            run(i, 1);
        });
        for (int64_t i = 0; i < count; i += 2)
          run(i, 0);
        odd.join();
      });
      for (int i = 0; i < 10; ++i)
        good += areSame(call.run(kernel->get(), &host.face), expected);
    });
  for (std::thread &caller : callers)
    caller.join();
  EXPECT_EQ(good, 40);
}

// Where a task does whole heads, packed memory has a place for each worker, not for each head.
TEST_F(HostsTest, ManyHeadsNeedLittleMemory) {
  auto kernel = build();
  Host host(2, nullptr);
  auto size = [&](int64_t batch) {
    flashc_tensor tensors[4];
    for (flashc_tensor &tensor : tensors)
      tensor = {&host, FLASHC_F32, 4, {batch, 4, 70, 64}, {4 * 70 * 64, 70 * 64, 64, 1}};
    flashc_args args{FLASHC_ABI_VERSION, 4, tensors, &host.face};
    return kernel->get().workspace_size(&args);
  };
  EXPECT_EQ(size(16), size(1600));
  EXPECT_LT(size(1600), size(8));
}
} // namespace

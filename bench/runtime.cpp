// What the runtime costs around a kernel: a parallel loop of empty tasks, and a checked call of a kernel that does
// nothing.
//
//   flashc-runtime-bench [--benchmark_filter=...]
#include "test/runtime/TestKernel.h"

#include "runtime/ThreadPool.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace {

void parallelLoop(benchmark::State &state) {
  flashc::ThreadPool pool(static_cast<int32_t>(state.range(0)));
  int64_t tasks = state.range(1);
  for (auto _ : state)
    pool.parallelFor(tasks, [](int64_t, int32_t) {});
  state.SetItemsProcessed(state.iterations() * tasks);
}

flashc_status doNothing(const flashc_args *, void *, void *, size_t) { return FLASHC_OK; }
size_t needNothing(const flashc_args *) { return 0; }

void checkedCall(benchmark::State &state) {
  flashc::test::AttentionInfo attention;
  flashc_kernel kernel{&attention.info, needNothing, doNothing};
  std::vector<float> data(2 * 8 * 16 * 64);
  flashc_tensor tensors[4] = {
      flashc::test::tensor(data.data(), FLASHC_F32, {2, 8, 16, 64}),
      flashc::test::tensor(data.data(), FLASHC_F32, {2, 8, 16, 64}),
      flashc::test::tensor(data.data(), FLASHC_F32, {2, 8, 16, 32}),
      flashc::test::tensor(data.data(), FLASHC_F32, {2, 8, 16, 32}),
  };
  flashc_args args{FLASHC_ABI_VERSION, 4, tensors, nullptr};
  for (auto _ : state)
    if (flashc_kernel_run(&kernel, &args) != FLASHC_OK)
      return state.SkipWithError(flashc_last_error());
}
BENCHMARK(checkedCall);
BENCHMARK(parallelLoop)->ArgNames({"workers", "tasks"})->ArgsProduct({{1, 2, 4}, {1, 64, 4096}})->UseRealTime();

} // namespace

BENCHMARK_MAIN();

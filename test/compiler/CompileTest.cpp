/// From a module to a running kernel: the JIT, the C ABI's checks and the workspace.
#include "TestKernels.h"

#include <atomic>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

using namespace flashc;

namespace {
using flashc::test::kScale;

/// [B, H, S, 64] tensors of the kernel @scale, and the call.
struct ScaleCall {
  explicit ScaleCall(int64_t batch, int64_t heads, int64_t queries) : x(batch * heads * queries * 64), out(x.size()) {
    std::iota(x.begin(), x.end(), 1.0f);
    tensors[0] = describe(x.data(), batch, heads, queries);
    tensors[1] = describe(out.data(), batch, heads, queries);
  }
  static flashc_tensor describe(void *data, int64_t batch, int64_t heads, int64_t queries) {
    return {data, FLASHC_F32, 4, {batch, heads, queries, 64}, {heads * queries * 64, queries * 64, 64, 1}};
  }
  flashc_status run(const flashc_kernel &kernel) {
    size_t size = kernel.workspace_size(&args);
    std::unique_ptr<void, decltype(&free)> workspace(aligned_alloc(64, size + 64), &free);
    return kernel.run(&args, nullptr, workspace.get(), size);
  }
  bool isDoubled() const {
    for (size_t i = 0; i < x.size(); ++i)
      if (out[i] != 2 * x[i])
        return false;
    return true;
  }

  std::vector<float> x, out;
  flashc_tensor tensors[2];
  flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
};

class CompileTest : public flashc::test::CompilerTest {
protected:
  std::unique_ptr<JitKernel> build(const char *text, llvm::StringRef targetName = "host") {
    auto module = parse(text);
    EXPECT_TRUE(module) << messages;
    auto artifact = compile(*module, *target(targetName));
    EXPECT_TRUE(mlir::succeeded(artifact)) << messages;
    if (mlir::failed(artifact))
      return nullptr;
    return llvm::cantFail(JitKernel::load(artifact->name, artifact->bytes));
  }
};

TEST_F(CompileTest, RunsWithoutAHost) {
  auto kernel = build(kScale);
  ScaleCall call(2, 3, 5);
  EXPECT_EQ(call.run(kernel->get()), FLASHC_OK);
  EXPECT_TRUE(call.isDoubled());
}

TEST_F(CompileTest, RunsEveryTaskOnceOnAHost) {
  auto kernel = build(kScale);
  static std::atomic<int64_t> tasks;
  tasks = 0;
  flashc_host host{FLASHC_ABI_VERSION,
                   2,
                   nullptr,
                   [](void *, int64_t count, flashc_task task, void *context) {
                     tasks += count;
                     std::thread odd([&] {
                       for (int64_t i = 1; i < count; i += 2)
                         task(context, i, 1);
                     });
                     for (int64_t i = 0; i < count; i += 2)
                       task(context, i, 0);
                     odd.join();
                   },
                   nullptr,
                   nullptr,
                   0,
                   0};
  ScaleCall call(2, 3, 5);
  call.args.host = &host;
  EXPECT_EQ(call.run(kernel->get()), FLASHC_OK);
  EXPECT_TRUE(call.isDoubled());
  EXPECT_EQ(tasks, 2 * 3 * 5 + 2 * 3 * 2);
}

TEST_F(CompileTest, HasVersionsForEveryLevel) {
  auto kernel = build(kScale, "cpu");
  ScaleCall call(1, 2, 7);
  EXPECT_EQ(call.run(kernel->get()), FLASHC_OK);
  EXPECT_TRUE(call.isDoubled());
}

TEST_F(CompileTest, KernelsOfOneNameComeAndGo) {
  auto module = parse(kScale);
  auto artifact = compile(*module, *target("host"));
  ASSERT_TRUE(mlir::succeeded(artifact)) << messages;
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        auto kernel = llvm::cantFail(JitKernel::load(artifact->name, artifact->bytes));
        ScaleCall call(1, 2, 3);
        good += call.run(kernel->get()) == FLASHC_OK && call.isDoubled();
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(good, 40);
}

TEST_F(CompileTest, ManyThreadsCompile) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      mlir::DialectRegistry registry;
      registerCompilerDialects(registry);
      mlir::MLIRContext own(registry, mlir::MLIRContext::Threading::DISABLED);
      auto module = mlir::parseSourceString<mlir::ModuleOp>(kScale, &own);
      auto artifact = compile(*module, *target("host"));
      good += mlir::succeeded(artifact) && artifact->bytes.size() > 0;
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(good, 4);
}

TEST_F(CompileTest, DamagedObjectsAreAnError) {
  auto loaded = JitKernel::load("scale", "not an object");
  EXPECT_FALSE(bool(loaded));
  llvm::consumeError(loaded.takeError());
}

TEST_F(CompileTest, EmptyTensorsNeedNoData) {
  auto kernel = build(kScale);
  ScaleCall call(2, 0, 5);
  call.tensors[0].data = call.tensors[1].data = nullptr;
  EXPECT_EQ(kernel->get().workspace_size(&call.args), 0u);
  EXPECT_EQ(kernel->get().run(&call.args, nullptr, nullptr, 0), FLASHC_OK);
}

TEST_F(CompileTest, DescribesItself) {
  auto kernel = build(kScale);
  const flashc_kernel_info *info = kernel->getQuery()(FLASHC_ABI_VERSION);
  ASSERT_NE(info, nullptr);
  EXPECT_STREQ(info->name, "scale");
  ASSERT_EQ(info->num_operands, 2u);
  EXPECT_STREQ(info->operands[1].name, "out");
  EXPECT_EQ(info->operands[0].flags, 0u);
  EXPECT_EQ(info->operands[1].flags, FLASHC_OPERAND_OUTPUT);
  EXPECT_EQ(info->operands[0].size[0], FLASHC_SIZE_ANY);
  EXPECT_EQ(info->operands[0].size[3], 64);
  EXPECT_NE(strstr(info->metadata, "\"flashc-pack\""), nullptr);
  // A host that only knows an older ABI gets nothing.
  EXPECT_EQ(kernel->getQuery()(0), nullptr);
}

TEST_F(CompileTest, RefusesBadCalls) {
  auto kernel = build(kScale);
  const flashc_kernel &k = kernel->get();
  auto status = [&](auto &&change) {
    ScaleCall call(2, 3, 5);
    change(call);
    return call.run(k);
  };
  EXPECT_EQ(k.run(nullptr, nullptr, nullptr, 0), FLASHC_ERROR_NULL);
  EXPECT_EQ(status([](ScaleCall &c) { c.args.abi_version = 2; }), FLASHC_ERROR_ABI);
  EXPECT_EQ(status([](ScaleCall &c) { c.args.num_tensors = 1; }), FLASHC_ERROR_OPERANDS);
  EXPECT_EQ(status([](ScaleCall &c) { c.args.tensors = nullptr; }), FLASHC_ERROR_NULL);
  EXPECT_EQ(status([](ScaleCall &c) { c.tensors[0].dtype = FLASHC_F64; }), FLASHC_ERROR_DTYPE);
  EXPECT_EQ(status([](ScaleCall &c) { c.tensors[1].rank = 3; }), FLASHC_ERROR_RANK);
  EXPECT_EQ(status([](ScaleCall &c) { c.tensors[1].size[3] = 32; }), FLASHC_ERROR_SHAPE);
  EXPECT_EQ(status([](ScaleCall &c) { c.tensors[0].size[0] = -1; }), FLASHC_ERROR_SHAPE);
  EXPECT_EQ(status([](ScaleCall &c) { c.tensors[0].size[0] = c.tensors[0].size[1] = int64_t(1) << 31; }),
            FLASHC_ERROR_SHAPE);
  EXPECT_EQ(status([](ScaleCall &c) { c.tensors[0].data = nullptr; }), FLASHC_ERROR_NULL);
  EXPECT_EQ(status([](ScaleCall &c) { c.tensors[0].data = reinterpret_cast<char *>(c.tensors[0].data) + 1; }),
            FLASHC_ERROR_INVALID);
  flashc_host host{FLASHC_ABI_VERSION + 1, 2, nullptr, nullptr, nullptr, nullptr, 0, 0};
  EXPECT_EQ(status([&](ScaleCall &c) { c.args.host = &host; }), FLASHC_ERROR_ABI);
  host.abi_version = FLASHC_ABI_VERSION;
  EXPECT_EQ(status([&](ScaleCall &c) { c.args.host = &host; }), FLASHC_ERROR_NULL);

  ScaleCall call(2, 3, 5);
  size_t size = k.workspace_size(&call.args);
  EXPECT_EQ(size, 2u * 3 * 5 * 64 * sizeof(float));
  alignas(64) static char workspace[1 << 16];
  EXPECT_EQ(k.run(&call.args, nullptr, workspace, size - 1), FLASHC_ERROR_WORKSPACE);
  EXPECT_EQ(k.run(&call.args, nullptr, nullptr, size), FLASHC_ERROR_WORKSPACE);
  EXPECT_EQ(k.run(&call.args, nullptr, workspace + 32, size), FLASHC_ERROR_WORKSPACE);
  EXPECT_EQ(k.run(&call.args, nullptr, workspace, size), FLASHC_OK);
}
} // namespace

/// Kernels of GPU targets on the host's side: what NAME_run hands to the host's launch.
#include "TestKernels.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

using namespace flashc;

namespace {

/// Two loops of blocks, through a workspace: tmp = x, by blocks of 64, then out = tmp where there are many rows.
constexpr const char *kCopy = R"(
!t = memref<?x64xf32, strided<[?, 1], offset: ?>>
func.func @copy(%x: !t {flashc.name = "x"}, %out: !t {flashc.name = "out", flashc.output}) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %rows = memref.dim %x, %c0 : !t
  %tmp = memref.alloc(%rows) : memref<?x64xf32>
  scf.forall (%i) in (%rows) {
    %t = gpu.thread_id x
    %v = memref.load %x[%i, %t] : !t
    memref.store %v, %tmp[%i, %t] : memref<?x64xf32>
  } {flashc.threads = 64 : i64, flashc.shared_bytes = 512 : i64}
  %many = arith.cmpi ugt, %rows, %c2 : index
  scf.if %many {
    scf.forall (%i, %j) in (%rows, 2) {
      %t = gpu.thread_id x
      %c32 = arith.constant 32 : index
      %first = arith.muli %j, %c32 : index
      %at = arith.addi %first, %t : index
      %v = memref.load %tmp[%i, %at] : memref<?x64xf32>
      memref.store %v, %out[%i, %at] : !t
    } {flashc.threads = 32 : i64, flashc.shared_bytes = 0 : i64}
  }
  memref.dealloc %tmp : memref<?x64xf32>
  return
}
)";

/// A host that notes what it is asked to launch.
struct RecordingHost {
  struct Launch {
    const flashc_device_function *function;
    int64_t blocks;
    std::vector<uint64_t> params;
    void *stream;
  };
  static flashc_status launch(void *user, const flashc_device_function *function, int64_t blocks, void *const *params,
                              void *stream) {
    auto &self = *static_cast<RecordingHost *>(user);
    Launch launch{function, blocks, {}, stream};
    for (uint32_t i = 0; i < function->num_params; ++i) {
      uint64_t value = 0;
      std::memcpy(&value, params[i], function->param_bytes[i]);
      launch.params.push_back(value);
    }
    self.launches.push_back(launch);
    return self.launches.size() == self.failing ? FLASHC_ERROR_DEVICE : FLASHC_OK;
  }

  std::vector<Launch> launches;
  size_t failing = 0; // the number of the launch that fails, from 1
  flashc_host face{FLASHC_ABI_VERSION, 108, this, nullptr, launch, nullptr, 0, 0};
};

class GpuTest : public flashc::test::CompilerTest {
protected:
  Artifact build(llvm::StringRef targetName) {
    auto module = parse(kCopy);
    EXPECT_TRUE(module) << messages;
    auto artifact = compile(*module, *target(targetName));
    EXPECT_TRUE(mlir::succeeded(artifact)) << messages;
    return mlir::succeeded(artifact) ? *artifact : Artifact();
  }
};

/// A call of @copy on `rows` rows of every second row of a tensor.
struct CopyCall {
  explicit CopyCall(int64_t rows) : x(rows * 128), out(rows * 64) {
    tensors[0] = {x.data(), FLASHC_F32, 2, {rows, 64}, {128, 1}};
    tensors[1] = {out.data(), FLASHC_F32, 2, {rows, 64}, {64, 1}};
  }
  flashc_status run(const flashc_kernel &kernel, void *stream = nullptr) {
    size_t size = kernel.workspace_size(&args);
    workspace.reset(aligned_alloc(64, size + 64));
    return kernel.run(&args, stream, workspace.get(), size);
  }
  std::vector<float> x, out;
  flashc_tensor tensors[2];
  flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
  std::unique_ptr<void, decltype(&free)> workspace{nullptr, &free};
};

TEST_F(GpuTest, LaunchesInOrderOnTheStream) {
  Artifact artifact = build("nvptx:sm_80");
  auto kernel = llvm::cantFail(JitKernel::load(artifact.name, artifact.bytes));
  RecordingHost host;
  CopyCall call(5);
  call.args.host = &host.face;
  int stream = 0;
  ASSERT_EQ(call.run(kernel->get(), &stream), FLASHC_OK);
  ASSERT_EQ(host.launches.size(), 2u);
  const auto &first = host.launches[0], &second = host.launches[1];
  EXPECT_EQ(first.blocks, 5);
  EXPECT_EQ(second.blocks, 10);
  EXPECT_EQ(first.stream, &stream);
  EXPECT_STREQ(first.function->name, "copy_kernel0");
  EXPECT_STREQ(second.function->name, "copy_kernel1");
  EXPECT_EQ(first.function->abi_version, FLASHC_ABI_VERSION);
  EXPECT_EQ(first.function->struct_size, sizeof(flashc_device_function));
  EXPECT_STREQ(first.function->target, "nvptx:sm_80");
  EXPECT_STREQ(first.function->format, "ptx");
  EXPECT_EQ(first.function->threads, 64u);
  EXPECT_EQ(first.function->shared_bytes, 512u);
  EXPECT_EQ(second.function->threads, 32u);
  EXPECT_EQ(second.function->shared_bytes, 0u);
  // One image for both, a text that ends where it says.
  EXPECT_EQ(first.function->image, second.function->image);
  const char *image = static_cast<const char *>(first.function->image);
  EXPECT_EQ(std::strlen(image), first.function->image_bytes);
  EXPECT_NE(std::strstr(image, ".entry copy_kernel1"), nullptr);
  // The tensor and the workspace, where they are; the stride between rows.
  auto holds = [](const RecordingHost::Launch &launch, const void *address) {
    return std::count(launch.params.begin(), launch.params.end(), reinterpret_cast<uint64_t>(address)) == 1;
  };
  EXPECT_TRUE(holds(first, call.x.data()));
  EXPECT_TRUE(holds(first, call.workspace.get()));
  EXPECT_TRUE(holds(second, call.out.data()));
  EXPECT_EQ(std::count(first.params.begin(), first.params.end(), 128u), 1);
}

TEST_F(GpuTest, LaunchesNoBlockWhereThereIsNoRow) {
  Artifact artifact = build("nvptx:sm_90a");
  auto kernel = llvm::cantFail(JitKernel::load(artifact.name, artifact.bytes));
  RecordingHost host;
  CopyCall none(0), few(2);
  none.args.host = few.args.host = &host.face;
  EXPECT_EQ(none.run(kernel->get()), FLASHC_OK);
  EXPECT_EQ(host.launches.size(), 0u);
  EXPECT_EQ(few.run(kernel->get()), FLASHC_OK);
  EXPECT_EQ(host.launches.size(), 1u);
}

TEST_F(GpuTest, ReturnsTheStatusOfTheLaunchThatFails) {
  Artifact artifact = build("emulated:sm_80");
  auto kernel = llvm::cantFail(JitKernel::load(artifact.name, artifact.bytes));
  RecordingHost host;
  host.failing = 1;
  CopyCall call(5);
  call.args.host = &host.face;
  EXPECT_EQ(call.run(kernel->get()), FLASHC_ERROR_DEVICE);
  EXPECT_EQ(host.launches.size(), 1u);
  EXPECT_STREQ(host.launches[0].function->format, "llvm-ir");
  EXPECT_STREQ(host.launches[0].function->target, "emulated:sm_80");
}

TEST_F(GpuTest, NeedsAHostThatLaunches) {
  Artifact artifact = build("nvptx:sm_80");
  auto kernel = llvm::cantFail(JitKernel::load(artifact.name, artifact.bytes));
  CopyCall call(5);
  EXPECT_EQ(call.run(kernel->get()), FLASHC_ERROR_TARGET);
  call.args.host = flashc_default_host();
  EXPECT_EQ(call.run(kernel->get()), FLASHC_ERROR_TARGET);
  // The workspace can be asked for without a device.
  call.args.host = nullptr;
  EXPECT_GE(kernel->get().workspace_size(&call.args), 5u * 64 * 4);
}

TEST_F(GpuTest, DescribesTheDeviceCode) {
  Artifact artifact = build("nvptx:sm_80");
  llvm::json::Value metadata = llvm::cantFail(llvm::json::parse(artifact.metadata));
  EXPECT_EQ(metadata.getAsObject()->getString("target"), "nvptx:sm_80");
  EXPECT_EQ(metadata.getAsObject()->getString("architecture"), "x86_64");
  const llvm::json::Object *device = metadata.getAsObject()->getObject("device");
  ASSERT_NE(device, nullptr);
  EXPECT_EQ(device->getString("chip"), "sm_80");
  EXPECT_EQ(device->getString("format"), "ptx");
  const llvm::json::Array *functions = device->getArray("functions");
  ASSERT_NE(functions, nullptr);
  ASSERT_EQ(functions->size(), 2u);
  EXPECT_EQ((*functions)[0].getAsObject()->getString("name"), "copy_kernel0");
  EXPECT_EQ((*functions)[0].getAsObject()->getInteger("threads"), 64);
  EXPECT_EQ((*functions)[0].getAsObject()->getInteger("shared_bytes"), 512);
}

TEST_F(GpuTest, RefusesWhatNoDeviceHas) {
  auto module = parse(R"(
func.func @f(%x: memref<?xf64> {flashc.output}) {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?xf64>
  scf.forall (%i) in (%n) {
    %v = memref.load %x[%i] : memref<?xf64>
    %w = math.sin %v : f64
    memref.store %w, %x[%i] : memref<?xf64>
  } {flashc.threads = 32 : i64, flashc.shared_bytes = 0 : i64}
  return
})");
  EXPECT_TRUE(mlir::failed(compile(*module, *target("nvptx:sm_80"))));
  EXPECT_NE(messages.find("'math.sin' op on 'f64' has no instruction and no expansion on a GPU"), std::string::npos)
      << messages;
}

TEST_F(GpuTest, RefusesTooMuchSharedMemory) {
  std::string text = kCopy;
  text.replace(text.find("shared_bytes = 512"), 18, "shared_bytes = 110000");
  auto module = parse(text.c_str());
  EXPECT_TRUE(mlir::failed(compile(*module, *target("nvptx:sm_80"))));
  EXPECT_NE(messages.find("needs 110000 bytes of shared memory; a block of this target has at most 101376"),
            std::string::npos)
      << messages;
  EXPECT_TRUE(mlir::succeeded(compile(*module, *target("nvptx:sm_90a")))) << messages;
}

} // namespace

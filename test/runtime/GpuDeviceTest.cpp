// CUDA and HIP devices over fake drivers: every path, every error of every call, and nothing left behind.

#include "FakeDriver.h"
#include "TwiceKernel.h"

#include "runtime/devices/Cuda.h"
#include "runtime/devices/Hip.h"

#include <gmock/gmock.h>

#include <memory>
#include <thread>

using namespace flashc;
using namespace flashc::test;
using ::testing::HasSubstr;

namespace {

using Vendor = GpuDriver::Vendor;

class Gpu : public ::testing::TestWithParam<Vendor> {
protected:
  bool cuda() const { return GetParam() == Vendor::Cuda; }
  const char *path() const { return cuda() ? FAKE_CUDA : FAKE_HIP; }
  Fake fake{path()};
  Launched work;

  void SetUp() override {
    fake.reset();
    const char *image = cuda() ? ".version 7.0\nentry twice_kernel\n" : ".hsaco\nentry twice_kernel\n";
    work.function = {FLASHC_ABI_VERSION,
                     sizeof(flashc_device_function),
                     "twice_kernel",
                     cuda() ? "nvptx:sm_80" : "amdgpu:gfx90a",
                     cuda() ? "ptx" : "hsaco",
                     image,
                     std::strlen(image),
                     128,
                     0,
                     4,
                     0,
                     paramBytes};
    launched = &work;
  }
  void TearDown() override {
    launched = nullptr;
    device.reset();
    const fake_counts counts = fake.counts();
    EXPECT_EQ(counts.allocations, 0);
    EXPECT_EQ(counts.modules, 0);
    EXPECT_EQ(counts.events, 0);
    EXPECT_EQ(counts.contexts, 0);
    EXPECT_EQ(counts.pushed, 0);
  }

  Result<std::vector<std::unique_ptr<GpuDevice>>> find() {
    return cuda() ? findCudaDevices(path()) : findHipDevices(path());
  }
  void open() {
    Result<std::vector<std::unique_ptr<GpuDevice>>> devices = find();
    ASSERT_TRUE(devices) << devices.error().message;
    device = std::move(devices->front());
  }

  /// Two arrays on the device for a call; freed with it.
  struct Arrays {
    Arrays(Device &device, int64_t count) : device(device) {
      Result<void *> first = device.allocate(count * sizeof(float)), second = device.allocate(count * sizeof(float));
      x = first ? *first : nullptr;
      y = second ? *second : nullptr;
      tensors[0] = tensor(x, FLASHC_F32, {count});
      tensors[1] = tensor(y, FLASHC_F32, {count});
    }
    ~Arrays() {
      (void)device.free(x);
      (void)device.free(y);
    }
    Device &device;
    void *x, *y;
    flashc_tensor tensors[2];
    flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
  };

  /// Everything once: allocate, copy, launch, wait, copy back, time.
  std::optional<Error> useAll() {
    constexpr int64_t count = 300;
    std::vector<float> x(count), y(count);
    for (int64_t i = 0; i < count; ++i)
      x[i] = static_cast<float>(i);
    std::vector<void *> memory;
    auto cleanUp = [&](std::optional<Error> error) {
      // Once more where the device could not be made current.
      for (void *place : memory)
        if (device->free(place))
          (void)device->free(place);
      return error;
    };
    for (int i = 0; i < 2; ++i) {
      Result<void *> place = device->allocate(count * sizeof(float));
      if (!place)
        return cleanUp(place.error());
      memory.push_back(*place);
    }
    flashc_tensor tensors[] = {tensor(memory[0], FLASHC_F32, {count}), tensor(memory[1], FLASHC_F32, {count})};
    flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
    if (std::optional<Error> error = device->copyToDevice(memory[0], x.data(), count * sizeof(float)))
      return cleanUp(error);
    if (std::optional<Error> error = device->zero(memory[1], count * sizeof(float)))
      return cleanUp(error);
    if (std::optional<Error> error = device->launch(kernel, args))
      return cleanUp(error);
    if (std::optional<Error> error = device->synchronize())
      return cleanUp(error);
    if (std::optional<Error> error = device->copyToHost(y.data(), memory[1], count * sizeof(float)))
      return cleanUp(error);
    TimeOptions options{1, 2, 0};
    Result<Timing> timing = device->time(kernel, args, options);
    if (!timing)
      return cleanUp(timing.error());
    if (std::optional<Error> error = device->orderStreams(nullptr, this))
      return cleanUp(error);
    for (int64_t i = 0; i < count; ++i)
      if (y[i] != 2 * x[i])
        return cleanUp(Error{FLASHC_ERROR_INVALID, "wrong result at " + std::to_string(i)});
    return cleanUp(std::nullopt);
  }

  void refuses(flashc_status status, const std::string &text) {
    Arrays arrays(*device, 100);
    std::optional<Error> error = device->launch(kernel, arrays.args);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->status, status) << error->message;
    EXPECT_THAT(error->message, HasSubstr(text));
  }

  std::unique_ptr<GpuDevice> device;
};

TEST_P(Gpu, DescribesItself) {
  open();
  const DeviceInfo info = device->describe();
  EXPECT_EQ(info.name, cuda() ? "cuda:0" : "hip:0");
  EXPECT_EQ(info.family, cuda() ? "nvptx" : "amdgpu");
  EXPECT_EQ(info.architecture, cuda() ? "sm_80" : "gfx90a");
  EXPECT_EQ(info.driver, cuda() ? "CUDA driver 12.8" : "HIP 6.4");
  EXPECT_EQ(info.units, 10);
  EXPECT_EQ(info.memoryBytes, 1 << 20);
  EXPECT_EQ(info.sharedBytes, 100 << 10);
  EXPECT_EQ(device->measure().at("multiprocessors"), 10);
  if (cuda()) {
    EXPECT_EQ(info.identity, "Fake 0, sm_80, 10 units, 1.50 GHz, 1024 GB/s");
    EXPECT_DOUBLE_EQ(device->measure().at("dram-read-gbps-all"), 1024);
  }
  EXPECT_FALSE(device->usesHostMemory());
  EXPECT_EQ(fake.counts().contexts, 0) << "looking costs a GPU no memory";
}

TEST_P(Gpu, Runs) {
  open();
  std::optional<Error> error = useAll();
  EXPECT_FALSE(error) << error->message;
  const fake_counts counts = fake.counts();
  EXPECT_EQ(counts.loads, 1) << "an image is loaded once";
  EXPECT_EQ(work.multiprocessors, device->describe().units) << "the host says how many blocks run at a time";
  EXPECT_EQ(counts.launches, 4);
  EXPECT_EQ(counts.last_blocks, 3);
  EXPECT_EQ(counts.last_threads, 128);
}

// Kernels are compiled with these numbers: a member only ever comes at the end.
TEST_P(Gpu, UsesTheCallersStreamAndDoesNotWait) {
  open();
  Arrays arrays(*device, 100);
  const int64_t before = fake.counts().synchronisations;
  ASSERT_FALSE(device->launch(kernel, arrays.args, this));
  ASSERT_FALSE(device->launch(kernel, arrays.args, this));
  EXPECT_EQ(fake.counts().last_stream, this);
  EXPECT_EQ(fake.counts().synchronisations, before);
  // x, y, and one workspace that the second call used again.
  EXPECT_EQ(fake.counts().allocations, 3);
  ASSERT_FALSE(device->launch(kernel, arrays.args, &arrays));
  EXPECT_EQ(fake.counts().allocations, 4) << "another stream has another workspace";
  device->releaseWorkspaces();
  EXPECT_EQ(fake.counts().allocations, 2);
}

// The memory of an array that a framework is done with has to outlive what was launched with it.
TEST_P(Gpu, KeepsWhatWorkReadsWithoutWaiting) {
  open();
  int freed = 0;
  const auto keep = [&](void *stream) {
    device->keepUntilDone(std::shared_ptr<void>(&freed, [](void *count) { ++*static_cast<int *>(count); }), stream);
  };
  const int64_t before = fake.counts().synchronisations;
  fake.setBusy(true);
  keep(nullptr);
  keep(this);
  EXPECT_EQ(freed, 0);
  EXPECT_EQ(fake.counts().events, 2);
  fake.setBusy(false);
  keep(this);
  EXPECT_EQ(freed, 2) << "what has ended is let go by the next call";
  EXPECT_EQ(fake.counts().events, 1);
  EXPECT_EQ(fake.counts().synchronisations, before);
  fake.setCapturing(true);
  keep(this);
  EXPECT_EQ(freed, 3) << "a graph's owner keeps what it reads";
  fake.setCapturing(false);
  device.reset();
  EXPECT_EQ(freed, 4);
  EXPECT_EQ(fake.counts().events, 0);
}

TEST_P(Gpu, WaitsWhereItCannotKeep) {
  open();
  bool freed = false;
  const int64_t before = fake.counts().synchronisations;
  for (int64_t call : {1, 2, 3}) {
    freed = false;
    fake.failAt(call, 719);
    device->keepUntilDone(std::shared_ptr<void>(&freed, [](void *flag) { *static_cast<bool *>(flag) = true; }),
                          nullptr);
  }
  fake.failAt(0, 0);
  EXPECT_GT(fake.counts().synchronisations, before);
  device.reset();
  EXPECT_TRUE(freed);
}

TEST_P(Gpu, GivesACapturedCallMemoryOfItsOwn) {
  open();
  Arrays arrays(*device, 100);
  fake.setCapturing(true);
  std::optional<Error> error = device->launch(kernel, arrays.args, this);
  EXPECT_FALSE(error) << error->message;
  EXPECT_EQ(fake.counts().allocations, 2);
  fake.setCapturing(false);
}

// Each call of the driver fails once, with each way of handling it: the error comes out, and nothing is left.
TEST_P(Gpu, SurvivesEveryFailure) {
  for (int code : {2, 719}) {
    int64_t call = 1;
    int failures = 0;
    for (;; ++call) {
      fake.reset();
      fake.failAt(call, code);
      std::optional<Error> error;
      Result<std::vector<std::unique_ptr<GpuDevice>>> devices = find();
      if (devices) {
        device = std::move(devices->front());
        error = useAll();
      } else {
        error = devices.error();
      }
      const bool reached = fake.counts().calls >= call;
      fake.failAt(0, 0);
      if (error) {
        ++failures;
        EXPECT_THAT(error->message, ::testing::AnyOf(HasSubstr("ERROR_"), HasSubstr("hipError"))) << call;
      }
      // Whatever failed, the device still works.
      if (device) {
        error = useAll();
        EXPECT_FALSE(error) << "after call " << call << ": " << error->message;
      }
      device.reset();
      const fake_counts counts = fake.counts();
      ASSERT_EQ(counts.modules + counts.events + counts.contexts + counts.pushed, 0) << call;
      ASSERT_EQ(counts.allocations, 0) << call;
      if (!reached)
        break;
    }
    EXPECT_GT(failures, 20);
  }
}

TEST_P(Gpu, LoadsOnceForManyThreads) {
  open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      launched = &work;
      Arrays arrays(*device, 64);
      for (int i = 0; i < 50; ++i) {
        std::optional<Error> error = device->launch(kernel, arrays.args, t % 2 ? &threads : nullptr);
        EXPECT_FALSE(error) << error->message;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(fake.counts().loads, 1);
  EXPECT_EQ(fake.counts().launches, 400);
}

TEST_P(Gpu, ForgetsAKernel) {
  open();
  Arrays arrays(*device, 100);
  ASSERT_FALSE(device->launch(kernel, arrays.args));
  EXPECT_EQ(fake.counts().modules, 1);
  device->forget(&kernelInfo + 1);
  EXPECT_EQ(fake.counts().modules, 1);
  device->forget(&kernelInfo);
  EXPECT_EQ(fake.counts().modules, 0);
  ASSERT_FALSE(device->launch(kernel, arrays.args));
  EXPECT_EQ(fake.counts().loads, 2);
}

TEST_P(Gpu, RefusesAPointerOfTheHost) {
  open();
  Arrays arrays(*device, 100);
  std::vector<float> host(100);
  arrays.tensors[0].data = host.data();
  std::optional<Error> error = device->launch(kernel, arrays.args);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, FLASHC_ERROR_DEVICE);
  EXPECT_EQ(error->message, "twice: operand 0 \"x\": expected memory of " + device->describe().name +
                                ", got a pointer to the host's memory");
  EXPECT_EQ(fake.counts().launches, 0);
}

TEST_P(Gpu, RefusesAPointerOfAnotherDevice) {
  fake.set(2, 80);
  Result<std::vector<std::unique_ptr<GpuDevice>>> devices = find();
  ASSERT_TRUE(devices);
  ASSERT_EQ(devices->size(), 2u);
  device = std::move((*devices)[0]);
  Arrays arrays(*device, 100);
  std::optional<Error> error = (*devices)[1]->launch(kernel, arrays.args);
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message, HasSubstr(std::string("expected memory of ") + (cuda() ? "cuda" : "hip") +
                                        ":1, got a pointer to another device's"));
}

// What the operands themselves say is checked before any of it reaches the device.
TEST_P(Gpu, RefusesMisalignedAndOverlappingBuffers) {
  open();
  Arrays arrays(*device, 100);
  const auto refuse = [&](const std::string &text) {
    std::optional<Error> error = device->launch(kernel, arrays.args);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->status, FLASHC_ERROR_INVALID);
    EXPECT_THAT(error->message, HasSubstr(text));
  };
  arrays.tensors[0].data = static_cast<char *>(arrays.x) + 2;
  refuse("operand 0 \"x\": expected data aligned to 4 bytes, got address 0x");
  arrays.tensors[0].data = arrays.x;
  arrays.tensors[1].data = static_cast<float *>(arrays.x) + 50;
  refuse("operand 1 \"y\": expected memory of its own, got memory that overlaps operand 0 \"x\"");
  arrays.tensors[1].data = arrays.y;
  arrays.tensors[1].stride[0] = 0;
  refuse("operand 1 \"y\": expected an output whose elements have a place each");
  EXPECT_EQ(fake.counts().launches, 0);
  EXPECT_EQ(fake.counts().allocations, 2) << "no workspace is left";
}

// The operands fit, the workspace does not: an error with the numbers, and the next call that fits works.
TEST_P(Gpu, SaysThatAWorkspaceDoesNotFit) {
  open();
  Arrays arrays(*device, 100);
  Result<void *> rest = device->allocate((1 << 20) - 1500);
  ASSERT_TRUE(rest) << rest.error().message;
  std::optional<Error> error = device->launch(kernel, arrays.args);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, FLASHC_ERROR_MEMORY);
  EXPECT_THAT(error->message, HasSubstr("twice: workspace: "));
  EXPECT_THAT(error->message, HasSubstr("of 1048576 bytes free"));
  EXPECT_EQ(fake.counts().launches, 0);
  EXPECT_FALSE(device->free(*rest));
  EXPECT_FALSE(device->launch(kernel, arrays.args));
}

TEST_P(Gpu, SaysWhatMemoryThereIs) {
  open();
  Result<void *> memory = device->allocate(2 << 20);
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().status, FLASHC_ERROR_MEMORY);
  EXPECT_THAT(memory.error().message, HasSubstr("out of memory: expected 2097152 bytes, got a device with 1048576 of "
                                                "1048576 bytes free"));
}

TEST_P(Gpu, GivesIdleWorkspacesUpBeforeItFails) {
  open();
  {
    Arrays arrays(*device, 10);
    ASSERT_FALSE(device->launch(kernel, arrays.args));
  }
  Result<void *> memory = device->allocate((1 << 20) - 500);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_FALSE(device->free(*memory));
}

TEST_P(Gpu, RefusesTooMuchSharedMemory) {
  open();
  work.function.shared_bytes = 101 << 10;
  refuses(FLASHC_ERROR_DEVICE, "twice_kernel: expected at most the 102400 bytes of shared memory that a block of " +
                                   device->describe().name);
  work.function.shared_bytes = 90 << 10;
  Arrays arrays(*device, 100);
  std::optional<Error> error = device->launch(kernel, arrays.args);
  EXPECT_FALSE(error) << error->message;
  if (cuda())
    EXPECT_EQ(fake.counts().shared_allowed, 90 << 10);
}

TEST_P(Gpu, RefusesTooManyThreads) {
  open();
  work.function.threads = 2048;
  refuses(FLASHC_ERROR_DEVICE, "expected at most the 1024 threads");
}

TEST_P(Gpu, RefusesAnotherArchitecture) {
  open();
  work.function.target = cuda() ? "nvptx:sm_90a" : "amdgpu:gfx942";
  refuses(FLASHC_ERROR_TARGET, cuda() ? "expected a kernel that runs on cuda:0 (sm_80), for nvptx:sm_80 or an older "
                                        "architecture, got one for \"nvptx:sm_90a\", which runs on that chip alone"
                                      : "expected a kernel for amdgpu:gfx90a, the chip of hip:0, got one for "
                                        "\"amdgpu:gfx942\"");
  work.function.target = "cpu";
  refuses(FLASHC_ERROR_TARGET, "got one for \"cpu\"");
}

TEST_P(Gpu, RefusesDamagedFunctions) {
  open();
  work.function.name = "absent_kernel";
  refuses(FLASHC_ERROR_DEVICE, "finding \"absent_kernel\" in its image");
  EXPECT_EQ(fake.counts().modules, 0);
  work.function.image = "junk";
  refuses(FLASHC_ERROR_FORMAT, cuda() ? "CUDA_ERROR_INVALID_PTX: a fake error: ptxas fatal: line 1; expected .version"
                                      : "hipErrorInvalidImage");
  work.function.image = nullptr;
  refuses(FLASHC_ERROR_FORMAT, "expected a device function with a name, a target, a format and an image");
  work.function.image = "x";
  work.function.abi_version = 99;
  refuses(FLASHC_ERROR_ABI, "expected a device function of ABI version at most 1");
  work.function.abi_version = 1;
  work.function.format = "llvm-ir";
  refuses(FLASHC_ERROR_FORMAT, cuda() ? "expected an image of PTX or a cubin, got llvm-ir"
                                      : "expected an image that is a code object (hsaco), got llvm-ir");
}

TEST_P(Gpu, SaysWhyThereIsNone) {
  Result<std::shared_ptr<GpuDriver>> driver = GpuDriver::open(GetParam(), "/no/such/driver.so");
  ASSERT_FALSE(driver);
  EXPECT_EQ(driver.error().status, FLASHC_ERROR_TARGET);
  EXPECT_THAT(driver.error().message, HasSubstr("no driver: /no/such/driver.so: cannot open shared object file"));
  // A library that is no driver.
  driver = GpuDriver::open(GetParam(), cuda() ? FAKE_HIP : FAKE_CUDA);
  ASSERT_FALSE(driver);
  EXPECT_THAT(driver.error().message, HasSubstr(cuda() ? "expected a driver with \"cuInit\" (CUDA 11 or newer)"
                                                       : "expected a driver with \"hipInit\" (ROCm 6 or newer)"));
  fake.set(0, 80);
  Result<std::vector<std::unique_ptr<GpuDevice>>> devices = find();
  ASSERT_FALSE(devices);
  EXPECT_EQ(devices.error().message, cuda() ? "CUDA driver 12.8: no device" : "HIP 6.4: no device");
  const char *variable = cuda() ? "FLASHC_CUDA_LIBRARY" : "FLASHC_HIP_LIBRARY";
  ::setenv(variable, "", 1);
  EXPECT_EQ(GpuDriver::open(GetParam()).error().message, std::string("turned off by ") + variable + "=");
  ::setenv(variable, path(), 1);
  EXPECT_TRUE(GpuDriver::open(GetParam()));
  ::setenv(variable, "", 1); // as other tests want it
}

INSTANTIATE_TEST_SUITE_P(Vendors, Gpu, ::testing::Values(Vendor::Cuda, Vendor::Hip),
                         [](const auto &param) { return param.param == Vendor::Cuda ? "Cuda" : "Hip"; });

} // namespace

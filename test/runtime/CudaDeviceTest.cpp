// What only CUDA has, over its fake driver: chips that run each other's code, cubins, tensor maps.

#include "FakeDriver.h"
#include "TwiceKernel.h"

#include "runtime/devices/Cuda.h"

#include <gmock/gmock.h>

#include <memory>

using namespace flashc;
using namespace flashc::test;
using ::testing::HasSubstr;

namespace {

class Cuda : public ::testing::Test {
protected:
  Fake fake{FAKE_CUDA};
  std::unique_ptr<GpuDevice> open(int capability) {
    fake.reset();
    fake.set(1, capability);
    Result<std::vector<std::unique_ptr<GpuDevice>>> devices = findCudaDevices(FAKE_CUDA);
    return devices ? std::move(devices->front()) : nullptr;
  }
};

TEST_F(Cuda, KnowsWhatRunsOnAChip) {
  struct Case {
    int capability;
    const char *target;
    bool runs;
  };
  for (const Case &c : {Case{80, "nvptx:sm_80", true}, Case{86, "nvptx:sm_80", true}, Case{75, "nvptx:sm_80", false},
                        Case{90, "nvptx:sm_90a", true}, Case{100, "nvptx:sm_90a", false},
                        Case{100, "nvptx:sm_80", true}, Case{89, "nvptx:sm_90", false}, Case{90, "nvptx:sm_", false},
                        Case{90, "nvptx:sm_90ab", false}, Case{90, "nvptx", false}, Case{90, "emulated:sm_90a", false}})
    EXPECT_EQ(static_cast<bool>(open(c.capability)->suitability(c.target)), c.runs) << c.capability << " " << c.target;
  std::unique_ptr<GpuDevice> hopper = open(90);
  EXPECT_GT(*hopper->suitability("nvptx:sm_90a"), *hopper->suitability("nvptx:sm_80"));
}

TEST_F(Cuda, RunsACubinOnItsMajorVersionAlone) {
  flashc_device_function function{FLASHC_ABI_VERSION,
                                  sizeof(flashc_device_function),
                                  "twice_kernel",
                                  "nvptx:sm_80",
                                  "cubin",
                                  ".version\nentry twice_kernel",
                                  10,
                                  128,
                                  0,
                                  4,
                                  0,
                                  paramBytes};
  Launched work;
  work.function = function;
  launched = &work;
  for (int capability : {80, 86, 90}) {
    std::unique_ptr<GpuDevice> device = open(capability);
    Result<void *> x = device->allocate(400), y = device->allocate(400);
    flashc_tensor tensors[] = {tensor(*x, FLASHC_F32, {100}), tensor(*y, FLASHC_F32, {100})};
    flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
    std::optional<Error> error = device->launch(kernel, args);
    EXPECT_EQ(error.has_value(), capability == 90);
    if (error)
      EXPECT_THAT(error->message,
                  HasSubstr("expected a cubin for sm_90 or an older chip of the same major version, got "
                            "one for nvptx:sm_80"));
    EXPECT_FALSE(device->free(*x));
    EXPECT_FALSE(device->free(*y));
  }
  launched = nullptr;
}

TEST_F(Cuda, EncodesTensorMaps) {
  std::unique_ptr<GpuDevice> device = open(90);
  Result<void *> x = device->allocate(400), y = device->allocate(400);
  flashc_tensor tensors[] = {tensor(*x, FLASHC_F32, {100}), tensor(*y, FLASHC_F32, {100})};
  flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
  Launched work;
  const char *image = ".version\nentry twice_kernel";
  work.function = {FLASHC_ABI_VERSION,
                   sizeof(flashc_device_function),
                   "twice_kernel",
                   "nvptx:sm_90a",
                   "ptx",
                   image,
                   std::strlen(image),
                   128,
                   0,
                   4,
                   0,
                   paramBytes};
  work.encodes = true;
  work.map = {FLASHC_BF16, 2, *x, {64, 100}, {128}, {64, 64}, {1, 1}, 0, 128, 256, 0};
  launched = &work;
  std::optional<Error> error = device->launch(kernel, args);
  ASSERT_FALSE(error) << error->message;
  const auto *words = reinterpret_cast<const uint64_t *>(work.encoded);
  EXPECT_EQ(words[0], reinterpret_cast<uintptr_t>(*x));
  EXPECT_EQ(words[1], 2u);
  EXPECT_EQ(words[2], 64u);
  EXPECT_EQ(words[4], 9u);
  EXPECT_EQ(words[5], 3u);
  EXPECT_EQ(words[6], 30u);

  auto refuses = [&](flashc_tensor_map map, const char *text) {
    work.map = map;
    std::optional<Error> refused = device->launch(kernel, args);
    ASSERT_TRUE(refused) << text;
    EXPECT_EQ(refused->status, FLASHC_ERROR_INVALID);
    EXPECT_THAT(refused->message, HasSubstr(text));
  };
  const flashc_tensor_map good = work.map;
  flashc_tensor_map map = good;
  map.address = static_cast<char *>(*x) + 8;
  refuses(map, "tensor map: expected data aligned to 16 bytes, got address 0x");
  map = good;
  map.stride_bytes[0] = 120;
  refuses(map, "expected stride 1 to be a multiple of 16 bytes below 2^40, got 120 bytes");
  map = good;
  map.box[0] = 128;
  refuses(map, "expected a box whose rows are at most the swizzle's 128 bytes, got 256 bytes");
  map = good;
  map.rank = 6;
  refuses(map, "expected a rank from 1 to 5, got 6");
  EXPECT_FALSE(device->free(*x));
  EXPECT_FALSE(device->free(*y));
  device = open(80);
  x = device->allocate(400), y = device->allocate(400);
  tensors[0].data = *x, tensors[1].data = *y;
  work.map = good;
  work.map.address = *x;
  work.function.target = "nvptx:sm_80";
  error = device->launch(kernel, args);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, FLASHC_ERROR_TARGET);
  EXPECT_THAT(error->message, HasSubstr("expected a device of at least sm_90"));
  EXPECT_FALSE(device->free(*x));
  EXPECT_FALSE(device->free(*y));
  launched = nullptr;
}

} // namespace

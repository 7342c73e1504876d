// What runs slower than it could says so, once: the log, what of an operand is in the way, and calls on a device.

#include "TestKernel.h"

#include "runtime/Fallbacks.h"
#include "runtime/devices/LaunchingDevice.h"
#include "runtime/devices/OperandAccess.h"

#include <algorithm>
#include <cstring>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <thread>

using namespace flashc;
using namespace flashc::test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace {

TEST(FallbackLog, KeepsEachThingOnce) {
  FallbackLog log;
  EXPECT_EQ(log.count(), 0u);
  log.note("a", "first");
  log.note("a", "the same in other words");
  log.note("b", "second");
  EXPECT_THAT(log.texts(), ElementsAre("first", "second"));
  EXPECT_EQ(log.count(), 2u);
}

TEST(FallbackLog, EndsSomewhere) {
  FallbackLog log;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i)
        log.note(std::to_string(t * 100 + i), "text");
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(log.count(), 64u);
  EXPECT_EQ(log.texts().size(), 64u);
}

TEST(FallbackLog, IsListedForC) {
  processFallbacks().note("FallbackLog.IsListedForC", "k for cpu: said \"so\"");
  const nlohmann::json list = nlohmann::json::parse(flashc_devices())["fallbacks"];
  ASSERT_TRUE(list.is_array());
  EXPECT_NE(std::find(list.begin(), list.end(), "k for cpu: said \"so\""), list.end());
}

alignas(64) char memory[64];

flashc_tensor matrix(size_t offset, std::initializer_list<int64_t> sizes, std::initializer_list<int64_t> strides,
                     flashc_dtype dtype) {
  flashc_tensor t = tensor(memory + offset, dtype, sizes);
  std::copy(strides.begin(), strides.end(), t.stride);
  return t;
}

TEST(OperandAccess, SaysWhatIsInTheWayOfWholePieces) {
  struct Case {
    flashc_tensor tensor;
    const char *why;
  };
  const Case cases[] = {
      {matrix(0, {2, 3, 5, 64}, {960, 320, 64, 1}, FLASHC_BF16), ""},
      {matrix(48, {2, 3, 5, 64}, {-960, 0, 72, 1}, FLASHC_F16), ""},
      {matrix(0, {2, 3, 5, 2}, {30, 10, 2, 1}, FLASHC_F64), ""},
      {matrix(2, {2, 3, 5, 64}, {960, 320, 64, 1}, FLASHC_BF16), "it begins 2 bytes beyond a multiple of 16"},
      {matrix(0, {2, 3, 5, 64}, {960, 320, 65, 1}, FLASHC_BF16), "its rows lie 130 bytes apart"},
      {matrix(0, {2, 3, 5, 64}, {960, 321, 64, 1}, FLASHC_F32), "its heads lie 1284 bytes apart"},
      {matrix(0, {2, 3, 5, 64}, {-961, 320, 64, 1}, FLASHC_F64), "its batches lie -7688 bytes apart"},
      {matrix(0, {2, 3, 5, 64}, {1920, 640, 128, 2}, FLASHC_BF16),
       "its elements of a row lie 4 bytes apart, of 2 bytes each"},
      {matrix(0, {2, 3, 5, 59}, {960, 320, 64, 1}, FLASHC_BF16), "its rows have 118 bytes"},
      // One of something is nowhere else, and nothing is read of nothing.
      {matrix(0, {1, 3, 1, 64}, {7, 320, 9, 1}, FLASHC_BF16), ""},
      {matrix(2, {2, 3, 0, 64}, {961, 321, 65, 3}, FLASHC_BF16), ""},
  };
  for (const Case &c : cases) {
    EXPECT_EQ(whyNoWholePieces(c.tensor), c.why);
    // Where accesses may begin anywhere, only elements that lie apart are in the way.
    EXPECT_EQ(whyNoWholePieces(c.tensor, /*unalignedAccess=*/true),
              std::strstr(c.why, "elements of a row") ? c.why : "");
  }
  // And rows that are shorter than a piece.
  const flashc_tensor narrow = matrix(0, {2, 3, 5, 7}, {960, 320, 64, 1}, FLASHC_BF16);
  EXPECT_EQ(whyNoWholePieces(narrow, /*unalignedAccess=*/true), "its rows have 14 bytes");
}

TEST(OperandAccess, SaysWhatIsInTheWayOfBoxes) {
  EXPECT_EQ(whyNoBoxes(matrix(0, {2, 3, 5, 64}, {960, 320, 64, 1}, FLASHC_BF16)), "");
  EXPECT_EQ(whyNoBoxes(matrix(0, {2, 3, 5, 64}, {960, 0, 64, 1}, FLASHC_BF16)), "its heads lie 0 bytes apart");
  EXPECT_EQ(whyNoBoxes(matrix(0, {2, 3, 5, 64}, {960, 320, -64, 1}, FLASHC_BF16)), "its rows lie -128 bytes apart");
  EXPECT_EQ(whyNoBoxes(matrix(0, {2, 3, 5, 64}, {int64_t(1) << 39, 320, 64, 1}, FLASHC_BF16)),
            "its batches lie 1099511627776 bytes apart");
  EXPECT_EQ(whyNoBoxes(matrix(0, {1, 3, int64_t(1) << 31, 64}, {0, 320, 64, 1}, FLASHC_BF16)),
            "it has 2147483648 rows");
  EXPECT_EQ(whyNoBoxes(matrix(0, {2, 0, 5, 64}, {960, 0, 64, 1}, FLASHC_BF16)), "");
}

//===----------------------------------------------------------------------===//
// Calls of a kernel that would have keys and values copied by an engine
//===----------------------------------------------------------------------===//

/// A device that launches nothing, and makes tensor maps or does not.
class Idle : public LaunchingDevice {
public:
  explicit Idle(bool makesMaps) : makesMaps(makesMaps) {}
  DeviceInfo describe() const override {
    DeviceInfo info;
    info.name = "idle:0";
    return info;
  }
  Result<int> suitability(std::string_view) const override { return 1; }

protected:
  std::optional<Error> start(const flashc_device_function &, const DeviceCall &, int64_t, void *const *,
                             void *) override {
    return std::nullopt;
  }
  std::optional<Error> encode(void *map, const flashc_tensor_map &what) override {
    return makesMaps ? std::nullopt : LaunchingDevice::encode(map, what);
  }

private:
  const bool makesMaps;
};

const uint32_t paramBytes[] = {8, 128, 128};
const flashc_device_function function{
    FLASHC_ABI_VERSION, sizeof(flashc_device_function), "k_kernel0", "nvptx:sm_90a", "ptx", "x", 1, 128, 0, 3, 0,
    paramBytes};

/// As a kernel's host side: maps of k and v where the engine takes them, and one launch with both.
flashc_status run(const flashc_args *args, void *stream, void *, size_t) {
  alignas(64) static thread_local char maps[2][128];
  for (int i : {1, 2}) {
    const flashc_tensor &t = args->tensors[i];
    if (t.size[2] == 0 || t.stride[1] <= 0)
      continue;
    const flashc_tensor_map what{t.dtype, 2, t.data, {64, 5}, {128}, {64, 5}, {1, 1}, 0, 128, 0, 0};
    (void)args->host->encode_tensor_map(args->host->user, maps[i - 1], &what);
  }
  int64_t number = 0;
  void *params[] = {&number, maps[0], maps[1]};
  return args->host->launch(args->host->user, &function, 1, params, stream);
}
size_t none(const flashc_args *) { return 0; }

const flashc_operand_info operands[] = {
    operand("q", FLASHC_BF16, {FLASHC_SIZE_ANY, FLASHC_SIZE_ANY, FLASHC_SIZE_ANY, 64}),
    operand("k", FLASHC_BF16, {FLASHC_SIZE_ANY, FLASHC_SIZE_ANY, FLASHC_SIZE_ANY, 64}),
    operand("v", FLASHC_BF16, {FLASHC_SIZE_ANY, FLASHC_SIZE_ANY, FLASHC_SIZE_ANY, 64}),
    operand("out", FLASHC_BF16, {FLASHC_SIZE_ANY, FLASHC_SIZE_ANY, FLASHC_SIZE_ANY, 64}, FLASHC_OPERAND_OUTPUT)};
const flashc_kernel_info info{
    FLASHC_ABI_VERSION, sizeof(flashc_kernel_info), "k", "nvptx:sm_90a", 4, 0, operands, "{}"};
const flashc_kernel kernel{&info, none, run};

class Fallbacks : public ::testing::Test {
protected:
  void call(Idle &device) {
    const flashc_args args{FLASHC_ABI_VERSION, 4, tensors, nullptr};
    const std::optional<Error> error = device.launch(kernel, args);
    EXPECT_FALSE(error) << error->message;
  }
  alignas(64) char places[4][2 * 3 * 5 * 64 * 2 + 64];
  flashc_tensor tensors[4] = {
      tensor(places[0], FLASHC_BF16, {2, 3, 5, 64}), tensor(places[1], FLASHC_BF16, {2, 3, 5, 64}),
      tensor(places[2], FLASHC_BF16, {2, 3, 5, 64}), tensor(places[3], FLASHC_BF16, {2, 3, 5, 64})};
};

TEST_F(Fallbacks, AreNoneWhereTheEngineCopies) {
  Idle device(true);
  call(device);
  EXPECT_THAT(device.fallbacks(), IsEmpty());
}

TEST_F(Fallbacks, NameTheDevicesReason) {
  Idle device(false);
  call(device);
  call(device);
  EXPECT_THAT(device.fallbacks(),
              ElementsAre("k for nvptx:sm_90a: what it reads is copied by threads and not by the copy engine (TMA): "
                          "idle:0 (): expected a device with tensor maps"));
  EXPECT_EQ(device.fallbackCount(), 1u);
}

TEST_F(Fallbacks, NameTheOperandThatTheEngineDoesNotTake) {
  Idle device(true);
  tensors[2].stride[1] = 0;
  call(device);
  EXPECT_THAT(device.fallbacks(), ElementsAre(HasSubstr("\"v\" is copied by threads and not by the copy engine (TMA): "
                                                        "its heads lie 0 bytes apart")));
}

TEST_F(Fallbacks, NameOperandsThatAreNotAligned) {
  Idle device(false);
  tensors[0].data = places[0] + 2;
  tensors[1].data = places[1] + 8;
  call(device);
  EXPECT_THAT(device.fallbacks(), ElementsAre(HasSubstr("\"q\" is read element by element"),
                                              HasSubstr("\"k\" is read element by element")));
}

TEST_F(Fallbacks, SayNothingOfNoKeys) {
  Idle device(false);
  tensors[1].size[2] = tensors[2].size[2] = 0;
  call(device);
  EXPECT_THAT(device.fallbacks(), IsEmpty());
}

} // namespace

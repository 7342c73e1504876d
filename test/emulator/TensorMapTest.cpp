// What the emulated device's tensor maps accept: the driver's rules (CUDA Driver API, cuTensorMapEncodeTiled).

#include "emulator/TensorMap.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

namespace flashc::emulator {
namespace {

alignas(64) uint8_t tensor[64];

flashc_tensor_map goodMap() {
  flashc_tensor_map map{};
  map.dtype = FLASHC_BF16;
  map.rank = 3;
  map.address = tensor;
  map.size[0] = 64, map.size[1] = 1000, map.size[2] = 7;
  map.stride_bytes[0] = 128, map.stride_bytes[1] = 128000;
  map.box[0] = 64, map.box[1] = 128, map.box[2] = 1;
  map.element_stride[0] = map.element_stride[1] = map.element_stride[2] = 1;
  map.swizzle = 128;
  return map;
}

TEST(TensorMapTest, HoldsWhatItWasMadeOf) {
  alignas(64) uint8_t bytes[128];
  ASSERT_FALSE(encodeTensorMap(goodMap(), bytes));
  TensorMap map;
  std::memcpy(&map, bytes, sizeof(map));
  EXPECT_EQ(map.magic, TensorMap::expectedMagic);
  EXPECT_EQ(map.boxBytes(), 64u * 128 * 2);
  EXPECT_EQ(map.strideBytes[1], 128000u);
}

TEST(TensorMapTest, RefusesWhatTheDriverRefuses) {
  struct Case {
    const char *message;
    std::function<void(flashc_tensor_map &)> change;
  };
  const Case cases[] = {
      {"the rank is 6", [](auto &map) { map.rank = 6; }},
      {"the rank is 0", [](auto &map) { map.rank = 0; }},
      {"multiple of 16 and not null", [](auto &map) { map.address = tensor + 8; }},
      {"multiple of 16 and not null", [](auto &map) { map.address = nullptr; }},
      {"the size of dimension 1 is 0", [](auto &map) { map.size[1] = 0; }},
      {"the box of dimension 1 is 257", [](auto &map) { map.box[1] = 257; }},
      {"the stride in bytes of dimension 1 is 120", [](auto &map) { map.stride_bytes[0] = 120; }},
      {"at most the swizzle's 64", [](auto &map) { map.swizzle = 64; }},
      {"emulated are rows of the swizzle's 128", [](auto &map) { map.box[0] = 32; }},
      {"swizzle is 16", [](auto &map) { map.swizzle = 16; }},
      {"a row of the box has 24 bytes", [](auto &map) { map.box[0] = 12; }},
      {"element type 99", [](auto &map) { map.dtype = 99; }},
      {"only floating-point", [](auto &map) { map.dtype = FLASHC_I32, map.fill_nan = 1; }},
      {"l2_promotion is 32", [](auto &map) { map.l2_promotion = 32; }},
  };
  for (const Case &refused : cases) {
    flashc_tensor_map map = goodMap();
    refused.change(map);
    alignas(64) uint8_t bytes[128];
    auto error = encodeTensorMap(map, bytes);
    ASSERT_TRUE(error) << refused.message;
    EXPECT_NE(error->message.find(refused.message), std::string::npos) << error->message;
    EXPECT_EQ(error->status, FLASHC_ERROR_INVALID);
  }
}

TEST(TensorMapTest, WantsItsOwnAddressAligned) {
  alignas(64) uint8_t bytes[192];
  auto error = encodeTensorMap(goodMap(), bytes + 16);
  ASSERT_TRUE(error);
  EXPECT_NE(error->message.find("64-byte aligned"), std::string::npos);
}

} // namespace
} // namespace flashc::emulator

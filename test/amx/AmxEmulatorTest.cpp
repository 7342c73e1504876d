/// The emulated tile instructions against the manual's text: configuration, what faults, what a load zeroes, and the
/// roundings of a product. Where the machine has the instructions, its products are compared with the emulator's, bit
/// by bit.
#include "AmxEmulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <immintrin.h>
#include <limits>
#include <random>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {
using testing::HasSubstr;

struct Config {
  alignas(64) unsigned char bytes[64] = {};
  Config() { bytes[0] = 1; }
  Config &tile(unsigned number, unsigned rows, unsigned rowBytes) {
    bytes[16 + 2 * number] = static_cast<unsigned char>(rowBytes);
    bytes[17 + 2 * number] = static_cast<unsigned char>(rowBytes >> 8);
    bytes[48 + number] = static_cast<unsigned char>(rows);
    return *this;
  }
  /// Eight whole tiles.
  static Config whole() {
    Config config;
    for (unsigned t = 0; t < 8; ++t)
      config.tile(t, 16, 64);
    return config;
  }
};

uint16_t toBF16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

struct AmxEmulator : testing::Test {
  void SetUp() override {
    if (!__builtin_cpu_supports("fma"))
      GTEST_SKIP() << "the emulator rounds with FMA instructions, which this machine lacks";
    flashc_amx_tilerelease();
    flashc_amx_reset();
  }
  void TearDown() override { flashc_amx_tilerelease(); }

  static void configure(const Config &config) { flashc_amx_ldtilecfg(config.bytes); }
  static std::string fault() { return flashc_amx_fault() ? flashc_amx_fault() : ""; }

  /// c + a b for one row, one column and one pair: the smallest product.
  static float multiply(float c, float a0, float b0, float a1, float b1) {
    configure(Config().tile(0, 1, 4).tile(1, 1, 4).tile(2, 1, 4));
    const uint16_t a[2] = {toBF16(a0), toBF16(a1)}, b[2] = {toBF16(b0), toBF16(b1)};
    flashc_amx_tileloadd(0, &c, 4);
    flashc_amx_tileloadd(1, a, 4);
    flashc_amx_tileloadd(2, b, 4);
    flashc_amx_tdpbf16ps(0, 1, 2);
    float result = 0;
    flashc_amx_tilestored(0, &result, 4);
    EXPECT_EQ(fault(), "");
    return result;
  }
};

TEST_F(AmxEmulator, ConfigurationIsChecked) {
  const auto faultOf = [](const Config &config) {
    flashc_amx_reset();
    configure(config);
    return fault();
  };
  EXPECT_EQ(faultOf(Config::whole()), "");
  EXPECT_THAT(faultOf(Config().tile(0, 17, 64)), HasSubstr("more than 16 rows"));
  EXPECT_THAT(faultOf(Config().tile(0, 16, 65)), HasSubstr("more than 64 bytes"));
  EXPECT_THAT(faultOf(Config().tile(0, 16, 256)), HasSubstr("more than 64 bytes"));
  EXPECT_THAT(faultOf(Config().tile(3, 0, 64)), HasSubstr("columns and no rows"));
  EXPECT_THAT(faultOf(Config().tile(3, 16, 0)), HasSubstr("rows and no columns"));
  EXPECT_THAT(faultOf(Config::whole().tile(8, 16, 0)), HasSubstr("reserved"));
  EXPECT_THAT(faultOf(Config::whole().tile(8, 0, 64)), HasSubstr("reserved"));
  Config reserved = Config::whole();
  reserved.bytes[2] = 1;
  EXPECT_THAT(faultOf(reserved), HasSubstr("reserved"));
  Config palette = Config::whole();
  palette.bytes[0] = 2;
  EXPECT_THAT(faultOf(palette), HasSubstr("palette"));
}

TEST_F(AmxEmulator, AFaultingConfigurationChangesNothing) {
  configure(Config::whole());
  configure(Config().tile(0, 17, 64));
  flashc_amx_reset();
  flashc_amx_tilezero(7);
  EXPECT_EQ(fault(), "");
}

TEST_F(AmxEmulator, TilesThatAreNotConfiguredFault) {
  flashc_amx_tilezero(0);
  EXPECT_THAT(fault(), HasSubstr("tilezero: the tile is not configured"));
  configure(Config().tile(0, 16, 64));
  flashc_amx_reset();
  char memory[1024] = {};
  flashc_amx_tileloadd(1, memory, 64);
  EXPECT_THAT(fault(), HasSubstr("tileloadd: the tile is not configured"));
  flashc_amx_reset();
  flashc_amx_tilestored(8, memory, 64);
  EXPECT_THAT(fault(), HasSubstr("tilestored: the tile is not configured"));
  flashc_amx_reset();
  flashc_amx_tilerelease();
  flashc_amx_tilestored(0, memory, 64);
  EXPECT_THAT(fault(), HasSubstr("not configured"));
  flashc_amx_reset();
  Config none;
  none.bytes[0] = 0; // palette 0 is the initial state
  configure(Config::whole());
  configure(none);
  EXPECT_EQ(fault(), "");
  flashc_amx_tilezero(0);
  EXPECT_THAT(fault(), HasSubstr("not configured"));
}

TEST_F(AmxEmulator, ShapesOfAProductAreChecked) {
  const auto faultOf = [](const Config &config, uint8_t c, uint8_t a, uint8_t b) {
    configure(config);
    flashc_amx_reset();
    flashc_amx_tdpbf16ps(c, a, b);
    return fault();
  };
  EXPECT_EQ(faultOf(Config().tile(0, 5, 12).tile(1, 5, 8).tile(2, 2, 12), 0, 1, 2), "");
  EXPECT_THAT(faultOf(Config().tile(0, 4, 12).tile(1, 5, 8).tile(2, 2, 12), 0, 1, 2), HasSubstr("differ in rows"));
  EXPECT_THAT(faultOf(Config().tile(0, 5, 16).tile(1, 5, 8).tile(2, 2, 12), 0, 1, 2), HasSubstr("differ in columns"));
  EXPECT_THAT(faultOf(Config().tile(0, 5, 12).tile(1, 5, 8).tile(2, 3, 12), 0, 1, 2), HasSubstr("operand's rows"));
  EXPECT_THAT(faultOf(Config().tile(0, 5, 10).tile(1, 5, 8).tile(2, 2, 10), 0, 1, 2), HasSubstr("multiple of 4"));
  EXPECT_THAT(faultOf(Config().tile(0, 5, 12).tile(1, 5, 8), 0, 1, 2), HasSubstr("not configured"));
  EXPECT_THAT(faultOf(Config::whole(), 0, 1, 1), HasSubstr("used twice"));
  EXPECT_THAT(faultOf(Config::whole(), 1, 1, 2), HasSubstr("used twice"));
  EXPECT_EQ(flashc_amx_products(), 0u);
}

TEST_F(AmxEmulator, LoadsAndStoresFollowTheStride) {
  configure(Config().tile(0, 3, 8));
  std::vector<unsigned char> memory(64);
  for (size_t i = 0; i < memory.size(); ++i)
    memory[i] = static_cast<unsigned char>(i);
  flashc_amx_tileloadd(0, memory.data() + 40, -20); // a stride is signed
  std::vector<unsigned char> stored(40, 0xff);
  flashc_amx_tilestored(0, stored.data(), 16);
  for (int r = 0; r < 3; ++r)
    for (int i = 0; i < 16 && r * 16 + i < 40; ++i)
      EXPECT_EQ(stored[r * 16 + i], i < 8 ? 40 - 20 * r + i : 0xff) << r << " " << i;
  flashc_amx_tilezero(0);
  flashc_amx_tilestored(0, stored.data(), 8);
  EXPECT_EQ(std::count(stored.begin(), stored.begin() + 24, 0), 24);
  EXPECT_EQ(fault(), "");
}

TEST_F(AmxEmulator, ConfiguringZeroesTheTiles) {
  configure(Config::whole());
  std::vector<unsigned char> memory(1024, 7);
  flashc_amx_tileloadd(0, memory.data(), 64);
  configure(Config::whole());
  flashc_amx_tilestored(0, memory.data(), 64);
  EXPECT_EQ(std::count(memory.begin(), memory.end(), 0), 1024);
}

TEST_F(AmxEmulator, AProductContractsPairs) {
  const int rows = 3, depth = 4, columns = 5; // depth in pairs
  configure(Config().tile(4, rows, columns * 4).tile(5, rows, depth * 4).tile(6, depth, columns * 4));
  std::vector<uint16_t> a(rows * depth * 2), b(depth * columns * 2);
  std::vector<float> c(rows * columns), result(rows * columns);
  // Small integers: every sum is exact, so the order does not matter.
  for (size_t i = 0; i < a.size(); ++i)
    a[i] = toBF16(static_cast<float>(static_cast<int>(i * 7 % 11) - 5));
  for (size_t i = 0; i < b.size(); ++i)
    b[i] = toBF16(static_cast<float>(static_cast<int>(i * 5 % 13) - 6));
  for (size_t i = 0; i < c.size(); ++i)
    c[i] = static_cast<float>(i);
  flashc_amx_tileloadd(4, c.data(), columns * 4);
  flashc_amx_tileloadd(5, a.data(), depth * 4);
  flashc_amx_tileloadd(6, b.data(), columns * 4);
  flashc_amx_tdpbf16ps(4, 5, 6);
  flashc_amx_tilestored(4, result.data(), columns * 4);
  EXPECT_EQ(fault(), "");
  EXPECT_EQ(flashc_amx_products(), 1u);
  for (int m = 0; m < rows; ++m)
    for (int n = 0; n < columns; ++n) {
      int expected = m * columns + n;
      for (int k = 0; k < 2 * depth; ++k)
        expected += (((m * depth * 2 + k) * 7 % 11) - 5) * ((((k / 2) * columns * 2 + 2 * n + k % 2) * 5 % 13) - 6);
      EXPECT_EQ(result[m * columns + n], static_cast<float>(expected)) << m << " " << n;
    }
}

TEST_F(AmxEmulator, SubnormalNumbersAreZero) {
  const float least = std::numeric_limits<float>::min(), subnormal = least / 4;
  EXPECT_EQ(multiply(0, subnormal, 1024, 0, 0), 0);     // as operands
  EXPECT_EQ(multiply(subnormal, 0, 0, 0, 0), 0);        // as accumulators
  EXPECT_EQ(multiply(0, least, 0.5f, 0, 0), 0);         // as results
  EXPECT_EQ(multiply(0, 2 * least, 0.5f, 0, 0), least); // the least number that is kept
  EXPECT_EQ(multiply(0, least, 0.5f, least, 0.5f), 0);  // each of the two sums by itself
  EXPECT_TRUE(std::signbit(multiply(-0.0f, -least, 0.5f, -least, 0.5f)));
}

TEST_F(AmxEmulator, EachStepRoundsOnceToNearestEven) {
  const float ulp = std::ldexp(1.0f, -23);
  // 1 + half a unit: a tie, to even.
  EXPECT_EQ(multiply(1, std::ldexp(1.0f, -24), 1, 0, 0), 1);
  EXPECT_EQ(multiply(1 + ulp, std::ldexp(1.0f, -24), 1, 0, 0), 1 + 2 * ulp);
  // The pair's two sums are added to each other first, and only then to the accumulator.
  EXPECT_EQ(multiply(1, std::ldexp(1.0f, -24), 1, std::ldexp(1.0f, -24), 1), 1 + ulp);
  // So small terms that would each vanish beside a large one of the same pair do vanish.
  EXPECT_EQ(multiply(-1, 1, 1, std::ldexp(1.0f, -25), 1), 0);
}

TEST_F(AmxEmulator, EvenAndOddElementsHaveSumsOfTheirOwn) {
  configure(Config().tile(0, 1, 4).tile(1, 1, 8).tile(2, 2, 4));
  const float small = std::ldexp(1.0f, -24);
  const uint16_t a[4] = {toBF16(1), toBF16(small), toBF16(small), toBF16(small)};
  const uint16_t b[4] = {toBF16(1), toBF16(1), toBF16(1), toBF16(1)};
  float c = 0;
  flashc_amx_tileloadd(0, &c, 4);
  flashc_amx_tileloadd(1, a, 8);
  flashc_amx_tileloadd(2, b, 4);
  flashc_amx_tdpbf16ps(0, 1, 2);
  flashc_amx_tilestored(0, &c, 4);
  // Even: 1 + 2^-24 ties to 1. Odd: 2^-24 + 2^-24 = 2^-23. Together 1 + 2^-23; in one sum all three would have
  // vanished.
  EXPECT_EQ(c, 1 + std::ldexp(1.0f, -23));
}

TEST_F(AmxEmulator, InfinitiesAndNaNsAreThoseOfFloat32) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(multiply(1, infinity, 2, 0, 0), infinity);
  EXPECT_TRUE(std::isnan(multiply(1, infinity, 0, 0, 0)));
  EXPECT_TRUE(std::isnan(multiply(0, std::nanf(""), 0, 0, 0)));
  EXPECT_TRUE(std::isnan(multiply(0, infinity, 1, -infinity, 1)));
}

TEST_F(AmxEmulator, TheCallersRoundingIsNeitherReadNorChanged) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr((before & ~0x8040u) | 0x6000u); // toward zero, subnormal numbers kept
  const unsigned mode = _mm_getcsr();
  const float sum = multiply(1, std::ldexp(1.5f, -24), 1, 0, 0);
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  EXPECT_EQ(sum, 1 + std::ldexp(1.0f, -23));
  EXPECT_EQ(after, mode);
}

TEST_F(AmxEmulator, EachThreadHasItsOwnTiles) {
  configure(Config::whole());
  EXPECT_EQ(flashc_amx_configured_threads(), 1);
  std::thread([] {
    flashc_amx_tilezero(0);
    EXPECT_THAT(fault(), HasSubstr("not configured"));
    flashc_amx_reset();
    configure(Config::whole());
    EXPECT_EQ(flashc_amx_configured_threads(), 2);
    flashc_amx_tilerelease();
  }).join();
  EXPECT_EQ(flashc_amx_configured_threads(), 1);
  flashc_amx_tilezero(0);
  EXPECT_EQ(fault(), "");
  flashc_amx_tilerelease();
  EXPECT_EQ(flashc_amx_configured_threads(), 0);
}

/// One product of whole tiles by the machine itself.
__attribute__((target("amx-tile,amx-bf16"))) void
multiplyNatively(const Config &config, const float *c, const uint16_t *a, const uint16_t *b, float *result) {
  _tile_loadconfig(config.bytes);
  _tile_loadd(0, c, 64);
  _tile_loadd(1, a, 64);
  _tile_loadd(2, b, 64);
  _tile_dpbf16ps(0, 1, 2);
  _tile_stored(0, result, 64);
  _tile_release();
}

TEST_F(AmxEmulator, AgreesWithTheMachine) {
  unsigned eax = 7, ebx = 0, ecx = 0, edx = 0;
  asm("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24;
  constexpr long requestPermission = 0x1023, tileData = 18;
  if ((edx & (bf16 | tile)) != (bf16 | tile))
    GTEST_SKIP() << "this machine has no tile products of bfloat16";
  if (syscall(SYS_arch_prctl, requestPermission, tileData) != 0)
    GTEST_SKIP() << "the kernel refuses the permission to use tiles";
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<uint16_t> a(512), b(512);
    std::vector<float> c(256), native(256), emulated(256);
    // All exponents in odd rounds, subnormal, infinite and NaN ones too; near each other in even ones.
    const auto draw = [&] { return round % 2 ? uint16_t(random()) : uint16_t((random() & 0x83ff) | 0x3c00); };
    for (uint16_t &x : a)
      x = draw();
    for (uint16_t &x : b)
      x = draw();
    for (float &x : c) {
      const uint32_t bits = uint32_t(draw()) << 16 | (random() & 0xffff);
      std::memcpy(&x, &bits, sizeof x);
    }
    multiplyNatively(Config::whole(), c.data(), a.data(), b.data(), native.data());
    configure(Config::whole());
    flashc_amx_tileloadd(0, c.data(), 64);
    flashc_amx_tileloadd(1, a.data(), 64);
    flashc_amx_tileloadd(2, b.data(), 64);
    flashc_amx_tdpbf16ps(0, 1, 2);
    flashc_amx_tilestored(0, emulated.data(), 64);
    for (int i = 0; i < 256; ++i)
      if (!std::isnan(native[i]) || !std::isnan(emulated[i]))
        ASSERT_EQ(native[i], emulated[i]) << "round " << round << ", element " << i;
  }
}

} // namespace

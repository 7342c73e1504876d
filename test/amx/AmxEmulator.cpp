#include "AmxEmulator.h"

#include <atomic>
#include <cstring>
#include <immintrin.h>
#include <memory>
#include <utility>

namespace {

constexpr unsigned kTiles = 8, kRows = 16, kRowBytes = 64;

struct Tile {
  unsigned rows = 0, rowBytes = 0;
  alignas(64) unsigned char data[kRows][kRowBytes] = {};
  bool isConfigured() const { return rows != 0; }
};

std::atomic<const char *> firstFault{nullptr};
std::atomic<uint64_t> numProducts{0};
std::atomic<int64_t> numConfigured{0};

void fault(const char *reason) {
  const char *none = nullptr;
  firstFault.compare_exchange_strong(none, reason);
}

struct Tiles {
  unsigned startRow = 0;
  Tile tile[kTiles];
};

/// A thread's tiles; null while they are not configured.
struct State {
  std::unique_ptr<Tiles> tiles;
  void set(std::unique_ptr<Tiles> next) {
    numConfigured += int(next != nullptr) - int(tiles != nullptr);
    tiles = std::move(next);
  }
  State() = default;
  ~State() { set(nullptr); }
  State(const State &) = delete;
  State &operator=(const State &) = delete;
};

thread_local State state;

/// The tile of a number; null, with a fault, where the instruction would raise #UD.
Tile *find(uint8_t number, const char *reason) {
  if (!state.tiles || number >= kTiles || !state.tiles->tile[number].isConfigured()) {
    fault(reason);
    return nullptr;
  }
  return &state.tiles->tile[number];
}

/// The rounding of a tile product, whatever the caller's: to nearest even, subnormal operands and results are zero, no
/// exception is raised or noted.
class ScopedRounding {
public:
  ScopedRounding() : saved(_mm_getcsr()) { _mm_setcsr(0x1f80 | 0x8040); }
  ~ScopedRounding() { _mm_setcsr(saved); }
  ScopedRounding(const ScopedRounding &) = delete;
  ScopedRounding &operator=(const ScopedRounding &) = delete;

private:
  const unsigned saved;
};

float widen(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

/// One row of a product: result[n] += the sum over k of left[2k] * right[k][2n] + left[2k + 1] * right[k][2n + 1]. Even
/// and odd elements have sums of their own, each step is rounded once, and the two sums meet at the end. Not inlined,
/// so that it stays between the changes of the rounding.
__attribute__((target("fma,avx2"), noinline)) void
multiplyRow(float *result, const float *left, const float (*right)[2 * kRows], unsigned depth, unsigned columns) {
  float sums[2 * kRows] = {};
  for (unsigned k = 0; k < depth; ++k)
    for (unsigned n = 0; n < 2 * columns; n += 2)
      for (unsigned e = 0; e < 2; ++e)
        sums[n + e] = __builtin_fmaf(left[2 * k + e], right[k][n + e], sums[n + e]);
  for (unsigned n = 0; n < columns; ++n)
    result[n] += sums[2 * n] + sums[2 * n + 1];
}

} // namespace

void flashc_amx_ldtilecfg(const void *config) {
  unsigned char bytes[64];
  std::memcpy(bytes, config, sizeof bytes);
  if (bytes[0] > 1)
    return fault("ldtilecfg: palette other than 0 and 1");
  if (bytes[0] == 0)
    return state.set(nullptr);
  auto isZero = [&](unsigned begin, unsigned end) {
    for (unsigned i = begin; i < end; ++i)
      if (bytes[i])
        return false;
    return true;
  };
  if (!isZero(2, 16) || !isZero(16 + 2 * kTiles, 48) || !isZero(48 + kTiles, 64))
    return fault("ldtilecfg: a reserved byte is not 0");
  auto next = std::make_unique<Tiles>();
  next->startRow = bytes[1];
  for (unsigned t = 0; t < kTiles; ++t) {
    Tile &tile = next->tile[t];
    tile.rowBytes = bytes[16 + 2 * t] | bytes[17 + 2 * t] << 8;
    tile.rows = bytes[48 + t];
    if (tile.rowBytes > kRowBytes)
      return fault("ldtilecfg: rows of more than 64 bytes");
    if (tile.rows > kRows)
      return fault("ldtilecfg: more than 16 rows");
    if ((tile.rows == 0) != (tile.rowBytes == 0))
      return fault("ldtilecfg: a tile with rows and no columns, or columns and no rows");
  }
  state.set(std::move(next));
}

void flashc_amx_tilerelease() { state.set(nullptr); }

void flashc_amx_tilezero(uint8_t number) {
  if (Tile *tile = find(number, "tilezero: the tile is not configured"))
    std::memset(tile->data, 0, sizeof tile->data);
}

void flashc_amx_tileloadd(uint8_t number, const void *base, int64_t stride) {
  Tile *tile = find(number, "tileloadd: the tile is not configured");
  if (!tile)
    return;
  if (state.tiles->startRow >= tile->rows)
    return fault("tileloadd: the start row lies beyond the tile's rows");
  if (state.tiles->startRow == 0)
    std::memset(tile->data, 0, sizeof tile->data);
  const auto *bytes = static_cast<const unsigned char *>(base);
  for (unsigned r = state.tiles->startRow; r < tile->rows; ++r)
    std::memcpy(tile->data[r], bytes + int64_t(r) * stride, tile->rowBytes);
  state.tiles->startRow = 0;
}

void flashc_amx_tilestored(uint8_t number, void *base, int64_t stride) {
  Tile *tile = find(number, "tilestored: the tile is not configured");
  if (!tile)
    return;
  if (state.tiles->startRow >= tile->rows)
    return fault("tilestored: the start row lies beyond the tile's rows");
  auto *bytes = static_cast<unsigned char *>(base);
  for (unsigned r = state.tiles->startRow; r < tile->rows; ++r)
    std::memcpy(bytes + int64_t(r) * stride, tile->data[r], tile->rowBytes);
  state.tiles->startRow = 0;
}

void flashc_amx_tdpbf16ps(uint8_t destination, uint8_t left, uint8_t right) {
  constexpr const char *reason = "tdpbf16ps: a tile is not configured";
  Tile *c = find(destination, reason), *a = find(left, reason), *b = find(right, reason);
  if (!c || !a || !b)
    return;
  if (c == a || c == b || a == b)
    return fault("tdpbf16ps: one tile is used twice");
  if (a->rowBytes % 4 || b->rowBytes % 4 || c->rowBytes % 4)
    return fault("tdpbf16ps: a tile's row is not a multiple of 4 bytes");
  if (c->rows != a->rows)
    return fault("tdpbf16ps: the result and the left operand differ in rows");
  if (c->rowBytes != b->rowBytes)
    return fault("tdpbf16ps: the result and the right operand differ in columns");
  if (a->rowBytes / 4 != b->rows)
    return fault("tdpbf16ps: the left operand's columns are not the right operand's rows");
  ScopedRounding rounding;
  const unsigned columns = c->rowBytes / 4, depth = a->rowBytes / 4;
  float rightRows[kRows][2 * kRows] = {};
  for (unsigned k = 0; k < depth; ++k)
    for (unsigned n = 0; n < 2 * columns; ++n) {
      uint16_t bits;
      std::memcpy(&bits, b->data[k] + 2 * n, sizeof bits);
      rightRows[k][n] = widen(bits);
    }
  for (unsigned m = 0; m < c->rows; ++m) {
    float leftRow[2 * kRows] = {}, row[kRows];
    for (unsigned k = 0; k < 2 * depth; ++k) {
      uint16_t bits;
      std::memcpy(&bits, a->data[m] + 2 * k, sizeof bits);
      leftRow[k] = widen(bits);
    }
    std::memcpy(row, c->data[m], sizeof row);
    multiplyRow(row, leftRow, rightRows, depth, columns);
    // write_row_and_zero: nothing stays right of the configured columns.
    std::memset(c->data[m], 0, kRowBytes);
    std::memcpy(c->data[m], row, c->rowBytes);
  }
  for (unsigned m = c->rows; m < kRows; ++m)
    std::memset(c->data[m], 0, kRowBytes);
  state.tiles->startRow = 0;
  numProducts.fetch_add(1, std::memory_order_relaxed);
}

const char *flashc_amx_fault() { return firstFault; }
uint64_t flashc_amx_products() { return numProducts; }
int64_t flashc_amx_configured_threads() { return numConfigured; }
void flashc_amx_reset() {
  firstFault = nullptr;
  numProducts = 0;
}

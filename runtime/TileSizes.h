//===- TileSizes.h - how large a kernel's tiles are --------------------------===//
#ifndef FLASHC_RUNTIME_TILESIZES_H
#define FLASHC_RUNTIME_TILESIZES_H

#include <cstdint>

namespace flashc {

/// What the caller, the tuning store or the cost model chooses for one kernel on one target.
struct TileSizes {
  int64_t rows = 0;  ///< query rows of a block; 0 = not chosen
  int64_t keys = 0;  ///< keys of a tile; 0 = not chosen
  int64_t split = 0; ///< keys of one task of a short query, a multiple of `keys`; 0 = not chosen

  bool chosen() const { return rows > 0 && keys > 0; }
  friend bool operator==(const TileSizes &a, const TileSizes &b) {
    return a.rows == b.rows && a.keys == b.keys && a.split == b.split;
  }
  friend bool operator!=(const TileSizes &a, const TileSizes &b) { return !(a == b); }
  /// An order for containers; it says nothing of speed.
  friend bool operator<(const TileSizes &a, const TileSizes &b) {
    return a.rows != b.rows ? a.rows < b.rows : a.keys != b.keys ? a.keys < b.keys : a.split < b.split;
  }
};

} // namespace flashc

#endif // FLASHC_RUNTIME_TILESIZES_H

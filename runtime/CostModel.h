//===- CostModel.h - how long a choice of tiles would take --------------------===//
//
// Free of LLVM and of the rest of the runtime: the compiler's passes and the tuner share it.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_COSTMODEL_H
#define FLASHC_RUNTIME_COSTMODEL_H

#include "runtime/ScoreTraits.h"
#include "runtime/TileSizes.h"

#include <cstdint>
#include <string>
#include <vector>

namespace flashc {

/// An attention as far as its speed depends on it. A size below 0 is not known: the model takes a middling one.
struct AttentionShape {
  int64_t headDim = 64;
  int64_t valueHeadDim = 64;
  int64_t storedBytes = 4;  ///< of one element of q, k and v
  int64_t operandBytes = 4; ///< of one element that the products take: 2 where they take bfloat16 pairs or tiles
  int64_t computeBytes = 4; ///< of one score
  int64_t batch = -1, heads = -1, kvHeads = -1, queries = -1, keys = -1;
  bool causal = false; ///< rows attend up to a diagonal
  int64_t window = -1; ///< keys that a row attends at most; below 0 = all
  ScoreTraits scores;  ///< what is done to scores; that of a diagonal and of a window need not be said again
  bool tf32 = false;   ///< whether products round float32 to tf32
  std::string target;  ///< what the kernel is compiled for where that is less than the device: "nvptx:sm_80"

  /// The same with every size known: else one batch entry, `heads` heads, as many of keys, `length` queries, and as
  /// many keys as queries, but not fewer than `length`.
  AttentionShape completed(int64_t heads, int64_t length) const;
  /// The same of any number of heads, queries and keys.
  AttentionShape ofAnySize() const;
};

/// Tiles with the time that the model predicts.
struct RankedTiles {
  TileSizes tiles;
  double seconds = 0;
};

/// What is known of a kind of device. Immutable; may be used from several threads.
class CostModel {
public:
  virtual ~CostModel();

  /// "" when the device can run `tiles`, else what is too large or does not fit, with the limit.
  virtual std::string whyIllegal(const AttentionShape &shape, const TileSizes &tiles) const = 0;

  /// The predicted seconds of one call with legal tiles.
  virtual double predict(const AttentionShape &shape, const TileSizes &tiles) const = 0;

  /// Every legal choice that the device tells apart, fastest first. Of a CPU never empty, and the first is what a
  /// kernel gets that nobody tuned.
  std::vector<RankedTiles> rank(const AttentionShape &shape) const;

protected:
  /// Choices to think of, legal or not.
  virtual std::vector<TileSizes> enumerate(const AttentionShape &shape) const = 0;
};

/// What the model of a CPU reckons with. Rates are of one core. The defaults are a core with AVX-512 of no particular
/// make; where nothing was measured only ratios matter.
struct CpuLimits {
  int64_t vectorBytes = 64;
  int64_t vectorRegisters = 32;
  int64_t units = 4;
  int64_t l1Bytes = 48 << 10;
  int64_t l2Bytes = 1 << 20;
  int64_t l3Bytes = 32 << 20;
  double f32Gflops = 120;   ///< float32 fused multiply-adds
  double f64Gflops = 60;    ///< float64 ones
  double productGflops = 0; ///< of the products where their operands are bfloat16 in vectors; 0 = f32Gflops
  double tileGflops = 0;    ///< of the products in a matrix unit's tiles (AMX); 0 = there is none
  double l1Gbps = 220;      ///< reading from each level
  double l2Gbps = 110;
  double l3Gbps = 90;
  double dramGbps = 25;
  double dramAllGbps = 35; ///< all cores together

  /// The same for a core whose vectors are narrower: rates in proportion.
  static CpuLimits nominal(int64_t vectorBytes, int64_t vectorRegisters, int64_t l1Bytes, int64_t l2Bytes);
};

/// The block of a product that stays in registers.
struct ProductBlock {
  int64_t rows = 6;
  int64_t columns = 64;
};

/// A CPU that computes register blocks of packed operands, a tile of scores at a time.
class CpuCostModel final : public CostModel {
public:
  explicit CpuCostModel(const CpuLimits &limits) : cpu(limits) {}

  std::string whyIllegal(const AttentionShape &shape, const TileSizes &tiles) const override;
  double predict(const AttentionShape &shape, const TileSizes &tiles) const override;

  /// Six rows of as many vectors as fill the registers, or 2 x 2 tiles of a matrix unit.
  ProductBlock registerBlock(const AttentionShape &shape) const;
  /// Keys that loops over keys advance by at least: the columns of a register block.
  int64_t granule(const AttentionShape &shape) const { return registerBlock(shape).columns; }

  /// Whether a kernel takes its form for few rows: all rows that share a key head are one tile, and keys are divided
  /// among tasks. False where the sizes are not known.
  bool isFew(const AttentionShape &shape) const;
  /// The most rows of that form, whatever the number of keys: beyond, multiplications take longer than reading, and
  /// packing begins to pay.
  static constexpr int64_t fewRows = 16;
  /// The most rows of that form over so many keys and more, where no matrix unit does the products: one or two blocks
  /// of rows do not pay for packing them.
  static constexpr int64_t fewRowsOfMany = 32, manyKeys = 512;
  /// The keys of one of its tiles: long enough that what is done once a row and tile does not show, nor that reading
  /// begins anew where keys end and values begin, and short enough that values that several rows read stay in the
  /// second cache.
  static constexpr int64_t fewKeys = 512;
  /// The keys of one of its tasks where nobody chose: some fifty microseconds of work, against less than one to start
  /// it and some until memory is read at full speed again.
  static int64_t fewSplit(const AttentionShape &shape);

  /// The most elements of one tile: what `assign-tile-sizes` refuses to exceed.
  static constexpr int64_t largestTile = int64_t(1) << 18;

protected:
  std::vector<TileSizes> enumerate(const AttentionShape &shape) const override;

private:
  bool inTiles(const AttentionShape &shape) const { return cpu.tileGflops > 0 && shape.operandBytes == 2; }
  double predictRows(const AttentionShape &shape, const TileSizes &tiles) const;
  double predictFew(const AttentionShape &shape, const TileSizes &tiles) const;

  const CpuLimits cpu;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_COSTMODEL_H

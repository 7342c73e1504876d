//===- GpuCostModel.h - how long a choice of tiles would take on a GPU --------===//
#ifndef FLASHC_RUNTIME_GPUCOSTMODEL_H
#define FLASHC_RUNTIME_GPUCOSTMODEL_H

#include "runtime/CostModel.h"
#include "runtime/GpuChip.h"

namespace flashc {

/// How kernels for a target cut attention into blocks and tiles; what the compiler's passes do, in numbers.
struct GpuTileRules {
  std::string chip;            ///< "sm_80"
  int64_t rowUnit = 16;        ///< query rows of one subgroup's (wgmma: warpgroup's) product
  int64_t rowUnitThreads = 32; ///< threads that compute them
  int64_t keyUnit = 16;        ///< keys of a product
  int64_t sharedBytes = 0;     ///< of a block, on every device of the target
  int64_t registers = 255;     ///< the most of a thread
  bool matrixUnit = false;     ///< whether the type's products are on a matrix unit
  bool wideProducts = false;   ///< whether a product takes its right-hand side once for four subgroups (wgmma)
  bool byColumns = false;      ///< whether values lie by columns in shared memory (MFMA, WMMA)

  /// The rules for elements of `storedBytes` bytes in code for a chip's name. Null where the chip is not known.
  static bool find(std::string_view chip, int64_t storedBytes, GpuTileRules &rules);
  /// Threads that compute tiles of so many rows: at most four subgroups, which then have several units each.
  int64_t threads(int64_t rows) const;
  /// The rows that are computed then: each subgroup has as many units as the one that has most.
  int64_t computedRows(int64_t rows) const;
  /// Shared memory of a block, as assign-gpu-tile-sizes has it: keys, values, weights where they may be multiplied from
  /// there, and query rows likewise, where they fit.
  int64_t blockBytes(const AttentionShape &shape, const TileSizes &tiles) const;
  /// Registers of a thread for the sums of the output and the scores of a tile alone; of AMD's units for all that
  /// assign-gpu-tile-sizes counts.
  int64_t accumulators(const AttentionShape &shape, const TileSizes &tiles) const;

private:
  /// Bytes of a tile in shared memory.
  int64_t tileBytes(const AttentionShape &shape, int64_t rows, int64_t columns) const;
  /// Of AMD's units: whether query rows are read from shared memory, as registers do not hold them.
  bool sharesRows(const AttentionShape &shape, const TileSizes &tiles) const;
  int64_t unitRegisters(const AttentionShape &shape, const TileSizes &tiles, bool holdsRows) const;
};

/// What is known of the device at hand; 0 stands for the chip's own numbers.
struct GpuLimits {
  double units = 0, clockGhz = 0, memoryGbps = 0;
  int64_t sharedPerBlock = 0;
};

/// A GPU that computes tiles by blocks: a roofline over a multiprocessor's units (compiler/KernelReport.h makes the
/// same of a kernel's code), as many blocks at a time as its registers and shared memory hold, and as many rounds of
/// blocks as the device needs. `AttentionShape::target` says what the code is for; without one it is for the chip
/// itself.
class GpuCostModel final : public CostModel {
public:
  /// `chip` lives for ever, as findGpuChip's do.
  explicit GpuCostModel(const GpuChip &chip, const GpuLimits &limits = {}) : chip(chip), limits(limits) {}

  std::string whyIllegal(const AttentionShape &shape, const TileSizes &tiles) const override;
  double predict(const AttentionShape &shape, const TileSizes &tiles) const override;

  /// Whether the rows that share a key head are one tile, and keys are divided among blocks. False where the sizes are
  /// not known.
  bool isFew(const AttentionShape &shape) const;

protected:
  std::vector<TileSizes> enumerate(const AttentionShape &shape) const override;

private:
  GpuTileRules rulesOf(const AttentionShape &shape) const;
  /// Registers that a thread of a block for so many rows may have, so that one block fits.
  int64_t mostRegisters(const GpuTileRules &rules, int64_t rows) const;
  double predictRows(const AttentionShape &shape, const TileSizes &tiles) const;
  double predictFew(const AttentionShape &shape, const TileSizes &tiles) const;
  double units() const { return limits.units > 0 ? limits.units : chip.units; }
  double clock() const { return (limits.clockGhz > 0 ? limits.clockGhz : chip.clockGhz) * 1e9; }
  double memory() const { return (limits.memoryGbps > 0 ? limits.memoryGbps : chip.memoryGbps) * 1e9; }
  int64_t sharedBytes(const GpuTileRules &rules) const;

  const GpuChip &chip;
  const GpuLimits limits;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_GPUCOSTMODEL_H

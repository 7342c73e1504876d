//===- GpuCostModel.h - how long a choice of tiles would take on a GPU --------===//
#ifndef FLASHC_RUNTIME_GPUCOSTMODEL_H
#define FLASHC_RUNTIME_GPUCOSTMODEL_H

#include "runtime/CostModel.h"
#include "runtime/GpuChip.h"
#include "runtime/GpuTilePlan.h"

namespace flashc {

/// What is known of the device at hand; 0 stands for the chip's own numbers.
struct GpuLimits {
  double units = 0, clockGhz = 0, memoryGbps = 0;
  int64_t sharedPerBlock = 0;
};

/// `shape` as the passes see it that choose tiles for code which may use what `gpu` says.
GpuTileProblem getTileProblem(const AttentionShape &shape, const GpuCapabilities &gpu);

/// A GPU that computes tiles by blocks: a roofline over a multiprocessor's units (compiler/KernelReport.h makes the
/// same of a kernel's code), as many blocks at a time as its registers and shared memory hold, and as many rounds of
/// blocks as the device needs. What tiles need is the plan's (runtime/GpuTilePlan.h). `AttentionShape::target` says
/// what the code is for; without one it is for the chip itself.
class GpuCostModel final : public CostModel {
public:
  /// `chip` lives for ever, as findGpuChip's do.
  explicit GpuCostModel(const GpuChip &chip, const GpuLimits &limits = {}) : chip(chip), limits(limits) {}

  std::string whyIllegal(const AttentionShape &shape, const TileSizes &tiles) const override;
  double predict(const AttentionShape &shape, const TileSizes &tiles) const override;

  /// Whether queries are no more than a small tile has rows for, which those of as many heads of a key head as fit
  /// share, and keys are divided among blocks. False where their number is not known.
  bool isFew(const AttentionShape &shape) const;

protected:
  std::vector<TileSizes> enumerate(const AttentionShape &shape) const override;

private:
  /// What code is made for.
  struct Code {
    std::string chip; ///< "sm_80"
    GpuCapabilities gpu;
  };
  Code codeFor(const AttentionShape &shape) const;
  /// What the passes make of `tiles`: those that are not 0 as they are, where they are legal.
  GpuTilePlan planFor(const AttentionShape &shape, const TileSizes &tiles) const;
  /// Registers that a thread of a block may have, so that one block fits.
  int64_t mostRegisters(const AttentionShape &shape, const BlockTiles &tiles) const;
  double predictRows(const AttentionShape &shape, const TileSizes &tiles) const;
  double predictFew(const AttentionShape &shape, const TileSizes &tiles) const;
  double units() const { return limits.units > 0 ? limits.units : chip.units; }
  double clock() const { return (limits.clockGhz > 0 ? limits.clockGhz : chip.clockGhz) * 1e9; }
  double memory() const { return (limits.memoryGbps > 0 ? limits.memoryGbps : chip.memoryGbps) * 1e9; }
  int64_t sharedBytes(const GpuCapabilities &gpu) const;

  const GpuChip &chip;
  const GpuLimits limits;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_GPUCOSTMODEL_H

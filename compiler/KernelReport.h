/// How fast a GPU's kernel can be, from its code and its chip's units: `flash-compile --report`.
///
/// A roofline over units: for each loop over keys the clocks that each unit of a multiprocessor is busy with one turn
/// of as many blocks as fit on it. The busiest unit bounds the loop, unless so few subgroups share a scheduler that one
/// of them waits for its own results. Latencies, conflicts of banks and the time outside of the loops are not in it: a
/// prediction is what the code cannot exceed.
#ifndef FLASHC_COMPILER_KERNELREPORT_H
#define FLASHC_COMPILER_KERNELREPORT_H

#include "compiler/DeviceResources.h"
#include "compiler/KernelLoops.h"
#include "compiler/Target.h"
#include "runtime/GpuChip.h"
#include "runtime/TileSizes.h"

#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <optional>

namespace flashc {

/// One unit of a multiprocessor and the clocks that it takes for one turn of all blocks on it.
struct UnitClocks {
  llvm::StringRef unit;
  double clocks = 0;
};

/// What one loop over keys can reach.
struct LoopPrediction {
  llvm::SmallVector<UnitClocks> units; ///< those that have something to do
  /// Clocks of one turn of all blocks on a multiprocessor, and what they are spent on: a unit, or "latency".
  double clocks = 0;
  llvm::StringRef bound;
  /// Operations that one block's turn computes, and those of them that attention asks for: not padding of head dims.
  double issuedFlops = 0, usefulFlops = 0;
  /// Tiles of keys in one turn.
  int64_t tiles = 1;
  /// Of the peak of the products' unit.
  double share = 0;
};

/// `issued`: operations of one block's turn. `blocks` are on a multiprocessor at a time; `tileBytes` come from global
/// memory in a turn where the loop itself does not load them.
LoopPrediction predictLoop(const KeyLoop &loop, bool usesMatrixUnit, bool wide, const GpuChip &chip, int64_t blocks,
                           double tileBytes);

/// What the plan of tiles (runtime/GpuTilePlan.h) reckons with in one form of a kernel.
struct PlannedForm {
  TileSizes tiles; ///< `split` of the form for few rows alone
  int64_t threads = 0, sharedBytes = 0;
  /// Of a thread, an estimate: where AMD's matrix units multiply no fewer than code objects have, but for what masks
  /// read of each key.
  int64_t registers = 0;
};

struct FunctionReport {
  KernelLoops code;
  int64_t sharedBytes = 0;
  std::optional<FunctionResources> resources;
  GpuOccupancy occupancy;
  llvm::SmallVector<LoopPrediction> predictions; ///< as code.loops; empty where the chip's rates are not known
};

struct KernelReport {
  std::string name, target, chip;
  /// The rates that predictions are made with; null for a chip that nobody described.
  const GpuChip *rates = nullptr;
  std::string tiles; ///< "128x64", "" where there are none
  /// For many query rows, and for few; nothing for what is not one attention.
  std::optional<std::pair<PlannedForm, PlannedForm>> planned;
  bool wide = false; ///< float64
  bool tf32 = false; ///< whether products round float32 to tf32
  std::string resourcesSource;
  std::vector<FunctionReport> functions;
  /// The function and the loop that most of a long sequence is spent in; nothing where no loop was found.
  std::optional<std::pair<size_t, size_t>> main;

  std::string toText() const;
  llvm::json::Value toJson() const;
};

/// Reports on the kernel that `metadata`, its kernel.json, describes. `ir` and `assembly` are what the compiler showed
/// of its device code, at "llvm-ir" and "asm". `target` is a GPU's.
llvm::Expected<KernelReport> reportKernel(const Target &target, llvm::StringRef metadata, llvm::StringRef ir,
                                          llvm::StringRef assembly);

} // namespace flashc

#endif // FLASHC_COMPILER_KERNELREPORT_H

//===- CpuLoops.h - loops that run at the processor's limits ------------------===//
//
// What the micro-benchmark of the CPU times. The loops are assembly, so they are the same at every level of
// optimisation and build without the flags of the instruction sets that they use.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_CPULOOPS_H
#define FLASHC_RUNTIME_DEVICES_CPULOOPS_H

#include "runtime/devices/CpuFeatures.h"

#include <cstdint>

namespace flashc {

/// A loop of independent operations in registers.
struct ArithmeticLoop {
  void (*run)(int64_t iterations) = nullptr; ///< null: this machine has no such instruction
  double operations = 0;                     ///< of one iteration, an FMA counted as two
};

/// The best that `features` allow; without a vector unit that has FMA, separate multiplications and additions.
ArithmeticLoop f32Loop(const CpuFeatures &features);
ArithmeticLoop f64Loop(const CpuFeatures &features);
ArithmeticLoop f16Loop(const CpuFeatures &features);     ///< arithmetic on float16
ArithmeticLoop bf16DotLoop(const CpuFeatures &features); ///< products of bfloat16 pairs added to float32, no tiles
ArithmeticLoop amxBf16Loop(const CpuFeatures &features); ///< the same on tiles

/// Reads `bytes`, a multiple of 512, from `memory`, aligned to 64, in native vectors.
using ReadLoop = void (*)(const void *memory, int64_t bytes);
ReadLoop readLoop(const CpuFeatures &features);

/// Drops the 64-byte lines of `memory` from all caches; false where user code cannot.
bool dropFromCaches(const void *memory, int64_t bytes);

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_CPULOOPS_H

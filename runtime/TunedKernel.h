//===- TunedKernel.h - what of a kernel and its problem matters to its tiles ----===//
#ifndef FLASHC_RUNTIME_TUNEDKERNEL_H
#define FLASHC_RUNTIME_TUNEDKERNEL_H

#include "runtime/CostModel.h"
#include "runtime/KernelProblem.h"
#include "runtime/TuningStore.h"
#include "runtime/devices/Device.h"

#include <optional>
#include <string>

namespace flashc {

/// A kernel as far as tiles depend on it, read from its description. A scale, names, or whether lse is written have no
/// place here.
struct TunedKernel {
  std::string dtype; ///< "bf16"
  int64_t headDim = 0, valueHeadDim = 0;
  std::string maskClass; ///< "causal(bottom_right) & window(128,0)", the window's sizes as powers of two
  ScoreTraits scores;
  bool tf32 = false; ///< whether products round f32 to tf32
  /// What it is compiled for when that is less than the machine it runs on: "cpu:x86-64-v3"; "" for the machine itself.
  std::string target;
  bool causal = false;
  int64_t window = -1; ///< keys that a row attends at most, by its window; below 0 = all

  /// Reads kernel.json (runtime/Pack.md); nothing for a kernel that is not one attention.
  static std::optional<TunedKernel> parse(const std::string &metadata);

  /// "forward bf16 d64 causal(top_left)": the part of a key that this is.
  std::string key() const;

  AttentionShape shape(const ProblemSizes &sizes) const;

private:
  /// What a mask, as the compiler prints it, says of tiles.
  void readMask(const std::string &mask);
};

/// "causal(top_left) & window(128,0,top_left)" for "causal(top_left) & window(100,0,top_left)".
std::string maskClassOf(const std::string &mask);

/// The bucket that a problem shares its tiles with: the number of heads of all batch entries, queries a key head, and
/// both lengths, each rounded up to a power of two. "h8 g1 q1024 k1024".
std::string shapeBucket(const ProblemSizes &sizes);

/// The largest problem of a bucket, but for heads that are split otherwise into batch entries and heads.
ProblemSizes bucketProblem(const ProblemSizes &sizes);

/// All that a choice of tiles depends on. `compiler` identifies the compiler's build; `assembler` is "" where no other
/// assembler than the compiler's takes part.
TuningKey tuningKey(const DeviceInfo &device, const TunedKernel &kernel, const ProblemSizes &sizes,
                    const std::string &compiler, const std::string &assembler = "");

/// Tiles with where they come from: "store" (measured here) or "shipped (measured)", "shipped (modelled)".
struct FoundTiles {
  TileSizes tiles;
  std::string source;
};

/// The user's own entry for the key, else a shipped one for devices like this, else nothing.
std::optional<FoundTiles> findTiles(TuningStore &store, const DeviceInfo &device, const TuningKey &key);

/// Keeps the outcome of tuning in the place of what is known. `seconds` were measured for `sizes`; they are kept for
/// the bucket's largest problem, so that all entries of a bucket compare.
bool keepTiles(TuningStore &store, const TuningKey &key, const ProblemSizes &sizes, const TileSizes &tiles,
               double seconds);

} // namespace flashc

#endif // FLASHC_RUNTIME_TUNEDKERNEL_H

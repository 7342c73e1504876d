/// From a module to an object with a C ABI.
#ifndef FLASHC_COMPILER_COMPILER_H
#define FLASHC_COMPILER_COMPILER_H

#include "compiler/Pipelines.h"
#include "compiler/Target.h"
#include "runtime/Artifact.h"
#include "runtime/TileSizes.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Timer.h"

#include <functional>
#include <string>

namespace flashc {

/// How products of bf16 are computed where the target has one of bf16 pairs.
enum class LowPrecision {
  /// As is faster: on the machine at hand by its measured facts, in an object for several instruction sets by a
  /// measurement of some microseconds on the first call, with the pairs where the target's name asks for them.
  Auto,
  /// Widened to float32 while packing.
  Widen,
  /// In pairs.
  Dot,
};

struct CompileOptions {
  /// The function to compile; "" when the module has exactly one public one.
  std::string entry;
  /// The name of the C functions; "" for the function's own.
  std::string name;
  /// Chosen by assign-tile-sizes where 0.
  TileSizes tiles;
  /// Where they come from, for the description: "caller", "store", "shipped (measured)". "" stands for the caller where
  /// there are tiles, else for the cost model.
  std::string tilesSource;
  LowPrecision lowPrecision = LowPrecision::Auto;
  /// LLVM's level, 0 to 3.
  int optLevel = 3;
  /// Whether a GPU's kernel holds what the chip executes where it would hold a text that the driver assembles: a cubin
  /// instead of PTX, made by ptxas. AMD's kernels always hold binaries.
  bool deviceBinary = false;
  /// Whether LLVM vectorises loops that are still scalar: for code around attention. Attention itself needs none.
  bool vectorizeLoops = false;
  /// Whether all attention of float32 in the module, raised or written as such, multiplies in tf32. A module without
  /// any is refused, and so is a target that cannot.
  bool tf32 = false;
  /// Whether each near miss of a whole module, a softmax between two products that is not raised, is remarked on the
  /// context with the operation that broke the match and why.
  bool remarks = false;
  /// More members of kernel.json: dtype, head dims, mask.
  llvm::json::Object metadata;

  /// Called with the text of the module at "input", at each stage of the target, and at "llvm-ir" and "asm", for the
  /// most demanding variant; these two are the device's for a GPU's target, which also has "image": the image's bytes.
  /// Null when nobody looks: printing costs more than compiling.
  std::function<void(llvm::StringRef stage, llvm::StringRef text)> onStage;
  /// The stages onStage is called for; empty for all. A GPU's target also has "image", the image's bytes, for those who
  /// name it.
  llvm::SmallVector<std::string> stages;

  /// Called after each phase of each variant - the stages of getCpuStages(), then "translate", "optimise" and "emit" -
  /// with what it took. The CPU time is that of the whole process.
  std::function<void(llvm::StringRef phase, const llvm::TimeRecord &time)> onTime;
};

/// Compiles one function of `module` for `target`: a relocatable ELF object (ArtifactKind::Object) that exports the
/// three functions of the C ABI and needs at most memcpy, memmove and memset, with the text of kernel.json without
/// `files`. For a GPU it is an object of the host's that holds the image of the device code. The module is not changed.
/// Errors are emitted on the module's context. May be called from several threads when each has a context of its own.
mlir::FailureOr<Artifact> compile(mlir::ModuleOp module, const Target &target, const CompileOptions &options = {});

/// The variants of `target` that an object for `module` holds, each with what it computes products of bf16 by: its
/// `capabilities.bf16Dot` is whether in pairs. Measures the machine at hand, once, where that decides.
llvm::SmallVector<CpuVariant> selectVariants(mlir::ModuleOp module, const Target &target,
                                             const CompileOptions &options);

/// "flashc 0.1.0, LLVM 19.1.7".
llvm::StringRef getCompilerVersion();

/// Identifies the compiler by its sources: the same in every program that holds it. What tuned tiles are kept under.
llvm::StringRef getCompilerSources();

/// Identifies this very build of the compiler; part of every cache key.
llvm::StringRef getCompilerId();

} // namespace flashc

#endif // FLASHC_COMPILER_COMPILER_H

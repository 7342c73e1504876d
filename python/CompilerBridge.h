//===- CompilerBridge.h - the compiler without LLVM's types ------------------===//
//
// LLVM and MLIR are built without exceptions and run-time type information, pybind11 needs both. This interface is what
// lies between: it is implemented as the compiler is built and holds no type of LLVM's.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_PYTHON_COMPILERBRIDGE_H
#define FLASHC_PYTHON_COMPILERBRIDGE_H

#include "runtime/Artifact.h"
#include "runtime/Error.h"
#include "runtime/devices/Device.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace flashc::python {

/// Everything static of an attention kernel; equal requests give equal kernels. Lengths, batch, heads and strides are
/// not part of it.
struct KernelRequest {
  int64_t headDim = 0;
  int64_t valueHeadDim = 0;
  int32_t dtype = FLASHC_F32;
  std::string mask;                 ///< "causal(bottom_right) & key_lengths", "" for none
  std::vector<int32_t> maskDTypes;  ///< element types of the masks' operands, in order
  std::optional<int32_t> biasDType; ///< element type of the additive bias
  std::optional<double> scale;      ///< absent: 1 / sqrt(headDim)
  std::optional<double> softcap;
  std::string score; ///< the body of the score function as flashc.trace writes it, "" for none
  bool returnLse = false;
  bool tf32 = false; ///< f32 operands of products are rounded to tf32
  std::string target = "host";
  int64_t tileQueries = 0; ///< 0: the compiler's choice
  int64_t tileKeys = 0;
  int64_t tileSplit = 0;
  std::string tilesSource; ///< "" for the caller's or the compiler's own choice, else where tuned tiles come from
  std::string name = "attention";

  /// A text that is the same for two requests if and only if they are equal.
  std::string key() const;
};

/// A compiled and loaded kernel.
class CompiledKernel {
public:
  virtual ~CompiledKernel() = default;
  /// Valid as long as this object. Null functions for a target that is not this machine.
  virtual const flashc_kernel &functions() const = 0;
  /// The text of its kernel.json.
  virtual const std::string &metadata() const = 0;
  /// The module after a stage, or the assembly ("asm").
  virtual Result<std::string> printStage(const std::string &stage) const = 0;
  /// Writes a pack into `folder`, which is made when it is missing; `name` is the prefix of its C functions.
  virtual std::optional<Error> save(const std::string &folder, const std::string &name) const = 0;
};

/// Compiles an attention, or takes it from the cache on disk.
Result<std::shared_ptr<CompiledKernel>> compileAttention(const KernelRequest &request);

/// The artifact alone, from the cache on disk or compiled; loadArtifact links it.
Result<Artifact> compileArtifact(const KernelRequest &request);
Result<std::unique_ptr<LoadedKernel>> loadArtifact(const Artifact &artifact);

/// Compiles the function `entry` ("" for the only one) of a module given as text; with `tf32`, its
/// attention of float32 multiplies in tf32.
Result<std::shared_ptr<CompiledKernel>> compileModule(const std::string &text, const std::string &entry,
                                                      const std::string &target, bool tf32);

/// The stages that printStage knows, with a sentence each, in order.
std::vector<std::pair<std::string, std::string>> listStages();

/// How many kernels this process has compiled, and how many it took from the cache on disk.
struct CompileCounts {
  int64_t compiled = 0;
  int64_t fromDisk = 0;
};
CompileCounts getCompileCounts();

/// From now on a fork waits for the compilations of other threads, so that a child can compile. To be called once.
void guardForks();

/// Adds the devices that come with the compiler, the emulated GPUs, to the runtime's.
void registerDevices();

/// Why the cache on disk could not be used at its last use; "" when it could.
std::string getCacheProblem();

/// The build of the compiler, and the target that "host" stands for.
std::string getCompilerVersion();
/// Identifies the compiler by its sources, for the keys of the tuning store.
std::string getCompilerSources();
Result<std::string> describeTarget(const std::string &target);

} // namespace flashc::python

#endif // FLASHC_PYTHON_COMPILERBRIDGE_H

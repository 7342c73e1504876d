/// What a kernel is compiled for.
#ifndef FLASHC_COMPILER_TARGET_H
#define FLASHC_COMPILER_TARGET_H

#include "passes/CpuCapabilities.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>

namespace llvm {
class MCSubtargetInfo;
class Module;
class TargetMachine;
} // namespace llvm

namespace flashc {

class DeviceTarget;
struct Stage;

/// One instruction set that a kernel is compiled for: an argument list of llc, and what the passes know of it.
struct CpuVariant {
  /// How the variant is named in metadata, for example "x86-64-v3".
  std::string name;
  /// LLVM's name of the CPU, for example "znver5".
  std::string cpu;
  /// LLVM's feature string, for example "+avx512bf16,-amx-tile"; "" when the CPU's own are used.
  std::string features;
  CpuCapabilities capabilities;
  /// The variant before with a product of bf16 pairs: nothing to kernels without bf16, and chosen for the others only
  /// where that product is the faster one, which the kernel measures once. Tiles are faster than anything beside them
  /// and are not measured.
  bool onlyForPairs = false;
};

/// A target: what `--target` names: a host and, for a GPU's target, the device that the host launches on. Immutable;
/// one value may serve many threads.
class Target {
public:
  virtual ~Target() = default;

  /// The target in the grammar of `--target`; parsing it again gives an equal target. For `host` this is what the
  /// machine is, so that it can stand in a cache key.
  llvm::StringRef getName() const { return name; }
  /// LLVM's triple.
  llvm::StringRef getTriple() const { return triple; }
  /// The host's machine in a pack's description: "x86_64" or "aarch64".
  llvm::StringRef getArchitecture() const { return architecture; }
  /// Whether this is `host`: all that the machine at hand has.
  bool isHost() const { return host; }
  /// The host's instruction sets, from the least to the most demanding; never empty. A kernel holds one version for
  /// each.
  llvm::ArrayRef<CpuVariant> getVariants() const { return variants; }

  /// The stages that bring a module with attention to the LLVM dialect, in order.
  virtual llvm::ArrayRef<Stage> getStages() const = 0;
  /// The GPU that runs the loops of a kernel; null where the host does.
  virtual const DeviceTarget *getDevice() const { return nullptr; }

  /// A target machine that emits position-independent code for `variant`.
  virtual llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createTargetMachine(const CpuVariant &variant,
                                                                                   int optLevel) const = 0;

  /// What LLVM knows of `variant`: its features by name.
  virtual llvm::Expected<std::unique_ptr<llvm::MCSubtargetInfo>> createSubtarget(const CpuVariant &variant) const = 0;

  /// Finishes a module that was translated for `variant`, before LLVM optimises it.
  virtual void finish(llvm::Module &module, const CpuVariant &variant) const {}

protected:
  Target() = default;

  std::string name, triple, architecture;
  bool host = false;
  llvm::SmallVector<CpuVariant, 1> variants;
};

} // namespace flashc

#endif // FLASHC_COMPILER_TARGET_H

/// The part of a kernel that runs on a GPU: from a gpu.module to an image in the host's object.
#ifndef FLASHC_COMPILER_DEVICECODE_H
#define FLASHC_COMPILER_DEVICECODE_H

#include "compiler/DeviceResources.h"
#include "compiler/Pipelines.h"
#include "runtime/GpuCapabilities.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <memory>
#include <string>

namespace llvm {
class LLVMContext;
class Module;
class TargetMachine;
} // namespace llvm

namespace flashc {

/// One kernel function, as the host launches it.
struct DeviceFunction {
  std::string name;
  uint32_t threads = 0;
  uint32_t sharedBytes = 0;
  llvm::SmallVector<uint32_t> paramBytes;
};

/// What a device loads. The formats are those of flashc_device_function: "ptx", "cubin", "hsaco", "llvm-ir".
struct DeviceImage {
  std::string format;
  std::string bytes;
};

/// The device code of one kernel.
struct DeviceCode {
  llvm::SmallVector<DeviceFunction> functions;
  DeviceImage image;

  /// The member `device` of kernel.json.
  llvm::json::Object toJson(llvm::StringRef chip) const;
};

/// A GPU that a target's device code is for. Immutable; one value may serve many threads.
class DeviceTarget {
public:
  virtual ~DeviceTarget() = default;

  /// LLVM's name of the chip: "sm_80", "gfx942".
  llvm::StringRef getChip() const { return chip; }
  const GpuCapabilities &getCapabilities() const { return capabilities; }
  /// The stages that bring a module with attention to the LLVM dialect, the device's part in a gpu.module.
  virtual llvm::ArrayRef<Stage> getStages() const = 0;
  virtual llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createDeviceMachine(int optLevel) const = 0;
  /// Finishes a module that was translated for the chip, before LLVM optimises it.
  virtual void finishDevice(llvm::Module &module, llvm::ArrayRef<DeviceFunction> functions) const = 0;
  /// Makes the image of an optimised module, which is consumed. `binary` asks for what the chip executes, where the
  /// image is a text that the driver translates otherwise.
  virtual llvm::Expected<DeviceImage> createImage(llvm::Module &module, int optLevel, bool binary) const = 0;
  /// What the device code depends on beside the compiler's own build: the assembler's version. Part of cache keys.
  virtual std::string describeTools(bool binary) const { return ""; }
  /// What the functions of an assembly text that the device's machine emitted take of a multiprocessor.
  virtual DeviceResources readResources(llvm::StringRef assembly) const = 0;

protected:
  DeviceTarget() = default;

  std::string chip;
  GpuCapabilities capabilities;
};

/// Takes the gpu.module out of `module`, which the device's stages have lowered, and compiles it. `show` is given the
/// texts "llvm-ir" and "asm" of the device's module where `isWanted` says so. Errors are emitted.
mlir::FailureOr<DeviceCode> compileDeviceCode(mlir::ModuleOp module, const DeviceTarget &device, int optLevel,
                                              bool binary, llvm::function_ref<bool(llvm::StringRef)> isWanted,
                                              llvm::function_ref<void(llvm::StringRef, llvm::StringRef)> show);

/// Defines in the host's module what describes each kernel function (getDeviceFunctionSymbol), and the image.
void embedDeviceCode(llvm::Module &host, const DeviceCode &code, llvm::StringRef target);

} // namespace flashc

#endif // FLASHC_COMPILER_DEVICECODE_H

/// What a kernel function's operands are, as its callers see them.
#ifndef FLASHC_COMPILER_KERNELINTERFACE_H
#define FLASHC_COMPILER_KERNELINTERFACE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/LogicalResult.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/JSON.h"

#include <string>

namespace flashc {

/// Attributes of a kernel function's arguments: a name for people; FLASHC_SIZE_* or a static number for each
/// dimension (array<i64>); and whether the kernel writes the operand.
inline constexpr llvm::StringLiteral kNameAttr = "flashc.name";
inline constexpr llvm::StringLiteral kSizesAttr = "flashc.sizes";
inline constexpr llvm::StringLiteral kOutputAttr = "flashc.output";
/// Marks of the arguments that plan-workspace and the outlining passes add.
inline constexpr llvm::StringLiteral kWorkspaceAttr = "flashc.workspace";
inline constexpr llvm::StringLiteral kWorkersAttr = "flashc.workers";
inline constexpr llvm::StringLiteral kHostAttr = "flashc.host";
inline constexpr llvm::StringLiteral kStreamAttr = "flashc.stream";

struct KernelOperand {
  std::string name;
  /// A flashc_dtype.
  int32_t dtype;
  /// Static sizes, or FLASHC_SIZE_* where the call decides.
  llvm::SmallVector<int64_t> sizes;
  bool output;
};

struct KernelInterface {
  std::string name;
  llvm::SmallVector<KernelOperand> operands;

  /// The `operands` member of kernel.json.
  llvm::json::Array toJson() const;
};

/// Reads the interface of `func`, whose operands are its arguments but for the workspace and the host. Emits an error
/// for an operand that the C ABI cannot carry.
mlir::FailureOr<KernelInterface> getKernelInterface(mlir::func::FuncOp func);

/// The one public function of `module` with a body, or the one called `entry` when that is not empty. Emits an error
/// that lists the candidates otherwise.
mlir::FailureOr<mlir::func::FuncOp> getKernelFunction(mlir::ModuleOp module, llvm::StringRef entry = "");

} // namespace flashc

#endif // FLASHC_COMPILER_KERNELINTERFACE_H

/// One attention kernel in plain words, and the module that computes it.
#ifndef FLASHC_COMPILER_KERNELSPEC_H
#define FLASHC_COMPILER_KERNELSPEC_H

#include "runtime/include/flashc/runtime.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/JSON.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace flashc {

/// Everything static of a kernel. Batch, heads, lengths and strides are given at each call.
struct KernelSpec {
  /// The prefix of the C functions.
  std::string name = "attention";
  /// D of q and k; at least 1.
  int64_t headDim = 0;
  /// Dv of v and out; 0 means headDim.
  int64_t valueHeadDim = 0;
  /// A flashc_dtype: FLASHC_F64, F32, F16 or BF16, of q, k, v and out.
  int32_t dtype = FLASHC_F32;
  /// In the grammar of compiler/MaskGrammar.h; "" for none.
  std::string mask;
  /// Element types of the masks' operands, in order; missing ones are i32 for lengths and segments, bool for the rest.
  std::vector<int32_t> maskDTypes;
  /// The element type of an additive bias, which is passed at the full size [B, Hq, Sq, Sk] (stride 0 broadcasts).
  std::optional<int32_t> biasDType;
  /// Absent: 1 / sqrt(headDim).
  std::optional<double> scale;
  std::optional<double> softcap;
  /// MLIR text of the score function's body, over %s (f32, or f64 for f64 inputs) and %b, %h, %i, %j (index), that ends
  /// in `attn.yield %x : TYPE`; "" for none.
  std::string score;
  /// Whether the kernel also writes lse [B, Hq, Sq], f32 (f64 for f64 inputs).
  bool lse = false;
  /// Whether products round f32 operands to tf32. Targets that cannot refuse.
  bool tf32 = false;
};

/// The element type called `name` ("f32"), or nothing.
std::optional<int32_t> parseDType(llvm::StringRef name);

/// The module with one function, `@NAME(q, k, v, mask operands, bias, out, lse)` on memrefs, that holds one attn.sdpa.
/// Emits an error that names the member of `spec` that is wrong, with expected and actual.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> buildKernelModule(mlir::MLIRContext &context,
                                                                     const KernelSpec &spec);

/// The members of kernel.json that only the specification knows: dtype, head dims, the mask with every alignment,
/// scale, softcap, tf32, and whether there is a score function. `spec` is one that buildKernelModule accepted.
llvm::json::Object describeSpec(mlir::MLIRContext &context, const KernelSpec &spec);

} // namespace flashc

#endif // FLASHC_COMPILER_KERNELSPEC_H

//===- HostServices.h - What the host's part of a kernel asks for ---------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_HOSTSERVICES_H
#define FLASHC_PASSES_HOSTSERVICES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace flashc {

/// Fields of flashc_host (runtime/include/flashc/runtime.h).
enum class HostField { User = 2, Launch = 4, EncodeTensorMap = 5, Multiprocessors = 6 };

/// A field's value, read where `b` builds from the flashc_host at `host`.
mlir::Value loadHostField(mlir::OpBuilder &b, mlir::Location loc, mlir::Value host, HostField field);

/// Bytes of a tensor map, and what they are aligned to.
inline constexpr int64_t kTensorMapBytes = 128, kTensorMapAlignment = 64;

/// Replaces `tile.multiprocessors` by what the host says, and `tile.tensor_map` by calls of its encode_tensor_map.
/// Returns where on the host's stack the map of each value is; the values themselves stay.
llvm::DenseMap<mlir::Value, mlir::Value> lowerHostServices(mlir::func::FuncOp func, mlir::Value host);

} // namespace flashc

#endif // FLASHC_PASSES_HOSTSERVICES_H

//===- ConvertFloat.h - Between floating-point types ----------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_CONVERTFLOAT_H
#define FLASHC_PASSES_CONVERTFLOAT_H

#include "mlir/IR/Builders.h"

namespace flashc {

/// Converts a scalar or vector between floating-point types of any width.
mlir::Value convertFloat(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value, mlir::Type element);

} // namespace flashc

#endif // FLASHC_PASSES_CONVERTFLOAT_H

//===- IndexMath.h - Arithmetic on index values that folds ----------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Emits arith on index values and folds what is constant while it emits, so that static sizes leave static bounds.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_DIALECTS_ATTENTION_INDEXMATH_H
#define FLASHC_DIALECTS_ATTENTION_INDEXMATH_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

namespace flashc {

/// Index arithmetic at a builder's insertion point. Positions and sizes are assumed to stay below 2^62.
class IndexMath {
public:
  IndexMath(mlir::OpBuilder &builder, mlir::Location loc) : b(builder), loc(loc) {}

  mlir::Value constant(int64_t value) { return b.create<mlir::arith::ConstantIndexOp>(loc, value); }
  mlir::Value add(mlir::Value x, mlir::Value y) {
    if (mlir::isConstantIntValue(x, 0))
      return y;
    return b.createOrFold<mlir::arith::AddIOp>(loc, x, y);
  }
  mlir::Value add(mlir::Value x, int64_t y) { return y == 0 ? x : add(x, constant(y)); }
  mlir::Value sub(mlir::Value x, mlir::Value y) { return b.createOrFold<mlir::arith::SubIOp>(loc, x, y); }
  mlir::Value mul(mlir::Value x, mlir::Value y) { return b.createOrFold<mlir::arith::MulIOp>(loc, x, y); }
  mlir::Value min(mlir::Value x, mlir::Value y) { return b.createOrFold<mlir::arith::MinSIOp>(loc, x, y); }
  mlir::Value max(mlir::Value x, mlir::Value y) { return b.createOrFold<mlir::arith::MaxSIOp>(loc, x, y); }
  /// x / y rounded towards zero, of numbers that are not negative; y is at least 1.
  mlir::Value div(mlir::Value x, mlir::Value y) {
    if (mlir::isConstantIntValue(y, 1))
      return x;
    return b.createOrFold<mlir::arith::DivUIOp>(loc, x, y);
  }
  /// x / y rounded up, of numbers that are not negative; y is at least 1.
  mlir::Value ceilDiv(mlir::Value x, int64_t y) { return y == 1 ? x : div(add(x, y - 1), constant(y)); }
  /// The largest multiple of `multiple` that is at most x, which is not negative.
  mlir::Value roundDown(mlir::Value x, int64_t multiple) {
    return multiple == 1 ? x : mul(div(x, constant(multiple)), constant(multiple));
  }
  /// The smallest multiple of `multiple` that is at least x, which is not negative.
  mlir::Value roundUp(mlir::Value x, int64_t multiple) {
    return multiple == 1 ? x : mul(ceilDiv(x, multiple), constant(multiple));
  }
  mlir::Value clamp(mlir::Value x, mlir::Value low, mlir::Value high) { return max(low, min(x, high)); }
  /// x as a position inside `[0, size)`; a size of at least 1.
  mlir::Value clampIndex(mlir::Value x, mlir::Value size) {
    return mlir::isConstantIntValue(size, 1) ? constant(0) : min(x, add(size, -1));
  }
  /// A dimension of ranked memory; a constant where it is static.
  mlir::Value dim(mlir::Value memory, int64_t dimension) {
    return b.createOrFold<mlir::memref::DimOp>(loc, memory, dimension);
  }

private:
  mlir::OpBuilder &b;
  mlir::Location loc;
};

} // namespace flashc

#endif // FLASHC_DIALECTS_ATTENTION_INDEXMATH_H

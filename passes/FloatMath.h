//===- FloatMath.h - Arithmetic on floats that functions are made of ------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Emits arithmetic on scalars or vectors of f32 or f64, for the passes that expand mathematical functions.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_FLOATMATH_H
#define FLASHC_PASSES_FLOATMATH_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"

#include <optional>

namespace flashc {

constexpr double kLog2e = 1.4426950408889634074, kLn2 = 0.69314718055994530942;

/// Arithmetic on scalars or vectors of one floating-point type, f32 or f64.
struct Math {
  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::Type type;

  mlir::FloatType element() const { return llvm::cast<mlir::FloatType>(mlir::getElementTypeOrSelf(type)); }
  bool isDouble() const { return element().isF64(); }
  mlir::Type like(mlir::Type t) const {
    auto vector = llvm::dyn_cast<mlir::VectorType>(type);
    return vector ? mlir::Type(vector.clone(t)) : t;
  }
  mlir::Type integerType() const { return like(b.getIntegerType(element().getWidth())); }

  mlir::Value constant(double value) const { return fromAttr(type, b.getFloatAttr(element(), value)); }
  /// The number that `x` is known to be, in all of its elements.
  std::optional<double> getConstant(mlir::Value x) const {
    mlir::Attribute known;
    if (!mlir::matchPattern(x, mlir::m_Constant(&known)))
      return std::nullopt;
    if (auto elements = llvm::dyn_cast<mlir::SplatElementsAttr>(known))
      known = elements.getSplatValue<mlir::Attribute>();
    auto number = llvm::dyn_cast<mlir::FloatAttr>(known);
    return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
  }
  mlir::Value integer(int64_t value) const {
    return fromAttr(integerType(), b.getIntegerAttr(mlir::getElementTypeOrSelf(integerType()), value));
  }
  mlir::Value fromAttr(mlir::Type t, mlir::TypedAttr scalar) const {
    mlir::TypedAttr value = scalar;
    if (auto vector = llvm::dyn_cast<mlir::VectorType>(t))
      value = mlir::DenseElementsAttr::get(vector, mlir::Attribute(scalar));
    return b.create<mlir::arith::ConstantOp>(loc, t, value);
  }
  mlir::Value add(mlir::Value x, mlir::Value y) const { return b.create<mlir::arith::AddFOp>(loc, x, y); }
  mlir::Value sub(mlir::Value x, mlir::Value y) const { return b.create<mlir::arith::SubFOp>(loc, x, y); }
  mlir::Value mul(mlir::Value x, mlir::Value y) const { return b.create<mlir::arith::MulFOp>(loc, x, y); }
  mlir::Value div(mlir::Value x, mlir::Value y) const { return b.create<mlir::arith::DivFOp>(loc, x, y); }
  mlir::Value neg(mlir::Value x) const { return b.create<mlir::arith::NegFOp>(loc, x); }
  /// x y + z, fused where that is faster.
  mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value z) const {
    return b.create<mlir::LLVM::FMulAddOp>(loc, x, y, z);
  }
  /// x y + z, rounded once.
  mlir::Value fused(mlir::Value x, mlir::Value y, mlir::Value z) const {
    return b.create<mlir::LLVM::FMAOp>(loc, x, y, z);
  }
  mlir::Value compare(mlir::arith::CmpFPredicate p, mlir::Value x, mlir::Value y) const {
    return b.create<mlir::arith::CmpFOp>(loc, p, x, y);
  }
  mlir::Value select(mlir::Value c, mlir::Value x, mlir::Value y) const {
    return b.create<mlir::arith::SelectOp>(loc, c, x, y);
  }
  mlir::Value bits(mlir::Value x) const { return b.create<mlir::arith::BitcastOp>(loc, integerType(), x); }
  mlir::Value fromBits(mlir::Value x) const { return b.create<mlir::arith::BitcastOp>(loc, type, x); }

  /// c[0] + c[1] x + ... by Horner's rule.
  mlir::Value polynomial(mlir::Value x, llvm::ArrayRef<double> c) const {
    mlir::Value sum = constant(c.back());
    for (double coefficient : llvm::reverse(c.drop_back()))
      sum = fma(sum, x, constant(coefficient));
    return sum;
  }

  /// (e, m) with x = 2^e m and m in [sqrt(1/2), sqrt(2)), both of `type`, of a positive normal number.
  std::pair<mlir::Value, mlir::Value> split(mlir::Value x) const {
    mlir::Value rootHalf = integer(isDouble() ? 0x3fe6a09e667f3bcdLL : 0x3f3504f3LL);
    mlir::Value shift = integer(isDouble() ? 52 : 23), all = bits(x);
    mlir::Value e = b.create<mlir::arith::ShRSIOp>(loc, b.create<mlir::arith::SubIOp>(loc, all, rootHalf), shift);
    mlir::Value scaled = b.create<mlir::arith::SubIOp>(loc, all, b.create<mlir::arith::ShLIOp>(loc, e, shift));
    return {b.create<mlir::arith::SIToFPOp>(loc, type, e), fromBits(scaled)};
  }
};

} // namespace flashc

#endif // FLASHC_PASSES_FLOATMATH_H

//===- ConvertFloat.cpp - Between floating-point types --------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ConvertFloat.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;

Value flashc::convertFloat(OpBuilder &b, Location loc, Value value, Type element) {
  Type from = getElementTypeOrSelf(value.getType());
  if (from == element)
    return value;
  auto typeOf = [&](Type t) -> Type {
    auto vector = dyn_cast<VectorType>(value.getType());
    return vector ? Type(vector.clone(t)) : t;
  };
  unsigned fromBits = from.getIntOrFloatBitWidth(), toBits = element.getIntOrFloatBitWidth();
  if (fromBits == toBits) // f16 and bf16: neither holds the other
    return convertFloat(b, loc, convertFloat(b, loc, value, b.getF32Type()), element);
  if (fromBits < toBits)
    return b.create<arith::ExtFOp>(loc, typeOf(element), value);
  return b.create<arith::TruncFOp>(loc, typeOf(element), value);
}

//===- ExpandPowers.cpp - expand-powers -----------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "passes/FloatMath.h"
#include "passes/Passes.h"

namespace flashc {
#define GEN_PASS_DEF_EXPANDPOWERS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// x^n by squaring.
Value buildProduct(const Math &m, Value x, unsigned n) {
  Value power;
  for (Value square = x; n != 0; n /= 2) {
    if (n % 2 != 0)
      power = power ? m.mul(power, square) : square;
    if (n > 1)
      square = m.mul(square, square);
  }
  return power;
}

/// log2 of a positive normal number as the sum of two, the first its rounding: log2(2^e m) = e + c atanh(s), s = (m -
/// 1) / (m + 1), c = 2 log2(e). A power multiplies the logarithm's error, so s and c are known to twice the precision,
/// too.
std::pair<Value, Value> buildLog2(const Math &m, Value x) {
  auto [exponent, scaled] = m.split(x);
  Value one = m.constant(1);
  Value above = m.sub(scaled, one), below = m.add(scaled, one), rest = m.sub(scaled, m.sub(below, one));
  Value s = m.div(above, below), minus = m.neg(s);
  Value remainder = m.fused(minus, rest, m.fused(minus, below, above));
  Value sLow = m.div(remainder, below);
  double c = 2 * kLog2e;
  double cHigh = m.isDouble() ? c : static_cast<double>(static_cast<float>(c));
  // What c lacks in f64 is its next digits.
  double cLow = m.isDouble() ? 4.0710547481862064e-17 : c - cHigh;
  Value first = m.constant(cHigh);
  Value high = m.mul(first, s);
  Value low = m.fused(first, s, m.neg(high));
  low = m.fused(m.constant(cLow), s, m.fused(first, sLow, low));
  // The series from its second term on: with s^2 below 0.0295, as many as the type has digits for.
  SmallVector<double> series;
  for (int k = 1; k < (m.isDouble() ? 13 : 6); ++k)
    series.push_back(c / (2 * k + 1));
  Value square = m.mul(s, s);
  low = m.fused(m.mul(s, square), m.polynomial(square, series), low);
  // Both sums are exact: an exponent that is not 0 is larger than the rest.
  Value sum = m.add(exponent, high);
  low = m.add(low, m.add(m.sub(exponent, sum), high));
  Value total = m.add(sum, low);
  return {total, m.sub(low, m.sub(total, sum))};
}

/// x^y as C's pow has it, by 2^(y log2 |x|); numbers below the smallest normal one are zeros.
Value buildPower(const Math &m, Value x, Value y) {
  OpBuilder &b = m.b;
  using Predicate = arith::CmpFPredicate;
  Value zero = m.constant(0), one = m.constant(1);
  Value infinity = m.constant(std::numeric_limits<double>::infinity());
  Value nan = m.constant(std::numeric_limits<double>::quiet_NaN());
  Value size = b.create<math::AbsFOp>(m.loc, x);
  auto [log, logLow] = buildLog2(m, size);
  Value exponent = m.mul(y, log);
  Value low = m.fused(y, logLow, m.fused(y, log, m.neg(exponent)));
  Value power = b.create<math::Exp2Op>(m.loc, exponent);
  // 2^(a + b) = 2^a (1 + b ln 2) for small b. Next to the limits of the type b is not needed, and may not be a number.
  Value least = m.constant(m.isDouble() ? 2.2250738585072014e-308 : 1.17549435e-38);
  Value most = m.constant(m.isDouble() ? 1020 : 125);
  Value isInside = m.compare(Predicate::OLT, b.create<math::AbsFOp>(m.loc, exponent), most);
  power = m.select(isInside, m.fused(m.mul(power, m.constant(kLn2)), low, power), power);
  power = m.select(m.compare(Predicate::OEQ, size, one), one, power);
  // A negative number has powers of whole numbers, and odd ones are negative.
  auto isWhole = [&](Value v) { return m.compare(Predicate::OEQ, b.create<math::FloorOp>(m.loc, v), v); };
  Value whole = isWhole(y), half = isWhole(m.mul(y, m.constant(0.5)));
  power = m.select(m.compare(Predicate::OLT, m.select(whole, zero, x), zero), nan, power);
  Value grows = m.compare(Predicate::OGT, y, zero);
  power = m.select(m.compare(Predicate::OLT, size, least), m.select(grows, zero, infinity), power);
  power = m.select(m.compare(Predicate::OEQ, size, infinity), m.select(grows, infinity, zero), power);
  Value signedPower = b.create<math::CopySignOp>(m.loc, power, x);
  power = m.select(whole, m.select(half, power, signedPower), power);
  power = m.select(m.compare(Predicate::UNO, x, y), nan, power);
  power = m.select(m.compare(Predicate::OEQ, x, one), one, power);
  return m.select(m.compare(Predicate::OEQ, y, zero), one, power);
}

/// The power of a number that is known, where few products make it.
Value buildKnownPower(const Math &m, Value x, Value y) {
  constexpr double most = 16;
  APFloat known(0.0);
  if (!matchPattern(y, m_ConstantFloat(&known)))
    return {};
  double exponent = known.convertToDouble(), size = std::abs(exponent);
  if (size > most || size != std::floor(size) || size == 0)
    return {};
  Value power = buildProduct(m, x, static_cast<unsigned>(size));
  return exponent < 0 ? m.div(m.constant(1), power) : power;
}

struct ExpandPowers : flashc::impl::ExpandPowersBase<ExpandPowers> {
  void runOnOperation() override {
    SmallVector<math::PowFOp> ops;
    getOperation()->walk([&](math::PowFOp op) {
      Type element = getElementTypeOrSelf(op.getType());
      if (element.isF32() || element.isF64())
        ops.push_back(op);
    });
    numExpanded += ops.size();
    for (math::PowFOp op : ops) {
      OpBuilder b(op);
      Math m{b, op.getLoc(), op.getType()};
      Value power = buildKnownPower(m, op.getLhs(), op.getRhs());
      op.replaceAllUsesWith(power ? power : buildPower(m, op.getLhs(), op.getRhs()));
      op.erase();
    }
  }
};

} // namespace

//===- ExpandMath.cpp - expand-math ---------------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "passes/FloatMath.h"
#include "passes/Passes.h"

#include "llvm/ADT/StringSwitch.h"

namespace flashc {
#define GEN_PASS_DEF_EXPANDMATH
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// 2^f on [-1/2, 1/2], minimax in relative error (Remez exchange): 7.5e-8 and 3.1e-18.
constexpr double kExp2Float[] = {1.0000000716546416382,  0.69314696706526492761,   0.24022119723969178047,
                                 0.05550713272875391178, 0.0096755413310213911451, 0.0013276472167819943329};
constexpr double kExp2Double[] = {0.9999999999999999971,     0.69314718055994533046,   0.24022650695910156205,
                                  0.055504108664819921483,   0.0096181291075883350833, 0.0013333558146789950323,
                                  0.00015403530462514613026, 0.0000152527334899608046, 1.3215433089594629037e-6,
                                  1.0178198033328527662e-7,  7.0741056262456593708e-9, 4.4352809446103361611e-10};

/// The same where 8 bits of the result matter: 7.5e-5.
constexpr double kExp2Short[] = {0.9999280735394012, 0.6932609854606553, 0.2426111221932161, 0.05517166905792616};

/// Both on [0, 1], where the scaling rounds down by itself; of the same errors.
constexpr double kExp2FloatUp[] = {0.99999992506358777, 0.69315307320262605,   0.24015361702112632,
                                   0.0558263181162335,  0.0089893400235819068, 0.001877576700019989};
constexpr double kExp2ShortUp[] = {0.99992521856591426, 0.69583354047929179, 0.22606715539709055, 0.078024522689531923};

/// What a target has for exponentials beside arithmetic.
struct Exp2Instruction {
  /// AVX-512's vscalef.
  bool scale = false;
  /// The intrinsic of one f32, "" for none.
  StringRef intrinsic;
};

/// The intrinsic of one number, on each element of `x`.
Value buildEach(const Math &m, Value x, StringRef intrinsic) {
  OpBuilder &b = m.b;
  auto call = [&](Value element) -> Value {
    return b
        .create<LLVM::CallIntrinsicOp>(m.loc, m.element(), b.getStringAttr(intrinsic), ValueRange{element},
                                       LLVM::FastmathFlagsAttr{})
        .getResult(0);
  };
  auto vector = dyn_cast<VectorType>(m.type);
  if (!vector)
    return call(x);
  if (vector.getRank() != 1 || vector.isScalable())
    return {};
  Value result = m.constant(0);
  for (int64_t i = 0; i < vector.getNumElements(); ++i)
    result = b.create<vector::InsertOp>(m.loc, call(b.create<vector::ExtractOp>(m.loc, x, i)), result, i);
  return result;
}

/// 2^x; `bits` of the result's significand matter.
Value buildExp2(const Math &m, Value x, bool nonPositive, Exp2Instruction instruction, int64_t bits = 53) {
  OpBuilder &b = m.b;
  bool isDouble = m.isDouble(), scaleInstruction = instruction.scale;
  if (!isDouble && !instruction.intrinsic.empty())
    if (Value result = buildEach(m, x, instruction.intrinsic))
      return result;
  // Below this the result is not a normal number and becomes 0.
  Value least = m.constant(isDouble ? -1022 : -126);
  if (!nonPositive) {
    Value most = m.constant(isDouble ? 1024 : 128);
    x = m.select(m.compare(arith::CmpFPredicate::OGT, x, most), most, x);
  }
  ArrayRef<double> coefficients = isDouble    ? ArrayRef<double>(kExp2Double)
                                  : bits <= 8 ? ArrayRef<double>(kExp2Short)
                                              : ArrayRef<double>(kExp2Float);
  auto vector = dyn_cast<VectorType>(m.type);
  if (scaleInstruction && vector && vector.getNumElements() * m.element().getWidth() == 512) {
    Value mask = b.create<arith::ConstantOp>(m.loc, b.getIntegerAttr(b.getIntegerType(vector.getNumElements()), -1));
    Value rounding = b.create<arith::ConstantOp>(m.loc, b.getI32IntegerAttr(4)); // the current direction
    auto call = [&](StringRef name, ValueRange operands) {
      return b.create<LLVM::CallIntrinsicOp>(m.loc, m.type, b.getStringAttr(name), operands, LLVM::FastmathFlagsAttr{})
          .getResult(0);
    };
    if (!isDouble && nonPositive) {
      // vscalef(p, x) is p 2^floor(x), and vreduce gives x - floor(x), 0 for an infinity. Next to a limit of 2^128 the
      // least error of the polynomial would show.
      Value down = b.create<arith::ConstantOp>(m.loc, b.getI32IntegerAttr(1));
      Value fraction = call("llvm.x86.avx512.mask.reduce.ps.512", {x, down, x, mask, rounding});
      Value p = m.polynomial(fraction, bits <= 8 ? ArrayRef<double>(kExp2ShortUp) : ArrayRef<double>(kExp2FloatUp));
      return call("llvm.x86.avx512.mask.scalef.ps.512", {p, x, p, mask, rounding});
    }
    // A compare whose false side is x keeps a NaN, and is one vmax. One below the least: vscalef then gives 0 in the
    // flush-to-zero mode that tasks run in, and a subnormal number otherwise.
    Value floor = m.constant(isDouble ? -1200 : -200);
    x = m.select(m.compare(arith::CmpFPredicate::OLT, x, floor), floor, x);
    Value n = b.create<math::RoundEvenOp>(m.loc, x);
    Value p = m.polynomial(m.sub(x, n), coefficients);
    StringRef name = isDouble ? "llvm.x86.avx512.mask.scalef.pd.512" : "llvm.x86.avx512.mask.scalef.ps.512";
    return call(name, {p, n, p, mask, rounding});
  }
  // Adding 1.5 * 2^(mantissa bits) rounds to an integer and leaves it in the low bits of the sum.
  Value magic = m.constant(isDouble ? 6755399441055744.0 : 12582912.0);
  Value shifted = m.add(x, magic);
  Value p = m.polynomial(m.sub(x, m.sub(shifted, magic)), coefficients);
  Value exponent = b.create<arith::ShLIOp>(m.loc, m.bits(shifted), m.integer(isDouble ? 52 : 23));
  Value result = m.fromBits(b.create<arith::AddIOp>(m.loc, m.bits(p), exponent));
  if (!nonPositive) {
    Value infinity = m.constant(std::numeric_limits<double>::infinity());
    result = m.select(m.compare(arith::CmpFPredicate::OGE, x, m.constant(isDouble ? 1024 : 128)), infinity, result);
  }
  result = m.select(m.compare(arith::CmpFPredicate::OLT, x, least), m.constant(0), result);
  return m.select(m.compare(arith::CmpFPredicate::UNO, x, x), x, result);
}

/// log(2^e m) = e ln 2 + 2 atanh(s), s = (m - 1) / (m + 1), m in [sqrt(1/2), sqrt(2)): the series of atanh converges
/// like 0.0295^k.
Value buildLog(const Math &m, Value x) {
  bool isDouble = m.isDouble();
  auto [e, scaled] = m.split(x);
  Value one = m.constant(1);
  Value s = m.div(m.sub(scaled, one), m.add(scaled, one));
  SmallVector<double> series;
  for (int k = 0; k < (isDouble ? 12 : 6); ++k)
    series.push_back(2.0 / (2 * k + 1));
  Value logScaled = m.mul(s, m.polynomial(m.mul(s, s), series));
  Value result = m.fma(e, m.constant(kLn2), logScaled);
  double infinity = std::numeric_limits<double>::infinity();
  Value least = m.constant(isDouble ? 2.2250738585072014e-308 : 1.17549435e-38);
  result = m.select(m.compare(arith::CmpFPredicate::OLT, x, least), m.constant(-infinity), result);
  Value invalid = m.compare(arith::CmpFPredicate::ULT, x, m.constant(0));
  result = m.select(invalid, m.constant(std::numeric_limits<double>::quiet_NaN()), result);
  return m.select(m.compare(arith::CmpFPredicate::OEQ, x, m.constant(infinity)), x, result);
}

Value divide(const Math &m, Value x, Value y) { return m.div(x, y); }

/// x / y for y in [1, 2]. GPUs divide by any number in dozens of instructions, NVIDIA's in a routine that is called.
/// The first reciprocal r leaves 1 - y r a 99th of Chebyshev's polynomial of degree 3, a step of Newton's squares that,
/// and the quotient's remainder squares it again: what is left is a rounding.
Value divideByMoreThanOne(const Math &m, Value x, Value y) {
  Value r = m.polynomial(y, {210.0 / 99, -144.0 / 99, 32.0 / 99}), minus = m.neg(y);
  r = m.fused(r, m.fused(minus, r, m.constant(1)), r);
  Value quotient = m.mul(x, r);
  return m.fused(m.fused(minus, quotient, x), r, quotient);
}

/// x / y where r is 1 / y but for a unit in the last place. The remainder corrects the quotient: it is rounded rightly,
/// but for x below 2^-100, whose remainder would be subnormal, and which may be off by three units.
Value divideByReciprocal(const Math &m, Value x, Value y, Value r) {
  Value estimate = m.mul(x, r);
  Value quotient = m.fused(m.fused(m.neg(y), estimate, x), r, estimate);
  // Infinities have no remainder, and zeros lose their sign.
  return m.select(m.compare(arith::CmpFPredicate::UEQ, quotient, m.constant(0)), estimate, quotient);
}

/// The instruction that estimates reciprocals of one f32 beside that for exponentials, by LLVM's intrinsics; "" where
/// there is none.
StringRef getReciprocal(StringRef exp2) {
  return llvm::StringSwitch<StringRef>(exp2)
      .Case("llvm.nvvm.ex2.approx.ftz.f", "llvm.nvvm.rcp.approx.ftz.f")
      .Case("llvm.amdgcn.exp2.f32", "llvm.amdgcn.rcp.f32")
      .Default("");
}

/// x / y of f32 by an instruction that estimates reciprocals: GPUs divide in dozens of instructions, NVIDIA's in a
/// routine that is called. Subnormal numbers are zeros, as everywhere in a task.
Value buildDivide(const Math &m, Value x, Value y, StringRef reciprocal) {
  if (std::optional<double> known = m.getConstant(y);
      known && std::abs(*known) >= 0x1p-126 && std::abs(*known) <= 0x1p126)
    return divideByReciprocal(m, x, y, m.constant(1 / *known));
  // A divisor whose reciprocal would be subnormal is made smaller, and the quotient with it.
  Value large = m.compare(arith::CmpFPredicate::OGT, m.b.create<math::AbsFOp>(m.loc, y), m.constant(0x1p96));
  Value scale = m.select(large, m.constant(0x1p-32), m.constant(1));
  y = m.mul(y, scale);
  Value r = buildEach(m, y, reciprocal);
  return r ? m.mul(divideByReciprocal(m, x, y, r), scale) : Value();
}

/// tanh(x) = sign(x) (1 - t) / (1 + t), t = e^(-2|x|): the error is relative to 1, not to a small result, which is what
/// a score capped by it needs.
Value buildTanh(const Math &m, Value x, Exp2Instruction instruction) {
  Value zero = m.constant(0);
  Value negative = m.compare(arith::CmpFPredicate::OLT, x, zero);
  Value minus = m.b.create<arith::NegFOp>(m.loc, x);
  Value magnitude = m.select(negative, minus, x);
  Value t = buildExp2(m, m.mul(magnitude, m.constant(-2 * kLog2e)), /*nonPositive=*/true, instruction);
  Value one = m.constant(1);
  bool byRoutine = !m.isDouble() && !instruction.intrinsic.empty();
  Value r = (byRoutine ? divideByMoreThanOne : divide)(m, m.sub(one, t), m.add(one, t));
  return m.select(negative, m.b.create<arith::NegFOp>(m.loc, r), r);
}

/// f32 to bf16, to nearest and ties to even; NaN stays NaN.
Value buildRoundToBF16(OpBuilder &b, Location loc, Value x, Type result) {
  Math m{b, loc, x.getType()};
  Value bits = m.bits(x);
  Value odd = b.create<arith::AndIOp>(loc, b.create<arith::ShRUIOp>(loc, bits, m.integer(16)), m.integer(1));
  Value rounded = b.create<arith::AddIOp>(loc, b.create<arith::AddIOp>(loc, bits, m.integer(0x7fff)), odd);
  Value high = b.create<arith::ShRUIOp>(loc, rounded, m.integer(16));
  high = m.select(m.compare(arith::CmpFPredicate::UNO, x, x), m.integer(0x7fc0), high);
  return b.create<arith::BitcastOp>(loc, result, b.create<arith::TruncIOp>(loc, m.like(b.getI16Type()), high));
}

Value buildExtendBF16(OpBuilder &b, Location loc, Value x, Type result) {
  Math m{b, loc, result};
  Value narrow = b.create<arith::BitcastOp>(loc, m.like(b.getI16Type()), x);
  Value wide = b.create<arith::ExtUIOp>(loc, m.integerType(), narrow);
  return m.fromBits(b.create<arith::ShLIOp>(loc, wide, m.integer(16)));
}

/// f16 to f32. A subnormal is its integer times 2^-24: shifting it into place would make a subnormal float32, which
/// tasks flush to zero.
Value buildExtendF16(OpBuilder &b, Location loc, Value x, Type result) {
  Math m{b, loc, result};
  auto below = [&](Value bits, int64_t limit) {
    return b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, bits, m.integer(limit));
  };
  Value narrow = b.create<arith::BitcastOp>(loc, m.like(b.getI16Type()), x);
  Value bits = b.create<arith::ExtUIOp>(loc, m.integerType(), narrow);
  Value magnitude = b.create<arith::AndIOp>(loc, bits, m.integer(0x7fff));
  Value sign = b.create<arith::ShLIOp>(loc, b.create<arith::XOrIOp>(loc, bits, magnitude), m.integer(16));
  Value shifted = b.create<arith::ShLIOp>(loc, magnitude, m.integer(13));
  // The exponents' biases differ by 112; infinity and NaN have the largest exponent in both.
  Value bias = m.select(below(magnitude, 0x7c00), m.integer(112LL << 23), m.integer(224LL << 23));
  Value normal = b.create<arith::AddIOp>(loc, shifted, bias);
  Value subnormal = m.mul(b.create<arith::UIToFPOp>(loc, m.type, magnitude), m.constant(0x1p-24));
  Value value = m.select(below(magnitude, 0x400), m.bits(subnormal), normal);
  return m.fromBits(b.create<arith::OrIOp>(loc, value, sign));
}

/// f32 to f16, to nearest and ties to even; NaN stays NaN.
Value buildRoundToF16(OpBuilder &b, Location loc, Value x, Type result) {
  Math m{b, loc, x.getType()};
  auto below = [&](Value bits, int64_t limit) {
    return b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, bits, m.integer(limit));
  };
  Value bits = m.bits(x);
  Value magnitude = b.create<arith::AndIOp>(loc, bits, m.integer(0x7fffffff));
  Value sign = b.create<arith::ShRUIOp>(loc, b.create<arith::XOrIOp>(loc, bits, magnitude), m.integer(16));
  Value odd = b.create<arith::AndIOp>(loc, b.create<arith::ShRUIOp>(loc, magnitude, m.integer(13)), m.integer(1));
  Value rounded = b.create<arith::AddIOp>(loc, magnitude, m.integer(0xfff - (112LL << 23)));
  Value normal = b.create<arith::ShRUIOp>(loc, b.create<arith::AddIOp>(loc, rounded, odd), m.integer(13));
  // In [1/2, 1) a float32's last place is 2^-24, that of a subnormal f16: the addition rounds.
  Value half = m.constant(0.5);
  Value subnormal = b.create<arith::SubIOp>(loc, m.bits(m.add(m.fromBits(magnitude), half)), m.bits(half));
  Value value = m.select(below(magnitude, 0x38800000), subnormal, normal);
  value = m.select(below(magnitude, 0x477ff000), value, m.integer(0x7c00));
  value = m.select(below(magnitude, 0x7f800001), value, m.integer(0x7e00));
  value = b.create<arith::TruncIOp>(loc, m.like(b.getI16Type()), b.create<arith::OrIOp>(loc, value, sign));
  return b.create<arith::BitcastOp>(loc, result, value);
}

/// Replaces `Op` on f32 and f64 by what `build` makes of it; null leaves it alone.
template <typename Op> struct Expand : OpRewritePattern<Op> {
  using Build = std::function<Value(const Math &, Op)>;
  Expand(MLIRContext *context, Build build) : OpRewritePattern<Op>(context), build(std::move(build)) {}

  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    Type element = getElementTypeOrSelf(op.getType());
    if (!isa<FloatType>(element))
      return rewriter.notifyMatchFailure(op, "not floating-point");
    Value result = build(Math{rewriter, op.getLoc(), op.getType()}, op);
    if (!result)
      return rewriter.notifyMatchFailure(op, "not of a type that is expanded");
    rewriter.replaceOp(op, result);
    return success();
  }

  Build build;
};

/// One instruction where there is one: AVX-512's on vectors of 64 bytes, NEON's on 16. Else each element of the groups
/// is widened and multiplied.
struct ExpandGroupDot : OpRewritePattern<tile::GroupDotOp> {
  ExpandGroupDot(MLIRContext *context, bool bf16Dot) : OpRewritePattern(context), bf16Dot(bf16Dot) {}

  LogicalResult matchAndRewrite(tile::GroupDotOp op, PatternRewriter &rewriter) const override {
    auto sums = cast<VectorType>(op.getResult().getType()), narrow = cast<VectorType>(op.getLhs().getType());
    int64_t lanes = sums.getNumElements(), group = narrow.getNumElements() / lanes;
    StringRef name = lanes == 16 ? "llvm.x86.avx512bf16.dpbf16ps.512" : "llvm.aarch64.neon.bfdot.v4f32.v8bf16";
    if (bf16Dot && group == 2 && narrow.getElementType().isBF16() && sums.getElementType().isF32() &&
        (lanes == 16 || lanes == 4)) {
      rewriter.replaceOpWithNewOp<LLVM::CallIntrinsicOp>(op, sums, rewriter.getStringAttr(name),
                                                         ValueRange{op.getAccumulator(), op.getLhs(), op.getRhs()},
                                                         LLVM::FastmathFlagsAttr{});
      return success();
    }
    Location loc = op.getLoc();
    Value sum = op.getAccumulator();
    for (int64_t j = 0; j < group; ++j) {
      SmallVector<int64_t> elements;
      for (int64_t lane = 0; lane < lanes; ++lane)
        elements.push_back(lane * group + j);
      auto widen = [&](Value x) -> Value {
        x = rewriter.create<vector::ShuffleOp>(loc, x, x, elements);
        return x.getType() == sums ? x : rewriter.create<arith::ExtFOp>(loc, sums, x).getResult();
      };
      sum = rewriter.create<LLVM::FMulAddOp>(loc, widen(op.getLhs()), widen(op.getRhs()), sum);
    }
    rewriter.replaceOp(op, sum);
    return success();
  }

  bool bf16Dot;
};

struct ExpandMath : flashc::impl::ExpandMathBase<ExpandMath> {
  using ExpandMathBase::ExpandMathBase;

  void runOnOperation() override {
    if (StringRef reciprocal = getReciprocal(exp2Intrinsic.getValue()); !reciprocal.empty())
      getOperation()->walk([&](arith::DivFOp op) { expandDivision(op, reciprocal); });
    RewritePatternSet patterns(&getContext());
    Exp2Instruction instruction{scaleInstruction, StringRef(exp2Intrinsic.getValue())};
    add<math::Exp2Op>(patterns, [instruction](const Math &m, math::Exp2Op op) {
      auto precision = op->getAttrOfType<IntegerAttr>(tile::kPrecisionAttrName);
      return buildExp2(m, op.getOperand(), op->hasAttr(tile::kNonPositiveAttrName), instruction,
                       precision ? precision.getInt() : 53);
    });
    add<math::ExpOp>(patterns, [instruction](const Math &m, math::ExpOp op) {
      return buildExp2(m, m.mul(op.getOperand(), m.constant(kLog2e)), op->hasAttr(tile::kNonPositiveAttrName),
                       instruction);
    });
    add<math::LogOp>(patterns, [](const Math &m, math::LogOp op) { return buildLog(m, op.getOperand()); });
    add<math::TanhOp>(
        patterns, [instruction](const Math &m, math::TanhOp op) { return buildTanh(m, op.getOperand(), instruction); });
    add<math::FmaOp>(patterns, [](const Math &m, math::FmaOp op) { return m.fma(op.getA(), op.getB(), op.getC()); });
    patterns.add<Expand<arith::TruncFOp>>(&getContext(), [this](const Math &m, arith::TruncFOp op) -> Value {
      Type narrow = m.element();
      if (!getElementTypeOrSelf(op.getIn().getType()).isF32() ||
          !((narrow.isBF16() && !bf16Dot) || (narrow.isF16() && !f16Convert)))
        return {};
      ++numExpanded;
      auto build = narrow.isBF16() ? buildRoundToBF16 : buildRoundToF16;
      return build(m.b, m.loc, op.getIn(), op.getType());
    });
    patterns.add<Expand<arith::ExtFOp>>(&getContext(), [this](const Math &m, arith::ExtFOp op) -> Value {
      Type narrow = getElementTypeOrSelf(op.getIn().getType());
      if (!(m.element().isF32() || m.element().isF64()) || !(narrow.isBF16() || (narrow.isF16() && !f16Convert)))
        return {};
      ++numExpanded;
      auto build = narrow.isBF16() ? buildExtendBF16 : buildExtendF16;
      Value wide = build(m.b, m.loc, op.getIn(), m.like(m.b.getF32Type()));
      return m.element().isF64() ? m.b.create<arith::ExtFOp>(m.loc, op.getType(), wide).getResult() : wide;
    });
    patterns.add<ExpandGroupDot>(&getContext(), bf16Dot);
    if (failed(applyPatternsAndFoldGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }

private:
  /// What is made of logarithms divides once a row, and reciprocals have instructions of their own: both stay.
  void expandDivision(arith::DivFOp op, StringRef reciprocal) {
    OpBuilder b(op);
    Math m{b, op.getLoc(), op.getType()};
    if (!m.element().isF32() || m.getConstant(op.getLhs()) == 1.0)
      return;
    if (Value quotient = buildDivide(m, op.getLhs(), op.getRhs(), reciprocal)) {
      ++numExpanded;
      op.replaceAllUsesWith(quotient);
      op.erase();
    }
  }

  template <typename Op> void add(RewritePatternSet &patterns, typename Expand<Op>::Build build) {
    patterns.add<Expand<Op>>(&getContext(), [this, build](const Math &m, Op op) -> Value {
      if (!m.element().isF32() && !m.element().isF64())
        return {};
      ++numExpanded;
      return build(m, op);
    });
  }
};

} // namespace

//===- Math.cpp - approximations, arithmetic and conversions -------------------===//
//
// An approximation is computed in double and rounded to float: within every error that the manuals allow, and the same
// on every host. Forms with .ftz flush subnormal inputs and results to zero of the same sign.
//
//===----------------------------------------------------------------------===//

#include "emulator/instructions/Families.h"
#include "emulator/instructions/NarrowFloats.h"

#include <array>
#include <cmath>
#include <limits>

using namespace flashc::emulator;

namespace {
float flush(float value) {
  return std::abs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
}
template <bool ftz> float keep(float value) { return ftz ? flush(value) : value; }

double exp2Of(double x) { return std::exp2(x); }
double log2Of(double x) { return std::log2(x); }
double reciprocal(double x) { return 1.0 / x; }
double reciprocalRoot(double x) { return 1.0 / std::sqrt(x); }
double root(double x) { return std::sqrt(x); }
double sine(double x) { return std::sin(x); }
double cosine(double x) { return std::cos(x); }
double hyperbolicTangent(double x) { return std::tanh(x); }
double magnitude(double x) { return std::abs(x); }

/// d = f(a)
template <double (*f)(double), bool ftz> void unary(Group &group) {
  const Lane lane = group[0];
  lane.set<float>(0, keep<ftz>(static_cast<float>(f(keep<ftz>(lane.get<float>(1))))));
}
template <double (*f)(double)> void unaryDouble(Group &group) { group[0].set<double>(0, f(group[0].get<double>(1))); }

/// Each half of a register; `element` widens and narrows.
template <double (*f)(double), bool bf16> void unaryPair(Group &group) {
  const Lane lane = group[0];
  const auto in = lane.get<std::array<uint16_t, 2>>(1);
  std::array<uint16_t, 2> out;
  for (unsigned i = 0; i != 2; ++i) {
    const float value = static_cast<float>(f(bf16 ? floatOfBf16(in[i]) : floatOfF16(in[i])));
    out[i] = bf16 ? bf16Nearest(value) : f16Nearest(value);
  }
  lane.set(0, out);
}

template <typename T> T add(T a, T b) { return a + b; }
template <typename T> T subtract(T a, T b) { return a - b; }
template <typename T> T multiply(T a, T b) { return a * b; }
template <typename T> T divide(T a, T b) { return a / b; }
/// A NaN operand gives the other.
template <typename T> T smaller(T a, T b) { return std::fmin(a, b); }
template <typename T> T larger(T a, T b) { return std::fmax(a, b); }
/// A NaN operand gives NaN.
template <typename T> T smallerOrNan(T a, T b) { return a != a ? a : b != b ? b : std::fmin(a, b); }
template <typename T> T largerOrNan(T a, T b) { return a != a ? a : b != b ? b : std::fmax(a, b); }

/// d = f(a, b)
template <float (*f)(float, float), bool ftz> void binary(Group &group) {
  const Lane lane = group[0];
  lane.set<float>(0, keep<ftz>(f(keep<ftz>(lane.get<float>(1)), keep<ftz>(lane.get<float>(2)))));
}
template <double (*f)(double, double)> void binaryDouble(Group &group) {
  group[0].set<double>(0, f(group[0].get<double>(1), group[0].get<double>(2)));
}
template <bool ftz> void fused(Group &group) {
  const Lane lane = group[0];
  lane.set<float>(0, keep<ftz>(std::fma(keep<ftz>(lane.get<float>(1)), keep<ftz>(lane.get<float>(2)),
                                        keep<ftz>(lane.get<float>(3)))));
}
void fusedDouble(Group &group) {
  group[0].set<double>(0, std::fma(group[0].get<double>(1), group[0].get<double>(2), group[0].get<double>(3)));
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

/// cvt.rn.x2: `a` goes to the upper half, `b` to the lower.
template <uint16_t (*narrow)(float), bool relu> void convertPair(Group &group) {
  const Lane lane = group[0];
  float a = lane.get<float>(1), b = lane.get<float>(2);
  if (relu) {
    a = a != a ? a : std::fmax(a, 0.0f);
    b = b != b ? b : std::fmax(b, 0.0f);
  }
  lane.set<uint32_t>(0, narrow(b) | static_cast<uint32_t>(narrow(a)) << 16);
}
template <uint16_t (*narrow)(float)> void convert(Group &group) {
  group[0].set<uint16_t>(0, narrow(group[0].get<float>(1)));
}
template <float (*widen)(uint16_t)> void widenTo(Group &group) {
  group[0].set<float>(0, widen(group[0].get<uint16_t>(1)));
}
uint16_t bf16TowardsZero(float value) { return static_cast<uint16_t>(bitsOfFloat(value) >> 16); }

/// cvt.rna.tf32: to nearest, ties away from zero. A NaN stays one, whichever bits of it are read.
void convertTf32(Group &group) {
  const uint32_t bits = group[0].get<uint32_t>(1), magnitude = bits & 0x7fffffff;
  group[0].set<uint32_t>(0, magnitude > 0x7f800000    ? 0x7fffffff
                            : magnitude == 0x7f800000 ? bits
                                                      : (bits + 0x1000) & 0xffffe000);
}
void doubleToFloat(Group &group) { group[0].set<float>(0, static_cast<float>(group[0].get<double>(1))); }
void floatToDouble(Group &group) { group[0].set<double>(0, group[0].get<float>(1)); }

template <typename T> void toInteger(Group &group) {
  const float value = std::nearbyint(group[0].get<float>(1));
  const float low = static_cast<float>(std::numeric_limits<T>::min());
  const float high = static_cast<float>(std::numeric_limits<T>::max());
  group[0].set<T>(0, value != value  ? 0
                     : value <= low  ? std::numeric_limits<T>::min()
                     : value >= high ? std::numeric_limits<T>::max()
                                     : static_cast<T>(value));
}

struct Named {
  const char *name;
  void (*execute)(Group &);
};
} // namespace

void flashc::emulator::addMath(InstructionSet &set) {
  const auto each = [&](std::initializer_list<Named> list) {
    for (const Named &entry : list)
      set.add({entry.name, Scope::Lane, entry.execute});
  };
  each({{"llvm.nvvm.ex2.approx.f", unary<exp2Of, false>},
        {"llvm.nvvm.ex2.approx.ftz.f", unary<exp2Of, true>},
        {"llvm.nvvm.ex2.approx.d", unaryDouble<exp2Of>},
        {"llvm.nvvm.lg2.approx.f", unary<log2Of, false>},
        {"llvm.nvvm.lg2.approx.ftz.f", unary<log2Of, true>},
        {"llvm.nvvm.lg2.approx.d", unaryDouble<log2Of>},
        {"llvm.nvvm.rcp.approx.ftz.d", unaryDouble<reciprocal>},
        {"llvm.nvvm.rcp.approx.ftz.f", unary<reciprocal, true>},
        {"llvm.nvvm.rcp.rn.f", unary<reciprocal, false>},
        {"llvm.nvvm.rcp.rn.ftz.f", unary<reciprocal, true>},
        {"llvm.nvvm.rcp.rn.d", unaryDouble<reciprocal>},
        {"llvm.nvvm.rsqrt.approx.f", unary<reciprocalRoot, false>},
        {"llvm.nvvm.rsqrt.approx.ftz.f", unary<reciprocalRoot, true>},
        {"llvm.nvvm.rsqrt.approx.d", unaryDouble<reciprocalRoot>},
        {"llvm.nvvm.sqrt.f", unary<root, false>},
        {"llvm.nvvm.sqrt.approx.f", unary<root, false>},
        {"llvm.nvvm.sqrt.approx.ftz.f", unary<root, true>},
        {"llvm.nvvm.sqrt.rn.f", unary<root, false>},
        {"llvm.nvvm.sqrt.rn.ftz.f", unary<root, true>},
        {"llvm.nvvm.sqrt.rn.d", unaryDouble<root>},
        {"llvm.nvvm.sin.approx.f", unary<sine, false>},
        {"llvm.nvvm.sin.approx.ftz.f", unary<sine, true>},
        {"llvm.nvvm.cos.approx.f", unary<cosine, false>},
        {"llvm.nvvm.cos.approx.ftz.f", unary<cosine, true>},
        {"llvm.nvvm.fabs.f", unary<magnitude, false>},
        {"llvm.nvvm.fabs.ftz.f", unary<magnitude, true>},
        {"llvm.nvvm.fabs.d", unaryDouble<magnitude>},
        {"ex2.approx.f32", unary<exp2Of, false>},
        {"ex2.approx.ftz.f32", unary<exp2Of, true>},
        {"ex2.approx.f16x2", unaryPair<exp2Of, false>},
        {"ex2.approx.ftz.bf16x2", unaryPair<exp2Of, true>},
        {"lg2.approx.f32", unary<log2Of, false>},
        {"lg2.approx.ftz.f32", unary<log2Of, true>},
        {"rcp.approx.f32", unary<reciprocal, false>},
        {"rcp.approx.ftz.f32", unary<reciprocal, true>},
        {"sqrt.approx.f32", unary<root, false>},
        {"sqrt.approx.ftz.f32", unary<root, true>},
        {"rsqrt.approx.f32", unary<reciprocalRoot, false>},
        {"rsqrt.approx.ftz.f32", unary<reciprocalRoot, true>},
        {"tanh.approx.f32", unary<hyperbolicTangent, false>},
        {"tanh.approx.f16x2", unaryPair<hyperbolicTangent, false>},
        {"tanh.approx.bf16x2", unaryPair<hyperbolicTangent, true>}});
  each({{"llvm.nvvm.add.rn.f", binary<add<float>, false>},
        {"llvm.nvvm.add.rn.ftz.f", binary<add<float>, true>},
        {"llvm.nvvm.add.rn.d", binaryDouble<add<double>>},
        {"llvm.nvvm.mul.rn.f", binary<multiply<float>, false>},
        {"llvm.nvvm.mul.rn.ftz.f", binary<multiply<float>, true>},
        {"llvm.nvvm.mul.rn.d", binaryDouble<multiply<double>>},
        {"llvm.nvvm.div.approx.f", binary<divide<float>, false>},
        {"llvm.nvvm.div.approx.ftz.f", binary<divide<float>, true>},
        {"llvm.nvvm.div.rn.f", binary<divide<float>, false>},
        {"llvm.nvvm.div.rn.ftz.f", binary<divide<float>, true>},
        {"llvm.nvvm.div.rn.d", binaryDouble<divide<double>>},
        {"llvm.nvvm.fmin.f", binary<smaller<float>, false>},
        {"llvm.nvvm.fmin.ftz.f", binary<smaller<float>, true>},
        {"llvm.nvvm.fmin.nan.f", binary<smallerOrNan<float>, false>},
        {"llvm.nvvm.fmin.ftz.nan.f", binary<smallerOrNan<float>, true>},
        {"llvm.nvvm.fmin.d", binaryDouble<smaller<double>>},
        {"llvm.nvvm.fmax.f", binary<larger<float>, false>},
        {"llvm.nvvm.fmax.ftz.f", binary<larger<float>, true>},
        {"llvm.nvvm.fmax.nan.f", binary<largerOrNan<float>, false>},
        {"llvm.nvvm.fmax.ftz.nan.f", binary<largerOrNan<float>, true>},
        {"llvm.nvvm.fmax.d", binaryDouble<larger<double>>},
        {"llvm.nvvm.fma.rn.f", fused<false>},
        {"llvm.nvvm.fma.rn.ftz.f", fused<true>},
        {"llvm.nvvm.fma.rn.d", fusedDouble},
        {"add.f32", binary<add<float>, false>},
        {"add.rn.f32", binary<add<float>, false>},
        {"add.ftz.f32", binary<add<float>, true>},
        {"sub.f32", binary<subtract<float>, false>},
        {"mul.f32", binary<multiply<float>, false>},
        {"mul.rn.f32", binary<multiply<float>, false>},
        {"mul.ftz.f32", binary<multiply<float>, true>},
        {"min.f32", binary<smaller<float>, false>},
        {"max.f32", binary<larger<float>, false>},
        {"fma.rn.f32", fused<false>},
        {"fma.rn.ftz.f32", fused<true>}});
}

void flashc::emulator::addConversions(InstructionSet &set) {
  const auto each = [&](std::initializer_list<Named> list) {
    for (const Named &entry : list)
      set.add({entry.name, Scope::Lane, entry.execute});
  };
  each({{"llvm.nvvm.ff2bf16x2.rn", convertPair<bf16Nearest, false>},
        {"llvm.nvvm.ff2bf16x2.rn.relu", convertPair<bf16Nearest, true>},
        {"llvm.nvvm.ff2bf16x2.rz", convertPair<bf16TowardsZero, false>},
        {"llvm.nvvm.ff2f16x2.rn", convertPair<f16Nearest, false>},
        {"llvm.nvvm.ff2f16x2.rn.relu", convertPair<f16Nearest, true>},
        {"llvm.nvvm.ff2f16x2.rz", convertPair<f16TowardsZero, false>},
        {"llvm.nvvm.f2bf16.rn", convert<bf16Nearest>},
        {"llvm.nvvm.f2bf16.rz", convert<bf16TowardsZero>},
        {"llvm.nvvm.f2h.rn", convert<f16Nearest>},
        {"llvm.nvvm.f2h.rn.ftz", convert<f16Nearest>},
        {"llvm.nvvm.f2tf32.rna", convertTf32},
        {"llvm.nvvm.d2f.rn", doubleToFloat},
        {"llvm.nvvm.f2i.rn", toInteger<int32_t>},
        {"llvm.nvvm.f2ui.rn", toInteger<uint32_t>},
        {"cvt.rn.bf16x2.f32", convertPair<bf16Nearest, false>},
        {"cvt.rn.relu.bf16x2.f32", convertPair<bf16Nearest, true>},
        {"cvt.rn.f16x2.f32", convertPair<f16Nearest, false>},
        {"cvt.rn.relu.f16x2.f32", convertPair<f16Nearest, true>},
        {"cvt.rn.bf16.f32", convert<bf16Nearest>},
        {"cvt.rn.f16.f32", convert<f16Nearest>},
        {"cvt.f32.f16", widenTo<floatOfF16>},
        {"cvt.f32.bf16", widenTo<floatOfBf16>},
        {"cvt.rna.tf32.f32", convertTf32},
        {"cvt.rn.f32.f64", doubleToFloat},
        {"cvt.f64.f32", floatToDouble}});
}

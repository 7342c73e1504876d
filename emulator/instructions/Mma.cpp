//===- Mma.cpp - mma.sync: products of a warp's fragments ----------------------===//
//
// Which element of a matrix a lane holds in which register: PTX ISA, "Warp Level Matrix Multiply-Accumulate
// Instructions", matrix fragments for mma.m8n8k4 (.f64), m16n8k4, m16n8k8 and m16n8k16.
//
//===----------------------------------------------------------------------===//

#include "emulator/instructions/Families.h"
#include "emulator/instructions/MatrixProduct.h"
#include "emulator/instructions/NarrowFloats.h"

using namespace flashc::emulator;

namespace {
enum class Element { F16, Bf16, Tf32 };

float widen(Element element, uint16_t bits) { return element == Element::F16 ? floatOfF16(bits) : floatOfBf16(bits); }

/// c += a * b on 16 rows, 8 columns and `depth`: compiled for what the machine has.
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void multiply(unsigned depth, const float *a,
                                                                                    const float *b, float *c) {
  for (unsigned row = 0; row != 16; ++row) {
    float sums[8];
    for (unsigned column = 0; column != 8; ++column)
      sums[column] = c[row * 8 + column];
    for (unsigned k = 0; k != depth; ++k)
      for (unsigned column = 0; column != 8; ++column)
        sums[column] += a[row * depth + k] * b[k * 8 + column];
    for (unsigned column = 0; column != 8; ++column)
      c[row * 8 + column] = sums[column];
  }
}

/// Registers of a warp: one operand, 32 lanes.
struct Registers {
  uint32_t values[32];
  Registers(const Group &group, unsigned operand) { group.gather(operand, values); }
};

/// A and B of 16-bit elements, two to a register. A has 2 registers for each 8 columns - rows g and g + 8 -, B one for
/// each 8 rows, where g = lane / 4 and the pair stands at 2 (lane % 4).
void load16(const Group &group, Element element, unsigned first, unsigned depth, float *a, float *b) {
  const unsigned eights = depth / 8;
  for (unsigned part = 0; part != eights; ++part)
    for (unsigned half = 0; half != 2; ++half) {
      const Registers registers(group, first + 2 * part + half);
      for (unsigned lane = 0; lane != 32; ++lane) {
        float *to = a + (lane / 4 + 8 * half) * depth + 8 * part + lane % 4 * 2;
        to[0] = widen(element, static_cast<uint16_t>(registers.values[lane]));
        to[1] = widen(element, static_cast<uint16_t>(registers.values[lane] >> 16));
      }
    }
  for (unsigned part = 0; part != eights; ++part) {
    const Registers registers(group, first + 2 * eights + part);
    for (unsigned lane = 0; lane != 32; ++lane) {
      float *to = b + (8 * part + lane % 4 * 2) * 8 + lane / 4;
      to[0] = widen(element, static_cast<uint16_t>(registers.values[lane]));
      to[8] = widen(element, static_cast<uint16_t>(registers.values[lane] >> 16));
    }
  }
}

/// A and B of tf32, one to a register: A has 2 registers for each 4 columns, B one for each 4 rows.
void loadTf32(const Group &group, unsigned first, unsigned depth, float *a, float *b) {
  const unsigned fours = depth / 4;
  for (unsigned part = 0; part != fours; ++part)
    for (unsigned half = 0; half != 2; ++half) {
      const Registers registers(group, first + 2 * part + half);
      for (unsigned lane = 0; lane != 32; ++lane)
        a[(lane / 4 + 8 * half) * depth + 4 * part + lane % 4] = floatOfTf32(registers.values[lane]);
    }
  for (unsigned part = 0; part != fours; ++part) {
    const Registers registers(group, first + 2 * fours + part);
    for (unsigned lane = 0; lane != 32; ++lane)
      b[(4 * part + lane % 4) * 8 + lane / 4] = floatOfTf32(registers.values[lane]);
  }
}

/// C and D of float: rows g and g + 8, columns 2 (lane % 4) and the next.
void loadC(const Group &group, unsigned first, float *c) {
  for (unsigned i = 0; i != 4; ++i) {
    const Registers registers(group, first + i);
    for (unsigned lane = 0; lane != 32; ++lane)
      c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = floatOfBits(registers.values[lane]);
  }
}
void storeD(const Group &group, const float *c) {
  for (unsigned i = 0; i != 4; ++i) {
    float values[32];
    for (unsigned lane = 0; lane != 32; ++lane)
      values[lane] = c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2];
    group.scatter(i, values);
  }
}
/// The same of f16, two columns to a register.
void loadC16(const Group &group, unsigned first, float *c) {
  for (unsigned i = 0; i != 2; ++i) {
    const Registers registers(group, first + i);
    for (unsigned lane = 0; lane != 32; ++lane) {
      float *to = c + (lane / 4 + i * 8) * 8 + lane % 4 * 2;
      to[0] = floatOfF16(static_cast<uint16_t>(registers.values[lane]));
      to[1] = floatOfF16(static_cast<uint16_t>(registers.values[lane] >> 16));
    }
  }
}
void storeD16(const Group &group, const float *c) {
  for (unsigned i = 0; i != 2; ++i) {
    uint32_t values[32];
    for (unsigned lane = 0; lane != 32; ++lane) {
      const float *from = c + (lane / 4 + i * 8) * 8 + lane % 4 * 2;
      values[lane] = f16Nearest(from[0]) | static_cast<uint32_t>(f16Nearest(from[1])) << 16;
    }
    group.scatter(i, values);
  }
}

/// All lanes have to be there: .aligned, with no mask.
void requireWarp(const Group &group) {
  if (group.size() != 32)
    group[0].fail(FindingKind::Divergence, "expected 32 lanes, got " + std::to_string(group.size()));
}

template <Element element, unsigned depth> void mma(Group &group) {
  requireWarp(group);
  const Call &call = group.call();
  const unsigned d = call.numDestinations;
  constexpr unsigned inputs = element == Element::Tf32 ? depth / 4 * 3 : depth / 8 * 3;
  const unsigned c = d + inputs;
  if (d + inputs >= call.numOperands())
    group[0].fail(FindingKind::InvalidArgument, "expected " + std::to_string(inputs) + " registers of A and B");
  float left[16 * 16], right[16 * 8], sums[16 * 8];
  if (element == Element::Tf32)
    loadTf32(group, d, depth, left, right);
  else
    load16(group, element, d, depth, left, right);
  const bool halfC = call.numOperands() - c == 2;
  if (halfC)
    loadC16(group, c, sums);
  else
    loadC(group, c, sums);
  multiply(depth, left, right, sums);
  if (d == 2)
    storeD16(group, sums);
  else
    storeD(group, sums);
}

/// m8n8k4 of double: A row lane / 4, column lane % 4; B the other way round; C two columns from 2 (lane % 4).
void mmaDouble(Group &group) {
  requireWarp(group);
  double a[32], b[32], c[2][32], left[8 * 4], right[4 * 8], sums[64];
  group.gather(2, a);
  group.gather(3, b);
  group.gather(4, c[0]);
  group.gather(5, c[1]);
  for (unsigned lane = 0; lane != 32; ++lane) {
    left[lane / 4 * 4 + lane % 4] = a[lane];
    right[lane % 4 * 8 + lane / 4] = b[lane];
    for (unsigned i = 0; i != 2; ++i)
      sums[lane / 4 * 8 + lane % 4 * 2 + i] = c[i][lane];
  }
  addProducts(8, 8, 4, left, right, sums);
  for (unsigned lane = 0; lane != 32; ++lane)
    for (unsigned i = 0; i != 2; ++i)
      c[i][lane] = sums[lane / 4 * 8 + lane % 4 * 2 + i];
  group.scatter(0, c[0]);
  group.scatter(1, c[1]);
}
} // namespace

void flashc::emulator::addMma(InstructionSet &set) {
  // mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 d, a, b, c;  llvm.nvvm.mma.m16n8k16.row.col.bf16
  const std::string statement = "mma.sync.aligned.", intrinsic = "llvm.nvvm.mma.";
  for (const std::string type : {"f32.f32", "f16.f16", "f16.f32", "f32.f16"}) {
    set.add({intrinsic + "m16n8k16.row.col." + type, Scope::Subgroup, mma<Element::F16, 16>});
    set.add({intrinsic + "m16n8k8.row.col." + type, Scope::Subgroup, mma<Element::F16, 8>});
    const std::string to = type.substr(0, 3), from = type.substr(4);
    set.add({statement + "m16n8k16.row.col." + to + ".f16.f16." + from, Scope::Subgroup, mma<Element::F16, 16>});
    set.add({statement + "m16n8k8.row.col." + to + ".f16.f16." + from, Scope::Subgroup, mma<Element::F16, 8>});
  }
  set.add({intrinsic + "m16n8k16.row.col.bf16", Scope::Subgroup, mma<Element::Bf16, 16>});
  set.add({intrinsic + "m16n8k8.row.col.bf16", Scope::Subgroup, mma<Element::Bf16, 8>});
  set.add({intrinsic + "m16n8k8.row.col.tf32", Scope::Subgroup, mma<Element::Tf32, 8>});
  set.add({intrinsic + "m16n8k4.row.col.tf32", Scope::Subgroup, mma<Element::Tf32, 4>});
  set.add({intrinsic + "m8n8k4.row.col.f64", Scope::Subgroup, mmaDouble});
  set.add({statement + "m16n8k16.row.col.f32.bf16.bf16.f32", Scope::Subgroup, mma<Element::Bf16, 16>});
  set.add({statement + "m16n8k8.row.col.f32.bf16.bf16.f32", Scope::Subgroup, mma<Element::Bf16, 8>});
  set.add({statement + "m16n8k8.row.col.f32.tf32.tf32.f32", Scope::Subgroup, mma<Element::Tf32, 8>});
  set.add({statement + "m16n8k4.row.col.f32.tf32.tf32.f32", Scope::Subgroup, mma<Element::Tf32, 4>});
  set.add({statement + "m8n8k4.row.col.f64.f64.f64.f64", Scope::Subgroup, mmaDouble});
}

//===- Ldmatrix.cpp - 8x8 matrices between shared memory and fragments ---------===//
//
// PTX ISA, ldmatrix and stmatrix: lane 8 m + r has the address of row r of matrix m; lane l holds elements 2 (l % 4)
// and the next of row l / 4, or of column l / 4 with .trans.
//
//===----------------------------------------------------------------------===//

#include "emulator/instructions/Families.h"

using namespace flashc::emulator;

using Matrix = uint16_t[8][8];

/// The address of a row, which is 16 bytes.
static uint64_t rowAddress(const Lane &lane, unsigned operand) {
  const uint64_t address = lane.get<uint64_t>(operand);
  if (address % 16)
    lane.fail(FindingKind::Misaligned, "expected the address of a row to be a multiple of 16", address);
  return address;
}

static void requireWarp(const Group &group) {
  if (group.size() != 32)
    group[0].fail(FindingKind::Divergence, "expected 32 lanes, got " + std::to_string(group.size()));
}

/// ldmatrix.sync.aligned.m8n8.xN{.trans}.shared.b16 {d...}, [p];
template <unsigned matrices, bool transposed> static void load(Group &group) {
  requireWarp(group);
  Matrix values[matrices];
  for (unsigned i = 0; i != 8 * matrices; ++i)
    group[i].thread().load(rowAddress(group[i], matrices), values[i / 8][i % 8], 16, Space::Shared);
  for (unsigned m = 0; m != matrices; ++m) {
    uint32_t out[32];
    for (unsigned lane = 0; lane != 32; ++lane) {
      const unsigned row = lane / 4, column = lane % 4 * 2;
      const uint32_t low = transposed ? values[m][column][row] : values[m][row][column];
      const uint32_t high = transposed ? values[m][column + 1][row] : values[m][row][column + 1];
      out[lane] = low | high << 16;
    }
    group.scatter(m, out);
  }
}

/// stmatrix.sync.aligned.m8n8.xN{.trans}.shared.b16 [p], {r...};
template <unsigned matrices, bool transposed> static void store(Group &group) {
  requireWarp(group);
  Matrix values[matrices];
  for (unsigned m = 0; m != matrices; ++m) {
    uint32_t in[32];
    group.gather(1 + m, in);
    for (unsigned lane = 0; lane != 32; ++lane)
      for (unsigned e = 0; e != 2; ++e) {
        const unsigned row = lane / 4, column = lane % 4 * 2 + e;
        (transposed ? values[m][column][row] : values[m][row][column]) = static_cast<uint16_t>(in[lane] >> 16 * e);
      }
  }
  for (unsigned i = 0; i != 8 * matrices; ++i)
    group[i].thread().store(rowAddress(group[i], 0), values[i / 8][i % 8], 16, Space::Shared);
}

template <unsigned matrices> static void addForms(InstructionSet &set) {
  const std::string shape = "sync.aligned.m8n8.x" + std::to_string(matrices);
  set.add({"llvm.nvvm.ldmatrix." + shape + ".b16", Scope::Subgroup, load<matrices, false>, matrices});
  set.add({"llvm.nvvm.ldmatrix." + shape + ".trans.b16", Scope::Subgroup, load<matrices, true>, matrices});
  set.add({"ldmatrix." + shape, Scope::Subgroup, load<matrices, false>});
  set.add({"ldmatrix." + shape + ".trans", Scope::Subgroup, load<matrices, true>});
  set.add({"stmatrix." + shape, Scope::Subgroup, store<matrices, false>, 0});
  set.add({"stmatrix." + shape + ".trans", Scope::Subgroup, store<matrices, true>, 0});
}

void flashc::emulator::addLdmatrix(InstructionSet &set) {
  addForms<1>(set);
  addForms<2>(set);
  addForms<4>(set);
}

#include "emulator/instructions/AmdMatrix.h"
#include "emulator/instructions/MatrixProduct.h"
#include "emulator/instructions/NarrowFloats.h"

#include <type_traits>

namespace flashc::emulator {

const std::vector<AmdMatrixInstruction> &amdMatrixInstructions() {
  static const std::vector<AmdMatrixInstruction> instructions = {
      {"mfma.f32.32x32x8f16", 32, 32, 8, MatrixElement::F16, 64},
      {"mfma.f32.16x16x16f16", 16, 16, 16, MatrixElement::F16, 64},
      {"mfma.f32.32x32x8bf16.1k", 32, 32, 8, MatrixElement::BF16, 64},
      {"mfma.f32.16x16x16bf16.1k", 16, 16, 16, MatrixElement::BF16, 64},
      {"mfma.f32.32x32x2f32", 32, 32, 2, MatrixElement::F32, 64},
      {"mfma.f32.16x16x4f32", 16, 16, 4, MatrixElement::F32, 64},
      {"mfma.f32.32x32x4.xf32", 32, 32, 4, MatrixElement::XF32, 64},
      {"mfma.f32.16x16x8.xf32", 16, 16, 8, MatrixElement::XF32, 64},
      {"mfma.f64.16x16x4f64", 16, 16, 4, MatrixElement::F64, 64},
      {"wmma.f32.16x16x16.f16", 16, 16, 16, MatrixElement::F16, 32},
      {"wmma.f32.16x16x16.bf16", 16, 16, 16, MatrixElement::BF16, 32},
  };
  return instructions;
}

const AmdMatrixInstruction *findAmdMatrixInstruction(std::string_view intrinsic) {
  constexpr std::string_view prefix = "llvm.amdgcn.";
  if (intrinsic.substr(0, prefix.size()) != prefix)
    return nullptr;
  intrinsic.remove_prefix(prefix.size());
  for (const AmdMatrixInstruction &instruction : amdMatrixInstructions()) {
    // WMMA is overloaded: ".v8f32.v16f16" follows its name.
    if (intrinsic == instruction.name ||
        (!instruction.isMfma() && intrinsic.size() > instruction.name.size() &&
         intrinsic.substr(0, instruction.name.size()) == instruction.name && intrinsic[instruction.name.size()] == '.'))
      return &instruction;
  }
  return nullptr;
}

namespace {
/// Where element (outer, k) of A (outer = row) or B (outer = column) lies.
struct Place {
  unsigned lane, index;
};

Place placeOfInput(const AmdMatrixInstruction &instruction, unsigned outer, unsigned k) {
  if (!instruction.isMfma())
    return {outer, k};
  // The lanes are groups of `rows`, each group holds the next few elements along the depth.
  unsigned each = instruction.inputsPerLane();
  return {k / each * instruction.rows + outer, k % each};
}

Place placeOfOutput(const AmdMatrixInstruction &instruction, unsigned row, unsigned column) {
  if (!instruction.isMfma())
    return {row % 2 * 16 + column, row / 2};
  unsigned groups = instruction.lanes / instruction.columns;
  if (instruction.element == MatrixElement::F64)
    return {row % groups * instruction.columns + column, row / groups};
  // Four rows to a lane, the next four to the next group of lanes, and round again.
  return {row / 4 % groups * instruction.columns + column, row / (4 * groups) * 4 + row % 4};
}

template <typename T> T readInput(MatrixElement element, const LaneValues &values, Place place, bool flush) {
  switch (element) {
  case MatrixElement::F16: {
    uint16_t bits = values.get<uint16_t>(place.lane, place.index);
    return floatOfF16(flush && !(bits & 0x7c00) ? uint16_t(bits & 0x8000) : bits);
  }
  case MatrixElement::BF16: {
    uint16_t bits = values.get<uint16_t>(place.lane, place.index);
    return floatOfBf16(flush && !(bits & 0x7f80) ? uint16_t(bits & 0x8000) : bits);
  }
  case MatrixElement::XF32:
    return floatOfTf32(values.get<uint32_t>(place.lane, place.index));
  case MatrixElement::F32:
  case MatrixElement::F64:
    return values.get<T>(place.lane, place.index);
  }
  return 0;
}

template <typename T>
void multiply(const AmdMatrixInstruction &instruction, bool flush, const LaneValues &a, const LaneValues &b,
              const LaneValues &c, const LaneValues &d) {
  unsigned rows = instruction.rows, columns = instruction.columns, depth = instruction.depth;
  std::vector<T> left(rows * depth), right(depth * columns), accumulator(rows * columns);
  for (unsigned k = 0; k < depth; ++k) {
    for (unsigned row = 0; row < rows; ++row)
      left[row * depth + k] = readInput<T>(instruction.element, a, placeOfInput(instruction, row, k), flush);
    for (unsigned column = 0; column < columns; ++column)
      right[k * columns + column] = readInput<T>(instruction.element, b, placeOfInput(instruction, column, k), flush);
  }
  auto forEachOutput = [&](auto visit) {
    for (unsigned row = 0; row < rows; ++row)
      for (unsigned column = 0; column < columns; ++column)
        visit(placeOfOutput(instruction, row, column), accumulator[row * columns + column]);
  };
  forEachOutput([&](Place place, T &value) { value = c.get<T>(place.lane, place.index); });
  if constexpr (std::is_same_v<T, float>) {
    if (instruction.element != MatrixElement::F32)
      addProductsOfNarrow(rows, columns, depth, left.data(), right.data(), accumulator.data());
    else
      addProducts(rows, columns, depth, left.data(), right.data(), accumulator.data());
  } else {
    addProducts(rows, columns, depth, left.data(), right.data(), accumulator.data());
  }
  forEachOutput([&](Place place, T &value) { d.set<T>(place.lane, value, place.index); });
}
} // namespace

std::string runAmdMatrix(const AmdMatrixInstruction &instruction, const AmdMatrixOptions &options, const LaneValues &a,
                         const LaneValues &b, const LaneValues &c, const LaneValues &d) {
  for (unsigned lane = 0; lane < instruction.lanes; ++lane)
    if (!a.active(lane))
      return std::string(instruction.name) + " needs all " + std::to_string(instruction.lanes) +
             " lanes of the subgroup, lane " + std::to_string(lane) + " does not execute it";

  bool narrow = instruction.element == MatrixElement::F16 || instruction.element == MatrixElement::BF16;
  if (!instruction.isMfma()) {
    size_t bytes = instruction.inputsPerLane() * sizeof(uint16_t);
    for (unsigned lane = 0; lane < 16; ++lane)
      for (const LaneValues *input : {&a, &b})
        if (std::memcmp(input->bytes(lane), input->bytes(lane + 16), bytes) != 0)
          return std::string(instruction.name) + " needs operand " + (input == &a ? "A" : "B") + " of lane " +
                 std::to_string(lane + 16) + " to repeat that of lane " + std::to_string(lane);
  }

  bool flush = options.flushNarrowDenormals && narrow;
  if (instruction.element == MatrixElement::F64)
    multiply<double>(instruction, flush, a, b, c, d);
  else
    multiply<float>(instruction, flush, a, b, c, d);
  return {};
}

} // namespace flashc::emulator

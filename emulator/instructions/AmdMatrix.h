/// The matrix instructions of AMD's CDNA (MFMA, 64 lanes) and RDNA 3 (WMMA, 32 lanes), as functions of the lanes'
/// values.
///
/// Which lane holds which element follows "AMD Instinct MI200/MI300 Instruction Set Architecture", chapter "Matrix
/// Arithmetic Instructions", and "RDNA3 Instruction Set Architecture", section 7.9; AMD's matrix instruction calculator
/// states the same as formulas, which the tests transcribe.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_AMDMATRIX_H
#define FLASHC_EMULATOR_INSTRUCTIONS_AMDMATRIX_H

#include "emulator/instructions/LaneValues.h"

#include <string>
#include <string_view>
#include <vector>

namespace flashc::emulator {

enum class MatrixElement { F16, BF16, XF32, F32, F64 };

/// D = A * B + C with A of rows x depth, B of depth x columns. Accumulators are f32, of F64 f64.
struct AmdMatrixInstruction {
  std::string_view name; ///< of the intrinsic, after "llvm.amdgcn." and without the suffix of overloaded types
  unsigned rows, columns, depth;
  MatrixElement element; ///< of A and B
  unsigned lanes;        ///< 64: MFMA; 32: WMMA

  bool isMfma() const { return lanes == 64; }
  /// How many elements of A or B, and of C or D, a lane holds.
  unsigned inputsPerLane() const { return isMfma() ? rows * depth / lanes : depth; }
  unsigned outputsPerLane() const { return rows * columns / lanes; }
};

/// All of them.
const std::vector<AmdMatrixInstruction> &amdMatrixInstructions();
/// The instruction behind `intrinsic` ("llvm.amdgcn.mfma.f32.32x32x8f16"), or null.
const AmdMatrixInstruction *findAmdMatrixInstruction(std::string_view intrinsic);

struct AmdMatrixOptions {
  /// MI200 takes denormal f16 and bf16 inputs for zero; MI100, MI300 and RDNA 3 do not.
  bool flushNarrowDenormals = false;
};

/// Computes d of a, b, c. Products are summed in the order of the depth, each with one rounding of the accumulator's
/// type. Returns what was wrong, or nothing: WMMA wants lanes 16 to 31 to repeat the A and B of lanes 0 to 15, and
/// every lane of the subgroup takes part.
std::string runAmdMatrix(const AmdMatrixInstruction &instruction, const AmdMatrixOptions &options, const LaneValues &a,
                         const LaneValues &b, const LaneValues &c, const LaneValues &d);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_AMDMATRIX_H

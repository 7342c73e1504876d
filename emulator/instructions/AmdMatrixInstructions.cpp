// MFMA and WMMA, as the kernels' intrinsics. What they compute stands in AmdMatrix.cpp.

#include "emulator/instructions/AmdMatrix.h"
#include "emulator/instructions/Families.h"
#include "emulator/instructions/GroupValues.h"

namespace flashc::emulator {

static void executeAmdMatrix(Group &group) {
  const Call &call = group.call();
  const AmdMatrixInstruction *matrix = findAmdMatrixInstruction(call.instruction->name);
  Lane first = group[0];
  const Chip &chip = *group.block().chip;
  if (matrix->lanes != chip.subgroupSize)
    first.fail(FindingKind::InvalidArgument, std::string(matrix->name) + " is an instruction of waves of " +
                                                 std::to_string(matrix->lanes) + " lanes, this wave has " +
                                                 std::to_string(chip.subgroupSize));
  // cbsz, abid and blgp broadcast blocks and permute lanes; the kernels use none of them.
  for (unsigned i = 4; i < call.numOperands(); ++i)
    if (first.get<uint32_t>(i) != 0)
      first.fail(FindingKind::InvalidArgument, std::string(matrix->name) + ": cbsz, abid and blgp have to be 0");

  AmdMatrixOptions options;
  options.flushNarrowDenormals = chip.name == "gfx90a";
  std::string problem =
      runAmdMatrix(*matrix, options, valuesOf(group, 1), valuesOf(group, 2), valuesOf(group, 3), valuesOf(group, 0));
  if (!problem.empty())
    first.fail(group.size() == matrix->lanes ? FindingKind::InvalidArgument : FindingKind::Divergence,
               std::move(problem));
}

void addAmdMatrix(InstructionSet &set) {
  for (const AmdMatrixInstruction &matrix : amdMatrixInstructions())
    set.add({"llvm.amdgcn." + std::string(matrix.name), Scope::Subgroup, executeAmdMatrix});
}

} // namespace flashc::emulator

/// An operand of an instruction under execution, of all lanes of its group.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_GROUPVALUES_H
#define FLASHC_EMULATOR_INSTRUCTIONS_GROUPVALUES_H

#include "emulator/Instruction.h"
#include "emulator/instructions/LaneValues.h"

namespace flashc::emulator {

/// Where operand `index` of each lane lies: numbered by lane for a subgroup, so that lanes that do not take part have
/// no value, and by position for a warpgroup.
inline LaneValues valuesOf(const Group &group, unsigned index) {
  const Operand &operand = group.call().operands[index];
  bool byLane = group.call().instruction->scope != Scope::Warpgroup;
  LaneValues values(byLane ? group.block().chip->subgroupSize : group.size());
  for (unsigned i = 0; i < group.size(); ++i) {
    Thread &thread = *group.threads()[i];
    char *place = thread.frame + operand.offset;
    // Constants are the same in all lanes, and never written.
    if (operand.kind == Operand::Kind::Immediate)
      place = reinterpret_cast<char *>(const_cast<uint64_t *>(&operand.immediate));
    values.bind(byLane ? thread.lane : i, place);
  }
  return values;
}

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_GROUPVALUES_H

//===- Families.h - each file of instructions adds its own ---------------------===//
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_FAMILIES_H
#define FLASHC_EMULATOR_INSTRUCTIONS_FAMILIES_H

#include "emulator/Instruction.h"

namespace flashc::emulator {

// NVIDIA
void addThreadIds(InstructionSet &set);
void addBarriers(InstructionSet &set);
void addShuffles(InstructionSet &set);
void addMma(InstructionSet &set);
void addLdmatrix(InstructionSet &set);
void addAsyncCopies(InstructionSet &set);
void addMath(InstructionSet &set);
void addConversions(InstructionSet &set);
void addPtxMoves(InstructionSet &set);
void addMbarriers(InstructionSet &set);
void addTensorCopies(InstructionSet &set);
void addWgmma(InstructionSet &set);
void addHopperControl(InstructionSet &set);
void addClusters(InstructionSet &set);

// AMD
void addAmdThreadIds(InstructionSet &set);
void addAmdBarriers(InstructionSet &set);
void addAmdMath(InstructionSet &set);
void addAmdMatrix(InstructionSet &set);
void addAmdLanes(InstructionSet &set);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_FAMILIES_H

//===- InstructionSet.cpp - finding instructions by name -----------------------===//

#include "emulator/instructions/Families.h"

using namespace flashc::emulator;

void InstructionSet::add(Instruction instruction) {
  std::string name = instruction.name;
  instructions[std::move(name)] = std::make_unique<Instruction>(std::move(instruction));
}

const Instruction *InstructionSet::find(std::string_view name) const {
  for (;;) {
    const auto found = instructions.find(name);
    if (found != instructions.end())
      return found->second.get();
    const size_t dot = name.rfind('.');
    if (dot == std::string_view::npos)
      return nullptr;
    name = name.substr(0, dot);
  }
}

const InstructionSet &flashc::emulator::instructionSet(Vendor vendor) {
  static const InstructionSet *const nvidia = [] {
    auto *set = new InstructionSet();
    for (auto *family :
         {addThreadIds, addBarriers, addShuffles, addMma, addLdmatrix, addAsyncCopies, addMath, addConversions,
          addPtxMoves, addMbarriers, addTensorCopies, addWgmma, addHopperControl, addClusters})
      family(*set);
    return set;
  }();
  static const InstructionSet *const amd = [] {
    auto *set = new InstructionSet();
    for (auto *family : {addAmdThreadIds, addAmdBarriers, addAmdMath, addAmdMatrix, addAmdLanes})
      family(*set);
    return set;
  }();
  return vendor == Vendor::Nvidia ? *nvidia : *amd;
}

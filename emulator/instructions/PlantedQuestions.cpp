// flashc.planted: asks whether a planted bug shows (PlantedBugs.h).

#include "emulator/Planting.h"
#include "emulator/instructions/Families.h"

using namespace flashc::emulator;

/// i1 flashc.planted(i32 number, i1 differs)
static void planted(Group &group) {
  const Lane lane = group[0];
  Planting *planting = group.block().planting;
  const auto number = lane.get<uint32_t>(1);
  if (!planting || number > planting->numBugs)
    return lane.set<uint8_t>(0, 0);
  if (lane.get<uint8_t>(2))
    planting->touched[number].store(true, std::memory_order_relaxed);
  lane.set<uint8_t>(0, planting->active == number);
}

void flashc::emulator::addPlantedQuestions(InstructionSet &set) { set.add({"flashc.planted", Scope::Lane, planted}); }

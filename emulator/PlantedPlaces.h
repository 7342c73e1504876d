//===- PlantedPlaces.h - where a kernel can be broken --------------------------===//
#ifndef FLASHC_EMULATOR_PLANTEDPLACES_H
#define FLASHC_EMULATOR_PLANTEDPLACES_H

#include "emulator/PlantedBugs.h"

#include "llvm/IR/Function.h"
#include "llvm/IR/Instructions.h"

#include <string>
#include <vector>

namespace flashc::emulator {

/// One place in a kernel, and how it is broken.
struct PlantedPlace {
  BugKind kind;
  llvm::Instruction *instruction;
  bool without = false;       ///< a call: is left out, with result 1 where there is one
  std::string text = {};      ///< inline assembly: the template with the bug
  std::string statement = {}; ///< inline assembly: the statement that is changed
  unsigned argument = 0;      ///< otherwise: the argument of a call that is changed
  int64_t addend = 0;         ///< by how much; of a comparison with a number, what is added to that
  std::string context = {};   ///< what stands around it, where the instruction does not tell it from others
};

/// The places of each kind, in the order of kinds and, for one kind, in the order of the kernel.
std::vector<std::vector<PlantedPlace>> findPlaces(llvm::Function &kernel);

/// Says of comparisons that never come to the case in which the bug would show why.
void proveHarmless(llvm::Function &kernel, const std::vector<PlantedPlace> &places, std::vector<PlantedBug> &bugs);

/// How the statements of a template of inline assembly can be broken.
struct PlantedStatement {
  BugKind kind;
  bool wholeCall = false; ///< the call is left out
  std::string text;       ///< the whole template with the bug
  std::string statement;  ///< as it was
};
std::vector<PlantedStatement> findStatements(llvm::StringRef assembly);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_PLANTEDPLACES_H

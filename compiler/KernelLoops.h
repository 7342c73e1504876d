/// The loops over tiles of keys in a GPU's kernels, and what one turn of each executes.
#ifndef FLASHC_COMPILER_KERNELLOOPS_H
#define FLASHC_COMPILER_KERNELLOOPS_H

#include "compiler/InstructionMix.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <string>
#include <vector>

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace flashc {

/// One loop over tiles of keys: the innermost that holds products and exchange between lanes, which a tile's row
/// reductions need once.
struct KeyLoop {
  /// One turn. Where the code parts by the threads' numbers, each way counts for its share of them. Where else it
  /// parts, the way counts that does more products on a matrix unit, but for one with products beside the turn's own
  /// that may be passed by, else that copies, else that is shorter: the ways for aligned memory and for finite values,
  /// not those beside them.
  InstructionMix turn;
  /// Threads of the block that run it: all, or those of its role.
  uint32_t threads = 0;
  /// Loops inside of it whose number of turns is not known, counted once each: waits, and what only a call's sizes say.
  unsigned unknownLoops = 0;
};

/// What is known of one kernel function.
struct KernelLoops {
  std::string name;
  uint32_t threads = 0;
  /// Whether its products are on a matrix unit.
  bool usesMatrixUnit = false;
  /// In the order of the code; empty for a kernel without products, as the merge of splits.
  llvm::SmallVector<KeyLoop> loops;
};

/// Finds and counts the loops of the functions `names`, each launched with the number of threads at its place of
/// `threads`, in a module that was optimised for `machine`. Functions that are not there have no loops.
std::vector<KernelLoops> countKeyLoops(llvm::Module &module, llvm::TargetMachine &machine,
                                       llvm::ArrayRef<std::string> names, llvm::ArrayRef<uint32_t> threads);

} // namespace flashc

#endif // FLASHC_COMPILER_KERNELLOOPS_H

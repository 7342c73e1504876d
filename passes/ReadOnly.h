/// Which operations can be done again, left out, or moved past one another.
#ifndef FLASHC_PASSES_READONLY_H
#define FLASHC_PASSES_READONLY_H

#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace flashc {

/// Whether an operation, with all in its regions, has no effect on memory but reading it.
inline bool onlyReads(mlir::Operation *op) {
  auto effects = mlir::getEffectsRecursively(op);
  return effects && llvm::all_of(*effects, [](const mlir::MemoryEffects::EffectInstance &effect) {
           return mlir::isa<mlir::MemoryEffects::Read>(effect.getEffect());
         });
}

} // namespace flashc

#endif // FLASHC_PASSES_READONLY_H

/// Every pass of flashc: constructors, option structs and registration, all generated from Passes.td.
#ifndef FLASHC_PASSES_PASSES_H
#define FLASHC_PASSES_PASSES_H

#include "mlir/Pass/Pass.h"

namespace mlir {
class ModuleOp;
namespace func {
class FuncOp;
}
namespace gpu {
class GPUModuleOp;
}
} // namespace mlir

namespace flashc {
#define GEN_PASS_DECL
#include "passes/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/Passes.h.inc"
} // namespace flashc

#endif // FLASHC_PASSES_PASSES_H

/// What ScanPasses.td declares: constructors, option structs and registration.
#ifndef FLASHC_PASSES_SCANPASSES_H
#define FLASHC_PASSES_SCANPASSES_H

#include "passes/Passes.h"

namespace flashc {
#define GEN_PASS_DECL
#include "passes/ScanPasses.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/ScanPasses.h.inc"
} // namespace flashc

#endif // FLASHC_PASSES_SCANPASSES_H

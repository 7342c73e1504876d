/// What TaskPasses.td declares: constructors, option structs and registration.
#ifndef FLASHC_PASSES_TASKPASSES_H
#define FLASHC_PASSES_TASKPASSES_H

#include "passes/Passes.h"

namespace flashc {
#define GEN_PASS_DECL
#include "passes/TaskPasses.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/TaskPasses.h.inc"
} // namespace flashc

#endif // FLASHC_PASSES_TASKPASSES_H

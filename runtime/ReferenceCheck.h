//===- ReferenceCheck.h - is an attention problem well formed? --------------===//
#ifndef FLASHC_RUNTIME_REFERENCECHECK_H
#define FLASHC_RUNTIME_REFERENCECHECK_H

#include "runtime/Reference.h"

namespace flashc {

/// The first operand of the problem that has the wrong rank, type, size or data, with expected and actual; nothing if
/// the problem is well formed.
std::optional<Error> checkProblem(const AttentionProblem &problem);

} // namespace flashc

#endif // FLASHC_RUNTIME_REFERENCECHECK_H

//===- CallWork.h - how much a call computes, before it runs -----------------===//
#ifndef FLASHC_RUNTIME_CALLWORK_H
#define FLASHC_RUNTIME_CALLWORK_H

#include "runtime/include/flashc/runtime.h"

namespace flashc {

/// The multiply-adds of a call of an attention, padded to whole tiles as kernels compute them; infinity where the
/// operands do not begin with q, k and v of named sizes. Masks are taken to attend everything. Reads the sizes alone,
/// which may be unchecked.
double estimateWork(const flashc_kernel_info &info, const flashc_args &args);

/// A call of less work than this ends on its thread before a sleeping worker would have begun: about 20 us.
constexpr double smallCallWork = 786432;
/// A call of less work than this is over before another thread of an interpreter could make use of its lock: about 3
/// us.
constexpr double tinyCallWork = 131072;

} // namespace flashc

#endif // FLASHC_RUNTIME_CALLWORK_H

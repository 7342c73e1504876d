//===- Cpus.h - how many CPUs there are for us -------------------------------===//
#ifndef FLASHC_RUNTIME_CPUS_H
#define FLASHC_RUNTIME_CPUS_H

#include <cstdint>

namespace flashc {

/// The CPUs this process may use, at least 1: its affinity mask, cut to the CPU quota of its control group.
int32_t usableCpus();

/// FLASHC_NUM_THREADS if it is a whole number from 1 to 1,024, else 0.
int32_t threadsFromEnvironment();

} // namespace flashc

#endif // FLASHC_RUNTIME_CPUS_H

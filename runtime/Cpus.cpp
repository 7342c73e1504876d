//===- Cpus.cpp - how many CPUs there are for us -----------------------------===//

#include "runtime/Cpus.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

/// The quota of the version 2 control group, in CPUs rounded up; 0 when there is none.
static int64_t quotaCpus() {
  int64_t quota = 0, period = 0, cpus = 0;
  if (std::FILE *file = std::fopen("/sys/fs/cgroup/cpu.max", "re")) {
    // "max 100000" has no number in front and reads as no quota.
    if (std::fscanf(file, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0)
      cpus = (quota + period - 1) / period;
    std::fclose(file);
  }
  return cpus;
}

int32_t flashc::usableCpus() {
  int64_t cpus = std::max(1u, std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0)
    cpus = std::max(1, CPU_COUNT(&set));
#endif
  if (const int64_t quota = quotaCpus())
    cpus = std::min(cpus, quota);
  return static_cast<int32_t>(cpus);
}

int32_t flashc::threadsFromEnvironment() {
  const char *text = std::getenv("FLASHC_NUM_THREADS");
  if (!text || !*text)
    return 0;
  char *end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return *end == '\0' && value >= 1 && value <= 1024 ? static_cast<int32_t>(value) : 0;
}

//===- Scheduler.h - runs the blocks of a launch -------------------------------===//
#ifndef FLASHC_EMULATOR_SCHEDULER_H
#define FLASHC_EMULATOR_SCHEDULER_H

#include "emulator/Cluster.h"
#include "emulator/Fiber.h"

#include <memory>
#include <vector>

namespace flashc::emulator {

/// A kernel's host code: the body of one thread. `params` as in Launch.
using KernelFunction = void (*)(Thread *thread, void *const *params);

/// What one host thread needs to run clusters, kept from launch to launch.
struct Worker {
  explicit Worker(size_t stackBytes) : stacks(stackBytes) {}
  /// Room for clusters of so many blocks; false when the host has no memory for their shared memory.
  bool reserve(unsigned blocks);

  std::vector<std::unique_ptr<SharedMemory>> shared; ///< of each block
  StackPool stacks;
  Cluster cluster;
};

/// Runs one cluster from its begin to its end: worker.cluster.finding is set, and of each block chip, kernel, index,
/// numBlocks, global and asyncOrder. False when the launch has to end; *worker.cluster.finding then says why.
bool runCluster(Worker &worker, KernelFunction kernel, void *const *params, unsigned threads, uint64_t sharedBytes);

/// Executes `call` for a thread whose operands are in `frame`; returns when it is done, with its results there. Waits
/// for the other lanes where the instruction needs them. Called by host code made from kernels and by asm programs.
void execute(Thread &thread, const Call &call, char *frame);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_SCHEDULER_H

//===- Scheduler.h - runs the blocks of a launch -------------------------------===//
#ifndef FLASHC_EMULATOR_SCHEDULER_H
#define FLASHC_EMULATOR_SCHEDULER_H

#include "emulator/Block.h"
#include "emulator/Fiber.h"

#include <memory>

namespace flashc::emulator {

/// A kernel's host code: the body of one thread. `params` as in Launch.
using KernelFunction = void (*)(Thread *thread, void *const *params);

/// What one host thread needs to run blocks, kept from launch to launch.
struct Worker {
  explicit Worker(size_t stackBytes) : stacks(stackBytes) {}
  SharedMemory shared;
  StackPool stacks;
  Block block;
};

/// Runs one block from its begin to its end: worker.block has chip, kernel, index, numBlocks, global, asyncOrder and
/// finding set. False when the launch has to end; *worker.block.finding then says why.
bool runBlock(Worker &worker, KernelFunction kernel, void *const *params, unsigned threads, uint64_t sharedBytes);

/// Executes `call` for a thread whose operands are in `frame`; returns when it is done, with its results there. Waits
/// for the other lanes where the instruction needs them. Called by host code made from kernels and by asm programs.
void execute(Thread &thread, const Call &call, char *frame);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_SCHEDULER_H

//===- Finding.h - what is wrong with a kernel ---------------------------------===//
#ifndef FLASHC_EMULATOR_FINDING_H
#define FLASHC_EMULATOR_FINDING_H

#include <cstdint>
#include <string>

namespace flashc::emulator {

enum class FindingKind {
  OutOfBounds,       ///< an address outside everything that the launch gave the kernel, or a store to what is only read
  Misaligned,        ///< an address that the access's width or instruction does not allow
  Uninitialised,     ///< a read of shared bytes that nobody wrote in this block
  Race,              ///< two accesses of shared bytes, one a write, that no barrier orders
  PendingCopy,       ///< a read or write of shared bytes whose asynchronous copy has not been waited for
  Divergence,        ///< lanes of one cross-lane operation that are at different instructions, or have ended
  Deadlock,          ///< every thread waits
  MissingFence,      ///< asynchronous units read what was written without a proxy fence
  NotRunning,        ///< an access of shared memory of another block, which may not have begun or may have ended
  PendingResult,     ///< use of registers that an asynchronous instruction has not delivered
  InvalidArgument,   ///< an operand, descriptor or launch that the manual does not allow
  UnknownInstruction ///< the emulator has no such instruction
};

/// "out of bounds", "race", ...
const char *toString(FindingKind kind);

/// One error of a launch. The launch ends with the first.
struct Finding {
  FindingKind kind = FindingKind::InvalidArgument;
  std::string kernel;
  int64_t block = -1;
  int64_t thread = -1;     ///< -1: of the block as a whole
  std::string instruction; ///< as the image writes it
  uint64_t address = 0;    ///< 0 where no address is involved
  std::string detail;      ///< expected and actual

  /// One line with all of it.
  std::string text() const;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_FINDING_H

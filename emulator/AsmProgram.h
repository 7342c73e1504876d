//===- AsmProgram.h - inline assembly as a program -----------------------------===//
#ifndef FLASHC_EMULATOR_ASMPROGRAM_H
#define FLASHC_EMULATOR_ASMPROGRAM_H

#include "emulator/Instruction.h"
#include "runtime/Error.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace flashc::emulator {

/// The value of a special register.
using SpecialRegister = uint64_t (*)(const Thread &thread);
/// The one of a name in PTX: "%tid.x", "%laneid", "%cluster_ctarank"; null if there is none.
SpecialRegister findSpecial(std::string_view name);

/// One operand of an inline-assembly call ($0, $1, ...), as it lies in the lane's frame.
struct AsmOperand {
  uint32_t offset = 0;
  uint16_t bytes = 0;
};

/// The statements of one inline-assembly template, to be executed by each lane.
struct AsmProgram {
  struct Statement {
    enum class Kind : uint8_t { Execute, Branch, Exit };
    Kind kind = Kind::Execute;
    int guard = -1; ///< the operand of `guards`, -1 = always
    uint32_t target = 0;
    Call call;
  };
  /// A special register that the program reads: copied into the frame when it begins.
  struct Special {
    SpecialRegister value = nullptr;
    uint32_t offset = 0;
  };
  std::vector<Statement> statements;
  std::vector<Operand> guards;
  std::vector<Special> specials;
  uint32_t frameBytes = 0; ///< operands and registers of its own
};

/// Parses a template of PTX statements, or of AMD's one-line instructions. `frameBytes` is what the operands take.
/// FLASHC_ERROR_TARGET for an instruction that the set lacks, FLASHC_ERROR_FORMAT for text that is no assembly.
Result<AsmProgram> parseAsm(std::string_view text, const std::vector<AsmOperand> &operands, uint32_t frameBytes,
                            Vendor vendor);

/// Executes a program for one thread; `frame` has its operands and room for its registers.
void runAsm(Thread *thread, const AsmProgram *program, char *frame);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_ASMPROGRAM_H

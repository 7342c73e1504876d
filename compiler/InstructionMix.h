/// What instructions a GPU's thread executes, counted in its final LLVM IR.
///
/// LLVM IR and not PTX or an ISA's assembly: it is what both vendors' code generators and the emulated devices are
/// given, so that one counter serves all targets; loops, their trip counts and the ways through them are known to
/// LLVM's analyses, where a text would have to be guessed at; and nothing outside of the compiler is needed. One
/// operation of the IR counts as the machine's instructions that it becomes: none for what only renames registers, two
/// for 64-bit integers, the instructions inside of an inline-assembly statement one by one.
#ifndef FLASHC_COMPILER_INSTRUCTIONMIX_H
#define FLASHC_COMPILER_INSTRUCTIONMIX_H

#include "llvm/ADT/StringRef.h"

#include <array>
#include <cstdint>

namespace llvm {
class Instruction;
} // namespace llvm

namespace flashc {

enum class InstructionKind {
  Matrix,      ///< mma.sync, wgmma, MFMA, WMMA
  Special,     ///< exp2, log2, reciprocals and roots
  Fma,         ///< float32 additions, multiplications and both
  Fma64,       ///< float64 ones
  Alu,         ///< integers, comparisons, selections, minima and maxima
  Convert,     ///< between types of floats, and between those and integers
  Shuffle,     ///< exchange between lanes
  SharedLoad,  ///< ldmatrix among them
  SharedStore, ///< and atomics there
  GlobalLoad,  ///< to registers
  GlobalStore, ///< and atomics there
  AsyncCopy,   ///< a thread's asynchronous copy to shared memory (cp.async, buffer loads to LDS)
  BulkCopy,    ///< a copy that a unit of its own does (TMA)
  Barrier,     ///< barriers, mbarriers, fences and waits
  Local,       ///< memory of one thread: arrays that did not become registers
  Branch,      ///< conditional ones
  Scalar,      ///< what is the same for all lanes, where a unit of its own does it (AMD)
  Other,       ///< what the counter has no name for
};
constexpr unsigned kNumInstructionKinds = unsigned(InstructionKind::Other) + 1;
/// "matrix", "special", "fma", ..., as reports name them.
llvm::StringRef toString(InstructionKind kind);

/// How many instructions of each kind one thread executes. Halves come from what is done for pairs.
struct InstructionMix {
  std::array<double, kNumInstructionKinds> counts{};
  /// Of products on a matrix unit, by one subgroup; a multiply-add is two.
  double matrixFlops = 0;
  /// Those of them that run beside the subgroup's other work until it waits for them.
  double asyncFlops = 0;
  /// Fused multiply-adds of one thread, in vectors as many as they have elements.
  double multiplyAdds = 0;
  /// Bytes that one subgroup moves through shared memory: its lanes' loads, stores and exchanges, and what a matrix
  /// unit reads there itself.
  double sharedBytes = 0;
  /// Bytes that one thread loads or copies from global memory. Bulk copies are not among them: their sizes are in
  /// descriptors.
  double globalBytes = 0;

  double count(InstructionKind kind) const { return counts[unsigned(kind)]; }
  double &count(InstructionKind kind) { return counts[unsigned(kind)]; }
  /// Instructions that are issued to vector units, memory and barriers: all but Scalar.
  double total() const;
  void add(const InstructionMix &other, double times = 1);
};

/// How instructions are counted for a target.
struct CountingRules {
  unsigned subgroupSize = 32;
  bool amd = false;
  /// Whether two neighbouring float32 elements of a vector share an instruction (v_pk_fma_f32).
  bool packsFloats = false;
};

/// Adds what `instruction` becomes to `mix`. `uniform`: it is the same for all lanes of a subgroup.
void countInstruction(const llvm::Instruction &instruction, const CountingRules &rules, bool uniform,
                      InstructionMix &mix);

/// Adds the instructions of an inline-assembly template to `mix`, one by one; whether a wgmma has its left-hand side in
/// registers is read from its operands.
void countAssembly(llvm::StringRef text, const CountingRules &rules, InstructionMix &mix);

} // namespace flashc

#endif // FLASHC_COMPILER_INSTRUCTIONMIX_H

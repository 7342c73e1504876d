//===- Instruction.h - how an instruction is written ---------------------------===//
//
// An instruction is one small function, registered by name, that works on the operands of its lanes:
//
//   // vote.sync.any.pred d, a, membermask
//   static void voteAny(Group &group) {
//     bool any = false;
//     for (Lane lane : group)
//       any |= lane.get<bool>(1);
//     for (Lane lane : group)
//       lane.set<bool>(0, any);
//   }
//   void flashc::emulator::addVotes(InstructionSet &set) {
//     set.add({"llvm.nvvm.vote.any.sync", Scope::Subgroup, voteAny, /*destinations=*/1, /*maskOperand=*/1});
//   }
//
// Operands are numbered flat, destinations first. An intrinsic: its results (the members of a struct one by one; a
// vector is one operand), then its arguments. A statement of inline assembly: as the PTX manual writes it, every
// register of a {list} and both halves of d|p counted. So mma.sync.m16n8k16 has d0-3, a0-3, b0-1, c0-3 in both forms.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_EMULATOR_INSTRUCTION_H
#define FLASHC_EMULATOR_INSTRUCTION_H

#include "emulator/Block.h"

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace flashc::emulator {

class Group;

/// Which threads execute an instruction together. All of them have to arrive at it before it is executed.
enum class Scope : uint8_t {
  Lane,     ///< each thread alone
  Subgroup, ///< the lanes of a warp or wave: those of the mask operand, else all (NVIDIA) or those that arrive (AMD)
  Warpgroup ///< four warps, 128 threads, the first a multiple of 4 (wgmma)
};

struct Instruction {
  /// Without what does not change the function: an intrinsic's name matches if it is this or continues with '.'; so
  /// does a PTX opcode. The longest match wins: "mma.sync.aligned.m16n8k16" serves all types of it.
  std::string name;
  Scope scope = Scope::Lane;
  void (*execute)(Group &group) = nullptr;
  /// PTX only: how many {lists} of operands at the front are written (an intrinsic's results tell for themselves).
  unsigned destinations = 1;
  /// The argument of an intrinsic, or {list} of a PTX statement, counted without destinations, that holds the mask of
  /// lanes that take part; -1 = none.
  int maskOperand = -1;
};

/// Where one operand is.
struct Operand {
  enum class Kind : uint8_t { Value, Immediate, Sink };
  Kind kind = Kind::Value;
  bool negated = false;      ///< a PTX predicate with '!'
  uint16_t bytes = 0;        ///< of the value
  uint16_t elementBytes = 0; ///< of one element; = bytes unless it is a vector
  uint32_t offset = 0;       ///< in the lane's frame
  uint64_t immediate = 0;    ///< the constant's bits; for a Value, an addend: [%r + 16]
};

/// One place in a kernel that executes an instruction.
struct Call {
  const Instruction *instruction = nullptr;
  std::string name;                   ///< in full: "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
  std::vector<std::string> modifiers; ///< the parts of `name` between dots
  std::vector<Operand> operands;      ///< flat, destinations first
  std::vector<unsigned> lists;        ///< first operand of each {list}; one past the last at the end
  unsigned numDestinations = 0;       ///< flat
  int maskOperand = -1;               ///< flat, -1 = none
  std::string text;                   ///< the whole instruction, for reports
  unsigned order = 0;                 ///< in the program: an earlier one has a smaller number

  bool has(std::string_view modifier) const {
    for (const std::string &m : modifiers)
      if (m == modifier)
        return true;
    return false;
  }
  unsigned numOperands() const { return static_cast<unsigned>(operands.size()); }
  /// The flat number of the first operand of a {list}, and how many it has.
  unsigned listBegin(unsigned list) const { return lists[list]; }
  unsigned listSize(unsigned list) const { return lists[list + 1] - lists[list]; }
  unsigned numLists() const { return static_cast<unsigned>(lists.size()) - 1; }
};

/// One lane's view of the instruction that it executes.
class Lane {
public:
  Lane(Thread &thread, const Call &call, char *frame) : owner(&thread), site(&call), frame(frame) {}

  Thread &thread() const { return *owner; }
  const Call &call() const { return *site; }
  /// The lane's number in its subgroup.
  unsigned index() const { return owner->lane; }

  /// Operand `i` as a T: its first sizeof(T) bytes, extended by zeros. Registers hold bits: a .b32 with two bf16 is got
  /// as uint32_t or as std::array<uint16_t, 2>; a <4 x float> as std::array<float, 4>.
  template <typename T> T get(unsigned i) const {
    const Operand &operand = site->operands[i];
    T value{};
    const bool constant = operand.kind != Operand::Kind::Value;
    const char *from = constant ? reinterpret_cast<const char *>(&operand.immediate) : frame + operand.offset;
    const size_t size = constant ? sizeof(operand.immediate) : operand.bytes;
    std::memcpy(&value, from, size < sizeof(T) ? size : sizeof(T));
    if constexpr (std::is_integral_v<T>) {
      if (!constant)
        value = static_cast<T>(value + static_cast<T>(operand.immediate));
      if (operand.negated)
        value = !value;
    }
    return value;
  }
  /// Writes a destination: the first bytes of `value`, as many as the register has, the rest zero.
  template <typename T> void set(unsigned i, T value) const {
    const Operand &operand = site->operands[i];
    if (operand.kind != Operand::Kind::Value)
      return;
    if (operand.bytes == sizeof(T)) {
      std::memcpy(frame + operand.offset, &value, sizeof(T));
      return;
    }
    std::memset(frame + operand.offset, 0, operand.bytes);
    std::memcpy(frame + operand.offset, &value, operand.bytes < sizeof(T) ? operand.bytes : sizeof(T));
  }
  /// Element `e` of a vector operand.
  template <typename T> T element(unsigned i, unsigned e) const {
    T value;
    std::memcpy(&value, frame + site->operands[i].offset + e * sizeof(T), sizeof(T));
    return value;
  }
  template <typename T> void setElement(unsigned i, unsigned e, T value) const {
    std::memcpy(frame + site->operands[i].offset + e * sizeof(T), &value, sizeof(T));
  }
  /// Ends the launch with a finding about this lane.
  [[noreturn]] void fail(FindingKind kind, const std::string &detail, uint64_t address = 0) const {
    owner->fail(kind, detail, address);
  }

private:
  Thread *owner;
  const Call *site;
  char *frame;
};

/// The lanes that execute an instruction together, in the order of their numbers. For Scope::Lane there is one.
class Group {
public:
  Group(Block &block, const Call &call, Thread *const *members, unsigned count)
      : owner(&block), site(&call), members(members), count(count) {}

  Block &block() const { return *owner; }
  const Call &call() const { return *site; }
  /// How many lanes take part.
  unsigned size() const { return count; }
  /// The i-th lane that takes part; where all do, lane i of the subgroup (thread i of a warpgroup).
  Lane operator[](unsigned i) const { return {*members[i], *site, members[i]->frame}; }
  /// Operand `i` of every lane that takes part into out[0 .. size), and back; for whole registers of sizeof(T) bytes,
  /// without the generality of Lane::get.
  template <typename T> void gather(unsigned i, T *out) const {
    const Operand &operand = site->operands[i];
    if (operand.kind != Operand::Kind::Value || operand.bytes != sizeof(T)) {
      for (unsigned l = 0; l != count; ++l)
        out[l] = (*this)[l].get<T>(i);
      return;
    }
    for (unsigned l = 0; l != count; ++l)
      std::memcpy(&out[l], members[l]->frame + operand.offset, sizeof(T));
  }
  template <typename T> void scatter(unsigned i, const T *in) const {
    const Operand &operand = site->operands[i];
    if (operand.kind == Operand::Kind::Value && operand.bytes == sizeof(T)) {
      for (unsigned l = 0; l != count; ++l)
        std::memcpy(members[l]->frame + operand.offset, &in[l], sizeof(T));
      return;
    }
    for (unsigned l = 0; l != count; ++l)
      (*this)[l].set<T>(i, in[l]);
  }
  /// The lane with that number, or null where it does not take part (subgroups only).
  Thread *find(unsigned lane) const {
    for (unsigned i = 0; i != count; ++i)
      if (members[i]->lane == lane)
        return members[i];
    return nullptr;
  }
  /// Orders what the lanes did before against what they do next (bar.warp.sync); most cross-lane operations do not.
  void synchronise() const { owner->synchronise(members, count); }
  Thread *const *threads() const { return members; }

  struct Iterator {
    const Group *group;
    unsigned i;
    Lane operator*() const { return (*group)[i]; }
    Iterator &operator++() {
      ++i;
      return *this;
    }
    bool operator!=(const Iterator &other) const { return i != other.i; }
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, count}; }

private:
  Block *owner;
  const Call *site;
  Thread *const *members;
  unsigned count;
};

/// The instructions of a vendor, by name.
class InstructionSet {
public:
  void add(Instruction instruction);
  /// The instruction with the longest name that is `name` or a prefix of it that ends before a '.'; null if there is
  /// none.
  const Instruction *find(std::string_view name) const;

private:
  std::map<std::string, std::unique_ptr<Instruction>, std::less<>> instructions;
};

/// All instructions of a vendor; instructions/InstructionSet.cpp calls each family's function.
const InstructionSet &instructionSet(Vendor vendor);

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTION_H

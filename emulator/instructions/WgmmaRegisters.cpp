// Finds what touches the registers that a wgmma under way reads.
//
// The manual: "accessing ... the input register containing the fragments of matrix A of a wgmma.mma_async instruction
// without first performing a wgmma.wait_group instruction that waits on a wgmma-group including that wgmma.mma_async
// instruction is undefined behavior". In LLVM IR a register is a value, whose instruction writes it each time it is
// executed, and whose users read it. Besides, a phi and what it takes are one register, as long as none of the two
// lives where the other is written. So the next turn's operand, computed while this turn's is still being read,
// overwrites it.

#include "emulator/instructions/WgmmaRegisters.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/CFG.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/ModuleSlotTracker.h"

#include <map>
#include <memory>

using namespace llvm;

static StringRef assemblyOf(const Instruction &instruction) {
  const auto *call = dyn_cast<CallInst>(&instruction);
  const auto *text = call ? dyn_cast<InlineAsm>(call->getCalledOperand()) : nullptr;
  return text ? StringRef(text->getAsmString()) : StringRef();
}

/// The numbers of the operands in the second {list} of a statement "wgmma.mma_async... {d}, {a}, ..."; none where that
/// is no list.
static void addListOfA(StringRef statement, SmallVectorImpl<unsigned> &numbers) {
  const size_t end = statement.find('}');
  if (end == StringRef::npos)
    return;
  StringRef rest = statement.drop_front(end + 1).ltrim(", \t\n");
  if (!rest.consume_front("{"))
    return;
  for (StringRef name : split(rest.take_until([](char c) { return c == '}'; }), ',')) {
    name = name.trim();
    unsigned number = 0;
    if (name.consume_front("$") && !name.getAsInteger(10, number))
      numbers.push_back(number);
  }
}

namespace {
/// Where a value lives.
class Lifetime {
public:
  explicit Lifetime(const Instruction &of) : value(of) {
    SmallVector<const BasicBlock *> work;
    const auto reach = [&](const BasicBlock *block) {
      if (block != of.getParent() && liveIn.insert(block).second)
        work.push_back(block);
    };
    for (const Use &use : of.uses()) {
      const auto *user = cast<Instruction>(use.getUser());
      if (const auto *phi = dyn_cast<PHINode>(user)) {
        const BasicBlock *from = phi->getIncomingBlock(use);
        liveAtEnd.insert(from);
        reach(from);
      } else {
        reach(user->getParent());
      }
    }
    while (!work.empty())
      for (const BasicBlock *before : predecessors(work.pop_back_val()))
        reach(before);
  }

  /// Whether it is used after an instruction, and exists there.
  bool isLiveBehind(const Instruction &instruction) const {
    const BasicBlock *block = instruction.getParent();
    const bool defined =
        block == value.getParent() ? &value == &instruction || value.comesBefore(&instruction) : liveIn.contains(block);
    if (!defined)
      return false;
    if (liveAtEnd.contains(block) || any_of(successors(block), [&](const BasicBlock *next) {
          return next != value.getParent() && liveIn.contains(next);
        }))
      return true;
    return any_of(value.users(), [&](const User *user) {
      const auto *later = cast<Instruction>(user);
      return !isa<PHINode>(later) && later->getParent() == block && instruction.comesBefore(later);
    });
  }

private:
  const Instruction &value;
  SmallPtrSet<const BasicBlock *, 16> liveIn, liveAtEnd;
};

/// A scalar, or an element of a vector, which takes a register of its own.
using Piece = std::pair<Value *, unsigned>;

/// A call whose products read A from registers.
struct Site {
  CallInst *call;
  SmallSetVector<Instruction *, 16> registers;
};

class Watch {
public:
  explicit Watch(Function &function) : slots(function.getParent()) {
    slots.incorporateFunction(function);
    for (BasicBlock &block : function)
      for (Instruction &instruction : block)
        if (auto *call = dyn_cast<CallInst>(&instruction)) {
          const SmallVector<unsigned> arguments = flashc::emulator::findRegistersOfA(*call);
          if (arguments.empty())
            continue;
          Site &site = sites.emplace_back(Site{call, {}});
          for (const unsigned argument : arguments)
            if (auto *value = dyn_cast<Instruction>(call->getArgOperand(argument)))
              site.registers.insert(value);
        }
  }

  void run(Function &function) {
    for (unsigned i = 0; i != sites.size(); ++i)
      for (Instruction *value : sites[i].registers)
        findTouches(*value, i);
    // Names first: what is put in has none, but instructions behind it move.
    for (BasicBlock &block : function)
      insert(block);
    for (unsigned i = 0; i != sites.size(); ++i)
      statement("flashc.wgmma.site " + utostr(i) + ";", sites[i].call);
  }

private:
  const Lifetime &lifetimeOf(const Instruction &value) {
    std::unique_ptr<Lifetime> &found = lifetimes[&value];
    if (!found)
      found = std::make_unique<Lifetime>(value);
    return *found;
  }

  /// Whether two values, of which one becomes the other, have to be two registers.
  bool interfere(const Instruction &a, const Instruction &b) {
    return lifetimeOf(a).isLiveBehind(b) || lifetimeOf(b).isLiveBehind(a);
  }

  /// What executes where the register of `value`, an operand of the site, is written or read.
  void findTouches(Instruction &value, unsigned site) {
    for (User *user : value.users())
      if (auto *reader = cast<Instruction>(user); !isa<PHINode>(reader) && !isStatement(*reader))
        touches[reader].insert(site);
    SetVector<Piece> same;
    same.insert(originOf({&value, 0}));
    for (unsigned i = 0; i != same.size(); ++i) {
      const Piece piece = same[i];
      auto *instruction = dyn_cast<Instruction>(piece.first);
      if (!instruction)
        continue;
      auto *phi = dyn_cast<PHINode>(instruction);
      if (!phi) {
        touches[instruction].insert(site);
        continue;
      }
      for (unsigned from = 0; from != phi->getNumIncomingValues(); ++from) {
        const Piece taken = originOf({phi->getIncomingValue(from), piece.second});
        const auto *made = dyn_cast<Instruction>(taken.first);
        // A copy of its own, at the end of the block before.
        if (!made || interfere(*made, *phi) || lifetimeOf(value).isLiveBehind(*made))
          touches[phi->getIncomingBlock(from)->getTerminator()].insert(site);
        else
          same.insert(taken);
      }
    }
  }

  /// Through what renames registers and is no instruction of the chip: where an element of a vector, or a scalar, comes
  /// from.
  static Piece originOf(Piece piece) {
    while (true) {
      auto [value, lane] = piece;
      if (auto *extract = dyn_cast<ExtractElementInst>(value)) {
        const auto *index = dyn_cast<ConstantInt>(extract->getIndexOperand());
        if (!index)
          return piece;
        piece = {extract->getVectorOperand(), static_cast<unsigned>(index->getZExtValue())};
      } else if (auto *insert = dyn_cast<InsertElementInst>(value)) {
        const auto *index = dyn_cast<ConstantInt>(insert->getOperand(2));
        if (!index)
          return piece;
        piece = index->getZExtValue() == lane ? Piece{insert->getOperand(1), 0} : Piece{insert->getOperand(0), lane};
      } else if (auto *shuffle = dyn_cast<ShuffleVectorInst>(value)) {
        const int from = shuffle->getMaskValue(lane);
        const auto *type = dyn_cast<FixedVectorType>(shuffle->getOperand(0)->getType());
        if (from < 0 || !type)
          return piece;
        const unsigned number = static_cast<unsigned>(from), size = type->getNumElements();
        piece = {shuffle->getOperand(number / size), number % size};
      } else if (isa<FreezeInst>(value)) {
        piece = {cast<FreezeInst>(value)->getOperand(0), lane};
      } else if (isa<BitCastInst>(value) && !value->getType()->isVectorTy()) {
        Value *source = cast<BitCastInst>(value)->getOperand(0);
        if (isa<ExtractElementInst, InsertElementInst, ShuffleVectorInst, PHINode>(source))
          return piece;
        piece = {source, 0};
      } else {
        return piece;
      }
    }
  }

  /// wgmma itself, and empty assembly, which only keeps a register where it is.
  static bool isStatement(const Instruction &instruction) {
    const auto *call = dyn_cast<CallInst>(&instruction);
    if (!call || !isa<InlineAsm>(call->getCalledOperand()))
      return false;
    const StringRef text = assemblyOf(instruction);
    return text.trim().empty() || text.contains("wgmma.");
  }

  /// One statement behind the first of several instructions between which nothing starts or ends.
  void insert(BasicBlock &block) {
    Instruction *first = nullptr;
    SmallSetVector<unsigned, 8> of;
    const auto flush = [&] {
      if (first)
        place(*first, of);
      first = nullptr;
      of.clear();
    };
    SmallVector<Instruction *> instructions;
    for (Instruction &instruction : block)
      instructions.push_back(&instruction);
    for (Instruction *instruction : instructions) {
      if (isStatement(*instruction))
        flush();
      const auto found = touches.find(instruction);
      if (found == touches.end())
        continue;
      first = first ? first : instruction;
      of.insert(found->second.begin(), found->second.end());
    }
    flush();
  }

  void place(Instruction &touching, const SmallSetVector<unsigned, 8> &of) {
    Instruction *where = touching.isTerminator() ? &touching : touching.getNextNode();
    std::map<unsigned, uint64_t> masks;
    for (const unsigned site : of)
      masks[site / 64] |= uint64_t{1} << site % 64;
    for (const auto &[word, mask] : masks)
      statement("flashc.wgmma.touches." + nameOf(touching) + " " + utostr(word) + ", " + utostr(mask) + ";", where);
  }

  /// "%12" for a value, "store" for what has none.
  std::string nameOf(const Instruction &instruction) {
    if (instruction.getType()->isVoidTy())
      return instruction.getOpcodeName();
    if (instruction.hasName())
      return "%" + instruction.getName().str();
    return "%" + itostr(slots.getLocalSlot(&instruction));
  }

  static void statement(const std::string &text, Instruction *before) {
    IRBuilder<> builder(before);
    auto *type = FunctionType::get(builder.getVoidTy(), /*isVarArg=*/false);
    builder.CreateCall(InlineAsm::get(type, text, "", /*hasSideEffects=*/true));
  }

  ModuleSlotTracker slots;
  SmallVector<Site> sites;
  DenseMap<const Instruction *, std::unique_ptr<Lifetime>> lifetimes;
  /// For each instruction, of which sites it reads or writes a register.
  DenseMap<const Instruction *, SmallSetVector<unsigned, 8>> touches;
};
} // namespace

SmallVector<unsigned> flashc::emulator::findRegistersOfA(const CallInst &call) {
  static constexpr StringLiteral opcode = "wgmma.mma_async";
  SmallVector<unsigned> numbers;
  StringRef text = assemblyOf(call);
  for (size_t at = text.find(opcode); at != StringRef::npos; at = text.find(opcode)) {
    text = text.drop_front(at + opcode.size());
    addListOfA(text.take_until([](char c) { return c == ';'; }), numbers);
  }
  const auto *results = dyn_cast<StructType>(call.getType());
  const unsigned first = results ? results->getNumElements() : call.getType()->isVoidTy() ? 0 : 1;
  SmallVector<unsigned> arguments;
  for (const unsigned number : numbers)
    if (number >= first && number - first < call.arg_size() && !is_contained(arguments, number - first))
      arguments.push_back(number - first);
  return arguments;
}

void flashc::emulator::watchWgmmaRegisters(Module &module) {
  for (Function &function : module)
    if (!function.isDeclaration())
      Watch(function).run(function);
}

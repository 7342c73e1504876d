//===- PlantedPlaces.cpp - finds where a kernel can be broken ------------------===//

#include "emulator/PlantedPlaces.h"
#include "emulator/instructions/WgmmaRegisters.h"

#include "llvm/Analysis/AssumptionCache.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/Analysis/ValueTracking.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/ModuleSlotTracker.h"
#include "llvm/Support/KnownBits.h"

using namespace llvm;

namespace flashc::emulator {
namespace {
constexpr unsigned sharedSpace = 3;

bool hasAny(StringRef text, std::initializer_list<const char *> words) {
  return any_of(words, [&](const char *word) { return text.contains(word); });
}

/// Whether a value is part of an address of shared memory, followed for some steps.
bool reachesSharedAddress(const Value &value, unsigned depth = 8) {
  for (const User *user : value.users()) {
    if (const auto *gep = dyn_cast<GetElementPtrInst>(user)) {
      if (gep->getPointerAddressSpace() == sharedSpace)
        return true;
      continue;
    }
    if (const auto *cast = dyn_cast<IntToPtrInst>(user)) {
      if (cast->getAddressSpace() == sharedSpace)
        return true;
      continue;
    }
    if (depth && isa<BinaryOperator, CastInst>(user) && reachesSharedAddress(*user, depth - 1))
      return true;
  }
  return false;
}

/// Whether an address is one that memory is accessed at.
bool isAccessed(const Value &address) {
  return any_of(address.users(), [](const User *user) { return isa<LoadInst, StoreInst, CallInst>(user); });
}

/// What an instruction has to do with shared memory; empty: nothing.
StringRef useOfSharedMemory(const Instruction &instruction) {
  if (const auto *call = dyn_cast<CallInst>(&instruction))
    if (const Function *callee = call->getCalledFunction();
        callee && hasAny(callee->getName(), {"barrier", "cp.async", "ldmatrix"}) &&
        !callee->getName().contains(".sched.")) // an order of instructions, not of threads
      return callee->getName();
  const Value *address = getLoadStorePointerOperand(&instruction);
  if (address && address->getType()->getPointerAddressSpace() == sharedSpace)
    return isa<LoadInst>(instruction) ? "load" : "store";
  return isa<AtomicRMWInst>(instruction) ? "atomicrmw" : "";
}

/// The nearest instruction before or behind one, in the order of the text, that has to do with shared memory.
const Instruction *neighbour(const Instruction &from, bool forward) {
  const Instruction *nearest = nullptr;
  bool behind = false;
  for (const Instruction &instruction : instructions(*from.getFunction())) {
    if (&instruction == &from) {
      if (!forward)
        return nearest;
      behind = true;
    } else if (behind == forward && !useOfSharedMemory(instruction).empty()) {
      if (forward)
        return &instruction;
      nearest = &instruction;
    }
  }
  return nullptr;
}

/// What a comparison's first side is: " where %a = and i64 %b, 15".
std::string definition(const Instruction &from, ModuleSlotTracker &slots) {
  const auto *side = isa<ICmpInst>(from) ? dyn_cast<Instruction>(from.getOperand(0)) : nullptr;
  if (!side || isa<PHINode, CallInst>(side))
    return "";
  std::string text;
  raw_string_ostream stream(text);
  side->print(stream, slots);
  return " where " + StringRef(text).trim().str();
}

class Finder {
public:
  std::vector<std::vector<PlantedPlace>> run(Function &kernel) {
    const DominatorTree dominators(kernel);
    const LoopInfo loops(dominators);
    ModuleSlotTracker slots(kernel.getParent());
    slots.incorporateFunction(kernel);
    collect(kernel);
    const Loop *last = lastNest(loops);
    for (std::vector<PlantedPlace> &kind : places)
      for (PlantedPlace &place : kind) {
        place.context = (" in " + Twine(loops.getLoopDepth(place.instruction->getParent())) + " loops").str();
        const bool told =
            isa<ICmpInst, FenceInst>(place.instruction) || place.without || place.kind <= BugKind::DroppedFence;
        if (told)
          place.context += between(place, loops);
        if (last && last->contains(place.instruction))
          place.context += ", in the last nest";
        if (told)
          place.context += definition(*place.instruction, slots);
      }
    return std::move(places);
  }

private:
  /// The last outermost loop that has others in it: of a kernel with several loops over keys the last one.
  static const Loop *lastNest(const LoopInfo &loops) {
    const Loop *last = nullptr;
    for (const Loop *loop : loops.getTopLevelLoops()) // in reverse order of the text
      if (!last && !loop->isInnermost())
        last = loop;
    return last;
  }

  /// Its neighbours: ", after load, before store"; of a barrier also in how many loops they are: "; of 1 and 2 loops".
  static std::string between(const PlantedPlace &place, const LoopInfo &loops) {
    const Instruction *before = neighbour(*place.instruction, false), *behind = neighbour(*place.instruction, true);
    std::string text = (", after " + (before ? useOfSharedMemory(*before) : "the begin") + ", before " +
                        (behind ? useOfSharedMemory(*behind) : "the end"))
                           .str();
    const auto depth = [&](const Instruction *of) { return of ? loops.getLoopDepth(of->getParent()) : 0; };
    if (place.kind == BugKind::DroppedBarrier)
      text += ("; of " + Twine(depth(before)) + " and " + Twine(depth(behind)) + " loops").str();
    return text;
  }

  void collect(Function &kernel) {
    const bool amd = StringRef(kernel.getParent()->getTargetTriple()).starts_with("amdgcn");
    for (Instruction &instruction : instructions(kernel)) {
      if (auto *call = dyn_cast<CallInst>(&instruction))
        visit(*call);
      else if (const auto *compare = dyn_cast<ICmpInst>(&instruction))
        visit(*compare);
      else if (amd && isa<FenceInst>(instruction))
        add({BugKind::DroppedFence, &instruction});
      else if (instruction.getOpcode() == Instruction::Xor && !instruction.getType()->isIntegerTy(1) &&
               reachesSharedAddress(instruction))
        add({BugKind::ChangedSwizzle, &instruction});
      else if (isa<GetElementPtrInst>(instruction) && instruction.getType()->isPointerTy() &&
               instruction.getType()->getPointerAddressSpace() == sharedSpace && isAccessed(instruction))
        add({BugKind::ChangedIndex, &instruction});
      else if (const auto *part = dyn_cast<ExtractValueInst>(&instruction))
        visit(*part);
    }
  }

  void add(PlantedPlace place) { places[static_cast<unsigned>(place.kind)].push_back(std::move(place)); }

  void visit(const ICmpInst &compare) {
    const Type *type = compare.getOperand(0)->getType();
    if (!type->isIntegerTy() || type->isIntegerTy(1))
      return;
    auto *instruction = const_cast<ICmpInst *>(&compare);
    PlantedPlace looser{BugKind::LoosenedPredicate, instruction}, shorter{BugKind::ShortenedPredicate, instruction};
    // A number counts pieces of a tile or turns of a loop: one of many more or fewer is a piece that is seldom there.
    const auto *number = dyn_cast<ConstantInt>(compare.getOperand(1));
    constexpr int64_t several = 16, mostPieces = 1 << 16;
    if (number && compare.isRelational() && number->getBitWidth() <= 64 && number->getSExtValue() >= several &&
        number->getSExtValue() <= mostPieces) {
      looser.addend = number->getSExtValue() / 8;
      if (const auto predicate = compare.getPredicate(); ICmpInst::isGT(predicate) || ICmpInst::isGE(predicate))
        looser.addend = -looser.addend;
      shorter.addend = -looser.addend;
    }
    add(std::move(looser));
    if (!compare.isEquality())
      add(std::move(shorter));
  }

  /// A register of ldmatrix is another one.
  void visit(const ExtractValueInst &part) {
    const auto *call = dyn_cast<CallInst>(part.getAggregateOperand());
    const Function *callee = call ? call->getCalledFunction() : nullptr;
    if (callee && callee->getName().starts_with("llvm.nvvm.ldmatrix.") && part.getNumIndices() == 1)
      add({BugKind::SwappedFragment, const_cast<ExtractValueInst *>(&part)});
  }

  void visit(CallInst &call) {
    if (const auto *text = dyn_cast<InlineAsm>(call.getCalledOperand())) {
      for (PlantedStatement &found : findStatements(text->getAsmString())) {
        const bool used = !call.use_empty();
        if (found.wholeCall && used && !call.getType()->isIntegerTy())
          continue;
        PlantedPlace place{found.kind, &call, found.wholeCall};
        place.text = found.wholeCall ? std::string() : std::move(found.text);
        place.statement = std::move(found.statement);
        add(std::move(place));
      }
      if (const SmallVector<unsigned> arguments = findRegistersOfA(call); !arguments.empty())
        add({BugKind::TouchedRegister, &call, false, "", "", arguments.front()});
      return;
    }
    if (const Function *callee = call.getCalledFunction())
      visit(call, callee->getName());
  }

  void visit(CallInst &call, StringRef name) {
    const auto drop = [&](BugKind kind) {
      if (call.use_empty() || call.getType()->isIntegerTy())
        add({kind, &call, /*without=*/true});
    };
    const auto argument = [&](BugKind kind, unsigned number, int64_t addend) {
      if (number < call.arg_size())
        add({kind, &call, false, "", "", number, addend});
    };
    if (hasAny(name, {"llvm.nvvm.barrier", "llvm.nvvm.bar.", "amdgcn.s.barrier", "amdgcn.wave.barrier"})) {
      drop(BugKind::DroppedBarrier);
    } else if (hasAny(name, {"llvm.nvvm.cp.async.wait", "llvm.nvvm.cp.async.commit", "llvm.nvvm.cp.async.bulk.wait",
                             "llvm.nvvm.cp.async.bulk.commit", "llvm.nvvm.wgmma.wait", "llvm.nvvm.wgmma.commit"})) {
      drop(BugKind::DroppedWait);
    } else if (hasAny(name, {"llvm.nvvm.mbarrier.test.wait", "llvm.nvvm.mbarrier.try.wait"})) {
      drop(BugKind::DroppedWait);
      argument(BugKind::ChangedStage, 0, 8);
    } else if (name.contains("llvm.nvvm.mbarrier.arrive")) {
      drop(BugKind::DroppedArrival);
      argument(BugKind::ChangedStage, 0, 8);
    } else if (hasAny(name, {"llvm.nvvm.fence.proxy", "llvm.nvvm.wgmma.fence"})) {
      drop(BugKind::DroppedFence);
    } else if (name.contains("llvm.nvvm.setmaxnreg.dec")) {
      drop(BugKind::ChangedRegisters);
    } else if (name.contains("llvm.nvvm.setmaxnreg.inc")) {
      argument(BugKind::ChangedRegisters, 0, 16);
    } else if (name.starts_with("llvm.nvvm.mma.") || name.starts_with("llvm.amdgcn.mfma.") ||
               name.starts_with("llvm.amdgcn.wmma.")) {
      if (call.arg_size() > 1 && call.getArgOperand(0)->getType() == call.getArgOperand(1)->getType() &&
          call.getArgOperand(0) != call.getArgOperand(1))
        add({BugKind::SwappedFragment, &call});
    }
  }

  std::vector<std::vector<PlantedPlace>> places{static_cast<size_t>(BugKind::ShortenedPredicate) + 1};
};
} // namespace

std::vector<std::vector<PlantedPlace>> findPlaces(Function &kernel) { return Finder().run(kernel); }

namespace {
/// Whether a comparison decides on another turn of a loop, or on the first.
bool boundsLoop(const ICmpInst &compare, const LoopInfo &loops) {
  return any_of(compare.users(), [&](const User *user) {
    const auto *branch = dyn_cast<BranchInst>(user);
    return branch && any_of(branch->successors(), [&](const BasicBlock *next) {
             const BasicBlock *behind = next->getSingleSuccessor();
             return loops.isLoopHeader(next) || (behind && loops.isLoopHeader(behind));
           });
  });
}

/// What is known of a comparison's sides.
class Sides {
public:
  Sides(ICmpInst &compare, ScalarEvolution &evolution)
      : compare(compare), evolution(evolution), a(evolution.getSCEV(compare.getOperand(0))),
        b(evolution.getSCEV(compare.getOperand(1))), bitsA(computeKnownBits(compare.getOperand(0), layout())),
        bitsB(computeKnownBits(compare.getOperand(1), layout())) {}

  /// Moves one side.
  void add(bool first, int64_t step) {
    const SCEV *&side = first ? a : b;
    KnownBits &bits = first ? bitsA : bitsB;
    side = evolution.getAddExpr(side, evolution.getConstant(side->getType(), static_cast<uint64_t>(step), true));
    const APInt value(bits.getBitWidth(), static_cast<uint64_t>(step), true);
    bits =
        KnownBits::computeForAddSub(/*Add=*/true, /*NSW=*/false, /*NUW=*/false, bits, KnownBits::makeConstant(value));
  }
  /// Whether the first side is never where another number as the second would make a difference.
  bool differNever(int64_t addend) const {
    const APInt &number = cast<ConstantInt>(compare.getOperand(1))->getValue();
    const CmpInst::Predicate predicate = compare.getPredicate();
    const ConstantRange before = ConstantRange::makeExactICmpRegion(predicate, number),
                        after = ConstantRange::makeExactICmpRegion(predicate, number + static_cast<uint64_t>(addend));
    const ConstantRange possible = ConstantRange::fromKnownBits(bitsA, compare.isSigned())
                                       .intersectWith(evolution.getUnsignedRange(a))
                                       .intersectWith(evolution.getSignedRange(a));
    return possible.intersectWith(before.difference(after)).isEmptySet() &&
           possible.intersectWith(after.difference(before)).isEmptySet();
  }
  bool areEqual(bool expected) const {
    if (const std::optional<bool> known = KnownBits::eq(bitsA, bitsB))
      return *known == expected;
    return evolution.isKnownPredicateAt(expected ? CmpInst::ICMP_EQ : CmpInst::ICMP_NE, a, b, &compare);
  }

private:
  const DataLayout &layout() const { return compare.getFunction()->getDataLayout(); }
  ICmpInst &compare;
  ScalarEvolution &evolution;
  const SCEV *a, *b;
  KnownBits bitsA, bitsB;
};
} // namespace

void proveHarmless(Function &kernel, const std::vector<PlantedPlace> &places, std::vector<PlantedBug> &bugs) {
  TargetLibraryInfoImpl libraryInfo(Triple(kernel.getParent()->getTargetTriple()));
  TargetLibraryInfo library(libraryInfo);
  AssumptionCache assumptions(kernel);
  DominatorTree dominators(kernel);
  LoopInfo loops(dominators);
  ScalarEvolution evolution(kernel, library, assumptions, dominators, loops);
  for (size_t i = 0; i != places.size(); ++i) {
    const bool looser = places[i].kind == BugKind::LoosenedPredicate;
    auto *compare = dyn_cast<ICmpInst>(places[i].instruction);
    if (!compare || (!looser && places[i].kind != BugKind::ShortenedPredicate))
      continue;
    // The one case in which the comparison comes out differently: of a < b it is a = b, or a + 1 = b.
    Sides sides(*compare, evolution);
    const CmpInst::Predicate predicate = compare->getPredicate();
    if (compare->isEquality()) {
      if (sides.areEqual(true))
        bugs[i].harmless = "the sides are always equal";
      continue;
    }
    if (places[i].addend != 0) {
      if (sides.differNever(places[i].addend))
        bugs[i].harmless = "the first side never lies between the two numbers";
      continue;
    }
    if (CmpInst::isStrictPredicate(predicate) != looser)
      sides.add(/*first=*/ICmpInst::isLT(predicate) || ICmpInst::isLE(predicate), looser ? -1 : 1);
    // A turn more is one too many where it comes to elements that are not there, or to memory that others use.
    if (looser && boundsLoop(*compare, loops) && !isa<Constant>(compare->getOperand(1)))
      bugs[i].excuse = "a turn more of a loop over keys finds none: all are masked";
    if (sides.areEqual(false))
      bugs[i].harmless = looser ? "the sides are never equal" : "the sides never differ by one";
  }
}
} // namespace flashc::emulator

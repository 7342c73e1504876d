//===- PlantedBugs.cpp - breaks one thing in a kernel --------------------------===//

#include "emulator/PlantedBugs.h"

#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace flashc::emulator {

const char *toString(BugKind kind) {
  switch (kind) {
  case BugKind::DroppedBarrier:
    return "dropped barrier";
  case BugKind::DroppedWait:
    return "dropped wait";
  case BugKind::DroppedFence:
    return "dropped fence";
  case BugKind::ChangedSwizzle:
    return "changed swizzle";
  case BugKind::ChangedIndex:
    return "changed index";
  case BugKind::SwappedFragment:
    return "swapped fragment";
  case BugKind::LoosenedPredicate:
    return "loosened predicate";
  }
  return "?";
}

namespace {
constexpr BugKind allKinds[] = {BugKind::DroppedBarrier,   BugKind::DroppedWait,  BugKind::DroppedFence,
                                BugKind::ChangedSwizzle,   BugKind::ChangedIndex, BugKind::SwappedFragment,
                                BugKind::LoosenedPredicate};
constexpr unsigned sharedSpace = 3;

/// The name of what a call does: an intrinsic's, or the text of its assembly.
std::string nameOf(const CallInst &call) {
  if (const auto *text = dyn_cast<InlineAsm>(call.getCalledOperand()))
    return std::string(text->getAsmString());
  return call.getCalledFunction() ? call.getCalledFunction()->getName().str() : std::string();
}

bool hasAny(StringRef text, std::initializer_list<const char *> words) {
  for (const char *word : words)
    if (text.contains(word))
      return true;
  return false;
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

bool isMatrixInstruction(const CallInst &call) {
  const StringRef name = call.getCalledFunction() ? call.getCalledFunction()->getName() : "";
  return name.starts_with("llvm.nvvm.mma.") || name.starts_with("llvm.amdgcn.mfma.") ||
         name.starts_with("llvm.amdgcn.wmma.");
}

bool isDroppable(const CallInst &call) { return call.getType()->isVoidTy() || call.use_empty(); }

/// Whether a bug of that kind can be planted in an instruction.
bool accepts(BugKind kind, const Instruction &instruction) {
  const auto *call = dyn_cast<CallInst>(&instruction);
  const std::string name = call ? nameOf(*call) : std::string();
  switch (kind) {
  case BugKind::DroppedBarrier:
    return call && isDroppable(*call) &&
           hasAny(name, {"llvm.nvvm.barrier", "llvm.nvvm.bar.sync", "bar.sync", "barrier.sync", "barrier.cta.sync",
                         "amdgcn.s.barrier", "s_barrier"});
  case BugKind::DroppedWait:
    return call && isDroppable(*call) &&
           hasAny(name, {"cp.async.wait", "cp.async.commit", "wgmma.wait_group", "wgmma.wait.group", "wgmma.commit",
                         "mbarrier.try_wait", "cp.async.bulk.wait_group"});
  case BugKind::DroppedFence:
    return call && isDroppable(*call) && hasAny(name, {"fence.proxy", "wgmma.fence"});
  case BugKind::ChangedSwizzle:
    return instruction.getOpcode() == Instruction::Xor && !instruction.getType()->isIntegerTy(1) &&
           reachesSharedAddress(instruction);
  case BugKind::ChangedIndex: {
    const auto *gep = dyn_cast<GetElementPtrInst>(&instruction);
    return gep && gep->getPointerAddressSpace() == sharedSpace && gep->getNumIndices() == 1 &&
           gep->getSourceElementType()->isIntegerTy(8) && isa<ConstantInt>(gep->getOperand(1));
  }
  case BugKind::SwappedFragment:
    return call && isMatrixInstruction(*call) && call->arg_size() > 1 &&
           call->getArgOperand(0)->getType() == call->getArgOperand(1)->getType() &&
           call->getArgOperand(0) != call->getArgOperand(1);
  case BugKind::LoosenedPredicate: {
    const auto *compare = dyn_cast<ICmpInst>(&instruction);
    return compare && compare->isRelational() && compare->getOperand(0)->getType()->isIntegerTy() &&
           !isa<Constant>(compare->getOperand(1));
  }
  }
  return false;
}

void apply(BugKind kind, Instruction &instruction) {
  switch (kind) {
  case BugKind::DroppedBarrier:
  case BugKind::DroppedWait:
  case BugKind::DroppedFence:
    instruction.eraseFromParent();
    return;
  case BugKind::ChangedSwizzle:
    instruction.replaceAllUsesWith(instruction.getOperand(0));
    instruction.eraseFromParent();
    return;
  case BugKind::ChangedIndex: {
    const auto *index = cast<ConstantInt>(instruction.getOperand(1));
    instruction.setOperand(1, ConstantInt::get(index->getType(), index->getSExtValue() + 16));
    return;
  }
  case BugKind::SwappedFragment: {
    auto &call = cast<CallInst>(instruction);
    Value *first = call.getArgOperand(0);
    call.setArgOperand(0, call.getArgOperand(1));
    call.setArgOperand(1, first);
    return;
  }
  case BugKind::LoosenedPredicate: {
    auto &compare = cast<ICmpInst>(instruction);
    const CmpInst::Predicate predicate = compare.getPredicate();
    compare.setPredicate(CmpInst::isStrictPredicate(predicate) ? CmpInst::getNonStrictPredicate(predicate)
                                                               : CmpInst::getStrictPredicate(predicate));
    return;
  }
  }
}

/// A module, and the kernel in it.
struct Subject {
  LLVMContext context;
  std::unique_ptr<Module> module;
  Function *kernel = nullptr;
};

std::optional<Error> parse(std::string_view text, std::string_view name, Subject &subject) {
  SMDiagnostic diagnostic;
  subject.module = parseAssemblyString({text.data(), text.size()}, diagnostic, subject.context);
  if (!subject.module)
    return Error{FLASHC_ERROR_FORMAT, "expected LLVM IR, line " + std::to_string(diagnostic.getLineNo()) + ": " +
                                          diagnostic.getMessage().str()};
  subject.kernel = subject.module->getFunction({name.data(), name.size()});
  if (!subject.kernel || subject.kernel->isDeclaration())
    return Error{FLASHC_ERROR_FORMAT, "expected a module with the kernel '" + std::string(name) + "'"};
  return std::nullopt;
}

std::vector<Instruction *> placesFor(BugKind kind, Function &kernel) {
  std::vector<Instruction *> places;
  for (Instruction &instruction : instructions(kernel))
    if (accepts(kind, instruction))
      places.push_back(&instruction);
  return places;
}
} // namespace

Result<std::vector<PlantedBug>> findPlantableBugs(std::string_view irText, std::string_view kernel, unsigned perKind) {
  Subject subject;
  if (std::optional<Error> error = parse(irText, kernel, subject))
    return *error;
  std::vector<PlantedBug> bugs;
  for (const BugKind kind : allKinds) {
    const std::vector<Instruction *> places = placesFor(kind, *subject.kernel);
    const size_t count = std::min<size_t>(perKind, places.size());
    for (size_t i = 0; i != count; ++i) {
      // The first, the last, and what lies evenly between.
      const size_t number = count == 1 ? 0 : i * (places.size() - 1) / (count - 1);
      std::string text;
      raw_string_ostream(text) << *places[number];
      bugs.push_back({kind, StringRef(text).trim().substr(0, 160).str(), static_cast<unsigned>(number)});
    }
  }
  return bugs;
}

/// The module's text after `change` of the bug's instruction.
static Result<std::string> changed(std::string_view irText, std::string_view kernel, const PlantedBug &bug,
                                   function_ref<void(Instruction &)> change) {
  Subject subject;
  if (std::optional<Error> error = parse(irText, kernel, subject))
    return *error;
  const std::vector<Instruction *> places = placesFor(bug.kind, *subject.kernel);
  if (bug.number >= places.size())
    return Error{FLASHC_ERROR_INVALID, "expected a number below " + std::to_string(places.size()) + " for a " +
                                           toString(bug.kind) + ", got " + std::to_string(bug.number)};
  change(*places[bug.number]);
  std::string text;
  raw_string_ostream stream(text);
  subject.module->print(stream, nullptr);
  return text;
}

Result<std::string> plantBug(std::string_view irText, std::string_view kernel, const PlantedBug &bug) {
  return changed(irText, kernel, bug, [&](Instruction &instruction) { apply(bug.kind, instruction); });
}

Result<std::string> plantTrap(std::string_view irText, std::string_view kernel, const PlantedBug &bug) {
  return changed(irText, kernel, bug,
                 [](Instruction &instruction) { IRBuilder<>(&instruction).CreateIntrinsic(Intrinsic::trap, {}, {}); });
}
} // namespace flashc::emulator

//===- PlantedBugs.cpp - plants bugs in a kernel -------------------------------===//

#include "emulator/PlantedBugs.h"
#include "emulator/PlantedPlaces.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/ModuleSlotTracker.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Transforms/Utils/BasicBlockUtils.h"

using namespace llvm;

namespace flashc::emulator {

const char *toString(BugKind kind) {
  static constexpr const char *names[] = {
      "dropped barrier",  "dropped wait",     "dropped arrival",    "dropped fence",
      "changed swizzle",  "changed index",    "changed descriptor", "changed stage",
      "changed parity",   "changed bytes",    "changed count",      "changed registers",
      "swapped fragment", "touched register", "loosened predicate", "shortened predicate"};
  return names[static_cast<unsigned>(kind)];
}

namespace {
/// Puts a place's bug behind the question whether it shows.
class Planter {
public:
  explicit Planter(Function &kernel) : context(kernel.getContext()) {
    Type *flag = Type::getInt1Ty(context);
    question = kernel.getParent()->getOrInsertFunction("flashc.planted", flag, Type::getInt32Ty(context), flag);
  }

  void plant(const PlantedPlace &place, unsigned number) {
    if (place.kind == BugKind::LoosenedPredicate || place.kind == BugKind::ShortenedPredicate)
      return compare(cast<ICmpInst>(*place.instruction), place, number);
    if (place.kind == BugKind::TouchedRegister)
      return touch(cast<CallInst>(*place.instruction), place.argument, number);
    if (auto *call = dyn_cast<CallInst>(place.instruction))
      return change(*call, place, number);
    if (isa<FenceInst>(place.instruction)) {
      SplitBlockAndInsertIfThenElse(ask(*place.instruction, number), place.instruction, &thenTerm, &elseTerm);
      place.instruction->moveBefore(elseTerm);
      return;
    }
    value(*place.instruction, number);
  }

private:
  Value *ask(Instruction &before, unsigned number, Value *differs = nullptr) {
    IRBuilder<> builder(&before);
    return builder.CreateCall(question, {builder.getInt32(number), differs ? differs : builder.getTrue()});
  }

  /// `other` instead of an instruction's value where the bug shows.
  void choose(Instruction &original, Value *other, unsigned number, Value *differs, IRBuilder<> &builder) {
    Value *shows = builder.CreateCall(question, {builder.getInt32(number), differs ? differs : builder.getTrue()});
    Value *chosen = builder.CreateSelect(shows, other, &original);
    original.replaceUsesWithIf(chosen, [&](const Use &use) {
      return use.getUser() != chosen && use.getUser() != other && use.getUser() != differs;
    });
  }

  void value(Instruction &instruction, unsigned number) {
    IRBuilder<> builder(instruction.getNextNode());
    Value *other = nullptr;
    if (instruction.getOpcode() == Instruction::Xor)
      other = instruction.getOperand(0);
    else if (isa<GetElementPtrInst>(instruction))
      other = builder.CreateGEP(builder.getInt8Ty(), &instruction, builder.getInt32(16));
    else if (auto *part = dyn_cast<ExtractValueInst>(&instruction))
      other = builder.CreateExtractValue(part->getAggregateOperand(), part->getIndices()[0] ^ 1);
    Value *differs = nullptr;
    if (instruction.getType()->isIntegerTy())
      differs = builder.CreateICmpNE(&instruction, other);
    choose(instruction, other, number, differs, builder);
  }

  void compare(ICmpInst &compare, const PlantedPlace &place, unsigned number) {
    const bool looser = place.kind == BugKind::LoosenedPredicate;
    IRBuilder<> builder(compare.getNextNode());
    Value *a = compare.getOperand(0), *b = compare.getOperand(1);
    const CmpInst::Predicate predicate = compare.getPredicate();
    Value *other = nullptr;
    if (compare.isEquality()) {
      other = builder.getInt1(predicate == CmpInst::ICMP_EQ);
    } else if (place.addend != 0) {
      other =
          builder.CreateICmp(predicate, a, builder.CreateAdd(b, ConstantInt::getSigned(b->getType(), place.addend)));
    } else if (CmpInst::isStrictPredicate(predicate) == looser) {
      other = builder.CreateICmp(CmpInst::getFlippedStrictnessPredicate(predicate), a, b);
    } else {
      // The side that has to be less moves by one.
      const bool less = ICmpInst::isLT(predicate) || ICmpInst::isLE(predicate);
      Value *step = ConstantInt::getSigned(a->getType(), looser ? -1 : 1);
      other =
          builder.CreateICmp(predicate, less ? builder.CreateAdd(a, step) : a, less ? b : builder.CreateAdd(b, step));
    }
    choose(compare, other, number, builder.CreateXor(&compare, other), builder);
  }

  /// Where the bug shows, an argument of a call is the operand of another instruction behind it.
  void touch(CallInst &call, unsigned argument, unsigned number) {
    Instruction *next = call.getNextNode();
    Value *value = call.getArgOperand(argument);
    IRBuilder<> builder(SplitBlockAndInsertIfThen(ask(*next, number), next, /*Unreachable=*/false));
    auto *type = FunctionType::get(value->getType(), {value->getType()}, /*isVarArg=*/false);
    builder.CreateCall(InlineAsm::get(type, "xor.b32 $0, $0, 1;", "=r,0", /*hasSideEffects=*/true), {value});
  }

  /// A call that is another, or none, where the bug shows.
  void change(CallInst &call, const PlantedPlace &place, unsigned number) {
    SplitBlockAndInsertIfThenElse(ask(call, number), &call, &thenTerm, &elseTerm);
    BasicBlock *after = call.getParent();
    Value *other = place.without ? nullptr : changedCall(call, place, thenTerm);
    call.moveBefore(elseTerm);
    if (call.use_empty())
      return;
    if (!other) // what a wait would have said
      other = ConstantInt::get(call.getType(), 1);
    auto *joined = PHINode::Create(call.getType(), 2, "", after->begin());
    call.replaceAllUsesWith(joined);
    joined->addIncoming(other, thenTerm->getParent());
    joined->addIncoming(&call, elseTerm->getParent());
  }

  CallInst *changedCall(CallInst &call, const PlantedPlace &place, Instruction *before) {
    auto *other = cast<CallInst>(call.clone());
    other->insertBefore(before);
    if (!place.text.empty()) {
      const auto *text = cast<InlineAsm>(call.getCalledOperand());
      other->setCalledOperand(InlineAsm::get(call.getFunctionType(), place.text, text->getConstraintString(),
                                             text->hasSideEffects(), text->isAlignStack(), text->getDialect()));
    } else if (place.kind == BugKind::SwappedFragment) {
      other->setArgOperand(0, call.getArgOperand(1));
      other->setArgOperand(1, call.getArgOperand(0));
    } else {
      IRBuilder<> builder(other);
      Value *argument = call.getArgOperand(place.argument);
      other->setArgOperand(
          place.argument, argument->getType()->isPointerTy()
                              ? builder.CreateGEP(builder.getInt8Ty(), argument, builder.getInt32(place.addend))
                          : place.kind == BugKind::ChangedParity
                              ? builder.CreateXor(argument, place.addend)
                              : builder.CreateAdd(argument, ConstantInt::getSigned(argument->getType(), place.addend)));
    }
    return other;
  }

  LLVMContext &context;
  FunctionCallee question;
  Instruction *thenTerm = nullptr, *elseTerm = nullptr;
};

std::string textOf(const PlantedPlace &place, ModuleSlotTracker &slots) {
  std::string text;
  raw_string_ostream stream(text);
  place.instruction->print(stream, slots);
  // Of a long template of assembly the statement that is changed says more than its begin.
  const StringRef shown = place.statement.empty() ? StringRef(text).trim() : StringRef(place.statement).trim();
  return shown.substr(0, 160).str() + place.context;
}
} // namespace

Result<PlantedKernel> plantBugs(std::string_view irText, std::string_view name, unsigned first, unsigned perKind) {
  LLVMContext context;
  SMDiagnostic diagnostic;
  const std::unique_ptr<Module> module = parseAssemblyString({irText.data(), irText.size()}, diagnostic, context);
  if (!module)
    return Error{FLASHC_ERROR_FORMAT, "expected LLVM IR, line " + std::to_string(diagnostic.getLineNo()) + ": " +
                                          diagnostic.getMessage().str()};
  Function *kernel = module->getFunction({name.data(), name.size()});
  if (!kernel || kernel->isDeclaration())
    return Error{FLASHC_ERROR_FORMAT, "expected a module with the kernel '" + std::string(name) + "'"};

  PlantedKernel result;
  std::vector<PlantedPlace> chosen;
  ModuleSlotTracker slots(module.get());
  slots.incorporateFunction(*kernel);
  for (const std::vector<PlantedPlace> &places : findPlaces(*kernel)) {
    const size_t count = std::min<size_t>(perKind, places.size());
    for (size_t number = 0, i = 0; number != places.size(); ++number) {
      PlantedBug bug{places[number].kind, textOf(places[number], slots), static_cast<unsigned>(number), "", ""};
      // The first, the last, and what lies evenly between.
      if (i == count || number != (count == 1 ? 0 : i * (places.size() - 1) / (count - 1))) {
        result.left.push_back(std::move(bug));
        continue;
      }
      ++i;
      chosen.push_back(places[number]);
      result.bugs.push_back(std::move(bug));
    }
  }
  proveHarmless(*kernel, chosen, result.bugs);
  Planter planter(*kernel);
  for (size_t i = 0; i != chosen.size(); ++i)
    planter.plant(chosen[i], first + static_cast<unsigned>(i));
  raw_string_ostream stream(result.text);
  module->print(stream, nullptr);
  return result;
}
} // namespace flashc::emulator

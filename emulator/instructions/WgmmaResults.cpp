// Finds the values that may be tokens of wgmma results, and delivers them where they are used.

#include "emulator/instructions/WgmmaResults.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"

using namespace llvm;

static const InlineAsm *asmOf(const Instruction &instruction) {
  const auto *call = dyn_cast<CallInst>(&instruction);
  return call ? dyn_cast<InlineAsm>(call->getCalledOperand()) : nullptr;
}

static bool isWgmma(const Instruction &instruction) {
  const InlineAsm *text = asmOf(instruction);
  return text && StringRef(text->getAsmString()).contains("wgmma.mma_async");
}

/// Whether an instruction hands tokens on without looking at them: nothing of it remains in registers.
static bool passesTokens(const Instruction &instruction) {
  if (isa<PHINode, ExtractValueInst, InsertValueInst, FreezeInst>(instruction))
    return true;
  // Operands tied to results: fences that keep the registers where they are, and waits.
  const InlineAsm *text = asmOf(instruction);
  return text && (StringRef(text->getAsmString()).trim().empty() || StringRef(text->getAsmString()).contains("wgmma."));
}

/// All values that may hold tokens.
static SetVector<Value *> findTokens(Function &function) {
  SetVector<Value *> tokens;
  for (BasicBlock &block : function)
    for (Instruction &instruction : block)
      if (isWgmma(instruction))
        tokens.insert(&instruction);
  for (unsigned i = 0; i < tokens.size(); ++i)
    for (User *user : tokens[i]->users())
      if (auto *instruction = dyn_cast<Instruction>(user))
        if (!instruction->getType()->isVoidTy() && passesTokens(*instruction))
          tokens.insert(instruction);
  return tokens;
}

static Value *deliver(IRBuilder<> &builder, Value *token) {
  Type *type = token->getType();
  if (auto *aggregate = dyn_cast<StructType>(type)) {
    Value *result = PoisonValue::get(type);
    for (unsigned i = 0; i < aggregate->getNumElements(); ++i)
      result = builder.CreateInsertValue(result, deliver(builder, builder.CreateExtractValue(token, i)), i);
    return result;
  }
  if (!type->isFloatTy())
    return token;
  auto *function = FunctionType::get(type, {type}, /*isVarArg=*/false);
  return builder.CreateCall(
      InlineAsm::get(function, "flashc.wgmma.result.f32 $0, $1;", "=f,f", /*hasSideEffects=*/true), {token});
}

static void deliverIn(Function &function) {
  SetVector<Value *> tokens = findTokens(function);
  if (tokens.empty())
    return;
  for (BasicBlock &block : function) {
    DenseMap<Value *, Value *> delivered;
    // What is inserted on the way passes no tokens and is not visited: it stands before its user.
    for (Instruction &instruction : make_early_inc_range(block)) {
      if (passesTokens(instruction))
        continue;
      for (Use &use : instruction.operands()) {
        Value *token = use.get();
        if (!tokens.contains(token))
          continue;
        Value *&result = delivered[token];
        if (!result) {
          IRBuilder<> builder(&instruction);
          result = deliver(builder, token);
        }
        use.set(result);
      }
    }
  }
}

void flashc::emulator::deliverWgmmaResults(Module &module) {
  for (Function &function : module)
    deliverIn(function);
}

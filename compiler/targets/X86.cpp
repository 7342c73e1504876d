#include "compiler/targets/X86.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/IntrinsicsX86.h"

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

using namespace llvm;

namespace {
/// Denormals are zero (bit 6) and flush to zero (bit 15) of MXCSR.
constexpr uint32_t kFlush = 0x8040;

bool isTileCall(const Instruction &instruction) {
  const auto *call = dyn_cast<IntrinsicInst>(&instruction);
  if (!call)
    return false;
  switch (call->getIntrinsicID()) {
  case Intrinsic::x86_tileloadd64:
  case Intrinsic::x86_tileloaddt164:
  case Intrinsic::x86_tilestored64:
  case Intrinsic::x86_tilezero:
  case Intrinsic::x86_tdpbf16ps:
    return true;
  default:
    return false;
  }
}

bool usesTiles(const Function &function) { return any_of(instructions(function), isTileCall); }

/// The operand of ldtilecfg: palette 1, all eight tiles of 16 rows of 64 bytes.
Constant *getTileConfig(Module &module) {
  constexpr StringLiteral name = "flashc.tiles.config";
  if (GlobalVariable *known = module.getNamedGlobal(name))
    return known;
  uint8_t bytes[64] = {1};
  for (unsigned tile = 0; tile < 8; ++tile) {
    bytes[16 + 2 * tile] = 64;
    bytes[48 + tile] = 16;
  }
  Constant *value = ConstantDataArray::get(module.getContext(), ArrayRef<uint8_t>(bytes));
  auto *config =
      new GlobalVariable(module, value->getType(), /*isConstant=*/true, GlobalValue::InternalLinkage, value, name);
  config->setAlignment(Align(64));
  return config;
}
} // namespace

bool flashc::usesTiles(const Module &module) {
  return any_of(module, [](const Function &function) { return ::usesTiles(function); });
}

void flashc::configureTiles(Module &module) {
  for (Function &task : module) {
    if (task.isDeclaration() || !task.hasFnAttribute("flashc-task") || !::usesTiles(task))
      continue;
    IRBuilder<> b(&*task.getEntryBlock().getFirstNonPHIOrDbgOrAlloca());
    b.CreateIntrinsic(Intrinsic::x86_ldtilecfg, {}, {getTileConfig(module)});
    for (BasicBlock &block : task)
      if (auto *end = dyn_cast<ReturnInst>(block.getTerminator()))
        IRBuilder<>(end).CreateIntrinsic(Intrinsic::x86_tilerelease, {}, {});
  }
}

bool flashc::requestTiles() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

void flashc::flushSubnormals(Module &module) {
  SmallVector<Function *> tasks;
  for (Function &function : module)
    if (!function.isDeclaration() && function.hasFnAttribute("flashc-task"))
      tasks.push_back(&function);
  for (Function *body : tasks) {
    // The work stays in a function of its own: nothing of it may move to where the mode is another.
    auto *wrapper = Function::Create(body->getFunctionType(), body->getLinkage(), "", module);
    body->replaceAllUsesWith(wrapper);
    wrapper->copyAttributesFrom(body);
    wrapper->takeName(body);
    body->setName(wrapper->getName() + ".body");
    body->setLinkage(GlobalValue::InternalLinkage);
    body->addFnAttr(Attribute::NoInline);
    body->addFnAttr("denormal-fp-math", "preserve-sign,preserve-sign");
    IRBuilder<> b(BasicBlock::Create(module.getContext(), "entry", wrapper));
    Value *saved = b.CreateAlloca(b.getInt32Ty()), *flushing = b.CreateAlloca(b.getInt32Ty());
    b.CreateIntrinsic(Intrinsic::x86_sse_stmxcsr, {}, {saved});
    b.CreateStore(b.CreateOr(b.CreateLoad(b.getInt32Ty(), saved), b.getInt32(kFlush)), flushing);
    b.CreateIntrinsic(Intrinsic::x86_sse_ldmxcsr, {}, {flushing});
    SmallVector<Value *> arguments;
    for (Argument &argument : wrapper->args())
      arguments.push_back(&argument);
    b.CreateCall(body, arguments);
    b.CreateIntrinsic(Intrinsic::x86_sse_ldmxcsr, {}, {saved});
    b.CreateRetVoid();
  }
}

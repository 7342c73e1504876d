#include "compiler/targets/X86.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicsX86.h"

using namespace llvm;

namespace {
/// Denormals are zero (bit 6) and flush to zero (bit 15) of MXCSR.
constexpr uint32_t kFlush = 0x8040;
} // namespace

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

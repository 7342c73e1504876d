#include "compiler/targets/X86.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicsX86.h"

using namespace llvm;

namespace {
/// Denormals are zero (bit 6) and flush to zero (bit 15) of MXCSR.
constexpr uint32_t kFlush = 0x8040;

/// i32, or a vector of it, for float or a vector of it.
Type *toIntegers(Type *floats) {
  if (auto *vector = dyn_cast<VectorType>(floats))
    return VectorType::getInteger(vector);
  return Type::getInt32Ty(floats->getContext());
}

/// The half bits (in the low 16 of each i32) as float. After F. Giesen's half_to_float: no step sees a subnormal float,
/// so the flushing mode does not matter.
Value *extend(IRBuilder<> &b, Value *half, Type *floats) {
  Type *ints = toIntegers(floats);
  Type *shorts = ints->getWithNewBitWidth(16);
  auto constant = [&](uint32_t value) { return ConstantInt::get(ints, value); };
  Value *bits = b.CreateZExt(b.CreateBitCast(half, shorts), ints);
  Value *magnitude = b.CreateShl(b.CreateAnd(bits, constant(0x7fff)), constant(13));
  Value *exponent = b.CreateAnd(magnitude, constant(0x7c00u << 13));
  Value *normal = b.CreateAdd(magnitude, constant((127u - 15u) << 23));
  Value *special = b.CreateAdd(normal, constant((128u - 16u) << 23));
  Value *magic = ConstantExpr::getBitCast(ConstantInt::get(ints, 113u << 23), floats);
  Value *shifted = b.CreateBitCast(b.CreateAdd(normal, constant(1u << 23)), floats);
  Value *subnormal = b.CreateBitCast(b.CreateFSub(shifted, magic), ints);
  Value *result = b.CreateSelect(b.CreateICmpEQ(exponent, constant(0x7c00u << 13)), special, normal);
  result = b.CreateSelect(b.CreateICmpEQ(exponent, constant(0)), subnormal, result);
  result = b.CreateOr(result, b.CreateShl(b.CreateAnd(bits, constant(0x8000)), constant(16)));
  return b.CreateBitCast(result, floats);
}

/// The float rounded to half, ties to even. After F. Giesen's float_to_half_fast3_rtne.
Value *truncate(IRBuilder<> &b, Value *value, Type *halves) {
  Type *floats = value->getType();
  Type *ints = toIntegers(floats);
  Type *shorts = ints->getWithNewBitWidth(16);
  auto constant = [&](uint32_t bits) { return ConstantInt::get(ints, bits); };
  Value *bits = b.CreateBitCast(value, ints);
  Value *sign = b.CreateAnd(bits, constant(0x80000000u));
  Value *magnitude = b.CreateXor(bits, sign);
  Value *nan = b.CreateICmpUGT(magnitude, constant(255u << 23));
  Value *special = b.CreateSelect(nan, constant(0x7e00), constant(0x7c00));
  constexpr uint32_t magicBits = ((127 - 15) + (23 - 10) + 1) << 23;
  Value *magic = ConstantExpr::getBitCast(constant(magicBits), floats);
  Value *sum = b.CreateFAdd(b.CreateBitCast(magnitude, floats), magic);
  Value *subnormal = b.CreateSub(b.CreateBitCast(sum, ints), constant(magicBits));
  Value *odd = b.CreateAnd(b.CreateLShr(magnitude, constant(13)), constant(1));
  Value *rounded = b.CreateAdd(magnitude, constant(((15u - 127u) << 23) + 0xfff));
  Value *normal = b.CreateLShr(b.CreateAdd(rounded, odd), constant(13));
  Value *result = b.CreateSelect(b.CreateICmpULT(magnitude, constant(113u << 23)), subnormal, normal);
  result = b.CreateSelect(b.CreateICmpUGE(magnitude, constant((127u + 16u) << 23)), special, result);
  result = b.CreateOr(result, b.CreateLShr(sign, constant(16)));
  return b.CreateBitCast(b.CreateTrunc(result, shorts), halves);
}
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

void flashc::expandHalfConversions(Module &module) {
  SmallVector<CastInst *> conversions;
  for (Function &function : module)
    for (Instruction &instruction : instructions(function)) {
      auto *cast = dyn_cast<CastInst>(&instruction);
      if (!cast || (!isa<FPExtInst>(cast) && !isa<FPTruncInst>(cast)))
        continue;
      Type *from = cast->getSrcTy()->getScalarType(), *to = cast->getDestTy()->getScalarType();
      if ((from->isHalfTy() && to->isFloatTy()) || (from->isFloatTy() && to->isHalfTy()))
        conversions.push_back(cast);
    }
  for (CastInst *cast : conversions) {
    IRBuilder<> b(cast);
    Value *operand = cast->getOperand(0);
    Value *result =
        isa<FPExtInst>(cast) ? extend(b, operand, cast->getDestTy()) : truncate(b, operand, cast->getDestTy());
    cast->replaceAllUsesWith(result);
    cast->eraseFromParent();
  }
}

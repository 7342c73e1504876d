// Tensor maps among the parameters of kernels.

#include "emulator/instructions/TensorMapParameters.h"

#include "llvm/ADT/SetVector.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"

using namespace llvm;

static bool isGridConstant(const Argument &argument) {
  const Function &function = *argument.getParent();
  const NamedMDNode *annotations = function.getParent()->getNamedMetadata("nvvm.annotations");
  if (!annotations)
    return false;
  for (const MDNode *node : annotations->operands()) {
    if (mdconst::dyn_extract_or_null<Function>(node->getOperand(0)) != &function)
      continue;
    for (unsigned i = 1; i + 1 < node->getNumOperands(); i += 2) {
      const auto *key = dyn_cast<MDString>(node->getOperand(i));
      const auto *numbers = dyn_cast<MDNode>(node->getOperand(i + 1));
      if (!key || key->getString() != "grid_constant" || !numbers)
        continue;
      // Counted from 1.
      for (const MDOperand &number : numbers->operands())
        if (const auto *value = mdconst::dyn_extract_or_null<ConstantInt>(number))
          if (value->getZExtValue() == argument.getArgNo() + 1)
            return true;
    }
  }
  return false;
}

/// Whether the copy engine is given the address of a parameter, or one derived from it.
static bool isTensorMap(const Argument &argument) {
  SetVector<const Value *> addresses;
  addresses.insert(&argument);
  for (unsigned i = 0; i < addresses.size(); ++i)
    for (const User *user : addresses[i]->users()) {
      const auto *call = dyn_cast<CallInst>(user);
      const auto *text = call ? dyn_cast<InlineAsm>(call->getCalledOperand()) : nullptr;
      if (text && StringRef(text->getAsmString()).contains("cp.async.bulk.tensor"))
        return true;
      if (isa<CastInst, GetElementPtrInst, PHINode, SelectInst>(user))
        addresses.insert(user);
    }
  return false;
}

std::string flashc::emulator::findMisplacedTensorMap(const Module &module) {
  for (const Function &function : module)
    for (const Argument &argument : function.args())
      if (argument.hasByValAttr() && isTensorMap(argument) && !isGridConstant(argument))
        return "kernel '" + function.getName().str() + "': parameter " + std::to_string(argument.getArgNo()) +
               " is a tensor map, but no grid_constant: it would be copied to local memory, where the copy engine "
               "cannot "
               "read it";
  return {};
}

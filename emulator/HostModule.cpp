//===- HostModule.cpp - from address spaces of a GPU to the host's memory ------===//

#include "emulator/HostModule.h"
#include "emulator/instructions/TensorMapParameters.h"
#include "emulator/instructions/WgmmaRegisters.h"
#include "emulator/instructions/WgmmaResults.h"

#include "llvm/IR/Constants.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/ReplaceConstant.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Transforms/IPO/AlwaysInliner.h"
#include "llvm/Transforms/IPO/GlobalDCE.h"
#include "llvm/Transforms/Scalar/ScalarizeMaskedMemIntrin.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace llvm;

namespace flashc::emulator {

static constexpr unsigned sharedSpace = 3;

bool isKernel(const Function &function) {
  if (function.isDeclaration())
    return false;
  if (function.getCallingConv() == CallingConv::PTX_Kernel || function.getCallingConv() == CallingConv::AMDGPU_KERNEL)
    return true;
  if (const NamedMDNode *annotations = function.getParent()->getNamedMetadata("nvvm.annotations"))
    for (const MDNode *node : annotations->operands())
      if (mdconst::dyn_extract_or_null<Function>(node->getOperand(0)) == &function)
        for (unsigned i = 1; i + 1 < node->getNumOperands(); i += 2)
          if (const auto *key = dyn_cast<MDString>(node->getOperand(i)); key && key->getString() == "kernel")
            return true;
  return false;
}

static std::vector<Function *> findKernels(Module &module) {
  std::vector<Function *> kernels;
  for (Function &function : module)
    if (isKernel(function))
      kernels.push_back(&function);
  return kernels;
}

/// nvvm.annotations {kernel, "cluster_dim_x", i32 2, ...}, from which LLVM writes .reqnctapercluster.
static void findClusters(const Module &module, ImageParts &parts) {
  const NamedMDNode *annotations = module.getNamedMetadata("nvvm.annotations");
  if (!annotations)
    return;
  for (const MDNode *node : annotations->operands()) {
    const auto *kernel = mdconst::dyn_extract_or_null<Function>(node->getOperand(0));
    for (unsigned i = 1; kernel && i + 1 < node->getNumOperands(); i += 2) {
      const auto *key = dyn_cast<MDString>(node->getOperand(i));
      const auto *blocks = mdconst::dyn_extract_or_null<ConstantInt>(node->getOperand(i + 1));
      const StringRef name = key ? key->getString() : StringRef();
      if (!blocks || !name.starts_with("cluster_dim_") || name.size() != 13 || name.back() < 'x' || name.back() > 'z')
        continue;
      std::array<unsigned, 3> &size =
          parts.clusters.try_emplace(kernel->getName().str(), std::array{1u, 1u, 1u}).first->second;
      size[static_cast<size_t>(name.back() - 'x')] = static_cast<unsigned>(blocks->getZExtValue());
    }
  }
}

static void runPasses(Module &module) {
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  ModuleAnalysisManager modules;
  PassBuilder builder;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  ModulePassManager passes;
  passes.addPass(AlwaysInlinerPass(/*InsertLifetime=*/false));
  passes.addPass(GlobalDCEPass());
  passes.addPass(createModuleToFunctionPassAdaptor(ScalarizeMaskedMemIntrinPass()));
  passes.run(module, modules);
}

Result<std::vector<Function *>> prepareModule(Module &module, ImageParts &parts) {
  const std::vector<Function *> kernels = findKernels(module);
  if (kernels.empty())
    return Error{FLASHC_ERROR_FORMAT, "the module has no kernel: no function of a kernel's calling convention and none "
                                      "that nvvm.annotations names"};
  findClusters(module, parts);
  StripDebugInfo(module);
  for (Function &function : module) {
    function.removeFnAttr(Attribute::NoInline);
    function.removeFnAttr(Attribute::OptimizeNone);
    if (!function.isDeclaration() && !is_contained(kernels, &function)) {
      function.setLinkage(GlobalValue::InternalLinkage);
      function.addFnAttr(Attribute::AlwaysInline);
    }
  }
  for (Function *kernel : kernels)
    kernel->setLinkage(GlobalValue::ExternalLinkage);
  runPasses(module);
  watchWgmmaRegisters(module);
  deliverWgmmaResults(module);
  if (std::string misplaced = findMisplacedTensorMap(module); !misplaced.empty())
    return Error{FLASHC_ERROR_TARGET, misplaced};
  for (Function &function : module)
    if (!function.isDeclaration() && !is_contained(kernels, &function))
      return Error{FLASHC_ERROR_TARGET,
                   "function '" + function.getName().str() +
                       "' cannot be inlined into its kernels; the emulator executes kernels alone"};
  // Shared variables lie one after the other, the dynamic part - an external array - behind them.
  SmallVector<Constant *> spaced;
  SmallVector<GlobalVariable *> dynamic;
  uint64_t dynamicAlignment = 16;
  for (GlobalVariable &variable : module.globals()) {
    if (variable.getAddressSpace() != 0)
      spaced.push_back(&variable);
    if (variable.getAddressSpace() != sharedSpace)
      continue;
    const uint64_t alignment =
        variable.getAlign().value_or(module.getDataLayout().getPreferredAlign(&variable)).value();
    const uint64_t bytes = module.getDataLayout().getTypeAllocSize(variable.getValueType());
    if (bytes == 0) {
      dynamic.push_back(&variable);
      dynamicAlignment = std::max(dynamicAlignment, alignment);
      continue;
    }
    parts.staticShared = alignTo(parts.staticShared, alignment);
    parts.sharedOffsets[&variable] = parts.staticShared;
    parts.staticShared += bytes;
  }
  parts.staticShared = alignTo(parts.staticShared, dynamicAlignment);
  for (GlobalVariable *variable : dynamic)
    parts.sharedOffsets[variable] = parts.staticShared;
  if (!spaced.empty())
    convertUsersOfConstantsToInstructions(spaced);
  return kernels;
}

namespace {
/// Every pointer is one of address space 0.
class OneAddressSpace final : public ValueMapTypeRemapper {
public:
  Type *remapType(Type *type) override {
    Type *&mapped = cache[type];
    if (!mapped)
      mapped = compute(type);
    return cache[type];
  }

private:
  Type *compute(Type *type) {
    if (isa<PointerType>(type))
      return PointerType::get(type->getContext(), 0);
    if (auto *vector = dyn_cast<VectorType>(type))
      return VectorType::get(remapType(vector->getElementType()), vector->getElementCount());
    if (auto *array = dyn_cast<ArrayType>(type))
      return ArrayType::get(remapType(array->getElementType()), array->getNumElements());
    if (auto *structure = dyn_cast<StructType>(type)) {
      SmallVector<Type *> elements;
      for (Type *element : structure->elements())
        elements.push_back(remapType(element));
      return StructType::get(type->getContext(), elements, structure->isPacked());
    }
    if (auto *function = dyn_cast<FunctionType>(type)) {
      SmallVector<Type *> parameters;
      for (Type *parameter : function->params())
        parameters.push_back(remapType(parameter));
      return FunctionType::get(remapType(function->getReturnType()), parameters, function->isVarArg());
    }
    return type;
  }
  DenseMap<Type *, Type *> cache;
};
} // namespace

/// The function that a launch calls: loads the parameters, then the body.
static void makeEntry(Function &body, Module &host, ValueToValueMapTy &map, OneAddressSpace &types) {
  LLVMContext &context = host.getContext();
  Type *pointer = PointerType::get(context, 0);
  auto *entry = Function::Create(FunctionType::get(Type::getVoidTy(context), {pointer, pointer}, false),
                                 GlobalValue::ExternalLinkage, body.getName(), &host);
  BasicBlock *prologue = BasicBlock::Create(context, "params", entry);
  IRBuilder<> builder(prologue);
  map[body.getArg(0)] = entry->getArg(0);
  for (unsigned i = 1; i != body.arg_size(); ++i) {
    Argument *argument = body.getArg(i);
    Value *value = builder.CreateLoad(pointer, builder.CreateConstGEP1_64(pointer, entry->getArg(1), i - 1));
    // A parameter by value is the kernel's own memory; its address is the parameter.
    if (!argument->hasByValAttr() && !argument->hasAttribute(Attribute::ByRef))
      value = builder.CreateAlignedLoad(types.remapType(argument->getType()), value, Align(1));
    map[argument] = value;
  }
  SmallVector<ReturnInst *> returns;
  CloneFunctionInto(entry, &body, map, CloneFunctionChangeType::DifferentModule, returns, "", nullptr, &types);
  BasicBlock *first = prologue->getNextNode();
  first->splice(first->begin(), prologue);
  prologue->eraseFromParent();
  entry->setAttributes({});
  entry->setCallingConv(CallingConv::C);
  entry->setLinkage(GlobalValue::ExternalLinkage);
  entry->addFnAttr(Attribute::NoUnwind);
}

std::unique_ptr<Module> makeHostModule(Module &module, ArrayRef<Function *> kernels, const DataLayout &layout,
                                       StringRef triple, ImageParts &parts) {
  auto host = std::make_unique<Module>("emulated", module.getContext());
  host->setDataLayout(layout);
  host->setTargetTriple(triple);
  OneAddressSpace types;
  ValueToValueMapTy map;
  Type *wide = Type::getInt64Ty(module.getContext());
  SmallVector<Constant *> table;
  SmallVector<std::pair<GlobalVariable *, GlobalVariable *>> variables;
  for (GlobalVariable &variable : module.globals()) {
    if (variable.getAddressSpace() == sharedSpace || variable.getName().starts_with("llvm."))
      continue;
    Type *type = types.remapType(variable.getValueType());
    auto *copy = new GlobalVariable(*host, type, variable.isConstant(), GlobalValue::InternalLinkage,
                                    Constant::getNullValue(type), variable.getName());
    copy->setAlignment(std::max(variable.getAlign().valueOrOne(), Align(16)));
    map[&variable] = copy;
    variables.push_back({&variable, copy});
    table.push_back(ConstantExpr::getPtrToInt(copy, wide));
    parts.variables.push_back({variable.getName().str(), layout.getTypeAllocSize(type)});
    parts.variableWritable.push_back(!variable.isConstant());
  }
  for (auto [variable, copy] : variables)
    if (variable->hasInitializer())
      copy->setInitializer(MapValue(variable->getInitializer(), map, RF_None, &types));
  if (!table.empty()) {
    auto *type = ArrayType::get(wide, table.size());
    new GlobalVariable(*host, type, true, GlobalValue::ExternalLinkage, ConstantArray::get(type, table),
                       "flashc.variables");
  }
  for (Function &function : module)
    if (function.isDeclaration() && !function.use_empty()) {
      auto *copy = Function::Create(cast<FunctionType>(types.remapType(function.getFunctionType())),
                                    GlobalValue::ExternalLinkage, function.getName(), host.get());
      copy->setAttributes(function.getAttributes());
      map[&function] = copy;
    }
  for (Function *kernel : kernels) {
    parts.kernels.push_back(kernel->getName().str());
    makeEntry(*kernel, *host, map, types);
  }
  return host;
}
} // namespace flashc::emulator

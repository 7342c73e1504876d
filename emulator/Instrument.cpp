//===- Instrument.cpp - what a GPU does as calls of the emulator ---------------===//

#include "emulator/HostModule.h"
#include "emulator/Planting.h"
#include "emulator/Scheduler.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/ValueTracking.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Support/raw_ostream.h"

#include <cstddef>

using namespace llvm;

namespace flashc::emulator {
namespace {
class Instrumenter {
public:
  Instrumenter(Function &kernel, const Chip &chip, ImageParts &parts)
      : chip(chip), parts(parts), context(kernel.getContext()), layout(kernel.getDataLayout()),
        slots(kernel.getParent()), function(withThread(kernel)) {}

  Result<Function *> run() {
    slots.incorporateFunction(*function);
    SmallVector<llvm::Instruction *> work;
    for (llvm::Instruction &instruction : instructions(*function))
      work.push_back(&instruction);
    // Texts first: rewriting changes the numbers that they show.
    texts.reserve(work.size());
    for (llvm::Instruction *instruction : work)
      if (instruction->mayReadOrWriteMemory() || isa<CallBase>(instruction))
        texts[instruction] = textOf(*instruction);
    placeSharedVariables();
    if (const uint64_t bytes = localBytes(); bytes > maxLocalBytes)
      return Error{FLASHC_ERROR_TARGET, "kernel '" + function->getName().str() +
                                            "': expected local variables of at most " + std::to_string(maxLocalBytes) +
                                            " bytes, got " + std::to_string(bytes)};
    countLoops();
    for (llvm::Instruction *instruction : work) {
      order++;
      visit(*instruction);
      if (failure)
        return *failure;
    }
    if (frame) {
      frame->setOperand(0, ConstantInt::get(Type::getInt64Ty(context), frameBytes));
    }
    for (llvm::Instruction *instruction : dead)
      instruction->eraseFromParent();
    for (llvm::Instruction &instruction : instructions(*function))
      instruction.dropUnknownNonDebugMetadata();
    function->clearMetadata();
    return function;
  }

private:
  /// The kernel with the thread as its first parameter.
  static Function *withThread(Function &kernel) {
    SmallVector<Type *> parameters{PointerType::get(kernel.getContext(), 0)};
    for (Argument &argument : kernel.args())
      parameters.push_back(argument.getType());
    auto *result = Function::Create(FunctionType::get(Type::getVoidTy(kernel.getContext()), parameters, false),
                                    GlobalValue::ExternalLinkage, "", kernel.getParent());
    result->takeName(&kernel);
    result->splice(result->begin(), &kernel);
    for (Argument &argument : kernel.args()) {
      Argument *replacement = result->getArg(argument.getArgNo() + 1);
      replacement->takeName(&argument);
      if (argument.hasByValAttr())
        replacement->addAttr(argument.getAttribute(Attribute::ByVal));
      if (argument.hasAttribute(Attribute::ByRef))
        replacement->addAttr(argument.getAttribute(Attribute::ByRef));
      argument.replaceAllUsesWith(replacement);
    }
    // Its last uses are in nvvm.annotations, which nobody reads any more.
    kernel.replaceAllUsesWith(PoisonValue::get(kernel.getType()));
    kernel.eraseFromParent();
    return result;
  }

  std::string textOf(llvm::Instruction &instruction) {
    std::string text;
    raw_string_ostream stream(text);
    instruction.print(stream, slots);
    StringRef trimmed = StringRef(text).trim();
    return trimmed.substr(0, 240).str();
  }

  IRBuilder<> entryBuilder() {
    BasicBlock &entry = function->getEntryBlock();
    return IRBuilder<>(&entry, entry.getFirstInsertionPt());
  }

  /// Shared variables are offsets from the window of the worker that runs the block.
  void placeSharedVariables() {
    for (auto [variable, offset] : parts.sharedOffsets) {
      auto *global = const_cast<GlobalVariable *>(variable);
      Value *address = nullptr;
      for (Use &use : make_early_inc_range(global->uses())) {
        auto *user = dyn_cast<llvm::Instruction>(use.getUser());
        if (!user || user->getFunction() != function)
          continue;
        if (!address) {
          IRBuilder<> builder = entryBuilder();
          Type *wide = builder.getInt64Ty();
          Value *base = builder.CreateLoad(wide, function->getArg(0));
          address = builder.CreateIntToPtr(builder.CreateAdd(base, ConstantInt::get(wide, offset)), global->getType());
        }
        use.set(address);
      }
    }
  }

  /// What local variables take of a thread's stack, which is 1 MB.
  static constexpr uint64_t maxLocalBytes = 256 << 10;
  uint64_t localBytes() const {
    uint64_t bytes = 0;
    for (const llvm::Instruction &instruction : instructions(*function))
      if (const auto *variable = dyn_cast<AllocaInst>(&instruction)) {
        const std::optional<TypeSize> size = variable->getAllocationSize(layout);
        bytes += size ? size->getFixedValue() : maxLocalBytes + 1;
      }
    return bytes;
  }

  /// Every access of memory and every instruction counts, so that a loop that waits for memory to change lets the other
  /// threads run and one that never ends is found. A loop that has none of them counts its iterations.
  void countLoops() {
    DominatorTree dominators(*function);
    LoopInfo loops(dominators);
    for (const Loop *loop : loops.getLoopsInPreorder()) {
      const bool counts = any_of(loop->blocks(), [](const BasicBlock *block) {
        return any_of(*block, [](const llvm::Instruction &instruction) {
          return isa<LoadInst, StoreInst, CallInst, AtomicRMWInst, AtomicCmpXchgInst>(instruction) &&
                 !isQuestion(instruction);
        });
      });
      if (counts)
        continue;
      IRBuilder<> builder(loop->getHeader()->getTerminator());
      builder.CreateCall(FunctionType::get(builder.getVoidTy(), {builder.getPtrTy()}, false),
                         pointerTo(reinterpret_cast<const void *>(&countIteration), builder), {function->getArg(0)});
    }
  }

  static void countIteration(Thread *thread) { thread->countStep(); }

  /// i1 flashc.planted(i32 number, i1 differs): whether a planted bug shows (PlantedBugs.h).
  static bool isQuestion(const llvm::Instruction &instruction) {
    const auto *call = dyn_cast<CallInst>(&instruction);
    return call && call->getCalledFunction() && call->getCalledFunction()->getName() == "flashc.planted";
  }

  /// There are many questions, so they are answered on the spot.
  void question(CallInst &call) {
    static_assert(sizeof(std::atomic<bool>) == 1);
    IRBuilder<> builder(&call);
    Type *byte = builder.getInt8Ty(), *pointer = builder.getPtrTy();
    const auto at = [&](Value *base, uint64_t offset) { return builder.CreateConstGEP1_64(byte, base, offset); };
    Value *planting = builder.CreateLoad(pointer, at(function->getArg(0), sizeof(uint64_t)));
    Value *number = call.getArgOperand(0);
    Value *known = builder.CreateICmpULE(
        number, builder.CreateLoad(number->getType(), at(planting, offsetof(PlantedState, numBugs))));
    Value *slot = builder.CreateSelect(builder.CreateAnd(known, call.getArgOperand(1)), number, builder.getInt32(0));
    Value *touched = builder.CreateLoad(pointer, at(planting, offsetof(PlantedState, touched)));
    StoreInst *store = builder.CreateStore(
        builder.getInt8(1), builder.CreateGEP(byte, touched, builder.CreateZExt(slot, builder.getInt64Ty())));
    store->setAtomic(AtomicOrdering::Monotonic);
    Value *active = builder.CreateLoad(number->getType(), at(planting, offsetof(PlantedState, active)));
    call.replaceAllUsesWith(builder.CreateICmpEQ(active, number));
    dead.push_back(&call);
  }

  Value *pointerTo(const void *object, IRBuilder<> &builder) {
    return builder.CreateIntToPtr(builder.getInt64(reinterpret_cast<uint64_t>(object)), builder.getPtrTy());
  }

  /// A call of a function of the emulator; its first two arguments are the thread and `object`.
  void callEmulator(IRBuilder<> &builder, const void *callee, const void *object, ArrayRef<Value *> more) {
    SmallVector<Value *> arguments{function->getArg(0), pointerTo(object, builder)};
    arguments.append(more.begin(), more.end());
    SmallVector<Type *> types;
    for (Value *argument : arguments)
      types.push_back(argument->getType());
    builder.CreateCall(FunctionType::get(builder.getVoidTy(), types, false), pointerTo(callee, builder), arguments);
  }

  void fail(const llvm::Instruction &instruction, flashc_status status, const std::string &why) {
    if (!failure)
      failure = Error{status, "kernel '" + function->getName().str() + "': " + why + ", at '" +
                                  texts.lookup(&instruction) + "'"};
  }

  //===--------------------------------------------------------------------===//
  // Memory
  //===--------------------------------------------------------------------===//

  /// Whether accesses through a pointer need no check: local variables and parameters that are passed in memory.
  bool isPrivate(Value *pointer) const {
    const unsigned space = pointer->getType()->getPointerAddressSpace();
    if (space == 5 || space == 101)
      return true;
    const Value *object = getUnderlyingObject(pointer, /*MaxLookup=*/32);
    if (isa<AllocaInst>(object))
      return true;
    const auto *argument = dyn_cast<Argument>(object);
    return argument && (argument->hasByValAttr() || argument->hasAttribute(Attribute::ByRef));
  }

  AccessSite *site(llvm::Instruction &instruction, Value *pointer, uint64_t bytes, uint64_t alignment) {
    AccessSite &result = parts.accesses.emplace_back();
    const unsigned space = pointer->getType()->getPointerAddressSpace();
    result.space = space == 3 ? Space::Shared : space == 0 ? Space::Generic : Space::Global;
    result.bytes = static_cast<uint32_t>(bytes);
    result.alignment = static_cast<uint32_t>(alignment);
    result.strong = instruction.isVolatile() || instruction.isAtomic();
    result.text = texts.lookup(&instruction);
    return &result;
  }

  void access(llvm::Instruction &instruction, Value *pointer, Type *type, Align alignment,
              void (*check)(Thread *, AccessSite *, uint64_t)) {
    if (isPrivate(pointer))
      return;
    IRBuilder<> builder(&instruction);
    AccessSite *where = site(instruction, pointer, layout.getTypeStoreSize(type), alignment.value());
    callEmulator(builder, reinterpret_cast<const void *>(check), where,
                 {builder.CreatePtrToInt(pointer, builder.getInt64Ty())});
  }

  void transfer(MemIntrinsic &intrinsic) {
    IRBuilder<> builder(&intrinsic);
    AccessSite *where = site(intrinsic, intrinsic.getRawDest(), 0, 1);
    Type *wide = builder.getInt64Ty();
    Value *to = builder.CreatePtrToInt(intrinsic.getRawDest(), wide);
    Value *bytes = builder.CreateZExtOrTrunc(intrinsic.getLength(), wide);
    if (auto *fill = dyn_cast<MemSetInst>(&intrinsic))
      callEmulator(builder, reinterpret_cast<const void *>(&fillMemory), where, {to, fill->getValue(), bytes});
    else
      callEmulator(builder, reinterpret_cast<const void *>(&copyMemory), where,
                   {to, builder.CreatePtrToInt(cast<MemTransferInst>(intrinsic).getRawSource(), wide), bytes});
    dead.push_back(&intrinsic);
  }

  //===--------------------------------------------------------------------===//
  // Instructions
  //===--------------------------------------------------------------------===//

  static Type *held(Type *type) {
    if (type->isPointerTy())
      return Type::getInt64Ty(type->getContext());
    if (type->isIntegerTy(1))
      return Type::getInt8Ty(type->getContext());
    return type;
  }

  /// Where a value lies in the frame.
  AsmOperand place(Type *type) {
    const uint64_t bytes = layout.getTypeStoreSize(held(type));
    const uint64_t alignment = std::min<uint64_t>(PowerOf2Ceil(bytes), 16);
    used = alignTo(used, alignment);
    const AsmOperand result{static_cast<uint32_t>(used), static_cast<uint16_t>(bytes)};
    used += bytes;
    return result;
  }

  Value *frameAt(IRBuilder<> &builder, uint32_t offset) {
    if (!frame) {
      IRBuilder<> entry = entryBuilder();
      frame = entry.CreateAlloca(entry.getInt8Ty(), layout.getAllocaAddrSpace(), entry.getInt64(1));
      frame->setAlignment(Align(16));
      // Host memory, whatever the kernel calls its stack.
      frameBase = entry.CreatePtrToInt(frame, entry.getInt64Ty());
    }
    return builder.CreateIntToPtr(builder.CreateAdd(frameBase, builder.getInt64(offset)), builder.getPtrTy());
  }

  void put(IRBuilder<> &builder, Value *value, const AsmOperand &where) {
    if (value->getType()->isPointerTy())
      value = builder.CreatePtrToInt(value, builder.getInt64Ty());
    else if (value->getType()->isIntegerTy(1))
      value = builder.CreateZExt(value, builder.getInt8Ty());
    builder.CreateAlignedStore(value, frameAt(builder, where.offset), Align(1));
  }

  Value *take(IRBuilder<> &builder, Type *type, const AsmOperand &where) {
    Value *value = builder.CreateAlignedLoad(held(type), frameAt(builder, where.offset), Align(1));
    if (type->isPointerTy())
      return builder.CreateIntToPtr(value, type);
    if (type->isIntegerTy(1))
      return builder.CreateTrunc(value, type);
    return value;
  }

  static SmallVector<Type *> resultTypes(Type *type) {
    if (type->isVoidTy())
      return {};
    if (auto *structure = dyn_cast<StructType>(type))
      return SmallVector<Type *>(structure->elements());
    return {type};
  }

  /// Replaces a call's results by what the emulator left in the frame.
  void takeResults(IRBuilder<> &builder, CallInst &call, ArrayRef<Type *> types, ArrayRef<AsmOperand> places) {
    Value *result = nullptr;
    if (call.getType()->isStructTy()) {
      result = PoisonValue::get(call.getType());
      for (unsigned i = 0; i != types.size(); ++i)
        result = builder.CreateInsertValue(result, take(builder, types[i], places[i]), i);
    } else if (!types.empty()) {
      result = take(builder, types[0], places[0]);
    }
    if (result)
      call.replaceAllUsesWith(result);
    dead.push_back(&call);
    frameBytes = std::max(frameBytes, used);
  }

  static Operand operandAt(const AsmOperand &where, Type *type) {
    Operand operand;
    operand.offset = where.offset;
    operand.bytes = operand.elementBytes = where.bytes;
    if (auto *vector = dyn_cast<FixedVectorType>(type))
      operand.elementBytes = static_cast<uint16_t>(where.bytes / vector->getNumElements());
    return operand;
  }

  void intrinsic(CallInst &call, const Instruction *instruction) {
    Call &site = parts.calls.emplace_back();
    site.instruction = instruction;
    site.name = call.getCalledFunction()->getName().str();
    site.text = texts.lookup(&call);
    site.order = order;
    SmallVector<StringRef> modifiers;
    StringRef(site.name).split(modifiers, '.');
    for (StringRef modifier : modifiers)
      site.modifiers.push_back(modifier.str());
    used = 0;
    const SmallVector<Type *> results = resultTypes(call.getType());
    SmallVector<AsmOperand> places;
    for (Type *type : results) {
      places.push_back(place(type));
      site.lists.push_back(site.numOperands());
      site.operands.push_back(operandAt(places.back(), type));
    }
    site.numDestinations = site.numOperands();
    IRBuilder<> builder(&call);
    for (Value *argument : call.args()) {
      if (argument->getType()->isMetadataTy())
        continue;
      const AsmOperand where = place(argument->getType());
      site.lists.push_back(site.numOperands());
      site.operands.push_back(operandAt(where, argument->getType()));
      put(builder, argument, where);
    }
    site.lists.push_back(site.numOperands());
    if (instruction->maskOperand >= 0)
      site.maskOperand = static_cast<int>(site.numDestinations) + instruction->maskOperand;
    if (site.maskOperand >= static_cast<int>(site.numOperands()))
      return fail(call, FLASHC_ERROR_FORMAT, "expected a mask of lanes");
    callEmulator(builder, reinterpret_cast<const void *>(&enterExecute), &site, {frameAt(builder, 0)});
    takeResults(builder, call, results, places);
  }

  /// The order of execute's parameters is that of all the other functions.
  static void enterExecute(Thread *thread, const Call *call, char *frame) { execute(*thread, *call, frame); }

  void assembly(CallInst &call, const InlineAsm &text) {
    used = 0;
    const SmallVector<Type *> results = resultTypes(call.getType());
    SmallVector<AsmOperand> operands;
    for (Type *type : results)
      operands.push_back(place(type));
    const SmallVector<AsmOperand> places = operands;
    IRBuilder<> builder(&call);
    unsigned argument = 0;
    for (const InlineAsm::ConstraintInfo &constraint : text.ParseConstraints()) {
      if (constraint.isIndirect || constraint.Type == InlineAsm::isLabel)
        return fail(call, FLASHC_ERROR_TARGET, "inline assembly with an indirect operand or a label");
      if (constraint.Type != InlineAsm::isInput)
        continue;
      Value *value = call.getArgOperand(argument++);
      operands.push_back(place(value->getType()));
      put(builder, value, operands.back());
      unsigned tied = 0;
      if (!constraint.Codes.empty() && to_integer(StringRef(constraint.Codes[0]), tied) && tied < places.size())
        put(builder, value, places[tied]);
    }
    Result<AsmProgram> program =
        parseAsm(text.getAsmString(), {operands.begin(), operands.end()}, static_cast<uint32_t>(used), chip.vendor);
    if (!program)
      return fail(call, program.error().status, program.error().message);
    parts.programs.push_back(std::move(*program));
    AsmProgram &kept = parts.programs.back();
    for (AsmProgram::Statement &statement : kept.statements)
      statement.call.order += order;
    used = kept.frameBytes;
    callEmulator(builder, reinterpret_cast<const void *>(&runAsm), &kept, {frameAt(builder, 0)});
    takeResults(builder, call, results, places);
  }

  void call(CallInst &call) {
    if (const auto *text = dyn_cast<InlineAsm>(call.getCalledOperand()))
      return assembly(call, *text);
    Function *callee = call.getCalledFunction();
    if (!callee)
      return fail(call, FLASHC_ERROR_TARGET, "a call through a pointer");
    if (isQuestion(call))
      return question(call);
    switch (callee->getIntrinsicID()) {
    case Intrinsic::assume:
    case Intrinsic::lifetime_start:
    case Intrinsic::lifetime_end:
    case Intrinsic::invariant_start:
    case Intrinsic::invariant_end:
    case Intrinsic::experimental_noalias_scope_decl:
    case Intrinsic::sideeffect:
    case Intrinsic::prefetch:
    case Intrinsic::dbg_declare:
    case Intrinsic::dbg_value:
    case Intrinsic::dbg_label:
      call.replaceAllUsesWith(PoisonValue::get(call.getType()));
      dead.push_back(&call);
      return;
    default:
      break;
    }
    if (auto *memory = dyn_cast<MemIntrinsic>(&call))
      return transfer(*memory);
    const StringRef name = callee->getName();
    if (const Instruction *instruction = instructionSet(chip.vendor).find({name.data(), name.size()}))
      return intrinsic(call, instruction);
    // Generic intrinsics on values mean the same on the host.
    const bool generic = callee->isIntrinsic() && !name.starts_with("llvm.nvvm.") &&
                         !name.starts_with("llvm.amdgcn.") && !name.starts_with("llvm.r600.");
    if (!generic || (call.mayReadOrWriteMemory() && !call.doesNotAccessMemory()))
      fail(call, FLASHC_ERROR_TARGET, "the emulator has no instruction '" + name.str() + "'");
  }

  /// Threads run one at a time. AMD's barriers alone order no memory, nor do relaxed arrivals of NVIDIA's clusters.
  void fence(FenceInst &instruction) {
    SmallVector<StringRef> scopes;
    context.getSyncScopeNames(scopes);
    const StringRef scope = scopes[instruction.getSyncScopeID()];
    if (scope.starts_with("wavefront") || scope.starts_with("singlethread") ||
        (chip.vendor == Vendor::Nvidia && (chip.maxClusterBlocks == 1 || scope == "block")))
      return;
    const AtomicOrdering ordering = instruction.getOrdering();
    IRBuilder<> builder(&instruction);
    callEmulator(builder, reinterpret_cast<const void *>(&orderMemory), nullptr,
                 {builder.getInt32(isReleaseOrStronger(ordering)), builder.getInt32(isAcquireOrStronger(ordering))});
  }

  static void orderMemory(Thread *thread, const void *, uint32_t release, uint32_t acquire) {
    if (thread->block->chip->vendor == Vendor::Nvidia && thread->block->clusterBlocks == 1)
      return;
    if (acquire)
      thread->takePublished();
    if (release)
      thread->publish();
  }

  void visit(llvm::Instruction &instruction) {
    if (auto *load = dyn_cast<LoadInst>(&instruction)) {
      access(instruction, load->getPointerOperand(), load->getType(), load->getAlign(), &checkLoad);
      load->setSyncScopeID(SyncScope::System);
    } else if (auto *store = dyn_cast<StoreInst>(&instruction)) {
      access(instruction, store->getPointerOperand(), store->getValueOperand()->getType(), store->getAlign(),
             &checkStore);
      store->setSyncScopeID(SyncScope::System);
    } else if (auto *atomic = dyn_cast<AtomicRMWInst>(&instruction)) {
      access(instruction, atomic->getPointerOperand(), atomic->getType(), atomic->getAlign(), &checkAtomic);
      atomic->setSyncScopeID(SyncScope::System);
    } else if (auto *exchange = dyn_cast<AtomicCmpXchgInst>(&instruction)) {
      access(instruction, exchange->getPointerOperand(), exchange->getNewValOperand()->getType(), exchange->getAlign(),
             &checkAtomic);
      exchange->setSyncScopeID(SyncScope::System);
    } else if (auto *ordering = dyn_cast<FenceInst>(&instruction)) {
      fence(*ordering);
      dead.push_back(&instruction);
    } else if (instruction.isIntDivRem() && !isa<Constant>(instruction.getOperand(1))) {
      // By zero it is any value on a GPU; the host would stop the process.
      IRBuilder<> builder(&instruction);
      Value *divisor = instruction.getOperand(1);
      Value *isZero = builder.CreateICmpEQ(divisor, Constant::getNullValue(divisor->getType()));
      instruction.setOperand(1, builder.CreateSelect(isZero, ConstantInt::get(divisor->getType(), 1), divisor));
    } else if (auto *cast = dyn_cast<AddrSpaceCastInst>(&instruction)) {
      // A host address in any space; as integers, since the cast will be one between equal types.
      IRBuilder<> builder(&instruction);
      Value *wide = builder.CreatePtrToInt(cast->getPointerOperand(), builder.getInt64Ty());
      cast->replaceAllUsesWith(builder.CreateIntToPtr(wide, cast->getType()));
      dead.push_back(cast);
    } else if (auto *invoked = dyn_cast<CallInst>(&instruction)) {
      call(*invoked);
    } else if (isa<CallBase>(instruction)) {
      fail(instruction, FLASHC_ERROR_TARGET, "a call that may unwind");
    }
  }

  const Chip &chip;
  ImageParts &parts;
  LLVMContext &context;
  const DataLayout &layout;
  ModuleSlotTracker slots;
  Function *function;
  DenseMap<const llvm::Instruction *, std::string> texts;
  SmallVector<llvm::Instruction *> dead;
  AllocaInst *frame = nullptr;
  Value *frameBase = nullptr;
  uint64_t frameBytes = 16, used = 0;
  unsigned order = 0;
  std::optional<Error> failure;
};
} // namespace

Result<Function *> instrumentKernel(Function &kernel, const Chip &chip, ImageParts &parts) {
  return Instrumenter(kernel, chip, parts).run();
}
} // namespace flashc::emulator

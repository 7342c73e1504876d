/// LLVM's code generators, as the compiler runs them.
#include "compiler/LlvmBackend.h"

#include "llvm/ADT/BitVector.h"
#include "llvm/CodeGen/MachineFrameInfo.h"
#include "llvm/CodeGen/MachineFunctionPass.h"
#include "llvm/CodeGen/MachineModuleInfo.h"
#include "llvm/CodeGen/Passes.h"
#include "llvm/CodeGen/TargetPassConfig.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

namespace flashc {
namespace {
/// Gives up spill slots that no instruction refers to. The register allocator leaves one behind where it makes a slot
/// for a value and then computes the value again instead; it would be part of the frame, and a thread of AMD's GPUs,
/// which otherwise has none, would be given memory that nothing touches.
class DropUnusedSlots : public MachineFunctionPass {
public:
  static char ID;
  DropUnusedSlots() : MachineFunctionPass(ID) {}

  StringRef getPassName() const override { return "Drop unused spill slots"; }
  void getAnalysisUsage(AnalysisUsage &usage) const override {
    usage.setPreservesAll();
    MachineFunctionPass::getAnalysisUsage(usage);
  }

  bool runOnMachineFunction(MachineFunction &function) override {
    MachineFrameInfo &frame = function.getFrameInfo();
    BitVector used(frame.getObjectIndexEnd());
    for (const MachineBasicBlock &block : function)
      for (const MachineInstr &instruction : block.instrs())
        for (const MachineOperand &operand : instruction.operands())
          if (operand.isFI() && operand.getIndex() >= 0)
            used.set(operand.getIndex());
    bool changed = false;
    for (int slot = 0, end = frame.getObjectIndexEnd(); slot < end; ++slot)
      // Slots of another kind are for the target to say: AMD's for scalars, which go to lanes of vector registers.
      if (!used[slot] && !frame.isDeadObjectIndex(slot) && frame.isSpillSlotObjectIndex(slot) &&
          frame.getStackID(slot) == TargetStackID::Default) {
        frame.RemoveStackObject(slot);
        changed = true;
      }
    return changed;
  }
};
char DropUnusedSlots::ID = 0;
} // namespace

Expected<std::string> emitCode(Module &module, const Target &target, int optLevel, bool assembly) {
  // The first variant runs everywhere, so the dispatcher is compiled for it; kernels carry their own CPU.
  Expected<std::unique_ptr<TargetMachine>> machine = target.createTargetMachine(target.getVariants().front(), optLevel);
  if (!machine)
    return machine.takeError();
  return emitCode(module, **machine, assembly);
}

Expected<std::string> emitCode(Module &module, TargetMachine &machine, bool assembly) {
  // What addPassesToEmitFile does, and one pass more.
  auto &generator = static_cast<LLVMTargetMachine &>(machine);
  const CodeGenFileType type = assembly ? CodeGenFileType::AssemblyFile : CodeGenFileType::ObjectFile;
  auto refuse = [&] {
    return createStringError("LLVM cannot emit this kind of file for " + machine.getTargetTriple().str());
  };
  SmallVector<char, 0> bytes;
  raw_svector_ostream os(bytes);
  legacy::PassManager passes;
  TargetPassConfig *config = generator.createPassConfig(passes);
  config->setDisableVerify(true);
  passes.add(config);
  auto *functions = new MachineModuleInfoWrapperPass(&generator);
  passes.add(functions);
  // Behind register allocation, before the frame is laid out.
  config->insertPass(&ShrinkWrapID, new DropUnusedSlots);
  if (config->addISelPasses())
    return refuse();
  config->addMachinePasses();
  config->setInitialized();
  if (generator.addAsmPrinter(passes, os, nullptr, type, functions->getMMI().getContext()))
    return refuse();
  passes.add(createFreeMachineFunctionPass());
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}
} // namespace flashc

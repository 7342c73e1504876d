#include "compiler/KernelLoops.h"

#include "runtime/GpuChip.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/PostOrderIterator.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/Analysis/ScalarEvolutionExpressions.h"
#include "llvm/Analysis/UniformityAnalysis.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Target/TargetMachine.h"

#include <optional>

using namespace llvm;

namespace flashc {
namespace {
using Kind = InstructionKind;

/// The thread's number in its block: the hardware's, or that one kept where it is needed by an exchange with oneself.
bool isThreadId(const Value *value) {
  while (const auto *cast = dyn_cast<CastInst>(value))
    value = cast->getOperand(0);
  const auto *call = dyn_cast<CallBase>(value);
  const Function *callee = call ? call->getCalledFunction() : nullptr;
  if (!callee)
    return false;
  const StringRef name = callee->getName();
  const auto *distance =
      name == "llvm.nvvm.shfl.sync.bfly.i32" ? dyn_cast<ConstantInt>(call->getArgOperand(2)) : nullptr;
  if (distance && distance->isZero())
    return isThreadId(call->getArgOperand(1));
  return name == "llvm.nvvm.read.ptx.sreg.tid.x" || name == "llvm.amdgcn.workitem.id.x";
}

/// The expression with the number of the block's first thread in the place of every thread's.
class FirstThread : public SCEVRewriteVisitor<FirstThread> {
public:
  explicit FirstThread(ScalarEvolution &evolution) : SCEVRewriteVisitor(evolution) {}
  const SCEV *visitUnknown(const SCEVUnknown *expression) {
    return isThreadId(expression->getValue()) ? SE.getZero(expression->getType()) : expression;
  }
};

class FunctionCounter {
public:
  FunctionCounter(Function &function, FunctionAnalysisManager &analyses, const CountingRules &rules, uint32_t threads)
      : threads(threads), loopInfo(analyses.getResult<LoopAnalysis>(function)),
        evolution(analyses.getResult<ScalarEvolutionAnalysis>(function)),
        dominators(analyses.getResult<DominatorTreeAnalysis>(function)) {
    const UniformityInfo &uniformity = analyses.getResult<UniformityInfoAnalysis>(function);
    for (const BasicBlock *block : ReversePostOrderTraversal<Function *>(&function)) {
      order.push_back(const_cast<BasicBlock *>(block));
      InstructionMix &mix = blocks[block];
      for (const Instruction &instruction : *block)
        countInstruction(instruction, rules, uniformity.isUniform(&instruction), mix);
      usesMatrixUnit |= mix.count(Kind::Matrix) > 0;
    }
  }

  KernelLoops count(StringRef name) {
    KernelLoops result{name.str(), threads, usesMatrixUnit, {}};
    // In the order of the code.
    for (BasicBlock *block : order)
      if (Loop *loop = loopInfo.getLoopFor(block); loop && loop->getHeader() == block && isOverKeys(*loop)) {
        KeyLoop counted;
        counted.turn = countTurn(*loop, counted.unknownLoops);
        counted.threads = threadsOf(*loop);
        result.loops.push_back(counted);
      }
    return result;
  }

private:
  /// Products of a kernel without a matrix unit are multiply-adds of what lies in shared memory.
  bool hasProductsAndExchange(const Loop &loop) const {
    bool products = false, exchange = false, shared = false;
    for (const BasicBlock *block : loop.blocks()) {
      const InstructionMix &mix = blocks.find(block)->second;
      products |= usesMatrixUnit ? mix.count(Kind::Matrix) > 0 : mix.multiplyAdds > 0;
      exchange |= mix.count(Kind::Shuffle) > 0;
      shared |= mix.count(Kind::SharedLoad) > 0;
    }
    return products && exchange && (usesMatrixUnit || shared);
  }
  bool isOverKeys(const Loop &loop) const {
    return hasProductsAndExchange(loop) &&
           none_of(loop, [&](const Loop *inner) { return hasProductsAndExchange(*inner); });
  }

  /// How often the loop turns for the block's first thread, where that is known.
  std::optional<double> turnsOf(Loop &loop) {
    if (unsigned known = evolution.getSmallConstantTripCount(&loop))
      return known;
    const SCEV *taken = evolution.getBackedgeTakenCount(&loop);
    if (isa<SCEVCouldNotCompute>(taken))
      return std::nullopt;
    const auto *constant = dyn_cast<SCEVConstant>(FirstThread(evolution).visit(taken));
    if (!constant || constant->getAPInt().getActiveBits() > 24)
      return std::nullopt;
    return double(constant->getAPInt().getZExtValue()) + 1;
  }

  /// Whether `way` is to be taken rather than `other`; both begin at the same place.
  bool isBetter(const InstructionMix &way, const InstructionMix &other) const {
    if (way.matrixFlops != other.matrixFlops)
      return way.matrixFlops > other.matrixFlops;
    if (way.count(Kind::BulkCopy) != other.count(Kind::BulkCopy))
      return way.count(Kind::BulkCopy) > other.count(Kind::BulkCopy);
    if (!usesMatrixUnit && way.multiplyAdds != other.multiplyAdds)
      return way.multiplyAdds > other.multiplyAdds;
    const bool copies = way.globalBytes > 0, otherCopies = other.globalBytes > 0;
    if (copies != otherCopies)
      return copies;
    const bool async = way.count(Kind::AsyncCopy) > 0, otherAsync = other.count(Kind::AsyncCopy) > 0;
    if (async != otherAsync)
      return async;
    return way.total() < other.total();
  }

  /// One turn of a loop: the best way from its header to a branch back, inner loops as often as they turn.
  InstructionMix countTurn(Loop &loop, unsigned &unknownLoops) {
    struct Way {
      InstructionMix mix;
      bool reached = false;
      const BasicBlock *from = nullptr; ///< the only block that it was reached from so far
    };
    // What was executed when a block begins; the last entry stands for the branch back.
    DenseMap<const BasicBlock *, Way> before;
    Way back;
    before[loop.getHeader()].reached = true;
    auto arrive = [&](const BasicBlock *from, const BasicBlock *at, const InstructionMix &mix) {
      if (!loop.contains(at))
        return;
      Way &known = at == loop.getHeader() ? back : before[at];
      if (known.reached) {
        // What lies before the place where the ways part says nothing for one of them.
        const DomTreeNode *node = dominators.getNode(const_cast<BasicBlock *>(at));
        const BasicBlock *parting = &known != &back && node->getIDom() ? node->getIDom()->getBlock() : nullptr;
        const InstructionMix common = before.lookup(parting).mix;
        if (std::optional<double> share = known.from ? shareOf(*node, known.from, from) : std::nullopt) {
          InstructionMix both;
          both.add(known.mix, *share);
          both.add(mix, 1 - *share);
          known = {both, true, nullptr};
          return;
        }
        InstructionMix way = mix, other = known.mix;
        way.add(common, -1);
        other.add(common, -1);
        // Products beside those that the turn has anyway are of a rare way, which others pass by: what a NaN adds.
        const bool passes = from == parting, otherPasses = known.from == parting;
        const bool isBeside = parting && passes != otherPasses && way.matrixFlops != other.matrixFlops &&
                              common.matrixFlops + blocks[parting].matrixFlops > 0;
        if (isBeside ? !passes : !isBetter(way, other)) {
          known.from = nullptr;
          return;
        }
      }
      known = {mix, true, known.reached ? nullptr : from};
    };
    for (BasicBlock *block : order) {
      if (!loop.contains(block) || !before.count(block))
        continue;
      InstructionMix mix = before[block].mix;
      Loop *innermost = loopInfo.getLoopFor(block);
      if (innermost == &loop) {
        mix.add(blocks[block]);
        for (const BasicBlock *next : successors(block))
          arrive(block, next, mix);
        continue;
      }
      // An inner loop is passed at its header, as a whole.
      while (innermost->getParentLoop() != &loop)
        innermost = innermost->getParentLoop();
      if (innermost->getHeader() != block)
        continue;
      std::optional<double> turns = turnsOf(*innermost);
      if (!turns)
        ++unknownLoops;
      mix.add(countTurn(*innermost, unknownLoops), turns.value_or(1));
      SmallVector<BasicBlock *> exits;
      innermost->getUniqueExitBlocks(exits);
      for (const BasicBlock *next : exits)
        arrive(block, next, mix);
    }
    return back.mix;
  }

  /// Numbers of threads from `begin` up to `end`.
  struct Threads {
    uint64_t begin, end;
  };

  /// The threads that go from a block to its successor 0, or to 1, where it compares their number.
  std::optional<Threads> threadsThatGo(const BasicBlock &block, unsigned successor) const {
    const auto *branch = dyn_cast<BranchInst>(block.getTerminator());
    if (!branch || !branch->isConditional() || branch->getSuccessor(0) == branch->getSuccessor(1))
      return std::nullopt;
    const auto *compare = dyn_cast<ICmpInst>(branch->getCondition());
    const auto *limit = compare ? dyn_cast<ConstantInt>(compare->getOperand(1)) : nullptr;
    const Value *number = compare ? compare->getOperand(0) : nullptr;
    while (number && isa<ZExtInst, SExtInst, TruncInst>(number))
      number = cast<Instruction>(number)->getOperand(0);
    if (!limit || !isThreadId(number))
      return std::nullopt;
    ICmpInst::Predicate predicate = successor == 0 ? compare->getPredicate() : compare->getInversePredicate();
    const uint64_t value = std::min<uint64_t>(limit->getZExtValue(), threads);
    switch (ICmpInst::isSigned(predicate) ? ICmpInst::getUnsignedPredicate(predicate) : predicate) {
    case ICmpInst::ICMP_ULT:
      return Threads{0, value};
    case ICmpInst::ICMP_ULE:
      return Threads{0, value + 1};
    case ICmpInst::ICMP_UGT:
      return Threads{value + 1, threads};
    case ICmpInst::ICMP_UGE:
      return Threads{value, threads};
    default:
      return std::nullopt;
    }
  }

  /// Of the threads at `join`, whose ways part by their number, the share that come from `from`; the others come from
  /// `other`. Nothing where something else parts them.
  std::optional<double> shareOf(const DomTreeNode &join, const BasicBlock *from, const BasicBlock *other) const {
    const BasicBlock *parting = join.getIDom() ? join.getIDom()->getBlock() : nullptr;
    if (!parting || !threadsThatGo(*parting, 0))
      return std::nullopt;
    auto comesBy = [&](const BasicBlock *block, unsigned successor) {
      const BasicBlock *next = parting->getTerminator()->getSuccessor(successor);
      return block == parting ? next == join.getBlock() : next != join.getBlock() && dominators.dominates(next, block);
    };
    for (unsigned successor : {0, 1})
      if (comesBy(from, successor) && comesBy(other, 1 - successor)) {
        const Threads those = *threadsThatGo(*parting, successor);
        return those.end > those.begin ? double(those.end - those.begin) / threads : 0;
      }
    return std::nullopt;
  }

  /// Threads for which the comparisons of their number that lead to the loop hold.
  uint32_t threadsOf(const Loop &loop) const {
    uint64_t begin = 0, end = threads;
    for (const DomTreeNode *node = dominators.getNode(loop.getHeader()); node && node->getIDom();
         node = node->getIDom()) {
      const BasicBlock *before = node->getIDom()->getBlock();
      for (unsigned successor = 0, e = before->getTerminator()->getNumSuccessors(); successor < std::min(e, 2u);
           ++successor)
        if (before->getTerminator()->getSuccessor(successor) == node->getBlock())
          if (std::optional<Threads> those = threadsThatGo(*before, successor)) {
            begin = std::max(begin, those->begin);
            end = std::min(end, those->end);
          }
    }
    return end > begin ? uint32_t(end - begin) : threads;
  }

  const uint32_t threads;
  LoopInfo &loopInfo;
  ScalarEvolution &evolution;
  DominatorTree &dominators;
  std::vector<BasicBlock *> order;
  DenseMap<const BasicBlock *, InstructionMix> blocks;
  bool usesMatrixUnit = false;
};
} // namespace

std::vector<KernelLoops> countKeyLoops(Module &module, TargetMachine &machine, ArrayRef<std::string> names,
                                       ArrayRef<uint32_t> threads) {
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  ModuleAnalysisManager modules;
  PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);

  std::vector<KernelLoops> kernels;
  for (auto [name, count] : zip_equal(names, threads)) {
    Function *function = module.getFunction(name);
    if (!function || function->isDeclaration()) {
      kernels.push_back({name, count, false, {}});
      continue;
    }
    CountingRules rules;
    rules.amd = machine.getTargetTriple().isAMDGPU();
    if (rules.amd && machine.getSubtargetImpl(*function)) {
      rules.subgroupSize = machine.getTargetCPU().starts_with("gfx9") ? 64 : 32;
      const GpuChip *chip = findGpuChip(machine.getTargetCPU().str());
      rules.packsFloats = chip && chip->packedFma > 1;
    }
    kernels.push_back(FunctionCounter(*function, functions, rules, count).count(name));
  }
  return kernels;
}
} // namespace flashc

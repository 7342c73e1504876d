#include "compiler/InstructionMix.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/DataLayout.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"

#include <algorithm>
#include <cmath>

using namespace llvm;

namespace flashc {
using Kind = InstructionKind;

StringRef toString(InstructionKind kind) {
  static constexpr StringLiteral names[] = {"matrix",       "special",    "fma",         "fma64",        "alu",
                                            "convert",      "shuffle",    "shared-load", "shared-store", "global-load",
                                            "global-store", "async-copy", "bulk-copy",   "barrier",      "local",
                                            "branch",       "scalar",     "other"};
  return names[unsigned(kind)];
}

double InstructionMix::total() const {
  double sum = 0;
  for (double each : counts)
    sum += each;
  return sum - count(Kind::Scalar);
}

void InstructionMix::add(const InstructionMix &other, double times) {
  for (unsigned i = 0; i < kNumInstructionKinds; ++i)
    counts[i] += times * other.counts[i];
  matrixFlops += times * other.matrixFlops;
  asyncFlops += times * other.asyncFlops;
  multiplyAdds += times * other.multiplyAdds;
  sharedBytes += times * other.sharedBytes;
  globalBytes += times * other.globalBytes;
}

namespace {
/// The numbers behind the letters of "m16n8k16" in `text`; 0s where there are none.
struct MatrixShape {
  double m = 0, n = 0, k = 0;
};

/// Reads "m16n8k16".
MatrixShape readLetteredShape(StringRef text) {
  for (size_t at = text.find(".m"); at != StringRef::npos; at = text.find(".m", at + 1)) {
    StringRef rest = text.drop_front(at + 2);
    unsigned m, n, k;
    if (!rest.consumeInteger(10, m) && rest.consume_front("n") && !rest.consumeInteger(10, n) &&
        rest.consume_front("k") && !rest.consumeInteger(10, k))
      return {double(m), double(n), double(k)};
  }
  return {};
}

/// Reads "32x32x8", behind "f32." or the like.
MatrixShape readCrossedShape(StringRef text) {
  SmallVector<StringRef> pieces;
  text.split(pieces, '.');
  for (StringRef piece : pieces) {
    unsigned m, n, k;
    if (!piece.consumeInteger(10, m) && piece.consume_front("x") && !piece.consumeInteger(10, n) &&
        piece.consume_front("x") && !piece.consumeInteger(10, k))
      return {double(m), double(n), double(k)};
  }
  return {};
}

bool startsWithAny(StringRef text, ArrayRef<StringLiteral> prefixes) {
  return any_of(prefixes, [&](StringRef prefix) { return text.starts_with(prefix); });
}

/// Counts one intrinsic, inline-assembly statement or operation.
class Counter {
public:
  Counter(const CountingRules &rules, InstructionMix &mix) : rules(rules), mix(mix) {}

  void instruction(const Instruction &op, bool uniform);
  void statement(StringRef text);

private:
  void add(Kind kind, double times = 1) { mix.count(kind) += times; }
  /// Banks are 4 bytes wide: a lane takes at least one of them.
  void shared(double laneBytes, bool uniform = false) {
    mix.sharedBytes += uniform ? 128 : rules.subgroupSize * std::max(4.0, laneBytes);
  }
  void matrix(const MatrixShape &shape, double subgroups = 1) {
    add(Kind::Matrix);
    mix.matrixFlops += 2 * shape.m * shape.n * shape.k / subgroups;
  }
  void asyncCopy(double laneBytes) {
    add(Kind::AsyncCopy);
    mix.globalBytes += laneBytes;
    shared(laneBytes);
  }
  /// Additions and products of `elements` numbers of `bits` each: packed ones share an instruction.
  void floats(unsigned bits, double elements) {
    const bool packed = bits == 16 || (bits == 32 && rules.packsFloats);
    add(bits == 64 ? Kind::Fma64 : Kind::Fma, packed ? std::ceil(elements / 2) : elements);
  }
  void memory(unsigned space, double bytes, bool load, bool uniform);
  void arithmetic(const Instruction &op, Type *type, double elements, unsigned bits);
  void intrinsic(const CallBase &call, StringRef name);
  bool nvidiaIntrinsic(StringRef name);
  bool amdIntrinsic(const CallBase &call, StringRef name);

  const CountingRules &rules;
  InstructionMix &mix;
};

void Counter::memory(unsigned space, double bytes, bool load, bool uniform) {
  constexpr unsigned kShared = 3, kConstant = 4, kLocal = 5, kNvidiaParameters = 101;
  // Wider ones are several instructions of at most 16 bytes.
  const double pieces = std::max(1.0, std::ceil(bytes / 16));
  if (space == kShared) {
    add(load ? Kind::SharedLoad : Kind::SharedStore, pieces);
    shared(bytes, uniform);
  } else if (space == kLocal) {
    add(Kind::Local, pieces);
  } else if (space == kConstant || space == kNvidiaParameters) {
    add(Kind::Scalar, pieces);
  } else {
    add(load ? Kind::GlobalLoad : Kind::GlobalStore, pieces);
    mix.globalBytes += load ? bytes : 0;
  }
}

/// Integer and float arithmetic, comparisons and selections.
void Counter::arithmetic(const Instruction &op, Type *type, double elements, unsigned bits) {
  // Predicates are combined by the comparisons that make them.
  if (bits == 1 && type->isIntOrIntVectorTy() && !isa<CmpInst>(op))
    return;
  const double words = std::max(1u, (bits + 31) / 32) * elements;
  if (type->isFPOrFPVectorTy() && !isa<CmpInst>(op) && !isa<SelectInst>(op)) {
    if (op.getOpcode() == Instruction::FNeg)
      return; // operands have a sign of their own
    const bool divides = op.getOpcode() == Instruction::FDiv || op.getOpcode() == Instruction::FRem;
    if (divides) {
      add(Kind::Special, elements);
      elements *= 8; // the reciprocal's refinement
    }
    floats(bits, elements);
    return;
  }
  switch (op.getOpcode()) {
  case Instruction::Mul:
    // NVIDIA multiplies integers where floats are; AMD takes four turns. 64 bits are three products and a sum.
    add(rules.amd ? Kind::Alu : Kind::Fma, (bits > 32 ? 3 : 1) * elements * (rules.amd ? 4 : 1));
    add(Kind::Alu, bits > 32 ? elements : 0);
    return;
  case Instruction::UDiv:
  case Instruction::SDiv:
  case Instruction::URem:
  case Instruction::SRem:
    add(Kind::Special, elements);
    add(Kind::Alu, 18 * words);
    return;
  default:
    add(Kind::Alu, words);
  }
}

bool Counter::nvidiaIntrinsic(StringRef name) {
  if (!name.consume_front("llvm.nvvm."))
    return false;
  if (startsWithAny(name, {"ex2.", "lg2.", "rcp.", "rsqrt.", "sqrt.", "sin.", "cos.", "tanh.", "div."})) {
    add(Kind::Special);
  } else if (name.starts_with("mma.")) {
    matrix(readLetteredShape(("." + name.drop_front(4)).str()));
  } else if (name.starts_with("ldmatrix.") || name.starts_with("stmatrix.")) {
    add(name.starts_with("ld") ? Kind::SharedLoad : Kind::SharedStore);
    shared(name.contains(".x4.") || name.ends_with(".x4") ? 16 : name.contains(".x2.") ? 8 : 4);
  } else if (name.consume_front("cp.async.")) {
    if (name.starts_with("bulk") && !startsWithAny(name, {"bulk.commit", "bulk.wait"})) {
      add(Kind::BulkCopy);
    } else if (name.starts_with("ca.") || name.starts_with("cg.")) {
      unsigned bytes = 16;
      name = name.split("global.").second;
      (void)name.consumeInteger(10, bytes);
      asyncCopy(bytes);
    } else {
      add(Kind::Barrier);
    }
  } else if (name.starts_with("shfl.")) {
    add(Kind::Shuffle);
    shared(4);
  } else if (startsWithAny(name, {"barrier", "bar.", "mbarrier", "membar", "fence", "wgmma.", "setmaxnreg"})) {
    add(Kind::Barrier);
  } else if (startsWithAny(name, {"ff2", "f2", "d2", "i2", "ui2", "ll2", "ull2", "h2"})) {
    add(Kind::Convert);
  } else if (startsWithAny(name, {"fma.", "add.", "mul.", "fmul", "fadd"})) {
    add(name.contains(".d") && !name.contains(".f") ? Kind::Fma64 : Kind::Fma);
    mix.multiplyAdds += name.starts_with("fma.");
  } else if (!name.starts_with("read.ptx.sreg.")) {
    add(Kind::Alu);
  }
  return true;
}

bool Counter::amdIntrinsic(const CallBase &call, StringRef name) {
  if (!name.consume_front("llvm.amdgcn."))
    return false;
  DataLayout layout = call.getModule()->getDataLayout();
  auto bytesOf = [&](Type *type) { return double(layout.getTypeStoreSize(type)); };
  if (name.starts_with("mfma.") || name.starts_with("wmma.") || name.starts_with("smfmac.")) {
    matrix(readCrossedShape(name));
  } else if (startsWithAny(name, {"exp2", "log", "rcp", "rsq", "sqrt", "sin", "cos"})) {
    add(Kind::Special);
  } else if (startsWithAny(name, {"ds.bpermute", "ds.permute", "ds.swizzle"})) {
    add(Kind::Shuffle);
    shared(4);
  } else if (startsWithAny(name, {"update.dpp", "mov.dpp", "permlane", "readlane", "writelane"})) {
    add(Kind::Shuffle); // on the vector unit itself
  } else if (name.starts_with("readfirstlane")) {
    add(Kind::Alu); // what is the same in all lanes goes to a scalar register
  } else if (name.contains("load.lds")) {
    const auto *size = dyn_cast<ConstantInt>(call.getArgOperand(2));
    asyncCopy(size ? double(size->getZExtValue()) : 4);
  } else if (name.contains("buffer.load")) {
    memory(1, bytesOf(call.getType()), /*load=*/true, /*uniform=*/false);
  } else if (name.contains("buffer.store")) {
    memory(1, bytesOf(call.getArgOperand(0)->getType()), /*load=*/false, /*uniform=*/false);
  } else if (startsWithAny(name, {"s.barrier", "s.waitcnt", "fence", "wave.barrier"})) {
    add(Kind::Barrier);
  } else if (startsWithAny(name, {"cvt."})) {
    add(Kind::Convert);
  } else if (startsWithAny(name, {"fma", "fmul", "fdot"})) {
    add(Kind::Fma);
    mix.multiplyAdds += name.starts_with("fma");
  } else if (!startsWithAny(name, {"workitem.id", "workgroup.id", "dispatch", "kernarg", "implicitarg", "sched.",
                                   "s.setprio", "make.buffer.rsrc", "iglp"})) {
    add(Kind::Alu);
  }
  return true;
}

void Counter::intrinsic(const CallBase &call, StringRef name) {
  if (nvidiaIntrinsic(name) || amdIntrinsic(call, name))
    return;
  Type *type = call.getType();
  const double elements = isa<FixedVectorType>(type) ? cast<FixedVectorType>(type)->getNumElements() : 1;
  const unsigned bits = type->getScalarSizeInBits();
  if (startsWithAny(name, {"llvm.fma.", "llvm.fmuladd."})) {
    floats(bits, elements);
    mix.multiplyAdds += elements;
  } else if (startsWithAny(name, {"llvm.exp2.", "llvm.log2.", "llvm.sqrt."})) {
    add(Kind::Special, elements);
  } else if (startsWithAny(name, {"llvm.maximum.", "llvm.minimum."})) {
    // AMD's instruction drops NaNs: a comparison and a selection keep them.
    add(Kind::Alu, elements * (rules.amd ? 3 : 1) * (bits == 64 ? 2 : 1));
  } else if (startsWithAny(name, {"llvm.smax.", "llvm.smin.", "llvm.umax.", "llvm.umin."})) {
    // Of 64 bits: a comparison of two words, and two selections.
    add(Kind::Alu, elements * (bits > 32 ? 4 : 1));
  } else if (name.starts_with("llvm.fabs.") || name.starts_with("llvm.lifetime.") || name.starts_with("llvm.assume") ||
             name.starts_with("llvm.dbg.") || name.starts_with("llvm.experimental.noalias")) {
    return;
  } else if (name.starts_with("llvm.")) {
    add(Kind::Alu, std::max(1.0, std::ceil(bits / 32.0) * elements));
  } else {
    add(Kind::Other);
  }
}

void Counter::instruction(const Instruction &op, bool uniform) {
  if (const auto *call = dyn_cast<CallBase>(&op)) {
    if (const auto *code = dyn_cast<InlineAsm>(call->getCalledOperand()))
      return countAssembly(code->getAsmString(), rules, mix);
    const Function *callee = call->getCalledFunction();
    return callee ? intrinsic(*call, callee->getName()) : add(Kind::Other);
  }
  const DataLayout layout = op.getModule()->getDataLayout();
  if (const auto *load = dyn_cast<LoadInst>(&op))
    return memory(load->getPointerAddressSpace(), double(layout.getTypeStoreSize(op.getType())), true, uniform);
  if (const auto *store = dyn_cast<StoreInst>(&op))
    return memory(store->getPointerAddressSpace(), double(layout.getTypeStoreSize(store->getValueOperand()->getType())),
                  false, false);
  if (const auto *atomic = dyn_cast<AtomicRMWInst>(&op))
    return memory(atomic->getPointerAddressSpace(), double(layout.getTypeStoreSize(op.getType())), false, false);
  if (isa<FenceInst>(op))
    return add(Kind::Barrier);
  if (const auto *branch = dyn_cast<BranchInst>(&op))
    return add(Kind::Branch, branch->isConditional());
  if (isa<SwitchInst>(op))
    return add(Kind::Branch, 1);
  // Names of registers, or nothing at all.
  if (isa<PHINode, ExtractValueInst, InsertValueInst, ExtractElementInst, FreezeInst, BitCastInst, PtrToIntInst,
          IntToPtrInst, AddrSpaceCastInst, AllocaInst, ReturnInst, UnreachableInst, TruncInst, ZExtInst>(op))
    return;
  if (rules.amd && uniform)
    return add(Kind::Scalar);
  Type *type = op.getType();
  if (const auto *compare = dyn_cast<CmpInst>(&op))
    type = compare->getOperand(0)->getType();
  const double elements = isa<FixedVectorType>(type) ? cast<FixedVectorType>(type)->getNumElements() : 1;
  const unsigned bits =
      type->isPtrOrPtrVectorTy() ? layout.getPointerTypeSizeInBits(type) : type->getScalarSizeInBits();
  if (isa<InsertElementInst, ShuffleVectorInst>(op)) {
    // Two halves of a register are put together by one instruction.
    const double moved = isa<InsertElementInst>(op) ? 1 : elements;
    return add(Kind::Alu, bits < 32 ? moved / 2 : 0);
  }
  if (const auto *address = dyn_cast<GetElementPtrInst>(&op)) {
    constexpr unsigned kShared = 3;
    return add(Kind::Alu, address->hasAllConstantIndices() ? 0 : address->getPointerAddressSpace() == kShared ? 1 : 2);
  }
  if (isa<CastInst>(op)) {
    if (op.getOpcode() == Instruction::SExt)
      return add(Kind::Alu, elements);
    if (rules.amd && type->getScalarType()->isBFloatTy())
      add(Kind::Alu, 4 * elements); // rounded by integer instructions
    return add(Kind::Convert, elements);
  }
  arithmetic(op, type, elements, bits);
}

/// One statement without its guard and its braces.
void Counter::statement(StringRef text) {
  const StringRef opcode = text.take_until([](char c) { return isSpace(c); });
  const StringRef operands = text.drop_front(opcode.size());
  if (opcode.starts_with("wgmma.mma_async")) {
    const MatrixShape shape = readLetteredShape(opcode);
    const double before = mix.matrixFlops;
    // A warpgroup's instruction: four subgroups each do a quarter. k elements of a row are always 32 bytes.
    matrix(shape, 4);
    mix.asyncFlops += mix.matrixFlops - before;
    const bool registersA = operands.split('}').second.ltrim(", \t").starts_with("{");
    mix.sharedBytes += (shape.n + (registersA ? 0 : shape.m)) * 32 / 4;
  } else if (opcode.starts_with("mma.")) {
    matrix(readLetteredShape(opcode));
  } else if (startsWithAny(opcode, {"v_mfma_", "v_wmma_"})) {
    std::string dotted = opcode.str();
    std::replace(dotted.begin(), dotted.end(), '_', '.');
    matrix(readCrossedShape(dotted));
  } else if (startsWithAny(opcode, {"ldmatrix.", "stmatrix."})) {
    add(opcode.starts_with("ld") ? Kind::SharedLoad : Kind::SharedStore);
    shared(opcode.contains(".x4") ? 16 : opcode.contains(".x2") ? 8 : 4);
  } else if (startsWithAny(opcode, {"cp.async.bulk.commit", "cp.async.bulk.wait", "cp.async.commit", "cp.async.wait",
                                    "cp.async.mbarrier"})) {
    add(Kind::Barrier);
  } else if (startsWithAny(opcode, {"cp.async.bulk", "cp.reduce.async.bulk"})) {
    add(Kind::BulkCopy);
  } else if (opcode.starts_with("cp.async.")) {
    unsigned bytes = 16;
    StringRef size = operands.split(']').second.split(']').second.ltrim(", \t");
    (void)size.consumeInteger(10, bytes);
    asyncCopy(bytes);
  } else if (startsWithAny(opcode, {"bar.", "barrier.", "mbarrier.", "fence.", "membar.", "wgmma.", "setmaxnreg.",
                                    "griddepcontrol.", "elect.", "s_barrier", "s_waitcnt"})) {
    add(Kind::Barrier);
  } else if (startsWithAny(opcode, {"ex2.", "lg2.", "rcp.", "rsqrt.", "sqrt.", "tanh.", "sin.", "cos.", "v_exp_",
                                    "v_log_", "v_rcp_", "v_rsq_", "v_sqrt_"})) {
    add(Kind::Special);
  } else if (startsWithAny(opcode, {"shfl.", "ds_bpermute", "ds_swizzle"})) {
    add(Kind::Shuffle);
    shared(4);
  } else if (startsWithAny(opcode, {"ld.shared", "st.shared", "ld.global", "st.global", "ld.local", "st.local"})) {
    unsigned bits = 32, lanes = 1;
    for (StringRef part : split(opcode, '.')) {
      StringRef digits = part.drop_front(part.empty() ? 0 : 1);
      unsigned value;
      if (!digits.empty() && !digits.getAsInteger(10, value))
        (part.front() == 'v' ? lanes : bits) = value;
    }
    const unsigned space = opcode.contains(".shared") ? 3 : opcode.contains(".local") ? 5 : 1;
    memory(space, bits / 8.0 * lanes, opcode.starts_with("ld"), /*uniform=*/false);
  } else if (opcode.starts_with("cvt.") || opcode.starts_with("v_cvt_")) {
    add(Kind::Convert);
  } else if (startsWithAny(opcode, {"fma.", "mad.f", "add.f", "add.rn.f", "add.ftz", "sub.f", "mul.f", "mul.rn.f",
                                    "mul.ftz", "add.rn.ftz", "mul.rn.ftz", "v_fma_", "v_pk_", "v_mul_f", "v_add_f"})) {
    add(opcode.contains("f64") ? Kind::Fma64 : Kind::Fma);
    mix.multiplyAdds += opcode.starts_with("fma.") || opcode.starts_with("v_fma_");
  } else if (startsWithAny(opcode, {"bra", "s_cbranch", "s_branch"})) {
    add(Kind::Branch);
  } else if (startsWithAny(opcode, {"s_nop", "s_setprio", "s_sleep", "nanosleep", "mov."})) {
    return; // no unit's time
  } else {
    add(opcode.starts_with("s_") ? Kind::Scalar : Kind::Alu);
  }
}
} // namespace

void countInstruction(const Instruction &instruction, const CountingRules &rules, bool uniform, InstructionMix &mix) {
  Counter(rules, mix).instruction(instruction, uniform);
}

void countAssembly(StringRef text, const CountingRules &rules, InstructionMix &mix) {
  Counter counter(rules, mix);
  SmallVector<StringRef> lines;
  text.split(lines, '\n');
  for (StringRef line : lines) {
    SmallVector<StringRef> statements;
    line.split("//").first.split(statements, ';');
    for (StringRef statement : statements) {
      statement = statement.trim();
      while (statement.consume_front("{") || statement.consume_front("}"))
        statement = statement.ltrim();
      // A label, and a guard.
      if (size_t colon = statement.find(':'); colon != StringRef::npos &&
                                              !statement.drop_front(colon).starts_with("::") &&
                                              statement.take_front(colon).find_first_of(" \t{[") == StringRef::npos)
        statement = statement.drop_front(colon + 1).ltrim();
      if (statement.starts_with("@"))
        statement = statement.drop_until([](char c) { return isSpace(c); }).ltrim();
      if (!statement.empty() && !statement.starts_with("."))
        counter.statement(statement);
    }
  }
}
} // namespace flashc

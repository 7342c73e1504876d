#include "compiler/CAbi.h"

#include "runtime/include/flashc/runtime.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

#include <cstddef>
#include <map>

using namespace mlir;

namespace {
using flashc::KernelInterface;
using flashc::KernelOperand;

/// Builds the two functions. Every access is a load at a byte offset of the C structs, whose layout the header fixes.
class Emitter {
public:
  Emitter(func::FuncOp kernel, const KernelInterface &interface)
      : kernel(kernel), interface(interface), context(kernel.getContext()), b(context), types(context),
        ptr(LLVM::LLVMPointerType::get(context)), i32(b.getI32Type()), i64(b.getI64Type()), loc(kernel.getLoc()) {}

  void emit() {
    b.setInsertionPointAfter(kernel);
    LLVM::LLVMFuncOp check = emitCheck();
    LLVM::LLVMFuncOp size = emitWorkspaceSize(check);
    emitRun(check, size);
    kernel.setPrivate();
  }

private:
  LLVM::LLVMFuncOp declare(const Twine &suffix, Type result, ArrayRef<Type> arguments) {
    auto type = LLVM::LLVMFunctionType::get(result, arguments);
    return b.create<LLVM::LLVMFuncOp>(loc, (kernel.getName() + suffix).str(), type);
  }
  Value constant(Type type, int64_t value) {
    return b.create<LLVM::ConstantOp>(loc, type, b.getIntegerAttr(type, value));
  }
  Value load(Type type, Value base, int64_t bytes) {
    Value address =
        b.create<LLVM::GEPOp>(loc, ptr, IntegerType::get(context, 8), base, ArrayRef<LLVM::GEPArg>{int32_t(bytes)});
    return b.create<LLVM::LoadOp>(loc, type, address);
  }
  Value compare(LLVM::ICmpPredicate predicate, Value x, Value y) {
    return b.create<LLVM::ICmpOp>(loc, predicate, x, y);
  }
  Value null() { return b.create<LLVM::ZeroOp>(loc, ptr); }
  Value bothOf(Value x, Value y) { return b.create<LLVM::AndOp>(loc, x, y); }

  /// Leaves the current function with `status` when `condition` holds.
  void failIf(Value condition, flashc_status status) {
    returnIf(condition, [&] { return constant(i32, status); });
  }
  void returnIf(Value condition, llvm::function_ref<Value()> result) {
    Block *current = b.getInsertionBlock();
    Region *region = current->getParent();
    Block *leave = b.createBlock(region, region->end());
    b.create<LLVM::ReturnOp>(loc, result());
    Block *next = b.createBlock(region, region->end());
    b.setInsertionPointToEnd(current);
    b.create<LLVM::CondBrOp>(loc, condition, leave, ValueRange{}, next, ValueRange{});
    b.setInsertionPointToEnd(next);
  }

  /// One tensor of the call.
  struct Loaded {
    Value data;
    SmallVector<Value> sizes, strides;
  };
  Loaded loadTensor(Value tensors, unsigned index);
  void checkTensor(Value tensors, unsigned index, std::map<int64_t, Value> &named);
  Value descriptor(Value tensors, unsigned index);
  SmallVector<Value> memrefs(Value args);
  Value numWorkers(Value args);
  Value workspaceBytes(SmallVector<Value> operands, Value workers);
  LLVM::LLVMFuncOp emitCheck();
  LLVM::LLVMFuncOp emitWorkspaceSize(LLVM::LLVMFuncOp check);
  void emitRun(LLVM::LLVMFuncOp check, LLVM::LLVMFuncOp size);

  /// Whether the kernel is launched on a device: it has a stream, and returns a status.
  bool launches() {
    return llvm::any_of(llvm::seq(kernel.getNumArguments()),
                        [&](unsigned i) { return !!kernel.getArgAttr(i, flashc::kStreamAttr); });
  }

  MemRefType operandType(unsigned index) { return cast<MemRefType>(kernel.getArgument(index).getType()); }

  func::FuncOp kernel;
  const KernelInterface &interface;
  MLIRContext *context;
  OpBuilder b;
  LLVMTypeConverter types;
  Type ptr, i32, i64;
  Location loc;
};

Emitter::Loaded Emitter::loadTensor(Value tensors, unsigned index) {
  int64_t base = int64_t(index) * sizeof(flashc_tensor);
  Loaded tensor;
  tensor.data = load(ptr, tensors, base + offsetof(flashc_tensor, data));
  for (size_t d = 0; d < interface.operands[index].sizes.size(); ++d) {
    tensor.sizes.push_back(load(i64, tensors, base + offsetof(flashc_tensor, size) + 8 * d));
    tensor.strides.push_back(load(i64, tensors, base + offsetof(flashc_tensor, stride) + 8 * d));
  }
  return tensor;
}

void Emitter::checkTensor(Value tensors, unsigned index, std::map<int64_t, Value> &named) {
  using P = LLVM::ICmpPredicate;
  const KernelOperand &operand = interface.operands[index];
  int64_t base = int64_t(index) * sizeof(flashc_tensor);
  failIf(compare(P::ne, load(i32, tensors, base + offsetof(flashc_tensor, dtype)), constant(i32, operand.dtype)),
         FLASHC_ERROR_DTYPE);
  failIf(compare(P::ne, load(i32, tensors, base + offsetof(flashc_tensor, rank)), constant(i32, operand.sizes.size())),
         FLASHC_ERROR_RANK);
  Loaded tensor = loadTensor(tensors, index);
  Value zero = constant(i64, 0);

  // The element count in bytes has to fit, and is zero as soon as one size is.
  static constexpr int64_t bytesOf[] = {8, 4, 2, 2, 8, 4, 1, 1};
  Value bytes = constant(i64, bytesOf[operand.dtype]), empty;
  auto pair = LLVM::LLVMStructType::getLiteral(context, {i64, b.getI1Type()});
  Value overflow = b.create<LLVM::ConstantOp>(loc, b.getI1Type(), b.getBoolAttr(false));
  empty = overflow;
  for (auto [d, expected] : llvm::enumerate(operand.sizes)) {
    Value size = tensor.sizes[d];
    if (expected >= 0)
      failIf(compare(P::ne, size, constant(i64, expected)), FLASHC_ERROR_SHAPE);
    else
      failIf(compare(P::slt, size, zero), FLASHC_ERROR_SHAPE);
    if (expected < FLASHC_SIZE_ANY) {
      auto [known, fresh] = named.try_emplace(expected, size);
      if (!fresh)
        failIf(compare(P::ne, size, known->second), FLASHC_ERROR_SHAPE);
    }
    Value product = b.create<LLVM::SMulWithOverflowOp>(loc, pair, bytes, size);
    bytes = b.create<LLVM::ExtractValueOp>(loc, product, ArrayRef<int64_t>{0});
    overflow = b.create<LLVM::OrOp>(loc, overflow, b.create<LLVM::ExtractValueOp>(loc, product, ArrayRef<int64_t>{1}));
    empty = b.create<LLVM::OrOp>(loc, empty, compare(P::eq, size, zero));
  }
  Value one = b.create<LLVM::ConstantOp>(loc, b.getI1Type(), b.getBoolAttr(true));
  Value filled = b.create<LLVM::XOrOp>(loc, empty, one);
  failIf(bothOf(overflow, filled), FLASHC_ERROR_SHAPE);
  failIf(bothOf(filled, compare(P::eq, tensor.data, null())), FLASHC_ERROR_NULL);
  if (int64_t align = bytesOf[operand.dtype]; align > 1) {
    Value address = b.create<LLVM::PtrToIntOp>(loc, i64, tensor.data);
    Value low = b.create<LLVM::AndOp>(loc, address, constant(i64, align - 1));
    failIf(bothOf(filled, compare(P::ne, low, zero)), FLASHC_ERROR_INVALID);
  }

  // A stride that the code takes for granted; of no matter where the size is 0 or 1.
  int64_t offset;
  SmallVector<int64_t> strides;
  (void)getStridesAndOffset(operandType(index), strides, offset);
  for (auto [d, stride] : llvm::enumerate(strides)) {
    if (ShapedType::isDynamic(stride) || (operand.sizes[d] >= 0 && operand.sizes[d] <= 1))
      continue;
    Value several = compare(P::sgt, tensor.sizes[d], constant(i64, 1));
    Value differs = compare(P::ne, tensor.strides[d], constant(i64, stride));
    failIf(bothOf(filled, bothOf(several, differs)), FLASHC_ERROR_INVALID);
  }
}

LLVM::LLVMFuncOp Emitter::emitCheck() {
  using P = LLVM::ICmpPredicate;
  OpBuilder::InsertionGuard guard(b);
  LLVM::LLVMFuncOp function = declare("_check", i32, {ptr});
  function.setLinkage(LLVM::Linkage::Internal);
  b.setInsertionPointToStart(function.addEntryBlock(b));
  Value args = function.getArgument(0);
  failIf(compare(P::eq, args, null()), FLASHC_ERROR_NULL);
  failIf(compare(P::ne, load(i32, args, offsetof(flashc_args, abi_version)), constant(i32, FLASHC_ABI_VERSION)),
         FLASHC_ERROR_ABI);
  failIf(compare(P::ne, load(i32, args, offsetof(flashc_args, num_tensors)), constant(i32, interface.operands.size())),
         FLASHC_ERROR_OPERANDS);
  Value tensors = load(ptr, args, offsetof(flashc_args, tensors));
  if (!interface.operands.empty())
    failIf(compare(P::eq, tensors, null()), FLASHC_ERROR_NULL);
  std::map<int64_t, Value> named;
  for (unsigned i = 0; i < interface.operands.size(); ++i)
    checkTensor(tensors, i, named);
  if (named.count(FLASHC_SIZE_Q_HEADS) && named.count(FLASHC_SIZE_KV_HEADS)) {
    // Without key heads there may be no query heads either; a divisor of 1 stands in for 0.
    Value heads = named[FLASHC_SIZE_Q_HEADS], groups = named[FLASHC_SIZE_KV_HEADS], zero = constant(i64, 0);
    Value none = compare(P::eq, groups, zero);
    failIf(bothOf(none, compare(P::ne, heads, zero)), FLASHC_ERROR_SHAPE);
    Value divisor = b.create<LLVM::SelectOp>(loc, none, constant(i64, 1), groups);
    failIf(compare(P::ne, b.create<LLVM::URemOp>(loc, heads, divisor), zero), FLASHC_ERROR_SHAPE);
  }

  // A host is only looked at when there is one.
  Value host = load(ptr, args, offsetof(flashc_args, host));
  returnIf(compare(P::eq, host, null()), [&] { return constant(i32, FLASHC_OK); });
  failIf(compare(P::ne, load(i32, host, offsetof(flashc_host, abi_version)), constant(i32, FLASHC_ABI_VERSION)),
         FLASHC_ERROR_ABI);
  if (launches()) {
    b.create<LLVM::ReturnOp>(loc, constant(i32, FLASHC_OK));
    return function;
  }
  Value several = compare(P::sgt, load(i32, host, offsetof(flashc_host, num_workers)), constant(i32, 1));
  Value missing = compare(P::eq, load(ptr, host, offsetof(flashc_host, parallel_for)), null());
  failIf(bothOf(several, missing), FLASHC_ERROR_NULL);
  b.create<LLVM::ReturnOp>(loc, constant(i32, FLASHC_OK));
  return function;
}

Value Emitter::descriptor(Value tensors, unsigned index) {
  Loaded tensor = loadTensor(tensors, index);
  MemRefType type = operandType(index);
  auto descriptor = MemRefDescriptor::undef(b, loc, types.convertType(type));
  descriptor.setAllocatedPtr(b, loc, tensor.data);
  descriptor.setAlignedPtr(b, loc, tensor.data);
  descriptor.setOffset(b, loc, constant(i64, 0));
  int64_t offset;
  SmallVector<int64_t> strides;
  (void)getStridesAndOffset(type, strides, offset);
  for (int64_t d = 0; d < type.getRank(); ++d) {
    Value size = type.isDynamicDim(d) ? tensor.sizes[d] : constant(i64, type.getDimSize(d));
    Value stride = ShapedType::isDynamic(strides[d]) ? tensor.strides[d] : constant(i64, strides[d]);
    descriptor.setSize(b, loc, d, size);
    descriptor.setStride(b, loc, d, stride);
  }
  return b.create<UnrealizedConversionCastOp>(loc, type, Value(descriptor)).getResult(0);
}

SmallVector<Value> Emitter::memrefs(Value args) {
  Value tensors = load(ptr, args, offsetof(flashc_args, tensors));
  SmallVector<Value> values;
  for (unsigned i = 0; i < interface.operands.size(); ++i)
    values.push_back(descriptor(tensors, i));
  return values;
}

/// How many workers the host of `args` has, where the kernel asks; null where it does not.
Value Emitter::numWorkers(Value args) {
  bool asked = llvm::any_of(llvm::seq(kernel.getNumArguments()),
                            [&](unsigned i) { return !!kernel.getArgAttr(i, flashc::kWorkersAttr); });
  if (!asked)
    return {};
  auto module = kernel->getParentOfType<ModuleOp>();
  auto function = module.lookupSymbol<LLVM::LLVMFuncOp>((kernel.getName() + "_workers").str());
  if (!function) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointAfter(kernel);
    function = declare("_workers", i64, {ptr});
    function.setLinkage(LLVM::Linkage::Internal);
    b.setInsertionPointToStart(function.addEntryBlock(b));
    auto one = [&] { return constant(i64, 1); };
    Value host = load(ptr, function.getArgument(0), offsetof(flashc_args, host));
    returnIf(compare(LLVM::ICmpPredicate::eq, host, null()), one);
    Value count = load(i32, host, offsetof(flashc_host, num_workers));
    returnIf(compare(LLVM::ICmpPredicate::slt, count, constant(i32, 1)), one);
    b.create<LLVM::ReturnOp>(loc, b.create<LLVM::ZExtOp>(loc, i64, count));
  }
  Value count = b.create<LLVM::CallOp>(loc, function, args).getResult();
  return b.create<UnrealizedConversionCastOp>(loc, b.getIndexType(), count).getResult(0);
}

/// The bytes that a call on `operands` needs.
Value Emitter::workspaceBytes(SmallVector<Value> operands, Value workers) {
  if (workers)
    operands.push_back(workers);
  std::string bytes = (kernel.getName() + "_workspace_bytes").str();
  Value size = b.create<func::CallOp>(loc, bytes, TypeRange{b.getIndexType()}, operands).getResult(0);
  return b.create<UnrealizedConversionCastOp>(loc, i64, size).getResult(0);
}

LLVM::LLVMFuncOp Emitter::emitWorkspaceSize(LLVM::LLVMFuncOp check) {
  OpBuilder::InsertionGuard guard(b);
  LLVM::LLVMFuncOp function = declare("_workspace_size", i64, {ptr});
  b.setInsertionPointToStart(function.addEntryBlock(b));
  Value args = function.getArgument(0);
  // What cannot be run needs no workspace; NAME_run says why.
  Value status = b.create<LLVM::CallOp>(loc, check, args).getResult();
  returnIf(compare(LLVM::ICmpPredicate::ne, status, constant(i32, FLASHC_OK)), [&] { return constant(i64, 0); });
  b.create<LLVM::ReturnOp>(loc, workspaceBytes(memrefs(args), numWorkers(args)));
  return function;
}

void Emitter::emitRun(LLVM::LLVMFuncOp check, LLVM::LLVMFuncOp size) {
  using P = LLVM::ICmpPredicate;
  OpBuilder::InsertionGuard guard(b);
  LLVM::LLVMFuncOp function = declare("_run", i32, {ptr, ptr, ptr, i64});
  b.setInsertionPointToStart(function.addEntryBlock(b));
  Value args = function.getArgument(0), workspace = function.getArgument(2), given = function.getArgument(3);
  Value status = b.create<LLVM::CallOp>(loc, check, args).getResult();
  returnIf(compare(P::ne, status, constant(i32, FLASHC_OK)), [&] { return status; });

  if (launches()) {
    Value host = load(ptr, args, offsetof(flashc_args, host));
    failIf(compare(P::eq, host, null()), FLASHC_ERROR_TARGET);
    failIf(compare(P::eq, load(ptr, host, offsetof(flashc_host, launch)), null()), FLASHC_ERROR_TARGET);
  }
  SmallVector<Value> operands = memrefs(args);
  Value workers = numWorkers(args), needed = workspaceBytes(operands, workers);
  failIf(compare(P::ult, given, needed), FLASHC_ERROR_WORKSPACE);
  Value some = compare(P::ne, needed, constant(i64, 0));
  failIf(bothOf(some, compare(P::eq, workspace, null())), FLASHC_ERROR_WORKSPACE);
  Value low = b.create<LLVM::AndOp>(loc, b.create<LLVM::PtrToIntOp>(loc, i64, workspace), constant(i64, 63));
  failIf(bothOf(some, compare(P::ne, low, constant(i64, 0))), FLASHC_ERROR_WORKSPACE);

  for (unsigned i = interface.operands.size(); i < kernel.getNumArguments(); ++i) {
    if (kernel.getArgAttr(i, flashc::kHostAttr)) {
      operands.push_back(load(ptr, args, offsetof(flashc_args, host)));
      continue;
    }
    if (kernel.getArgAttr(i, flashc::kStreamAttr)) {
      operands.push_back(function.getArgument(1));
      continue;
    }
    if (kernel.getArgAttr(i, flashc::kWorkersAttr)) {
      operands.push_back(workers);
      continue;
    }
    auto descriptor = MemRefDescriptor::undef(b, loc, types.convertType(kernel.getArgument(i).getType()));
    descriptor.setAllocatedPtr(b, loc, workspace);
    descriptor.setAlignedPtr(b, loc, workspace);
    descriptor.setOffset(b, loc, constant(i64, 0));
    descriptor.setSize(b, loc, 0, given);
    descriptor.setStride(b, loc, 0, constant(i64, 1));
    operands.push_back(
        b.create<UnrealizedConversionCastOp>(loc, kernel.getArgument(i).getType(), Value(descriptor)).getResult(0));
  }
  auto call = b.create<func::CallOp>(loc, kernel, operands);
  b.create<LLVM::ReturnOp>(loc, call.getNumResults() ? call.getResult(0) : constant(i32, FLASHC_OK));
}

struct EmitCAbiPass : public PassWrapper<EmitCAbiPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(EmitCAbiPass)
  StringRef getArgument() const final { return "emit-c-abi"; }
  StringRef getDescription() const final { return "Add the C functions NAME_workspace_size and NAME_run of a kernel"; }
  void getDependentDialects(DialectRegistry &registry) const final { registry.insert<LLVM::LLVMDialect>(); }
  void runOnOperation() final {
    for (auto func : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>()))
      if (func.isPublic() && !func.isExternal() && failed(flashc::emitCAbi(func)))
        return signalPassFailure();
  }
};
} // namespace

LogicalResult flashc::emitCAbi(func::FuncOp func) {
  FailureOr<KernelInterface> interface = getKernelInterface(func);
  if (failed(interface))
    return failure();
  auto module = func->getParentOfType<ModuleOp>();
  if (!module.lookupSymbol((func.getName() + "_workspace_bytes").str()))
    return func.emitOpError("has no '") << func.getName() << "_workspace_bytes' beside it; run plan-workspace first";
  for (StringRef suffix : {"_check", "_workers", "_workspace_size", "_run"})
    if (Operation *other = module.lookupSymbol((func.getName() + suffix).str()))
      return other->emitOpError("has the name that the C function '") << func.getName() << suffix << "' needs";
  Emitter(func, *interface).emit();
  return success();
}

std::unique_ptr<Pass> flashc::createEmitCAbiPass() { return std::make_unique<EmitCAbiPass>(); }
void flashc::registerEmitCAbiPass() { PassRegistration<EmitCAbiPass>(); }

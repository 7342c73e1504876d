//===- OutlineGpuKernels.cpp - outline-gpu-kernels ------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tile/Tile.h"
#include "passes/GpuKernels.h"
#include "passes/HostServices.h"
#include "passes/MemRefPointers.h"
#include "passes/Passes.h"
#include "passes/TaskLoops.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"

#include <variant>

namespace flashc {
#define GEN_PASS_DEF_OUTLINEGPUKERNELS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {
/// Both vendors' number for global memory.
constexpr unsigned kGlobal = 1;
constexpr int64_t kMostThreads = 1024;

/// One value that a kernel captures, as the parameters it travels in.
class Capture {
public:
  explicit Capture(Value value) : value(value) {
    MLIRContext *context = value.getContext();
    Type type = value.getType();
    Builder b(context);
    auto memref = dyn_cast<MemRefType>(type);
    if (memref && isStrided(memref) && isDeviceMemory(memref)) {
      int64_t offset;
      SmallVector<int64_t> strides;
      (void)getStridesAndOffset(memref, strides, offset);
      movesPointer = ShapedType::isDynamic(offset);
      types.push_back(LLVM::LLVMPointerType::get(context, kGlobal));
      for (int64_t d = 0; d < memref.getRank(); ++d) {
        if (memref.isDynamicDim(d))
          sizes.push_back(d);
        if (ShapedType::isDynamic(strides[d]))
          this->strides.push_back(d);
      }
      types.append(sizes.size() + this->strides.size(), b.getI64Type());
    } else if (isa<tile::TensorMapType>(type)) {
      types.push_back(LLVM::LLVMPointerType::get(context));
    } else if (isa<LLVM::LLVMPointerType>(type)) {
      types.push_back(LLVM::LLVMPointerType::get(context, kGlobal));
    } else if (isa<IndexType>(type)) {
      types.push_back(b.getI64Type());
    } else if (type.isInteger(1)) {
      types.push_back(b.getI32Type());
    } else if (type.isBF16() || type.isF16()) {
      types.push_back(b.getI16Type());
    } else if (type.isF32() || type.isF64() || type.isInteger(8) || type.isInteger(16) || type.isInteger(32) ||
               type.isInteger(64)) {
      types.push_back(type);
    }
  }

  /// Empty for a value that no parameter can carry.
  ArrayRef<Type> getTypes() const { return types; }

  /// A tensor map is handed over as it lies, by its address.
  bool isTensorMap() const { return isa<tile::TensorMapType>(value.getType()); }

  /// The parameters' values on the host; pointers as integers.
  SmallVector<Value> toHost(OpBuilder &b, Location loc) const {
    Type i64 = b.getI64Type(), type = value.getType();
    auto asI64 = [&](Value index) -> Value { return b.create<arith::IndexCastOp>(loc, i64, index); };
    if (isa<MemRefType>(type)) {
      auto data = b.create<memref::ExtractStridedMetadataOp>(loc, value);
      Value pointer = movesPointer ? getFirstPointer(b, loc, value) : getAlignedPointer(b, loc, value);
      SmallVector<Value> values{b.create<LLVM::PtrToIntOp>(loc, i64, pointer)};
      for (unsigned d : sizes)
        values.push_back(asI64(data.getSizes()[d]));
      for (unsigned d : strides)
        values.push_back(asI64(data.getStrides()[d]));
      return values;
    }
    if (isa<LLVM::LLVMPointerType>(type))
      return {b.create<LLVM::PtrToIntOp>(loc, i64, value)};
    if (isa<IndexType>(type))
      return {asI64(value)};
    if (type.isInteger(1))
      return {b.create<arith::ExtUIOp>(loc, types.front(), value)};
    if (type != types.front())
      return {b.create<arith::BitcastOp>(loc, types.front(), value)};
    return {value};
  }

  /// The value again, in the kernel.
  Value inKernel(OpBuilder &b, Location loc, ValueRange parameters, LLVMTypeConverter &converter) const {
    Type type = value.getType(), generic = LLVM::LLVMPointerType::get(b.getContext());
    if (auto memref = dyn_cast<MemRefType>(type)) {
      Value pointer = b.create<LLVM::AddrSpaceCastOp>(loc, generic, parameters.front());
      auto number = [&](int64_t n) -> Value {
        return b.create<LLVM::ConstantOp>(loc, b.getI64Type(), b.getI64IntegerAttr(n));
      };
      int64_t offset;
      SmallVector<int64_t> known;
      (void)getStridesAndOffset(memref, known, offset);
      auto descriptor = MemRefDescriptor::undef(b, loc, converter.convertType(memref));
      descriptor.setAllocatedPtr(b, loc, pointer);
      descriptor.setAlignedPtr(b, loc, pointer);
      descriptor.setOffset(b, loc, number(movesPointer ? 0 : offset));
      unsigned next = 1;
      for (int64_t d = 0; d < memref.getRank(); ++d)
        descriptor.setSize(b, loc, d, memref.isDynamicDim(d) ? parameters[next++] : number(memref.getDimSize(d)));
      for (int64_t d = 0; d < memref.getRank(); ++d)
        descriptor.setStride(b, loc, d, ShapedType::isDynamic(known[d]) ? parameters[next++] : number(known[d]));
      return b.create<UnrealizedConversionCastOp>(loc, type, Value(descriptor)).getResult(0);
    }
    if (isTensorMap())
      return b.create<UnrealizedConversionCastOp>(loc, type, parameters.front()).getResult(0);
    if (isa<LLVM::LLVMPointerType>(type))
      return b.create<LLVM::AddrSpaceCastOp>(loc, generic, parameters.front());
    if (isa<IndexType>(type))
      return b.create<arith::IndexCastOp>(loc, type, parameters.front());
    if (type.isInteger(1))
      return b.create<arith::TruncIOp>(loc, type, parameters.front());
    if (type != types.front())
      return b.create<arith::BitcastOp>(loc, type, parameters.front());
    return parameters.front();
  }

  Value value;

private:
  static bool isDeviceMemory(MemRefType type) { return type.getMemorySpaceAsInt() == 0; }

  SmallVector<Type> types;
  /// Of a memref: which sizes and strides are parameters, and whether the pointer is moved by the offset.
  SmallVector<unsigned> sizes, strides;
  bool movesPointer = false;
};

/// Turns the loops of one function into kernels.
class Outliner {
public:
  Outliner(func::FuncOp func, int64_t sharedLimit)
      : func(func), context(func.getContext()), layout(func->getParentOfType<ModuleOp>()), converter(context),
        ptr(LLVM::LLVMPointerType::get(context)), sharedLimit(sharedLimit) {
    OpBuilder b(context);
    i32 = b.getI32Type();
    i64 = b.getI64Type();
  }

  LogicalResult run(ArrayRef<scf::ForallOp> loops);

private:
  LogicalResult outline(scf::ForallOp loop, unsigned number);
  LogicalResult check(scf::ForallOp loop);
  /// What only kernels may do: the host cannot reach the tensors.
  LogicalResult checkHost();
  FailureOr<gpu::GPUFuncOp> createKernel(scf::ForallOp loop, StringRef name, ArrayRef<Value> counts,
                                         ArrayRef<Capture> captures, ArrayRef<Operation *> rebuilt);
  void createLaunch(scf::ForallOp loop, StringRef name, ArrayRef<Value> counts, ArrayRef<Capture> captures);
  Value constant(OpBuilder &b, Location loc, Type type, int64_t value) {
    return b.create<LLVM::ConstantOp>(loc, type, b.getIntegerAttr(type, value));
  }
  Value field(OpBuilder &b, Location loc, Type structure, Value base, int32_t number) {
    return b.create<LLVM::GEPOp>(loc, ptr, structure, base, ArrayRef<LLVM::GEPArg>{0, number});
  }

  func::FuncOp func;
  MLIRContext *context;
  DataLayout layout;
  LLVMTypeConverter converter;
  LLVM::LLVMPointerType ptr;
  int64_t sharedLimit;
  Type i32, i64;
  gpu::GPUModuleOp device;
  Value host, stream, status;
  /// Where on the stack the tensor maps are.
  DenseMap<Value, Value> tensorMaps;
};

LogicalResult Outliner::check(scf::ForallOp loop) {
  if (loop.getNumResults() != 0)
    return loop.emitOpError("has ") << loop.getNumResults()
                                    << " results; only a loop without results can become a kernel";
  auto threads = loop->getAttrOfType<IntegerAttr>(kThreadsAttr);
  if (!threads)
    return loop.emitOpError("has no '") << kThreadsAttr
                                        << "', the number of threads of a block, whose code its body is";
  if (threads.getInt() < 1 || threads.getInt() > kMostThreads)
    return loop.emitOpError("asks for ") << threads.getInt() << " threads a block; expected 1 to " << kMostThreads;
  WalkResult calls = loop.walk([](CallOpInterface call) {
    call.emitOpError("calls a function of the host in a kernel; inline it first");
    return WalkResult::interrupt();
  });
  if (calls.wasInterrupted())
    return failure();
  auto shared = loop->getAttrOfType<IntegerAttr>(kSharedBytesAttr);
  if (!shared)
    return success();
  if (shared.getInt() < 0)
    return loop.emitOpError("asks for ") << shared.getInt() << " bytes of shared memory; expected none or more";
  if (sharedLimit > 0 && shared.getInt() > sharedLimit)
    return loop.emitOpError("needs ") << shared.getInt()
                                      << " bytes of shared memory; a block of this target has at most " << sharedLimit
                                      << ": choose smaller tiles";
  return success();
}

FailureOr<gpu::GPUFuncOp> Outliner::createKernel(scf::ForallOp loop, StringRef name, ArrayRef<Value> counts,
                                                 ArrayRef<Capture> captures, ArrayRef<Operation *> rebuilt) {
  Location loc = loop.getLoc();
  OpBuilder b = OpBuilder::atBlockEnd(device.getBody());
  if (Operation *end = device.getBody()->empty() ? nullptr : &device.getBody()->back();
      end && end->hasTrait<OpTrait::IsTerminator>())
    b.setInsertionPoint(end);
  SmallVector<Type> types;
  SmallVector<int32_t> bytes, maps;
  for (const Capture &capture : captures) {
    if (capture.isTensorMap())
      maps.push_back(types.size());
    for (Type type : capture.getTypes()) {
      types.push_back(type);
      bytes.push_back(capture.isTensorMap()              ? int32_t(kTensorMapBytes)
                      : isa<LLVM::LLVMPointerType>(type) ? 8
                                                         : int32_t(layout.getTypeSize(type).getFixedValue()));
    }
  }
  auto kernel = b.create<gpu::GPUFuncOp>(loc, name, b.getFunctionType(types, {}));
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  auto threads = loop->getAttrOfType<IntegerAttr>(kThreadsAttr);
  auto shared = loop->getAttrOfType<IntegerAttr>(kSharedBytesAttr);
  kernel.setKnownBlockSizeAttr(b.getDenseI32ArrayAttr({int32_t(threads.getInt()), 1, 1}));
  kernel->setAttr(kThreadsAttr, threads);
  kernel->setAttr(kSharedBytesAttr, shared ? shared : b.getI64IntegerAttr(0));
  kernel->setAttr(kParamBytesAttr, b.getDenseI32ArrayAttr(bytes));
  if (!maps.empty())
    kernel->setAttr(kTensorMapsAttr, b.getDenseI32ArrayAttr(maps));
  // What a vendor's dialect says of a kernel, such as how many blocks share a unit, is said of the loop.
  for (NamedAttribute attribute : loop->getDiscardableAttrs())
    if (!attribute.getName().strref().starts_with("flashc."))
      kernel->setAttr(attribute.getName(), attribute.getValue());

  Block &entry = kernel.getBody().front();
  b.setInsertionPointToStart(&entry);
  IRMapping map;
  ValueRange parameters = entry.getArguments();
  for (const Capture &capture : captures) {
    size_t taken = capture.getTypes().size();
    map.map(capture.value, capture.inKernel(b, loc, parameters.take_front(taken), converter));
    parameters = parameters.drop_front(taken);
  }
  SymbolTable symbols(device);
  for (Operation *op : rebuilt) {
    auto global = dyn_cast<memref::GetGlobalOp>(op);
    if (isa<func::ConstantOp>(op))
      return op->emitOpError("is captured by a kernel, which cannot call a function of the host");
    if (global && !symbols.lookup(global.getName())) {
      Operation *definition = SymbolTable::lookupNearestSymbolFrom(func, global.getNameAttr());
      if (!definition)
        return op->emitOpError("refers to '") << global.getName() << "', which is not there";
      symbols.insert(definition->clone());
    }
    b.clone(*op, map);
  }
  Value block = b.create<gpu::BlockIdOp>(loc, b.getIndexType(), gpu::Dimension::x);
  mapInductionVars(b, loop, counts, block, map);
  for (Operation &op : loop.getBody()->without_terminator())
    b.clone(op, map);
  b.create<gpu::ReturnOp>(loc);
  // A buffer inside a loop is one buffer of the thread.
  SmallVector<memref::AllocaOp> allocas;
  kernel.walk([&](memref::AllocaOp op) {
    if (op->getBlock() != &entry && op.getType().hasStaticShape() && op.getSymbolOperands().empty())
      allocas.push_back(op);
  });
  for (memref::AllocaOp op : allocas)
    op->moveBefore(&entry, entry.begin());
  return kernel;
}

void Outliner::createLaunch(scf::ForallOp loop, StringRef name, ArrayRef<Value> counts, ArrayRef<Capture> captures) {
  Location loc = loop.getLoc();
  OpBuilder b(loop);
  // The values of the frame, and of each parameter its number there or the tensor map.
  SmallVector<Value> values;
  SmallVector<std::variant<int32_t, Value>> parameters;
  for (const Capture &capture : captures) {
    if (capture.isTensorMap()) {
      parameters.push_back(tensorMaps.lookup(capture.value));
      continue;
    }
    for (Value value : capture.toHost(b, loc)) {
      parameters.push_back(static_cast<int32_t>(values.size()));
      values.push_back(value);
    }
  }
  SmallVector<Type> types = llvm::map_to_vector(values, [](Value value) { return value.getType(); });
  auto frameType = LLVM::LLVMStructType::getLiteral(context, types);
  auto pointersType = LLVM::LLVMArrayType::get(ptr, parameters.size());

  // The parameters live in the entry block, so that a loop around the launch would not grow the stack.
  OpBuilder eb = OpBuilder::atBlockBegin(&func.front());
  Value one = constant(eb, loc, i64, 1);
  Value frame = eb.create<LLVM::AllocaOp>(loc, ptr, frameType, one, /*alignment=*/64);
  Value pointers = eb.create<LLVM::AllocaOp>(loc, ptr, pointersType, one, /*alignment=*/8);

  Value total = counts.front();
  for (Value count : counts.drop_front())
    total = b.create<arith::MulIOp>(loc, total, count);
  Value blocks = b.create<arith::IndexCastOp>(loc, i64, total);
  Value some = b.create<LLVM::ICmpOp>(loc, LLVM::ICmpPredicate::sgt, blocks, constant(b, loc, i64, 0));
  Value before = b.create<LLVM::LoadOp>(loc, i32, status);
  Value good = b.create<LLVM::ICmpOp>(loc, LLVM::ICmpPredicate::eq, before, constant(b, loc, i32, 0));
  b.create<scf::IfOp>(loc, b.create<LLVM::AndOp>(loc, some, good), [&](OpBuilder &nb, Location l) {
    for (auto [i, value] : llvm::enumerate(values))
      nb.create<LLVM::StoreOp>(l, value, field(nb, l, frameType, frame, i));
    for (auto [i, parameter] : llvm::enumerate(parameters)) {
      Value place = std::holds_alternative<Value>(parameter)
                        ? std::get<Value>(parameter)
                        : field(nb, l, frameType, frame, std::get<int32_t>(parameter));
      nb.create<LLVM::StoreOp>(l, place, field(nb, l, pointersType, pointers, i));
    }
    Value user = loadHostField(nb, l, host, HostField::User), launch = loadHostField(nb, l, host, HostField::Launch);
    Value function = nb.create<LLVM::AddressOfOp>(l, ptr, getDeviceFunctionSymbol(name));
    auto type = LLVM::LLVMFunctionType::get(i32, {ptr, ptr, i64, ptr, ptr});
    auto call = nb.create<LLVM::CallOp>(l, type, ValueRange{launch, user, function, blocks, pointers, stream});
    nb.create<LLVM::StoreOp>(l, call.getResult(), status);
    nb.create<scf::YieldOp>(l);
  });
}

LogicalResult Outliner::outline(scf::ForallOp loop, unsigned number) {
  if (failed(check(loop)))
    return failure();
  OpBuilder b(loop);
  SmallVector<Value> counts = createTripCounts(b, loop);
  TaskCaptures captured = collectCaptures(loop, counts);
  SmallVector<Capture> captures;
  for (Value value : captured.values) {
    captures.emplace_back(value);
    if (captures.back().getTypes().empty())
      return loop.emitOpError("captures a value of type ")
             << value.getType() << "; a kernel takes numbers of 8 to 64 bits and strided memrefs in global memory";
  }
  std::string name = (func.getName() + "_kernel" + Twine(number)).str();
  if (failed(createKernel(loop, name, counts, captures, captured.rebuilt)))
    return failure();
  OpBuilder mb(func->getContext());
  mb.setInsertionPointAfter(func);
  mb.create<LLVM::GlobalOp>(loop.getLoc(), getDeviceFunctionType(context), /*isConstant=*/true, LLVM::Linkage::External,
                            getDeviceFunctionSymbol(name), Attribute());
  createLaunch(loop, name, counts, captures);
  loop.erase();
  return success();
}

LogicalResult Outliner::checkHost() {
  WalkResult result = func.walk([&](MemoryEffectOpInterface op) {
    SmallVector<MemoryEffects::EffectInstance> effects;
    op.getEffects(effects);
    for (const MemoryEffects::EffectInstance &effect : effects) {
      bool touches = isa<MemoryEffects::Read, MemoryEffects::Write>(effect.getEffect());
      if (touches && effect.getValue() && isa<MemRefType>(effect.getValue().getType())) {
        op.emitOpError("reads or writes the device's memory on the host; only the loops of blocks may");
        return WalkResult::interrupt();
      }
    }
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult Outliner::run(ArrayRef<scf::ForallOp> loops) {
  Location loc = func.getLoc();
  OpBuilder b(context);
  b.setInsertionPointAfter(func);
  device = b.create<gpu::GPUModuleOp>(loc, (func.getName() + "_device").str());
  func->getParentOp()->setAttr(gpu::GPUDialect::getContainerModuleAttrName(), b.getUnitAttr());

  auto mark = [&](StringRef name) {
    NamedAttribute attribute(b.getStringAttr(name), b.getUnitAttr());
    func.insertArgument(func.getNumArguments(), ptr, b.getDictionaryAttr(attribute), loc);
    return func.getArguments().back();
  };
  host = mark("flashc.host");
  stream = mark("flashc.stream");
  b.setInsertionPointToStart(&func.front());
  status = b.create<LLVM::AllocaOp>(loc, ptr, i32, constant(b, loc, i64, 1), /*alignment=*/4);
  b.create<LLVM::StoreOp>(loc, constant(b, loc, i32, 0), status);
  tensorMaps = lowerHostServices(func, host);
  for (auto [number, loop] : llvm::enumerate(loops))
    if (failed(outline(loop, number)))
      return failure();
  if (failed(checkHost()))
    return failure();
  for (auto [map, place] : tensorMaps)
    map.getDefiningOp()->erase();

  func.setType(b.getFunctionType(func.getArgumentTypes(), i32));
  for (Block &block : func.getBody())
    if (auto end = dyn_cast<func::ReturnOp>(block.getTerminator())) {
      b.setInsertionPoint(end);
      b.create<func::ReturnOp>(end.getLoc(), b.create<LLVM::LoadOp>(end.getLoc(), i32, status).getResult());
      end.erase();
    }
  return success();
}

struct OutlineGpuKernels : public flashc::impl::OutlineGpuKernelsBase<OutlineGpuKernels> {
  using OutlineGpuKernelsBase::OutlineGpuKernelsBase;

  void runOnOperation() override {
    for (auto func : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>())) {
      if (func.isPrivate() || func.isExternal())
        continue;
      if (func.getNumResults() != 0) {
        func.emitOpError("returns ") << func.getNumResults()
                                     << " values; a kernel returns none, and writes its results";
        return signalPassFailure();
      }
      SmallVector<scf::ForallOp> loops = getTaskLoops(func);
      if (failed(Outliner(func, sharedBytes).run(loops)))
        return signalPassFailure();
      numKernels += loops.size();
    }
  }
};
} // namespace

LLVM::LLVMStructType flashc::getDeviceFunctionType(MLIRContext *context) {
  Type ptr = LLVM::LLVMPointerType::get(context), i32 = IntegerType::get(context, 32),
       i64 = IntegerType::get(context, 64);
  return LLVM::LLVMStructType::getLiteral(context, {i32, i32, ptr, ptr, ptr, ptr, i64, i32, i32, i32, i32, ptr});
}

std::string flashc::getDeviceFunctionSymbol(StringRef kernel) { return (kernel + "_function").str(); }

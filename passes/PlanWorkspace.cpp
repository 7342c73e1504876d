/// plan-workspace: function-level allocations become views of one workspace argument.
#include "dialects/Tile/Tile.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/Support/MathExtras.h"

namespace flashc {
#define GEN_PASS_DEF_PLANWORKSPACE
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {
constexpr int64_t kAlignment = 64;

/// Repeats in the size function what computes a value from the arguments' sizes and from constants.
class SizeFunction {
public:
  SizeFunction(func::FuncOp source, OpBuilder &builder) : b(builder) {
    Location loc = source.getLoc();
    function = b.create<func::FuncOp>(loc, (source.getName() + "_workspace_bytes").str(),
                                      b.getFunctionType(source.getArgumentTypes(), b.getIndexType()));
    function.setPrivate();
    Block *entry = function.addEntryBlock();
    map.map(source.getArguments(), entry->getArguments());
    b.setInsertionPointToStart(entry);
    total = b.create<arith::ConstantIndexOp>(loc, 0);
    overflowed = b.create<arith::ConstantIntOp>(loc, 0, 1);
  }

  /// The value's counterpart here; a failure names the operation that `alloc`'s size may not depend on.
  FailureOr<Value> rebuild(Value value, memref::AllocOp alloc) {
    if (Value known = map.lookupOrNull(value))
      return known;
    Operation *def = value.getDefiningOp();
    if (auto dim = dyn_cast_or_null<memref::DimOp>(def))
      if (auto other = dim.getSource().getDefiningOp<memref::AllocOp>())
        if (std::optional<int64_t> index = dim.getConstantIndex())
          return rebuildSize(other, *index, alloc);
    if (!def || def->getNumRegions() != 0 || !isMemoryEffectFree(def)) {
      InFlightDiagnostic diag =
          alloc.emitOpError("has a size that depends on more than constants and the sizes of arguments");
      diag.attachNote(value.getLoc()) << (def ? "through this operation" : "through this block argument");
      return failure();
    }
    for (Value operand : def->getOperands()) {
      FailureOr<Value> rebuilt = rebuild(operand, alloc);
      if (failed(rebuilt))
        return failure();
      map.map(operand, *rebuilt);
    }
    b.clone(*def, map);
    return map.lookup(value);
  }

  LogicalResult add(memref::AllocOp alloc, int64_t staticBytes) {
    Location loc = alloc.getLoc();
    Value bytes = b.create<arith::ConstantIndexOp>(loc, staticBytes);
    for (Value size : alloc.getDynamicSizes()) {
      FailureOr<Value> rebuilt = rebuild(size, alloc);
      if (failed(rebuilt))
        return failure();
      bytes = multiply(loc, bytes, *rebuilt);
    }
    if (alloc.getDynamicSizes().empty()) {
      bytes = b.create<arith::ConstantIndexOp>(loc, llvm::alignTo(staticBytes, kAlignment));
    } else {
      bytes = plus(loc, bytes, b.create<arith::ConstantIndexOp>(loc, kAlignment - 1));
      bytes = b.create<arith::AndIOp>(loc, bytes, b.create<arith::ConstantIndexOp>(loc, -kAlignment));
    }
    total = plus(loc, total, bytes);
    return success();
  }

  /// A total that does not fit gives the largest size there is, which no workspace has.
  void finish(Location loc) {
    Value all = b.create<arith::ConstantIndexOp>(loc, -1);
    Value result = b.create<arith::SelectOp>(loc, overflowed, all, total);
    b.create<func::ReturnOp>(loc, result);
  }

private:
  FailureOr<Value> rebuildSize(memref::AllocOp of, int64_t dim, memref::AllocOp alloc) {
    if (!of.getType().isDynamicDim(dim))
      return b.create<arith::ConstantIndexOp>(of.getLoc(), of.getType().getDimSize(dim)).getResult();
    return rebuild(of.getDynamicSizes()[of.getType().getDynamicDimIndex(dim)], alloc);
  }
  Value multiply(Location loc, Value x, Value y) {
    auto product = b.create<arith::MulUIExtendedOp>(loc, x, y);
    Value zero = b.create<arith::ConstantIndexOp>(loc, 0);
    note(loc, b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ne, product.getHigh(), zero));
    return product.getLow();
  }
  Value plus(Location loc, Value x, Value y) {
    Value sum = b.create<arith::AddIOp>(loc, x, y);
    note(loc, b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, sum, x));
    return sum;
  }
  void note(Location loc, Value overflow) { overflowed = b.create<arith::OrIOp>(loc, overflowed, overflow); }

  OpBuilder &b;
  func::FuncOp function;
  IRMapping map;
  Value total, overflowed;
};

/// The bytes of the static part of an allocation: element size times static sizes.
FailureOr<int64_t> staticBytesOf(memref::AllocOp alloc, const DataLayout &layout) {
  MemRefType type = alloc.getType();
  Type element = type.getElementType();
  if (!element.isIntOrIndexOrFloat() && !isa<VectorType, ComplexType>(element))
    return alloc.emitOpError("has elements of type ") << element << ", which the workspace cannot hold";
  int64_t bytes = layout.getTypeSize(element).getFixedValue();
  for (int64_t size : type.getShape())
    if (!ShapedType::isDynamic(size) && llvm::MulOverflow(bytes, size, bytes))
      return alloc.emitOpError("has more bytes than 64 bits can count: ") << type;
  return bytes;
}

LogicalResult checkPlace(memref::AllocOp alloc, func::FuncOp func) {
  if (alloc->getBlock() != &func.front()) {
    InFlightDiagnostic diag = alloc.emitOpError("is not at the top level of function '") << func.getName() << "'";
    if (alloc->getParentOp() != func)
      diag.attachNote(alloc->getParentOp()->getLoc()) << "it is inside this operation";
    return diag;
  }
  if (!alloc.getType().getLayout().isIdentity())
    return alloc.emitOpError("has a layout; a view of the workspace is contiguous: ") << alloc.getType();
  if (alloc.getAlignment().value_or(1) > uint64_t(kAlignment))
    return alloc.emitOpError("asks for an alignment of ")
           << *alloc.getAlignment() << " bytes; the workspace is aligned to " << kAlignment;
  return success();
}

/// Memory may have a place for each worker: how many there are becomes an argument, of the size function too.
void addWorkers(func::FuncOp func) {
  SmallVector<tile::WorkersOp> ops;
  func.walk([&](tile::WorkersOp op) { ops.push_back(op); });
  if (ops.empty())
    return;
  MLIRContext *context = func.getContext();
  NamedAttribute mark(StringAttr::get(context, "flashc.workers"), UnitAttr::get(context));
  func.insertArgument(func.getNumArguments(), IndexType::get(context), DictionaryAttr::get(context, mark),
                      func.getLoc());
  for (tile::WorkersOp op : ops) {
    op.replaceAllUsesWith(func.getArguments().back());
    op.erase();
  }
}

LogicalResult plan(func::FuncOp func, const DataLayout &layout, llvm::function_ref<void()> count) {
  SmallVector<memref::AllocOp> allocs;
  func.walk([&](memref::AllocOp alloc) { allocs.push_back(alloc); });

  addWorkers(func);
  OpBuilder sb(func.getContext());
  sb.setInsertionPointAfter(func);
  SizeFunction sizes(func, sb);
  MLIRContext *context = func.getContext();
  auto bytesType = MemRefType::get({ShapedType::kDynamic}, IntegerType::get(context, 8));
  NamedAttribute mark(StringAttr::get(context, "flashc.workspace"), UnitAttr::get(context));
  func.insertArgument(func.getNumArguments(), bytesType, DictionaryAttr::get(context, mark), func.getLoc());
  Value workspace = func.getArguments().back();

  // All sizes before any view: a size may be the dim of another allocation.
  SmallVector<int64_t> staticParts;
  for (memref::AllocOp alloc : allocs) {
    if (failed(checkPlace(alloc, func)))
      return failure();
    FailureOr<int64_t> staticBytes = staticBytesOf(alloc, layout);
    if (failed(staticBytes) || failed(sizes.add(alloc, *staticBytes)))
      return failure();
    staticParts.push_back(*staticBytes);
  }

  Value offset;
  for (auto [alloc, staticBytes] : llvm::zip_equal(allocs, staticParts)) {
    Location loc = alloc.getLoc();
    OpBuilder b(alloc);
    if (!offset)
      offset = b.create<arith::ConstantIndexOp>(loc, 0);
    Value view = b.create<memref::ViewOp>(loc, alloc.getType(), workspace, offset, alloc.getDynamicSizes());
    Value bytes = b.create<arith::ConstantIndexOp>(loc, staticBytes);
    for (Value size : alloc.getDynamicSizes())
      bytes = b.create<arith::MulIOp>(loc, bytes, size);
    bytes = b.create<arith::AddIOp>(loc, bytes, b.create<arith::ConstantIndexOp>(loc, kAlignment - 1));
    bytes = b.create<arith::AndIOp>(loc, bytes, b.create<arith::ConstantIndexOp>(loc, -kAlignment));
    offset = b.create<arith::AddIOp>(loc, offset, bytes);
    for (Operation *user : llvm::make_early_inc_range(alloc->getUsers()))
      if (isa<memref::DeallocOp>(user))
        user->erase();
    alloc.replaceAllUsesWith(view);
    alloc.erase();
    count();
  }
  sizes.finish(func.getLoc());
  return success();
}

struct PlanWorkspace : public flashc::impl::PlanWorkspaceBase<PlanWorkspace> {
  void runOnOperation() override {
    DataLayout layout(getOperation());
    for (auto func : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>())) {
      if (func.isPrivate() || func.isExternal())
        continue;
      if (failed(plan(func, layout, [&] { ++numCarved; })))
        return signalPassFailure();
    }
  }
};
} // namespace

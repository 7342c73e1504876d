/// outline-parallel-tasks: a top-level scf.forall becomes a task function and a call of the host's parallel_for.
#include "dialects/Tile/Tile.h"
#include "passes/Passes.h"
#include "passes/TaskLoops.h"

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace flashc {
#define GEN_PASS_DEF_OUTLINEPARALLELTASKS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {
/// Fields of flashc_host (runtime/include/flashc/runtime.h).
enum HostField { kHostWorkers = 1, kHostUser = 2, kHostParallelFor = 3 };

struct Outliner {
  ModuleOp module;
  LLVMTypeConverter types;
  LLVM::LLVMPointerType ptr;
  LLVM::LLVMStructType hostStruct;

  explicit Outliner(ModuleOp module)
      : module(module), types(module.getContext()), ptr(LLVM::LLVMPointerType::get(module.getContext())) {
    auto i32 = IntegerType::get(module.getContext(), 32);
    hostStruct = LLVM::LLVMStructType::getLiteral(module.getContext(), {i32, i32, ptr, ptr});
  }

  LogicalResult outline(func::FuncOp func, scf::ForallOp forall, unsigned number, Value host);

private:
  Value hostField(OpBuilder &b, Location loc, Value host, HostField field, Type type) {
    Value address = b.create<LLVM::GEPOp>(loc, ptr, hostStruct, host, ArrayRef<LLVM::GEPArg>{0, int32_t(field)});
    return b.create<LLVM::LoadOp>(loc, type, address);
  }
};

LogicalResult Outliner::outline(func::FuncOp func, scf::ForallOp forall, unsigned number, Value host) {
  if (forall.getNumResults() != 0)
    return forall.emitOpError("has ") << forall.getNumResults()
                                      << " results; only a loop without results can become parallel tasks";
  Location loc = forall.getLoc();
  OpBuilder b(forall);
  SmallVector<Value> counts = createTripCounts(b, forall);
  TaskCaptures captures = collectCaptures(forall, counts);

  SmallVector<Type> fields;
  for (Value value : captures.values) {
    Type type = types.convertType(value.getType());
    if (!type)
      return forall.emitOpError("captures a value of type ") << value.getType() << ", which has no form in memory";
    fields.push_back(type);
  }
  auto context = LLVM::LLVMStructType::getLiteral(b.getContext(), fields);

  // The task function.
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  OpBuilder mb = OpBuilder::atBlockEnd(module.getBody());
  mb.setInsertionPointAfter(func);
  auto task = mb.create<func::FuncOp>(loc, (func.getName() + "_task" + Twine(number)).str(),
                                      mb.getFunctionType({ptr, i64, i32}, {}));
  task.setPrivate();
  task->setAttr("passthrough", b.getStrArrayAttr({"noinline", "flashc-task"}));
  Block *entry = task.addEntryBlock();
  OpBuilder tb = OpBuilder::atBlockBegin(entry);
  IRMapping map;
  for (auto [i, value] : llvm::enumerate(captures.values)) {
    Value address =
        tb.create<LLVM::GEPOp>(loc, ptr, context, entry->getArgument(0), ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
    Value field = tb.create<LLVM::LoadOp>(loc, fields[i], address);
    if (field.getType() != value.getType())
      field = tb.create<UnrealizedConversionCastOp>(loc, value.getType(), field).getResult(0);
    map.map(value, field);
  }
  for (Operation *op : captures.rebuilt)
    tb.clone(*op, map);
  Value number64 = entry->getArgument(1);
  mapInductionVars(tb, forall, counts, tb.create<arith::IndexCastOp>(loc, tb.getIndexType(), number64), map);
  for (Operation &op : forall.getBody()->without_terminator())
    tb.clone(op, map);
  tb.create<func::ReturnOp>(loc);
  SmallVector<tile::WorkerOp> workerOps;
  task.walk([&](tile::WorkerOp op) { workerOps.push_back(op); });
  for (tile::WorkerOp op : workerOps) {
    OpBuilder wb(op);
    op.replaceAllUsesWith(wb.create<arith::IndexCastOp>(loc, wb.getIndexType(), entry->getArgument(2)).getResult());
    op.erase();
  }
  // A buffer of static size inside a loop would grow the stack at every turn.
  SmallVector<memref::AllocaOp> allocas;
  task.walk([&](memref::AllocaOp op) {
    if (op->getBlock() != entry && op.getType().hasStaticShape() && op.getSymbolOperands().empty())
      allocas.push_back(op);
  });
  for (memref::AllocaOp op : allocas)
    op->moveBefore(entry, entry->begin());

  // The call. The context lives in the entry block, so that a loop around the call would not grow the stack.
  OpBuilder eb = OpBuilder::atBlockBegin(&func.front());
  Value one = eb.create<LLVM::ConstantOp>(loc, i64, eb.getI64IntegerAttr(1));
  Value frame = eb.create<LLVM::AllocaOp>(loc, ptr, context, one, /*alignment=*/64);
  for (auto [i, value] : llvm::enumerate(captures.values)) {
    Value field = value;
    if (fields[i] != value.getType())
      field = b.create<UnrealizedConversionCastOp>(loc, fields[i], value).getResult(0);
    Value address = b.create<LLVM::GEPOp>(loc, ptr, context, frame, ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
    b.create<LLVM::StoreOp>(loc, field, address);
  }
  Value total = counts.front();
  for (Value count : ArrayRef(counts).drop_front())
    total = b.create<arith::MulIOp>(loc, total, count);
  Value total64 = b.create<arith::IndexCastOp>(loc, i64, total);

  Value null = b.create<LLVM::ZeroOp>(loc, ptr);
  Value hasHost = b.create<LLVM::ICmpOp>(loc, LLVM::ICmpPredicate::ne, host, null);
  Value several =
      b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::sgt, total, b.create<arith::ConstantIndexOp>(loc, 1));
  Value maybe = b.create<arith::AndIOp>(loc, hasHost, several);
  auto workers = b.create<scf::IfOp>(
      loc, maybe,
      [&](OpBuilder &nb, Location l) { nb.create<scf::YieldOp>(l, hostField(nb, l, host, kHostWorkers, i32)); },
      [&](OpBuilder &nb, Location l) {
        nb.create<scf::YieldOp>(l, nb.create<arith::ConstantIntOp>(l, 1, 32).getResult());
      });
  Value parallel = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::sgt, workers.getResult(0),
                                           b.create<arith::ConstantIntOp>(loc, 1, 32));
  b.create<scf::IfOp>(
      loc, parallel,
      [&](OpBuilder &nb, Location l) {
        Value user = hostField(nb, l, host, kHostUser, ptr);
        Value parallelFor = hostField(nb, l, host, kHostParallelFor, ptr);
        Value fn = nb.create<func::ConstantOp>(l, task.getFunctionType(), task.getName());
        fn = nb.create<UnrealizedConversionCastOp>(l, ptr, fn).getResult(0);
        auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(nb.getContext()), {ptr, i64, ptr, ptr});
        nb.create<LLVM::CallOp>(l, type, ValueRange{parallelFor, user, total64, fn, frame});
        nb.create<scf::YieldOp>(l);
      },
      [&](OpBuilder &nb, Location l) {
        Value zero = nb.create<arith::ConstantIndexOp>(l, 0), step = nb.create<arith::ConstantIndexOp>(l, 1);
        Value worker = nb.create<arith::ConstantIntOp>(l, 0, 32);
        nb.create<scf::ForOp>(l, zero, total, step, ValueRange{}, [&](OpBuilder &lb, Location ll, Value i, ValueRange) {
          Value id = lb.create<arith::IndexCastOp>(ll, i64, i);
          lb.create<func::CallOp>(ll, task, ValueRange{frame, id, worker});
          lb.create<scf::YieldOp>(ll);
        });
        nb.create<scf::YieldOp>(l);
      });
  forall.erase();
  return success();
}

struct OutlineParallelTasks : public flashc::impl::OutlineParallelTasksBase<OutlineParallelTasks> {
  void runOnOperation() override {
    Outliner outliner(getOperation());
    for (auto func : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>())) {
      if (func.isPrivate() || func.isExternal())
        continue;
      NamedAttribute mark(StringAttr::get(&getContext(), "flashc.host"), UnitAttr::get(&getContext()));
      func.insertArgument(func.getNumArguments(), outliner.ptr, DictionaryAttr::get(&getContext(), mark),
                          func.getLoc());
      Value host = func.getArguments().back();
      unsigned number = 0;
      for (scf::ForallOp forall : flashc::getTaskLoops(func)) {
        if (failed(outliner.outline(func, forall, number, host)))
          return signalPassFailure();
        ++number;
        ++numTasks;
      }
    }
  }
};
} // namespace

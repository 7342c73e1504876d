//===- LowerTilesToThreads.cpp - lower-tiles-to-threads -------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Replaces tile values by what one thread holds of them, through loops and branches, and tile operations by that
/// thread's code.
///
//===----------------------------------------------------------------------===//

#include "passes/GpuKernels.h"
#include "passes/GpuUnits.h"
#include "passes/LowerThreads.h"
#include "passes/Passes.h"
#include "passes/TaskLoops.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace flashc {
#define GEN_PASS_DEF_LOWERTILESTOTHREADS
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;
using namespace flashc::threads;

/// Numbers of the hardware's barriers that roles have for themselves.
enum RoleBarrier : int64_t { kConsumerBarrier = 1, kProducerBarrier = 2 };

static bool isTile(Value value) { return isa<tile::TileType>(value.getType()); }

/// Whether a product is a warpgroup's.
static bool isOfWarpgroup(tile::DotOp op) {
  return cast<tile::FragmentLayoutAttr>(typeOf(op.getResult()).getLayout()).isWarpgroup();
}

namespace {

class BlockLowering {
public:
  BlockLowering(scf::ForallOp loop, const GpuCapabilities &gpu) : loop(loop) { block.gpu = gpu; }
  LogicalResult run();

private:
  LogicalResult lowerBlock(Block &code);
  /// A nested block; shared memory that is taken there is free again afterwards.
  LogicalResult lowerScope(Block &code);
  LogicalResult lowerOp(Operation *op);
  LogicalResult lowerFor(scf::ForOp op);
  LogicalResult lowerIf(scf::IfOp op);
  LogicalResult lowerDot(tile::DotOp op);
  LogicalResult lowerRoles(tile::RolesOp op);
  /// False where `op` is no operation on pipes.
  bool lowerPipeOp(Operation *op, ThreadBuilder &at);
  void lowerAwait(tile::AwaitOp op);
  /// A word of shared memory for all threads to agree by.
  Value findWord(ThreadBuilder &at, OpBuilder &b, tile::DotOp op);
  bool readsStored(tile::LoadOp op) const {
    Value memory = findWholeMemory(op.getSource());
    return memory ? stored.contains(memory) || stored.contains(Value()) : !stored.empty();
  }
  LogicalResult lowerTurn(Operation *op);
  /// Room for a tile in shared memory. What a loop hands on to its next turn is written where that finds it.
  Value sharedFor(ThreadBuilder &at, tile::TileType type, Value tile = {});
  /// Room for a tile of `element` that passes through shared memory; taken until `block.used` is set back.
  static Value stagingFor(ThreadBuilder &at, tile::TileType type, Type element);

  SmallVector<Value> flatten(ValueRange values);
  SmallVector<Type> flattenTypes(TypeRange types);
  /// Hands out `values` to `old`, tiles as parts; what is no tile is replaced. `from` are the values that come in,
  /// whose shared memory tiles keep.
  void distribute(ValueRange old, ValueRange values, ValueRange from);

  scf::ForallOp loop;
  ThreadBlock block;
  DenseMap<Value, ThreadTile> tiles;
  llvm::MapVector<Value, ThreadPipe> pipes;
  /// Of each loop that has been replaced, what its turns hand on to each other.
  DenseMap<Operation *, SmallVector<Value>> carried;
  /// Memory that the block's tiles are stored to, null among it where that is not known: threads that load it load what
  /// others have stored.
  DenseSet<Value> stored;
  /// Shared memory that nobody reads any more, in use as the block counts it.
  SmallVector<Value> unused;
  SmallVector<Operation *> lowered;
};

SmallVector<Type> BlockLowering::flattenTypes(TypeRange types) {
  SmallVector<Type> flat;
  for (Type type : types) {
    if (auto tile = dyn_cast<tile::TileType>(type))
      llvm::append_range(flat, getPartTypes(tile));
    else
      flat.push_back(type);
  }
  return flat;
}

SmallVector<Value> BlockLowering::flatten(ValueRange values) {
  SmallVector<Value> flat;
  for (Value value : values) {
    if (isTile(value))
      llvm::append_range(flat, tiles.at(value).parts);
    else
      flat.push_back(value);
  }
  return flat;
}

void BlockLowering::distribute(ValueRange old, ValueRange values, ValueRange from) {
  for (auto [value, source] : llvm::zip_equal(old, from)) {
    if (!isTile(value)) {
      value.replaceAllUsesWith(values.front());
      values = values.drop_front();
      continue;
    }
    ThreadTile held = tiles.at(source);
    size_t count = held.parts.size();
    ThreadTile &tile = tiles[value];
    tile.memory = held.memory;
    tile.staged = held.staged;
    tile.unsettled = held.unsettled;
    tile.parts.assign(values.begin(), values.begin() + count);
    values = values.drop_front(count);
  }
}

/// Whether the loop's turns are those of tiles that a mask crosses.
static bool isMasked(scf::ForOp loop) {
  WalkResult result = loop.walk([](Operation *op) {
    auto map = dyn_cast<tile::MapOp>(op);
    auto dot = dyn_cast<tile::DotOp>(op);
    return WalkResult(failure((map && !map.getOrigin().empty()) || (dot && dot.getSkipZeros())));
  });
  return result.wasInterrupted();
}

LogicalResult BlockLowering::lowerFor(scf::ForOp op) {
  OpBuilder b(op);
  // Addresses and positions are kept for all turns where there are registers for them. Turns that few tiles take
  // compute them themselves.
  bool forgets = block.gpu.registers != 0 &&
                 (isMasked(op) || !keepsAddresses(block.gpu.subgroupSize, block.threads / block.gpu.subgroupSize,
                                                  countWords(flattenTypes(op.getResultTypes())), block.gpu.registers));
  // Erased in reverse: after its users and after its body's operations, which lie in the new loop by then.
  lowered.push_back(op);
  auto loop = b.create<scf::ForOp>(op.getLoc(), op.getLowerBound(), op.getUpperBound(), op.getStep(),
                                   flatten(op.getInitArgs()));
  carried[loop] = llvm::to_vector_of<Value>(op.getRegionIterArgs());
  Block *body = loop.getBody(), *old = op.getBody();
  // A loop without results comes with its terminator.
  if (!body->empty())
    body->getTerminator()->erase();
  body->getOperations().splice(body->end(), old->getOperations());
  old->getArgument(0).replaceAllUsesWith(loop.getInductionVar());
  distribute(op.getRegionIterArgs(), loop.getRegionIterArgs(), op.getInitArgs());
  const ThreadBlock outer = block;
  if (forgets) {
    OpBuilder ib = OpBuilder::atBlockBegin(body);
    ThreadBuilder(ib, op.getLoc(), block).forgetThread(loop);
  }
  if (failed(lowerScope(*body)))
    return failure();
  if (forgets) {
    hoistDivisions(loop);
    int64_t most = block.most;
    block = outer;
    block.most = most;
  }
  auto yield = cast<scf::YieldOp>(body->getTerminator());
  OpBuilder yb(yield);
  yb.create<scf::YieldOp>(yield.getLoc(), flatten(yield.getOperands()));
  yield.erase();
  distribute(op.getResults(), loop.getResults(), op.getInitArgs());
  // What the emptied loop's block is checked for is that it ends.
  OpBuilder::atBlockEnd(old).create<scf::YieldOp>(op.getLoc(), op.getInitArgs());
  return success();
}

LogicalResult BlockLowering::lowerIf(scf::IfOp op) {
  OpBuilder b(op);
  lowered.push_back(op);
  auto branch = b.create<scf::IfOp>(op.getLoc(), flattenTypes(op.getResultTypes()), op.getCondition(),
                                    /*addThenBlock=*/false, /*addElseBlock=*/false);
  SmallVector<Value> yielded;
  for (auto [to, from] : llvm::zip(branch->getRegions(), op->getRegions())) {
    to.takeBody(from);
    if (to.empty())
      continue;
    if (failed(lowerScope(to.front())))
      return failure();
    auto yield = cast<scf::YieldOp>(to.front().getTerminator());
    yielded.assign(yield.operand_begin(), yield.operand_end());
    OpBuilder yb(yield);
    yb.create<scf::YieldOp>(yield.getLoc(), flatten(yield.getOperands()));
    yield.erase();
  }
  distribute(op.getResults(), branch.getResults(), yielded);
  return success();
}

Value BlockLowering::sharedFor(ThreadBuilder &at, tile::TileType type, Value tile) {
  if (tile && tile.hasOneUse())
    if (OpOperand &use = *tile.use_begin(); isa<scf::YieldOp>(use.getOwner()))
      if (auto loop = dyn_cast<scf::ForOp>(use.getOwner()->getParentOp()))
        return tiles.at(carried.lookup(loop)[use.getOperandNumber()]).memory;
  auto layout = cast<tile::SharedLayoutAttr>(type.getLayout());
  int64_t bytes = bytesOf(type.getElementType()), elements = layout.getBytes(type.getShape(), bytes) / bytes;
  auto fits = [&](Value memory) {
    auto held = cast<MemRefType>(memory.getType());
    return held.getElementType() == type.getElementType() && held.getDimSize(0) == elements;
  };
  if (auto *memory = llvm::find_if(unused, fits); memory != unused.end()) {
    Value taken = *memory;
    unused.erase(memory);
    return taken;
  }
  return at.allocateShared(elements, type.getElementType());
}

Value BlockLowering::stagingFor(ThreadBuilder &at, tile::TileType type, Type element) {
  tile::SharedLayoutAttr layout =
      getSharedLayout(element.getContext(), type.getShape(), bytesOf(element), MatrixUnit::Mma, /*transposed=*/false);
  return at.allocateShared(layout.getBytes(type.getShape(), bytesOf(element)) / bytesOf(element), element);
}

/// How many groups of products are started between an asynchronous product and a wait for it, and can be under way.
static int64_t countLaterGroups(Value product, Operation *wait) {
  Operation *start = product.getDefiningOp();
  if (!start || start->getBlock() != wait->getBlock())
    return 0;
  int64_t groups = 0;
  for (Operation *op = start->getNextNode(); op != wait; op = op->getNextNode()) {
    if (auto dot = dyn_cast<tile::DotOp>(op); dot && dot.getAsync())
      groups += ThreadBuilder::getNumGroups(dot);
    // Of other paths other numbers would be right.
    else if (op->walk([](tile::DotOp) { return WalkResult::interrupt(); }).wasInterrupted())
      return 0;
  }
  return groups;
}

void BlockLowering::lowerAwait(tile::AwaitOp op) {
  OpBuilder b(op);
  ThreadBuilder at(b, op.getLoc(), block);
  ThreadTile &arrived = tiles[op.getResult()];
  arrived = tiles.at(op.getInput());
  if (!arrived.memory) {
    arrived = at.awaitProduct(arrived, countLaterGroups(op.getInput(), op));
    return;
  }
  arrived = at.await(op, arrived);
  // Nobody reads what a pipeline has loaded last.
  if (op->use_empty())
    unused.push_back(arrived.memory);
}

/// Whether nothing after `op` reads `value`.
static bool isReadBefore(Value value, Operation *op, bool orBy) {
  return llvm::all_of(value.getUsers(), [&](Operation *user) {
    return user->getBlock() == op->getBlock() && (user->isBeforeInBlock(op) || (orBy && user == op));
  });
}

Value BlockLowering::findWord(ThreadBuilder &at, OpBuilder &b, tile::DotOp op) {
  // Where keys were before, while the next ones wait in registers.
  for (auto await : op->getBlock()->getOps<tile::AwaitOp>()) {
    if (!await->isBeforeInBlock(op) || !tiles.at(await.getInput()).staged ||
        !isReadBefore(await.getResult(), op, /*orBy=*/false))
      continue;
    auto view = tiles.at(await.getResult()).memory.getDefiningOp<memref::ViewOp>();
    auto word = MemRefType::get({1}, b.getI32Type(), MemRefLayoutAttrInterface{}, view.getType().getMemorySpace());
    return b.create<memref::ViewOp>(op.getLoc(), word, view.getSource(), view.getByteShift(), ValueRange{});
  }
  return at.allocateShared(1, b.getI32Type());
}

LogicalResult BlockLowering::lowerTurn(Operation *op) {
  OpBuilder b(op);
  ThreadBuilder at(b, op->getLoc(), block);
  if (!block.warpgroup)
    return op->emitOpError("is of warpgroups; expected products of theirs in the same loop");
  if (auto take = dyn_cast<tile::TakeTurnOp>(op))
    at.takeTurn(take.getSubgroups());
  else
    at.passTurn(cast<tile::PassTurnOp>(op).getSubgroups());
  lowered.push_back(op);
  return success();
}

LogicalResult BlockLowering::lowerDot(tile::DotOp op) {
  OpBuilder b(op);
  ThreadBuilder at(b, op.getLoc(), block);
  if (op.getAsync()) {
    if (!isOfWarpgroup(op))
      return op.emitOpError("can be started with `async` by warpgroups only, got ") << op.getResult().getType();
    tiles[op.getResult()] =
        at.startProduct(op, tiles.at(op.getLhs()), tiles.at(op.getRhs()), tiles.at(op.getAccumulator()));
    return success();
  }
  int64_t used = block.used;
  ThreadTile sums = tiles.at(op.getAccumulator());
  Value scratch, flag;
  // Single multiply-adds skip zeros themselves; a matrix unit needs to know whether it matters.
  tile::TileType lhs = typeOf(op.getLhs());
  if (op.getSkipZeros() && usesUnit(op, block.gpu) && takesColumns(block.gpu.matrixUnit)) {
    if (!isReadBefore(op.getRhs(), op, /*orBy=*/true))
      return op.emitOpError("skips zeros beside a tile that is read again; expected its last reader");
    // As soon as the tile is there: what is loaded for later takes registers.
    auto isBefore = [](Value value, Operation *other) {
      Operation *definition = value.getDefiningOp();
      return !definition || definition->getBlock() != other->getBlock() || definition->isBeforeInBlock(other);
    };
    auto await = op.getRhs().getDefiningOp<tile::AwaitOp>();
    if (await && await->getBlock() == op->getBlock() && isBefore(op.getLhs(), await) &&
        isBefore(op.getAccumulator(), await))
      b.setInsertionPointAfter(await);
    Value word = findWord(at, b, op);
    sums = at.skipZeros(op, tiles.at(op.getLhs()), tiles.at(op.getRhs()), sums, word);
    b.setInsertionPoint(op);
  } else if (op.getSkipZeros() && isa<tile::FragmentLayoutAttr>(lhs.getLayout())) {
    auto layout = getSharedLayout(b.getContext(), lhs.getShape(), bytesOf(lhs.getElementType()), block.gpu.matrixUnit,
                                  /*transposed=*/false);
    scratch = sharedFor(at, lhs.withLayout(layout));
    flag = at.allocateShared(1, b.getI32Type());
  }
  tiles[op.getResult()] = at.dot(op, tiles.at(op.getLhs()), tiles.at(op.getRhs()), sums, scratch, flag);
  block.used = used;
  return success();
}

LogicalResult BlockLowering::lowerRoles(tile::RolesOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  ThreadBuilder at(b, loc, block);
  IndexMath index(b, loc);
  lowered.push_back(op);
  int64_t consumers = op.getConsumerThreads(), producers = op.getProducerThreads();
  if (consumers + producers != block.threads)
    return op.emitOpError("divides ") << consumers + producers << " threads; expected the block's " << block.threads;
  SmallVector<ThreadPipe> all;
  for (auto &[value, pipe] : pipes)
    all.push_back(pipe);
  at.startPipes(all, consumers / block.gpu.subgroupSize);
  Value isConsumer = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, block.thread, index.constant(consumers));
  auto branch = b.create<scf::IfOp>(loc, TypeRange(), isConsumer, /*addThenBlock=*/false, /*addElseBlock=*/false);
  // The consumers' numbers in the block are those in their role; barrier 0 is the block's.
  const ThreadBlock whole = block;
  auto lowerRole = [&](Region &from, Region &to, int64_t barrier, int64_t threads, std::optional<uint64_t> registers) {
    to.takeBody(from);
    Block &code = to.front();
    OpBuilder rb = OpBuilder::atBlockBegin(&code);
    int64_t most = block.most;
    block = whole;
    block.most = most;
    block.barrier = barrier;
    block.threads = threads;
    if (registers) // half of all registers or more are for those who have accumulators
      rb.create<tile::SetRegistersOp>(loc, *registers, /*increase=*/barrier == kConsumerBarrier);
    if (barrier == kProducerBarrier)
      block.thread = IndexMath(rb, loc).add(whole.thread, -consumers);
    if (failed(lowerScope(code)))
      return failure();
    OpBuilder::atBlockEnd(&code).create<scf::YieldOp>(loc);
    return success();
  };
  if (failed(lowerRole(op.getConsumers(), branch.getThenRegion(), kConsumerBarrier, consumers,
                       op.getConsumerRegisters())) ||
      failed(
          lowerRole(op.getProducer(), branch.getElseRegion(), kProducerBarrier, producers, op.getProducerRegisters())))
    return failure();
  int64_t most = block.most;
  block = whole;
  block.most = most;
  return success();
}

/// Whether anything but warpgroups' products has read the tile that is released: those are a subgroup's as a whole.
static bool isReadByThreads(tile::ReleaseOp release) {
  return llvm::any_of(release.getPipe().getUsers(), [&](Operation *user) {
    auto pop = dyn_cast<tile::PopOp>(user);
    return pop && pop.getNumber() == release.getNumber() && llvm::any_of(pop->getUsers(), [](Operation *reader) {
             auto dot = dyn_cast<tile::DotOp>(reader);
             return !dot || !isOfWarpgroup(dot) || dot.getSkipZeros();
           });
  });
}

bool BlockLowering::lowerPipeOp(Operation *op, ThreadBuilder &at) {
  if (auto pipe = dyn_cast<tile::PipeOp>(op))
    pipes[pipe.getResult()] = at.pipe(pipe);
  else if (auto push = dyn_cast<tile::PushOp>(op))
    at.push(push, pipes.lookup(push.getPipe()));
  else if (auto pop = dyn_cast<tile::PopOp>(op))
    tiles[pop.getResult()] = at.pop(pop, pipes.lookup(pop.getPipe()));
  else if (auto release = dyn_cast<tile::ReleaseOp>(op))
    at.release(release, pipes.lookup(release.getPipe()), isReadByThreads(release));
  else
    return false;
  lowered.push_back(op);
  return true;
}

LogicalResult BlockLowering::lowerOp(Operation *op) {
  OpBuilder b(op);
  ThreadBuilder at(b, op->getLoc(), block);
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return lowerFor(loop);
  if (auto branch = dyn_cast<scf::IfOp>(op))
    return lowerIf(branch);
  if (auto roles = dyn_cast<tile::RolesOp>(op))
    return lowerRoles(roles);
  if (lowerPipeOp(op, at))
    return success();
  if (isa<tile::TakeTurnOp, tile::PassTurnOp>(op))
    return lowerTurn(op);
  // A search holds no tiles.
  if ((op->getNumRegions() == 0 || isa<scf::WhileOp>(op)) && llvm::none_of(op->getOperands(), isTile) &&
      llvm::none_of(op->getResults(), isTile))
    return success();
  // Operands that are tiles have been lowered: the order is that of execution.
  if (auto load = dyn_cast<tile::LoadOp>(op)) {
    tile::TileType type = typeOf(load.getResult());
    if (readsStored(load))
      at.barrier();
    int64_t used = block.used;
    if (isa<tile::InPlaceLayoutAttr>(type.getLayout())) {
      tiles[load.getResult()] = {};
    } else if (isa<tile::SharedLayoutAttr>(type.getLayout())) {
      tiles[load.getResult()] = at.load(load, sharedFor(at, type, load.getResult()));
    } else {
      Value staging = at.passesShared(load) ? stagingFor(at, type, type.getElementType()) : Value();
      tiles[load.getResult()] = at.load(load, staging);
      block.used = used;
    }
  } else if (auto await = dyn_cast<tile::AwaitOp>(op)) {
    lowerAwait(await);
  } else if (auto store = dyn_cast<tile::StoreOp>(op)) {
    int64_t used = block.used;
    Type element = cast<MemRefType>(store.getDestination().getType()).getElementType();
    Value staging = at.passesShared(store) ? stagingFor(at, typeOf(store.getValue()), element) : Value();
    at.store(store, tiles.at(store.getValue()), staging);
    block.used = used;
  } else if (auto splat = dyn_cast<tile::SplatOp>(op)) {
    tiles[splat.getResult()] = at.splat(typeOf(splat.getResult()), splat.getValue());
  } else if (auto map = dyn_cast<tile::MapOp>(op)) {
    SmallVector<ThreadTile> inputs;
    for (Value input : map.getInputs())
      inputs.push_back(tiles.at(input));
    tiles[map.getResult()] = at.map(map, inputs);
  } else if (auto reduce = dyn_cast<tile::ReduceOp>(op)) {
    tiles[reduce.getResult()] = at.reduce(reduce, tiles.at(reduce.getInput()), tiles.at(reduce.getInit()));
  } else if (auto convert = dyn_cast<tile::ConvertOp>(op)) {
    tile::TileType type = typeOf(convert.getResult());
    Value memory = isa<tile::SharedLayoutAttr>(type.getLayout()) ? sharedFor(at, type) : Value();
    tiles[convert.getResult()] = at.convert(convert, tiles.at(convert.getInput()), memory);
  } else if (auto dot = dyn_cast<tile::DotOp>(op)) {
    if (failed(lowerDot(dot)))
      return failure();
  } else {
    return op->emitOpError("has no form on a GPU's threads");
  }
  lowered.push_back(op);
  return success();
}

LogicalResult BlockLowering::lowerBlock(Block &code) {
  SmallVector<Operation *> operations;
  for (Operation &op : code)
    if (!op.hasTrait<OpTrait::IsTerminator>())
      operations.push_back(&op);
  for (Operation *op : operations)
    if (failed(lowerOp(op)))
      return failure();
  return success();
}

LogicalResult BlockLowering::lowerScope(Block &code) {
  int64_t used = block.used;
  SmallVector<Value> free = unused;
  LogicalResult result = lowerBlock(code);
  block.used = used;
  unused = std::move(free);
  return result;
}

LogicalResult BlockLowering::run() {
  Location loc = loop.getLoc();
  auto threads = loop->getAttrOfType<IntegerAttr>(kThreadsAttr);
  if (!threads)
    return loop.emitOpError("has no number of threads; run assign-fragments first");
  block.threads = threads.getInt();
  OpBuilder b = OpBuilder::atBlockBegin(loop.getBody());
  IndexMath index(b, loc);
  block.thread = b.create<gpu::ThreadIdOp>(loc, b.getIndexType(), gpu::Dimension::x);
  Value size = index.constant(block.gpu.subgroupSize);
  block.lane = b.create<arith::RemUIOp>(loc, block.thread, size);
  block.warp = b.create<arith::DivUIOp>(loc, block.thread, size);
  if (loop.walk([](tile::DotOp dot) { return WalkResult(failure(isOfWarpgroup(dot))); }).wasInterrupted())
    block.warpgroup = ThreadBuilder(b, loc, block).findWarpgroup();
  loop.walk([&](tile::TakeTurnOp turn) {
    if (block.warpgroup)
      ThreadBuilder(b, loc, block).startTurns(turn.getSubgroups());
    return WalkResult::interrupt();
  });
  auto space = gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Workgroup);
  auto memory = b.create<gpu::DynamicSharedMemoryOp>(
      loc, MemRefType::get({ShapedType::kDynamic}, b.getI8Type(), MemRefLayoutAttrInterface{}, space));
  block.shared = block.known = memory;
  loop.walk([&](tile::StoreOp store) { stored.insert(findWholeMemory(store.getDestination())); });
  // Tiles are looked up by value, so references stay while others are added.
  tiles.reserve(256);
  if (failed(lowerBlock(*loop.getBody())))
    return failure();
  for (Operation *op : llvm::reverse(lowered))
    op->erase();
  removeBarriers(loop, memory, llvm::to_vector(llvm::make_second_range(pipes)));
  if (block.most == 0)
    memory->erase();
  loop->setAttr(kSharedBytesAttr, b.getI64IntegerAttr(block.most));
  if (block.most > block.gpu.sharedBytes)
    return loop.emitOpError("needs ") << block.most << " bytes of shared memory for its tiles, and the target has "
                                      << block.gpu.sharedBytes << "; expected smaller tiles";
  return success();
}

struct LowerTilesToThreads : flashc::impl::LowerTilesToThreadsBase<LowerTilesToThreads> {
  using LowerTilesToThreadsBase::LowerTilesToThreadsBase;

  void runOnOperation() override {
    FailureOr<MatrixUnit> unit = readMatrixUnit(getOperation(), matrixUnit);
    if (failed(unit))
      return signalPassFailure();
    GpuCapabilities gpu;
    gpu.subgroupSize = subgroupSize;
    gpu.sharedBytes = sharedBytes;
    gpu.matrixUnit = *unit;
    gpu.asyncCopy = asyncCopy;
    gpu.registers = registers;
    gpu.unalignedAccess = unalignedAccess;
    // A loop that says how much shared memory its blocks need holds a thread's code.
    for (scf::ForallOp loop : getTaskLoops(getOperation()))
      if (!loop->hasAttr(kSharedBytesAttr) && failed(BlockLowering(loop, gpu).run()))
        return signalPassFailure();
  }
};
} // namespace

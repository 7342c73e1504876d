//===- SpecializeRoles.cpp - specialize-roles -----------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/IndexMath.h"
#include "dialects/Tile/Tile.h"
#include "passes/GpuKernels.h"
#include "passes/Passes.h"
#include "passes/PipedLoads.h"
#include "passes/TaskLoops.h"
#include "runtime/GpuTilePlan.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

namespace flashc {
#define GEN_PASS_DEF_SPECIALIZEROLES
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

static bool isTile(Type type) { return isa<tile::TileType>(type); }

namespace {

/// The loads that go through one pipe: tiles of one type, from one memory.
struct Pipe {
  Pipe(Value memory, tile::TileType type) : memory(memory), type(type) {}

  Value memory;
  tile::TileType type;
  SmallVector<tile::LoadOp> loads;
  int64_t stages = 1;
  Value pipe;
  /// What the copy unit knows of the memory; null where it cannot take it.
  tile::TensorMapOp map;

  int64_t getBytes() const { return stages * tile::PipeType::get(type).getStageBytes(); }
  bool isRepeated() const {
    return llvm::any_of(loads, [](tile::LoadOp load) {
      auto loop = load->getParentOfType<scf::ForOp>();
      return loop && llvm::any_of(loop.getRegionIterArgs(), [](Value value) { return isTile(value.getType()); });
    });
  }
};

/// What both roles know of a block's code.
struct Plan {
  SmallVector<Pipe> pipes;
  DenseMap<Operation *, unsigned> pipeOf;
  /// After which operation of its own block the tile of each load is not read any more.
  DenseMap<Operation *, SmallVector<tile::LoadOp>> lastReads;

  SmallVector<unsigned> pipesIn(Operation *op) const {
    SmallVector<unsigned> inside;
    for (auto [number, pipe] : llvm::enumerate(pipes))
      if (llvm::any_of(pipe.loads, [&](tile::LoadOp load) { return op->isAncestor(load); }))
        inside.push_back(number);
    return inside;
  }
};

/// Copies a block's code for one role. The consumers pop what is loaded; the producer, who has no tiles, keeps what
/// tells it which tiles to push.
class RoleBuilder {
public:
  RoleBuilder(const Plan &plan, bool isProducer) : plan(plan), isProducer(isProducer) {}

  void build(Block &code, OpBuilder &b, Location loc) {
    Value none = b.create<arith::ConstantIndexOp>(loc, 0);
    SmallVector<Value> numbers(plan.pipes.size(), none);
    cloneBlock(code, b, numbers);
  }

private:
  void cloneBlock(Block &code, OpBuilder &b, SmallVectorImpl<Value> &numbers);
  void cloneLoad(tile::LoadOp op, OpBuilder &b, Value number);
  /// What the role's code passes on where `values` are passed on: those that it keeps, and the numbers of the pipes
  /// `counted`.
  SmallVector<Value> give(ValueRange values, ArrayRef<unsigned> counted, ArrayRef<Value> numbers);
  /// What `give` has passed on is what `values` are in the role's code, and the pipes' numbers.
  void take(ValueRange values, ValueRange given, ArrayRef<unsigned> counted, SmallVectorImpl<Value> &numbers);
  void cloneFor(scf::ForOp op, OpBuilder &b, SmallVectorImpl<Value> &numbers);
  void cloneIf(scf::IfOp op, OpBuilder &b, SmallVectorImpl<Value> &numbers);
  /// The role's code has what is no tile and gives a result; only consumers have anything else.
  bool isKept(Operation *op) {
    auto hasTiles = [](Operation *nested) {
      return llvm::any_of(nested->getOperandTypes(), isTile) || llvm::any_of(nested->getResultTypes(), isTile);
    };
    return !isProducer || (op->getNumResults() != 0 && !op->walk([&](Operation *nested) {
                                                            return hasTiles(nested) ? WalkResult::interrupt()
                                                                                    : WalkResult::advance();
                                                          }).wasInterrupted());
  }
  bool isKept(Value value) { return !isProducer || !isTile(value.getType()); }
  SmallVector<Value> mapped(ValueRange values) {
    SmallVector<Value> result;
    for (Value value : values)
      result.push_back(map.lookupOrDefault(value));
    return result;
  }

  const Plan &plan;
  bool isProducer;
  IRMapping map;
  DenseMap<Operation *, Value> popped;
};

void RoleBuilder::cloneLoad(tile::LoadOp op, OpBuilder &b, Value number) {
  Location loc = op.getLoc();
  const Pipe &pipe = plan.pipes[plan.pipeOf.lookup(op)];
  if (!isProducer) {
    map.map(op.getResult(), b.create<tile::PopOp>(loc, pipe.type, pipe.pipe, number).getResult());
    popped[op] = number;
    return;
  }
  SmallVector<Value> offsets = mapped(op.getOffsets());
  Value memory = resolveViews(b, loc, map.lookupOrDefault(op.getSource()), offsets);
  tile::TensorMapOp described = pipe.map;
  b.create<tile::PushOp>(loc, memory, offsets, mapped(op.getValid()), pipe.pipe, number,
                         described ? described.getMap() : Value(), described ? described.getUsable() : Value());
}

SmallVector<Value> RoleBuilder::give(ValueRange values, ArrayRef<unsigned> counted, ArrayRef<Value> numbers) {
  SmallVector<Value> given;
  for (Value value : values)
    if (isKept(value))
      given.push_back(map.lookupOrDefault(value));
  for (unsigned pipe : counted)
    given.push_back(numbers[pipe]);
  return given;
}

void RoleBuilder::take(ValueRange values, ValueRange given, ArrayRef<unsigned> counted,
                       SmallVectorImpl<Value> &numbers) {
  for (Value value : values)
    if (isKept(value)) {
      map.map(value, given.front());
      given = given.drop_front();
    }
  for (auto [pipe, number] : llvm::zip_equal(counted, given))
    numbers[pipe] = number;
}

void RoleBuilder::cloneFor(scf::ForOp op, OpBuilder &b, SmallVectorImpl<Value> &numbers) {
  SmallVector<unsigned> counted = plan.pipesIn(op);
  auto loop = b.create<scf::ForOp>(
      op.getLoc(), map.lookupOrDefault(op.getLowerBound()), map.lookupOrDefault(op.getUpperBound()),
      map.lookupOrDefault(op.getStep()), give(op.getInitArgs(), counted, numbers),
      [&](OpBuilder &nb, Location loc, Value position, ValueRange arguments) {
        map.map(op.getInductionVar(), position);
        SmallVector<Value> inside(numbers.begin(), numbers.end());
        take(op.getRegionIterArgs(), arguments, counted, inside);
        cloneBlock(*op.getBody(), nb, inside);
        nb.create<scf::YieldOp>(loc, give(op.getBody()->getTerminator()->getOperands(), counted, inside));
      });
  loop->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  take(op.getResults(), loop.getResults(), counted, numbers);
}

void RoleBuilder::cloneIf(scf::IfOp op, OpBuilder &b, SmallVectorImpl<Value> &numbers) {
  SmallVector<unsigned> counted = plan.pipesIn(op);
  SmallVector<Type> types;
  for (Value result : op.getResults())
    if (isKept(result))
      types.push_back(result.getType());
  types.append(counted.size(), b.getIndexType());
  bool withElse = !types.empty() || !op.getElseRegion().empty();
  auto branch = b.create<scf::IfOp>(op.getLoc(), types, map.lookupOrDefault(op.getCondition()),
                                    /*addThenBlock=*/true, /*addElseBlock=*/withElse);
  for (auto [from, to] : llvm::zip_equal(op->getRegions(), branch->getRegions())) {
    if (to.empty())
      continue;
    OpBuilder nb = OpBuilder::atBlockEnd(&to.front());
    SmallVector<Value> inside(numbers.begin(), numbers.end());
    ValueRange yielded;
    if (!from.empty()) {
      cloneBlock(from.front(), nb, inside);
      yielded = from.front().getTerminator()->getOperands();
    }
    nb.create<scf::YieldOp>(op.getLoc(), give(yielded, counted, inside));
  }
  take(op.getResults(), branch.getResults(), counted, numbers);
}

void RoleBuilder::cloneBlock(Block &code, OpBuilder &b, SmallVectorImpl<Value> &numbers) {
  for (Operation &op : code) {
    if (op.hasTrait<OpTrait::IsTerminator>())
      break;
    if (auto entry = plan.pipeOf.find(&op); entry != plan.pipeOf.end()) {
      Value &number = numbers[entry->second];
      cloneLoad(cast<tile::LoadOp>(op), b, number);
      number = IndexMath(b, op.getLoc()).add(number, 1);
    } else if (auto loop = dyn_cast<scf::ForOp>(op)) {
      cloneFor(loop, b, numbers);
    } else if (auto branch = dyn_cast<scf::IfOp>(op)) {
      cloneIf(branch, b, numbers);
    } else if (isKept(&op)) {
      b.clone(op, map);
    }
    if (isProducer)
      continue;
    for (tile::LoadOp load : plan.lastReads.lookup(&op))
      b.create<tile::ReleaseOp>(load.getLoc(), plan.pipes[plan.pipeOf.lookup(load)].pipe, popped.lookup(load));
  }
}

/// The operations behind which nobody reads what `dot` has read: itself, or where it is awaited if it was only started.
void collectEnds(Value value, SetVector<Operation *> &ends, DenseSet<Value> &seen) {
  if (!seen.insert(value).second)
    return;
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    if (auto loop = dyn_cast<scf::ForOp>(user)) {
      unsigned number = use.getOperandNumber() - loop.getNumControlOperands();
      collectEnds(loop.getRegionIterArg(number), ends, seen);
      collectEnds(loop.getResult(number), ends, seen);
    } else if (isa<scf::YieldOp>(user)) {
      Operation *parent = user->getParentOp();
      if (auto loop = dyn_cast<scf::ForOp>(parent))
        collectEnds(loop.getRegionIterArg(use.getOperandNumber()), ends, seen);
      collectEnds(parent->getResult(use.getOperandNumber()), ends, seen);
    } else {
      ends.insert(user);
    }
  }
}

/// Whether a role's code has loops that read memory and push nothing: through what a mask says of each key.
bool looksThroughMemory(Region &role) {
  auto looks = [](scf::ForOp loop) {
    bool reads = false, pushes = false;
    loop.walk([&](Operation *op) {
      reads |= isa<memref::LoadOp>(op);
      pushes |= isa<tile::PushOp>(op);
    });
    return reads && !pushes;
  };
  return role.walk([&](scf::ForOp loop) { return WalkResult(failure(looks(loop))); }).wasInterrupted();
}

class BlockRoles {
public:
  BlockRoles(scf::ForallOp loop, int64_t sharedBytes, int64_t mostStages)
      : loop(loop), sharedBytes(sharedBytes), mostStages(mostStages) {}

  /// Does nothing where there is nothing to divide, or no room for it; fails where a tile is read beyond the turn that
  /// loads it.
  FailureOr<bool> specialize();

private:
  LogicalResult findLastRead(tile::LoadOp load);
  void findPipes(ArrayRef<tile::LoadOp> loads);
  bool chooseStages();
  /// What the consumers keep in shared memory beside the pipes.
  int64_t getOtherBytes();
  void describe(Pipe &pipe, OpBuilder &b);

  scf::ForallOp loop;
  int64_t sharedBytes, mostStages;
  Plan plan;
};

LogicalResult BlockRoles::findLastRead(tile::LoadOp load) {
  SetVector<Operation *> ends;
  DenseSet<Value> seen;
  for (Operation *user : load->getUsers()) {
    if (user->hasAttr("async"))
      collectEnds(user->getResult(0), ends, seen);
    else
      ends.insert(user);
  }
  Operation *last = load;
  for (Operation *end : ends) {
    Operation *here = load->getBlock()->findAncestorOpInBlock(*end);
    if (!here)
      return load.emitOpError(
          "is still read outside of the block that loads it; expected products to be awaited there");
    if (last->isBeforeInBlock(here))
      last = here;
  }
  plan.lastReads[last].push_back(load);
  return success();
}

void BlockRoles::findPipes(ArrayRef<tile::LoadOp> loads) {
  for (tile::LoadOp load : loads) {
    Value memory = getViewedMemory(load.getSource());
    auto type = cast<tile::TileType>(load.getResult().getType());
    auto same = [&](const Pipe &pipe) { return pipe.memory == memory && pipe.type == type; };
    auto pipe = llvm::find_if(plan.pipes, same);
    if (pipe == plan.pipes.end())
      pipe = plan.pipes.insert(pipe, Pipe(memory, type));
    pipe->loads.push_back(load);
    plan.pipeOf[load] = pipe - plan.pipes.begin();
  }
}

int64_t BlockRoles::getOtherBytes() {
  // Barriers; a flag and weights in memory, where a product may skip zeros element by element.
  int64_t bytes = kSharedAlignment, scratch = 0;
  loop.walk([&](Operation *op) {
    if (auto dot = dyn_cast<tile::DotOp>(op)) {
      auto weights = cast<tile::TileType>(dot.getLhs().getType());
      if (dot.getSkipZeros())
        scratch =
            std::max<int64_t>(scratch, kSharedAlignment + countTileBytes(weights.getShape()[0], weights.getShape()[1],
                                                                         weights.getElementTypeBitWidth() / 8));
      return;
    }
    if (op->getNumResults() != 1 || plan.pipeOf.contains(op))
      return;
    auto type = dyn_cast<tile::TileType>(op->getResult(0).getType());
    if (type && isa_and_nonnull<tile::SharedLayoutAttr>(type.getLayout()))
      bytes += tile::PipeType::get(type).getStageBytes();
  });
  return bytes + scratch;
}

bool BlockRoles::chooseStages() {
  int64_t left = sharedBytes - getOtherBytes();
  for (Pipe &pipe : plan.pipes)
    left -= pipe.getBytes();
  if (left < 0)
    return false;
  // What a loop over keys takes turn by turn has to be there ahead of time; what is loaded once for all of them may be.
  for (bool repeated : {true, false})
    for (int64_t stages = 2; stages <= mostStages; ++stages)
      for (Pipe &pipe : plan.pipes)
        if (int64_t bytes = pipe.getBytes() / pipe.stages;
            pipe.isRepeated() == repeated && bytes <= left && pipe.stages == stages - 1 && (repeated || stages == 2)) {
          pipe.stages = stages;
          left -= bytes;
        }
  return true;
}

void BlockRoles::describe(Pipe &pipe, OpBuilder &b) {
  constexpr int64_t mostDimensions = 5, mostRows = 256;
  auto memory = cast<MemRefType>(pipe.memory.getType());
  bool isOutside = !loop.getRegion().isAncestor(pipe.memory.getParentRegion());
  if (!isOutside || memory.getRank() < 2 || memory.getRank() > mostDimensions || pipe.type.getShape()[0] > mostRows ||
      memory.getElementType() != pipe.type.getElementType())
    return;
  pipe.map = b.create<tile::TensorMapOp>(pipe.loads.front().getLoc(), tile::TensorMapType::get(b.getContext()),
                                         b.getI1Type(), pipe.memory, pipe.type.getShape()[0],
                                         cast<tile::SharedLayoutAttr>(pipe.type.getLayout()));
}

FailureOr<bool> BlockRoles::specialize() {
  SmallVector<tile::LoadOp> loads = findPipedLoads(loop);
  if (loads.empty())
    return false;
  findPipes(loads);
  if (!chooseStages())
    return false;
  for (tile::LoadOp load : loads)
    if (failed(findLastRead(load)))
      return failure();

  Location loc = loop.getLoc();
  IRRewriter b(loop);
  for (Pipe &pipe : plan.pipes)
    describe(pipe, b);
  // What both roles are copied from.
  Block *body = loop.getBody(), code;
  code.getOperations().splice(code.end(), body->getOperations(), body->begin(), std::prev(body->end()));
  b.setInsertionPointToStart(body);
  for (Pipe &pipe : plan.pipes)
    pipe.pipe = b.create<tile::PipeOp>(pipe.loads.front().getLoc(), tile::PipeType::get(pipe.type), pipe.stages);
  auto threads = loop->getAttrOfType<IntegerAttr>(kThreadsAttr);
  auto roles =
      b.create<tile::RolesOp>(loc, b.getI64IntegerAttr(kWarpgroupThreads), IntegerAttr(), threads, IntegerAttr());
  for (bool isProducer : {true, false}) {
    Region &region = isProducer ? roles.getProducer() : roles.getConsumers();
    OpBuilder rb = OpBuilder::atBlockBegin(&region.emplaceBlock());
    RoleBuilder(plan, isProducer).build(code, rb, loc);
  }
  while (!code.empty())
    code.back().erase();
  (void)runRegionDCE(b, roles->getRegions());
  int64_t columns = 0;
  for (const Pipe &pipe : plan.pipes)
    columns = std::max(columns, pipe.type.getShape()[1]);
  RoleRegisters registers =
      getRoleRegisters(threads.getInt() / kWarpgroupThreads, looksThroughMemory(roles.getProducer()), columns);
  if (registers.producer)
    roles.setProducerRegisters(registers.producer);
  if (registers.consumer)
    roles.setConsumerRegisters(registers.consumer);
  loop->setAttr(kThreadsAttr, b.getI64IntegerAttr(threads.getInt() + kWarpgroupThreads));
  return true;
}

struct SpecializeRoles : flashc::impl::SpecializeRolesBase<SpecializeRoles> {
  using SpecializeRolesBase::SpecializeRolesBase;

  void runOnOperation() override {
    if (stages < 1 || stages > 16) {
      getOperation()->emitError() << "expected stages to be 1 to 16, got " << stages.getValue();
      return signalPassFailure();
    }
    for (scf::ForallOp loop : getTaskLoops(getOperation())) {
      FailureOr<bool> done = BlockRoles(loop, sharedBytes, stages).specialize();
      if (failed(done))
        return signalPassFailure();
      numSpecialized += *done;
    }
  }
};
} // namespace

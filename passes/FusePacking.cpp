//===- FusePacking.cpp - fuse-packing -------------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/IndexMath.h"
#include "dialects/Tile/Tile.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "passes/AskedLines.h"
#include "passes/Passes.h"
#include "passes/TaskLoops.h"

namespace flashc {
#define GEN_PASS_DEF_FUSEPACKING
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// Words from one job's state to the next one's: a cache line, which no two jobs share.
constexpr int64_t kWordsApart = 8;
/// A worker has to get this many tasks for tasks of whole heads to balance.
constexpr int64_t kTasksPerWorker = 32;
/// Heads of a task at most: enough for the smallest ones not to be bound by being handed out.
constexpr int64_t kMostHeadsPerTask = 8;

/// A parallel loop that packs one operand: its last dimension runs over strips, the others over packed heads.
struct Packing {
  scf::ForallOp loop;
  tile::PackOp pack;
  memref::AllocOp memory;
  SmallVector<tile::ViewOp> views;
  unsigned headDims() { return loop.getRank() - 1; }
};

/// The packing that `loop` does for `consumer` alone, if that is all it does.
std::optional<Packing> getPacking(scf::ForallOp loop, scf::ForallOp consumer) {
  if (!loop.isNormalized() || loop.getNumResults() != 0 || loop.getRank() < 2)
    return std::nullopt;
  Packing packing{loop, {}, {}, {}};
  for (Operation &op : loop.getBody()->without_terminator()) {
    auto pack = dyn_cast<tile::PackOp>(op);
    if (pack && !packing.pack)
      packing.pack = pack;
    else if (pack || !isMemoryEffectFree(&op))
      return std::nullopt;
  }
  if (!packing.pack)
    return std::nullopt;
  packing.memory = packing.pack.getDestination().getDefiningOp<memref::AllocOp>();
  if (!packing.memory || packing.memory->getBlock() != loop->getBlock())
    return std::nullopt;
  for (auto [index, iv] : llvm::zip(packing.pack.getIndices(), ValueRange(loop.getInductionVars()).drop_back()))
    if (index != iv)
      return std::nullopt;
  for (Operation *user : packing.memory->getUsers()) {
    if (user == packing.pack)
      continue;
    auto view = dyn_cast<tile::ViewOp>(user);
    if (!view || !consumer->isAncestor(view))
      return std::nullopt;
    packing.views.push_back(view);
  }
  return packing.views.empty() ? std::nullopt : std::optional(packing);
}

ValueRange headOf(Packing &packing, tile::ViewOp view) { return view.getIndices().take_front(packing.headDims()); }

/// How the consumer's iterations go over the packed heads.
struct Heads {
  /// How many consecutive iterations read one head, and how many heads there are; null where that is not known.
  Value iterations, count;
};

struct FusePacking : flashc::impl::FusePackingBase<FusePacking> {
  using FusePackingBase::FusePackingBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    FusePackingBase::getDependentDialects(registry);
    registry.insert<LLVM::LLVMDialect, vector::VectorDialect>();
  }

  void runOnOperation() override {
    for (scf::ForallOp loop : getTaskLoops(getOperation()))
      if (loop->getBlock() && loop.isNormalized() && loop.getNumResults() == 0)
        fuse(loop);
  }

private:
  void fuse(scf::ForallOp consumer) {
    SmallVector<Packing> packings;
    SmallVector<Value> head;
    for (Operation *op = consumer->getPrevNode(); op; op = op->getPrevNode()) {
      if (auto loop = dyn_cast<scf::ForallOp>(op)) {
        std::optional<Packing> packing = getPacking(loop, consumer);
        if (!packing)
          break;
        if (head.empty())
          head = llvm::to_vector(headOf(*packing, packing->views.front()));
        bool isSameHead =
            llvm::all_of(packing->views, [&](tile::ViewOp view) { return llvm::equal(headOf(*packing, view), head); });
        if (!isSameHead || !llvm::all_of(head, [&](Value v) { return isAtTop(v, consumer); }))
          break;
        packings.push_back(*packing);
      } else if (!isMemoryEffectFree(op) && !isa<memref::AllocOp>(op)) {
        break;
      }
    }
    if (packings.empty())
      return;
    std::reverse(packings.begin(), packings.end());
    emit(consumer, packings, head);
    numFused += packings.size();
  }

  /// Whether a value is known at the top level of the loop's body.
  static bool isAtTop(Value value, scf::ForallOp loop) {
    return value.getParentBlock() == loop.getBody() || loop.isDefinedOutsideOfLoop(value);
  }

  /// The heads of the consumer's iterations, row-major: each is an induction variable, the last one possibly divided by
  /// the size of a group.
  static Heads getHeads(OpBuilder &b, Location loc, scf::ForallOp consumer, ArrayRef<Value> head, Packing &packing) {
    IndexMath math(b, loc);
    Heads heads;
    if (int64_t(head.size()) > consumer.getRank())
      return heads;
    Value group = math.constant(1);
    for (auto [d, value] : llvm::enumerate(head)) {
      Value iv = consumer.getInductionVars()[d];
      if (value == iv)
        continue;
      auto division = value.getDefiningOp<arith::DivUIOp>();
      if (!division || d + 1 != head.size() || division.getLhs() != iv ||
          !consumer.isDefinedOutsideOfLoop(division.getRhs()))
        return heads;
      group = division.getRhs();
    }
    heads.iterations = group;
    for (OpFoldResult bound : ArrayRef(consumer.getMixedUpperBound()).drop_front(head.size()))
      heads.iterations = math.mul(heads.iterations, getValueOrCreateConstantIndexOp(b, loc, bound));
    heads.count = math.constant(1);
    for (OpFoldResult bound : ArrayRef(packing.loop.getMixedUpperBound()).drop_back())
      heads.count = math.mul(heads.count, getValueOrCreateConstantIndexOp(b, loc, bound));
    return heads;
  }

  void emit(scf::ForallOp consumer, MutableArrayRef<Packing> packings, ArrayRef<Value> head) {
    OpBuilder b(consumer);
    Location loc = consumer.getLoc();
    IndexMath math(b, loc);
    auto value = [&](OpFoldResult x) { return getValueOrCreateConstantIndexOp(b, loc, x); };
    Value one = math.constant(1);

    Heads heads = getHeads(b, loc, consumer, head, packings.front());
    Value total = one;
    for (OpFoldResult bound : consumer.getMixedUpperBound())
      total = math.mul(total, value(bound));
    // With heads enough for all workers a task does whole heads, and packs each one into its worker's memory.
    Value whole, workers, chunk = one;
    if (heads.count) {
      workers = b.create<tile::WorkersOp>(loc, b.getIndexType());
      Value tasks = math.mul(workers, math.constant(kTasksPerWorker));
      Value many = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::uge, heads.count, tasks);
      Value alone = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, workers, one);
      whole = b.create<arith::OrIOp>(loc, many, alone);
      Value several = math.clamp(math.div(heads.count, tasks), one, math.constant(kMostHeadsPerTask));
      Value iterations = math.max(math.mul(several, heads.iterations), one);
      chunk = b.create<arith::SelectOp>(loc, whole, iterations, one);
    }
    Value tasks = math.div(math.add(total, math.sub(chunk, one)), chunk);
    for (Packing &packing : packings)
      packing.memory = emitMemory(b, packing, whole, workers);
    Value states = emitStates(b, packings.front());
    SmallVector<Value> strips;
    for (Packing &packing : packings)
      strips.push_back(value(packing.loop.getMixedUpperBound().back()));

    SmallVector<OpFoldResult> bounds = {OpFoldResult(tasks)};
    auto loop = b.create<scf::ForallOp>(loc, bounds, ValueRange(), std::nullopt);
    b.setInsertionPointToStart(loop.getBody());
    Value worker = whole ? b.create<tile::WorkerOp>(loc, b.getIndexType()).getResult() : Value();
    AskedLines asked = whole ? AskedLines::create(b, loc) : AskedLines();
    Value first = math.mul(loop.getInductionVar(0), chunk);
    auto each = b.create<scf::ForOp>(loc, first, math.min(math.add(first, chunk), total), one);
    b.setInsertionPointToStart(each.getBody());

    // Row-major, as the iterations were.
    SmallVector<Value> ivs = delinearize(b, consumer, each.getInductionVar());
    if (whole)
      listNext(b, consumer, packings, each.getInductionVar(), total, heads.iterations, whole, asked);
    SmallVector<Value> where(head);
    for (Value &index : where)
      for (auto [old, iv] : llvm::zip(consumer.getInductionVars(), ivs))
        if (index == old)
          index = iv;
    consumer.getTerminator()->erase();
    Operation *point = &consumer.getBody()->front(), *yield = each.getBody()->getTerminator();
    yield->getBlock()->getOperations().splice(Block::iterator(yield), consumer.getBody()->getOperations());
    for (auto [old, iv] : llvm::zip(consumer.getInductionVars(), ivs))
      old.replaceAllUsesWith(iv);
    if (whole) {
      OpBuilder end(yield);
      asked.finish(end, loc);
    }

    // As soon as it is known which head the iteration reads.
    for (Value index : where)
      if (Operation *def = index.getDefiningOp())
        if (def->getBlock() == each.getBody() && !def->isBeforeInBlock(point))
          point = def->getNextNode();
    b.setInsertionPoint(point);
    SmallVector<Value> slot(where);
    if (whole) {
      for (auto [d, index] : llvm::enumerate(slot))
        index = b.create<arith::SelectOp>(loc, whole, d == 0 ? worker : math.constant(0), index);
      emitRestart(b, loc, each.getInductionVar(), heads.iterations, whole, states, slot);
    }
    emitPacking(b, loc, states, where, slot, strips, packings);
    for (Packing &packing : packings) {
      for (tile::ViewOp view : packing.views)
        for (auto [d, index] : llvm::enumerate(slot))
          view.getIndicesMutable()[d].set(index);
      packing.loop.erase();
    }
    consumer.erase();
  }

  static SmallVector<Value> delinearize(OpBuilder &b, scf::ForallOp loop, Value iteration) {
    Location loc = loop.getLoc();
    SmallVector<Value> ivs(loop.getRank());
    for (unsigned d = loop.getRank(); d-- > 1;) {
      Value bound = getValueOrCreateConstantIndexOp(b, loc, loop.getMixedUpperBound()[d]);
      ivs[d] = b.create<arith::RemUIOp>(loc, iteration, bound);
      iteration = IndexMath(b, loc).div(iteration, bound);
    }
    ivs[0] = iteration;
    return ivs;
  }

  /// Lists what the next iteration reads and writes, and in the first iteration of a head the next one's keys and
  /// values, where that is little and the same task does it: small problems are over before the hardware's prefetchers
  /// have found their streams.
  static void listNext(OpBuilder &b, scf::ForallOp consumer, MutableArrayRef<Packing> packings, Value iteration,
                       Value total, Value iterations, Value whole, const AskedLines &asked) {
    Location loc = consumer.getLoc();
    IndexMath math(b, loc);
    Value one = math.constant(1), inHead = b.create<arith::RemUIOp>(loc, iteration, iterations);
    Value isFirst = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, inHead, math.constant(0));
    // The parts of memory that an iteration works on are the views at the top of its body; where they are is arithmetic
    // on its induction variables.
    struct Coming {
      bool isPacked;
      Value iteration, condition;
    };
    Value count = math.constant(0);
    for (Coming coming :
         {Coming{true, math.add(iteration, iterations), isFirst}, Coming{false, math.add(iteration, one), whole}}) {
      Value exists = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, coming.iteration, total);
      Value next = b.create<arith::SelectOp>(loc, exists, coming.iteration, iteration);
      Value condition = b.create<arith::AndIOp>(loc, whole, exists);
      condition = b.createOrFold<arith::AndIOp>(loc, condition, coming.condition);
      IRMapping map;
      map.map(ValueRange(consumer.getInductionVars()), delinearize(b, consumer, next));
      auto isKnown = [&](Value operand) { return map.contains(operand) || consumer.isDefinedOutsideOfLoop(operand); };
      for (Operation &op : consumer.getBody()->without_terminator()) {
        auto view = dyn_cast<memref::SubViewOp>(op);
        bool isIndex = llvm::all_of(op.getResultTypes(), [](Type type) { return type.isIntOrIndex(); });
        if ((!view && !isIndex) || !isMemoryEffectFree(&op) || op.getNumRegions() != 0 ||
            !llvm::all_of(op.getOperands(), isKnown))
          continue;
        bool isPacked = view && llvm::any_of(packings, [&](Packing &packing) {
                          return packing.pack.getSource() == view.getSource();
                        });
        if (view && isPacked != coming.isPacked)
          continue;
        Value part = b.clone(op, map)->getResult(0);
        if (view)
          count = asked.append(b, loc, count, part, condition);
      }
    }
    asked.start(b, loc, count);
  }

  /// The memory of a packing with a place for each head or, where tasks do whole heads, for each worker.
  static memref::AllocOp emitMemory(OpBuilder &b, Packing &packing, Value whole, Value workers) {
    memref::AllocOp old = packing.memory;
    if (!whole)
      return old;
    Location loc = old.getLoc();
    MemRefType type = old.getType();
    SmallVector<int64_t> shape(type.getShape());
    SmallVector<Value> sizes;
    for (auto [d, size] : llvm::enumerate(memref::getMixedSizes(b, loc, old))) {
      if (d < packing.headDims()) {
        Value places = d == 0 ? workers : b.create<arith::ConstantIndexOp>(loc, 1).getResult();
        sizes.push_back(b.create<arith::SelectOp>(loc, whole, places, getValueOrCreateConstantIndexOp(b, loc, size)));
        shape[d] = ShapedType::kDynamic;
      } else if (type.isDynamicDim(d)) {
        sizes.push_back(cast<Value>(size));
      }
    }
    auto memory =
        b.create<memref::AllocOp>(loc, MemRefType::get(shape, type.getElementType()), sizes, old.getAlignmentAttr());
    old.replaceAllUsesWith(memory.getResult());
    old.erase();
    return memory;
  }

  /// The state of each head's packing, clean.
  static Value emitStates(OpBuilder &b, Packing &packing) {
    Location loc = packing.memory.getLoc();
    IndexMath math(b, loc);
    MemRefType type = packing.memory.getType();
    SmallVector<int64_t> shape(type.getShape().take_front(packing.headDims()));
    size_t numSizes = llvm::count_if(shape, ShapedType::isDynamic);
    shape.push_back(kWordsApart);
    Value states =
        b.create<memref::AllocOp>(loc, MemRefType::get(shape, b.getI64Type()),
                                  packing.memory.getDynamicSizes().take_front(numSizes), b.getI64IntegerAttr(64));
    Value zero = math.constant(0), one = math.constant(1);
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Value> indices;
    for (unsigned d = 0; d < packing.headDims(); ++d) {
      Value size = getValueOrCreateConstantIndexOp(b, loc, memref::getMixedSize(b, loc, packing.memory, d));
      auto loop = b.create<scf::ForOp>(loc, zero, size, one);
      indices.push_back(loop.getInductionVar());
      b.setInsertionPointToStart(loop.getBody());
    }
    indices.push_back(zero);
    b.create<memref::StoreOp>(loc, b.create<arith::ConstantIntOp>(loc, 0, 64), states, indices);
    return states;
  }

  /// A task that comes to another head forgets what it has packed.
  static void emitRestart(OpBuilder &b, Location loc, Value iteration, Value iterations, Value whole, Value states,
                          ArrayRef<Value> slot) {
    Value zero = b.create<arith::ConstantIndexOp>(loc, 0);
    Value inHead = b.create<arith::RemUIOp>(loc, iteration, iterations);
    Value isFirst = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, inHead, zero);
    b.create<scf::IfOp>(loc, b.create<arith::AndIOp>(loc, whole, isFirst), [&](OpBuilder &b, Location loc) {
      SmallVector<Value> indices(slot);
      indices.push_back(zero);
      b.create<memref::StoreOp>(loc, b.create<arith::ConstantIntOp>(loc, 0, 64), states, indices);
      b.create<scf::YieldOp>(loc);
    });
  }

  /// All strips of all operands of one head, as parts of one job.
  static void emitPacking(OpBuilder &b, Location loc, Value states, ArrayRef<Value> head, ArrayRef<Value> slot,
                          ArrayRef<Value> strips, MutableArrayRef<Packing> packings) {
    IndexMath math(b, loc);
    SmallVector<Value> indices(slot);
    indices.push_back(math.constant(0));
    Value parts = strips.front();
    for (Value more : strips.drop_front())
      parts = math.add(parts, more);
    auto job = b.create<tile::CooperateOp>(loc, states, indices, parts);
    Block &body = job.getBody().emplaceBlock();
    Value part = body.addArgument(b.getIndexType(), loc);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&body);
    for (auto [i, packing] : llvm::enumerate(packings)) {
      bool isLast = i + 1 == packings.size();
      scf::IfOp branch;
      if (!isLast) {
        Value mine = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, part, strips[i]);
        branch = b.create<scf::IfOp>(loc, mine, /*withElseRegion=*/true);
        b.setInsertionPointToStart(branch.thenBlock());
      }
      IRMapping map;
      map.map(ValueRange(packing.loop.getInductionVars()).drop_back(), head);
      map.map(packing.loop.getInductionVars().back(), part);
      for (Operation &op : packing.loop.getBody()->without_terminator())
        b.clone(op, map);
      auto pack = cast<tile::PackOp>(map.lookup(packing.pack.getOperation()));
      for (auto [d, index] : llvm::enumerate(slot))
        pack.getIndicesMutable()[d].set(index);
      if (!isLast) {
        b.setInsertionPointToStart(branch.elseBlock());
        part = math.sub(part, strips[i]);
      }
    }
  }
};

} // namespace

//===- LowerTilesToVector.cpp - lower-tiles-to-vector ---------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Gives every tile a place and replaces every tile operation by loops over native vectors. A result takes over an
/// operand's scratch where nothing reads the operand afterwards, so a loop's state is updated in place.
///
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "passes/LowerTiles.h"
#include "passes/Passes.h"
#include "passes/TaskLoops.h"

#include <unordered_map>

namespace flashc {
#define GEN_PASS_DEF_LOWERTILESTOVECTOR
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;
using namespace flashc::cpu;

namespace {

tile::TileType typeOf(Value value) { return cast<tile::TileType>(value.getType()); }
bool isTile(Value value) { return isa<tile::TileType>(value.getType()); }
bool isMatrix(Value value) { return typeOf(value).getShape().size() == 2; }

/// Whether some use of `value` may execute after `op`, which lies in the block of the value's definition or in branches
/// of it.
bool isUsedAfter(Value value, Operation *op) {
  for (Operation *at = op; at; at = at->getParentOp()) {
    for (Operation *user : value.getUsers())
      if (Operation *ancestor = at->getBlock()->findAncestorOpInBlock(*user);
          ancestor && ancestor != at && at->isBeforeInBlock(ancestor))
        return true;
    if (at->getBlock() == value.getParentBlock())
      return false;
    if (!isa<scf::IfOp>(at->getParentOp()))
      return true; // a later iteration of a loop reads it again
  }
  return true;
}

class TileLowering {
public:
  TileLowering(FunctionOpInterface func, bool maskedMemory) : func(func), maskedMemory(maskedMemory) {}

  LogicalResult run() {
    Block &entry = func.getFunctionBody().front();
    scratchPoint = &entry;
    if (failed(lowerBlock(entry)))
      return failure();
    removeTiles();
    return success();
  }

private:
  FunctionOpInterface func;
  bool maskedMemory;
  struct HashOfValue {
    size_t operator()(Value value) const { return hash_value(value); }
  };
  // References to its elements are held while others are added.
  std::unordered_map<Value, TileBuffer, HashOfValue> buffers;
  /// Scratch is allocated at the start of this block: the function's, or a task's.
  Block *scratchPoint = nullptr;
  /// Scratch of this task that no live tile uses.
  SmallVector<Value> unused;
  /// Scratch taken since the innermost loop or branch began.
  SmallVector<Value> taken;
  SmallVector<Operation *> group;
  SmallVector<Operation *> lowered;

  Value allocate(tile::TileType type) {
    SmallVector<int64_t> shape(type.getShape());
    if (auto layout = dyn_cast_or_null<tile::RegisterLayoutAttr>(type.getLayout())) {
      shape[0] = llvm::divideCeil(shape[0], layout.getRows()) * layout.getRows();
      int64_t block = layout.getVectors() * layout.getLanes();
      shape[1] = llvm::divideCeil(shape[1], block) * block;
      int64_t line = 512 / type.getElementType().getIntOrFloatBitWidth();
      // Rows a power of two apart would compete for the same cache sets. The rows of a matrix unit's tile are read and
      // written at once: an odd number of cache lines apart they are in as many sets.
      if (layout.getHeight() > 1 ? shape[1] % (2 * line) == 0 : shape[1] % 128 == 0)
        shape[1] += layout.getHeight() > 1 ? line : layout.getLanes();
    }
    return allocate(MemRefType::get(shape, type.getElementType()));
  }

  Value allocate(MemRefType type) {
    auto *match = llvm::find_if(unused, [&](Value memory) { return memory.getType() == type; });
    Value memory;
    if (match != unused.end()) {
      memory = *match;
      unused.erase(match);
    } else {
      OpBuilder b = OpBuilder::atBlockBegin(scratchPoint);
      memory = b.create<memref::AllocaOp>(func.getLoc(), type, b.getI64IntegerAttr(64));
    }
    taken.push_back(memory);
    return memory;
  }

  /// Lowers a nested block; scratch taken there is free again afterwards.
  LogicalResult lowerScope(Block &block) {
    SmallVector<Value> outer;
    std::swap(outer, taken);
    LogicalResult result = lowerBlock(block);
    unused.append(taken);
    taken = std::move(outer);
    return result;
  }

  int64_t lanesOf(tile::TileType type) {
    if (auto layout = dyn_cast_or_null<tile::RegisterLayoutAttr>(type.getLayout()))
      return layout.getLanes();
    if (auto layout = dyn_cast_or_null<tile::PanelLayoutAttr>(type.getLayout()))
      return layout.getLanes();
    return 1;
  }

  /// The scratch that the result of `op` can take over from `operand`, or null.
  Value takeOver(Operation *op, Value operand, Type resultType) {
    auto it = buffers.find(operand);
    if (it == buffers.end() || !it->second.memory || operand.getType() != resultType || isUsedAfter(operand, op))
      return {};
    return it->second.memory;
  }

  /// Where a value lives; the results of maps and reductions get their scratch when it is first asked for.
  TileBuffer &bufferOf(Value value) {
    auto it = buffers.find(value);
    if (it != buffers.end())
      return it->second;
    Operation *op = value.getDefiningOp();
    TileBuffer buffer;
    for (Value operand : op->getOperands()) {
      if (!isTile(operand))
        continue;
      TileBuffer source = bufferOf(operand);
      buffer.rows = buffer.rows ? buffer.rows : source.rows;
      if (isMatrix(operand) && isMatrix(value))
        buffer.columns = buffer.columns ? buffer.columns : source.columns;
      if (!buffer.memory && isa<tile::MapOp>(op) && isMatrix(value))
        buffer.memory = takeOver(op, operand, value.getType());
    }
    if (!buffer.memory)
      buffer.memory = allocate(typeOf(value));
    return buffers[value] = buffer;
  }

  void flushGroup(OpBuilder &b) {
    if (group.empty())
      return;
    int64_t lanes = 1;
    for (Operation *op : group)
      for (Value value :
           llvm::concat<Value>(SmallVector<Value>(op->getOperands()), SmallVector<Value>(op->getResults())))
        if (isTile(value) && isMatrix(value))
          lanes = lanesOf(typeOf(value));
    // References into the map do not outlive its growth, so what the emitter asks for exists beforehand.
    for (Operation *op : group) {
      for (Value operand : op->getOperands())
        if (isTile(operand))
          bufferOf(operand);
    }
    auto livesOn = [&](Value value) {
      return llvm::any_of(value.getUsers(), [&](Operation *user) { return !llvm::is_contained(group, user); });
    };
    emitRows(b, group, lanes, [&](Value value) -> TileBuffer & { return bufferOf(value); }, livesOn);
    lowered.append(group);
    group.clear();
  }

  /// `rows`: how many exist, null where all do.
  void fill(OpBuilder &b, Location loc, Value memory, Value scalar, Value rows) {
    auto type = cast<MemRefType>(memory.getType());
    IndexBuilder index{b, loc};
    Value zero = index.constant(0);
    buildLoop(b, loc, zero, rows ? rows : index.constant(type.getShape()[0]), 1, [&](OpBuilder &b, Value r) {
      if (type.getRank() == 1) {
        b.create<memref::StoreOp>(loc, scalar, memory, r);
        return;
      }
      buildLoop(b, loc, zero, IndexBuilder{b, loc}.constant(type.getShape()[1]), 1,
                [&](OpBuilder &b, Value c) { b.create<memref::StoreOp>(loc, scalar, memory, ValueRange{r, c}); });
    });
  }

  /// Makes `memory` hold the value.
  void materialize(OpBuilder &b, Location loc, Value value, Value memory, Value rows = {}) {
    TileBuffer &buffer = bufferOf(value);
    if (buffer.splat)
      fill(b, loc, memory, buffer.splat, rows);
    else if (buffer.memory != memory)
      b.create<memref::CopyOp>(loc, buffer.memory, memory);
  }

  LogicalResult lowerBlock(Block &block) {
    for (Operation &op : llvm::make_early_inc_range(block)) {
      if (isa<tile::MapOp, tile::ReduceOp>(op)) {
        group.push_back(&op);
        continue;
      }
      bool concernsTiles =
          op.getNumRegions() != 0 || isa<tile::TileDialect>(op.getDialect()) || op.hasTrait<OpTrait::IsTerminator>();
      if (!concernsTiles)
        continue;
      OpBuilder b(&op);
      flushGroup(b);
      if (failed(lowerOperation(b, op)))
        return failure();
    }
    return success();
  }

  LogicalResult lowerOperation(OpBuilder &b, Operation &op) {
    if (auto splat = dyn_cast<tile::SplatOp>(op))
      buffers[splat.getResult()].splat = splat.getValue();
    else if (auto load = dyn_cast<tile::LoadOp>(op))
      lowerLoad(b, load);
    else if (auto view = dyn_cast<tile::ViewOp>(op))
      buffers[view.getResult()] = TileBuffer{view.getSource(), {}, view.getValid(), {}, view.getIndices()};
    else if (auto pack = dyn_cast<tile::PackOp>(op))
      emitPack(b, op.getLoc(), pack.getSource(), pack.getOffsets(), pack.getValid(), pack.getDestination(),
               pack.getIndices(), pack.getTransposed(), pack.getLayout(), maskedMemory);
    else if (auto dot = dyn_cast<tile::DotOp>(op)) {
      if (failed(lowerDot(b, dot)))
        return failure();
    } else if (auto store = dyn_cast<tile::StoreOp>(op))
      emitStore(b, store, lanesOf(typeOf(store.getValue())), bufferOf(store.getValue()));
    else if (auto loop = dyn_cast<scf::ForOp>(op))
      return lowerFor(b, loop);
    else if (auto branch = dyn_cast<scf::IfOp>(op))
      return lowerIf(b, branch);
    else
      return lowerRegions(op);
    if (isa<tile::TileDialect>(op.getDialect()))
      lowered.push_back(&op);
    return success();
  }

  void lowerLoad(OpBuilder &b, tile::LoadOp load) {
    Location loc = load.getLoc();
    auto type = typeOf(load.getResult());
    TileBuffer buffer;
    IndexBuilder index{b, loc};
    buffer.rows = load.getValid().empty() ? index.constant(type.getShape()[0]) : load.getValid()[0];
    auto panels = dyn_cast_or_null<tile::PanelLayoutAttr>(type.getLayout());
    if (isa_and_nonnull<tile::InPlaceLayoutAttr>(type.getLayout())) {
      buffer.memory = load.getSource();
      buffer.indices = load.getOffsets();
      buffers[load.getResult()] = buffer;
      return;
    }
    if (!panels) {
      buffer.memory = allocate(type);
      emitLoad(b, load, lanesOf(type), buffer.memory);
      buffers[load.getResult()] = buffer;
      return;
    }
    // An operand that pack-operands could not place before the loop is packed where it is used.
    bool transposed = isReadTransposed(load);
    int64_t rows = type.getShape()[0], columns = type.getShape()[1], width = panels.getWidth();
    auto memoryType = [&](int64_t outer, int64_t contracted) {
      return MemRefType::get({outer, panels.getNumGroups(contracted), panels.getUnitWidth()}, type.getElementType());
    };
    Value zero = index.constant(0);
    if (transposed) {
      buffer.memory = allocate(memoryType(llvm::divideCeil(rows, width), columns));
      buildLoop(b, loc, zero, index.ceilDiv(buffer.rows, width), 1, [&](OpBuilder &b, Value strip) {
        IndexBuilder index{b, loc};
        Value first = index.mul(strip, width);
        SmallVector<Value> offsets(load.getOffsets());
        Value &row = offsets[offsets.size() - 2];
        row = index.add(row, first);
        Value rest = b.create<arith::SubIOp>(loc, buffer.rows, first);
        emitPack(b, loc, load.getSource(), offsets, index.min(rest, index.constant(width)), buffer.memory, strip,
                 /*transposed=*/true, panels, maskedMemory);
      });
    } else {
      buffer.memory = allocate(memoryType(llvm::divideCeil(columns, width), rows));
      emitPack(b, loc, load.getSource(), load.getOffsets(), buffer.rows, buffer.memory, zero, /*transposed=*/false,
               panels, maskedMemory);
    }
    buffer.indices = {zero};
    buffers[load.getResult()] = buffer;
  }

  LogicalResult lowerDot(OpBuilder &b, tile::DotOp dot) {
    Location loc = dot.getLoc();
    auto layout = dyn_cast_or_null<tile::RegisterLayoutAttr>(typeOf(dot.getResult()).getLayout());
    auto panels = dyn_cast_or_null<tile::PanelLayoutAttr>(typeOf(dot.getRhs()).getLayout());
    auto inPlace = dyn_cast_or_null<tile::InPlaceLayoutAttr>(typeOf(dot.getRhs()).getLayout());
    bool fits = layout && (inPlace || (panels && (isTileProduct(layout, panels) ||
                                                  (panels.getDepth() == 0 && layout.getHeight() == 1 &&
                                                   panels.getWidth() == layout.getVectors() * layout.getLanes()))));
    if (dot.getTf32())
      return dot.emitOpError("rounds to tf32, which no CPU does; expected products of exact float32");
    if (!fits)
      return dot.emitOpError() << "expected an accumulator with a register layout as wide as the panels of the "
                                  "right-hand side (assign-tile-layouts gives both), got "
                               << dot.getResult().getType() << " and " << dot.getRhs().getType();
    TileBuffer lhs = bufferOf(dot.getLhs()), rhs = bufferOf(dot.getRhs()), acc = bufferOf(dot.getAccumulator());
    if (lhs.splat || rhs.splat)
      return dot.emitOpError() << "expected operands that lie in memory, got a splat";
    TileBuffer result;
    result.rows = lhs.rows;
    if (dot.getTransposed())
      result.columns = rhs.rows;
    Value accumulator;
    // A product that reads in place adds up values group by group, in the accumulator's own place.
    bool adds = dot.getSkipZeros() || (inPlace && !dot.getTransposed());
    if (acc.splat && matchPattern(acc.splat, m_AnyZeroFloat()) && !adds) {
      result.memory = allocate(typeOf(dot.getResult()));
    } else {
      result.memory = takeOver(dot, dot.getAccumulator(), dot.getResult().getType());
      if (!result.memory) {
        result.memory = allocate(typeOf(dot.getResult()));
        materialize(b, loc, dot.getAccumulator(), result.memory);
      }
      accumulator = result.memory;
    }
    buffers[dot.getResult()] = result;
    if (inPlace) {
      // Scratch of the product's own is free again after it.
      SmallVector<Value> own;
      emitDotInPlace(b, dot, inPlace.getLanes(), lhs, rhs, accumulator, result.memory, [&](MemRefType type) {
        own.push_back(allocate(type));
        taken.pop_back();
        return own.back();
      });
      unused.append(own);
      return success();
    }
    RegisterBlock block{layout.getRows(), panels.getWidth() / panels.getLanes(), layout.getLanes()};
    Value finite;
    if (dot.getSkipZeros() && panels.getKpack() != 1)
      finite =
          allocate(MemRefType::get({1, panels.getNumGroups(typeOf(dot.getRhs()).getShape()[0]), panels.getUnitWidth()},
                                   typeOf(dot.getRhs()).getElementType()));
    emitDot(b, dot, block, panels, lhs, rhs, accumulator, result.memory, finite);
    return success();
  }

  /// How many rows exist of the tiles that a loop carries, by the left-hand sides of its products; null where all do.
  Value rowsOf(scf::ForOp loop, tile::TileType carried) {
    Value rows;
    loop.walk([&](tile::DotOp dot) {
      Value lhs = dot.getLhs();
      auto known = buffers.find(lhs);
      if (!rows && loop.isDefinedOutsideOfLoop(lhs) && known != buffers.end() &&
          typeOf(lhs).getShape()[0] == carried.getShape()[0])
        rows = known->second.rows;
    });
    return rows;
  }

  LogicalResult lowerFor(OpBuilder &b, scf::ForOp loop) {
    for (auto [init, argument, result] : llvm::zip(loop.getInitArgs(), loop.getRegionIterArgs(), loop.getResults())) {
      if (!isTile(init))
        continue;
      TileBuffer state = bufferOf(init);
      // A few rows are a small part of what there is room for.
      if (!state.rows)
        state.rows = rowsOf(loop, typeOf(init));
      Value memory = takeOver(loop, init, init.getType());
      if (!memory || state.splat) {
        memory = allocate(typeOf(init));
        materialize(b, loop.getLoc(), init, memory, state.rows);
      }
      state.memory = memory;
      state.splat = {};
      buffers[argument] = buffers[result] = state;
    }
    if (failed(lowerScope(*loop.getBody())))
      return failure();
    auto yield = cast<scf::YieldOp>(loop.getBody()->getTerminator());
    OpBuilder end(yield);
    return moveInto(end, yield.getOperands(), loop.getRegionIterArgs(), yield);
  }

  /// Makes each of `to`'s scratch hold the tile of `from`. Values that would be overwritten before they are read are
  /// refused; a recurrence does not produce them.
  LogicalResult moveInto(OpBuilder &b, ValueRange from, ValueRange to, Operation *op) {
    for (auto [i, source, target] : llvm::enumerate(from, to)) {
      if (!isTile(source))
        continue;
      Value memory = bufferOf(target).memory;
      for (Value later : from.drop_front(i + 1))
        if (isTile(later) && later != source && bufferOf(later).memory == memory)
          return op->emitOpError() << "expected no exchange of tiles between iterations";
      materialize(b, op->getLoc(), source, memory);
    }
    return success();
  }

  LogicalResult lowerIf(OpBuilder &b, scf::IfOp branch) {
    if (branch.getNumResults() == 0)
      return lowerRegions(*branch);
    // Both branches leave each result in one place: where the second one has it, if it lies in memory there.
    for (Region *region : {&branch.getElseRegion(), &branch.getThenRegion()})
      if (failed(lowerScope(region->front())))
        return failure();
    for (auto [i, result] : llvm::enumerate(branch.getResults())) {
      if (!isTile(result))
        continue;
      TileBuffer place = bufferOf(branch.elseYield().getOperand(i));
      if (!place.memory) {
        place.splat = {};
        place.memory = allocate(typeOf(result));
      } else if (auto *freed = llvm::find(unused, place.memory); freed != unused.end()) {
        // Scratch of the branch that goes on to be used.
        unused.erase(freed);
        taken.push_back(place.memory);
      }
      buffers[result] = place;
    }
    for (scf::YieldOp yield : {branch.thenYield(), branch.elseYield()}) {
      OpBuilder end(yield);
      if (failed(moveInto(end, yield.getOperands(), branch.getResults(), yield)))
        return failure();
    }
    return success();
  }

  LogicalResult lowerRegions(Operation &op) {
    Block *outerPoint = scratchPoint;
    SmallVector<Value> outerUnused;
    // Only a function's own parallel loops become tasks; scratch inside any other loop would grow the stack each time.
    bool isTask = isTaskLoop(&op);
    if (isTask)
      std::swap(outerUnused, unused);
    for (Region &region : op.getRegions())
      for (Block &block : region) {
        if (isTask)
          scratchPoint = &block;
        if (failed(lowerScope(block)))
          return failure();
      }
    if (isTask) {
      scratchPoint = outerPoint;
      unused = std::move(outerUnused);
    }
    return success();
  }

  /// Erases what was lowered; loops and branches lose their tile-typed operands and results.
  void removeTiles() {
    OpBuilder b = OpBuilder::atBlockBegin(&func.getFunctionBody().front());
    SmallVector<Operation *> placeholders;
    auto placeholder = [&](Type type) -> Value {
      auto cast = b.create<UnrealizedConversionCastOp>(func.getLoc(), type, ValueRange{});
      placeholders.push_back(cast);
      return cast.getResult(0);
    };
    for (Operation *op : lowered)
      for (Value result : op->getResults())
        if (!result.use_empty())
          result.replaceAllUsesWith(placeholder(result.getType()));
    for (Operation *op : llvm::reverse(lowered))
      op->erase();
    SmallVector<Operation *> structures;
    func->walk([&](Operation *op) {
      if (isa<scf::ForOp, scf::IfOp>(op) && llvm::any_of(op->getResults(), isTile))
        structures.push_back(op);
    });
    for (Operation *op : structures) {
      IRRewriter rewriter(op);
      for (Value result : op->getResults())
        if (isTile(result) && !result.use_empty())
          result.replaceAllUsesWith(placeholder(result.getType()));
      if (auto loop = dyn_cast<scf::ForOp>(op))
        dropTiles(rewriter, loop, placeholder);
      else
        dropTiles(rewriter, cast<scf::IfOp>(op));
    }
    for (Operation *op : placeholders)
      op->erase();
  }

  static void yieldOnlyScalars(Block &block) {
    auto yield = cast<scf::YieldOp>(block.getTerminator());
    SmallVector<Value> kept =
        llvm::to_vector(llvm::make_filter_range(yield.getOperands(), [](Value v) { return !isTile(v); }));
    yield->setOperands(kept);
  }

  static void dropTiles(IRRewriter &rewriter, scf::ForOp loop, function_ref<Value(Type)> placeholder) {
    SmallVector<Value> inits =
        llvm::to_vector(llvm::make_filter_range(loop.getInitArgs(), [](Value v) { return !isTile(v); }));
    auto replacement =
        rewriter.create<scf::ForOp>(loop.getLoc(), loop.getLowerBound(), loop.getUpperBound(), loop.getStep(), inits);
    if (inits.empty())
      rewriter.eraseOp(replacement.getBody()->getTerminator());
    yieldOnlyScalars(*loop.getBody());
    SmallVector<Value> arguments{replacement.getInductionVar()};
    unsigned next = 0;
    for (BlockArgument argument : loop.getRegionIterArgs())
      arguments.push_back(isTile(argument) ? placeholder(argument.getType())
                                           : Value(replacement.getRegionIterArgs()[next++]));
    rewriter.mergeBlocks(loop.getBody(), replacement.getBody(), arguments);
    next = 0;
    for (Value result : loop.getResults())
      if (!isTile(result))
        result.replaceAllUsesWith(replacement.getResult(next++));
    rewriter.eraseOp(loop);
  }

  static void dropTiles(IRRewriter &rewriter, scf::IfOp branch) {
    SmallVector<Type> types = llvm::to_vector(
        llvm::make_filter_range(branch.getResultTypes(), [](Type t) { return !isa<tile::TileType>(t); }));
    auto replacement = rewriter.create<scf::IfOp>(branch.getLoc(), types, branch.getCondition(),
                                                  /*addThenBlock=*/false, /*addElseBlock=*/false);
    for (Region *region : {&branch.getThenRegion(), &branch.getElseRegion()})
      yieldOnlyScalars(region->front());
    replacement.getThenRegion().takeBody(branch.getThenRegion());
    replacement.getElseRegion().takeBody(branch.getElseRegion());
    unsigned next = 0;
    for (Value result : branch.getResults())
      if (!isTile(result))
        result.replaceAllUsesWith(replacement.getResult(next++));
    rewriter.eraseOp(branch);
  }
};

struct LowerTilesToVector : flashc::impl::LowerTilesToVectorBase<LowerTilesToVector> {
  using LowerTilesToVectorBase::LowerTilesToVectorBase;
  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (!func.isExternal() && failed(TileLowering(func, maskedMemory).run()))
      signalPassFailure();
  }
};

} // namespace

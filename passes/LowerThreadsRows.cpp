//===- LowerThreadsRows.cpp - Maps and reductions, by threads -------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/LaneExchange.h"
#include "passes/LowerThreads.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::threads;

static bool isMatrix(Value value) { return typeOf(value).getShape().size() == 2; }

ThreadTile ThreadBuilder::splat(tile::TileType type, Value scalar) {
  ThreadTile result;
  for (Type part : getPartTypes(type)) {
    if (auto vector = dyn_cast<VectorType>(part))
      result.parts.push_back(b.create<vector::BroadcastOp>(loc, vector, scalar));
    else
      result.parts.push_back(scalar);
  }
  return result;
}

/// The body of `map` on one element.
static Value evaluate(OpBuilder &b, tile::MapOp map, ValueRange arguments) {
  IRMapping mapping;
  Block &body = map.getBody().front();
  mapping.map(body.getArguments(), arguments);
  for (Operation &op : body.without_terminator())
    b.clone(op, mapping);
  return mapping.lookupOrDefault(cast<tile::YieldOp>(body.getTerminator()).getValue());
}

/// Whether all that a thread holds of a block is of one row.
static bool hasOneRow(tile::FragmentLayoutAttr layout) {
  for (size_t bit = 0; bit < layout.getRegisters().size() / 2; ++bit)
    if (layout.getRegisters()[2 * bit] != 0)
      return false;
  return true;
}

/// Whether `map` can be evaluated on vectors of elements: it does not know their positions, and all it does is defined
/// element by element.
static bool isElementwise(tile::MapOp map) {
  auto fits = [](Type type) { return isa<FloatType>(type) || type.isInteger(1); };
  return map.getOrigin().empty() && llvm::all_of(map.getBody().front().without_terminator(), [&](Operation &op) {
           bool known = op.hasTrait<OpTrait::ConstantLike>() || OpTrait::hasElementwiseMappableTraits(&op);
           return known && llvm::all_of(op.getOperandTypes(), fits) && llvm::all_of(op.getResultTypes(), fits);
         });
}

/// The body of `map` on vectors of `count` elements: units with instructions for several at once use them.
static Value evaluateVectors(OpBuilder &b, tile::MapOp map, ValueRange arguments, int64_t count) {
  IRMapping mapping;
  Block &body = map.getBody().front();
  auto vectorOf = [&](Value value) -> Value {
    Value mapped = mapping.lookupOrDefault(value);
    if (isa<VectorType>(mapped.getType()))
      return mapped;
    mapped = b.create<vector::BroadcastOp>(map.getLoc(), VectorType::get({count}, mapped.getType()), mapped);
    mapping.map(value, mapped);
    return mapped;
  };
  mapping.map(body.getArguments(), arguments);
  for (Operation &op : body.without_terminator()) {
    if (op.hasTrait<OpTrait::ConstantLike>()) {
      b.clone(op, mapping);
      continue;
    }
    OperationState state(op.getLoc(), op.getName());
    for (Value operand : op.getOperands())
      state.addOperands(vectorOf(operand));
    for (Type type : op.getResultTypes())
      state.addTypes(VectorType::get({count}, type));
    state.addAttributes(op.getAttrs());
    mapping.map(op.getResults(), b.create(state)->getResults());
  }
  return vectorOf(cast<tile::YieldOp>(body.getTerminator()).getValue());
}

/// Elements whose reads of memory, of a mask's operand for example, may be under way at once: each takes an index and
/// an address of two registers.
static constexpr int64_t kReadsAtOnce = 8;

static bool readsMemory(tile::MapOp map) {
  return map.walk([](memref::LoadOp) { return WalkResult::interrupt(); }).wasInterrupted();
}

/// Whether `map` does nothing but round one tile's elements.
static bool isRounding(tile::MapOp map) {
  Block &body = map.getBody().front();
  if (body.getNumArguments() != 1 || body.getOperations().size() != 2)
    return false;
  auto truncation = dyn_cast<arith::TruncFOp>(body.front());
  return truncation && truncation.getIn() == body.getArgument(0) &&
         cast<tile::YieldOp>(body.getTerminator()).getValue() == truncation.getOut();
}

ThreadTile ThreadBuilder::map(tile::MapOp op, ArrayRef<ThreadTile> inputs) {
  tile::TileType type = typeOf(op.getResult());
  auto layout = cast<tile::FragmentLayoutAttr>(type.getLayout());
  ArrayRef<int64_t> shape = type.getShape();
  ThreadTile result;
  Value firstR, firstC;
  if (!op.getOrigin().empty()) {
    firstR = index.add(op.getOrigin()[0], firstRow(layout, shape[0]));
    if (shape.size() == 2)
      firstC = index.add(op.getOrigin()[1], firstColumn(layout));
  }
  if (shape.size() == 1) {
    for (auto [number, offset] : llvm::enumerate(threadRows(layout, shape[0]))) {
      SmallVector<Value> arguments;
      for (const ThreadTile &input : inputs)
        arguments.push_back(input.parts[number]);
      if (firstR)
        arguments.push_back(index.add(firstR, offset));
      result.parts.push_back(evaluate(b, op, arguments));
    }
    return result;
  }
  SmallVector<Type> types = getPartTypes(type);
  // Neighbours are rounded together, in pairs where there is an instruction for it.
  if (isRounding(op)) {
    for (auto [part, rounded] : llvm::zip_equal(inputs[0].parts, types))
      result.parts.push_back(b.create<arith::TruncFOp>(loc, rounded, part));
    return result;
  }
  int64_t down, across;
  std::tie(down, across) = layout.getBlocks(shape);
  if (hasOneRow(layout) && isElementwise(op)) {
    for (int64_t m = 0; m < down; ++m)
      for (int64_t n = 0; n < across; ++n) {
        SmallVector<Value> arguments;
        for (auto [value, input] : llvm::zip_equal(op.getInputs(), inputs))
          arguments.push_back(input.parts[isMatrix(value) ? m * across + n : m]);
        result.parts.push_back(evaluateVectors(b, op, arguments, layout.getBlockElements()));
      }
    return result;
  }
  int64_t elements = 0;
  bool reads = readsMemory(op);
  for (int64_t m = 0; m < down; ++m)
    for (int64_t n = 0; n < across; ++n) {
      Value part = b.create<arith::ConstantOp>(loc, b.getZeroAttr(types[m * across + n]));
      for (int64_t e = 0; e < layout.getBlockElements(); ++e) {
        if (reads && elements++ % kReadsAtOnce == 0)
          fence();
        auto [row, column] = layout.getOffset(e);
        SmallVector<Value> arguments;
        for (auto [value, input] : llvm::zip_equal(op.getInputs(), inputs))
          arguments.push_back(isMatrix(value)
                                  ? b.create<vector::ExtractOp>(loc, input.parts[m * across + n], e).getResult()
                                  : input.parts[rowIndex(layout, m, e)]);
        if (firstR) {
          arguments.push_back(index.add(firstR, m * layout.getBlock()[0] + row));
          arguments.push_back(index.add(firstC, n * layout.getBlock()[1] + column));
        }
        part = b.create<vector::InsertOp>(loc, evaluate(b, op, arguments), part, e);
      }
      result.parts.push_back(part);
    }
  return result;
}

Value ThreadBuilder::keepHere(Value number) {
  // An exchange with oneself.
  Value word = b.create<arith::IndexCastUIOp>(loc, b.getI32Type(), number);
  auto same = b.create<gpu::ShuffleOp>(loc, word, 0, block.gpu.subgroupSize, gpu::ShuffleMode::XOR);
  return b.create<arith::IndexCastUIOp>(loc, b.getIndexType(), same.getShuffleResult());
}

void ThreadBuilder::forgetThread(scf::ForOp loop) {
  DenseMap<std::pair<Attribute, int64_t>, Value> rows;
  loop.walk([&](tile::MapOp map) {
    tile::TileType type = typeOf(map.getResult());
    auto layout = dyn_cast<tile::FragmentLayoutAttr>(type.getLayout());
    WalkResult divides = map.walk([](Operation *op) {
      return WalkResult(failure(isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp>(op)));
    });
    if (layout && !map.getOrigin().empty() && divides.wasInterrupted())
      rows[{layout, type.getShape()[0]}] = firstRow(layout, type.getShape()[0]);
  });
  renumberThread();
  block.firstRows = std::move(rows);
}

void ThreadBuilder::renumberThread() {
  // What is below the next power of two stays known to be.
  Value most = constant(llvm::PowerOf2Ceil(block.threads)), size = constant(block.gpu.subgroupSize);
  block.thread = b.create<arith::RemUIOp>(loc, keepHere(block.thread), most);
  block.lane = b.create<arith::RemUIOp>(loc, block.thread, size);
  block.warp = b.create<arith::DivUIOp>(loc, block.thread, size);
  block.known = block.warp;
  block.firstRows.clear();
  block.firstColumns.clear();
  block.laneRows.clear();
}

/// Whether a number is known to be at least one.
static bool isPositive(Value number) {
  auto maximum = number.getDefiningOp<arith::MaxSIOp>();
  APInt least;
  return maximum && matchPattern(maximum.getRhs(), m_ConstantInt(&least)) && least.isStrictlyPositive();
}

void threads::hoistDivisions(scf::ForOp loop) {
  // Products of single elements are loops, which no branch comes into, and their threads have many rows to divide.
  if (!loop.walk([](tile::MmaOp) { return WalkResult::interrupt(); }).wasInterrupted())
    return;
  SmallVector<arith::DivUIOp> divisions;
  loop.walk([&](arith::DivUIOp op) {
    if (isPositive(op.getRhs()))
      divisions.push_back(op);
  });
  auto isInside = [&](Operation *op) { return loop->isProperAncestor(op); };
  for (arith::DivUIOp division : divisions) {
    SetVector<Operation *> slice;
    BackwardSliceOptions options;
    options.inclusive = true;
    options.filter = isInside;
    getBackwardSlice(division.getOperation(), &slice, options);
    bool isSame = llvm::all_of(slice, [&](Operation *op) {
      return op->getNumRegions() == 0 && isMemoryEffectFree(op) && llvm::none_of(op->getOperands(), [&](Value operand) {
               auto argument = dyn_cast<BlockArgument>(operand);
               return argument && loop->isAncestor(argument.getOwner()->getParentOp());
             });
    });
    if (isSame)
      for (Operation *op : slice)
        if (isInside(op))
          op->moveBefore(loop);
  }
}

void ThreadBuilder::fence() {
  if (block.gpu.registers != 0)
    b.create<tile::ScheduleFenceOp>(loc);
}

Value ThreadBuilder::shuffleXor(Value x, int64_t mask) {
  return exchangeLanes(b, loc, x, gpu::ShuffleMode::XOR, mask, block.gpu.subgroupSize);
}

ThreadTile ThreadBuilder::reduce(tile::ReduceOp op, const ThreadTile &input, const ThreadTile &init) {
  tile::TileType type = typeOf(op.getInput());
  auto layout = cast<tile::FragmentLayoutAttr>(type.getLayout());
  auto combine = [&](Value x, Value y) -> Value {
    if (op.getKind() == tile::ReductionKind::max)
      return b.create<arith::MaxNumFOp>(loc, x, y);
    return b.create<arith::AddFOp>(loc, x, y);
  };
  int64_t down, across;
  std::tie(down, across) = layout.getBlocks(type.getShape());
  ThreadTile result;
  result.parts.resize(init.parts.size());
  // What a thread has of a row, then what the lanes of the row have.
  if (hasOneRow(layout) && op.getKind() == tile::ReductionKind::sum) {
    for (int64_t m = 0; m < down; ++m) {
      Value all = input.parts[m * across];
      for (int64_t n = 1; n < across; ++n)
        all = combine(all, input.parts[m * across + n]);
      for (int64_t half = layout.getBlockElements() / 2; half > 0; half /= 2)
        all = combine(b.create<vector::ExtractStridedSliceOp>(loc, all, 0, half, 1),
                      b.create<vector::ExtractStridedSliceOp>(loc, all, half, half, 1));
      result.parts[m] = b.create<vector::ExtractOp>(loc, all, 0);
    }
    across = 0;
  }
  for (int64_t m = 0; m < down; ++m)
    for (int64_t n = 0; n < across; ++n)
      for (int64_t e = 0; e < layout.getBlockElements(); ++e) {
        Value &row = result.parts[rowIndex(layout, m, e)];
        Value x = b.create<vector::ExtractOp>(loc, input.parts[m * across + n], e);
        row = row ? combine(row, x) : x;
      }
  for (size_t bit = 0; bit < layout.getLanes().size() / 2; ++bit)
    if (layout.getLanes()[2 * bit + 1] != 0)
      for (Value &row : result.parts)
        row = combine(row, shuffleXor(row, int64_t(1) << bit));
  for (auto [row, start] : llvm::zip_equal(result.parts, init.parts))
    row = combine(start, row);
  return result;
}

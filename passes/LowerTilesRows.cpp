//===- LowerTilesRows.cpp - Maps and reductions, fused row by row ---------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Between two products lie only operations whose rows do not meet. Each row is therefore taken through all of them
/// while it is in the first cache level, and consecutive operations share one pass over its columns until one of them
/// needs a reduction's result; some rows wait there for each other. For a softmax step that gives the two passes it
/// needs: scale, mask and maximum; exponential and sum.
///
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "passes/LowerTiles.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::cpu;

static Value broadcastTo(OpBuilder &b, Location loc, Value value, int64_t lanes) {
  if (isa<VectorType>(value.getType()))
    return value;
  return b.create<vector::BroadcastOp>(loc, VectorType::get({lanes}, value.getType()), value);
}

/// An operation without a vector form, once for each lane.
static void cloneByLane(OpBuilder &b, Operation &op, IRMapping &mapping, int64_t lanes) {
  Location loc = op.getLoc();
  SmallVector<Value> results;
  for (Type type : op.getResultTypes()) {
    auto vector = VectorType::get({lanes}, type);
    results.push_back(b.create<arith::ConstantOp>(loc, vector, b.getZeroAttr(vector)));
  }
  // What the operation's regions use from the body around it has to be scalar too, so every vector known is offered.
  SetVector<Value> used;
  op.walk([&](Operation *nested) {
    for (Value operand : nested->getOperands())
      if (Value mapped = mapping.lookupOrNull(operand); mapped && isa<VectorType>(mapped.getType()))
        used.insert(operand);
  });
  for (int64_t lane = 0; lane < lanes; ++lane) {
    IRMapping scalars(mapping);
    for (Value value : used)
      scalars.map(value, b.create<vector::ExtractOp>(loc, mapping.lookup(value), lane));
    Operation *clone = b.clone(op, scalars);
    for (auto [result, value] : llvm::zip(results, clone->getResults()))
      result = b.create<vector::InsertOp>(loc, value, result, lane);
  }
  mapping.map(op.getResults(), results);
}

Value cpu::cloneVectorized(OpBuilder &b, Block &body, ValueRange arguments, int64_t lanes) {
  IRMapping mapping;
  mapping.map(body.getArguments(), arguments);
  auto isVector = [&](Value value) { return isa<VectorType>(mapping.lookupOrDefault(value).getType()); };
  for (Operation &op : body.without_terminator()) {
    bool anyVector = false;
    op.walk([&](Operation *nested) { anyVector |= llvm::any_of(nested->getOperands(), isVector); });
    if (!anyVector) {
      b.clone(op, mapping);
      continue;
    }
    if (!OpTrait::hasElementwiseMappableTraits(&op)) {
      cloneByLane(b, op, mapping, lanes);
      continue;
    }
    OperationState state(op.getLoc(), op.getName());
    for (Value operand : op.getOperands())
      state.operands.push_back(broadcastTo(b, op.getLoc(), mapping.lookupOrDefault(operand), lanes));
    for (Type type : op.getResultTypes())
      state.types.push_back(VectorType::get({lanes}, type));
    state.attributes = op.getAttrDictionary().getValue();
    mapping.map(op.getResults(), b.create(state)->getResults());
  }
  Value yielded = body.getTerminator()->getOperand(0);
  return broadcastTo(b, body.getTerminator()->getLoc(), mapping.lookupOrDefault(yielded), lanes);
}

namespace {

/// The operations of a group that share one pass over a row's columns, and what they produced so far.
struct ColumnPass {
  SmallVector<Operation *> ops;
  llvm::SmallDenseSet<Value> produced;
  int64_t columns = 0;
  /// Vectors of one iteration: a register block's, which hides the latency of a reduction and of an exponential, and to
  /// whose width the columns that a product computed are rounded.
  int64_t blockVectors = 1;
  /// Columns that exist; null: all.
  Value extent;
  bool empty() const { return ops.empty(); }
};

struct RowEmitter {
  RowEmitter(int64_t lanes, function_ref<TileBuffer &(Value)> buffer, function_ref<bool(Value)> livesOn, Value row)
      : lanes(lanes), buffer(buffer), livesOn(livesOn), row(row) {}

  int64_t lanes;
  function_ref<TileBuffer &(Value)> buffer;
  function_ref<bool(Value)> livesOn;
  Value row;
  /// Row r of values with one element a row, as scalars.
  DenseMap<Value, Value> scalars;
  ColumnPass pass;

  static tile::TileType typeOf(Value value) { return cast<tile::TileType>(value.getType()); }
  static bool isMatrix(Value value) { return typeOf(value).getShape().size() == 2; }

  Value scalarOf(OpBuilder &b, Location loc, Value value) {
    Value &scalar = scalars[value];
    if (!scalar) {
      TileBuffer &source = buffer(value);
      scalar = source.splat ? source.splat : b.create<memref::LoadOp>(loc, source.memory, row).getResult();
    }
    return scalar;
  }

  void define(OpBuilder &b, Location loc, Value value, Value scalar) {
    scalars[value] = scalar;
    if (livesOn(value))
      b.create<memref::StoreOp>(loc, scalar, buffer(value).memory, row);
  }

  void add(OpBuilder &b, Operation *op) {
    if (auto map = dyn_cast<tile::MapOp>(op); map && !isMatrix(map.getResult()))
      return addRowMap(b, map);
    Value shape = op->getOperand(0);
    if (auto map = dyn_cast<tile::MapOp>(op))
      shape = map.getResult();
    // A pass ends where another shape begins or where a reduction's result is needed.
    bool needsResult = llvm::any_of(op->getOperands(), [&](Value operand) {
      return isa<tile::TileType>(operand.getType()) && !isMatrix(operand) && pass.produced.contains(operand);
    });
    int64_t columns = typeOf(shape).getShape()[1];
    Value extent;
    bool readsPass = false;
    for (Value operand : op->getOperands())
      if (isa<tile::TileType>(operand.getType()) && isMatrix(operand)) {
        readsPass |= pass.produced.contains(operand);
        if (!pass.produced.contains(operand))
          if (TileBuffer &source = buffer(operand); source.columns)
            extent = source.columns;
      }
    // Two matrices of one shape may still differ in how many columns exist: the scores of the last keys, and the
    // accumulator where it happens to be as wide as a tile of keys.
    bool otherExtent = !readsPass && extent != pass.extent;
    if (!pass.empty() && (needsResult || columns != pass.columns || otherExtent))
      flush(b);
    if (pass.empty()) {
      pass.columns = columns;
      pass.blockVectors = cast<tile::RegisterLayoutAttr>(typeOf(shape).getLayout()).getVectors();
    }
    if (extent)
      pass.extent = extent;
    pass.ops.push_back(op);
    pass.produced.insert(op->getResult(0));
  }

  void addRowMap(OpBuilder &b, tile::MapOp op) {
    if (llvm::any_of(op.getInputs(), [&](Value input) { return pass.produced.contains(input); }))
      flush(b);
    Location loc = op.getLoc();
    IRMapping mapping;
    Block &body = op.getBody().front();
    for (auto [argument, input] : llvm::zip(body.getArguments(), op.getInputs()))
      mapping.map(argument, scalarOf(b, loc, input));
    if (!op.getOrigin().empty())
      mapping.map(body.getArguments().back(), b.create<arith::AddIOp>(loc, op.getOrigin()[0], row));
    for (Operation &nested : body.without_terminator())
      b.clone(nested, mapping);
    define(b, loc, op.getResult(), mapping.lookupOrDefault(body.getTerminator()->getOperand(0)));
  }

  void flush(OpBuilder &b) {
    if (pass.empty())
      return;
    Location loc = pass.ops.front()->getLoc();
    IndexBuilder index{b, loc};
    // Rows of scratch are padded to whole vectors.
    int64_t vectors = llvm::divideCeil(pass.columns, lanes);
    int64_t unroll = pass.blockVectors;
    while (vectors % unroll != 0)
      --unroll;
    int64_t step = unroll * lanes;
    Value end = index.constant(vectors * lanes);
    std::optional<int64_t> known = pass.extent ? getConstantIntValue(pass.extent) : vectors * lanes;
    bool ragged = !known || *known % step != 0;
    if (ragged)
      end = index.mul(b.createOrFold<arith::DivUIOp>(loc, pass.extent, index.constant(step)), step);
    else if (pass.extent)
      end = pass.extent;

    SmallVector<tile::ReduceOp> reductions;
    for (Operation *op : pass.ops)
      if (auto reduce = dyn_cast<tile::ReduceOp>(op))
        reductions.push_back(reduce);
    SmallVector<Value> init;
    for (tile::ReduceOp reduce : reductions) {
      auto type = VectorType::get({lanes}, typeOf(reduce.getResult()).getElementType());
      for (int64_t u = 0; u < unroll; ++u)
        init.push_back(b.create<arith::ConstantOp>(loc, type, neutral(b, reduce, type)));
    }
    // Row scalars are loaded once, before the columns.
    for (Operation *op : pass.ops)
      if (auto map = dyn_cast<tile::MapOp>(op))
        for (Value input : map.getInputs())
          if (!isMatrix(input))
            scalarOf(b, loc, input);

    auto loop = b.create<scf::ForOp>(loc, index.constant(0), end, index.constant(step), init,
                                     [&](OpBuilder &b, Location loc, Value column, ValueRange carried) {
                                       SmallVector<Value> next(carried);
                                       for (int64_t u = 0; u < unroll; ++u)
                                         emitColumn(b, loc, IndexBuilder{b, loc}.add(column, index.constant(u * lanes)),
                                                    reductions, u, unroll, next, /*inside=*/{});
                                       b.create<scf::YieldOp>(loc, next);
                                     });
    SmallVector<Value> sums(loop.getResults());
    if (ragged) {
      // Less than a block of columns is left: one vector at a time, the lanes beyond the extent kept out.
      auto tail = b.create<scf::ForOp>(loc, end, pass.extent, index.constant(lanes), sums,
                                       [&](OpBuilder &b, Location loc, Value column, ValueRange carried) {
                                         SmallVector<Value> next(carried);
                                         Value inside = lanesBefore(b, loc, column, pass.extent);
                                         emitColumn(b, loc, column, reductions, 0, unroll, next, inside);
                                         b.create<scf::YieldOp>(loc, next);
                                       });
      sums = SmallVector<Value>(tail.getResults());
    }
    for (auto [i, reduce] : llvm::enumerate(reductions)) {
      Value sum = sums[i * unroll];
      for (int64_t u = 1; u < unroll; ++u)
        sum = combine(b, loc, reduce, sum, sums[i * unroll + u]);
      Value scalar = reduceVector(b, loc, reduce, sum);
      define(b, loc, reduce.getResult(), combine(b, loc, reduce, scalar, scalarOf(b, loc, reduce.getInit())));
    }
    pass = {};
  }

  static bool isMax(tile::ReduceOp op) { return op.getKind() == tile::ReductionKind::max; }

  static TypedAttr neutral(OpBuilder &b, tile::ReduceOp op, VectorType type) {
    auto element = cast<FloatType>(type.getElementType());
    APFloat value = isMax(op) ? APFloat::getInf(element.getFloatSemantics(), /*Negative=*/true)
                              : APFloat::getZero(element.getFloatSemantics());
    return DenseElementsAttr::get(type, value);
  }

  /// max as `x > y ? x : y`: one native instruction, which IEEE's maximum and maximumNumber are not.
  static Value combine(OpBuilder &b, Location loc, tile::ReduceOp op, Value x, Value y) {
    if (!isMax(op))
      return b.create<arith::AddFOp>(loc, x, y);
    Value greater = b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OGT, x, y);
    return b.create<arith::SelectOp>(loc, greater, x, y);
  }

  /// A tree over the lanes, so that sums are added in an order that the target does not choose.
  Value reduceVector(OpBuilder &b, Location loc, tile::ReduceOp op, Value vector) {
    for (int64_t n = lanes; n > 1; n /= 2) {
      SmallVector<int64_t> low, high;
      for (int64_t k = 0; k < n / 2; ++k) {
        low.push_back(k);
        high.push_back(k + n / 2);
      }
      Value x = b.create<vector::ShuffleOp>(loc, vector, vector, low);
      Value y = b.create<vector::ShuffleOp>(loc, vector, vector, high);
      vector = combine(b, loc, op, x, y);
    }
    return b.create<vector::ExtractOp>(loc, vector, 0);
  }

  /// Which lanes of the vector at `column` lie before `extent`.
  Value lanesBefore(OpBuilder &b, Location loc, Value column, Value extent) {
    auto type = VectorType::get({lanes}, b.getI32Type());
    SmallVector<int32_t> steps(llvm::to_vector(llvm::seq<int32_t>(0, lanes)));
    Value iota = b.create<arith::ConstantOp>(loc, type, b.getI32VectorAttr(steps));
    Value left = b.create<arith::SubIOp>(loc, extent, column);
    left = b.create<arith::IndexCastOp>(loc, b.getI32Type(), left);
    return b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, iota,
                                   b.create<vector::BroadcastOp>(loc, type, left));
  }

  /// One vector of columns through all operations of the pass. Only the lanes in `inside` (null: all) take part in
  /// reductions; what is written to memory is zero in the others.
  void emitColumn(OpBuilder &b, Location loc, Value column, ArrayRef<tile::ReduceOp> reductions, int64_t u,
                  int64_t unroll, SmallVectorImpl<Value> &sums, Value inside) {
    DenseMap<Value, Value> vectors;
    auto read = [&](Value value) -> Value {
      if (!isMatrix(value))
        return scalarOf(b, loc, value);
      Value &vector = vectors[value];
      if (!vector) {
        TileBuffer &source = buffer(value);
        auto type = VectorType::get({lanes}, typeOf(value).getElementType());
        vector = source.splat ? b.create<vector::BroadcastOp>(loc, type, source.splat).getResult()
                              : b.create<vector::LoadOp>(loc, type, source.memory, ValueRange{row, column}).getResult();
      }
      return vector;
    };
    for (Operation *op : pass.ops) {
      if (auto reduce = dyn_cast<tile::ReduceOp>(op)) {
        size_t i = llvm::find(reductions, reduce) - reductions.begin();
        Value &sum = sums[i * unroll + u], x = read(reduce.getInput());
        if (inside) {
          auto type = cast<VectorType>(x.getType());
          Value nothing = b.create<arith::ConstantOp>(loc, type, neutral(b, reduce, type));
          x = b.create<arith::SelectOp>(loc, inside, x, nothing);
        }
        sum = combine(b, loc, reduce, sum, x);
        continue;
      }
      auto map = cast<tile::MapOp>(op);
      SmallVector<Value> arguments;
      for (Value input : map.getInputs())
        arguments.push_back(read(input));
      if (!map.getOrigin().empty()) {
        arguments.push_back(b.create<arith::AddIOp>(loc, map.getOrigin()[0], row));
        Value first = b.create<arith::AddIOp>(loc, map.getOrigin()[1], column);
        auto type = VectorType::get({lanes}, b.getIndexType());
        SmallVector<Attribute> steps;
        for (int64_t lane = 0; lane < lanes; ++lane)
          steps.push_back(b.getIndexAttr(lane));
        Value iota = b.create<arith::ConstantOp>(loc, type, DenseElementsAttr::get(type, steps));
        arguments.push_back(b.create<arith::AddIOp>(loc, b.create<vector::BroadcastOp>(loc, type, first), iota));
      }
      Value result = cloneVectorized(b, map.getBody().front(), arguments, lanes);
      vectors[map.getResult()] = result;
      if (!livesOn(map.getResult()) && !isReadLater(map.getResult()))
        continue;
      if (inside) {
        Value zero = b.create<arith::ConstantOp>(loc, b.getZeroAttr(result.getType()));
        result = b.create<arith::SelectOp>(loc, inside, result, zero);
      }
      b.create<vector::StoreOp>(loc, result, buffer(map.getResult()).memory, ValueRange{row, column});
    }
  }

  /// Whether an operation outside the current pass reads the value.
  bool isReadLater(Value value) {
    return llvm::any_of(value.getUsers(), [&](Operation *user) { return !llvm::is_contained(pass.ops, user); });
  }
};

} // namespace

/// How many of a group's operations each row goes through before the next row: up to the operation that waits for the
/// first reduction over the row's columns, and the rest.
static ArrayRef<Operation *> takeFirstPhase(ArrayRef<Operation *> group) {
  auto isMatrix = [](Operation *op) {
    return RowEmitter::isMatrix(isa<tile::ReduceOp>(op) ? op->getOperand(0) : op->getResult(0));
  };
  auto *reduction = llvm::find_if(group, [](Operation *op) { return isa<tile::ReduceOp>(op); });
  if (reduction == group.end())
    return group;
  auto *next = std::find_if(std::next(reduction), group.end(), isMatrix);
  return group.take_front(next - group.begin());
}

void cpu::emitRows(OpBuilder &b, ArrayRef<Operation *> group, int64_t lanes, function_ref<TileBuffer &(Value)> buffer,
                   function_ref<bool(Value)> livesOn) {
  if (group.empty())
    return;
  Location loc = group.front()->getLoc();
  IndexBuilder index{b, loc};
  Value rows;
  int64_t staticRows = RowEmitter::typeOf(group.front()->getResult(0)).getShape()[0];
  for (Operation *op : group)
    for (Value operand : op->getOperands())
      if (isa<tile::TileType>(operand.getType()) && !llvm::is_contained(group, operand.getDefiningOp()))
        if (Value extent = buffer(operand).rows; extent && !rows)
          rows = extent;
  if (!rows)
    rows = index.constant(staticRows);
  // A row waits for its maximum before its exponentials begin, and a processor sees some hundred operations ahead: not
  // to the next row, if a row is short. So some rows' maxima come before the same rows' exponentials. All of them are
  // still in the first cache level then.
  constexpr int64_t rowsOfPhase = 6;
  ArrayRef<Operation *> first = takeFirstPhase(group), second = group.drop_front(first.size());
  auto emitPhase = [&](OpBuilder &b, ArrayRef<Operation *> ops, Value begin, Value end) {
    auto isSeen = [&](Value value) {
      return livesOn(value) ||
             llvm::any_of(value.getUsers(), [&](Operation *user) { return !llvm::is_contained(ops, user); });
    };
    buildLoop(b, loc, begin, end, 1, [&](OpBuilder &b, Value row) {
      RowEmitter emitter(lanes, buffer, isSeen, row);
      for (Operation *op : ops)
        emitter.add(b, op);
      emitter.flush(b);
    });
  };
  if (second.empty())
    return emitPhase(b, first, index.constant(0), rows);
  buildLoop(b, loc, index.constant(0), rows, rowsOfPhase, [&](OpBuilder &b, Value begin) {
    IndexBuilder index{b, loc};
    Value end = index.min(index.add(begin, index.constant(rowsOfPhase)), rows);
    emitPhase(b, first, begin, end);
    emitPhase(b, second, begin, end);
  });
}

//===- DecomposeOnline.cpp - The online softmax in tile operations -------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/KeyLoops.h"
#include "passes/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"

namespace flashc {
#define GEN_PASS_DEF_DECOMPOSEONLINE
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;
using tile::TileType;

static constexpr double kLog2e = 1.4426950408889634074, kLn2 = 0.69314718055994530942;

/// Scalar arithmetic of one floating-point type.
namespace {
struct Scalars {
  OpBuilder &b;
  Location loc;
  FloatType type;

  Value constant(double value) {
    bool inexact;
    APFloat number(value);
    number.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven, &inexact);
    return b.create<arith::ConstantOp>(loc, b.getFloatAttr(type, number));
  }
  Value lowest() { return constant(-std::numeric_limits<double>::infinity()); }
  Value isEqual(Value x, Value y) { return b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OEQ, x, y); }
  Value select(Value condition, Value x, Value y) { return b.create<arith::SelectOp>(loc, condition, x, y); }
  Value add(Value x, Value y) { return b.create<arith::AddFOp>(loc, x, y); }
  Value sub(Value x, Value y) { return b.create<arith::SubFOp>(loc, x, y); }
  Value mul(Value x, Value y) { return b.create<arith::MulFOp>(loc, x, y); }
  /// To this type, from one that is no wider.
  Value widen(Value x) { return x.getType() == type ? x : b.create<arith::ExtFOp>(loc, type, x).getResult(); }
};

/// Expands one step.
struct Step {
  attn::OnlineOp op;
  OpBuilder &b;
  Location loc;
  /// What is computed in.
  FloatType type;
  /// Whether the products round what they take to tf32, and what that is in memory.
  bool tf32;
  FloatType operand;
  TileType scoresType, rowsType, accType, queryType;
  /// Whether the sums become a logarithm that somebody sees.
  bool exactSum;

  Step(attn::OnlineOp op, OpBuilder &b, bool exactSum)
      : op(op), b(b), loc(op.getLoc()), type(cast<FloatType>(op.getTiles().getCompute())),
        tf32(op.getTiles().getOperandType().isTF32()),
        operand(tf32 ? type : cast<FloatType>(op.getTiles().getOperandType())),
        scoresType(TileType::get({op.getTiles().getQueries(), op.getTiles().getKeys()}, type)),
        rowsType(cast<TileType>(op.getMax().getType())), accType(cast<TileType>(op.getAcc().getType())),
        queryType(TileType::get(
            {op.getTiles().getQueries(), cast<MemRefType>(op.getQuery().getType()).getShape().back()}, operand)),
        exactSum(exactSum) {}

  using Body = function_ref<Value(Scalars &, ValueRange)>;
  Value map(TileType result, ValueRange inputs, Body body, ValueRange origin = {}) {
    auto map =
        b.create<tile::MapOp>(loc, result, inputs, origin, [&](OpBuilder &b, Location loc, ValueRange arguments) {
          Scalars scalars{b, loc, type};
          return body(scalars, arguments);
        });
    hoistInvariants(map);
    return map;
  }

  /// What is the same for all elements, a batch entry's length for one, is computed before the map. Reads are safe
  /// there: every element does them whatever the others say.
  static void hoistInvariants(tile::MapOp map) {
    Region &body = map.getBody();
    auto isOutside = [&](Value value) { return !body.isAncestor(value.getParentRegion()); };
    for (Operation &op : llvm::make_early_inc_range(body.front().without_terminator()))
      if (op.getNumRegions() == 0 && (isMemoryEffectFree(&op) || isa<memref::LoadOp>(op)) &&
          llvm::all_of(op.getOperands(), isOutside))
        op.moveBefore(map);
  }

  /// All rows of memory of two dimensions, or three (grouped), as a tile of `rows` rows.
  Value load(OpBuilder &b, Value memory, int64_t rows) {
    IndexMath math(b, loc);
    auto source = cast<MemRefType>(memory.getType());
    int64_t columns = source.getShape().back();
    Value zero = math.constant(0), valid = math.dim(memory, 0);
    bool grouped = source.getRank() == 3;
    if (grouped)
      valid = math.mul(valid, math.dim(memory, 1));
    auto load =
        b.create<tile::LoadOp>(loc, TileType::get({rows, columns}, operand), memory,
                               SmallVector<Value>(source.getRank(), zero), ValueRange{valid, math.constant(columns)});
    load.setGrouped(grouped);
    return load;
  }

  /// Keys or values of the step. Where they are divided among tasks, each task reads its part once.
  Value loadKeys(Value memory) {
    Value tile = load(b, memory, op.getTiles().getKeys());
    tile.getDefiningOp<tile::LoadOp>().setStreamed(op.getTiles().getSplit() != 0);
    return tile;
  }

  /// Where a score stands: query head, query and key position.
  struct Place {
    Value head, i, j;
  };

  /// Of the score at a map's positions, which count from `origin`.
  Place place(Scalars &s, Value row, Value j) {
    ValueRange position = op.getPosition();
    if (!isGrouped(op))
      return {position[kHead], row, j};
    IndexMath math(s.b, loc);
    Value queries = math.max(getNumQueries(s.b, op), math.constant(1));
    Value head = math.div(row, queries), query = math.sub(row, math.mul(head, queries));
    return {math.add(position[kHead], head), math.add(position[kFirstQuery], query), j};
  }

  /// What a map over the scores counts positions from. Rows of several heads are divided in the map.
  SmallVector<Value> origin() {
    ValueRange position = op.getPosition();
    Value row = isGrouped(op) ? IndexMath(b, loc).constant(0) : position[kFirstQuery];
    return {row, position[kFirstKey]};
  }

  /// The conjunction of the masks' predicates for one score.
  Value attended(Scalars &s, const Place &at) {
    Value all;
    for (const MaskUse &use : getMaskUses(op)) {
      attn::MaskContext context = use.context(op.getPosition());
      context.head = at.head;
      // Of a part's keys, too, the last granule may reach beyond the last one.
      if (isa<attn::BoundsAttr>(use.mask)) {
        IndexMath math(s.b, loc);
        context.keyLength = math.add(op.getPosition()[kFirstKey], math.dim(op.getKey(), 0));
      }
      Value one = use.mask.predicate(s.b, loc, context, at.i, at.j);
      all = all ? s.b.createOrFold<arith::AndIOp>(loc, all, one) : one;
    }
    return all;
  }

  /// The bias of one score. Clamping its indices serves both positions beyond the sizes and dimensions of 1
  /// (broadcast).
  Value bias(Scalars &s, const Place &at) {
    IndexMath math(s.b, loc);
    SmallVector<Value> indices = {op.getPosition()[kBatch], at.head, at.i, at.j};
    for (auto [dimension, index] : llvm::enumerate(indices))
      index = math.clampIndex(index, math.dim(op.getBias(), dimension));
    return s.widen(s.b.create<memref::LoadOp>(loc, op.getBias(), indices));
  }

  /// The score function applied to one score.
  Value scoreFunction(Scalars &s, Value score, const Place &at) {
    Block &body = op.getScore().front();
    IRMapping map;
    map.map(body.getArgument(0), score);
    map.map(body.getArguments().drop_front(), ValueRange{op.getPosition()[kBatch], at.head, at.i, at.j});
    for (Operation &inner : body.without_terminator())
      s.b.clone(inner, map);
    return map.lookupOrDefault(cast<attn::YieldOp>(body.getTerminator()).getValue());
  }

  /// From a raw product to the final score in units of log2, in the order that the Attention dialect defines.
  Value finalScore(Scalars &s, Value product, const Place &at) {
    Value score = s.mul(product, s.constant(op.getScale().convertToDouble()));
    Value dropped;
    if (!op.getScore().empty()) {
      score = scoreFunction(s, score, at);
      // What the score function drops stays dropped through a softcap and a bias.
      if (op.getSoftcap() || op.getBias())
        dropped = s.isEqual(score, s.lowest());
    }
    if (op.getSoftcap()) {
      double cap = op.getSoftcap()->convertToDouble();
      Value bent = s.b.create<math::TanhOp>(loc, s.mul(score, s.constant(1.0 / cap)));
      score = s.mul(bent, s.constant(cap));
    }
    if (op.getBias()) {
      Value more = bias(s, at);
      // The lowest finite number is a bias like another: a row of nothing else is even, not empty. In units of log2 it
      // would become -inf.
      Value floor = s.constant(-0.69 * APFloat::getLargest(type.getFloatSemantics()).convertToDouble());
      Value tooLow = s.b.create<arith::CmpFOp>(loc, arith::CmpFPredicate::OLT, more, floor);
      score = s.add(score, s.select(tooLow, floor, more));
      // An additive mask: -inf drops a score even where the key holds NaN.
      Value masked = s.isEqual(more, s.lowest());
      dropped = dropped ? s.b.create<arith::OrIOp>(loc, dropped, masked).getResult() : masked;
    }
    score = s.mul(score, s.constant(kLog2e));
    if (dropped)
      score = s.select(dropped, s.lowest(), score);
    if (Value in = attended(s, at))
      score = s.select(in, score, s.lowest());
    return score;
  }

  void expand(Value query) {
    double scale = op.getScale().convertToDouble();
    // A positive factor does not change which score is largest, so it is applied to the rows' maxima and inside the
    // exponential, and the scores themselves need no pass of their own.
    bool linear = op.getScore().empty() && !op.getSoftcap() && !op.getBias() && scale > 0;
    double factor = linear ? scale * kLog2e : 1.0;

    Scalars outer{b, loc, type};
    Value zero = outer.constant(0.0);
    Value key = loadKeys(op.getKey());
    Value none = b.create<tile::SplatOp>(loc, scoresType, zero);
    auto product = b.create<tile::DotOp>(loc, scoresType, query, key, none, /*transposed=*/true);
    product.setTf32(tf32);
    Value scores = product;

    auto masked = [&](Scalars &s, ValueRange in) {
      Place at = place(s, in[1], in[2]);
      return linear ? s.select(attended(s, at), in[0], s.lowest()) : finalScore(s, in[0], at);
    };
    if (!linear || !op.getMasks().empty())
      scores = map(scoresType, scores, masked, origin());

    Value max;
    if (linear) {
      Value lowest = b.create<tile::SplatOp>(loc, rowsType, outer.lowest());
      Value largest = b.create<tile::ReduceOp>(loc, rowsType, tile::ReductionKind::max, scores, lowest);
      max = map(rowsType, {op.getMax(), largest}, [&](Scalars &s, ValueRange in) -> Value {
        return s.b.create<arith::MaxNumFOp>(loc, in[0], s.mul(in[1], s.constant(factor)));
      });
    } else {
      max = b.create<tile::ReduceOp>(loc, rowsType, tile::ReductionKind::max, scores, op.getMax());
    }
    // -inf - -inf would be NaN in a row that has attended nothing.
    Value base = map(rowsType, max, [&](Scalars &s, ValueRange in) {
      return s.select(s.isEqual(in[0], s.lowest()), s.constant(0.0), in[0]);
    });
    // A maximum is never below what it is the maximum of, so exponents need no guard against overflow.
    auto exp2 = [&](Scalars &s, Value exponent, FloatType rounded) -> Value {
      auto power = s.b.create<math::Exp2Op>(loc, exponent);
      if (rounded != type)
        power->setAttr(tile::kPrecisionAttrName, s.b.getI64IntegerAttr(rounded.getFPMantissaWidth()));
      power->setAttr(tile::kNonPositiveAttrName, s.b.getUnitAttr());
      return power;
    };
    Value alpha = map(rowsType, {op.getMax(), base},
                      [&](Scalars &s, ValueRange in) { return exp2(s, s.sub(in[0], in[1]), type); });
    Value p = map(scoresType, {scores, base}, [&](Scalars &s, ValueRange in) -> Value {
      Value exponent;
      if (linear)
        exponent = s.b.create<math::FmaOp>(loc, in[0], s.constant(factor), s.b.create<arith::NegFOp>(loc, in[1]));
      else
        exponent = s.sub(in[0], in[1]);
      // Its rounding for the product leaves the exponential that many bits, unless the sum is to be seen.
      return exp2(s, exponent, exactSum ? type : operand);
    });
    // The sum is of what was not rounded: a rounding is as likely up as down and is a 512th of one weight, while that
    // of the sum would stay in every result, and in lse.
    Value weights = p;
    if (operand != type)
      weights = map(TileType::get(scoresType.getShape(), operand), p, [&](Scalars &s, ValueRange in) -> Value {
        return s.b.create<arith::TruncFOp>(loc, operand, in[0]);
      });
    auto scaled = [](Scalars &s, ValueRange in) { return s.mul(in[0], in[1]); };
    Value oldSum = map(rowsType, {op.getSum(), alpha}, scaled);
    Value sum = b.create<tile::ReduceOp>(loc, rowsType, tile::ReductionKind::sum, p, oldSum);
    Value oldAcc = map(accType, {op.getAcc(), alpha}, scaled);
    Value value = loadKeys(op.getValue());
    auto acc = b.create<tile::DotOp>(loc, accType, weights, value, oldAcc, /*transposed=*/false);
    // Where a score can be dropped, the value it would have weighed must not matter, even if it is NaN. Beyond the last
    // key there is none: values are loaded as zeros.
    bool drops = llvm::any_of(op.getMaskList(), [](Attribute mask) { return !isa<attn::BoundsAttr>(mask); });
    acc.setSkipZeros(drops || !op.getScore().empty() || op.getBias());
    acc.setTf32(tf32);
    op.replaceAllUsesWith(ValueRange{acc, max, sum});
    op.erase();
  }
};

struct DecomposeOnline : public flashc::impl::DecomposeOnlineBase<DecomposeOnline> {
  void runOnOperation() override {
    SmallVector<attn::OnlineOp> steps;
    SmallVector<attn::NormalizeOp> ends;
    getOperation().walk([&](Operation *op) {
      if (auto step = dyn_cast<attn::OnlineOp>(op))
        steps.push_back(step);
      else if (auto end = dyn_cast<attn::NormalizeOp>(op))
        ends.push_back(end);
    });
    for (attn::OnlineOp op : steps)
      if (failed(check(op)))
        return signalPassFailure();
    DenseMap<std::pair<Value, Type>, Value> queries;
    for (attn::OnlineOp op : steps) {
      OpBuilder b(op);
      Step step(op, b, isSumSeen(op, ends));
      Value &query = queries[{op.getQuery(), step.queryType}];
      if (!query) {
        // The rows of the block are read once, before all loops over keys.
        OpBuilder early(op);
        early.setInsertionPointAfterValue(op.getQuery());
        query = step.load(early, op.getQuery(), op.getTiles().getQueries());
      }
      step.expand(query);
      ++numSteps;
    }
    for (attn::NormalizeOp op : ends)
      expand(op);
  }

private:
  /// Whether a logarithm of the step's sums is stored, by the ends in the same task.
  static bool isSumSeen(attn::OnlineOp op, ArrayRef<attn::NormalizeOp> ends) {
    auto task = op->getParentOfType<scf::ForallOp>();
    return llvm::any_of(
        ends, [&](attn::NormalizeOp end) { return end.getLse() && end->getParentOfType<scf::ForallOp>() == task; });
  }

  LogicalResult check(attn::OnlineOp op) {
    if (!isAtMost(op.getKey(), 0, op.getTiles().getKeys()))
      return op.emitOpError("expected at most ")
             << op.getTiles().getKeys() << " keys, got " << op.getKey().getType() << "; run tile-keys first";
    if (!isGrouped(op) && !isAtMost(op.getQuery(), 0, op.getTiles().getQueries()))
      return op.emitOpError("expected at most ") << op.getTiles().getQueries() << " query rows, got "
                                                 << op.getQuery().getType() << "; run tile-queries first";
    return success();
  }

  void expand(attn::NormalizeOp op) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    auto accType = cast<TileType>(op.getAcc().getType()), rowsType = cast<TileType>(op.getSum().getType());
    auto type = cast<FloatType>(accType.getElementType());
    auto map = [&](TileType result, ValueRange inputs, function_ref<Value(Scalars &, ValueRange)> body) {
      auto build = [&](OpBuilder &b, Location loc, ValueRange in) {
        Scalars scalars{b, loc, type};
        return body(scalars, in);
      };
      return b.create<tile::MapOp>(loc, result, inputs, ValueRange(), build);
    };
    IndexMath math(b, loc);
    Value zero = math.constant(0);
    unsigned rank = cast<MemRefType>(op.getOut().getType()).getRank();
    bool grouped = rank == 3;
    Value inverse = map(rowsType, op.getSum(), [](Scalars &s, ValueRange in) {
      Value none = s.constant(0.0);
      Value quotient = s.b.create<arith::DivFOp>(s.loc, s.constant(1.0), in[0]);
      return s.select(s.isEqual(in[0], none), none, quotient);
    });
    Value out = map(accType, {op.getAcc(), inverse}, [](Scalars &s, ValueRange in) { return s.mul(in[0], in[1]); });
    b.create<tile::StoreOp>(loc, out, op.getOut(), SmallVector<Value>(rank, zero),
                            ValueRange{op.getRows(), math.constant(accType.getShape()[1])}, grouped);
    if (op.getLse()) {
      Value lse = map(rowsType, {op.getMax(), op.getSum()}, [](Scalars &s, ValueRange in) {
        Value log = s.b.create<math::LogOp>(s.loc, in[1]);
        Value sum = s.b.create<math::FmaOp>(s.loc, in[0], s.constant(kLn2), log);
        return s.select(s.isEqual(in[1], s.constant(0.0)), s.lowest(), sum);
      });
      b.create<tile::StoreOp>(loc, lse, op.getLse(), SmallVector<Value>(rank - 1, zero), ValueRange{op.getRows()},
                              grouped);
    }
    op.erase();
  }
};
} // namespace

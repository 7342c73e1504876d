//===- RaiseToAttentionMatch.h - Attention found in a graph ---------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What `--raise-to-attention` knows of an attention it has found: its two products, the role of each dimension, and
/// the score between them as scale, softcap, bias and masks.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_RAISETOATTENTIONMATCH_H
#define FLASHC_PASSES_RAISETOATTENTIONMATCH_H

#include "passes/RaiseToAttentionExpr.h"
#include <memory>
#include <string>

namespace flashc::raise {

/// Why something that looks like attention was not raised, and at which operation.
struct NearMiss {
  mlir::Operation *op;
  std::string reason;
};

/// A set of diagonals `d = j - i`, as disjoint ascending closed intervals.
class DiagonalSet {
public:
  static constexpr int64_t unbounded = int64_t(1) << 60;
  using Interval = std::pair<int64_t, int64_t>;

  static DiagonalSet all() { return DiagonalSet({{-unbounded, unbounded}}); }
  static DiagonalSet none() { return DiagonalSet({}); }
  static DiagonalSet between(int64_t low, int64_t high) { return low > high ? none() : DiagonalSet({{low, high}}); }
  DiagonalSet operator&(const DiagonalSet &other) const;
  DiagonalSet operator|(const DiagonalSet &other) const { return ~(~*this & ~other); }
  DiagonalSet operator~() const;
  llvm::ArrayRef<Interval> intervals() const { return list; }

private:
  explicit DiagonalSet(llvm::ArrayRef<Interval> list) : list(list.begin(), list.end()) {}
  llvm::SmallVector<Interval> list;
};

/// The dimensions of one attention; a dimension of extent 1 is in none of the lists.
struct Roles {
  llvm::SmallVector<unsigned> batch, kvHeads, groups, depth, valueDepth;
  std::optional<unsigned> query;
  unsigned key = 0;
};

/// What rows with nothing to attend to are in the graph, where attn.sdpa gives 0.
enum class EmptyRows {
  /// There are none, or they are 0 in the graph too.
  Same,
  NotANumber,
  /// The mean of all values: every score is the same huge negative number.
  Mean
};

/// Between the product of query and key and the softmax.
struct Score {
  double scale = 1.0;
  std::optional<double> softcap;
  /// Added to the score; null if nothing is.
  const Expr *bias = nullptr;
  /// Masks that are diagonals of the scores, already joined.
  std::optional<DiagonalSet> diagonals;
  /// Conditions on batch entry and key alone, and all others: true where attended.
  const Expr *keyFlags = nullptr;
  const Expr *tensorMask = nullptr;
  EmptyRows emptyRows = EmptyRows::Same;
};

struct AttentionMatch {
  Contraction scores, output;
  /// Which operand of the second product holds the probabilities.
  bool probabilitiesAreLhs = true;
  /// Reads of query, key and value.
  const Expr *query = nullptr, *key = nullptr, *value = nullptr;
  Roles roles;
  Score score;
  /// The loops of the second product.
  llvm::SmallVector<mlir::AffineExpr> loops;
  /// The parallel loops of the second product, each as the dimensions it consists of, outermost first.
  llvm::SmallVector<llvm::SmallVector<unsigned>> loopDims;
};

/// Where an element's indices put its tensor's dimensions: each is `offset` plus the row-major position in `dims`.
struct Slot {
  int64_t offset = 0;
  llvm::SmallVector<unsigned> dims;
};
/// None if some index is not of that form or a dimension is read twice.
std::optional<llvm::SmallVector<Slot>> layoutOf(const Expr *element, IndexSpace &space);

/// Reduces the expression of a score to a Score. `product` is the leaf that is the first product.
class ScoreMatcher {
public:
  ScoreMatcher(IndexSpace &space, TensorReader &reader, const Roles &roles, const Expr *product, bool emptyRowsAreZero)
      : space(space), reader(reader), roles(roles), product(product), emptyRowsAreZero(emptyRowsAreZero) {}

  /// None, and `nearMiss`, if the score is not one that attn.sdpa can express with the same meaning.
  std::optional<Score> match(const Expr *score);
  std::optional<NearMiss> nearMiss;

  /// The diagonals on which a condition holds, if it depends on nothing else.
  std::optional<DiagonalSet> diagonalsOf(const Expr *condition);
  /// Whether each query has a key on one of the diagonals.
  bool coversEveryQuery(const DiagonalSet &diagonals);

private:
  /// One operation between product and softmax.
  struct Step {
    enum class Kind { Scale, Tanh, Bias, Mask };
    explicit Step(Kind kind, double factor = 1.0, const Expr *bias = nullptr)
        : kind(kind), factor(factor), bias(bias) {}
    Kind kind;
    double factor;              // Scale
    const Expr *bias;           // Bias
    const Expr *keep = nullptr; // Mask: true where attended
    double fill = 0.0;          // Mask: the score elsewhere
    bool additive = false;      // Mask: the fill is added to the score
    mlir::Operation *origin = nullptr;
    mlir::Type type;
  };

  bool collect(const Expr *expr, llvm::SmallVectorImpl<Step> &steps);
  bool collectBias(const Expr *expr, double sign, mlir::Operation *origin, llvm::SmallVectorImpl<Step> &steps);
  bool contains(const Expr *expr) const;
  bool fail(mlir::Operation *op, const llvm::Twine &reason);
  std::optional<Score> combine(llvm::ArrayRef<Step> steps);
  bool place(Score &score, llvm::ArrayRef<Step> masks);
  const Expr *fold(llvm::ArrayRef<Step> steps);
  const Expr *add(const Expr *a, const Expr *b);
  const Expr *conjunction(const Expr *a, const Expr *b);
  const Expr *negation(const Expr *expr);
  const Expr *conditionOf(const DiagonalSet &diagonals);
  std::optional<DiagonalSet> compareDiagonals(const Expr *compare);
  std::optional<DiagonalSet> constantDiagonals(const Expr *element, llvm::function_ref<bool(mlir::Attribute)> holds);
  int64_t queryExtent() const;

  IndexSpace &space;
  TensorReader &reader;
  const Roles &roles;
  const Expr *product;
  bool emptyRowsAreZero;
};

/// The masks of attn.sdpa that attend exactly `diagonals` of `queries` times `keys` scores (kDynamic where not known);
/// none if no masks do.
std::optional<llvm::SmallVector<mlir::Attribute>> diagonalMasks(const DiagonalSet &diagonals, int64_t queries,
                                                                int64_t keys, mlir::MLIRContext *context);

/// Looks for attention whose second product is a given operation.
class AttentionMatcher {
public:
  AttentionMatcher(Contraction output, bool probabilitiesAreLhs);

  std::optional<AttentionMatch> match();

  /// Set when a softmax between two products was found but not matched.
  std::optional<NearMiss> nearMiss;
  /// Valid while this matcher lives, as are the expressions of its match.
  std::unique_ptr<IndexSpace> space;
  std::unique_ptr<TensorReader> reader;

private:
  struct Softmax {
    const Expr *score = nullptr;
    bool emptyRowsAreZero = false;
  };
  enum class Outcome { Matched, Failed, Split };

  Outcome attempt(AttentionMatch &match);
  std::optional<Softmax> matchSoftmax(const Expr *expr);
  std::optional<Softmax> matchQuotient(const Expr *numerator, const Expr *denominator);
  bool isAllMasked(const Expr *condition, const Expr *score);
  bool reducesTo(const Expr *element, ReductionKind kind, const Expr *reduced);
  const Expr *findProduct(const Expr *score);
  bool matchFirstProduct(AttentionMatch &match, const Expr *product);
  bool assignRoles(AttentionMatch &match, const Expr *score);
  bool startsAtZero(const Contraction &contraction);
  bool checkLeaves(const Expr *expr);
  bool checkUses(const AttentionMatch &match);
  void findBuriedSoftmax(const Expr *expr);
  bool fail(mlir::Operation *op, const llvm::Twine &reason);
  const Expr *readOperand(mlir::Value operand, mlir::AffineMap map, llvm::ArrayRef<mlir::AffineExpr> loops,
                          double *factor);

  Contraction output;
  bool probabilitiesAreLhs;
  /// For each loop of the second product the extents it is split into, outermost first.
  llvm::SmallVector<llvm::SmallVector<int64_t>> factors;
  unsigned keyDim = 0;
  /// What query and key are multiplied by before the first product.
  double queryKeyFactor = 1.0;
};

/// Replaces the second product of `match` by attn.sdpa and what shapes its operands and result.
void buildAttention(AttentionMatch &match, IndexSpace &space);

} // namespace flashc::raise

#endif // FLASHC_PASSES_RAISETOATTENTIONMATCH_H

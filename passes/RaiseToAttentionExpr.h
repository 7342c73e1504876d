//===- RaiseToAttentionExpr.h - What an element of a tensor is ------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A symbolic reader of tensors: "the element of this tensor at (b, h, i, j) is exp(s[b*4+h, i, j] - m[b, h, i])". It
/// looks through transposes, reshapes, slices, broadcasts and element-wise operations of linalg, tensor, arith and
/// tosa, so that whoever matches on its answers sees the mathematics and not the layout an exporter chose.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_RAISETOATTENTIONEXPR_H
#define FLASHC_PASSES_RAISETOATTENTIONEXPR_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/BuiltinAttributes.h"
#include <deque>
#include <map>
#include <optional>

namespace flashc::raise {

/// The dimensions that index expressions range over, each with its extent (kDynamic where not known).
class IndexSpace {
public:
  explicit IndexSpace(mlir::MLIRContext *context) : context(context) {}

  /// Add a dimension `0 <= d < extent`.
  mlir::AffineExpr add(int64_t extent);
  int64_t extent(unsigned dim) const { return extents[dim]; }
  unsigned size() const { return extents.size(); }
  mlir::MLIRContext *getContext() const { return context; }

  /// The same function of the dimensions in a canonical form, using their extents: `(d0 * 4 + d1) floordiv 4` is d0
  /// when d1 < 4. A quotient or remainder of a dimension that cannot be simplified becomes the `wantedSplit`.
  mlir::AffineExpr simplify(mlir::AffineExpr expr);

  /// Lowest and highest value; none if a dynamic extent is involved.
  std::optional<std::pair<int64_t, int64_t>> bounds(mlir::AffineExpr expr) const;

  /// A sum of terms with coefficients; a term is a dimension or what could not be made linear.
  struct Linear {
    llvm::SmallVector<std::pair<mlir::AffineExpr, int64_t>> terms;
    int64_t constant = 0;
  };
  Linear linearize(mlir::AffineExpr expr);
  mlir::AffineExpr compose(const Linear &linear) const;

  /// A dimension that has to be seen as `outer * inner + d` before all indices are linear: (dimension, inner extent).
  std::optional<std::pair<unsigned, int64_t>> wantedSplit;

private:
  Linear divide(const Linear &linear, int64_t divisor, bool remainder);

  mlir::MLIRContext *context;
  llvm::SmallVector<int64_t> extents;
};

/// A scalar expression over the dimensions of an IndexSpace. Owned by its reader.
struct Expr {
  enum class Kind { Element, Scalar, Constant, Index, Compute };
  Kind kind;
  mlir::Type type;
  Expr(Kind kind, mlir::Type type) : kind(kind), type(type) {}

  /// Element: the tensor that is read. Scalar: the value itself.
  mlir::Value source;
  /// Element: where it is read.
  llvm::SmallVector<mlir::AffineExpr> indices;
  /// Index: its value.
  mlir::AffineExpr index;
  mlir::TypedAttr constant;
  /// Compute: an operation of arith or math by name, with its attributes.
  llvm::StringRef name;
  mlir::DictionaryAttr attributes;
  llvm::SmallVector<const Expr *> operands;
  /// The operation of the graph that computed this.
  mlir::Operation *origin = nullptr;
  /// How many expressions this consists of, counted as a tree.
  unsigned weight = 1;

  bool is(llvm::StringRef operation) const { return kind == Kind::Compute && name == operation; }
  /// The constant as a number, if this is one of floating-point type.
  std::optional<double> number() const;
  /// The value of a constant i1.
  std::optional<bool> truth() const;
};

/// Whether two expressions are the same function of the dimensions, reading the same tensors.
bool same(const Expr *a, const Expr *b);
/// Whether `expr` reads dimension `dim`.
bool dependsOn(const Expr *expr, unsigned dim);
bool dependsOn(mlir::AffineExpr expr, unsigned dim);
/// `expr` without conversions between floating-point types.
const Expr *stripCasts(const Expr *expr);

/// A product summed over some loops: `out[outMap] = sum lhs[lhsMap] * rhs[rhsMap]`, starting from zero.
struct Contraction {
  mlir::Operation *op = nullptr;
  mlir::Value lhs, rhs;
  mlir::AffineMap lhsMap, rhsMap, outMap;
  llvm::SmallVector<int64_t> extents;
  llvm::SmallVector<bool> reduced;
};
std::optional<Contraction> matchContraction(mlir::Operation *op);
std::optional<Contraction> matchTosaContraction(mlir::Operation *op);

enum class ReductionKind { Max, Sum, All, Any };

/// A reduction's kind, and what it reduces as a function of the dimension it was asked for.
struct Reduction {
  ReductionKind kind;
  const Expr *reduced;
  int64_t extent;
};

class TensorReader {
public:
  explicit TensorReader(IndexSpace &space) : space(space) {}

  /// The element of `tensor` at `indices`, seen through all element-wise operations and data movement.
  const Expr *read(mlir::Value tensor, llvm::ArrayRef<mlir::AffineExpr> indices) { return read(tensor, indices, true); }

  /// The same, but seen only through data movement and multiplication by constants.
  const Expr *readThroughMovement(mlir::Value tensor, llvm::ArrayRef<mlir::AffineExpr> indices) {
    return read(tensor, indices, false);
  }

  /// What `element`, if a reduction over one dimension computed it, reduces; that dimension is replaced by `dim`.
  std::optional<Reduction> readReduction(const Expr *element, mlir::AffineExpr dim);

  /// The loops at which `map` gives `indices`; loops of extent 1 that it does not name are 0.
  std::optional<llvm::SmallVector<mlir::AffineExpr>>
  invert(mlir::AffineMap map, llvm::ArrayRef<mlir::AffineExpr> indices, llvm::ArrayRef<int64_t> extents);

  const Expr *makeElement(mlir::Value tensor, llvm::ArrayRef<mlir::AffineExpr> indices);
  const Expr *makeConstant(mlir::TypedAttr value, mlir::Operation *origin = nullptr);
  const Expr *makeIndex(mlir::AffineExpr index, mlir::Type type);
  /// An operation by name, folded where its operands are constants or indices.
  const Expr *makeCompute(llvm::StringRef name, mlir::DictionaryAttr attributes, llvm::ArrayRef<const Expr *> operands,
                          mlir::Type type, mlir::Operation *origin);

private:
  friend class BodyReader;
  const Expr *read(mlir::Value tensor, llvm::ArrayRef<mlir::AffineExpr> indices, bool throughMath);
  const Expr *readUncached(mlir::Value tensor, llvm::ArrayRef<mlir::AffineExpr> indices, bool throughMath);
  const Expr *readStructured(mlir::linalg::LinalgOp op, mlir::Value tensor, llvm::ArrayRef<mlir::AffineExpr> indices,
                             bool throughMath);
  const Expr *readConstant(mlir::Value tensor, mlir::DenseElementsAttr elements,
                           llvm::ArrayRef<mlir::AffineExpr> indices);
  const Expr *readReshape(mlir::Value source, llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<mlir::AffineExpr> indices,
                          bool throughMath);
  /// Null if `op` is not an operation of tosa that this can look through.
  const Expr *readTosa(mlir::Operation *op, llvm::ArrayRef<mlir::AffineExpr> indices, bool throughMath);
  std::optional<Reduction> readTosaReduction(const Expr *element, mlir::AffineExpr dim);
  const Expr *foldCompute(llvm::StringRef name, mlir::DictionaryAttr attributes, llvm::ArrayRef<const Expr *> operands,
                          mlir::Type type, mlir::Operation *origin);
  const Expr *make(Expr expr);

  /// Beyond these a tensor is taken as it is: no score is that deep, and whoever walks an expression walks it as a
  /// tree.
  static constexpr unsigned maxDepth = 256, maxWeight = 4096;

  IndexSpace &space;
  unsigned depth = 0;
  std::deque<Expr> pool;
  using Key = llvm::SmallVector<mlir::AffineExpr>;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<std::pair<Key, const Expr *>>> cache[2];
};

} // namespace flashc::raise

#endif // FLASHC_PASSES_RAISETOATTENTIONEXPR_H

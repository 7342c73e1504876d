//===- KeyLoops.h - Loops over the key tiles of one attention ------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What tile-keys and split-masked-tiles share: the ranges of keys that masks leave, and a loop of `attn.online` over
/// one. Keys are counted from the first key of the operation, whose position in the whole attention is `position[3]`.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_KEYLOOPS_H
#define FLASHC_PASSES_KEYLOOPS_H

#include "dialects/Attention/Attention.h"
#include "dialects/Attention/IndexMath.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace flashc {

/// The places in `position` of attn.sdpa and attn.online.
enum Position { kBatch, kHead, kFirstQuery, kFirstKey, kQueryLength, kKeyLength, kNumPositions };

/// On an scf.for: it has one turn or none, so that nothing is won by working ahead.
inline constexpr llvm::StringLiteral kOneTurn = "flashc.one_turn";

/// Whether memory is known to have at most `limit` elements along `dimension`: the size is static, or it is that of a
/// subview and a minimum with a constant.
bool isAtMost(mlir::Value memory, unsigned dimension, int64_t limit);

/// A mask with the operands that are its own.
struct MaskUse {
  attn::MaskInterface mask;
  mlir::ValueRange operands;
  attn::MaskContext context(mlir::ValueRange position) const {
    return {position[kBatch], position[kHead], position[kQueryLength], position[kKeyLength], operands, {}};
  }
};

/// Whether the rows of an attention's block are those of several query heads of one key head.
bool isGrouped(attn::OnlineOp op);

/// How many query positions the block has: its rows, or the rows of one of its heads (an index value).
mlir::Value getNumQueries(mlir::OpBuilder &b, attn::OnlineOp op);

/// The masks of an operation, in order.
llvm::SmallVector<MaskUse> getMaskUses(attn::OnlineOp op);

/// An online softmax over all keys of `key` and `value`, which a loop does in tiles.
struct KeyLoop {
  /// Gives everything but keys, values, the first key's position and the state.
  attn::OnlineOp step;
  mlir::Value key, value;
  /// Position of the first key of `key` in the whole attention.
  mlir::Value firstKey;
  /// Whether `#attn.bounds` says which keys of the last tile exist. Without it the tiles' extents say it alone.
  bool maskBounds = true;
};

/// Keys `[lo, hi)`, on multiples of the granule except that hi may be the number of keys; hi may lie below lo
/// (nothing).
struct KeyInterval {
  mlir::Value lo, hi;
};

/// Emits the range of keys that any row of the block may attend.
KeyInterval emitPossibleKeys(mlir::OpBuilder &b, KeyLoop loop);

/// Emits the part of `within` that all rows of the block attend whole; nullopt if some mask is never full. It lies
/// inside `within`, if that is not empty, and its hi is not below its lo.
std::optional<KeyInterval> emitFullKeys(mlir::OpBuilder &b, KeyLoop loop, KeyInterval within);

/// Emits the loop over `keys`, each step on at most `tiles.keys` keys, with the masks of `loop.step` (and the
/// bounds, see KeyLoop) or without any mask; `state` is (acc, max, sum). A tile that `tileIsEmpty` finds empty is
/// skipped.
mlir::scf::ForOp emitKeyLoop(mlir::OpBuilder &b, KeyLoop loop, KeyInterval keys, bool masked, mlir::ValueRange state);

} // namespace flashc

#endif // FLASHC_PASSES_KEYLOOPS_H

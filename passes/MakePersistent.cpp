//===- MakePersistent.cpp - make-persistent -------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/IndexMath.h"
#include "dialects/Tile/Tile.h"
#include "passes/Passes.h"
#include "passes/PipedLoads.h"
#include "passes/TaskLoops.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace flashc {
#define GEN_PASS_DEF_MAKEPERSISTENT
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {

/// How the items of a loop, (heads..., block), are numbered: sections of heads, in a section block by block, for each
/// the section's heads.
struct ItemOrder {
  SmallVector<Value> counts;
  /// Items of all heads: the product of all counts but the last.
  Value heads;
  Value total;
  /// Heads of a section; null where all are in one.
  Value section;
};

/// How many of the heads have what is loaded for each tile of keys in `cacheBytes` together, computed before the loop.
/// Null where that is not to be seen.
Value emitSection(IndexMath &index, scf::ForallOp loop, ArrayRef<tile::LoadOp> loads, Value heads, int64_t cacheBytes) {
  SmallVector<Value> memories;
  for (tile::LoadOp load : loads) {
    bool isRepeated = llvm::any_of(
        load->getUsers(), [&](Operation *user) { return cast<tile::DotOp>(user).getRhs() == load.getResult(); });
    Value memory = getViewedMemory(load.getSource());
    if (isRepeated && !loop.getRegion().isAncestor(memory.getParentRegion()) && !llvm::is_contained(memories, memory))
      memories.push_back(memory);
  }
  Value bytes, ofMemory;
  for (Value memory : memories) {
    auto type = cast<MemRefType>(memory.getType());
    if (type.getRank() < 2)
      return {};
    int64_t rank = type.getRank();
    Value size = index.mul(index.mul(index.dim(memory, rank - 2), index.dim(memory, rank - 1)),
                           index.constant(type.getElementTypeBitWidth() / 8));
    bytes = bytes ? index.add(bytes, size) : size;
    Value own = index.constant(1);
    for (int64_t dimension = 0; dimension < rank - 2; ++dimension)
      own = index.mul(own, index.dim(memory, dimension));
    ofMemory = ofMemory ? index.max(ofMemory, own) : own;
  }
  if (!bytes)
    return {};
  Value one = index.constant(1);
  Value fit = index.max(index.div(index.constant(cacheBytes), index.max(bytes, one)), one);
  // Several heads may share one in memory.
  Value shared = index.max(index.div(heads, index.max(ofMemory, one)), one);
  return index.min(index.mul(fit, shared), heads);
}

/// The indices of item number `item`, in 32 bits: a division of 64 is a routine that takes most of a producer's
/// registers, and of items there are not more than a launch may have blocks.
SmallVector<Value> emitIndices(OpBuilder &b, Location loc, const ItemOrder &order, Value item) {
  size_t rank = order.counts.size();
  if (rank == 1)
    return {item};
  Type i32 = b.getI32Type();
  auto narrow = [&](Value x) -> Value { return b.createOrFold<arith::IndexCastUIOp>(loc, i32, x); };
  auto div = [&](Value x, Value y) -> Value { return b.create<arith::DivUIOp>(loc, x, y); };
  auto rem = [&](Value x, Value y) -> Value { return b.create<arith::RemUIOp>(loc, x, y); };
  auto mul = [&](Value x, Value y) -> Value { return b.create<arith::MulIOp>(loc, x, y); };
  SmallVector<Value> counts = llvm::map_to_vector(order.counts, narrow);
  Value first, width = narrow(order.heads);
  item = narrow(item);
  if (order.section) {
    Value section = narrow(order.section), items = mul(section, counts.back());
    first = mul(div(item, items), section);
    item = rem(item, items);
    width = b.create<arith::MinUIOp>(loc, section, b.create<arith::SubIOp>(loc, width, first));
    // Not a division by zero behind the last section, whatever a code generator computes ahead of time.
    width = b.create<arith::MaxUIOp>(loc, width, b.create<arith::ConstantIntOp>(loc, 1, 32));
  }
  SmallVector<Value> indices(rank);
  indices.back() = div(item, width);
  Value head = rem(item, width);
  if (first)
    head = b.create<arith::AddIOp>(loc, head, first);
  for (size_t dimension = rank - 1; dimension-- > 1;) {
    indices[dimension] = rem(head, counts[dimension]);
    head = div(head, counts[dimension]);
  }
  indices[0] = head;
  for (Value &value : indices)
    value = b.create<arith::IndexCastUIOp>(loc, b.getIndexType(), value);
  return indices;
}

void makePersistent(scf::ForallOp loop, ArrayRef<tile::LoadOp> loads, int64_t cacheBytes) {
  Location loc = loop.getLoc();
  IRRewriter b(loop);
  IndexMath index(b, loc);
  ItemOrder order;
  order.counts = createTripCounts(b, loop);
  order.heads = index.constant(1);
  for (Value count : ArrayRef(order.counts).drop_back())
    order.heads = index.mul(order.heads, count);
  order.total = index.mul(order.heads, order.counts.back());
  order.section = emitSection(index, loop, loads, order.heads, cacheBytes);
  Value units = b.create<tile::MultiprocessorsOp>(loc, b.getIndexType());
  Value unknown = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, units, index.constant(0));
  Value blocks = b.create<arith::SelectOp>(loc, unknown, order.total, index.min(order.total, units));

  auto persistent =
      b.create<scf::ForallOp>(loc, ArrayRef<OpFoldResult>{blocks}, /*outputs=*/ValueRange(), /*mapping=*/std::nullopt);
  persistent->setDiscardableAttrs(loop->getDiscardableAttrDictionary());
  b.setInsertionPointToStart(persistent.getBody());
  auto items = b.create<scf::ForOp>(loc, persistent.getInductionVars()[0], order.total, blocks);
  b.setInsertionPointToStart(items.getBody());
  SmallVector<Value> indices = emitIndices(b, loc, order, items.getInductionVar());
  for (auto [old, value] : llvm::zip_equal(loop.getInductionVars(), indices))
    old.replaceAllUsesWith(value);
  Block *body = loop.getBody();
  items.getBody()->getOperations().splice(std::prev(items.getBody()->end()), body->getOperations(), body->begin(),
                                          std::prev(body->end()));
  b.eraseOp(loop);
}

struct MakePersistent : flashc::impl::MakePersistentBase<MakePersistent> {
  using MakePersistentBase::MakePersistentBase;

  void runOnOperation() override {
    for (scf::ForallOp loop : getTaskLoops(getOperation())) {
      SmallVector<tile::LoadOp> loads = findPipedLoads(loop);
      bool counts = loop.isNormalized() && loop.getNumResults() == 0;
      if (loads.empty() || !counts)
        continue;
      makePersistent(loop, loads, cacheBytes);
      ++numPersistent;
    }
  }
};
} // namespace

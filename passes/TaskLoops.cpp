//===- TaskLoops.cpp - Which parallel loops become tasks ------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/TaskLoops.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;

namespace flashc {

SmallVector<Value> createTripCounts(OpBuilder &b, scf::ForallOp loop) {
  Location loc = loop.getLoc();
  SmallVector<Value> counts;
  Value zero = b.create<arith::ConstantIndexOp>(loc, 0);
  for (auto [lower, upper, step] :
       llvm::zip_equal(loop.getMixedLowerBound(), loop.getMixedUpperBound(), loop.getMixedStep())) {
    Value range = getValueOrCreateConstantIndexOp(b, loc, upper);
    if (!isConstantIntValue(lower, 0))
      range = b.create<arith::SubIOp>(loc, range, getValueOrCreateConstantIndexOp(b, loc, lower));
    if (!isConstantIntValue(step, 1))
      range = b.create<arith::CeilDivSIOp>(loc, range, getValueOrCreateConstantIndexOp(b, loc, step));
    counts.push_back(b.create<arith::MaxSIOp>(loc, range, zero));
  }
  return counts;
}

TaskCaptures collectCaptures(scf::ForallOp loop, ArrayRef<Value> tripCounts) {
  TaskCaptures captures;
  SetVector<Value> used;
  getUsedValuesDefinedAbove(loop.getRegion(), used);
  for (Value value : used) {
    Operation *def = value.getDefiningOp();
    if (def && (matchPattern(def, m_Constant()) || isa<memref::GetGlobalOp, func::ConstantOp>(def)))
      captures.rebuilt.push_back(def);
    else
      captures.values.insert(value);
  }
  auto capture = [&](Value value) {
    if (!matchPattern(value, m_Constant()))
      captures.values.insert(value);
  };
  // The outermost count is never divided by: the linear number stays below the product.
  for (Value count : tripCounts.drop_front())
    capture(count);
  for (Value bound : loop.getDynamicLowerBound())
    capture(bound);
  for (Value step : loop.getDynamicStep())
    capture(step);
  return captures;
}

void mapInductionVars(OpBuilder &b, scf::ForallOp loop, ArrayRef<Value> tripCounts, Value task, IRMapping &map) {
  Location loc = loop.getLoc();
  auto inTask = [&](OpFoldResult ofr) -> Value {
    if (auto value = dyn_cast<Value>(ofr))
      if (Value mapped = map.lookupOrNull(value))
        return mapped;
    if (std::optional<int64_t> constant = getConstantIntValue(ofr))
      return b.create<arith::ConstantIndexOp>(loc, *constant);
    return map.lookup(cast<Value>(ofr));
  };
  SmallVector<Value> ids(tripCounts.size());
  for (unsigned d = tripCounts.size(); d-- > 1;) {
    Value count = inTask(OpFoldResult(tripCounts[d]));
    ids[d] = b.create<arith::RemUIOp>(loc, task, count);
    task = b.create<arith::DivUIOp>(loc, task, count);
  }
  ids[0] = task;
  auto lowers = loop.getMixedLowerBound(), steps = loop.getMixedStep();
  for (auto [d, iv] : llvm::enumerate(loop.getInductionVars())) {
    Value id = ids[d];
    if (!isConstantIntValue(steps[d], 1))
      id = b.create<arith::MulIOp>(loc, id, inTask(steps[d]));
    if (!isConstantIntValue(lowers[d], 0))
      id = b.create<arith::AddIOp>(loc, id, inTask(lowers[d]));
    map.map(iv, id);
  }
}

} // namespace flashc

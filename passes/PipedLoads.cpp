//===- PipedLoads.cpp - Which loads threads of their own can do -----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/PipedLoads.h"

#include "dialects/Attention/IndexMath.h"
#include "passes/GpuKernels.h"
#include "runtime/GpuTilePlan.h"

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace flashc;

/// Whether a role's code can hold the operation with a number that it counts.
static bool isInCountedCode(Operation *op, scf::ForallOp loop) {
  for (Operation *parent = op->getParentOp(); parent != loop; parent = parent->getParentOp())
    if (!isa<scf::ForOp, scf::IfOp>(parent))
      return false;
  return true;
}

static bool isPiped(tile::LoadOp load, scf::ForallOp loop) {
  auto type = cast<tile::TileType>(load.getResult().getType());
  return isa_and_nonnull<tile::SharedLayoutAttr>(type.getLayout()) && !load.getAsync() && !load.getGrouped() &&
         type.getElementType().getIntOrFloatBitWidth() == 16 && isInCountedCode(load, loop) && !load->use_empty() &&
         llvm::all_of(load->getUsers(), llvm::IsaPred<tile::DotOp>);
}

SmallVector<tile::LoadOp> flashc::findPipedLoads(scf::ForallOp loop) {
  SmallVector<tile::LoadOp> loads;
  auto threads = loop->getAttrOfType<IntegerAttr>(kThreadsAttr);
  if (!threads || threads.getInt() % kWarpgroupThreads != 0)
    return loads;
  loop.walk([&](tile::LoadOp load) {
    if (isPiped(load, loop))
      loads.push_back(load);
  });
  if (llvm::none_of(loads, [](tile::LoadOp load) { return load->getParentOfType<scf::ForOp>(); }))
    loads.clear();
  return loads;
}

/// The view that made `memory`, if only dimensions before the last two were dropped and none was strided.
static memref::SubViewOp getPlainView(Value memory) {
  auto view = memory.getDefiningOp<memref::SubViewOp>();
  if (!view || !view.hasUnitStride())
    return {};
  llvm::SmallBitVector dropped = view.getDroppedDims();
  if (dropped.size() < 2 || dropped.test(dropped.size() - 1) || dropped.test(dropped.size() - 2))
    return {};
  return view;
}

Value flashc::getViewedMemory(Value memory) {
  while (memref::SubViewOp view = getPlainView(memory))
    memory = view.getSource();
  return memory;
}

Value flashc::resolveViews(OpBuilder &b, Location loc, Value memory, SmallVectorImpl<Value> &offsets) {
  IndexMath index(b, loc);
  while (memref::SubViewOp view = getPlainView(memory)) {
    llvm::SmallBitVector dropped = view.getDroppedDims();
    SmallVector<Value> outer;
    auto inner = offsets.begin();
    for (auto [dimension, offset] : llvm::enumerate(view.getMixedOffsets())) {
      Value first = getValueOrCreateConstantIndexOp(b, loc, offset);
      outer.push_back(dropped.test(dimension) ? first : index.add(first, *inner++));
    }
    offsets.assign(outer);
    memory = view.getSource();
  }
  return memory;
}

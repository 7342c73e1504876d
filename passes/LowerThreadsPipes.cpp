//===- LowerThreadsPipes.cpp - Pipes and roles, by threads ----------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A stage of a pipe has two barriers in shared memory. At `full` one arrival and the bytes of the tile are awaited by
/// the consumers, at `empty` one arrival of each subgroup of theirs by the producer. Tile number n is in the stage's
/// phase n / stages.
///
//===----------------------------------------------------------------------===//

#include "passes/LowerThreads.h"

using namespace mlir;
using namespace flashc;
using namespace flashc::threads;

/// Emits `body` for one of the threads that the code is for.
static void onFirst(OpBuilder &b, Location loc, Value number, function_ref<void(OpBuilder &)> body) {
  Value zero = b.create<arith::ConstantIndexOp>(loc, 0);
  Value isFirst = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, number, zero);
  auto branch = b.create<scf::IfOp>(loc, isFirst, /*withElseRegion=*/false);
  OpBuilder inner = branch.getThenBodyBuilder();
  body(inner);
}

void ThreadBuilder::barrier() {
  if (block.barrier == 0)
    b.create<gpu::BarrierOp>(loc);
  else
    b.create<tile::BarrierOp>(loc, block.barrier, block.threads);
}

ThreadPipe ThreadBuilder::pipe(tile::PipeOp op) {
  constexpr int64_t kilobyte = 1024;
  tile::PipeType type = op.getResult().getType();
  ThreadPipe pipe;
  pipe.type = type.getTile();
  pipe.stages = op.getStages();
  pipe.stageBytes = type.getStageBytes();
  pipe.offset = llvm::alignTo(block.used, kilobyte);
  pipe.full = block.numMbarriers;
  pipe.empty = pipe.full + pipe.stages;
  block.numMbarriers += 2 * pipe.stages;
  block.used = pipe.offset + pipe.stages * pipe.stageBytes;
  block.most = std::max(block.most, block.used);
  return pipe;
}

void ThreadBuilder::startPipes(ArrayRef<ThreadPipe> pipes, int64_t readers) {
  if (!pipes.empty()) {
    block.mbarriers = allocateShared(block.numMbarriers, b.getI64Type());
    onFirst(b, loc, block.thread, [&](OpBuilder &inner) {
      IndexMath at(inner, loc);
      auto initialize = [&](int64_t first, int64_t count, int64_t arrivals) {
        for (int64_t number = first; number < first + count; ++number)
          inner.create<tile::MbarrierInitOp>(loc, block.mbarriers, at.constant(number), arrivals);
      };
      for (const ThreadPipe &pipe : pipes) {
        initialize(pipe.full, pipe.stages, 1);
        initialize(pipe.empty, pipe.stages, readers);
      }
      inner.create<tile::MbarrierFenceOp>(loc);
    });
  }
  barrier();
}

ThreadBuilder::Stage ThreadBuilder::stageOf(const ThreadPipe &pipe, Value number) {
  Value stages = constant(pipe.stages);
  Value stage = pipe.stages == 1 ? constant(0) : b.createOrFold<arith::RemUIOp>(loc, number, stages);
  Value parity = b.createOrFold<arith::AndIOp>(loc, index.div(number, stages), constant(1));
  int64_t bytes = bytesOf(pipe.type.getElementType());
  auto space = cast<MemRefType>(block.shared.getType()).getMemorySpace();
  auto type =
      MemRefType::get({pipe.stageBytes / bytes}, pipe.type.getElementType(), MemRefLayoutAttrInterface{}, space);
  Value offset = index.add(index.mul(stage, constant(pipe.stageBytes)), pipe.offset);
  Value memory = b.create<memref::ViewOp>(loc, type, block.shared, offset, ValueRange{});
  return {index.add(stage, pipe.full), index.add(stage, pipe.empty), parity, memory};
}

/// A stage is empty at first: the phase before the first one counts as ended.
void ThreadBuilder::waitUntilEmpty(const Stage &stage) {
  Value before = b.createOrFold<arith::XOrIOp>(loc, stage.parity, constant(1));
  b.create<tile::MbarrierWaitOp>(loc, block.mbarriers, stage.empty, before);
}

void ThreadBuilder::pushByThreads(const SharedCopy &copy, const Stage &stage) {
  waitUntilEmpty(stage);
  // A producer has few registers: what addresses are made of is computed for each tile, and not kept for all of them.
  auto anew = [&](Value x) -> Value {
    return getConstantIntValue(x) ? x : b.create<tile::OpaqueOp>(loc, b.getIndexType(), x).getResult();
  };
  SharedCopy here = copy;
  here.offsets = llvm::map_to_vector(copy.offsets, anew);
  here.valid = llvm::map_to_vector(copy.valid, anew);
  ThreadBlock threads = block;
  threads.thread = anew(block.thread);
  ThreadBuilder(b, loc, threads).loadShared(here, stage.memory);
  if (block.gpu.asyncCopy)
    b.create<tile::CopyWaitOp>(loc, 0);
  // Who multiplies may read by a unit of its own.
  b.create<tile::ProxyFenceOp>(loc);
  barrier();
  onFirst(b, loc, block.thread, [&](OpBuilder &inner) {
    inner.create<tile::MbarrierArriveOp>(loc, block.mbarriers, stage.full, IntegerAttr());
  });
}

void ThreadBuilder::pushByUnit(tile::PushOp op, const ThreadPipe &pipe, const Stage &stage) {
  int64_t panel = cast<tile::SharedLayoutAttr>(pipe.type.getLayout()).getPanel();
  int64_t bytes = bytesOf(pipe.type.getElementType()), width = panel / bytes, rows = pipe.type.getShape()[0];
  int64_t panels = llvm::divideCeil(pipe.type.getShape()[1], width);
  onFirst(b, loc, block.thread, [&](OpBuilder &inner) {
    ThreadBuilder(inner, loc, block).waitUntilEmpty(stage);
    IndexMath at(inner, loc);
    inner.create<tile::MbarrierArriveOp>(loc, block.mbarriers, stage.full,
                                         inner.getI64IntegerAttr(panels * panel * rows));
    for (int64_t number = 0; number < panels; ++number) {
      SmallVector<Value> coordinates(op.getOffsets());
      coordinates.back() = at.add(coordinates.back(), number * width);
      inner.create<tile::CopyBoxOp>(loc, op.getMap(), coordinates, stage.memory, at.constant(number * rows * width),
                                    block.mbarriers, stage.full);
    }
  });
}

void ThreadBuilder::push(tile::PushOp op, const ThreadPipe &pipe) {
  Stage stage = stageOf(pipe, op.getNumber());
  SharedCopy copy{pipe.type, op.getSource(), op.getOffsets(), op.getValid(), /*grouped=*/false};
  if (!op.getMap())
    return pushByThreads(copy, stage);
  auto branch = b.create<scf::IfOp>(loc, op.getUsable(), /*withElseRegion=*/true);
  OpBuilder tb = branch.getThenBodyBuilder(), eb = branch.getElseBodyBuilder();
  ThreadBuilder(tb, loc, block).pushByUnit(op, pipe, stage);
  ThreadBuilder(eb, loc, block).pushByThreads(copy, stage);
}

ThreadTile ThreadBuilder::pop(tile::PopOp op, const ThreadPipe &pipe) {
  Stage stage = stageOf(pipe, op.getNumber());
  b.create<tile::MbarrierWaitOp>(loc, block.mbarriers, stage.full, stage.parity);
  return {{}, stage.memory};
}

void ThreadBuilder::release(tile::ReleaseOp op, const ThreadPipe &pipe, bool readByThreads) {
  Stage stage = stageOf(pipe, op.getNumber());
  if (readByThreads)
    b.create<tile::SubgroupBarrierOp>(loc);
  onFirst(b, loc, block.lane, [&](OpBuilder &inner) {
    inner.create<tile::MbarrierArriveOp>(loc, block.mbarriers, stage.empty, IntegerAttr());
  });
}

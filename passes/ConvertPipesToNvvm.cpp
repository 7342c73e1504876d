//===- ConvertPipesToNvvm.cpp - mbarriers, boxes and roles for NVIDIA -----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ConvertPipesToNvvm.h"

#include "passes/ThreadOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace flashc;

namespace {

/// Emits statements in place of one operation.
class Statement {
public:
  explicit Statement(Operation *op) : b(op), loc(op->getLoc()) {}

  /// PTX that orders memory: nothing that touches memory is moved across it.
  void assembly(const Twine &text, StringRef constraints = "", ValueRange operands = {}) {
    std::string all = (constraints + (constraints.empty() ? "" : ",") + "~{memory}").str();
    auto dialect = LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT);
    b.create<LLVM::InlineAsmOp>(loc, TypeRange(), operands, text.str(), all, /*has_side_effects=*/true,
                                /*is_align_stack=*/false, dialect, /*operand_attrs=*/ArrayAttr());
  }
  /// The 32 bits by which PTX addresses an element of shared memory.
  Value shared(Value memory, Value index) {
    return b.create<LLVM::PtrToIntOp>(loc, b.getI32Type(), getElementPointer(b, loc, memory, index));
  }
  Value word(Value index) { return b.create<arith::IndexCastOp>(loc, b.getI32Type(), index); }
  Value constant(int64_t value) { return b.create<arith::ConstantIntOp>(loc, value, 32); }

  OpBuilder b;
  Location loc;
};

void convert(tile::MbarrierInitOp op) {
  Statement s(op);
  s.assembly("mbarrier.init.shared::cta.b64 [$0], $1;", "r,r",
             {s.shared(op.getBarriers(), op.getIndex()), s.constant(op.getArrivals())});
}

void convert(tile::MbarrierFenceOp op) { Statement(op).assembly("fence.mbarrier_init.release.cluster;"); }

void convert(tile::ProxyFenceOp op) { Statement(op).assembly("fence.proxy.async.shared::cta;"); }

void convert(tile::MbarrierArriveOp op) {
  Statement s(op);
  Value barrier = s.shared(op.getBarriers(), op.getIndex());
  if (std::optional<uint64_t> bytes = op.getBytes())
    s.assembly("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "r,r", {barrier, s.constant(*bytes)});
  else
    s.assembly("mbarrier.arrive.shared::cta.b64 _, [$0];", "r", barrier);
}

/// The hardware suspends a thread that tries for some time, and lets it try again.
void convert(tile::MbarrierWaitOp op) {
  Statement s(op);
  s.assembly("{\n"
             ".reg .pred %done;\n"
             "again:\n"
             "mbarrier.try_wait.parity.shared::cta.b64 %done, [$0], $1;\n"
             "@%done bra ended;\n"
             "bra again;\n"
             "ended:\n"
             "}",
             "r,r", {s.shared(op.getBarriers(), op.getIndex()), s.word(op.getParity())});
}

/// PTX counts a tensor's dimensions from the contiguous one.
void convert(tile::CopyBoxOp op) {
  Statement s(op);
  auto pointer = LLVM::LLVMPointerType::get(op.getContext());
  Value map = s.b.create<UnrealizedConversionCastOp>(s.loc, pointer, op.getMap()).getResult(0);
  SmallVector<Value> operands{s.shared(op.getMemory(), op.getPosition()), map,
                              s.shared(op.getBarriers(), op.getIndex())};
  std::string text, constraints = "r,l,r";
  for (Value coordinate : llvm::reverse(op.getCoordinates())) {
    text += (text.empty() ? "$" : ", $") + std::to_string(operands.size());
    constraints += ",r";
    operands.push_back(s.word(coordinate));
  }
  s.assembly("cp.async.bulk.tensor." + Twine(op.getCoordinates().size()) +
                 "d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, {" + text + "}], [$2];",
             constraints, operands);
}

void convert(tile::BarrierOp op) {
  Statement s(op);
  s.b.create<NVVM::BarrierOp>(s.loc, s.constant(op.getNumber()), s.constant(op.getThreads()));
}

void convert(tile::NamedBarrierOp op) {
  Statement s(op);
  s.assembly(op.getArrive() ? "bar.arrive $0, $1;" : "bar.sync $0, $1;", "r,r",
             {s.word(op.getNumber()), s.constant(op.getThreads())});
}

void convert(tile::SubgroupBarrierOp op) {
  Statement s(op);
  s.b.create<NVVM::SyncWarpOp>(s.loc, s.b.create<LLVM::ConstantOp>(s.loc, s.b.getI32Type(), -1));
}

void convert(tile::OpaqueOp op) {
  Statement s(op);
  Type i64 = s.b.getI64Type();
  Value number = s.b.create<arith::IndexCastOp>(s.loc, i64, op.getInput());
  auto dialect = LLVM::AsmDialectAttr::get(s.b.getContext(), LLVM::AsmDialect::AD_ATT);
  auto nothing = s.b.create<LLVM::InlineAsmOp>(s.loc, TypeRange(i64), number, "", "=l,0", /*has_side_effects=*/true,
                                               /*is_align_stack=*/false, dialect, /*operand_attrs=*/ArrayAttr());
  op.replaceAllUsesWith(s.b.create<arith::IndexCastOp>(s.loc, s.b.getIndexType(), nothing.getResult(0)).getResult());
}

void convert(tile::SetRegistersOp op) {
  Statement s(op);
  s.b.create<NVVM::SetMaxRegisterOp>(s.loc, op.getCount(),
                                     op.getIncrease() ? NVVM::SetMaxRegisterAction::increase
                                                      : NVVM::SetMaxRegisterAction::decrease);
  // The assembler ignores the instruction unless it is told how many registers there are at first: a multiprocessor's,
  // for one block (C7508).
  if (auto kernel = op->getParentOfType<gpu::GPUFuncOp>())
    kernel->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), s.b.getI32IntegerAttr(1));
}
} // namespace

bool flashc::convertPipeOp(Operation *op) {
  bool converted =
      llvm::TypeSwitch<Operation *, bool>(op)
          .Case<tile::MbarrierInitOp, tile::MbarrierFenceOp, tile::ProxyFenceOp, tile::MbarrierArriveOp,
                tile::MbarrierWaitOp, tile::CopyBoxOp, tile::BarrierOp, tile::NamedBarrierOp, tile::SubgroupBarrierOp,
                tile::OpaqueOp, tile::SetRegistersOp>([](auto op) { return convert(op), true; })
          .Default(false);
  if (converted)
    op->erase();
  return converted;
}

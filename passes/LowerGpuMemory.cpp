//===- LowerGpuMemory.cpp - lower-gpu-memory ------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/GpuKernels.h"
#include "passes/Passes.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/AttrTypeSubElements.h"

namespace flashc {
#define GEN_PASS_DEF_LOWERGPUMEMORY
#include "passes/Passes.h.inc"
} // namespace flashc

using namespace mlir;
using namespace flashc;

namespace {
/// Both vendors' numbers of the address spaces.
enum AddressSpace { kGlobal = 1, kShared = 3, kPrivate = 5 };
/// What swizzled boxes of the copy engine ask for.
constexpr int64_t kSharedAlignment = 1024;
constexpr StringLiteral kSharedName = "flashc_shared";

struct LowerGpuMemory : public flashc::impl::LowerGpuMemoryBase<LowerGpuMemory> {
  void runOnOperation() override {
    gpu::GPUModuleOp device = getOperation();
    numberAddressSpaces(device);

    SmallVector<gpu::DynamicSharedMemoryOp> ops;
    device.walk([&](gpu::DynamicSharedMemoryOp op) { ops.push_back(op); });
    if (ops.empty())
      return;
    OpBuilder b = OpBuilder::atBlockBegin(device.getBody());
    auto bytes = LLVM::LLVMArrayType::get(b.getI8Type(), 0);
    auto shared = b.create<LLVM::GlobalOp>(device.getLoc(), bytes, /*isConstant=*/false, LLVM::Linkage::External,
                                           kSharedName, Attribute(), kSharedAlignment, kShared);
    LLVMTypeConverter converter(&getContext());
    for (gpu::DynamicSharedMemoryOp op : ops)
      replace(op, shared, converter);
  }

private:
  void numberAddressSpaces(gpu::GPUModuleOp device) {
    AttrTypeReplacer replacer;
    replacer.addReplacement([](gpu::AddressSpaceAttr attribute) -> Attribute {
      AddressSpace space = attribute.getValue() == gpu::AddressSpace::Global      ? kGlobal
                           : attribute.getValue() == gpu::AddressSpace::Workgroup ? kShared
                                                                                  : kPrivate;
      return IntegerAttr::get(IntegerType::get(attribute.getContext(), 64), space);
    });
    replacer.recursivelyReplaceElementsIn(device, /*replaceAttrs=*/true, /*replaceLocs=*/false, /*replaceTypes=*/true);
  }

  /// The memory as a memref of all the bytes that the kernel is launched with.
  void replace(gpu::DynamicSharedMemoryOp op, LLVM::GlobalOp shared, LLVMTypeConverter &converter) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    auto type = cast<MemRefType>(op.getType());
    auto number = [&](int64_t n) -> Value {
      return b.create<LLVM::ConstantOp>(loc, b.getI64Type(), b.getI64IntegerAttr(n));
    };
    int64_t bytes = 0;
    if (auto kernel = op->getParentOfType<gpu::GPUFuncOp>())
      if (auto attribute = kernel->getAttrOfType<IntegerAttr>(kSharedBytesAttr))
        bytes = attribute.getInt();
    Value pointer = b.create<LLVM::AddressOfOp>(loc, shared);
    auto descriptor = MemRefDescriptor::undef(b, loc, converter.convertType(type));
    descriptor.setAllocatedPtr(b, loc, pointer);
    descriptor.setAlignedPtr(b, loc, pointer);
    descriptor.setOffset(b, loc, number(0));
    descriptor.setSize(b, loc, 0, number(type.isDynamicDim(0) ? bytes : type.getDimSize(0)));
    descriptor.setStride(b, loc, 0, number(1));
    op.replaceAllUsesWith(b.create<UnrealizedConversionCastOp>(loc, type, Value(descriptor)).getResult(0));
    op.erase();
    ++numReplaced;
  }
};
} // namespace

//===- MemRefPointers.cpp - Pointers to what memrefs hold -----------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/MemRefPointers.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace flashc;

Value flashc::getAlignedPointer(OpBuilder &b, Location loc, Value memref) {
  LLVMTypeConverter converter(b.getContext());
  // The cast meets the one that finalize-memref-to-llvm makes for the memory itself.
  Value descriptor =
      b.create<UnrealizedConversionCastOp>(loc, converter.convertType(memref.getType()), memref).getResult(0);
  return MemRefDescriptor(descriptor).alignedPtr(b, loc);
}

Value flashc::getFirstPointer(OpBuilder &b, Location loc, Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  Value aligned = getAlignedPointer(b, loc, memref);
  int64_t offset;
  SmallVector<int64_t> strides;
  (void)getStridesAndOffset(type, strides, offset);
  if (offset == 0)
    return aligned;
  Value elements;
  if (ShapedType::isDynamic(offset))
    elements = b.create<arith::IndexCastOp>(loc, b.getI64Type(),
                                            b.create<memref::ExtractStridedMetadataOp>(loc, memref).getOffset());
  else
    elements = b.create<arith::ConstantIntOp>(loc, offset, 64);
  return b.create<LLVM::GEPOp>(loc, aligned.getType(), type.getElementType(), aligned,
                               ArrayRef<LLVM::GEPArg>{elements});
}

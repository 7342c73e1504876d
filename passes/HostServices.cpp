//===- HostServices.cpp - What the host's part of a kernel asks for -------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/HostServices.h"

#include "dialects/Tile/Tile.h"
#include "passes/MemRefPointers.h"
#include "runtime/include/flashc/runtime.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace flashc;

static LLVM::LLVMStructType getHostType(MLIRContext *context) {
  Type i32 = IntegerType::get(context, 32), ptr = LLVM::LLVMPointerType::get(context);
  return LLVM::LLVMStructType::getLiteral(context, {i32, i32, ptr, ptr, ptr, ptr, i32, i32});
}

static Value getField(OpBuilder &b, Location loc, LLVM::LLVMStructType type, Value base, ArrayRef<int32_t> path) {
  SmallVector<LLVM::GEPArg> indices{0};
  for (int32_t number : path)
    indices.push_back(number);
  return b.create<LLVM::GEPOp>(loc, LLVM::LLVMPointerType::get(b.getContext()), type, base, indices);
}

Value flashc::loadHostField(OpBuilder &b, Location loc, Value host, HostField field) {
  LLVM::LLVMStructType type = getHostType(b.getContext());
  auto number = static_cast<int32_t>(field);
  return b.create<LLVM::LoadOp>(loc, type.getBody()[number], getField(b, loc, type, host, {number}));
}

static Value asI64(OpBuilder &b, Location loc, Value index) {
  return b.create<arith::IndexCastOp>(loc, b.getI64Type(), index);
}

namespace {
/// One call of encode_tensor_map.
class TensorMapBuilder {
public:
  TensorMapBuilder(tile::TensorMapOp op, Value host) : op(op), host(host), b(op), loc(op.getLoc()) {}

  /// Makes the call, and says where the map is and whether it can be used.
  std::pair<Value, Value> build();

private:
  /// flashc_tensor_map: dtype, rank, address, size, stride_bytes, box, element_stride, interleave, swizzle,
  /// l2_promotion, fill_nan.
  LLVM::LLVMStructType getType();
  Value constant(int64_t value) { return b.create<arith::ConstantIntOp>(loc, value, 64); }
  /// Whether 1 <= value < end.
  Value isWithin(Value value, int64_t end) {
    Value before = b.create<arith::SubIOp>(loc, value, constant(1));
    return b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, before, constant(end - 1));
  }
  void require(Value condition) {
    usable = usable ? b.create<arith::AndIOp>(loc, usable, condition).getResult() : condition;
  }
  /// Sizes, and strides in bytes, from the contiguous dimension on; what the copy unit does not take is not usable.
  void measure();
  void fill(OpBuilder &fb, Value what);

  tile::TensorMapOp op;
  Value host;
  OpBuilder b;
  Location loc;
  Value usable, pointer;
  SmallVector<Value> sizes, strides;
};

LLVM::LLVMStructType TensorMapBuilder::getType() {
  MLIRContext *context = op.getContext();
  Type i32 = b.getI32Type(), i64 = b.getI64Type(), ptr = LLVM::LLVMPointerType::get(context);
  auto array = [](Type type, unsigned count) { return LLVM::LLVMArrayType::get(type, count); };
  return LLVM::LLVMStructType::getLiteral(
      context, {i32, i32, ptr, array(i64, 5), array(i64, 4), array(i32, 5), array(i32, 5), i32, i32, i32, i32});
}

void TensorMapBuilder::measure() {
  constexpr int64_t granule = 16, mostCoordinates = int64_t(1) << 31, mostBytes = int64_t(1) << 40;
  auto type = cast<MemRefType>(op.getSource().getType());
  pointer = getFirstPointer(b, loc, op.getSource());
  Value bytes = constant(type.getElementTypeBitWidth() / 8);
  Value together = b.create<LLVM::PtrToIntOp>(loc, b.getI64Type(), pointer);
  auto data = b.create<memref::ExtractStridedMetadataOp>(loc, op.getSource());
  auto value = [&](OpFoldResult x) { return asI64(b, loc, getValueOrCreateConstantIndexOp(b, loc, x)); };
  SmallVector<OpFoldResult> givenSizes = data.getConstifiedMixedSizes(),
                            givenStrides = data.getConstifiedMixedStrides();
  for (int64_t dimension = type.getRank(); dimension-- > 0;) {
    Value size = value(givenSizes[dimension]), stride = value(givenStrides[dimension]);
    Value single = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, size, constant(1));
    require(isWithin(size, mostCoordinates));
    sizes.push_back(size);
    if (dimension == type.getRank() - 1) {
      Value dense = b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, stride, constant(1));
      require(b.create<arith::OrIOp>(loc, single, dense));
      continue;
    }
    // One row is nowhere else, whatever its stride says.
    stride = b.create<arith::SelectOp>(loc, single, constant(granule), b.create<arith::MulIOp>(loc, stride, bytes));
    require(isWithin(stride, mostBytes));
    together = b.create<arith::OrIOp>(loc, together, stride);
    strides.push_back(stride);
  }
  Value low = b.create<arith::AndIOp>(loc, together, constant(granule - 1));
  require(b.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, low, constant(0)));
}

void TensorMapBuilder::fill(OpBuilder &fb, Value what) {
  LLVM::LLVMStructType type = getType();
  auto store = [&](Value value, ArrayRef<int32_t> path) {
    fb.create<LLVM::StoreOp>(loc, value, getField(fb, loc, type, what, path));
  };
  auto word = [&](int64_t value) -> Value { return fb.create<arith::ConstantIntOp>(loc, value, 32); };
  Type element = cast<MemRefType>(op.getSource().getType()).getElementType();
  int32_t rank = sizes.size();
  store(word(element.isBF16()  ? FLASHC_BF16
             : element.isF16() ? FLASHC_F16
             : element.isF32() ? FLASHC_F32
                               : FLASHC_F64),
        {0});
  store(word(rank), {1});
  store(pointer, {2});
  for (int32_t dimension = 0; dimension < rank; ++dimension) {
    store(sizes[dimension], {3, dimension});
    if (dimension > 0)
      store(strides[dimension - 1], {4, dimension - 1});
    store(word(dimension == 0 ? op.getColumns() : dimension == 1 ? op.getRows() : 1), {5, dimension});
    store(word(1), {6, dimension});
  }
  const int64_t interleave = 0, promotion = 256, fillNan = 0;
  int32_t field = 7;
  for (int64_t value : {interleave, op.getLayout().getPanel(), promotion, fillNan})
    store(word(value), {field++});
}

std::pair<Value, Value> TensorMapBuilder::build() {
  MLIRContext *context = op.getContext();
  Type i32 = b.getI32Type(), ptr = LLVM::LLVMPointerType::get(context);
  // In the entry block, so that a loop around the launch would not grow the stack.
  OpBuilder eb = OpBuilder::atBlockBegin(&op->getParentOfType<func::FuncOp>().front());
  Value one = eb.create<LLVM::ConstantOp>(loc, b.getI64Type(), 1);
  auto bytes = LLVM::LLVMArrayType::get(b.getI8Type(), kTensorMapBytes);
  Value place = eb.create<LLVM::AllocaOp>(loc, ptr, bytes, one, kTensorMapAlignment);
  Value what = eb.create<LLVM::AllocaOp>(loc, ptr, getType(), one, /*alignment=*/8);

  measure();
  Value encode = loadHostField(b, loc, host, HostField::EncodeTensorMap);
  require(b.create<LLVM::ICmpOp>(loc, LLVM::ICmpPredicate::ne, encode, b.create<LLVM::ZeroOp>(loc, ptr)));
  // A device may refuse, too: copies are then the threads' own.
  auto call = b.create<scf::IfOp>(
      loc, usable,
      [&](OpBuilder &tb, Location) {
        fill(tb, what);
        Value user = loadHostField(tb, loc, host, HostField::User);
        auto type = LLVM::LLVMFunctionType::get(i32, {ptr, ptr, ptr});
        auto status = tb.create<LLVM::CallOp>(loc, type, ValueRange{encode, user, place, what});
        Value none = tb.create<arith::ConstantIntOp>(loc, FLASHC_OK, 32);
        Value good = tb.create<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, status.getResult(), none);
        tb.create<scf::YieldOp>(loc, good);
      },
      [&](OpBuilder &fb, Location) {
        fb.create<scf::YieldOp>(loc, fb.create<arith::ConstantIntOp>(loc, 0, 1).getResult());
      });
  return {place, call.getResult(0)};
}
} // namespace

DenseMap<Value, Value> flashc::lowerHostServices(func::FuncOp func, Value host) {
  SmallVector<tile::MultiprocessorsOp> counts;
  func.walk([&](tile::MultiprocessorsOp op) { counts.push_back(op); });
  for (tile::MultiprocessorsOp op : counts) {
    OpBuilder b(op);
    Value count = loadHostField(b, op.getLoc(), host, HostField::Multiprocessors);
    Value zero = b.create<arith::ConstantIntOp>(op.getLoc(), 0, 32);
    count = b.create<arith::MaxSIOp>(op.getLoc(), count, zero);
    op.replaceAllUsesWith(b.create<arith::IndexCastOp>(op.getLoc(), b.getIndexType(), count).getResult());
    op.erase();
  }
  DenseMap<Value, Value> places;
  func.walk([&](tile::TensorMapOp op) {
    auto [place, usable] = TensorMapBuilder(op, host).build();
    places[op.getMap()] = place;
    op.getUsable().replaceAllUsesWith(usable);
  });
  return places;
}

#include "passes/LaneExchange.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

Value flashc::exchangeLanes(OpBuilder &b, Location loc, Value value, gpu::ShuffleMode mode, int64_t lane,
                            int64_t subgroupSize) {
  auto shuffle = [&](Value word) -> Value {
    return b.create<gpu::ShuffleOp>(loc, word, lane, subgroupSize, mode).getShuffleResult();
  };
  Type type = value.getType(), i32 = b.getI32Type();
  if (type.isIndex()) {
    Value number = b.create<arith::IndexCastOp>(loc, b.getI64Type(), value);
    return b.create<arith::IndexCastOp>(loc, type, exchangeLanes(b, loc, number, mode, lane, subgroupSize));
  }
  unsigned bits = type.getIntOrFloatBitWidth();
  if (bits == 32)
    return shuffle(value);
  if (bits == 64) {
    auto pair = VectorType::get({2}, i32);
    Value words =
        b.create<vector::BitCastOp>(loc, pair, b.create<vector::BroadcastOp>(loc, VectorType::get({1}, type), value));
    Value moved = words;
    for (int64_t word = 0; word < 2; ++word)
      moved = b.create<vector::InsertOp>(loc, shuffle(b.create<vector::ExtractOp>(loc, words, word)), moved, word);
    Value back = b.create<vector::BitCastOp>(loc, VectorType::get({1}, type), moved);
    return b.create<vector::ExtractOp>(loc, back, 0);
  }
  Type integer = b.getIntegerType(bits);
  if (type != integer)
    value = b.create<arith::BitcastOp>(loc, integer, value);
  Value word = shuffle(b.create<arith::ExtUIOp>(loc, i32, value));
  Value narrow = b.create<arith::TruncIOp>(loc, integer, word);
  return type == integer ? narrow : b.create<arith::BitcastOp>(loc, type, narrow).getResult();
}

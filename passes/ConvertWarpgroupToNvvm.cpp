//===- ConvertWarpgroupToNvvm.cpp - Warpgroups' products in NVVM ----------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "passes/ConvertWarpgroupToNvvm.h"

#include "passes/GpuUnits.h"
#include "passes/ThreadOps.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace flashc;

namespace {

/// An operand of `wgmma` in shared memory, as its descriptors see it (PTX ISA, "Matrix descriptor format").
struct MatrixInMemory {
  int64_t rows, columns, elementBytes, panel;
  /// Whether the contraction runs along the rows of memory ("K-major") or across them ("MN-major").
  bool alongRows;

  MatrixInMemory(Type tile, bool alongRows) : alongRows(alongRows) {
    auto type = cast<tile::TileType>(tile);
    rows = type.getShape()[0];
    columns = type.getShape()[1];
    elementBytes = type.getElementTypeBitWidth() / 8;
    panel = cast<tile::SharedLayoutAttr>(type.getLayout()).getPanel();
  }

  int64_t panelBytes() const { return rows * panel; }

  /// All of a descriptor but the address of the operand.
  uint64_t descriptor() const {
    // Eight rows of a panel are one swizzle pattern; the next eight follow. The leading offset is from panel to panel,
    // and has no meaning where the contraction stays in one.
    uint64_t stride = 8 * panel, leading = alongRows ? 16 : panelBytes();
    uint64_t swizzle = panel == 128 ? 1 : panel == 64 ? 2 : 3;
    return leading >> 4 << 16 | stride >> 4 << 32 | swizzle << 62;
  }

  /// Bytes from the operand's begin to a step of the contraction.
  int64_t stepOffset(int64_t step) const {
    int64_t first = step * kWarpgroupSteps;
    if (!alongRows)
      return first * panel;
    int64_t width = panel / elementBytes;
    return first / width * panelBytes() + first % width * elementBytes;
  }
};

/// Inline assembly under construction: operands are numbered as they come, results first.
class Assembly {
public:
  Assembly(OpBuilder &b, Location loc, int64_t numResults) : b(b), loc(loc), numResults(numResults) {
    for (int64_t i = 0; i < numResults; ++i)
      constraints += i ? ",=f" : "=f";
    next = numResults;
  }

  /// Adds an operand and returns its number.
  int64_t use(Value value, StringRef constraint) {
    operands.push_back(value);
    constraints += "," + constraint.str();
    return next++;
  }
  /// Makes results begin as `values`, in the same registers.
  void tie(ValueRange values) {
    for (auto [i, value] : llvm::enumerate(values))
      use(value, std::to_string(i));
  }

  /// "$3" or "{$3, $4}".
  static std::string name(int64_t number) { return "$" + std::to_string(number); }
  static std::string names(int64_t first, int64_t count) {
    std::string text = "{";
    for (int64_t i = 0; i < count; ++i)
      text += (i ? ", " : "") + name(first + i);
    return text + "}";
  }

  SmallVector<Value> emit(StringRef text) {
    Type f32 = b.getF32Type();
    Type type =
        numResults == 1 ? f32 : LLVM::LLVMStructType::getLiteral(b.getContext(), SmallVector<Type>(numResults, f32));
    auto asmOp = b.create<LLVM::InlineAsmOp>(
        loc, TypeRange(type), operands, text, constraints + ",~{memory}", /*has_side_effects=*/true,
        /*is_align_stack=*/false, LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT), ArrayAttr());
    SmallVector<Value> results;
    for (int64_t i = 0; i < numResults; ++i)
      results.push_back(b.create<LLVM::ExtractValueOp>(loc, asmOp.getResult(0), i));
    return results;
  }

private:
  OpBuilder &b;
  Location loc;
  int64_t numResults, next = 0;
  std::string constraints;
  SmallVector<Value> operands;
};

/// The descriptor of a matrix at element `index` of `memory`.
Value createDescriptor(OpBuilder &b, Location loc, const MatrixInMemory &matrix, Value memory, Value index) {
  auto constant = [&](int64_t value) -> Value {
    return b.create<LLVM::ConstantOp>(loc, b.getI64Type(), b.getI64IntegerAttr(value));
  };
  // The address takes 14 bits, in units of sixteen bytes.
  Value address = b.create<LLVM::PtrToIntOp>(loc, b.getI64Type(), getElementPointer(b, loc, memory, index));
  address = b.create<LLVM::AndOp>(loc, b.create<LLVM::LShrOp>(loc, address, constant(4)), constant(0x3fff));
  return b.create<LLVM::OrOp>(loc, address, constant(matrix.descriptor()));
}

/// The elements of all parts.
SmallVector<Value> takeAllApart(OpBuilder &b, Location loc, ValueRange parts, Type element) {
  SmallVector<Value> values;
  for (Value part : parts)
    llvm::append_range(values, takeApart(b, loc, part, element));
  return values;
}

/// Replaces an operation's results, vectors of four, by scalars.
void replace(OpBuilder &b, Operation *op, ArrayRef<Value> values) {
  for (auto [i, result] : llvm::enumerate(op->getResults()))
    result.replaceAllUsesWith(putTogether(b, op->getLoc(), values.slice(4 * i, 4), cast<VectorType>(result.getType())));
  op->erase();
}
} // namespace

void flashc::lowerWarpgroupMma(tile::WarpgroupMmaOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  Type element = cast<MemRefType>(op.getRhs().getType()).getElementType();
  StringRef type = element.isBF16() ? "bf16" : "f16";
  int64_t columns = op.getColumns(), registers = columns / 2;
  Assembly assembly(b, loc, registers);
  if (!op.getAccumulators().empty())
    assembly.tie(takeAllApart(b, loc, op.getAccumulators(), b.getF32Type()));
  MatrixInMemory right(op.getRhsTile(), op.getTransposed());
  std::optional<MatrixInMemory> left;
  int64_t lhs;
  if (op.getLhsIndex()) {
    left.emplace(*op.getLhsTile(), /*alongRows=*/true);
    lhs = assembly.use(createDescriptor(b, loc, *left, op.getLhs().front(), op.getLhsIndex()), "l");
  } else {
    SmallVector<Value> pairs = takeAllApart(b, loc, op.getLhs(), b.getI32Type());
    lhs = assembly.use(pairs.front(), "r");
    for (Value pair : ArrayRef(pairs).drop_front())
      assembly.use(pair, "r");
  }
  int64_t rhs = assembly.use(createDescriptor(b, loc, right, op.getRhs(), op.getRhsIndex()), "l");

  // Steps' descriptors are sums in the assembly: nobody is to keep them all in registers.
  std::string text;
  llvm::raw_string_ostream os(text);
  auto atStep = [&](StringRef name, const MatrixInMemory &matrix, int64_t number, int64_t step) {
    os << "add.s64 " << name << ", " << Assembly::name(number) << ", " << (matrix.stepOffset(step) >> 4) << ";\n";
    return name.str();
  };
  os << "{\n.reg .pred sum;\n.reg .b64 left, right;\nwgmma.fence.sync.aligned;\n";
  // Without accumulators the first step writes the sums.
  os << "setp.ne.b32 sum, " << !op.getAccumulators().empty() << ", 0;\n";
  for (int64_t step = 0, steps = op.getSteps(); step < steps; ++step) {
    std::string a = left ? atStep("left", *left, lhs, step) : Assembly::names(lhs + 4 * step, 4);
    std::string c = atStep("right", right, rhs, step);
    os << "wgmma.mma_async.sync.aligned.m64n" << columns << "k" << kWarpgroupSteps << ".f32." << type << "." << type
       << " " << Assembly::names(0, registers) << ", " << a << ", " << c << ", sum, 1, 1";
    // Whether operands lie across their contraction; one in registers does not.
    os << (left ? ", 0" : "") << ", " << !right.alongRows << ";\n";
    if (step == 0 && steps > 1 && op.getAccumulators().empty())
      os << "setp.ne.b32 sum, 1, 0;\n";
  }
  os << "wgmma.commit_group.sync.aligned;\n}\n";
  replace(b, op, assembly.emit(text));
}

void flashc::lowerWarpgroupWait(tile::WarpgroupWaitOp op) {
  OpBuilder b(op);
  SmallVector<Value> values = takeAllApart(b, op.getLoc(), op.getValues(), b.getF32Type());
  Assembly assembly(b, op.getLoc(), values.size());
  assembly.tie(values);
  replace(b, op, assembly.emit("wgmma.wait_group.sync.aligned " + std::to_string(op.getPending()) + ";"));
}

#include "compiler/KernelSpec.h"

#include "compiler/KernelInterface.h"
#include "compiler/MaskGrammar.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;

namespace flashc {
namespace {
constexpr StringLiteral kDTypes[] = {"f64", "f32", "f16", "bf16", "i64", "i32", "i8", "bool"};

std::string dtypeName(int32_t dtype) {
  return dtype >= 0 && dtype < int32_t(std::size(kDTypes)) ? kDTypes[dtype].str() : std::to_string(dtype);
}

class SpecBuilder {
public:
  SpecBuilder(MLIRContext &context, const KernelSpec &spec)
      : spec(spec), b(&context), loc(NameLoc::get(b.getStringAttr(spec.name))) {}

  FailureOr<OwningOpRef<ModuleOp>> build();

private:
  /// One argument of the kernel.
  struct Argument {
    StringRef name;
    Type element;
    SmallVector<int64_t> sizes;
    bool output = false;
  };

  InFlightDiagnostic error() { return emitError(loc); }
  bool isFloat(int32_t dtype) const { return dtype >= FLASHC_F64 && dtype <= FLASHC_BF16; }
  Type toType(int32_t dtype) {
    switch (dtype) {
    case FLASHC_F64:
      return b.getF64Type();
    case FLASHC_F32:
      return b.getF32Type();
    case FLASHC_F16:
      return b.getF16Type();
    case FLASHC_BF16:
      return b.getBF16Type();
    case FLASHC_I64:
      return b.getI64Type();
    case FLASHC_I32:
      return b.getI32Type();
    case FLASHC_I8:
      return b.getI8Type();
    default:
      return b.getI1Type();
    }
  }
  MemRefType toMemRef(const Argument &argument) {
    SmallVector<int64_t> shape;
    for (int64_t size : argument.sizes)
      shape.push_back(size < 0 ? ShapedType::kDynamic : size);
    SmallVector<int64_t> strides(shape.size(), ShapedType::kDynamic);
    auto layout = StridedLayoutAttr::get(b.getContext(), ShapedType::kDynamic, strides);
    return MemRefType::get(shape, argument.element, layout);
  }
  LogicalResult checkNumbers();
  LogicalResult addMaskOperands(ArrayRef<Attribute> masks);
  LogicalResult addScore(attn::SdpaOp sdpa);

  const KernelSpec &spec;
  OpBuilder b;
  Location loc;
  SmallVector<Argument> arguments;
};

LogicalResult SpecBuilder::checkNumbers() {
  if (spec.headDim < 1)
    return error() << "head dim: expected at least 1, found " << spec.headDim;
  if (spec.valueHeadDim < 0)
    return error() << "value head dim: expected at least 1, found " << spec.valueHeadDim;
  // Larger than any model's by far; tiles of it would not fit a cache.
  constexpr int64_t largest = 4096;
  if (spec.headDim > largest || spec.valueHeadDim > largest)
    return error() << "head dim: expected at most " << largest << ", found "
                   << std::max(spec.headDim, spec.valueHeadDim);
  if (!isFloat(spec.dtype))
    return error() << "dtype: expected f64, f32, f16 or bf16, found " << dtypeName(spec.dtype);
  if (spec.biasDType && !isFloat(*spec.biasDType))
    return error() << "bias: expected f64, f32, f16 or bf16, found " << dtypeName(*spec.biasDType);
  if (spec.scale && !std::isfinite(*spec.scale))
    return error() << "scale: expected a finite number, found " << *spec.scale;
  if (spec.softcap && !(std::isfinite(*spec.softcap) && *spec.softcap > 0))
    return error() << "softcap: expected a finite number above 0, found " << *spec.softcap;
  return success();
}

LogicalResult SpecBuilder::addMaskOperands(ArrayRef<Attribute> masks) {
  constexpr int64_t batch = FLASHC_SIZE_BATCH, heads = FLASHC_SIZE_Q_HEADS, queries = FLASHC_SIZE_QUERIES,
                    keys = FLASHC_SIZE_KEYS;
  size_t next = 0;
  auto add = [&](StringRef name, bool flag, ArrayRef<int64_t> sizes) -> LogicalResult {
    int32_t dtype = flag ? FLASHC_BOOL : FLASHC_I32;
    if (next < spec.maskDTypes.size())
      dtype = spec.maskDTypes[next];
    ++next;
    bool legal = flag ? dtype == FLASHC_BOOL || dtype == FLASHC_I8 : dtype == FLASHC_I32 || dtype == FLASHC_I64;
    if (!legal)
      return error() << "mask operand '" << name << "': expected " << (flag ? "bool or i8" : "i32 or i64") << ", found "
                     << dtypeName(dtype);
    arguments.push_back({name, toType(dtype), SmallVector<int64_t>(sizes)});
    return success();
  };
  for (Attribute mask : masks) {
    LogicalResult added = success();
    if (isa<attn::KeyLengthsAttr>(mask))
      added = add("key_lengths", false, {batch});
    else if (isa<attn::KeyPaddingAttr>(mask))
      added = add("key_padding", true, {batch, keys});
    else if (isa<attn::PrefixLMAttr>(mask))
      added = add("prefix_lengths", false, {batch});
    else if (isa<attn::TensorMaskAttr>(mask))
      added = add("mask", true, {batch, heads, queries, keys});
    else if (isa<attn::SegmentsAttr>(mask))
      added = success(succeeded(add("query_segments", false, {batch, queries})) &&
                      succeeded(add("key_segments", false, {batch, keys})));
    if (failed(added))
      return failure();
  }
  if (next < spec.maskDTypes.size())
    return error() << "mask: expected " << next << " operands for '" << spec.mask << "', found "
                   << spec.maskDTypes.size();
  return success();
}

LogicalResult SpecBuilder::addScore(attn::SdpaOp sdpa) {
  StringRef type = spec.dtype == FLASHC_F64 ? "f64" : "f32";
  // The body is parsed in a function of the same arguments and then moved; the verifier sees it in its place.
  std::string text =
      ("func.func @score(%s: " + type + ", %b: index, %h: index, %i: index, %j: index) {" + spec.score + "\n}\n").str();
  ParserConfig config(b.getContext(), /*verifyAfterParse=*/false);
  OwningOpRef<ModuleOp> parsed = parseSourceString<ModuleOp>(text, config, "score");
  if (!parsed)
    return failure();
  auto functions = parsed->getOps<func::FuncOp>();
  if (!llvm::hasSingleElement(*parsed->getBody()) || functions.empty())
    return error() << "score: expected the body of one function, found more";
  func::FuncOp function = *functions.begin();
  if (!llvm::hasSingleElement(function.getBody()) || !isa<attn::YieldOp>(function.getBody().front().back()))
    return error() << "score: expected one block that ends in 'attn.yield'";
  sdpa.getScore().takeBody(function.getBody());
  return success();
}

FailureOr<OwningOpRef<ModuleOp>> SpecBuilder::build() {
  if (failed(checkNumbers()))
    return failure();
  FailureOr<SmallVector<Attribute>> masks = parseMask(spec.mask, b.getContext());
  if (failed(masks))
    return failure();

  constexpr int64_t batch = FLASHC_SIZE_BATCH, heads = FLASHC_SIZE_Q_HEADS, kvHeads = FLASHC_SIZE_KV_HEADS,
                    queries = FLASHC_SIZE_QUERIES, keys = FLASHC_SIZE_KEYS;
  int64_t headDim = spec.headDim, valueDim = spec.valueHeadDim ? spec.valueHeadDim : spec.headDim;
  Type element = toType(spec.dtype);
  arguments.push_back({"q", element, {batch, heads, queries, headDim}});
  arguments.push_back({"k", element, {batch, kvHeads, keys, headDim}});
  arguments.push_back({"v", element, {batch, kvHeads, keys, valueDim}});
  size_t maskBegin = arguments.size();
  if (failed(addMaskOperands(*masks)))
    return failure();
  size_t maskEnd = arguments.size();
  if (spec.biasDType)
    arguments.push_back({"bias", toType(*spec.biasDType), {batch, heads, queries, keys}});
  size_t out = arguments.size();
  arguments.push_back({"out", element, {batch, heads, queries, valueDim}, /*output=*/true});
  if (spec.lse)
    arguments.push_back(
        {"lse", spec.dtype == FLASHC_F64 ? b.getF64Type() : b.getF32Type(), {batch, heads, queries}, /*output=*/true});

  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  b.setInsertionPointToStart(module->getBody());
  SmallVector<Type> types;
  for (const Argument &argument : arguments)
    types.push_back(toMemRef(argument));
  auto function = b.create<func::FuncOp>(loc, spec.name, b.getFunctionType(types, {}));
  for (auto [i, argument] : llvm::enumerate(arguments)) {
    function.setArgAttr(i, kNameAttr, b.getStringAttr(argument.name));
    function.setArgAttr(i, kSizesAttr, b.getDenseI64ArrayAttr(argument.sizes));
    if (argument.output)
      function.setArgAttr(i, kOutputAttr, b.getUnitAttr());
  }
  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  auto value = [&](size_t i) { return body->getArgument(i); };
  SmallVector<Value> maskOperands(body->args_begin() + maskBegin, body->args_begin() + maskEnd);
  auto sdpa =
      b.create<attn::SdpaOp>(loc, value(0), value(1), value(2), value(out), spec.lse ? value(out + 1) : Value(), *masks,
                             maskOperands, spec.biasDType ? value(maskEnd) : Value(), spec.scale, spec.softcap);
  sdpa.setTf32(spec.tf32);
  b.create<func::ReturnOp>(loc);
  if (!spec.score.empty() && failed(addScore(sdpa)))
    return failure();
  if (failed(verify(*module)))
    return failure();
  return module;
}
} // namespace

std::optional<int32_t> parseDType(StringRef name) {
  for (auto [i, known] : llvm::enumerate(kDTypes))
    if (name == known)
      return int32_t(i);
  return std::nullopt;
}

FailureOr<OwningOpRef<ModuleOp>> buildKernelModule(MLIRContext &context, const KernelSpec &spec) {
  context.loadDialect<attn::AttentionDialect, arith::ArithDialect, func::FuncDialect, math::MathDialect,
                      memref::MemRefDialect>();
  return SpecBuilder(context, spec).build();
}

llvm::json::Object describeSpec(MLIRContext &context, const KernelSpec &spec) {
  FailureOr<SmallVector<Attribute>> masks = parseMask(spec.mask, &context);
  llvm::json::Object object{{"dtype", dtypeName(spec.dtype)},
                            {"head_dim", spec.headDim},
                            {"value_head_dim", spec.valueHeadDim ? spec.valueHeadDim : spec.headDim},
                            {"mask", succeeded(masks) ? printMask(*masks) : spec.mask},
                            {"score", !spec.score.empty()}};
  if (spec.scale)
    object["scale"] = *spec.scale;
  if (spec.softcap)
    object["softcap"] = *spec.softcap;
  if (spec.tf32)
    object["tf32"] = true;
  return object;
}
} // namespace flashc

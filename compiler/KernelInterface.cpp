#include "compiler/KernelInterface.h"

#include "runtime/include/flashc/runtime.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace flashc {
namespace {
std::optional<int32_t> getDType(Type type) {
  if (type.isF64())
    return FLASHC_F64;
  if (type.isF32())
    return FLASHC_F32;
  if (type.isF16())
    return FLASHC_F16;
  if (type.isBF16())
    return FLASHC_BF16;
  if (type.isInteger(64) || type.isIndex())
    return FLASHC_I64;
  if (type.isInteger(32))
    return FLASHC_I32;
  if (type.isInteger(8))
    return FLASHC_I8;
  if (type.isInteger(1))
    return FLASHC_BOOL;
  return std::nullopt;
}

StringRef getDTypeName(int32_t dtype) {
  static constexpr StringRef names[] = {"f64", "f32", "f16", "bf16", "i64", "i32", "i8", "bool"};
  return names[dtype];
}

llvm::json::Value getSizeName(int64_t size) {
  switch (size) {
  case FLASHC_SIZE_ANY:
    return "?";
  case FLASHC_SIZE_BATCH:
    return "B";
  case FLASHC_SIZE_Q_HEADS:
    return "Hq";
  case FLASHC_SIZE_KV_HEADS:
    return "Hkv";
  case FLASHC_SIZE_QUERIES:
    return "Sq";
  case FLASHC_SIZE_KEYS:
    return "Sk";
  default:
    return size;
  }
}
} // namespace

llvm::json::Array KernelInterface::toJson() const {
  llvm::json::Array list;
  for (const KernelOperand &operand : operands) {
    llvm::json::Array sizes;
    for (int64_t size : operand.sizes)
      sizes.push_back(getSizeName(size));
    list.push_back(llvm::json::Object{{"name", operand.name},
                                      {"dtype", getDTypeName(operand.dtype)},
                                      {"size", std::move(sizes)},
                                      {"output", operand.output}});
  }
  return list;
}

FailureOr<KernelInterface> getKernelInterface(func::FuncOp func) {
  KernelInterface interface;
  interface.name = func.getName().str();
  // outline-gpu-kernels makes a function return the status of its launches.
  bool launches =
      llvm::any_of(llvm::seq(func.getNumArguments()), [&](unsigned i) { return !!func.getArgAttr(i, kStreamAttr); });
  if (func.getNumResults() != (launches ? 1u : 0u))
    return func.emitOpError("returns ") << func.getNumResults()
                                        << " values; a kernel writes its results to operands and returns nothing";
  for (unsigned i = 0, e = func.getNumArguments(); i != e; ++i) {
    if (func.getArgAttr(i, kWorkspaceAttr) || func.getArgAttr(i, kWorkersAttr) || func.getArgAttr(i, kHostAttr) ||
        func.getArgAttr(i, kStreamAttr))
      continue;
    auto type = dyn_cast<MemRefType>(func.getArgument(i).getType());
    if (!type)
      return func.emitOpError("has argument ")
             << i << " of type " << func.getArgument(i).getType() << "; a kernel's operands are memrefs";
    std::optional<int32_t> dtype = getDType(type.getElementType());
    if (!dtype)
      return func.emitOpError("has argument ") << i << " with elements of type " << type.getElementType()
                                               << "; expected f64, f32, f16, bf16, i64, i32, i8 or i1";
    if (type.getRank() > FLASHC_MAX_RANK)
      return func.emitOpError("has argument ")
             << i << " of rank " << type.getRank() << "; the C ABI carries at most " << FLASHC_MAX_RANK;
    int64_t offset;
    SmallVector<int64_t> strides;
    if (failed(getStridesAndOffset(type, strides, offset)))
      return func.emitOpError("has argument ") << i << " with a layout that is not strided: " << type;
    KernelOperand operand;
    operand.name = ("arg" + Twine(i)).str();
    if (auto name = func.getArgAttrOfType<StringAttr>(i, kNameAttr))
      operand.name = name.str();
    operand.dtype = *dtype;
    operand.output = !!func.getArgAttr(i, kOutputAttr);
    auto sizes = func.getArgAttrOfType<DenseI64ArrayAttr>(i, kSizesAttr);
    if (sizes && sizes.size() != type.getRank())
      return func.emitOpError("has argument ")
             << i << " of rank " << type.getRank() << " but " << sizes.size() << " entries in '" << kSizesAttr << "'";
    for (int64_t d = 0; d < type.getRank(); ++d)
      operand.sizes.push_back(!type.isDynamicDim(d) ? type.getDimSize(d) : sizes ? sizes[d] : FLASHC_SIZE_ANY);
    interface.operands.push_back(std::move(operand));
  }
  return interface;
}

FailureOr<func::FuncOp> getKernelFunction(ModuleOp module, StringRef entry) {
  SmallVector<func::FuncOp> candidates;
  for (auto func : module.getOps<func::FuncOp>())
    if (func.isPublic() && !func.isExternal())
      candidates.push_back(func);
  if (entry.empty() && candidates.size() == 1)
    return candidates.front();
  for (func::FuncOp func : candidates)
    if (func.getName() == entry)
      return func;
  std::string names = llvm::join(
      llvm::map_range(candidates, [](func::FuncOp func) { return ("'" + func.getName() + "'").str(); }), ", ");
  if (candidates.empty())
    return emitError(module.getLoc(), "expected a public function with a body, found none");
  if (entry.empty())
    return emitError(module.getLoc(), "expected one public function, found ")
           << candidates.size() << ": " << names << "; name the one to compile";
  return emitError(module.getLoc(), "there is no public function '") << entry << "'; found " << names;
}
} // namespace flashc

#include "compiler/LowerGpuModule.h"

#include "passes/GpuKernels.h"
#include "passes/HostServices.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/GPUToROCDL/GPUToROCDLPass.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace {
/// `populate` adds what is the vendor's to the type converter and the patterns.
template <typename Populate> LogicalResult lowerGpuModule(gpu::GPUModuleOp device, Populate populate) {
  MLIRContext *context = device.getContext();
  RewritePatternSet rewrites(context);
  populateGpuRewritePatterns(rewrites);
  if (failed(applyPatternsAndFoldGreedily(device, std::move(rewrites))))
    return failure();
  LowerToLLVMOptions options(context);
  options.overrideIndexBitwidth(64);
  LLVMTypeConverter converter(context, options);
  RewritePatternSet patterns(context);
  populate(converter, patterns);
  arith::populateArithToLLVMConversionPatterns(converter, patterns);
  cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
  populateFuncToLLVMConversionPatterns(converter, patterns);
  populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
  populateVectorToLLVMConversionPatterns(converter, patterns);
  LLVMConversionTarget target(*context);
  target.addIllegalDialect<gpu::GPUDialect>();
  target.addLegalDialect<NVVM::NVVMDialect, ROCDL::ROCDLDialect>();
  target.addLegalOp<gpu::GPUModuleOp, gpu::ModuleEndOp, gpu::YieldOp>();
  return applyPartialConversion(device, target, std::move(patterns));
}

/// The copy unit reads a tensor map where the launch has put it: a parameter by value that is never copied.
void markTensorMaps(gpu::GPUModuleOp device) {
  OpBuilder b(device.getContext());
  auto bytes = LLVM::LLVMArrayType::get(b.getI8Type(), flashc::kTensorMapBytes);
  for (auto kernel : device.getOps<LLVM::LLVMFuncOp>()) {
    auto maps = kernel->getAttrOfType<DenseI32ArrayAttr>(flashc::kTensorMapsAttr);
    if (!maps)
      continue;
    for (int32_t number : maps.asArrayRef()) {
      kernel.setArgAttr(number, LLVM::LLVMDialect::getByValAttrName(), TypeAttr::get(bytes));
      kernel.setArgAttr(number, LLVM::LLVMDialect::getAlignAttrName(),
                        b.getI64IntegerAttr(flashc::kTensorMapAlignment));
      kernel.setArgAttr(number, NVVM::NVVMDialect::getGridConstantAttrName(), b.getUnitAttr());
    }
  }
}

struct LowerGpuToNvvmPass : public PassWrapper<LowerGpuToNvvmPass, OperationPass<gpu::GPUModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerGpuToNvvmPass)
  StringRef getArgument() const final { return "lower-gpu-to-nvvm"; }
  StringRef getDescription() const final { return "Convert device code to the LLVM and NVVM dialects"; }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<LLVM::LLVMDialect, NVVM::NVVMDialect, ROCDL::ROCDLDialect>();
  }
  void runOnOperation() final {
    auto populate = [](LLVMTypeConverter &converter, RewritePatternSet &patterns) {
      populateGpuToNVVMConversionPatterns(converter, patterns);
    };
    if (failed(lowerGpuModule(getOperation(), populate)))
      return signalPassFailure();
    markTensorMaps(getOperation());
  }
};

struct LowerGpuToRocdlPass : public PassWrapper<LowerGpuToRocdlPass, OperationPass<gpu::GPUModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerGpuToRocdlPass)
  StringRef getArgument() const final { return "lower-gpu-to-rocdl"; }
  StringRef getDescription() const final { return "Convert device code to the LLVM and ROCDL dialects"; }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<LLVM::LLVMDialect, NVVM::NVVMDialect, ROCDL::ROCDLDialect>();
  }
  void runOnOperation() final {
    auto populate = [](LLVMTypeConverter &converter, RewritePatternSet &patterns) {
      // Instructions take bf16 as 16 bits.
      converter.addConversion([](BFloat16Type type) -> Type { return IntegerType::get(type.getContext(), 16); });
      populateGpuToROCDLConversionPatterns(converter, patterns, gpu::amd::Runtime::HIP);
    };
    if (failed(lowerGpuModule(getOperation(), populate)))
      signalPassFailure();
  }
};
} // namespace

std::unique_ptr<Pass> flashc::createLowerGpuToNvvmPass() { return std::make_unique<LowerGpuToNvvmPass>(); }
std::unique_ptr<Pass> flashc::createLowerGpuToRocdlPass() { return std::make_unique<LowerGpuToRocdlPass>(); }
void flashc::registerLowerGpuModulePasses() {
  PassRegistration<LowerGpuToNvvmPass>();
  PassRegistration<LowerGpuToRocdlPass>();
}

#include "compiler/Register.h"

#include "compiler/CAbi.h"
#include "compiler/LowerGpuModule.h"
#include "compiler/Pipelines.h"
#include "dialects/Attention/Attention.h"
#include "passes/BufferizeAttention.h"
#include "passes/ModulePipeline.h"
#include "passes/Passes.h"
#include "passes/ScanPasses.h"
#include "passes/TaskPasses.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/ROCDL/ROCDLToLLVMIRTranslation.h"

static void registerTranslations(mlir::DialectRegistry &registry) {
  mlir::registerBuiltinDialectTranslation(registry);
  mlir::registerLLVMDialectTranslation(registry);
  mlir::registerGPUDialectTranslation(registry);
  mlir::registerNVVMDialectTranslation(registry);
  mlir::registerROCDLDialectTranslation(registry);
}

void flashc::registerAllDialects(mlir::DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<attn::AttentionDialect, tile::TileDialect>();
  registerAttentionBufferization(registry);
  registerTranslations(registry);
}

void flashc::registerCompilerDialects(mlir::DialectRegistry &registry) {
  registry.insert<attn::AttentionDialect, tile::TileDialect, mlir::affine::AffineDialect, mlir::arith::ArithDialect,
                  mlir::cf::ControlFlowDialect, mlir::func::FuncDialect, mlir::gpu::GPUDialect, mlir::LLVM::LLVMDialect,
                  mlir::linalg::LinalgDialect, mlir::math::MathDialect, mlir::memref::MemRefDialect,
                  mlir::NVVM::NVVMDialect, mlir::ROCDL::ROCDLDialect, mlir::scf::SCFDialect,
                  mlir::tensor::TensorDialect, mlir::vector::VectorDialect>();
  registerModulePipelineDialects(registry);
  registerTranslations(registry);
}

void flashc::registerAllPasses() {
  mlir::registerAllPasses();
  flashc::registerFlashcPasses();
  flashc::registerFlashcTaskPasses();
  flashc::registerFlashcScanPasses();
  flashc::registerEmitCAbiPass();
  flashc::registerLowerGpuModulePasses();
  flashc::registerPipelines();
  flashc::registerModulePipeline();
}

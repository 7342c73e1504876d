/// What outline-gpu-kernels leaves in a module, for those who compile the device's part of it.
#ifndef FLASHC_PASSES_GPUKERNELS_H
#define FLASHC_PASSES_GPUKERNELS_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <string>

namespace flashc {

/// Attributes of a loop whose iterations are blocks of threads, and of the kernel that it becomes: the threads of a
/// block, and the bytes of dynamic shared memory that it takes, both i64.
inline constexpr llvm::StringLiteral kThreadsAttr = "flashc.threads";
inline constexpr llvm::StringLiteral kSharedBytesAttr = "flashc.shared_bytes";
/// Of a kernel: the bytes of each of its parameters, array<i32>.
inline constexpr llvm::StringLiteral kParamBytesAttr = "flashc.param_bytes";
/// Of a kernel: which of its parameters are tensor maps, pointers to 128 bytes that travel by value, array<i32>.
inline constexpr llvm::StringLiteral kTensorMapsAttr = "flashc.tensor_maps";

/// The global that describes a kernel to the host's launch service, a flashc_device_function. It is declared beside the
/// host's code, and defined when the image is there.
std::string getDeviceFunctionSymbol(llvm::StringRef kernel);

/// flashc_device_function (runtime/include/flashc/runtime.h) in the LLVM dialect.
mlir::LLVM::LLVMStructType getDeviceFunctionType(mlir::MLIRContext *context);

} // namespace flashc

#endif // FLASHC_PASSES_GPUKERNELS_H

#include "compiler/DeviceCode.h"

#include "compiler/LlvmBackend.h"
#include "passes/GpuKernels.h"
#include "runtime/include/flashc/runtime.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/DerivedTypes.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace mlir;

namespace flashc {
namespace {

FailureOr<DeviceFunction> describeKernel(LLVM::LLVMFuncOp kernel) {
  auto threads = kernel->getAttrOfType<IntegerAttr>(kThreadsAttr);
  auto shared = kernel->getAttrOfType<IntegerAttr>(kSharedBytesAttr);
  auto params = kernel->getAttrOfType<DenseI32ArrayAttr>(kParamBytesAttr);
  if (!threads || !shared || !params)
    return kernel.emitOpError("does not say how it is launched; expected what outline-gpu-kernels makes");
  DeviceFunction function{kernel.getName().str(), uint32_t(threads.getInt()), uint32_t(shared.getInt()), {}};
  for (int32_t bytes : params.asArrayRef())
    function.paramBytes.push_back(bytes);
  return function;
}

/// A GPU has no library to call: what is declared and no intrinsic of LLVM would stop the assembler.
LogicalResult checkDeclarations(gpu::GPUModuleOp device, const DeviceTarget &target) {
  for (auto function : device.getOps<LLVM::LLVMFuncOp>()) {
    if (!function.isExternal() || function.getName().starts_with("llvm."))
      continue;
    auto uses = SymbolTable::getSymbolUses(function, device);
    Location loc = uses && !uses->empty() ? uses->begin()->getUser()->getLoc() : function.getLoc();
    return emitError(loc) << "needs the function '" << function.getName() << "', which " << target.getChip()
                          << " has no instruction for and flashc no expansion; express it by exp, exp2, log, tanh and "
                             "arithmetic";
  }
  return success();
}
} // namespace

llvm::json::Object DeviceCode::toJson(StringRef chip) const {
  llvm::json::Array list;
  for (const DeviceFunction &function : functions)
    list.push_back(llvm::json::Object{{"name", function.name},
                                      {"threads", int64_t(function.threads)},
                                      {"shared_bytes", int64_t(function.sharedBytes)}});
  return llvm::json::Object{{"chip", chip},
                            {"format", image.format},
                            {"image_bytes", int64_t(image.bytes.size())},
                            {"functions", std::move(list)}};
}

FailureOr<DeviceCode> compileDeviceCode(ModuleOp module, const DeviceTarget &target, int optLevel, bool binary,
                                        llvm::function_ref<bool(StringRef)> isWanted,
                                        llvm::function_ref<void(StringRef, StringRef)> show) {
  Location loc = module.getLoc();
  auto fail = [&](llvm::Error error) { return emitError(loc) << llvm::toString(std::move(error)); };
  SmallVector<gpu::GPUModuleOp> devices(module.getOps<gpu::GPUModuleOp>());
  if (devices.size() != 1)
    return emitError(loc, "has ") << devices.size() << " modules of device code; expected 1";
  gpu::GPUModuleOp device = devices.front();

  DeviceCode code;
  SmallVector<std::string> exported;
  for (auto kernel : device.getOps<LLVM::LLVMFuncOp>()) {
    if (!kernel->hasAttr(kThreadsAttr))
      continue;
    FailureOr<DeviceFunction> function = describeKernel(kernel);
    if (failed(function))
      return failure();
    exported.push_back(function->name);
    code.functions.push_back(std::move(*function));
  }
  if (failed(checkDeclarations(device, target)))
    return failure();

  auto machine = target.createDeviceMachine(optLevel);
  if (!machine)
    return fail(machine.takeError());
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> llvmModule = translateModuleToLLVMIR(device, context, device.getName());
  if (!llvmModule)
    return emitError(loc, "the device code could not be translated to LLVM IR");
  device.erase();
  llvmModule->setTargetTriple((*machine)->getTargetTriple().str());
  llvmModule->setDataLayout((*machine)->createDataLayout());
  target.finishDevice(*llvmModule, code.functions);
  internalize(*llvmModule, exported);
  if (llvm::Error error = runPasses(*llvmModule, **machine, optLevel, PassList::Device))
    return fail(std::move(error));

  if (isWanted("llvm-ir")) {
    std::string text;
    llvm::raw_string_ostream os(text);
    llvmModule->print(os, nullptr);
    show("llvm-ir", text);
  }
  if (isWanted("asm")) {
    auto text = emitCode(*llvm::CloneModule(*llvmModule), **machine, /*assembly=*/true);
    if (!text)
      return fail(text.takeError());
    show("asm", *text);
  }
  // Code generators go by the order of uses, which is another one in a copy: what is shown and what is shipped are both
  // made of one.
  auto image = target.createImage(*llvm::CloneModule(*llvmModule), optLevel, binary);
  if (!image)
    return fail(image.takeError());
  code.image = std::move(*image);
  return code;
}

void embedDeviceCode(llvm::Module &host, const DeviceCode &code, StringRef target) {
  llvm::LLVMContext &context = host.getContext();
  auto define = [&](llvm::Constant *value, const llvm::Twine &name, uint64_t alignment) {
    auto *global = new llvm::GlobalVariable(host, value->getType(), /*isConstant=*/true,
                                            llvm::GlobalValue::InternalLinkage, value, name);
    global->setAlignment(llvm::Align(alignment));
    return global;
  };
  auto text = [&](StringRef bytes) { return define(llvm::ConstantDataArray::getString(context, bytes), "text", 1); };
  auto number = [&](unsigned bits, uint64_t value) {
    return llvm::ConstantInt::get(llvm::Type::getIntNTy(context, bits), value);
  };
  if (code.functions.empty())
    return;
  // A NUL ends the image, whatever it is: a text needs one.
  llvm::Constant *image = define(llvm::ConstantDataArray::getString(context, code.image.bytes), "image", 64);
  llvm::Constant *targetText = text(target), *format = text(code.image.format);
  for (const DeviceFunction &function : code.functions) {
    llvm::GlobalVariable *global = host.getGlobalVariable(getDeviceFunctionSymbol(function.name), true);
    if (!global)
      continue;
    SmallVector<uint32_t> bytes(function.paramBytes);
    if (bytes.empty())
      bytes.push_back(0);
    llvm::Constant *sizes = define(llvm::ConstantDataArray::get(context, bytes), "param_bytes", 4);
    llvm::Constant *fields[] = {number(32, FLASHC_ABI_VERSION),
                                number(32, sizeof(flashc_device_function)),
                                text(function.name),
                                targetText,
                                format,
                                image,
                                number(64, code.image.bytes.size()),
                                number(32, function.threads),
                                number(32, function.sharedBytes),
                                number(32, function.paramBytes.size()),
                                number(32, 0),
                                sizes};
    auto *type = llvm::cast<llvm::StructType>(global->getValueType());
    global->setInitializer(llvm::ConstantStruct::get(type, fields));
    global->setLinkage(llvm::GlobalValue::InternalLinkage);
  }
}
} // namespace flashc

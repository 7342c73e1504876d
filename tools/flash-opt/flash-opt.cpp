/// flash-opt: every pass and pipeline by name, with mlir-opt's own flags.
#include "compiler/InputText.h"
#include "compiler/Register.h"

#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/ToolOutputFile.h"

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  mlir::DialectRegistry registry;
  flashc::registerAllDialects(registry);
  flashc::registerAllPasses();
  static llvm::cl::opt<bool> acceptBytecode("accept-bytecode",
                                            llvm::cl::desc("Accept MLIR bytecode, which is read unchecked, as input"));
  auto [inputPath, outputPath] = mlir::registerAndParseCLIOptions(argc, argv, "flashc optimizer driver\n", registry);
  mlir::MlirOptMainConfig config = mlir::MlirOptMainConfig::createFromCLOptions();
  if (config.shouldShowDialects())
    return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, inputPath, outputPath, registry));

  std::string message;
  std::unique_ptr<llvm::MemoryBuffer> input = mlir::openInputFile(inputPath, &message);
  std::unique_ptr<llvm::ToolOutputFile> output = input ? mlir::openOutputFile(outputPath, &message) : nullptr;
  if (!output) {
    llvm::errs() << message << "\n";
    return 1;
  }
  mlir::MLIRContext context;
  if (mlir::failed(flashc::checkInputText(*input, &context, acceptBytecode)))
    return 1;
  if (mlir::failed(mlir::MlirOptMain(output->os(), std::move(input), registry, config)))
    return 1;
  // A failed run leaves no half-written file behind.
  output->keep();
  return 0;
}

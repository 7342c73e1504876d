#include "compiler/Register.h"

#include "passes/Passes.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"

void flashc::registerAllDialects(mlir::DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
}

void flashc::registerAllPasses() {
  mlir::registerAllPasses();
  flashc::registerFlashcPasses();
}

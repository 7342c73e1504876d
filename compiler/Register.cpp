#include "compiler/Register.h"

#include "dialects/Attention/Attention.h"
#include "passes/Passes.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"

void flashc::registerAllDialects(mlir::DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<attn::AttentionDialect, tile::TileDialect>();
}

void flashc::registerAllPasses() {
  mlir::registerAllPasses();
  flashc::registerFlashcPasses();
}

/// Small kernels in MLIR text, compiled and called from the tests.
#ifndef FLASHC_TEST_COMPILER_TESTKERNELS_H
#define FLASHC_TEST_COMPILER_TESTKERNELS_H

#include "compiler/Compiler.h"
#include "compiler/Jit.h"
#include "compiler/Register.h"
#include "compiler/TargetRegistry.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

namespace flashc::test {

/// out = 2 * x, through a workspace and two parallel loops.
inline constexpr const char *kScale = R"(
!t = memref<?x?x?x64xf32, strided<[?, ?, ?, ?], offset: ?>>
func.func @scale(%x: !t {flashc.name = "x"}, %out: !t {flashc.name = "out", flashc.output}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c64 = arith.constant 64 : index
  %two = arith.constant 2.0 : f32
  %b = memref.dim %x, %c0 : !t
  %h = memref.dim %x, %c1 : !t
  %s = memref.dim %x, %c2 : !t
  %tmp = memref.alloc(%b, %h, %s) : memref<?x?x?x64xf32>
  scf.forall (%i, %j, %k) in (%b, %h, %s) {
    scf.for %d = %c0 to %c64 step %c1 {
      %v = memref.load %x[%i, %j, %k, %d] : !t
      %w = arith.mulf %v, %two : f32
      memref.store %w, %tmp[%i, %j, %k, %d] : memref<?x?x?x64xf32>
    }
  }
  scf.forall (%i, %j, %k) = (0, 0, 0) to (%b, %h, %s) step (1, 1, 4) {
    %buf = memref.alloca() : memref<64xf32>
    %end = affine.min affine_map<(k)[s] -> (k + 4, s)>(%k)[%s]
    scf.for %kk = %k to %end step %c1 {
      scf.for %d = %c0 to %c64 step %c1 {
        %v = memref.load %tmp[%i, %j, %kk, %d] : memref<?x?x?x64xf32>
        memref.store %v, %buf[%d] : memref<64xf32>
      }
      scf.for %d = %c0 to %c64 step %c1 {
        %v = memref.load %buf[%d] : memref<64xf32>
        memref.store %v, %out[%i, %j, %kk, %d] : !t
      }
    }
  }
  memref.dealloc %tmp : memref<?x?x?x64xf32>
  return
}
)";

/// A context with everything that compiling needs, and the messages that were emitted on it.
class CompilerTest : public testing::Test {
protected:
  CompilerTest() {
    mlir::DialectRegistry registry;
    registerCompilerDialects(registry);
    context.appendDialectRegistry(registry);
    context.getDiagEngine().registerHandler([this](mlir::Diagnostic &diagnostic) {
      messages += diagnostic.str() + "\n";
      for (mlir::Diagnostic &note : diagnostic.getNotes())
        messages += "note: " + note.str() + "\n";
    });
  }

  mlir::OwningOpRef<mlir::ModuleOp> parse(const char *text) {
    return mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  }
  static std::shared_ptr<const Target> target(llvm::StringRef text) { return llvm::cantFail(parseTarget(text)); }

  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  std::string messages;
};

} // namespace flashc::test

#endif // FLASHC_TEST_COMPILER_TESTKERNELS_H

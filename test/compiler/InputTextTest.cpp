/// Modules that nobody vouches for.
#include "TestKernels.h"

#include "compiler/InputText.h"
#include "compiler/KernelInterface.h"

#include <gmock/gmock.h>

using namespace flashc;
using testing::HasSubstr;

namespace {
class InputTextTest : public flashc::test::CompilerTest {
protected:
  std::string errorOf(const std::string &text) {
    messages.clear();
    EXPECT_TRUE(mlir::failed(parseModule(text, "input", &context)));
    return messages;
  }
  std::string compileErrorOf(const char *text, const CompileOptions &options = {}) {
    messages.clear();
    auto module = parse(text);
    EXPECT_TRUE(module) << messages;
    EXPECT_TRUE(mlir::failed(compile(*module, *target("cpu:x86-64"), options)));
    return messages;
  }
};

TEST_F(InputTextTest, RefusesDeepNesting) {
  const std::string message = "nested too deeply: expected at most 256 open brackets, found more";
  EXPECT_THAT(errorOf(std::string(100000, '(')), HasSubstr(message));
  EXPECT_THAT(errorOf("\"a\"() {x = " + std::string(4000, '[')), HasSubstr(message));
  std::string regions;
  for (int i = 0; i < 4000; ++i)
    regions += "\"a.b\"() ({\n";
  EXPECT_THAT(errorOf(regions), HasSubstr(message));
  std::string types;
  for (int i = 0; i < 4000; ++i)
    types += "tuple<";
  EXPECT_THAT(errorOf("func.func private @f(" + types), HasSubstr(message));
}

TEST_F(InputTextTest, BracketsInStringsAndCommentsDoNotCount) {
  std::string brackets(1000, '(');
  std::string arrows;
  for (int i = 0; i < 1000; ++i)
    arrows += "func.func private @f" + std::to_string(i) + "(i32) -> i32\n";
  EXPECT_TRUE(mlir::succeeded(parseModule("// " + brackets + "\nmodule attributes {a.b = \"" + brackets + "\\\"" +
                                              brackets + "\"} {\n" + arrows + "}",
                                          "input", &context)))
      << messages;
}

TEST_F(InputTextTest, RefusesBytecode) {
  EXPECT_THAT(errorOf("ML\xefR\x01"), HasSubstr("expected MLIR as text, found bytecode"));
}

TEST_F(InputTextTest, MissingFilesAreAnError) {
  EXPECT_TRUE(mlir::failed(readModule("/no/such/file.mlir", &context)));
  EXPECT_THAT(messages, HasSubstr("No such file"));
}

TEST_F(InputTextTest, OneKernelAtATime) {
  EXPECT_EQ(compileErrorOf("module {}"), "expected a public function with a body, found none\n");
  const char *two = "func.func @a() { return }\nfunc.func @b() { return }";
  EXPECT_EQ(compileErrorOf(two), "expected one public function, found 2: 'a', 'b'; name the one to compile\n");
  CompileOptions options;
  options.entry = "c";
  EXPECT_EQ(compileErrorOf(two, options), "there is no public function 'c'; found 'a', 'b'\n");
  options.entry = "b";
  auto module = parse(two);
  auto artifact = compile(*module, *target("cpu:x86-64"), options);
  ASSERT_TRUE(mlir::succeeded(artifact));
  EXPECT_EQ(artifact->name, "b");
}

TEST_F(InputTextTest, KernelsHaveNamesAndOperandsOfC) {
  EXPECT_THAT(compileErrorOf("func.func @\"a-b\"() { return }"),
              HasSubstr("the kernel's name 'a-b' is not a C identifier of at most 63 characters"));
  CompileOptions options;
  options.name = std::string(64, 'a');
  EXPECT_THAT(compileErrorOf("func.func @a() { return }", options), HasSubstr("is not a C identifier"));
  options = {};
  options.optLevel = 4;
  EXPECT_EQ(compileErrorOf("func.func @a() { return }", options),
            "the optimisation level is 4; expected 0, 1, 2 or 3\n");
  EXPECT_THAT(compileErrorOf("func.func @a(%x: index) { return }"),
              HasSubstr("has argument 0 of type 'index'; a kernel's operands are memrefs"));
  EXPECT_THAT(compileErrorOf("func.func @a(%x: memref<4xi16>) { return }"),
              HasSubstr("elements of type 'i16'; expected f64, f32, f16, bf16, i64, i32, i8 or i1"));
  EXPECT_THAT(compileErrorOf("func.func @a(%x: memref<1x1x1x1x1x1x1x1x1xf32>) { return }"),
              HasSubstr("of rank 9; the C ABI carries at most 8"));
  EXPECT_THAT(compileErrorOf("func.func @a(%x: memref<4xf32, affine_map<(d) -> (d floordiv 2)>>) { return }"),
              HasSubstr("with a layout that is not strided"));
  EXPECT_THAT(compileErrorOf("func.func @a(%x: memref<4xf32> {flashc.sizes = array<i64: 1, 2>}) { return }"),
              HasSubstr("of rank 1 but 2 entries in 'flashc.sizes'"));
  EXPECT_THAT(
      compileErrorOf("func.func @a(%x: memref<4xf32>) -> index { %c = arith.constant 0 : index return %c : index }"),
      HasSubstr("returns 1 values; a kernel writes its results to operands"));
}

TEST_F(InputTextTest, AKernelMayBearTheNameOfALibraryFunction) {
  auto module = parse("func.func @memset(%x: memref<4xf32>) { return }");
  EXPECT_TRUE(mlir::succeeded(compile(*module, *target("cpu:x86-64")))) << messages;
}
} // namespace

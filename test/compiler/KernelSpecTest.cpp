/// The grammar of masks, and kernels from plain words.
#include "TestKernels.h"

#include "compiler/KernelInterface.h"
#include "compiler/KernelSpec.h"
#include "compiler/MaskGrammar.h"

#include <gmock/gmock.h>
#include <limits>

using namespace flashc;
using testing::HasSubstr;

namespace {
class MaskTest : public flashc::test::CompilerTest {
protected:
  MaskTest() {
    // The column is in the location, which a message's text leaves out.
    context.getDiagEngine().registerHandler([this](mlir::Diagnostic &diagnostic) {
      if (auto location = mlir::dyn_cast<mlir::FileLineColLoc>(diagnostic.getLocation()))
        said = std::to_string(location.getColumn()) + ": ";
      said += diagnostic.str();
    });
  }
  std::string roundTrip(llvm::StringRef text) {
    auto masks = parseMask(text, &context);
    return mlir::succeeded(masks) ? printMask(*masks) : "error";
  }
  std::string errorOf(llvm::StringRef text) {
    said.clear();
    EXPECT_TRUE(mlir::failed(parseMask(text, &context))) << text.str();
    return said;
  }
  std::string said;
};

TEST_F(MaskTest, ReadsEveryClause) {
  EXPECT_EQ(roundTrip(""), "");
  EXPECT_EQ(roundTrip("  "), "");
  EXPECT_EQ(roundTrip("causal(top_left)"), "causal(top_left)");
  EXPECT_EQ(roundTrip("causal( bottom_right )&window(127 ,0)"), "causal(bottom_right) & window(127,0,bottom_right)");
  EXPECT_EQ(roundTrip("window(-1, 5) & causal(top_left)"), "window(-1,5,top_left) & causal(top_left)");
  EXPECT_EQ(roundTrip("prefix_lm(top_left) & key_lengths & key_padding & segments & tensor"),
            "prefix_lm(top_left) & key_lengths & key_padding & segments & tensor");
  EXPECT_EQ(roundTrip("prefix_lm & window(3,3,bottom_right)"), "prefix_lm(bottom_right) & window(3,3,bottom_right)");
  EXPECT_EQ(roundTrip("tensor & tensor"), "tensor & tensor");
}

TEST_F(MaskTest, SaysWhereAndWhat) {
  const char *clauses = "causal, window, key_lengths, key_padding, prefix_lm, segments or tensor";
  EXPECT_EQ(errorOf("casual(top_left)"), std::string("1: expected ") + clauses + ", found 'casual'");
  EXPECT_EQ(errorOf("key_lengths &"), std::string("14: expected ") + clauses + ", found the end");
  EXPECT_EQ(errorOf("causal"), "7: expected '(', found the end");
  EXPECT_EQ(errorOf("causal(top_left"), "16: expected ')', found the end");
  EXPECT_EQ(errorOf("causal()"), "8: expected 'top_left' or 'bottom_right', found ')'");
  EXPECT_EQ(errorOf("causal(bottom_rigth)"), "8: expected 'top_left' or 'bottom_right', found 'bottom_rigth'");
  EXPECT_EQ(errorOf("key_lengths | segments"), "13: expected '&', found '|'");
  EXPECT_EQ(errorOf("window(a,0,top_left)"), "8: expected a number of keys, or -1 for no bound, found 'a'");
  EXPECT_EQ(errorOf("window(-2,0,top_left)"),
            "8: expected a number of keys from 0 to 2^63-1, or -1 for no bound, found '-2'");
  EXPECT_EQ(errorOf("window(99999999999999999999,0,top_left)"),
            "8: expected a number of keys from 0 to 2^63-1, or -1 for no bound, found '99999999999999999999'");
  EXPECT_EQ(errorOf("window(1 0)"), "10: expected ',', found '0'");
}

TEST_F(MaskTest, RefusesWhatContradicts) {
  EXPECT_EQ(errorOf("causal(top_left) & window(1,0,bottom_right)"),
            "20: contradictory alignments: expected 'top_left' as in column 1, found 'bottom_right'");
  EXPECT_EQ(errorOf("window(127,0)"),
            "1: expected an alignment, 'top_left' or 'bottom_right', in this clause or another, found none");
  EXPECT_EQ(errorOf("key_lengths & prefix_lm"),
            "15: expected an alignment, 'top_left' or 'bottom_right', in this clause or another, found none");
  EXPECT_EQ(errorOf("causal(top_left) & causal(top_left)"),
            "20: expected each clause once, found 'causal(top_left)' again");
}

class KernelSpecTest : public flashc::test::CompilerTest {
protected:
  KernelSpecTest() { spec.headDim = 64; }
  std::string errorOf() {
    messages.clear();
    EXPECT_TRUE(mlir::failed(buildKernelModule(context, spec)));
    return messages;
  }
  KernelSpec spec;
};

TEST_F(KernelSpecTest, OperandsComeInOrder) {
  spec.mask = "causal(bottom_right) & key_lengths & segments & tensor";
  spec.maskDTypes = {FLASHC_I64};
  spec.biasDType = FLASHC_BF16;
  spec.dtype = FLASHC_F16;
  spec.valueHeadDim = 40;
  spec.lse = true;
  auto module = buildKernelModule(context, spec);
  ASSERT_TRUE(mlir::succeeded(module)) << messages;
  auto interface = getKernelInterface(*getKernelFunction(**module));
  ASSERT_TRUE(mlir::succeeded(interface));
  std::string text;
  for (const KernelOperand &operand : interface->operands)
    text += operand.name + std::to_string(operand.dtype) + (operand.output ? "! " : " ");
  EXPECT_EQ(text, "q2 k2 v2 key_lengths4 query_segments5 key_segments5 mask7 bias3 out2! lse1! ");
  EXPECT_EQ(interface->operands[0].sizes, (llvm::SmallVector<int64_t>{-2, -3, -5, 64}));
  EXPECT_EQ(interface->operands[2].sizes, (llvm::SmallVector<int64_t>{-2, -4, -6, 40}));
  EXPECT_EQ(interface->operands[3].sizes, (llvm::SmallVector<int64_t>{-2}));
  EXPECT_EQ(interface->operands[7].sizes, (llvm::SmallVector<int64_t>{-2, -3, -5, -6}));
}

TEST_F(KernelSpecTest, SaysWhichMemberIsWrong) {
  spec.headDim = 0;
  EXPECT_EQ(errorOf(), "head dim: expected at least 1, found 0\n");
  spec.headDim = 5000;
  EXPECT_EQ(errorOf(), "head dim: expected at most 4096, found 5000\n");
  spec.headDim = 64;
  spec.valueHeadDim = -1;
  EXPECT_EQ(errorOf(), "value head dim: expected at least 1, found -1\n");
  spec.valueHeadDim = 0;
  spec.dtype = FLASHC_I32;
  EXPECT_EQ(errorOf(), "dtype: expected f64, f32, f16 or bf16, found i32\n");
  spec.dtype = 99;
  EXPECT_EQ(errorOf(), "dtype: expected f64, f32, f16 or bf16, found 99\n");
  spec.dtype = FLASHC_F32;
  spec.biasDType = FLASHC_BOOL;
  EXPECT_EQ(errorOf(), "bias: expected f64, f32, f16 or bf16, found bool\n");
  spec.biasDType.reset();
  spec.scale = std::numeric_limits<double>::infinity();
  EXPECT_EQ(errorOf(), "scale: expected a finite number, found INF\n");
  spec.scale.reset();
  spec.softcap = 0.0;
  EXPECT_THAT(errorOf(), HasSubstr("softcap: expected a finite number above 0, found 0"));
  spec.softcap.reset();
  spec.mask = "key_lengths";
  spec.maskDTypes = {FLASHC_F32};
  EXPECT_EQ(errorOf(), "mask operand 'key_lengths': expected i32 or i64, found f32\n");
  spec.mask = "key_padding";
  EXPECT_EQ(errorOf(), "mask operand 'key_padding': expected bool or i8, found f32\n");
  spec.maskDTypes = {FLASHC_BOOL, FLASHC_BOOL};
  EXPECT_EQ(errorOf(), "mask: expected 1 operands for 'key_padding', found 2\n");
}

TEST_F(KernelSpecTest, ScoreFunctionsAreText) {
  spec.score = "\n  %two = arith.constant 2.0 : f32\n  %r = arith.mulf %s, %two : f32\n  attn.yield %r : f32";
  EXPECT_TRUE(mlir::succeeded(buildKernelModule(context, spec))) << messages;
  spec.score = "%r = arith.mulf %s, %nothing : f32 attn.yield %r : f32";
  EXPECT_THAT(errorOf(), HasSubstr("use of undeclared SSA value name"));
  spec.score = "return %s : f32";
  EXPECT_THAT(errorOf(), HasSubstr("score: expected one block that ends in 'attn.yield'"));
  spec.score = "attn.yield %s : f32\n}\nfunc.func @more() {\n  return";
  EXPECT_THAT(errorOf(), HasSubstr("score: expected the body of one function, found more"));
  // A score of the wrong type is the operation's own error.
  spec.score = "%c = arith.constant 1.0 : f64 attn.yield %c : f64";
  EXPECT_NE(errorOf(), "");
}
} // namespace

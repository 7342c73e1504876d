// Bugs that are planted in a kernel of a few lines.

#include "emulator/PlantedBugs.h"
#include "test/emulator/RunKernel.h"

#include <gmock/gmock.h>

using namespace flashc::test;
using namespace flashc::emulator;

// out[i] = in[127 - i], copied to swizzled shared memory in pieces of 16 bytes.
static const std::string kernel = R"(
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier0()
declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.cp.async.commit.group()
declare void @llvm.nvvm.cp.async.wait.group(i32)
!nvvm.annotations = !{!0}
!0 = !{ptr @k, !"kernel", i32 1}
@smem = external addrspace(3) global [0 x i8], align 16
define void @k(ptr addrspace(1) %in, ptr addrspace(1) %out, ptr addrspace(1) %count) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %n = load i32, ptr addrspace(1) %count, align 4
  %o = mul i32 %t, 16
  %pi = getelementptr i8, ptr addrspace(1) %in, i32 %o
  %c = xor i32 %t, 3
  %so = mul i32 %c, 16
  %ps = getelementptr i8, ptr addrspace(3) @smem, i32 %so
  %copies = icmp slt i32 %o, %n
  br i1 %copies, label %copy, label %join
copy:
  call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %ps, ptr addrspace(1) %pi)
  br label %join
join:
  call void @llvm.nvvm.cp.async.commit.group()
  call void @llvm.nvvm.cp.async.wait.group(i32 0)
  call void @llvm.nvvm.barrier0()
  %r = sub i32 127, %t
  %rc = lshr i32 %r, 2
  %re = and i32 %r, 3
  %rx = xor i32 %rc, 3
  %rs = mul i32 %rx, 16
  %rb = mul i32 %re, 4
  %ro = add i32 %rs, %rb
  %pr = getelementptr i8, ptr addrspace(3) @smem, i32 %ro
  %y = load float, ptr addrspace(3) %pr, align 4
  %po = getelementptr float, ptr addrspace(1) %out, i32 %t
  store float %y, ptr addrspace(1) %po, align 4
  ret void
}
)";

/// What is wrong with the kernel's finding or results; "" for nothing.
static std::string problemOf(const std::string &ir) {
  std::vector<float> in(128), out(128);
  std::vector<int32_t> count{512};
  for (size_t i = 0; i != in.size(); ++i)
    in[i] = static_cast<float>(i);
  KernelRun run(ir);
  run.buffer("in", in, false);
  run.buffer("out", out);
  run.buffer("count", count, false);
  run.launch.threads = 128;
  run.launch.sharedBytes = 512;
  std::string finding = run.run();
  for (size_t i = 0; finding.empty() && i != out.size(); ++i)
    if (out[i] != static_cast<float>(127 - i))
      finding = "wrong results";
  return finding;
}

TEST(PlantedBugs, TheKernelIsRight) { EXPECT_EQ(problemOf(kernel), ""); }

TEST(PlantedBugs, EachIsCaught) {
  const std::string text = nvptxHeader + kernel;
  const auto bugs = findPlantableBugs(text, "k");
  ASSERT_TRUE(bugs) << bugs.error().message;
  std::vector<BugKind> kinds;
  for (const PlantedBug &bug : *bugs) {
    kinds.push_back(bug.kind);
    const auto broken = plantBug(text, "k", bug);
    ASSERT_TRUE(broken);
    EXPECT_NE(problemOf(broken->substr(broken->find("target triple"))), "")
        << toString(bug.kind) << ": " << bug.instruction;
  }
  using K = BugKind;
  EXPECT_THAT(kinds, testing::ElementsAre(K::DroppedBarrier, K::DroppedWait, K::DroppedWait, K::ChangedSwizzle,
                                          K::ChangedSwizzle, K::LoosenedPredicate));
}

TEST(PlantedBugs, NamesWhatIsMissing) {
  EXPECT_THAT(findPlantableBugs(kernel, "other").error().message, testing::HasSubstr("with the kernel 'other'"));
  EXPECT_THAT(plantBug(kernel, "k", {BugKind::DroppedFence, "", 0}).error().message,
              testing::HasSubstr("expected a number below 0 for a dropped fence"));
}

// Bugs that are planted in a kernel of a few lines.

#include "emulator/PlantedBugs.h"
#include "emulator/PlantedPlaces.h"
#include "emulator/Planting.h"
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
static std::string problemOf(const std::string &ir, Planting *planting = nullptr) {
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
  run.launch.planting = planting;
  std::string finding = run.run();
  for (size_t i = 0; finding.empty() && i != out.size(); ++i)
    if (out[i] != static_cast<float>(127 - i))
      finding = "wrong results";
  return finding;
}

TEST(PlantedBugs, TheKernelIsRight) { EXPECT_EQ(problemOf(kernel), ""); }

TEST(PlantedBugs, EachIsCaught) {
  const auto planted = plantBugs(nvptxHeader + kernel, "k", /*first=*/3);
  ASSERT_TRUE(planted) << planted.error().message;
  const std::string text = planted->text.substr(planted->text.find("target triple"));
  const auto count = static_cast<unsigned>(planted->bugs.size());
  Planting planting(count + 2);
  EXPECT_EQ(problemOf(text, &planting), "");
  EXPECT_EQ(problemOf(text), "") << "where nobody says which bug shows, none does";
  std::vector<std::pair<BugKind, bool>> kinds;
  for (unsigned i = 0; i != count; ++i) {
    const PlantedBug &bug = planted->bugs[i];
    kinds.push_back({bug.kind, planting.touched[i + 3]});
    planting.active = i + 3;
    const bool caught = !problemOf(text, &planting).empty();
    EXPECT_EQ(caught, planting.touched[i + 3]) << toString(bug.kind) << ": " << bug.instruction;
  }
  using K = BugKind;
  // No thread's copy begins at the end of the data, and the last begins 16 bytes before it.
  EXPECT_THAT(kinds, testing::ElementsAre(std::pair(K::DroppedBarrier, true), std::pair(K::DroppedWait, true),
                                          std::pair(K::DroppedWait, true), std::pair(K::ChangedSwizzle, true),
                                          std::pair(K::ChangedSwizzle, true), std::pair(K::ChangedIndex, true),
                                          std::pair(K::ChangedIndex, true), std::pair(K::LoosenedPredicate, true),
                                          std::pair(K::ShortenedPredicate, false)));
}

TEST(PlantedBugs, ProvesWhatNeverHappens) {
  std::string bounded = kernel;
  const auto replace = [&](const std::string &before, const std::string &after) {
    bounded.replace(bounded.find(before), before.size(), after);
  };
  replace("%o = mul i32 %t, 16", "%known = and i32 %t, 127\n  %o = mul i32 %known, 16");
  replace("%copies = icmp slt i32 %o, %n", "%copies = icmp slt i32 %o, 4096");
  const auto planted = plantBugs(nvptxHeader + bounded, "k", 1);
  ASSERT_TRUE(planted);
  for (const PlantedBug &bug : planted->bugs)
    EXPECT_EQ(bug.harmless.empty(), bug.kind != BugKind::LoosenedPredicate && bug.kind != BugKind::ShortenedPredicate)
        << toString(bug.kind);
}

// Excuses are for places: they have to tell a barrier before a loop's first turn from one between its turns.
TEST(PlantedBugs, SaysWhereABarrierLies) {
  const auto planted = plantBugs(std::string(nvptxHeader) + R"(
declare void @llvm.nvvm.barrier0()
declare void @llvm.nvvm.cp.async.wait.group(i32)
@smem = external addrspace(3) global [0 x i8], align 16
define void @k(i32 %n) {
begin:
  call void @llvm.nvvm.cp.async.wait.group(i32 0)
  br label %outer
outer:
  %i = phi i32 [ 0, %begin ], [ %next, %latch ]
  call void @llvm.nvvm.barrier0()
  br label %inner
inner:
  %j = phi i32 [ 0, %outer ], [ %following, %inner ]
  store float 0.0, ptr addrspace(3) @smem, align 4
  %following = add i32 %j, 1
  %more = icmp slt i32 %following, %n
  br i1 %more, label %inner, label %latch
latch:
  %next = add i32 %i, 1
  %again = icmp slt i32 %next, %n
  br i1 %again, label %outer, label %end
end:
  ret void
}
)",
                                 "k", 1);
  ASSERT_TRUE(planted) << planted.error().message;
  ASSERT_FALSE(planted->bugs.empty());
  EXPECT_EQ(planted->bugs[0].instruction, "call void @llvm.nvvm.barrier0() in 1 loops, after "
                                          "llvm.nvvm.cp.async.wait.group, before store; of 0 and 2 loops, in the "
                                          "last nest");
}

TEST(PlantedBugs, NamesWhatIsMissing) {
  EXPECT_THAT(plantBugs(kernel, "other", 1).error().message, testing::HasSubstr("with the kernel 'other'"));
  EXPECT_THAT(plantBugs("define", "k", 1).error().message, testing::HasSubstr("expected LLVM IR"));
}

//===----------------------------------------------------------------------===//
// Inline assembly
//===----------------------------------------------------------------------===//

/// "kind: template with the bug" of each way to break a template.
static std::vector<std::string> broken(const char *assembly) {
  std::vector<std::string> result;
  for (const PlantedStatement &found : findStatements(assembly))
    result.push_back(std::string(toString(found.kind)) + ": " + (found.wholeCall ? "no call" : found.text));
  return result;
}

TEST(PlantedStatements, BarriersAndArrivals) {
  EXPECT_THAT(broken("bar.sync 1, 128;"), testing::ElementsAre("dropped barrier:  ", "changed count: bar.sync 1, 96;"));
  EXPECT_THAT(broken("{ @$2 mbarrier.arrive.shared::cta.b64 _, [$0 + 16]; }"),
              testing::ElementsAre("dropped arrival: { ; }",
                                   "changed stage: { @$2 mbarrier.arrive.shared::cta.b64 _, [$0 + 24]; }"));
  EXPECT_THAT(broken("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], 4096;"),
              testing::ElementsAre(
                  "dropped arrival:  ", "changed stage: mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0 + 8], 4096;",
                  "changed bytes: mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], 4112;"));
}

TEST(PlantedStatements, WaitsAndFences) {
  EXPECT_THAT(
      broken("{ .reg .pred p; L: mbarrier.try_wait.parity.shared::cta.b64 p, [$0], $1; @!p bra L; }"),
      testing::ElementsAre(
          "dropped wait: no call",
          "changed stage: { .reg .pred p; L: mbarrier.try_wait.parity.shared::cta.b64 p, [$0 + 8], $1; @!p bra L; }",
          "changed parity: { .reg .pred p; L: .reg .b32 flashc_bug2; xor.b32 flashc_bug2, $1, 1; "
          "mbarrier.try_wait.parity.shared::cta.b64 p, [$0], flashc_bug2; @!p bra L; }"));
  EXPECT_THAT(
      broken("fence.proxy.async; wgmma.wait_group.sync.aligned 0;"),
      testing::ElementsAre("dropped fence: ; wgmma.wait_group.sync.aligned 0;", "dropped wait: fence.proxy.async; ;"));
}

TEST(PlantedStatements, Products) {
  EXPECT_THAT(
      broken("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0,$1,$2,$3}, {$4,$5,$6,$7}, $8, 1, 1, 1, 0;"),
      testing::ElementsAre(testing::StartsWith("swapped fragment: wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16."
                                               "bf16 {$0,$1,$2,$3}, {$5, $4,$6,$7}, $8,"),
                           testing::HasSubstr("add.u64 flashc_bug1, $8, 4294967296; wgmma"),
                           testing::HasSubstr("xor.b64 flashc_bug2, $8, -9223372036854775808; wgmma")));
  EXPECT_THAT(broken("setmaxnreg.inc.sync.aligned.u32 240;"),
              testing::ElementsAre("changed registers: setmaxnreg.inc.sync.aligned.u32 256;"));
}

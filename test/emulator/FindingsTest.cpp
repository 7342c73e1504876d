// What the emulator finds in kernels that are wrong in one thing, and that it finds nothing in those that are right.

#include "test/emulator/RunKernel.h"

#include <gmock/gmock.h>

using namespace flashc::test;
using flashc::emulator::AsyncOrder;
using testing::AllOf;
using testing::HasSubstr;

static std::string replaced(std::string text, const std::string &what, const std::string &with) {
  const size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

static const char *const declarations = R"(
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare void @llvm.nvvm.barrier0()
declare void @llvm.nvvm.bar.warp.sync(i32)
declare float @llvm.nvvm.shfl.sync.bfly.f32(i32, float, i32, i32)
declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.cp.async.wait.all()
!nvvm.annotations = !{!0}
!0 = !{ptr @k, !"kernel", i32 1}
@smem = external addrspace(3) global [0 x i8], align 16
)";

//===----------------------------------------------------------------------===//
// Global memory
//===----------------------------------------------------------------------===//

// out[i] = 2 in[i] for the 64 threads of each block.
static const std::string doubling = std::string(declarations) + R"(
define void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %b = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %o = mul i32 %b, 64
  %i = add i32 %o, %t
  %pi = getelementptr float, ptr addrspace(1) %in, i32 %i
  %x = load float, ptr addrspace(1) %pi, align 4
  %y = fadd float %x, %x
  %po = getelementptr float, ptr addrspace(1) %out, i32 %i
  store float %y, ptr addrspace(1) %po, align 4
  ret void
}
)";

TEST(EmulatorFindings, GlobalAccessesWithinBuffersAreFine) {
  std::vector<float> in(256), out(256);
  for (size_t i = 0; i != in.size(); ++i)
    in[i] = static_cast<float>(i);
  for (const unsigned workers : {1u, 2u}) {
    KernelRun run(doubling);
    run.buffer("in", in, /*writable=*/false);
    run.buffer("out", out);
    run.launch.blocks = 4;
    run.launch.threads = 64;
    run.launch.workers = workers;
    EXPECT_EQ(run.run(), "");
    for (size_t i = 0; i != out.size(); ++i)
      EXPECT_EQ(out[i], 2.0f * static_cast<float>(i));
  }
}

TEST(EmulatorFindings, ReadPastTheEnd) {
  std::vector<float> in(200), out(256);
  KernelRun run(doubling);
  run.buffer("in", in);
  run.buffer("out", out);
  run.launch.blocks = 4;
  run.launch.threads = 64;
  EXPECT_THAT(run.run(), AllOf(HasSubstr("out of bounds: kernel 'k', block 3, thread 8"), HasSubstr("load float"),
                               HasSubstr("4 bytes past the end of 'in', which has 800 bytes")));
}

TEST(EmulatorFindings, WriteToAnInput) {
  std::vector<float> in(64), out(64);
  KernelRun run(doubling);
  run.buffer("in", in);
  run.buffer("out", out, /*writable=*/false);
  run.launch.threads = 64;
  EXPECT_THAT(run.run(), AllOf(HasSubstr("out of bounds"), HasSubstr("store float"),
                               HasSubstr("a write to 'out', which is only read")));
}

TEST(EmulatorFindings, MisalignedAccess) {
  std::vector<float> in(65), out(64);
  KernelRun run(
      replaced(doubling, "load float, ptr addrspace(1) %pi, align 4", "load float, ptr addrspace(1) %pi, align 16"));
  run.buffer("in", in);
  run.buffer("out", out);
  run.launch.threads = 64;
  EXPECT_THAT(run.run(), AllOf(HasSubstr("misaligned"), HasSubstr("multiple of 16")));
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

// out[i] = in[63 - i] through shared memory.
static const std::string reversing = std::string(declarations) + R"(
define void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %pi = getelementptr float, ptr addrspace(1) %in, i32 %t
  %x = load float, ptr addrspace(1) %pi, align 4
  %ps = getelementptr float, ptr addrspace(3) @smem, i32 %t
  store float %x, ptr addrspace(3) %ps, align 4
  call void @llvm.nvvm.barrier0()
  %r = sub i32 63, %t
  %pr = getelementptr float, ptr addrspace(3) @smem, i32 %r
  %y = load float, ptr addrspace(3) %pr, align 4
  %po = getelementptr float, ptr addrspace(1) %out, i32 %t
  store float %y, ptr addrspace(1) %po, align 4
  ret void
}
)";

static std::string runReversing(const std::string &ir, uint64_t sharedBytes = 256, const char *chip = "sm_80") {
  std::vector<float> in(64), out(64);
  for (size_t i = 0; i != in.size(); ++i)
    in[i] = static_cast<float>(i);
  KernelRun run(ir, chip);
  run.buffer("in", in, false);
  run.buffer("out", out);
  run.launch.threads = 64;
  run.launch.sharedBytes = sharedBytes;
  std::string finding = run.run();
  if (finding.empty())
    for (size_t i = 0; i != out.size(); ++i)
      EXPECT_EQ(out[i], static_cast<float>(63 - i));
  return finding;
}

TEST(EmulatorFindings, SharedAccessesWithABarrierAreFine) { EXPECT_EQ(runReversing(reversing), ""); }

TEST(EmulatorFindings, MissingBarrier) {
  EXPECT_THAT(runReversing(replaced(reversing, "call void @llvm.nvvm.barrier0()", "")),
              AllOf(HasSubstr("uninitialised: kernel 'k', block 0, thread 0"), HasSubstr("load float")));
}

TEST(EmulatorFindings, MissingBarrierAfterALongerWay) {
  // Written twice, with a barrier in between: the second time nobody waits.
  const std::string twice = replaced(reversing, "  %r = sub i32 63, %t",
                                     "  store float %x, ptr addrspace(3) %ps, align 4\n  %r = sub i32 63, %t");
  EXPECT_THAT(runReversing(twice), AllOf(HasSubstr("race"), HasSubstr("thread 63 "), HasSubstr("no barrier orders")));
}

TEST(EmulatorFindings, WarpBarrierDoesNotOrderTheBlock) {
  EXPECT_THAT(runReversing(
                  replaced(reversing, "call void @llvm.nvvm.barrier0()", "call void @llvm.nvvm.bar.warp.sync(i32 -1)")),
              HasSubstr("uninitialised"));
}

TEST(EmulatorFindings, BlocksThatWriteTheSameBytes) {
  std::vector<float> in(64), out(64);
  KernelRun run(reversing);
  run.buffer("in", in, false);
  run.buffer("out", out);
  run.launch.threads = 64;
  run.launch.blocks = 2;
  run.launch.sharedBytes = 256;
  EXPECT_THAT(run.run(), AllOf(HasSubstr("race: kernel 'k', block 1"),
                               HasSubstr("a write of 4 bytes of 'out'; block 0"), HasSubstr("nothing orders blocks")));
}

TEST(EmulatorFindings, AWriteBehindSeveralReaders) {
  // All read the first element, of whom those of the last warp have gone on; then thread 0 writes it.
  const std::string readers =
      replaced(replaced(reversing, "  %r = sub i32 63, %t",
                        "  %one = load float, ptr addrspace(3) @smem, align 4\n  %r = sub i32 63, %t"),
               "  ret void",
               "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n  %is = icmp eq i32 %t, 32\n  br i1 %is, label %write, "
               "label %done\n"
               "write:\n  store float 1.0, ptr addrspace(3) @smem, align 4\n  br label %done\ndone:\n  ret void");
  EXPECT_THAT(runReversing(readers), AllOf(HasSubstr("race"), HasSubstr("thread 32"), HasSubstr("read offset 0")));
}

TEST(EmulatorFindings, SharedMemoryPastTheEnd) {
  EXPECT_THAT(runReversing(reversing, 252),
              AllOf(HasSubstr("out of bounds"), HasSubstr("thread 63"), HasSubstr("the block has 252")));
}

TEST(EmulatorFindings, TooMuchSharedMemory) {
  EXPECT_THAT(runReversing(reversing, 300 << 10),
              AllOf(HasSubstr("expected at most 166912 bytes"), HasSubstr("sm_80")));
}

TEST(EmulatorFindings, StaticSharedVariablesLieBeforeTheDynamicPart) {
  EXPECT_EQ(runReversing(replaced(reversing, "external addrspace(3) global [0 x i8], align 16",
                                  "internal addrspace(3) global [256 x i8] undef, align 16"),
                         0),
            "");
}

//===----------------------------------------------------------------------===//
// Asynchronous copies
//===----------------------------------------------------------------------===//

static const std::string copying = std::string(declarations) + R"(
define void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %o = mul i32 %t, 4
  %pi = getelementptr float, ptr addrspace(1) %in, i32 %o
  %ps = getelementptr float, ptr addrspace(3) @smem, i32 %o
  %copies = icmp ult i32 %t, 16
  br i1 %copies, label %copy, label %join
copy:
  call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %ps, ptr addrspace(1) %pi)
  br label %join
join:
  call void @llvm.nvvm.cp.async.wait.all()
  call void @llvm.nvvm.barrier0()
  %r = sub i32 63, %t
  %pr = getelementptr float, ptr addrspace(3) @smem, i32 %r
  %y = load float, ptr addrspace(3) %pr, align 4
  %po = getelementptr float, ptr addrspace(1) %out, i32 %t
  store float %y, ptr addrspace(1) %po, align 4
  ret void
}
)";

TEST(EmulatorFindings, CopiesThatAreWaitedForAreFine) { EXPECT_EQ(runReversing(copying), ""); }

TEST(EmulatorFindings, AnEndBeforeTheWait) {
  const std::string late = replaced(replaced(copying, "  call void @llvm.nvvm.cp.async.wait.all()", ""),
                                    "%y = load float, ptr addrspace(3) %pr, align 4", "%y = fadd float 0.0, 0.0");
  EXPECT_THAT(runReversing(late), AllOf(HasSubstr("copy not waited for"), HasSubstr("the thread ended before")));
}

TEST(EmulatorFindings, MissingWait) {
  EXPECT_THAT(runReversing(replaced(copying, "call void @llvm.nvvm.cp.async.wait.all()", "")),
              AllOf(HasSubstr("copy not waited for"), HasSubstr("thread 63"), HasSubstr("thread 0 began")));
}

TEST(EmulatorFindings, WaitWithoutABarrier) {
  EXPECT_THAT(runReversing(replaced(copying, "call void @llvm.nvvm.barrier0()", "")),
              testing::AnyOf(HasSubstr("uninitialised"), HasSubstr("race"), HasSubstr("copy not waited for")));
}

//===----------------------------------------------------------------------===//
// Lanes and barriers
//===----------------------------------------------------------------------===//

static const std::string shuffling = std::string(declarations) + R"(
define void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %some = icmp ult i32 %t, 24
  %x = uitofp i32 %t to float
  br i1 %some, label %yes, label %no
yes:
  %a = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %x, i32 1, i32 31)
  br label %join
no:
  br label %join
join:
  %y = phi float [ %a, %yes ], [ %x, %no ]
  %po = getelementptr float, ptr addrspace(1) %out, i32 %t
  store float %y, ptr addrspace(1) %po, align 4
  ret void
}
)";

TEST(EmulatorFindings, EachWarpShufflesByItself) {
  const std::string all = replaced(shuffling, "icmp ult i32 %t, 24", "icmp ult i32 %t, 1024");
  std::vector<float> in(224), out(224);
  KernelRun run(all);
  run.buffer("in", in, false);
  run.buffer("out", out);
  run.launch.threads = 224;
  EXPECT_EQ(run.run(), "");
  for (size_t i = 0; i != out.size(); ++i)
    EXPECT_EQ(out[i], static_cast<float>(i ^ 1));
}

TEST(EmulatorFindings, DivisionByZeroIsAnyValue) {
  EXPECT_EQ(runReversing(replaced(reversing, "  %r = sub i32 63, %t",
                                  "  %zero = and i32 %t, 0\n  %any = udiv i32 %t, %zero\n  %none = and i32 %any, 0\n"
                                  "  %last = add i32 %none, 63\n  %r = sub i32 %last, %t")),
            "");
}

TEST(EmulatorFindings, DivergentShuffle) {
  EXPECT_THAT(runReversing(shuffling), AllOf(HasSubstr("divergence"), HasSubstr("shfl.sync.bfly"), HasSubstr("ended")));
}

TEST(EmulatorFindings, TwoShufflesAtOnce) {
  const std::string other = replaced(
      shuffling, "no:\n", "no:\n  %b = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %x, i32 2, i32 31)\n");
  EXPECT_THAT(runReversing(other), AllOf(HasSubstr("divergence"), HasSubstr("lanes 0xffffff wait")));
}

TEST(EmulatorFindings, BarrierThatNotAllReach) {
  const std::string lost =
      replaced(replaced(shuffling, "%a = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %x, i32 1, i32 31)",
                        "call void @llvm.nvvm.barrier0()"),
               "phi float [ %a, %yes ]", "phi float [ %x, %yes ]");
  EXPECT_THAT(runReversing(lost), AllOf(HasSubstr("deadlock"), HasSubstr("threads 0-23 wait at"), HasSubstr("barrier0"),
                                        HasSubstr("threads 24-63 have ended")));
}

// Thread 0 sets a flag that thread 1 of another warp waits for in a loop.
static const std::string spinning = std::string(declarations) + R"(
define void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %waits = icmp ne i32 %t, 40
  br i1 %waits, label %loop, label %set
set:
  store volatile float 1.0, ptr addrspace(1) %out, align 4
  br label %done
loop:
  %x = load volatile float, ptr addrspace(1) %out, align 4
  %there = fcmp oeq float %x, 1.0
  br i1 %there, label %done, label %loop
done:
  ret void
}
)";

static std::string runSpinning(const std::string &ir) {
  std::vector<float> in(1), out(1);
  KernelRun run(ir);
  run.buffer("in", in, false);
  run.buffer("out", out);
  run.launch.threads = 64;
  return run.run();
}

TEST(EmulatorFindings, ALoopThatWaitsForMemoryLetsOthersRun) { EXPECT_EQ(runSpinning(spinning), ""); }

TEST(EmulatorFindings, ALoopThatNeverEnds) {
  EXPECT_THAT(runSpinning(replaced(spinning, "volatile float 1.0,", "volatile float 2.0,")),
              AllOf(HasSubstr("deadlock"), HasSubstr("threads 40 have ended"), HasSubstr("in a loop")));
}

//===----------------------------------------------------------------------===//
// AMD: lanes of a wave take part where they arrive
//===----------------------------------------------------------------------===//

// Lanes below 20 ask for the ballot in a branch, which two of them leave later; all ask behind it.
static const char *const diverging = R"(
target triple = "amdgcn-amd-amdhsa"
declare i32 @llvm.amdgcn.workitem.id.x()
declare i32 @llvm.amdgcn.ballot.i32(i1)
declare void @llvm.amdgcn.s.barrier()
define amdgpu_kernel void @k(ptr addrspace(1) %out) {
entry:
  %t = call i32 @llvm.amdgcn.workitem.id.x()
  %some = icmp ult i32 %t, 20
  br i1 %some, label %loop, label %join
loop:
  %n = phi i32 [ 0, %entry ], [ %n1, %loop ]
  %b = call i32 @llvm.amdgcn.ballot.i32(i1 true)
  %n1 = add i32 %n, 1
  %few = icmp ult i32 %t, 2
  %rounds = select i1 %few, i32 3, i32 1
  %more = icmp ult i32 %n1, %rounds
  br i1 %more, label %loop, label %join
join:
  %inside = phi i32 [ 0, %entry ], [ %b, %loop ]
  %all = call i32 @llvm.amdgcn.ballot.i32(i1 true)
  call void @llvm.amdgcn.s.barrier()
  %p = getelementptr i32, ptr addrspace(1) %out, i32 %t
  store i32 %inside, ptr addrspace(1) %p, align 4
  %q = getelementptr i32, ptr addrspace(1) %p, i32 32
  store i32 %all, ptr addrspace(1) %q, align 4
  ret void
}
)";

TEST(EmulatorFindings, LanesOfAWaveMeetBehindABranch) {
  std::vector<uint32_t> out(64);
  KernelRun run(diverging, "gfx1100");
  run.buffer("out", out);
  run.launch.threads = 32;
  EXPECT_EQ(run.run(), "");
  for (unsigned t = 0; t != 32; ++t) {
    EXPECT_EQ(out[t], t < 2 ? 3u : t < 20 ? 0xfffffu : 0u) << t;
    EXPECT_EQ(out[t + 32], 0xffffffffu) << t;
  }
}

// out[i] = i ^ 64, from the other wave.
static const std::string exchanging = R"(
target triple = "amdgcn-amd-amdhsa"
@smem = external addrspace(3) global [0 x i8], align 16
declare i32 @llvm.amdgcn.workitem.id.x()
declare void @llvm.amdgcn.s.barrier()
define amdgpu_kernel void @k(ptr addrspace(1) %out) {
  %t = call i32 @llvm.amdgcn.workitem.id.x()
  %p = getelementptr i32, ptr addrspace(3) @smem, i32 %t
  store i32 %t, ptr addrspace(3) %p, align 4
  fence syncscope("workgroup") release
  call void @llvm.amdgcn.s.barrier()
  fence syncscope("workgroup") acquire
  %other = xor i32 %t, 64
  %q = getelementptr i32, ptr addrspace(3) @smem, i32 %other
  %x = load i32, ptr addrspace(3) %q, align 4
  %to = getelementptr i32, ptr addrspace(1) %out, i32 %t
  store i32 %x, ptr addrspace(1) %to, align 4
  ret void
}
)";

static std::string runExchanging(const std::string &ir) {
  std::vector<uint32_t> out(128);
  KernelRun run(ir, "gfx942");
  run.buffer("out", out);
  run.launch.threads = 128;
  run.launch.sharedBytes = 512;
  return run.run();
}

TEST(EmulatorFindings, AmdBarriersNeedFences) {
  EXPECT_EQ(runExchanging(exchanging), "");
  for (const char *fence : {"fence syncscope(\"workgroup\") release", "fence syncscope(\"workgroup\") acquire"}) {
    EXPECT_THAT(runExchanging(replaced(exchanging, fence, "")), HasSubstr("race")) << fence;
    EXPECT_THAT(runExchanging(replaced(exchanging, fence, replaced(fence, "workgroup", "wavefront"))),
                HasSubstr("race"));
  }
  const std::string counted = replaced(
      replaced(replaced(exchanging, "fence syncscope(\"workgroup\") release",
                        "call void asm sideeffect \"s_waitcnt lgkmcnt(0)\", \"~{memory}\"()"),
               "call void @llvm.amdgcn.s.barrier()", "call void asm sideeffect \"s_barrier\", \"~{memory}\"()"),
      "fence syncscope(\"workgroup\") acquire", "");
  EXPECT_EQ(runExchanging(counted), "");
}

//===----------------------------------------------------------------------===//
// What is no kernel
//===----------------------------------------------------------------------===//

TEST(EmulatorFindings, UnknownInstructionsAreNamed) {
  EXPECT_THAT(runReversing(replaced(reversing, "call void @llvm.nvvm.barrier0()",
                                    "call void asm sideeffect \"frobnicate.b32 $0;\", \"r\"(i32 0)")),
              AllOf(HasSubstr("no instruction 'frobnicate.b32'"), HasSubstr("kernel 'k'")));
}

TEST(EmulatorFindings, TextThatIsNoIr) {
  EXPECT_THAT(runReversing("define void @k( {"), HasSubstr("expected LLVM IR, line 4"));
}

TEST(EmulatorFindings, ModuleWithoutAKernel) {
  EXPECT_THAT(runReversing("define void @k() {\n  ret void\n}"), HasSubstr("has no kernel"));
}

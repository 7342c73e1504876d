/// What a GPU's kernel executes in a turn of its loop over keys, and what that takes; expectations are counted by hand
/// from the manuals' rules.
#include "compiler/KernelReport.h"
#include "compiler/DeviceCode.h"
#include "compiler/TargetRegistry.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Target/TargetMachine.h"
#include "gtest/gtest.h"

using namespace flashc;
using Kind = InstructionKind;

namespace {

/// The loops of function `k` of a module in LLVM IR.
KernelLoops count(const std::string &ir, llvm::StringRef targetName, uint32_t threads) {
  auto target = parseTarget(targetName);
  EXPECT_TRUE(bool(target)) << llvm::toString(target.takeError());
  auto machine = (*target)->getDevice()->createDeviceMachine(3);
  EXPECT_TRUE(bool(machine));
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> module = llvm::parseAssemblyString(ir, diagnostic, context);
  EXPECT_TRUE(module) << diagnostic.getMessage().str();
  if (!module)
    return {};
  module->setDataLayout((*machine)->createDataLayout());
  return countKeyLoops(*module, **machine, {std::string("k")}, {threads}).front();
}

const char *const kDeclarations = R"(
target triple = "nvptx64-nvidia-cuda"
@shared = external addrspace(3) global [0 x i8], align 1024
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare {float, float, float, float} @llvm.nvvm.mma.m16n8k16.row.col.bf16(i32, i32, i32, i32, i32, i32, float, float, float, float)
declare float @llvm.nvvm.ex2.approx.ftz.f(float)
declare float @llvm.nvvm.shfl.sync.bfly.f32(i32, float, i32, i32)
declare {i32, i32, i32, i32} @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3))
declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.barrier0()
declare float @llvm.fma.f32(float, float, float)
)";

/// A loop over keys with a copy that has a fast and a slow way, and a product that has one on multiply-adds beside it.
const char *const kLoop = R"(
define void @k(ptr addrspace(1) %p, i1 %aligned, i1 %finite, i64 %tiles) {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %first = zext i32 %tid to i64
  br label %tile
tile:
  %i = phi i64 [ 0, %entry ], [ %next, %latch ]
  %sum = phi float [ 0.0, %entry ], [ %total, %latch ]
  call void @llvm.nvvm.barrier0()
  br i1 %aligned, label %fast, label %slow
fast:
  %a = phi i64 [ %first, %tile ], [ %a.next, %fast ]
  %from = getelementptr i8, ptr addrspace(1) %p, i64 %a
  call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) @shared, ptr addrspace(1) %from)
  %a.next = add nuw nsw i64 %a, 128
  %a.more = icmp ult i64 %a, 384
  br i1 %a.more, label %fast, label %copied
slow:
  %b = phi i64 [ %first, %tile ], [ %b.next, %slow ]
  %element = getelementptr i16, ptr addrspace(1) %p, i64 %b
  %bits = load i16, ptr addrspace(1) %element
  store i16 %bits, ptr addrspace(3) @shared
  %b.next = add nuw nsw i64 %b, 128
  %b.more = icmp ult i64 %b, 4096
  br i1 %b.more, label %slow, label %copied
copied:
  %f = call {i32, i32, i32, i32} @llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3(ptr addrspace(3) @shared)
  %x = extractvalue {i32, i32, i32, i32} %f, 0
  %e = call float @llvm.nvvm.ex2.approx.ftz.f(float %sum)
  %s = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %e, i32 1, i32 31)
  br i1 %finite, label %matrix, label %single
matrix:
  %d = call {float, float, float, float} @llvm.nvvm.mma.m16n8k16.row.col.bf16(i32 %x, i32 %x, i32 %x, i32 %x, i32 %x, i32 %x, float %s, float %s, float %s, float %s)
  %d0 = extractvalue {float, float, float, float} %d, 0
  br label %latch
single:
  %m = call float @llvm.fma.f32(float %s, float %s, float %s)
  br label %latch
latch:
  %total = phi float [ %d0, %matrix ], [ %m, %single ]
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %tiles
  br i1 %more, label %tile, label %exit
exit:
  store float %total, ptr addrspace(1) %p
  ret void
}
)";

TEST(KernelLoopsTest, OneTurnTakesTheFastWays) {
  const KernelLoops kernel = count(std::string(kDeclarations) + kLoop, "nvptx:sm_80", 128);
  ASSERT_EQ(kernel.loops.size(), 1u);
  EXPECT_TRUE(kernel.usesMatrixUnit);
  const KeyLoop &loop = kernel.loops.front();
  EXPECT_EQ(loop.threads, 128u);
  EXPECT_EQ(loop.unknownLoops, 0u);
  const InstructionMix &turn = loop.turn;
  EXPECT_EQ(turn.count(Kind::Matrix), 1);
  EXPECT_EQ(turn.matrixFlops, 2 * 16 * 8 * 16);
  EXPECT_EQ(turn.asyncFlops, 0);
  EXPECT_EQ(turn.count(Kind::Special), 1);
  EXPECT_EQ(turn.count(Kind::Shuffle), 1);
  EXPECT_EQ(turn.count(Kind::SharedLoad), 1);
  EXPECT_EQ(turn.count(Kind::Barrier), 1);
  // The first thread copies at 0, 128, 256 and 384: four times 16 bytes.
  EXPECT_EQ(turn.count(Kind::AsyncCopy), 4);
  EXPECT_EQ(turn.globalBytes, 64);
  EXPECT_EQ(turn.count(Kind::GlobalLoad), 0);
  EXPECT_EQ(turn.count(Kind::SharedStore), 0);
  EXPECT_EQ(turn.count(Kind::Fma), 0);
  // Of 64 bits, two each: in the copies an address, a sum and a comparison; at the end a sum and a comparison.
  EXPECT_EQ(turn.count(Kind::Alu), 4 * 6 + 4);
  // Four of the copies' loop, one for each choice of a way, one back.
  EXPECT_EQ(turn.count(Kind::Branch), 4 + 2 + 1);
  // A warp: four matrices of 128 bytes, a shuffle of 32 lanes, and four copies of 16 bytes by 32 lanes.
  EXPECT_EQ(turn.sharedBytes, 512 + 128 + 4 * 512);
}

TEST(KernelLoopsTest, ARoleHasItsThreads) {
  std::string ir = std::string(kDeclarations) + kLoop;
  const std::string from = "  br label %tile\ntile:";
  ir.replace(ir.find(from), from.size(),
             "  %consumer = icmp ult i32 %tid, 256\n"
             "  br i1 %consumer, label %ready, label %exit.early\n"
             "exit.early:\n  ret void\nready:\n  br label %tile\ntile:");
  for (size_t at; (at = ir.find("%entry ]")) != std::string::npos;)
    ir.replace(at, 8, "%ready ]");
  const KernelLoops kernel = count(ir, "nvptx:sm_80", 384);
  ASSERT_EQ(kernel.loops.size(), 1u);
  EXPECT_EQ(kernel.threads, 384u);
  EXPECT_EQ(kernel.loops.front().threads, 256u);
}

TEST(KernelLoopsTest, WarpgroupProductsAreCountedOneByOne) {
  const std::string columns64 = "{$0, $1, $2, $3}";
  const std::string text =
      "{\n.reg .pred p;\nsetp.ne.b32 p, $9, 0;\nwgmma.fence.sync.aligned;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " +
      columns64 + ", $6, $7, p, 1, 1, 0, 0;\n" + "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " + columns64 +
      ", {$10, $11, $12, $13}, $7, 1, 1, 1, 1; // weights\n" + "wgmma.commit_group.sync.aligned;\n}\n";
  InstructionMix mix;
  countAssembly(text, {}, mix);
  EXPECT_EQ(mix.count(Kind::Matrix), 2);
  EXPECT_EQ(mix.count(Kind::Barrier), 2);
  EXPECT_EQ(mix.count(Kind::Alu), 1);
  EXPECT_EQ(mix.count(Kind::Other), 0);
  // A warp does a quarter of 64 x 128 x 16 multiply-adds.
  EXPECT_EQ(mix.matrixFlops, 2 * (2 * 64 * 128 * 16 / 4));
  EXPECT_EQ(mix.asyncFlops, mix.matrixFlops);
  // B is 16 x 128 elements of two bytes in both; A is 64 x 16 of them in the first alone.
  EXPECT_EQ(mix.sharedBytes, (2 * 16 * 128 * 2 + 64 * 16 * 2) / 4);
}

TEST(KernelLoopsTest, AssemblyWithGuardsLabelsAndCopies) {
  InstructionMix mix;
  countAssembly("{\n.reg .pred P1;\nLAB_WAIT:\nmbarrier.try_wait.parity.shared::cta.b64 P1, [$0], $1;\n@P1 bra DONE;\n"
                "bra LAB_WAIT;\nDONE:\n}",
                {}, mix);
  EXPECT_EQ(mix.count(Kind::Barrier), 1);
  EXPECT_EQ(mix.count(Kind::Branch), 2);
  countAssembly(
      "@$4 cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, {$2, $2, $2, "
      "$2}], [$3];",
      {}, mix);
  EXPECT_EQ(mix.count(Kind::BulkCopy), 1);
  countAssembly("cp.async.cg.shared.global [$0], [$1], 16, $2;\ncp.async.commit_group;", {}, mix);
  EXPECT_EQ(mix.count(Kind::AsyncCopy), 1);
  EXPECT_EQ(mix.globalBytes, 16);
  EXPECT_EQ(mix.count(Kind::Barrier), 2);
  countAssembly("ld.shared.v4.b32 {$0, $1, $2, $3}, [$4]; ex2.approx.ftz.f32 $5, $6;", {}, mix);
  EXPECT_EQ(mix.count(Kind::SharedLoad), 1);
  EXPECT_EQ(mix.count(Kind::Special), 1);
  EXPECT_EQ(mix.count(Kind::Other), 0);
}

TEST(KernelLoopsTest, AmdsProductsAndScalars) {
  const KernelLoops kernel = count(R"(
target triple = "amdgcn-amd-amdhsa"
@lds = external addrspace(3) global [0 x i8], align 1024
declare <16 x float> @llvm.amdgcn.mfma.f32.32x32x8bf16.1k(<4 x i16>, <4 x i16>, <16 x float>, i32, i32, i32)
declare float @llvm.amdgcn.exp2.f32(float)
declare i32 @llvm.amdgcn.ds.bpermute(i32, i32)
declare i32 @llvm.amdgcn.workitem.id.x()
define amdgpu_kernel void @k(ptr addrspace(1) %p, i64 %tiles) {
entry:
  %tid = call i32 @llvm.amdgcn.workitem.id.x()
  br label %tile
tile:
  %i = phi i64 [ 0, %entry ], [ %next, %tile ]
  %acc = phi <16 x float> [ zeroinitializer, %entry ], [ %d, %tile ]
  %at = getelementptr i8, ptr addrspace(3) @lds, i32 %tid
  %a = load <4 x i16>, ptr addrspace(3) %at
  %x = extractelement <16 x float> %acc, i64 0
  %e = call float @llvm.amdgcn.exp2.f32(float %x)
  %bits = bitcast float %e to i32
  %y = call i32 @llvm.amdgcn.ds.bpermute(i32 %tid, i32 %bits)
  %z = bitcast i32 %y to float
  %n = fptrunc float %z to bfloat
  %h = bitcast bfloat %n to i16
  %b = insertelement <4 x i16> %a, i16 %h, i64 1
  %d = call <16 x float> @llvm.amdgcn.mfma.f32.32x32x8bf16.1k(<4 x i16> %a, <4 x i16> %b, <16 x float> %acc, i32 0, i32 0, i32 0)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %tiles
  br i1 %more, label %tile, label %exit
exit:
  store <16 x float> %d, ptr addrspace(1) %p
  ret void
}
)",
                                   "amdgpu:gfx942", 256);
  ASSERT_EQ(kernel.loops.size(), 1u);
  const InstructionMix &turn = kernel.loops.front().turn;
  EXPECT_EQ(turn.count(Kind::Matrix), 1);
  EXPECT_EQ(turn.matrixFlops, 2 * 32 * 32 * 8);
  EXPECT_EQ(turn.count(Kind::Special), 1);
  EXPECT_EQ(turn.count(Kind::Shuffle), 1);
  EXPECT_EQ(turn.count(Kind::SharedLoad), 1);
  EXPECT_EQ(turn.count(Kind::Convert), 1);
  // The counter and its comparison are the same for all lanes.
  EXPECT_EQ(turn.count(Kind::Scalar), 2);
  // A wave reads 8 bytes, and exchanges 4, by 64 lanes.
  EXPECT_EQ(turn.sharedBytes, 64 * 8 + 64 * 4);
}

TEST(KernelLoopsTest, WaysCountForTheirShareOfThreads) {
  // 32 of 128 threads write a word, and another 64 two.
  std::string ir = std::string(kDeclarations) + kLoop;
  const std::string latch = "  %total = phi float [ %d0, %matrix ], [ %m, %single ]\n";
  ir.replace(ir.find(latch), latch.size(),
             latch + "  %quarter = icmp ult i32 %tid, 32\n"
                     "  br i1 %quarter, label %one, label %joined\n"
                     "one:\n  store i32 1, ptr addrspace(3) @shared\n  br label %joined\n"
                     "joined:\n  %half = icmp ugt i32 %tid, 63\n  br i1 %half, label %none, label %two\n"
                     "two:\n  store i64 1, ptr addrspace(3) @shared\n  store i64 2, ptr addrspace(3) @shared\n"
                     "  br label %end\n"
                     "none:\n  br label %end\nend:\n");
  for (size_t at; (at = ir.find("%latch ]")) != std::string::npos;)
    ir.replace(at, 8, "%end ]");
  const KernelLoops kernel = count(ir, "nvptx:sm_80", 128);
  ASSERT_EQ(kernel.loops.size(), 1u);
  EXPECT_DOUBLE_EQ(kernel.loops.front().turn.count(Kind::SharedStore), 0.25 + 0.5 * 2);
  // Of a warp's 32 lanes.
  EXPECT_DOUBLE_EQ(kernel.loops.front().turn.sharedBytes, 512 + 128 + 4 * 512 + 32 * (0.25 * 4 + 0.5 * 2 * 8));
}

TEST(KernelLoopsTest, WithoutALoopOverKeys) {
  const KernelLoops kernel = count(std::string(kDeclarations) + R"(
define void @k(ptr addrspace(1) %p) {
  store float 0.0, ptr addrspace(1) %p
  ret void
}
)",
                                   "nvptx:sm_80", 32);
  EXPECT_TRUE(kernel.loops.empty());
  EXPECT_FALSE(kernel.usesMatrixUnit);
}

TEST(GpuOccupancyTest, ByWhatEndsFirst) {
  const GpuChip &a100 = *findGpuChip("sm_80");
  // 168 registers of 32 lanes leave room for 3 warps in a scheduler's 16,384: 12 warps, 3 blocks of 4.
  GpuOccupancy found = gpuOccupancy(a100, 128, 168, 17 << 10);
  EXPECT_EQ(found.blocks, 3);
  EXPECT_EQ(found.subgroups, 12);
  EXPECT_EQ(found.limitedBy, "registers");
  // 49 KiB and the block's own kilobyte: 3 times in 164.
  found = gpuOccupancy(a100, 128, 64, 49 << 10);
  EXPECT_EQ(found.blocks, 3);
  EXPECT_EQ(found.limitedBy, "shared memory");
  EXPECT_EQ(gpuOccupancy(a100, 128, 256, 0).blocks, 0);
  EXPECT_EQ(gpuOccupancy(a100, 1024, 32, 0).blocks, 2);
  // A wave's 416 registers leave room for 1 in 512: 4 waves, one block of 256 threads.
  found = gpuOccupancy(*findGpuChip("gfx942"), 256, 416, 25600);
  EXPECT_EQ(found.blocks, 1);
  EXPECT_EQ(found.limitedBy, "registers");
  // 96 registers: 1,536 / 96 = 16 waves a SIMD, but one block's 40 KiB are more than half of the 64.
  found = gpuOccupancy(*findGpuChip("gfx1100"), 128, 90, 40 << 10);
  EXPECT_EQ(found.blocks, 1);
  EXPECT_EQ(found.limitedBy, "shared memory");
}

TEST(PredictionTest, TheBusiestUnitBounds) {
  const GpuChip &a100 = *findGpuChip("sm_80");
  KeyLoop loop;
  loop.threads = 128;
  InstructionMix &turn = loop.turn;
  turn.count(Kind::Matrix) = 64;
  turn.matrixFlops = 64 * 4096;
  turn.count(Kind::Special) = 34;
  turn.count(Kind::Fma) = 64;
  turn.count(Kind::Alu) = 128;
  turn.count(Kind::Convert) = 16;
  turn.sharedBytes = 32 * 512;
  LoopPrediction prediction = predictLoop(loop, true, false, a100, /*blocks=*/2, 0);
  auto clocksOf = [&](llvm::StringRef unit) {
    for (const UnitClocks &each : prediction.units)
      if (each.unit == unit)
        return each.clocks;
    return 0.0;
  };
  // Two blocks of four warps: 2 * 4 * 64 * 4,096 operations at 2,048 a clock; 256 threads at 16, 64 and 64 lanes;
  // 8 * 16,384 bytes at 128; 306 instructions of two warps on each scheduler.
  EXPECT_DOUBLE_EQ(clocksOf("matrix"), 1024);
  EXPECT_DOUBLE_EQ(clocksOf("special"), 544);
  EXPECT_DOUBLE_EQ(clocksOf("fma"), 256);
  EXPECT_DOUBLE_EQ(clocksOf("alu"), 576);
  EXPECT_DOUBLE_EQ(clocksOf("shared memory"), 1024);
  EXPECT_DOUBLE_EQ(clocksOf("issue"), 2 * (64 + 34 + 64 + 128 + 16));
  EXPECT_EQ(prediction.bound, "matrix");
  EXPECT_DOUBLE_EQ(prediction.share, 1);
  // One block: a warp has its scheduler for itself, and its products (512) do not overlap with the rest (306).
  prediction = predictLoop(loop, true, false, a100, /*blocks=*/1, 0);
  EXPECT_EQ(prediction.bound, "latency");
  EXPECT_DOUBLE_EQ(prediction.clocks, 512 + 306);
  EXPECT_DOUBLE_EQ(prediction.share, 512.0 / 818);
  // Products that run beside the rest hide it.
  turn.asyncFlops = turn.matrixFlops;
  prediction = predictLoop(loop, true, false, a100, /*blocks=*/1, 0);
  EXPECT_DOUBLE_EQ(prediction.clocks, 512);
}

TEST(DeviceResourcesTest, WhatPtxasSays) {
  const auto functions = parsePtxasLog(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function 'k_kernel1' for 'sm_80'\n"
      "ptxas info    : Function properties for k_kernel1\n"
      "    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads\n"
      "ptxas info    : Used 255 registers, used 1 barriers, 16 bytes cumulative stack size, 656 bytes cmem[0]\n"
      "ptxas info    : Compiling entry function 'k_kernel0' for 'sm_80'\n"
      "ptxas info    : Function properties for k_kernel0\n"
      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 95 registers, used 0 barriers, 576 bytes cmem[0]\n");
  ASSERT_EQ(functions.size(), 2u);
  EXPECT_EQ(functions[0].name, "k_kernel1");
  EXPECT_EQ(functions[0].registers, 255);
  EXPECT_EQ(functions[0].spilledBytes, 12);
  EXPECT_EQ(functions[0].localBytes, 16);
  EXPECT_EQ(functions[1].name, "k_kernel0");
  EXPECT_EQ(functions[1].registers, 95);
  EXPECT_EQ(functions[1].spilledBytes, 0);
  EXPECT_TRUE(parsePtxasLog("").empty());
}

TEST(DeviceResourcesTest, WhatAmdsMetadataSays) {
  const auto functions = parseAmdMetadata("v_nop\n\t.amdgpu_metadata\n---\namdhsa.kernels:\n"
                                          "  - .agpr_count:     155\n"
                                          "    .args:\n"
                                          "      - .name:           p\n"
                                          "        .size:           8\n"
                                          "    .name:           k_kernel0\n"
                                          "    .private_segment_fixed_size: 24\n"
                                          "    .sgpr_count:     100\n"
                                          "    .vgpr_count:     411\n"
                                          "    .vgpr_spill_count: 6\n"
                                          "  - .agpr_count:     0\n"
                                          "    .name:           k_kernel1\n"
                                          "    .vgpr_count:     94\n"
                                          "amdhsa.target:   amdgcn-amd-amdhsa--gfx942\n"
                                          "\t.end_amdgpu_metadata\n");
  ASSERT_EQ(functions.size(), 2u);
  EXPECT_EQ(functions[0].name, "k_kernel0");
  EXPECT_EQ(functions[0].registers, 411);
  EXPECT_EQ(functions[0].accumulators, 155);
  EXPECT_EQ(functions[0].scalarRegisters, 100);
  EXPECT_EQ(functions[0].spilledBytes, 24);
  EXPECT_EQ(functions[0].localBytes, 24);
  EXPECT_EQ(functions[1].name, "k_kernel1");
  EXPECT_EQ(functions[1].registers, 94);
  EXPECT_EQ(functions[1].accumulators, 0);
  EXPECT_TRUE(parseAmdMetadata("v_nop").empty());
}
} // namespace

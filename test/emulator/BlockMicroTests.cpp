// What threads of a block do together, and copies that they wait for: bar, cp.async. PTX ISA, "Parallel Synchronization
// and Communication Instructions" and "Data Movement and Conversion Instructions: Asynchronous copy".

#include "test/emulator/MicroTest.h"

#include <functional>

namespace flashc::test {
namespace {
constexpr unsigned threads = 64;

/// `body` computes %y from %x, the thread's word, and %t; %s is the thread's word of shared memory.
MicroTest blockTest(const std::string &name, const std::string &declarations, const std::string &body,
                    const std::function<uint32_t(unsigned)> &expected) {
  MicroTest test;
  test.name = name;
  test.chip = "sm_80";
  test.threads = threads;
  test.sharedBytes = 2048;
  test.ir = R"(target datalayout = "e-i64:64-i128:128-v16:16-v32:32-n16:32:64"
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier0()
declare void @llvm.nvvm.cp.async.commit.group()
declare void @llvm.nvvm.cp.async.wait.group(i32)
!nvvm.annotations = !{!0}
!0 = !{ptr @micro, !"kernel", i32 1}
@smem = external addrspace(3) global [0 x i8], align 16
)" + declarations +
            R"(define void @micro(ptr addrspace(1) %in, ptr addrspace(1) %out) {
entry:
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %p = getelementptr i32, ptr addrspace(1) %in, i32 %t
  %x = load i32, ptr addrspace(1) %p, align 4
  %s = getelementptr i32, ptr addrspace(3) @smem, i32 %t
)" + body + R"(
  %q = getelementptr i32, ptr addrspace(1) %out, i32 %t
  store i32 %y, ptr addrspace(1) %q, align 4
  ret void
}
)";
  for (unsigned t = 0; t != threads; ++t) {
    put(test.input, t * 4, t * 3);
    put(test.expected, t * 4, expected(t));
  }
  return test;
}

/// Each thread copies 16 bytes, the words 4 (t mod 16) and the next three, to bytes 16 t of shared memory.
const char *const copyAddresses = R"(
  %c = and i32 %t, 15
  %co = mul i32 %c, 16
  %from = getelementptr i8, ptr addrspace(1) %in, i32 %co
  %so = mul i32 %t, 16
  %to = getelementptr i8, ptr addrspace(3) @smem, i32 %so
)";
const char *const copyDeclarations =
    "declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))\n"
    "declare void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3), ptr addrspace(1), i32)\n"
    "declare void @llvm.nvvm.cp.async.ca.shared.global.4(ptr addrspace(3), ptr addrspace(1))\n";
} // namespace

std::vector<MicroTest> blockTests() {
  std::vector<MicroTest> tests;
  // barrier.red: the predicate is true in 22 of 64 threads (x = 3 t is a multiple of 9 where t is one of 3).
  const std::string predicate = "  %m = urem i32 %x, 9\n  %z = icmp eq i32 %m, 0\n  %b = zext i1 %z to i32\n";
  const auto reduction = [&](const std::string &name, uint32_t value) {
    tests.push_back(blockTest("barrier0_" + name, "declare i32 @llvm.nvvm.barrier0." + name + "(i32)\n",
                              predicate + "  %y = call i32 @llvm.nvvm.barrier0." + name + "(i32 %b)\n",
                              [value](unsigned) { return value; }));
  };
  reduction("popc", 22);
  reduction("or", 1);
  reduction("and", 0);
  // A producer that does not wait: "bar.arrive does not cause any waiting"; warp 1 reads what warp 0 wrote.
  tests.push_back(blockTest("bar_arrive", "", R"(
  %first = icmp ult i32 %t, 32
  br i1 %first, label %produce, label %consume
produce:
  store i32 %x, ptr addrspace(3) %s, align 4
  call void asm sideeffect "bar.arrive 1, 64;", ""()
  br label %join
consume:
  call void asm sideeffect "bar.sync 1, 64;", ""()
  %u = sub i32 %t, 32
  %r = getelementptr i32, ptr addrspace(3) @smem, i32 %u
  %v = load i32, ptr addrspace(3) %r, align 4
  br label %join
join:
  %y = phi i32 [ 7, %produce ], [ %v, %consume ]
)",
                            [](unsigned t) { return t < 32 ? 7 : (t - 32) * 3; }));
  // A barrier of one warp while the other does something else.
  tests.push_back(blockTest("bar_sync_one_warp", "", R"(
  store i32 %x, ptr addrspace(3) %s, align 4
  %first = icmp ult i32 %t, 32
  br i1 %first, label %meet, label %join
meet:
  call void asm sideeffect "barrier.sync 2, 32;", ""()
  %u = xor i32 %t, 1
  %r = getelementptr i32, ptr addrspace(3) @smem, i32 %u
  %v = load i32, ptr addrspace(3) %r, align 4
  br label %join
join:
  %y = phi i32 [ 1, %entry ], [ %v, %meet ]
)",
                            [](unsigned t) { return t < 32 ? (t ^ 1) * 3 : 1; }));
  // "wait_group N waits until at most N of the most recent groups are pending": the older of two is there.
  tests.push_back(blockTest("cp_async_wait_group", copyDeclarations, std::string(copyAddresses) + R"(
  call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %to, ptr addrspace(1) %from)
  call void @llvm.nvvm.cp.async.commit.group()
  %to2 = getelementptr i8, ptr addrspace(3) %to, i32 1024
  call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %to2, ptr addrspace(1) %from)
  call void @llvm.nvvm.cp.async.commit.group()
  call void @llvm.nvvm.cp.async.wait.group(i32 1)
  %last = getelementptr i8, ptr addrspace(3) %to, i32 12
  %y = load i32, ptr addrspace(3) %last, align 4
  call void @llvm.nvvm.cp.async.wait.group(i32 0)
)",
                            [](unsigned t) { return (t % 16 * 4 + 3) * 3; }));
  // "src-size: the remaining bytes in the destination are filled with zeros".
  tests.push_back(blockTest("cp_async_source_size", copyDeclarations, std::string(copyAddresses) + R"(
  %big = and i32 %t, 1
  %n8 = mul i32 %big, 8
  %n = add i32 %n8, 8
  call void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3) %to, ptr addrspace(1) %from, i32 %n)
  call void @llvm.nvvm.cp.async.commit.group()
  call void @llvm.nvvm.cp.async.wait.group(i32 0)
  %last = getelementptr i8, ptr addrspace(3) %to, i32 12
  %y = load i32, ptr addrspace(3) %last, align 4
)",
                            [](unsigned t) { return t & 1 ? (t % 16 * 4 + 3) * 3 : 0; }));
  // The newer group is not there.
  MicroTest early = blockTest("cp_async_too_early", copyDeclarations, std::string(copyAddresses) + R"(
  call void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3) %to, ptr addrspace(1) %from)
  call void @llvm.nvvm.cp.async.commit.group()
  call void @llvm.nvvm.cp.async.wait.group(i32 1)
  %y = load i32, ptr addrspace(3) %to, align 4
)",
                              [](unsigned) { return 0; });
  early.finding = "copy not waited for";
  tests.push_back(early);
  // .ca takes 4 and 8 bytes, too.
  tests.push_back(blockTest("cp_async_4_bytes", copyDeclarations, R"(
  call void @llvm.nvvm.cp.async.ca.shared.global.4(ptr addrspace(3) %s, ptr addrspace(1) %p)
  call void asm sideeffect "cp.async.wait_all;", ""()
  call void @llvm.nvvm.barrier0()
  %u = xor i32 %t, 63
  %r = getelementptr i32, ptr addrspace(3) @smem, i32 %u
  %y = load i32, ptr addrspace(3) %r, align 4
)",
                            [](unsigned t) { return (t ^ 63) * 3; }));
  // Special registers through inline assembly.
  tests.push_back(blockTest("special_registers", "", R"(
  %l = call i32 asm sideeffect "mov.u32 $0, %laneid;", "=r"()
  %w = call i32 asm sideeffect "mov.u32 $0, %tid.x;", "=r"()
  %n = call i32 asm sideeffect "mov.u32 $0, %ntid.x;", "=r"()
  %w2 = shl i32 %w, 8
  %n2 = shl i32 %n, 16
  %lw = or i32 %l, %w2
  %y = or i32 %lw, %n2
)",
                            [](unsigned t) { return t % 32 | t << 8 | 64u << 16; }));
  return tests;
}

} // namespace flashc::test

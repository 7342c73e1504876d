/// Pieces of NVPTX IR for micro-tests.
#ifndef FLASHC_TEST_EMULATOR_NVPTXTEXT_H
#define FLASHC_TEST_EMULATOR_NVPTXTEXT_H

#include <string>

namespace flashc::test {

/// Before the kernel: dynamic shared memory @shared, %tid in the kernel's first block `entry`.
inline std::string kernelBegin(bool withMap = false) {
  std::string map = withMap ? ", ptr byval([128 x i8]) align 64 %map" : "";
  // The map stays in the parameter space, where the copy engine may read it.
  std::string annotation =
      withMap ? "!nvvm.annotations = !{!0}\n!0 = !{ptr @micro, !\"grid_constant\", !1}\n!1 = !{i32 3}\n" : "";
  return "target triple = \"nvptx64-nvidia-cuda\"\n" + annotation +
         "@shared = external addrspace(3) global [0 x i8], align 1024\n"
         "declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
         "declare void @llvm.nvvm.barrier0()\n"
         "define ptx_kernel void @micro(ptr addrspace(1) %in, ptr addrspace(1) %out" +
         map +
         ") {\nentry:\n"
         "  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
         "  %first = icmp eq i32 %tid, 0\n"
         "  %base = ptrtoint ptr addrspace(3) @shared to i32\n";
}
inline std::string kernelEnd() { return "  ret void\n}\n"; }

inline std::string number(long value) { return std::to_string(value); }

/// All threads copy `bytes` of %in, from byte `from`, to shared memory; code goes on in block `name`.
inline std::string copyToShared(const std::string &name, const std::string &before, unsigned from, unsigned to,
                                unsigned bytes, unsigned threads) {
  std::string n = name;
  return "  br label %" + n + ".head\n" + n + ".head:\n  %" + n + ".i = phi i32 [ %tid, %" + before + " ], [ %" + n +
         ".next, %" + n + ".body ]\n  %" + n + ".more = icmp ult i32 %" + n + ".i, " + number(bytes / 4) +
         "\n  br i1 %" + n + ".more, label %" + n + ".body, label %" + n + "\n" + n + ".body:\n  %" + n +
         ".at = mul i32 %" + n + ".i, 4\n  %" + n + ".s = add i32 %" + n + ".at, " + number(from) + "\n  %" + n +
         ".d = add i32 %" + n + ".at, " + number(to) + "\n  %" + n +
         ".ps = getelementptr i8, ptr addrspace(1) %in, i32 %" + n + ".s\n  %" + n +
         ".pd = getelementptr i8, ptr addrspace(3) @shared, i32 %" + n + ".d\n  %" + n +
         ".v = load i32, ptr addrspace(1) %" + n + ".ps, align 4\n  store i32 %" + n + ".v, ptr addrspace(3) %" + n +
         ".pd, align 4\n  %" + n + ".next = add i32 %" + n + ".i, " + number(threads) + "\n  br label %" + n +
         ".head\n" + n + ":\n";
}
/// All threads copy `bytes` of shared memory to %out.
inline std::string copyFromShared(const std::string &name, const std::string &before, unsigned from, unsigned to,
                                  unsigned bytes, unsigned threads) {
  std::string text = copyToShared(name, before, from, to, bytes, threads), n = name;
  auto replace = [&](const std::string &what, const std::string &with) {
    text.replace(text.find(what), what.size(), with);
  };
  replace("ptr addrspace(1) %in", "ptr addrspace(3) @shared");
  replace(".pd = getelementptr i8, ptr addrspace(3) @shared", ".pd = getelementptr i8, ptr addrspace(1) %out");
  replace(".v = load i32, ptr addrspace(1)", ".v = load i32, ptr addrspace(3)");
  replace("store i32 %" + n + ".v, ptr addrspace(3)", "store i32 %" + n + ".v, ptr addrspace(1)");
  return text;
}

inline std::string barrier() { return "  call void @llvm.nvvm.barrier0()\n"; }
/// A statement without operands.
inline std::string statement(const std::string &text) {
  return "  call void asm sideeffect \"" + text + "\", \"\"()\n";
}
inline std::string fenceProxy() { return statement("fence.proxy.async.shared::cta;"); }

} // namespace flashc::test

#endif // FLASHC_TEST_EMULATOR_NVPTXTEXT_H

// AMD's cross-lane instructions, odd scalar ones, and buffer accesses. The formulas are those of the ISA documents of
// MI300
// ("Data Parallel Processing", "Data Share Instructions", "Buffer Addressing") and RDNA 3 (V_PERMLANE16_B32, DPP16).

#include "test/emulator/MicroTest.h"

#include <functional>

namespace flashc::test {

namespace {
constexpr uint32_t oldValue = 0x55550000;

uint32_t inputOf(unsigned lane) { return 0x01000193u * (lane + 17); }

std::string number(long value) { return std::to_string(value); }

/// Each lane reads a word %a, computes %r from it and stores that.
struct LaneTest {
  std::string name;
  std::vector<const char *> chips;
  std::string body, declarations;
  std::function<uint32_t(unsigned lane, unsigned lanes)> expected;
  std::string finding{};
};

MicroTest make(const LaneTest &lane, const char *chip) {
  MicroTest test;
  test.name = lane.name + "_" + chip;
  test.chip = chip;
  test.threads = std::string(chip) == "gfx1100" ? 32 : 64;
  test.finding = lane.finding;
  for (unsigned i = 0; i < test.threads; ++i) {
    put<uint32_t>(test.input, i * 4, inputOf(i));
    put<uint32_t>(test.expected, i * 4, lane.expected(i, test.threads));
  }
  test.ir = "target triple = \"amdgcn-amd-amdhsa\"\n"
            "define amdgpu_kernel void @micro(ptr addrspace(1) %in, ptr addrspace(1) %out) {\nentry:\n"
            "  %lane = call i32 @llvm.amdgcn.workitem.id.x()\n"
            "  %pa = getelementptr i32, ptr addrspace(1) %in, i32 %lane\n"
            "  %a = load i32, ptr addrspace(1) %pa, align 4\n" +
            lane.body +
            "  %pr = getelementptr i32, ptr addrspace(1) %out, i32 %lane\n"
            "  store i32 %r, ptr addrspace(1) %pr, align 4\n"
            "  ret void\n}\n"
            "declare i32 @llvm.amdgcn.workitem.id.x()\n" +
            lane.declarations;
  return test;
}

const std::vector<const char *> cdna = {"gfx90a", "gfx942"}, rdna = {"gfx1100"}, all = {"gfx90a", "gfx942", "gfx1100"};

/// `source`: the lane whose value arrives, or -1 where `old` stays (0 with bound control).
LaneTest dpp(const std::string &name, const std::vector<const char *> &chips, unsigned control,
             std::function<int(unsigned lane, unsigned lanes)> source, unsigned rowMask = 15, unsigned bankMask = 15,
             bool bound = false) {
  LaneTest test{"dpp_" + name,
                chips,
                "  %r = call i32 @llvm.amdgcn.update.dpp.i32(i32 " + number(oldValue) + ", i32 %a, i32 " +
                    number(control) + ", i32 " + number(rowMask) + ", i32 " + number(bankMask) + ", i1 " +
                    (bound ? "true" : "false") + ")\n",
                "declare i32 @llvm.amdgcn.update.dpp.i32(i32, i32, i32 immarg, i32 immarg, i32 immarg, i1 immarg)\n",
                {}};
  test.expected = [=](unsigned lane, unsigned lanes) {
    if (!(rowMask >> lane / 16 & 1) || !(bankMask >> lane / 4 % 4 & 1))
      return oldValue;
    int from = source(lane, lanes);
    return from < 0 ? (bound ? 0 : oldValue) : inputOf(unsigned(from));
  };
  return test;
}

std::vector<LaneTest> dppTests() {
  auto inRow = [](int n) { // a lane of the own row, or none
    return [n](unsigned lane, unsigned) {
      int at = int(lane % 16) + n;
      return at < 0 || at > 15 ? -1 : int(lane / 16 * 16) + at;
    };
  };
  std::vector<LaneTest> tests = {
      dpp("quad_perm_1032", all, 0xb1, [](unsigned lane, unsigned) { return int(lane ^ 1); }),
      dpp("quad_perm_0000", all, 0x00, [](unsigned lane, unsigned) { return int(lane & ~3u); }),
      dpp("row_shl_3", all, 0x103, inRow(3)),
      dpp("row_shr_1", all, 0x111, inRow(-1)),
      dpp("row_shr_8", all, 0x118, inRow(-8)),
      dpp("row_shr_4_bound", all, 0x114, inRow(-4), 15, 15, true),
      dpp("row_ror_4", all, 0x124, [](unsigned lane, unsigned) { return int(lane / 16 * 16 + (lane + 12) % 16); }),
      dpp("row_mirror", all, 0x140, [](unsigned lane, unsigned) { return int(lane / 16 * 16 + 15 - lane % 16); }),
      dpp("row_half_mirror", all, 0x141, [](unsigned lane, unsigned) { return int(lane / 8 * 8 + 7 - lane % 8); }),
      dpp("row_share_5", all, 0x155, [](unsigned lane, unsigned) { return int(lane / 16 * 16 + 5); }),
      dpp("row_xmask_8", rdna, 0x168, [](unsigned lane, unsigned) { return int(lane ^ 8); }),
      dpp("wave_shl", cdna, 0x130, [](unsigned lane, unsigned n) { return lane + 1 < n ? int(lane + 1) : -1; }),
      dpp("wave_shr", cdna, 0x138, [](unsigned lane, unsigned) { return int(lane) - 1; }),
      dpp("wave_rol", cdna, 0x134, [](unsigned lane, unsigned n) { return int((lane + 1) % n); }),
      dpp("wave_ror", cdna, 0x13c, [](unsigned lane, unsigned n) { return int((lane + n - 1) % n); }),
      dpp(
          "row_bcast15", cdna, 0x142, [](unsigned lane, unsigned) { return lane < 16 ? -1 : int(lane / 16 * 16) - 1; },
          0xa),
      dpp(
          "row_bcast31", cdna, 0x143, [](unsigned lane, unsigned) { return lane < 32 ? -1 : 31; }, 0xc),
      dpp(
          "masks", all, 0x140, [](unsigned lane, unsigned) { return int(lane / 16 * 16 + 15 - lane % 16); }, 0x5, 0x6),
  };
  LaneTest mov{"mov_dpp_row_ror_2", all,
               "  %r = call i32 @llvm.amdgcn.mov.dpp.i32(i32 %a, i32 290, i32 15, i32 15, i1 true)\n",
               "declare i32 @llvm.amdgcn.mov.dpp.i32(i32, i32 immarg, i32 immarg, i32 immarg, i1 immarg)\n",
               [](unsigned lane, unsigned) { return inputOf(lane / 16 * 16 + (lane + 14) % 16); }};
  tests.push_back(mov);
  LaneTest wrong = dpp("row_bcast15_on_rdna", rdna, 0x142, [](unsigned, unsigned) { return 0; });
  wrong.finding = "does not exist on RDNA 3";
  tests.push_back(wrong);
  return tests;
}

std::vector<LaneTest> permuteTests() {
  auto permlane = [](bool across, uint32_t low, uint32_t high) {
    std::string name = std::string("permlane") + (across ? "x" : "") + "16";
    return LaneTest{name, rdna,
                    "  %r = call i32 @llvm.amdgcn." + name + ".i32(i32 %a, i32 %a, i32 " + number(int32_t(low)) +
                        ", i32 " + number(int32_t(high)) + ", i1 false, i1 false)\n",
                    "declare i32 @llvm.amdgcn." + name + ".i32(i32, i32, i32, i32, i1 immarg, i1 immarg)\n",
                    [=](unsigned lane, unsigned) {
                      unsigned in = lane % 16, select = (in < 8 ? low >> (4 * in) : high >> (4 * (in - 8))) & 15;
                      return inputOf((lane / 16 ^ (across ? 1 : 0)) * 16 + select);
                    }};
  };
  return {
      permlane(false, 0x01234567, 0xfedcba98),
      permlane(true, 0x76543210, 0xfedcba98),
      {"ds_bpermute", all,
       "  %m = mul i32 %lane, 5\n  %p = add i32 %m, 3\n  %at = shl i32 %p, 2\n"
       "  %r = call i32 @llvm.amdgcn.ds.bpermute(i32 %at, i32 %a)\n",
       "declare i32 @llvm.amdgcn.ds.bpermute(i32, i32)\n",
       [](unsigned lane, unsigned lanes) { return inputOf((lane * 5 + 3) % lanes); }},
      // Lane i sends to i / 2: of 2j and 2j + 1 the higher wins, the upper half gets nothing.
      {"ds_permute", all,
       "  %p = lshr i32 %lane, 1\n  %at = shl i32 %p, 2\n  %r = call i32 @llvm.amdgcn.ds.permute(i32 %at, i32 %a)\n",
       "declare i32 @llvm.amdgcn.ds.permute(i32, i32)\n",
       [](unsigned lane, unsigned lanes) { return lane < lanes / 2 ? inputOf(2 * lane + 1) : 0; }},
      // and 0x1e, or 0x10, xor 0x05
      {"ds_swizzle_bits", all,
       "  %r = call i32 @llvm.amdgcn.ds.swizzle(i32 %a, i32 " + number(0x1e | 0x10 << 5 | 0x05 << 10) + ")\n",
       "declare i32 @llvm.amdgcn.ds.swizzle(i32, i32 immarg)\n",
       [](unsigned lane, unsigned) { return inputOf(lane / 32 * 32 + (((lane % 32 & 0x1e) | 0x10) ^ 0x05)); }},
      {"ds_swizzle_quad", all, "  %r = call i32 @llvm.amdgcn.ds.swizzle(i32 %a, i32 32795)\n",
       "declare i32 @llvm.amdgcn.ds.swizzle(i32, i32 immarg)\n",
       [](unsigned lane, unsigned) { return inputOf(lane / 4 * 4 + 3 - lane % 4); }},
      {"readfirstlane", all, "  %r = call i32 @llvm.amdgcn.readfirstlane.i32(i32 %a)\n",
       "declare i32 @llvm.amdgcn.readfirstlane.i32(i32)\n", [](unsigned, unsigned) { return inputOf(0); }},
      {"readlane", all, "  %r = call i32 @llvm.amdgcn.readlane.i32(i32 %a, i32 21)\n",
       "declare i32 @llvm.amdgcn.readlane.i32(i32, i32)\n", [](unsigned, unsigned) { return inputOf(21); }},
      {"ballot", all,
       "  %q = urem i32 %lane, 3\n  %c = icmp eq i32 %q, 1\n  %w = call i64 @llvm.amdgcn.ballot.i64(i1 %c)\n"
       "  %up = lshr i64 %w, 32\n  %x = xor i64 %up, %w\n  %r = trunc i64 %x to i32\n",
       "declare i64 @llvm.amdgcn.ballot.i64(i1)\n",
       [](unsigned, unsigned lanes) {
         uint64_t mask = 0;
         for (unsigned i = 1; i < lanes; i += 3)
           mask |= uint64_t(1) << i;
         return uint32_t(mask >> 32 ^ mask);
       }},
      {"mbcnt", all,
       "  %l = call i32 @llvm.amdgcn.mbcnt.lo(i32 -1, i32 100)\n  %r = call i32 @llvm.amdgcn.mbcnt.hi(i32 -1, i32 "
       "%l)\n",
       "declare i32 @llvm.amdgcn.mbcnt.lo(i32, i32)\ndeclare i32 @llvm.amdgcn.mbcnt.hi(i32, i32)\n",
       [](unsigned lane, unsigned) { return 100 + lane; }},
      {"mbcnt_masked", all, "  %r = call i32 @llvm.amdgcn.mbcnt.lo(i32 1431655765, i32 0)\n",
       "declare i32 @llvm.amdgcn.mbcnt.lo(i32, i32)\n",
       [](unsigned lane, unsigned) { return lane < 32 ? (lane + 1) / 2 : 16; }},
      {"readlane_differs", all, "  %r = call i32 @llvm.amdgcn.readlane.i32(i32 %a, i32 %lane)\n",
       "declare i32 @llvm.amdgcn.readlane.i32(i32, i32)\n", [](unsigned, unsigned) { return 0; },
       "the same lane number in all lanes"},
  };
}

std::vector<LaneTest> scalarTests() {
  return {
      // Bytes 7 to 4 are the first operand's, 3 to 0 the second's; 12 is zero, 13 and up are ones, 8 to 11 signs.
      {"perm", all, "  %n = xor i32 %a, -1\n  %r = call i32 @llvm.amdgcn.perm(i32 %a, i32 %n, i32 84148994)\n",
       "declare i32 @llvm.amdgcn.perm(i32, i32, i32)\n",
       [](unsigned lane, unsigned) {
         uint32_t high = inputOf(lane), low = ~high; // selector 0x05040302
         return (high >> 8 & 0xff) << 24 | (high & 0xff) << 16 | (low >> 24) << 8 | (low >> 16 & 0xff);
       }},
      {"perm_constants", all, "  %r = call i32 @llvm.amdgcn.perm(i32 %a, i32 %a, i32 " + number(0x0b080d0c) + ")\n",
       "declare i32 @llvm.amdgcn.perm(i32, i32, i32)\n",
       [](unsigned lane, unsigned) {
         uint32_t a = inputOf(lane);
         return (a >> 31 ? 0xffu : 0) << 24 | (a >> 15 & 1 ? 0xffu : 0) << 16 | 0xff00u;
       }},
      {"fmed3", all,
       "  %f = sitofp i32 %lane to float\n  %m = call float @llvm.amdgcn.fmed3.f32(float 2.000000e+00, float %f, float "
       "9.000000e+00)\n  %r = fptosi float %m to i32\n",
       "declare float @llvm.amdgcn.fmed3.f32(float, float, float)\n",
       [](unsigned lane, unsigned) { return lane < 2   ? 2
                                            : lane > 9 ? 9
                                                       : lane; }},
      // 1 + 2^-10 + 2^-11 + lane * 2^-20 lies between two f16: towards zero it is the lower, 0x3c01.
      {"cvt_pkrtz", all,
       "  %f = sitofp i32 %lane to float\n  %s = fmul float %f, 0x3EB0000000000000\n  %x = fadd float %s, "
       "0x3FF0060000000000\n  %y = fneg float %x\n  %h = call <2 x half> @llvm.amdgcn.cvt.pkrtz(float %x, float %y)\n"
       "  %r = bitcast <2 x half> %h to i32\n",
       "declare <2 x half> @llvm.amdgcn.cvt.pkrtz(float, float)\n", [](unsigned, unsigned) { return 0xbc013c01u; }},
  };
}

/// Words of global memory that begin at odd halves.
std::vector<LaneTest> unalignedTests() {
  return {{"global_load_unaligned", all,
           "  %q = urem i32 %lane, 24\n  %n = shl i32 %q, 1\n  %odd = add i32 %n, 1\n"
           "  %po = getelementptr i16, ptr addrspace(1) %in, i32 %odd\n"
           "  %r = load i32, ptr addrspace(1) %po, align 2\n",
           "", [](unsigned lane, unsigned) { return inputOf(lane % 24) >> 16 | inputOf(lane % 24 + 1) << 16; }}};
}

/// A buffer of 100 bytes: lane i reads a dword at 4 * i, beyond 96 there is zero. `flags` is the chip's fourth word.
std::vector<LaneTest> bufferTests() {
  std::vector<LaneTest> tests;
  for (bool rdnaChip : {false, true}) {
    std::string flags = number(rdnaChip ? 0x31004000 : 0x00027000);
    std::string make =
        "  %d = call ptr addrspace(8) @llvm.amdgcn.make.buffer.rsrc.p1(ptr addrspace(1) %in, i16 0, i32 100, "
        "i32 " +
        flags + ")\n  %at = shl i32 %lane, 2\n";
    std::string declarations =
        "declare ptr addrspace(8) @llvm.amdgcn.make.buffer.rsrc.p1(ptr addrspace(1), i16, i32, i32)\n";
    const std::vector<const char *> &chips = rdnaChip ? rdna : cdna;
    tests.push_back(
        {"buffer_load", chips,
         make + "  %r = call i32 @llvm.amdgcn.raw.ptr.buffer.load.i32(ptr addrspace(8) %d, i32 %at, i32 0, i32 0)\n",
         declarations + "declare i32 @llvm.amdgcn.raw.ptr.buffer.load.i32(ptr addrspace(8), i32, i32, i32 immarg)\n",
         [](unsigned lane, unsigned) { return lane < 25 ? inputOf(lane) : 0; }});
    // Each dword of four is checked for itself: the sum of the last ones counts only what lies inside.
    tests.push_back(
        {"buffer_load_x4", chips,
         make + "  %v = call <4 x i32> @llvm.amdgcn.raw.ptr.buffer.load.v4i32(ptr addrspace(8) %d, i32 %at, i32 "
                "16, i32 0)\n  %r = call i32 @llvm.vector.reduce.add.v4i32(<4 x i32> %v)\n",
         declarations + "declare <4 x i32> @llvm.amdgcn.raw.ptr.buffer.load.v4i32(ptr addrspace(8), i32, i32, i32 "
                        "immarg)\ndeclare i32 @llvm.vector.reduce.add.v4i32(<4 x i32>)\n",
         [](unsigned lane, unsigned) {
           uint32_t sum = 0;
           for (unsigned i = lane + 4; i < lane + 8; ++i)
             sum += i < 25 ? inputOf(i) : 0;
           return sum;
         }});
    // The drivers let words begin at any byte.
    tests.push_back(
        {"buffer_load_unaligned", chips,
         make + "  %q = urem i32 %at, 96\n  %odd = add i32 %q, 2\n  %r = call i32 "
                "@llvm.amdgcn.raw.ptr.buffer.load.i32(ptr addrspace(8) %d, i32 %odd, i32 0, i32 0)\n",
         declarations + "declare i32 @llvm.amdgcn.raw.ptr.buffer.load.i32(ptr addrspace(8), i32, i32, i32 immarg)\n",
         [](unsigned lane, unsigned) { return inputOf(lane % 24) >> 16 | inputOf(lane % 24 + 1) << 16; }});
    // Negative offsets are large ones.
    tests.push_back(
        {"buffer_load_before", chips,
         make + "  %before = sub i32 %at, 40\n  %r = call i32 @llvm.amdgcn.raw.ptr.buffer.load.i32(ptr "
                "addrspace(8) %d, i32 %before, i32 0, i32 0)\n",
         declarations + "declare i32 @llvm.amdgcn.raw.ptr.buffer.load.i32(ptr addrspace(8), i32, i32, i32 immarg)\n",
         [](unsigned lane, unsigned) { return lane >= 10 && lane < 35 ? inputOf(lane - 10) : 0; }});
  }
  return tests;
}
} // namespace

std::vector<MicroTest> amdLaneTests() {
  std::vector<MicroTest> tests;
  for (auto &group : {dppTests(), permuteTests(), scalarTests(), unalignedTests(), bufferTests()})
    for (const LaneTest &test : group)
      for (const char *chip : test.chips)
        tests.push_back(make(test, chip));
  return tests;
}

} // namespace flashc::test

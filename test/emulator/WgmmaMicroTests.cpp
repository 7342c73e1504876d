// wgmma.mma_async. The tables are those of the PTX ISA 9.0, 9.7.15.5.1: register fragments of m64nNk16 (figures 148,
// 149) and canonical layouts of matrices in shared memory, which the manual writes as CuTe layouts.

#include "runtime/LowPrecision.h"
#include "test/emulator/MicroTest.h"
#include "test/emulator/WgmmaText.h"

#include <algorithm>
#include <random>

namespace flashc::test {

namespace {
constexpr unsigned threads = 128, rows = 64, depth = 16, elementBytes = 2;
constexpr unsigned T = 16 / elementBytes;

struct Place {
  unsigned row, column;
};
/// Figures 148 and 149: thread % 32 = 4 * group + member; both fragments are blocks of 8 rows x 8 columns, two columns
/// a member, the rows of a warp's upper and lower half first.
Place fragment(unsigned thread, unsigned element) {
  unsigned warp = thread / 32, group = thread % 32 / 4, member = thread % 4;
  unsigned half = element / 2 % 2, block = element / 4;
  return {16 * warp + 8 * half + group, 8 * block + 2 * member + element % 2};
}

/// A CuTe layout of two modes: shapes and strides in elements, innermost first.
struct Mode {
  std::vector<std::pair<unsigned, unsigned>> parts; ///< shape, stride; the last shape is unbounded
  unsigned operator()(unsigned index) const {
    unsigned offset = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      bool last = i + 1 == parts.size();
      offset += (last ? index : index % parts[i].first) * parts[i].second;
      index /= last ? 1 : parts[i].first;
    }
    return offset;
  }
};
struct Canonical {
  Mode outer, depth;
  unsigned swizzleBits;     ///< Swizzle<bits, 4, 3>
  unsigned leading, stride; ///< LBO and SBO in bytes

  /// The byte of an element, from the begin of the matrix, which is aligned to the pattern.
  unsigned byteOf(unsigned o, unsigned k) const {
    unsigned address = (outer(o) + depth(k)) * elementBytes;
    unsigned mask = (1u << swizzleBits) - 1;
    return address ^ ((address >> 7 & mask) << 4);
  }
};

/// Table "canonical layouts", with offsets that leave no holes for `outer` rows or columns and 16 of depth.
Canonical canonical(unsigned swizzle, bool depthMajor, unsigned outer) {
  unsigned units = swizzle / 16, bits = swizzle == 128 ? 3 : swizzle == 64 ? 2 : swizzle == 32 ? 1 : 0;
  if (depthMajor && !swizzle) { // ((8,m),(T,2k)) : ((1T,SBO),(1,LBO))
    unsigned lbo = 8 * T, sbo = 2 * lbo;
    return {{{{8, T}, {0, sbo}}}, {{{T, 1}, {0, lbo}}}, 0, lbo * elementBytes, sbo * elementBytes};
  }
  if (depthMajor) { // ((8,m),(T,2k)) : ((uT,SBO),(1,T))
    unsigned sbo = 8 * units * T;
    return {{{{8, units * T}, {0, sbo}}}, {{{T, 1}, {0, T}}}, bits, 16, sbo * elementBytes};
  }
  if (!swizzle) { // ((T,1,m),(8,k)) : ((1,T,SBO),(1T,LBO))
    unsigned sbo = 8 * T, lbo = outer / T * sbo;
    return {{{{T, 1}, {0, sbo}}}, {{{8, T}, {0, lbo}}}, 0, lbo * elementBytes, sbo * elementBytes};
  }
  // ((T,u,m),(8,k)) : ((1,T,LBO),(uT,SBO))
  unsigned row = units * T, sbo = 8 * row, lbo = 2 * sbo;
  return {{{{T, 1}, {units, T}, {0, lbo}}}, {{{8, row}, {0, sbo}}}, bits, lbo * elementBytes, sbo * elementBytes};
}

/// What else has to do with the registers of A, in a loop of two turns with a product each.
enum class Touch {
  None,         ///< there is no loop
  AfterWait,    ///< the next turn's elements are loaded when this turn's product is complete
  WrittenEarly, ///< they are loaded before its wait
  ReadEarly,    ///< this turn's are stored before its wait
};

struct Case {
  std::string name;
  unsigned columns;
  int32_t dtype = FLASHC_BF16;
  unsigned swizzleA = 128, swizzleB = 128;
  bool depthMajorA = true, depthMajorB = true;
  bool registersA = false;
  int scaleA = 1, scaleB = 1;
  bool accumulate = true;
  unsigned products = 1;  ///< how many times the same product is added
  unsigned stepBytes = 0; ///< where in the swizzled rows the depth begins: the second, third ... step of 16
  bool tied = false;      ///< the accumulators pass through the wait and through an empty statement
  Touch touch = Touch::None;
  // What is left out, and the finding that follows.
  bool allWarps = true;
  bool fence = true, proxyFence = true, barrier = true, wait = true;
  std::string finding{};
};

/// A statement that every register of an accumulator passes through.
std::string tiedStatement(const std::string &text, const std::string &out, const std::string &in, unsigned count) {
  std::string type = "{ " + alike(count, ", ", "float") + " }";
  std::string ir = "  %" + out + " = call " + type + " asm sideeffect \"" + text + "\", \"" + alike(count, ",", "=f") +
                   "," + repeated(count, ",", "") + "\"(" + repeated(count, ", ", "float %" + in) + ")\n";
  for (unsigned i = 0; i < count; ++i)
    ir += "  %" + out + "." + number(i) + " = extractvalue " + type + " %" + out + ", " + number(i) + "\n";
  return ir;
}

/// Two turns with a product each: the elements of A are %a0 to %a3 and, in the second turn, loaded again. Code goes on
/// in block `after`; the results are those of `p0`.
std::string turns(const Case &c, unsigned registers, const WgmmaForm &form) {
  std::string ir = "  br label %turn\nturn:\n  %t = phi i32 [ 0, %filled ], [ 1, %turn ]\n", loads;
  for (unsigned i = 0; i < 4; ++i) {
    ir += "  %r" + number(i) + " = phi i32 [ %a" + number(i) + ", %filled ], [ %s" + number(i) + ", %turn ]\n";
    loads += "  %s" + number(i) + " = load i32, ptr addrspace(1) %pa" + number(i) + ", align 4\n";
  }
  for (unsigned i = 0; i < registers; ++i)
    ir += "  %q" + number(i) + " = phi float [ %c" + number(i) + ", %filled ], [ %p0." + number(i) + ", %turn ]\n";
  ir += statement("wgmma.fence.sync.aligned;") + wgmmaStatement(form, "p0", "q", "r", "db") +
        statement("wgmma.commit_group.sync.aligned;");
  if (c.touch == Touch::ReadEarly)
    ir += "  store i32 %r0, ptr addrspace(1) %pd, align 4\n";
  const std::string wait = statement("wgmma.wait_group.sync.aligned 0;");
  ir += c.touch == Touch::WrittenEarly ? loads + wait : wait + loads;
  return ir + "  %again = icmp eq i32 %t, 0\n  br i1 %again, label %turn, label %after\nafter:\n";
}

MicroTest make(const Case &c, unsigned seed) {
  unsigned n = c.columns / 2;
  Canonical layoutA = canonical(c.swizzleA, c.depthMajorA, rows),
            layoutB = canonical(c.swizzleB, c.depthMajorB, c.columns);
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> draw(-32, 32);
  std::vector<double> a(rows * depth), b(c.columns * depth), d(rows * c.columns);
  for (std::vector<double> *matrix : {&a, &b, &d})
    for (double &value : *matrix)
      value = draw(random) / 16.0;

  MicroTest test;
  test.name = c.name;
  test.chip = "sm_90a";
  test.threads = threads;
  test.compare = MicroTest::Compare::F32;
  test.finding = c.finding;

  // The input: an image of shared memory (A, then B), the accumulators, A's registers.
  auto sizeOf = [&](const Canonical &layout, unsigned outer) {
    unsigned bytes = 0;
    for (unsigned o = 0; o < outer; ++o)
      for (unsigned k = 0; k < depth; ++k)
        bytes = std::max(bytes, layout.byteOf(o, k + c.stepBytes / elementBytes) + elementBytes);
    return (bytes + 1023) / 1024 * 1024;
  };
  unsigned beginB = sizeOf(layoutA, rows), shared = beginB + sizeOf(layoutB, c.columns);
  unsigned beginC = shared, beginA = beginC + threads * n * 4;
  test.sharedBytes = shared;
  test.input.resize(beginA + threads * 16);
  unsigned step = c.stepBytes / elementBytes;
  for (unsigned k = 0; k < depth; ++k) {
    for (unsigned row = 0; row < rows; ++row)
      writeElement(&test.input[layoutA.byteOf(row, k + step)], c.dtype, a[row * depth + k]);
    for (unsigned column = 0; column < c.columns; ++column)
      writeElement(&test.input[beginB + layoutB.byteOf(column, k + step)], c.dtype, b[column * depth + k]);
  }
  test.expected.resize(threads * n * 4);
  for (unsigned thread = 0; thread < threads; ++thread) {
    for (unsigned i = 0; i < n; ++i) {
      Place at = fragment(thread, i);
      double sum = 0, before = d[at.row * c.columns + at.column];
      for (unsigned k = 0; k < depth; ++k)
        sum += a[at.row * depth + k] * b[at.column * depth + k];
      sum *= c.scaleA * c.scaleB;
      put<float>(test.input, beginC + (thread * n + i) * 4, float(before));
      put<float>(test.expected, (thread * n + i) * 4, float(c.accumulate ? before + c.products * sum : sum));
    }
    for (unsigned i = 0; i < 8; ++i) {
      Place at = fragment(thread, i);
      writeElement(&test.input[beginA + thread * 16 + i * elementBytes], c.dtype, a[at.row * depth + at.column]);
    }
  }

  std::string ir = kernelBegin() + copyToShared("filled", "entry", 0, 0, shared, threads);
  ir += "  %atc = mul i32 %tid, " + number(n * 4) + "\n  %atc2 = add i32 %atc, " + number(beginC) +
        "\n  %pc = getelementptr i8, ptr addrspace(1) %in, i32 %atc2\n";
  for (unsigned i = 0; i < n; ++i)
    ir += "  %pc" + number(i) + " = getelementptr float, ptr addrspace(1) %pc, i32 " + number(i) + "\n  %c" +
          number(i) + " = load float, ptr addrspace(1) %pc" + number(i) + ", align 4\n";
  ir += "  %ata = mul i32 %tid, 16\n  %ata2 = add i32 %ata, " + number(beginA) +
        "\n  %pa = getelementptr i8, ptr addrspace(1) %in, i32 %ata2\n";
  for (unsigned i = 0; i < 4; ++i)
    ir += "  %pa" + number(i) + " = getelementptr i32, ptr addrspace(1) %pa, i32 " + number(i) + "\n  %a" + number(i) +
          " = load i32, ptr addrspace(1) %pa" + number(i) + ", align 4\n";
  ir += "  %ba = add i32 %base, " + number(c.depthMajorA ? c.stepBytes : 0) + "\n  %bb = add i32 %base, " +
        number(beginB + (c.depthMajorB ? c.stepBytes : 0)) + "\n" +
        wgmmaDescriptor("da", "%ba", layoutA.leading, layoutA.stride, c.swizzleA) +
        wgmmaDescriptor("db", "%bb", layoutB.leading, layoutB.stride, c.swizzleB);
  if (c.proxyFence)
    ir += fenceProxy();
  if (c.barrier)
    ir += barrier();
  if (!c.allWarps)
    ir += "  %early = icmp ult i32 %tid, 96\n  br i1 %early, label %multiply, label %leave\nleave:\n  ret "
          "void\nmultiply:\n";
  const WgmmaForm form{c.columns, c.dtype == FLASHC_F16, c.registersA,  c.accumulate, c.scaleA,
                       c.scaleB,  !c.depthMajorA,        !c.depthMajorB};
  ir += "  %pd = getelementptr i8, ptr addrspace(1) %out, i32 %atc\n";
  const bool once = c.touch == Touch::None;
  if (once && c.fence)
    ir += statement("wgmma.fence.sync.aligned;");
  for (unsigned i = 0; once && i < c.products; ++i)
    ir += wgmmaStatement(form, "p" + number(i), i ? "p" + number(i - 1) + "." : "c", c.registersA ? "a" : "da", "db");
  std::string result = "p" + number(once ? c.products - 1 : 0) + ".";
  if (once)
    ir += statement("wgmma.commit_group.sync.aligned;");
  if (!once) {
    ir += turns(c, n, form);
  } else if (c.tied) {
    ir += tiedStatement("wgmma.wait_group.sync.aligned 0;", "w", result, n) + tiedStatement("", "e", "w.", n);
    result = "e.";
  } else {
    ir += statement("wgmma.wait_group.sync.aligned " + number(c.wait ? 0 : 1) + ";");
  }
  for (unsigned i = 0; i < n; ++i)
    ir += "  %pd" + number(i) + " = getelementptr float, ptr addrspace(1) %pd, i32 " + number(i) + "\n  store float %" +
          result + number(i) + ", ptr addrspace(1) %pd" + number(i) + ", align 4\n";
  test.ir = ir + kernelEnd();
  return test;
}
} // namespace

std::vector<MicroTest> wgmmaTests() {
  std::vector<Case> cases;
  for (unsigned swizzle : {0u, 32u, 64u, 128u})
    for (bool depthMajorA : {true, false})
      for (bool depthMajorB : {true, false}) {
        Case c{"wgmma_swizzle" + number(swizzle) + (depthMajorA ? "_k" : "_m") + (depthMajorB ? "_k" : "_n"), 64};
        c.swizzleA = c.swizzleB = swizzle;
        c.depthMajorA = depthMajorA;
        c.depthMajorB = depthMajorB;
        cases.push_back(c);
      }
  for (unsigned columns : {8u, 24u, 128u, 176u, 256u})
    cases.push_back({"wgmma_n" + number(columns), columns});
  auto add = [&](const std::string &name, auto change) {
    Case c{"wgmma_" + name, 64};
    change(c);
    cases.push_back(c);
  };
  for (unsigned step : {32u, 64u, 96u})
    add("step" + number(step), [&](Case &c) { c.stepBytes = step; });
  add("f16", [](Case &c) { c.dtype = FLASHC_F16; });
  add("registers", [](Case &c) { c.registersA = true; });
  add("registers_f16_n", [](Case &c) { c.registersA = true, c.dtype = FLASHC_F16, c.depthMajorB = false; });
  add("negated", [](Case &c) { c.scaleA = -1; });
  add("negated_twice", [](Case &c) { c.scaleA = c.scaleB = -1; });
  add("no_accumulator", [](Case &c) { c.accumulate = false; });
  add("chain", [](Case &c) { c.products = 3; });
  add("chain_registers", [](Case &c) { c.products = 2, c.registersA = true; });
  add("tied_wait", [](Case &c) { c.tied = true; });
  add("without_a_warp", [](Case &c) { c.allWarps = false, c.finding = "wgmma"; });
  add("without_fence", [](Case &c) { c.fence = false, c.finding = "wgmma.fence has to stand"; });
  add("without_proxy_fence", [](Case &c) { c.proxyFence = false, c.finding = "fence"; });
  add("without_barrier", [](Case &c) { c.barrier = false, c.finding = "race"; });
  const auto touched = [&](const std::string &name, Touch touch, const std::string &finding) {
    add(name, [&](Case &c) { c.registersA = true, c.products = 2, c.touch = touch, c.finding = finding; });
  };
  touched("registers_written_after_the_wait", Touch::AfterWait, "");
  touched("registers_written_early", Touch::WrittenEarly, "a register of A is read or written before");
  touched("registers_read_early", Touch::ReadEarly, "a register of A is read or written before");
  add("without_wait", [](Case &c) { c.wait = false, c.finding = "is read before a wgmma.wait_group"; });
  std::vector<MicroTest> tests;
  for (const Case &c : cases)
    tests.push_back(make(c, unsigned(tests.size()) + 1));
  return tests;
}

} // namespace flashc::test

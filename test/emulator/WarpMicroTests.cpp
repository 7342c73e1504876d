// The instructions of an NVIDIA warp. Layouts are those of the PTX ISA manual, sections "Matrix Fragments for mma.*"
// and "ldmatrix", written down as the manual's formulas and figures state them: one entry for each register of a lane.

#include "test/emulator/MicroTest.h"

#include <array>
#include <cmath>
#include <functional>
#include <random>

namespace flashc::test {
namespace {
const char *const prologue = R"(target datalayout = "e-i64:64-i128:128-v16:16-v32:32-n16:32:64"
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
!nvvm.annotations = !{!0}
!0 = !{ptr @micro, !"kernel", i32 1}
@smem = external addrspace(3) global [0 x i8], align 16
)";

uint16_t bf16Of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>(bits >> 16);
}

//===----------------------------------------------------------------------===//
// mma.sync
//===----------------------------------------------------------------------===//

struct Place {
  unsigned row, column;
};

/// Where element `i` of a lane's fragment lies in its matrix.
using Fragment = std::function<Place(unsigned lane, unsigned i)>;

struct Product {
  const char *name;
  unsigned rows, columns, depth;
  unsigned inputBits;              ///< of an element of A and B
  unsigned aCount, bCount, cCount; ///< elements a lane
  Fragment a, b, c;
  const char *aType, *bType, *cType; ///< of a register
  const char *call;                  ///< the intrinsic, or "" for the statement
  const char *statement;
};

// "groupID = %laneid >> 2; threadID_in_group = %laneid % 4", as all figures start.
unsigned groupOf(unsigned lane) { return lane >> 2; }
unsigned inGroup(unsigned lane) { return lane % 4; }

std::vector<Product> products() {
  // m16n8k16, .f16 and .bf16: "row = groupID for ai where 0 <= i < 2 || 4 <= i < 6, groupID + 8 otherwise;
  // col = (threadID_in_group * 2) + (i & 0x1) for ai where i < 4, ... + 8 for ai where i >= 4".
  const Fragment a16 = [](unsigned lane, unsigned i) {
    const bool upper = i < 2 || (i >= 4 && i < 6);
    return Place{upper ? groupOf(lane) : groupOf(lane) + 8, inGroup(lane) * 2 + (i & 1) + (i < 4 ? 0 : 8)};
  };
  // "row = (threadID_in_group * 2) + (i & 0x1) for bi where i < 2, ... + 8 for i >= 2; col = groupID".
  const Fragment b16 = [](unsigned lane, unsigned i) {
    return Place{inGroup(lane) * 2 + (i & 1) + (i < 2 ? 0 : 8), groupOf(lane)};
  };
  // "row = groupID for ci where i < 2, groupID + 8 for i >= 2; col = (threadID_in_group * 2) + (i & 0x1)".
  const Fragment c16 = [](unsigned lane, unsigned i) {
    return Place{i < 2 ? groupOf(lane) : groupOf(lane) + 8, inGroup(lane) * 2 + (i & 1)};
  };
  // m16n8k8, .bf16: "row = groupID for i < 2, groupID + 8 otherwise; col = threadID_in_group * 2 + (i & 0x1)".
  const Fragment a8 = [](unsigned lane, unsigned i) {
    return Place{i < 2 ? groupOf(lane) : groupOf(lane) + 8, inGroup(lane) * 2 + (i & 1)};
  };
  const Fragment b8 = [](unsigned lane, unsigned i) { return Place{inGroup(lane) * 2 + i, groupOf(lane)}; };
  // m16n8k8, .tf32: "row = groupID for a0 and a2, groupID + 8 for a1 and a3; col = threadID_in_group for a0 and a1,
  // threadID_in_group + 4 for a2 and a3"; "row = threadID_in_group for b0, + 4 for b1; col = groupID".
  const Fragment aTf32 = [](unsigned lane, unsigned i) {
    return Place{i == 0 || i == 2 ? groupOf(lane) : groupOf(lane) + 8, i < 2 ? inGroup(lane) : inGroup(lane) + 4};
  };
  const Fragment bTf32 = [](unsigned lane, unsigned i) {
    return Place{i == 0 ? inGroup(lane) : inGroup(lane) + 4, groupOf(lane)};
  };
  // m8n8k4, .f64: "row = %laneid >> 2; col = %laneid % 4"; "row = %laneid % 4; col = %laneid >> 2"; "row = %laneid >>
  // 2; col = (%laneid % 4) * 2 + (i & 0x1)".
  const Fragment a64 = [](unsigned lane, unsigned) { return Place{lane >> 2, lane % 4}; };
  const Fragment b64 = [](unsigned lane, unsigned) { return Place{lane % 4, lane >> 2}; };
  const Fragment c64 = [](unsigned lane, unsigned i) { return Place{lane >> 2, lane % 4 * 2 + (i & 1)}; };
  return {
      {"mma_m16n8k16_bf16", 16, 8, 16, 16, 8, 4, 4, a16, b16, c16, "i32", "i32", "float",
       "llvm.nvvm.mma.m16n8k16.row.col.bf16", "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"},
      {"mma_m16n8k16_f16", 16, 8, 16, 17, 8, 4, 4, a16, b16, c16, "<2 x half>", "<2 x half>", "float",
       "llvm.nvvm.mma.m16n8k16.row.col.f32.f32", "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"},
      {"mma_m16n8k8_bf16", 16, 8, 8, 16, 4, 2, 4, a8, b8, c16, "i32", "i32", "float",
       "llvm.nvvm.mma.m16n8k8.row.col.bf16", "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32"},
      {"mma_m16n8k8_tf32", 16, 8, 8, 32, 4, 2, 4, aTf32, bTf32, c16, "i32", "i32", "float",
       "llvm.nvvm.mma.m16n8k8.row.col.tf32", "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"},
      {"mma_m8n8k4_f64", 8, 8, 4, 64, 1, 1, 2, a64, b64, c64, "double", "double", "double",
       "llvm.nvvm.mma.m8n8k4.row.col.f64", "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64"},
  };
}

unsigned bytesOf(const std::string &type) { return type == "double" ? 8 : 4; }

std::string joined(unsigned count, const std::function<std::string(unsigned)> &text, const char *between = ", ") {
  std::string out;
  for (unsigned i = 0; i != count; ++i)
    out += (i ? between : "") + text(i);
  return out;
}

/// Small integers are exact in every type. 17 bits stand for f16, whose 3 bits of fraction are enough for them.
void putElement(std::vector<uint8_t> &bytes, size_t offset, unsigned bits, int value) {
  if (bits == 64)
    return put(bytes, offset, static_cast<double>(value));
  if (bits == 32)
    return put(bytes, offset, static_cast<float>(value));
  if (bits == 16)
    return put(bytes, offset, bf16Of(static_cast<float>(value)));
  // f16: sign, exponent + 15, fraction.
  uint16_t half = 0;
  if (value) {
    int exponent = 0;
    const double fraction = std::frexp(std::abs(value), &exponent);
    half =
        static_cast<uint16_t>((value < 0) << 15 | (exponent + 14) << 10 | static_cast<int>((fraction * 2 - 1) * 1024));
  }
  put(bytes, offset, half);
}

MicroTest productTest(const Product &p, bool statement) {
  MicroTest test;
  test.name = std::string(p.name) + (statement ? "_statement" : "");
  test.chip = "sm_80";
  test.threads = 32;
  const unsigned inputBytes = p.inputBits == 64 ? 8 : p.inputBits == 32 ? 4 : 2;
  const unsigned aRegisters = p.aCount * inputBytes / bytesOf(p.aType),
                 bRegisters = p.bCount * inputBytes / bytesOf(p.bType);
  const unsigned cBytes = bytesOf(p.cType);
  // One lane's part of the input: A, B, C.
  const unsigned laneBytes = (p.aCount + p.bCount) * inputBytes + p.cCount * cBytes;
  std::string ir = prologue;
  const std::string result = "{ " + joined(p.cCount, [&](unsigned) { return std::string(p.cType); }) + " }";
  const std::string types = joined(aRegisters, [&](unsigned) { return std::string(p.aType); }) + ", " +
                            joined(bRegisters, [&](unsigned) { return std::string(p.bType); }) + ", " +
                            joined(p.cCount, [&](unsigned) { return std::string(p.cType); });
  if (!statement)
    ir += "declare " + result + " @" + p.call + "(" + types + ")\n";
  ir += "define void @micro(ptr addrspace(1) %in, ptr addrspace(1) %out) {\n"
        "  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
        "  %o = mul i32 %t, " +
        std::to_string(laneBytes) +
        "\n  %p = getelementptr i8, ptr addrspace(1) %in, i32 %o\n"
        "  %q = mul i32 %t, " +
        std::to_string(p.cCount * cBytes) + "\n  %r = getelementptr i8, ptr addrspace(1) %out, i32 %q\n";
  std::vector<std::string> arguments;
  unsigned offset = 0;
  const auto load = [&](unsigned count, const std::string &type) {
    for (unsigned i = 0; i != count; ++i) {
      const std::string n = std::to_string(arguments.size());
      ir += "  %p" + n + " = getelementptr i8, ptr addrspace(1) %p, i32 " + std::to_string(offset) + "\n  %x" + n +
            " = load " + type + ", ptr addrspace(1) %p" + n + ", align 4\n";
      arguments.push_back(type + " %x" + n);
      offset += bytesOf(type);
    }
  };
  load(aRegisters, p.aType);
  load(bRegisters, p.bType);
  load(p.cCount, p.cType);
  const std::string all = joined(static_cast<unsigned>(arguments.size()), [&](unsigned i) { return arguments[i]; });
  if (statement) {
    unsigned n = 0;
    const auto list = [&](unsigned count) {
      const std::string text = "{" + joined(count, [&](unsigned) { return "$" + std::to_string(n++); }) + "}";
      return text;
    };
    const std::string d = list(p.cCount), a = list(aRegisters), b = list(bRegisters), c = list(p.cCount);
    const char *letter = p.inputBits == 64 ? "d" : "r";
    const auto letters = [&](unsigned count, const std::string &text) {
      return joined(count, [&](unsigned) { return text; }, ",");
    };
    const std::string wide = cBytes == 8 ? "d" : "f";
    const std::string outputs = letters(p.cCount, "=" + wide);
    const std::string inputs = letters(aRegisters + bRegisters, letter) + "," + letters(p.cCount, wide);
    ir += "  %d = call " + result + " asm sideeffect \"" + p.statement + " " + d + ", " + a + ", " + b + ", " + c +
          ";\", \"" + outputs + "," + inputs + "\"(" + all + ")\n";
  } else {
    ir += "  %d = call " + result + " @" + p.call + "(" + all + ")\n";
  }
  for (unsigned i = 0; i != p.cCount; ++i) {
    const std::string n = std::to_string(i);
    ir += "  %d" + n + " = extractvalue " + result + " %d, " + n + "\n  %r" + n +
          " = getelementptr i8, ptr addrspace(1) %r, i32 " + std::to_string(i * cBytes) + "\n  store " + p.cType +
          " %d" + n + ", ptr addrspace(1) %r" + n + ", align 4\n";
  }
  test.ir = ir + "  ret void\n}\n";

  std::minstd_rand random(p.rows * p.depth + p.inputBits);
  const auto value = [&] { return static_cast<int>(random() % 17) - 8; };
  std::vector<int> a(p.rows * p.depth), b(p.depth * p.columns), c(p.rows * p.columns);
  for (auto *matrix : {&a, &b, &c})
    for (int &element : *matrix)
      element = value();
  for (unsigned lane = 0; lane != 32; ++lane) {
    size_t at = lane * laneBytes;
    for (unsigned i = 0; i != p.aCount; ++i, at += inputBytes) {
      const Place place = p.a(lane, i);
      putElement(test.input, at, p.inputBits, a[place.row * p.depth + place.column]);
    }
    for (unsigned i = 0; i != p.bCount; ++i, at += inputBytes) {
      const Place place = p.b(lane, i);
      putElement(test.input, at, p.inputBits, b[place.row * p.columns + place.column]);
    }
    for (unsigned i = 0; i != p.cCount; ++i, at += cBytes) {
      const Place place = p.c(lane, i);
      putElement(test.input, at, cBytes == 8 ? 64 : 32, c[place.row * p.columns + place.column]);
      int sum = c[place.row * p.columns + place.column];
      for (unsigned k = 0; k != p.depth; ++k)
        sum += a[place.row * p.depth + k] * b[k * p.columns + place.column];
      putElement(test.expected, (lane * p.cCount + i) * cBytes, cBytes == 8 ? 64 : 32, sum);
    }
  }
  return test;
}

//===----------------------------------------------------------------------===//
// ldmatrix and stmatrix
//===----------------------------------------------------------------------===//

/// "Each row is held in 8 bytes x 2; thread addresses 0-7, 8-15, 16-23, 24-31 are the rows of the four matrices"; "a
/// fragment r of thread t holds row t / 4, elements (t % 4) * 2 and the next"; .trans: "loaded in column-major format".
MicroTest matrixTest(unsigned count, bool transposed, bool stores) {
  MicroTest test;
  test.name =
      std::string(stores ? "stmatrix" : "ldmatrix") + "_x" + std::to_string(count) + (transposed ? "_trans" : "");
  test.chip = stores ? "sm_90a" : "sm_80";
  test.threads = 32;
  test.sharedBytes = count * 128 + 512;
  // Matrix row r of matrix m lies at 16 * rowOf(m, r): not in order, so that an address that is mistaken shows.
  const std::string x = std::to_string(count);
  const std::string result =
      count == 1 ? "i32" : "{ " + joined(count, [](unsigned) { return std::string("i32"); }) + " }";
  std::string ir = prologue;
  ir += "declare void @llvm.nvvm.barrier0()\n";
  const std::string name = "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x" + x + (transposed ? ".trans" : "") + ".b16";
  if (!stores)
    ir += "declare " + result + " @" + name + ".p3(ptr addrspace(3))\n";
  ir += "define void @micro(ptr addrspace(1) %in, ptr addrspace(1) %out) {\n"
        "  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
        "  %o = mul i32 %t, 16\n"
        // Row number i of all matrices lies at place (i * 5) mod 32.
        "  %five = mul i32 %t, 5\n  %slot = and i32 %five, 31\n  %so = mul i32 %slot, 16\n"
        "  %s = getelementptr i8, ptr addrspace(3) @smem, i32 %so\n";
  if (!stores) {
    ir += "  %p = getelementptr i8, ptr addrspace(1) %in, i32 %o\n"
          "  %x = load <4 x i32>, ptr addrspace(1) %p, align 16\n"
          "  store <4 x i32> %x, ptr addrspace(3) %s, align 16\n"
          "  call void @llvm.nvvm.barrier0()\n"
          "  %d = call " +
          result + " @" + name + ".p3(ptr addrspace(3) %s)\n";
    for (unsigned i = 0; i != count; ++i) {
      const std::string n = std::to_string(i);
      const std::string whole = count == 1 ? "%d" : "%d" + n;
      if (count != 1)
        ir += "  %d" + n + " = extractvalue " + result + " %d, " + n + "\n";
      ir += "  %q" + n + " = getelementptr i8, ptr addrspace(1) %out, i32 %o\n  %r" + n +
            " = getelementptr i32, ptr addrspace(1) %q" + n + ", i32 " + n + "\n  store i32 " + whole +
            ", ptr addrspace(1) %r" + n + ", align 4\n";
    }
  } else {
    ir += "  %z = getelementptr i8, ptr addrspace(3) @smem, i32 %o\n"
          "  store <4 x i32> zeroinitializer, ptr addrspace(3) %z, align 16\n"
          "  call void @llvm.nvvm.barrier0()\n";
    for (unsigned i = 0; i != count; ++i) {
      const std::string n = std::to_string(i);
      ir += "  %p" + n + " = getelementptr i8, ptr addrspace(1) %in, i32 %o\n  %w" + n +
            " = getelementptr i32, ptr addrspace(1) %p" + n + ", i32 " + n + "\n  %x" + n +
            " = load i32, ptr addrspace(1) %w" + n + ", align 4\n";
    }
    ir += "  call void asm sideeffect \"stmatrix.sync.aligned.m8n8.x" + x + (transposed ? ".trans" : "") +
          ".shared.b16 [$0], {" + joined(count, [](unsigned i) { return "$" + std::to_string(i + 1); }) + "};\", \"r";
    for (unsigned i = 0; i != count; ++i)
      ir += ",r";
    ir += "\"(i32 %address";
    for (unsigned i = 0; i != count; ++i)
      ir += ", i32 %x" + std::to_string(i);
    ir += ")\n  call void @llvm.nvvm.barrier0()\n"
          "  %y = load <4 x i32>, ptr addrspace(3) %s, align 16\n"
          "  %q = getelementptr i8, ptr addrspace(1) %out, i32 %o\n"
          "  store <4 x i32> %y, ptr addrspace(1) %q, align 16\n";
    const std::string at = "  call void asm";
    ir.insert(ir.find(at), "  %address = ptrtoint ptr addrspace(3) %s to i32\n");
  }
  test.ir = ir + "  ret void\n}\n";

  // Element (row, column) of matrix m, as it lies in the row's 16 bytes.
  const auto element = [](unsigned m, unsigned row, unsigned column) {
    return static_cast<uint16_t>(m * 64 + row * 8 + column + 1);
  };
  std::vector<uint8_t> rows(512), fragments(512);
  for (unsigned m = 0; m != 4; ++m)
    for (unsigned row = 0; row != 8; ++row)
      for (unsigned column = 0; column != 8; ++column)
        if (!stores || m < count)
          put(rows, (m * 8 + row) * 16 + column * 2, element(m, row, column));
  for (unsigned lane = 0; lane != 32; ++lane)
    for (unsigned m = 0; m != count; ++m)
      for (unsigned e = 0; e != 2; ++e) {
        const unsigned first = lane / 4, second = lane % 4 * 2 + e;
        put(fragments, lane * 16 + m * 4 + e * 2, transposed ? element(m, second, first) : element(m, first, second));
      }
  test.input = stores ? fragments : rows;
  test.expected = stores ? rows : fragments;
  return test;
}

//===----------------------------------------------------------------------===//
// Shuffles, votes, conversions: a function of each lane's number and a word
//===----------------------------------------------------------------------===//

/// `body` computes %y from %x, the word of the lane, and %t.
MicroTest laneTest(const std::string &name, const std::string &declarations, const std::string &body,
                   const std::array<uint32_t, 32> &input,
                   const std::function<uint32_t(const std::array<uint32_t, 32> &, unsigned)> &expected) {
  MicroTest test;
  test.name = name;
  test.chip = "sm_80";
  test.threads = 32;
  test.ir = std::string(prologue) + declarations +
            "define void @micro(ptr addrspace(1) %in, ptr addrspace(1) %out) {\n"
            "  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
            "  %p = getelementptr i32, ptr addrspace(1) %in, i32 %t\n"
            "  %x = load i32, ptr addrspace(1) %p, align 4\n" +
            body +
            "  %q = getelementptr i32, ptr addrspace(1) %out, i32 %t\n"
            "  store i32 %y, ptr addrspace(1) %q, align 4\n  ret void\n}\n";
  for (unsigned lane = 0; lane != 32; ++lane) {
    put(test.input, lane * 4, input[lane]);
    put(test.expected, lane * 4, expected(input, lane));
  }
  return test;
}

std::array<uint32_t, 32> words(unsigned seed) {
  std::minstd_rand random(seed);
  std::array<uint32_t, 32> result;
  for (uint32_t &word : result)
    word = static_cast<uint32_t>(random()) * 2654435761u;
  return result;
}

uint32_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

void addLaneTests(std::vector<MicroTest> &tests) {
  using Words = std::array<uint32_t, 32>;
  const auto shuffle = [&](const char *mode, unsigned b, unsigned c, const std::function<unsigned(unsigned)> &from) {
    const std::string operands = std::to_string(b) + ", i32 " + std::to_string(c) + ")\n";
    const auto expected = [from](const Words &in, unsigned lane) { return in[from(lane)]; };
    const std::string name = std::string("shfl_") + mode + "_" + std::to_string(b) + "_" + std::to_string(c);
    tests.push_back(
        laneTest(name, std::string("declare i32 @llvm.nvvm.shfl.sync.") + mode + ".i32(i32, i32, i32, i32)\n",
                 std::string("  %y = call i32 @llvm.nvvm.shfl.sync.") + mode + ".i32(i32 -1, i32 %x, i32 " + operands,
                 words(1), expected));
    tests.push_back(laneTest(name + "_statement", "",
                             std::string("  %y = call i32 asm sideeffect \"shfl.sync.") + mode +
                                 ".b32 $0, $1, $2, $3, 0xffffffff;\", \"=r,r,r,r\"(i32 %x, i32 " + operands,
                             words(2), expected));
  };
  // The manual's examples: a butterfly, and shifts that stop at the segment's end; 0x1f clamps at the warp, c = 0 for
  // up.
  shuffle("bfly", 1, 31, [](unsigned lane) { return lane ^ 1; });
  shuffle("bfly", 16, 31, [](unsigned lane) { return lane ^ 16; });
  shuffle("up", 1, 0, [](unsigned lane) { return lane == 0 ? 0 : lane - 1; });
  shuffle("down", 4, 31, [](unsigned lane) { return lane + 4 > 31 ? lane : lane + 4; });
  shuffle("idx", 5, 31, [](unsigned) { return 5u; });
  // Segments of 8 lanes: the mask of c's upper half is 24.
  shuffle("idx", 3, 24 << 8 | 31, [](unsigned lane) { return lane / 8 * 8 + 3; });
  shuffle("down", 2, 24 << 8 | 7, [](unsigned lane) { return lane % 8 + 2 > 7 ? lane : lane + 2; });

  const auto odd = [](const Words &in) {
    uint32_t ballot = 0;
    for (unsigned lane = 0; lane != 32; ++lane)
      ballot |= (in[lane] >> 7 & 1) << lane;
    return ballot;
  };
  const std::string predicate = "  %b = lshr i32 %x, 7\n  %p1 = trunc i32 %b to i1\n";
  tests.push_back(laneTest("vote_ballot", "declare i32 @llvm.nvvm.vote.ballot.sync(i32, i1)\n",
                           predicate + "  %y = call i32 @llvm.nvvm.vote.ballot.sync(i32 -1, i1 %p1)\n", words(3),
                           [odd](const Words &in, unsigned) { return odd(in); }));
  tests.push_back(laneTest(
      "vote_any_all", "declare i1 @llvm.nvvm.vote.any.sync(i32, i1)\ndeclare i1 @llvm.nvvm.vote.all.sync(i32, i1)\n",
      predicate + "  %any = call i1 @llvm.nvvm.vote.any.sync(i32 -1, i1 %p1)\n"
                  "  %all = call i1 @llvm.nvvm.vote.all.sync(i32 -1, i1 %p1)\n"
                  "  %ay = zext i1 %any to i32\n  %az = zext i1 %all to i32\n"
                  "  %a2 = shl i32 %az, 1\n  %y = or i32 %ay, %a2\n",
      words(4), [odd](const Words &in, unsigned) {
        return static_cast<uint32_t>(odd(in) != 0) | static_cast<uint32_t>(odd(in) == ~0u) << 1;
      }));
  tests.push_back(laneTest("redux_add", "declare i32 @llvm.nvvm.redux.sync.add(i32, i32)\n",
                           "  %y = call i32 @llvm.nvvm.redux.sync.add(i32 %x, i32 -1)\n", words(5),
                           [](const Words &in, unsigned) {
                             uint32_t sum = 0;
                             for (const uint32_t word : in)
                               sum += word;
                             return sum;
                           }));

  // cvt.rn.bf16x2.f32 d, a, b: "a is in the upper half, b in the lower"; to nearest, ties to even.
  Words floats;
  for (unsigned lane = 0; lane != 32; ++lane)
    floats[lane] = bitsOf(1.0f + static_cast<float>(lane) / 1024.0f);
  tests.push_back(laneTest("ff2bf16x2_rn", "declare <2 x bfloat> @llvm.nvvm.ff2bf16x2.rn(float, float)\n",
                           "  %f = bitcast i32 %x to float\n  %g = fneg float %f\n"
                           "  %v = call <2 x bfloat> @llvm.nvvm.ff2bf16x2.rn(float %f, float %g)\n"
                           "  %y = bitcast <2 x bfloat> %v to i32\n",
                           floats, [](const Words &, unsigned lane) {
                             // 1 + n/1024 in steps of 1/128, so n / 8 to nearest; half ways, at n = 4, 12, .., to even.
                             unsigned steps = (lane + 4) / 8;
                             if (lane % 8 == 4)
                               steps = lane / 8 + (lane / 8 & 1);
                             const uint32_t upper = 0x3f80 + steps;
                             return upper << 16 | upper | 0x8000;
                           }));
  // ex2.approx.ftz.f32 on integers and on what the manual's table lists: -Inf gives +0, +Inf gives +Inf.
  Words powers;
  for (unsigned lane = 0; lane != 32; ++lane)
    powers[lane] = bitsOf(static_cast<float>(lane) - 16);
  powers[30] = bitsOf(-INFINITY);
  powers[31] = bitsOf(INFINITY);
  tests.push_back(laneTest("ex2_approx_ftz", "declare float @llvm.nvvm.ex2.approx.ftz.f(float)\n",
                           "  %f = bitcast i32 %x to float\n  %e = call float @llvm.nvvm.ex2.approx.ftz.f(float %f)\n"
                           "  %y = bitcast float %e to i32\n",
                           powers, [](const Words &, unsigned lane) {
                             return lane == 30 ? 0u : lane == 31 ? bitsOf(INFINITY) : (127 + lane - 16) << 23;
                           }));
  // prmt and lop3 as the manual defines them: byte selectors; a truth table, 0x96 being the exclusive or of three.
  tests.push_back(
      laneTest("prmt_lop3", "",
               "  %a = call i32 asm \"prmt.b32 $0, $1, $2, 0x5410;\", \"=r,r,r\"(i32 %x, i32 %t)\n"
               "  %y = call i32 asm \"lop3.b32 $0, $1, $2, $3, 0x96;\", \"=r,r,r,r\"(i32 %a, i32 %x, i32 %t)\n",
               words(6), [](const Words &in, unsigned lane) {
                 const uint32_t permuted = (in[lane] & 0xffff) | lane << 16;
                 return permuted ^ in[lane] ^ lane;
               }));
  // A statement with registers of its own, a predicate and a branch.
  tests.push_back(laneTest("asm_program", "",
                           "  %y = call i32 asm sideeffect \"{ .reg .pred p; .reg .b32 r; mov.b32 r, $1; "
                           "L: setp.lt.u32 p, r, 1000; @p bra D; shr.u32 r, r, 1; bra.uni L; D: mov.b32 $0, r; }\", "
                           "\"=r,r\"(i32 %x)\n",
                           words(7), [](const Words &in, unsigned lane) {
                             uint32_t value = in[lane];
                             while (value >= 1000)
                               value >>= 1;
                             return value;
                           }));
}
} // namespace

std::vector<MicroTest> warpTests() {
  std::vector<MicroTest> tests;
  for (const Product &product : products())
    for (const bool statement : {false, true})
      tests.push_back(productTest(product, statement));
  for (const unsigned count : {1u, 2u, 4u})
    for (const bool transposed : {false, true})
      for (const bool stores : {false, true})
        tests.push_back(matrixTest(count, transposed, stores));
  addLaneTests(tests);
  return tests;
}

} // namespace flashc::test

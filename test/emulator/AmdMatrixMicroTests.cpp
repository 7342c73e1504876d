// AMD's matrix instructions. The tables are those of AMD's matrix instruction calculator ("register to matrix element
// mapping"), which the ISA documents of MI200, MI300 ("Matrix Arithmetic Instructions") and RDNA 3 (7.9, WMMA) draw.

#include "runtime/LowPrecision.h"
#include "test/emulator/MicroTest.h"

#include <cmath>
#include <functional>
#include <random>

namespace flashc::test {

namespace {
struct Element {
  unsigned row, column;
};

struct MatrixTable {
  const char *name; ///< of the intrinsic, after llvm.amdgcn.
  const char *call; ///< the same with the suffix of overloaded types
  unsigned rows, columns, depth, lanes;
  const char *inputType, *outputType;
  int32_t dtype;            ///< of A and B
  unsigned inputs, outputs; ///< elements a lane
  /// A's element (row, k) in a lane's element `index`; B's is the mirror image: (k, column).
  std::function<Element(unsigned lane, unsigned index)> a;
  std::function<Element(unsigned lane, unsigned index)> d;
  std::vector<const char *> chips;
  bool mfma = true;
};

unsigned bytesOf(int32_t dtype) { return dtype == FLASHC_F64 ? 8 : dtype == FLASHC_F32 ? 4 : 2; }

std::vector<MatrixTable> tables() {
  auto d32 = [](unsigned lane, unsigned r) { return Element{8 * (r / 4) % 32 + 4 * (lane / 32) + r % 4, lane % 32}; };
  auto d16 = [](unsigned lane, unsigned r) { return Element{4 * (lane / 16) + r % 4, lane % 16}; };
  auto wmmaA = [](unsigned lane, unsigned r) { return Element{lane % 16, r}; };
  auto wmmaD = [](unsigned lane, unsigned r) { return Element{2 * r + lane / 16, lane % 16}; };
  auto group = [](unsigned outer, unsigned each) {
    return [=](unsigned lane, unsigned r) { return Element{lane % outer, each * (lane / outer) + r}; };
  };
  std::vector<const char *> cdna = {"gfx90a", "gfx942"}, mi300 = {"gfx942"}, rdna = {"gfx1100"};
  const char *v16 = "<16 x float>", *v4 = "<4 x float>";
  // clang-format off
  return {
    {"mfma.f32.32x32x8f16", "", 32, 32, 8, 64, "<4 x half>", v16, FLASHC_F16, 4, 16, group(32, 4), d32, cdna},
    {"mfma.f32.16x16x16f16", "", 16, 16, 16, 64, "<4 x half>", v4, FLASHC_F16, 4, 4, group(16, 4), d16, cdna},
    {"mfma.f32.32x32x8bf16.1k", "", 32, 32, 8, 64, "<4 x i16>", v16, FLASHC_BF16, 4, 16, group(32, 4), d32, cdna},
    {"mfma.f32.16x16x16bf16.1k", "", 16, 16, 16, 64, "<4 x i16>", v4, FLASHC_BF16, 4, 4, group(16, 4), d16, cdna},
    {"mfma.f32.32x32x2f32", "", 32, 32, 2, 64, "float", v16, FLASHC_F32, 1, 16, group(32, 1), d32, cdna},
    {"mfma.f32.16x16x4f32", "", 16, 16, 4, 64, "float", v4, FLASHC_F32, 1, 4, group(16, 1), d16, cdna},
    {"mfma.f32.32x32x4.xf32", "", 32, 32, 4, 64, "<2 x float>", v16, FLASHC_F32, 2, 16, group(32, 2), d32, mi300},
    {"mfma.f32.16x16x8.xf32", "", 16, 16, 8, 64, "<2 x float>", v4, FLASHC_F32, 2, 4, group(16, 2), d16, mi300},
    {"mfma.f64.16x16x4f64", "", 16, 16, 4, 64, "double", "<4 x double>", FLASHC_F64, 1, 4, group(16, 1),
     [](unsigned lane, unsigned r) { return Element{4 * r + lane / 16, lane % 16}; }, cdna},
    {"wmma.f32.16x16x16.f16", ".v8f32.v16f16", 16, 16, 16, 32, "<16 x half>", "<8 x float>", FLASHC_F16, 16, 8, wmmaA, wmmaD,
     rdna, false},
    {"wmma.f32.16x16x16.bf16", ".v8f32.v16i16", 16, 16, 16, 32, "<16 x i16>", "<8 x float>", FLASHC_BF16, 16, 8, wmmaA, wmmaD,
     rdna, false},
  };
  // clang-format on
}

/// Every thread reads its A, B and C one after the other, and writes its D.
std::string matrixIr(const MatrixTable &table, unsigned inputBytes, unsigned outputBytes) {
  std::string input = table.inputType, output = table.outputType;
  std::string callee = std::string("@llvm.amdgcn.") + table.name + table.call;
  std::string flags = table.mfma ? ", i32 0, i32 0, i32 0" : "", flagTypes = table.mfma ? ", i32, i32, i32" : "";
  auto number = [](unsigned value) { return std::to_string(value); };
  return "target triple = \"amdgcn-amd-amdhsa\"\n"
         "define amdgpu_kernel void @micro(ptr addrspace(1) %in, ptr addrspace(1) %out) {\n"
         "  %lane = call i32 @llvm.amdgcn.workitem.id.x()\n"
         "  %from = mul i32 %lane, " +
         number(2 * inputBytes + outputBytes) +
         "\n"
         "  %pa = getelementptr i8, ptr addrspace(1) %in, i32 %from\n"
         "  %pb = getelementptr i8, ptr addrspace(1) %pa, i32 " +
         number(inputBytes) +
         "\n"
         "  %pc = getelementptr i8, ptr addrspace(1) %pb, i32 " +
         number(inputBytes) +
         "\n"
         "  %a = load " +
         input +
         ", ptr addrspace(1) %pa, align 2\n"
         "  %b = load " +
         input +
         ", ptr addrspace(1) %pb, align 2\n"
         "  %c = load " +
         output +
         ", ptr addrspace(1) %pc, align 4\n"
         "  %d = call " +
         output + " " + callee + "(" + input + " %a, " + input + " %b, " + output + " %c" + flags +
         ")\n"
         "  %to = mul i32 %lane, " +
         number(outputBytes) +
         "\n"
         "  %pd = getelementptr i8, ptr addrspace(1) %out, i32 %to\n"
         "  store " +
         output +
         " %d, ptr addrspace(1) %pd, align 4\n"
         "  ret void\n}\n"
         "declare i32 @llvm.amdgcn.workitem.id.x()\n"
         "declare " +
         output + " " + callee + "(" + input + ", " + input + ", " + output + flagTypes + ")\n";
}

MicroTest matrixTest(const MatrixTable &table, const char *chip, unsigned seed) {
  int32_t outputDType = table.dtype == FLASHC_F64 ? FLASHC_F64 : FLASHC_F32;
  unsigned inputBytes = table.inputs * bytesOf(table.dtype), outputBytes = table.outputs * bytesOf(outputDType);
  std::mt19937 random(seed);
  // Sixteenths: exact in each of the types, xf32 too, and so are their sums.
  std::uniform_int_distribution<int> draw(-32, 32);
  std::vector<double> a(table.rows * table.depth), b(table.depth * table.columns), c(table.rows * table.columns), d;
  for (std::vector<double> *matrix : {&a, &b, &c})
    for (double &value : *matrix)
      value = draw(random) / 16.0;
  d = c;
  for (unsigned i = 0; i < table.rows; ++i)
    for (unsigned j = 0; j < table.columns; ++j)
      for (unsigned k = 0; k < table.depth; ++k)
        d[i * table.columns + j] += a[i * table.depth + k] * b[k * table.columns + j];

  MicroTest test;
  test.name = table.name;
  for (char &letter : test.name)
    letter = letter == '.' ? '_' : letter;
  test.name += std::string("_") + chip;
  test.chip = chip;
  test.ir = matrixIr(table, inputBytes, outputBytes);
  test.threads = table.lanes;
  test.compare = outputDType == FLASHC_F64 ? MicroTest::Compare::F64 : MicroTest::Compare::F32;
  unsigned record = 2 * inputBytes + outputBytes;
  test.input.resize(table.lanes * record);
  test.expected.resize(table.lanes * outputBytes);
  for (unsigned lane = 0; lane < table.lanes; ++lane) {
    uint8_t *pa = test.input.data() + lane * record, *pb = pa + inputBytes, *pc = pb + inputBytes;
    for (unsigned index = 0; index < table.inputs; ++index) {
      Element at = table.a(lane, index);
      writeElement(pa + index * bytesOf(table.dtype), table.dtype, a[at.row * table.depth + at.column]);
      writeElement(pb + index * bytesOf(table.dtype), table.dtype, b[at.column * table.columns + at.row]);
    }
    for (unsigned index = 0; index < table.outputs; ++index) {
      Element at = table.d(lane, index);
      unsigned offset = index * bytesOf(outputDType);
      writeElement(pc + offset, outputDType, c[at.row * table.columns + at.column]);
      writeElement(test.expected.data() + lane * outputBytes + offset, outputDType,
                   d[at.row * table.columns + at.column]);
    }
  }
  return test;
}
} // namespace

std::vector<MicroTest> amdMatrixTests() {
  std::vector<MicroTest> tests;
  unsigned seed = 1;
  for (const MatrixTable &table : tables())
    for (const char *chip : table.chips)
      tests.push_back(matrixTest(table, chip, seed++));
  // RDNA 3 wants each half of the wave to hold A and B: the upper half of this one does not.
  for (MicroTest test : std::vector<MicroTest>(tests.end() - 2, tests.end())) {
    unsigned record = unsigned(test.input.size() / test.threads);
    test.name += "_lone_half";
    test.input[20 * record] ^= 1;
    test.finding = "to repeat that of lane 4";
    tests.push_back(test);
  }
  // Denormal inputs: 2^-20 in f16 is one. MI200 takes them for zero, MI300 does not; one in A times 1024 in B adds
  // 2^-10.
  for (MicroTest test : std::vector<MicroTest>(tests.begin(), tests.begin() + 2)) {
    bool flushes = test.chip == "gfx90a";
    test.name += "_denormal";
    test.input.assign(test.input.size(), 0);
    for (unsigned lane = 0; lane < 64; ++lane) { // element 0 of each lane's A and B: depths 0 and 4
      put<uint16_t>(test.input, lane * 80, 0x0010);
      put<uint16_t>(test.input, lane * 80 + 8, 0x6400);
    }
    for (unsigned i = 0; i < test.expected.size() / 4; ++i)
      put<float>(test.expected, i * 4, flushes ? 0 : 2 * std::ldexp(1.0f, -10));
    tests.push_back(test);
  }
  return tests;
}

} // namespace flashc::test

#include "compiler/Dispatch.h"

#include "runtime/include/flashc/runtime.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/Support/raw_ostream.h"

#include <array>

using namespace llvm;

namespace flashc {
namespace {

/// Where CPUID (or XGETBV) shows a feature. Only what a code generator may use by itself is listed.
struct FeatureBit {
  StringLiteral name;
  unsigned word, bit;
};
enum Word { kLeaf1C, kLeaf7B, kLeaf7C, kLeaf7D, kLeaf71A, kLeafExtendedC, kXcr0, kWords };
constexpr FeatureBit kFeatureBits[] = {
    {"sse3", kLeaf1C, 0},
    {"ssse3", kLeaf1C, 9},
    {"fma", kLeaf1C, 12},
    {"cx16", kLeaf1C, 13},
    {"sse4.1", kLeaf1C, 19},
    {"sse4.2", kLeaf1C, 20},
    {"movbe", kLeaf1C, 22},
    {"popcnt", kLeaf1C, 23},
    {"avx", kLeaf1C, 28},
    {"f16c", kLeaf1C, 29},
    {"bmi", kLeaf7B, 3},
    {"avx2", kLeaf7B, 5},
    {"bmi2", kLeaf7B, 8},
    {"avx512f", kLeaf7B, 16},
    {"avx512dq", kLeaf7B, 17},
    {"adx", kLeaf7B, 19},
    {"avx512ifma", kLeaf7B, 21},
    {"avx512cd", kLeaf7B, 28},
    {"avx512bw", kLeaf7B, 30},
    {"avx512vl", kLeaf7B, 31},
    {"avx512vbmi", kLeaf7C, 1},
    {"avx512vbmi2", kLeaf7C, 6},
    {"gfni", kLeaf7C, 8},
    {"avx512vnni", kLeaf7C, 11},
    {"avx512bitalg", kLeaf7C, 12},
    {"avx512vpopcntdq", kLeaf7C, 14},
    {"avx512vp2intersect", kLeaf7D, 8},
    {"amx-bf16", kLeaf7D, 22},
    {"avx512fp16", kLeaf7D, 23},
    {"amx-tile", kLeaf7D, 24},
    {"amx-int8", kLeaf7D, 25},
    {"avxvnni", kLeaf71A, 4},
    {"avx512bf16", kLeaf71A, 5},
    {"avxifma", kLeaf71A, 23},
    {"sahf", kLeafExtendedC, 0},
    {"lzcnt", kLeafExtendedC, 5},
    {"sse4a", kLeafExtendedC, 6},
};

/// The bits a variant needs. Tiles are used by name only, so a variant may have them and not need them.
std::array<uint32_t, kWords> getRequirements(const Target &target, const CpuVariant &variant, bool tiles) {
  std::array<uint32_t, kWords> words{};
  auto info = cantFail(target.createSubtarget(variant), "the variant was compiled before");
  auto has = [&](StringRef feature) { return info->checkFeatures(("+" + feature).str()); };
  for (const FeatureBit &feature : kFeatureBits)
    if (has(feature.name) && (tiles || !feature.name.starts_with("amx-")))
      words[feature.word] |= 1u << feature.bit;
  // The operating system has to save the registers too: SSE and AVX state; opmask and upper ZMM; AMX tiles.
  if (has("avx"))
    words[kXcr0] |= 0x6;
  if (has("avx512f"))
    words[kXcr0] |= 0xe0;
  if (tiles)
    words[kXcr0] |= 0x60000;
  return words;
}

constexpr StringLiteral kCpuid = R"(
define internal { i32, i32, i32, i32 } @flashc.cpuid(i32 %leaf, i32 %sub) noinline nounwind {
  %r = call { i32, i32, i32, i32 } asm sideeffect "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}"(i32 %leaf, i32 %sub)
  ret { i32, i32, i32, i32 } %r
}

; Fills the words with what the machine has; a leaf that it lacks leaves zeros.
define internal void @flashc.features(ptr %words) noinline nounwind {
entry:
  store [7 x i32] zeroinitializer, ptr %words
  %basic = call { i32, i32, i32, i32 } @flashc.cpuid(i32 0, i32 0)
  %last = extractvalue { i32, i32, i32, i32 } %basic, 0
  %one = call { i32, i32, i32, i32 } @flashc.cpuid(i32 1, i32 0)
  %oneC = extractvalue { i32, i32, i32, i32 } %one, 2
  store i32 %oneC, ptr %words
  %extended = call { i32, i32, i32, i32 } @flashc.cpuid(i32 -2147483648, i32 0)
  %lastExtended = extractvalue { i32, i32, i32, i32 } %extended, 0
  %hasExtended = icmp uge i32 %lastExtended, -2147483647
  br i1 %hasExtended, label %readExtended, label %checkXsave
readExtended:
  %ext = call { i32, i32, i32, i32 } @flashc.cpuid(i32 -2147483647, i32 0)
  %extC = extractvalue { i32, i32, i32, i32 } %ext, 2
  %extAt = getelementptr i32, ptr %words, i64 5
  store i32 %extC, ptr %extAt
  br label %checkXsave
checkXsave:
  %osxsave = and i32 %oneC, 134217728
  %hasXsave = icmp ne i32 %osxsave, 0
  br i1 %hasXsave, label %readXcr, label %check7
readXcr:
  %xcr = call { i32, i32 } asm sideeffect "xgetbv", "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}"(i32 0)
  %xcr0 = extractvalue { i32, i32 } %xcr, 0
  %xcrAt = getelementptr i32, ptr %words, i64 6
  store i32 %xcr0, ptr %xcrAt
  br label %check7
check7:
  %has7 = icmp uge i32 %last, 7
  br i1 %has7, label %read7, label %done
read7:
  %seven = call { i32, i32, i32, i32 } @flashc.cpuid(i32 7, i32 0)
  %last7 = extractvalue { i32, i32, i32, i32 } %seven, 0
  %sevenB = extractvalue { i32, i32, i32, i32 } %seven, 1
  %sevenC = extractvalue { i32, i32, i32, i32 } %seven, 2
  %sevenD = extractvalue { i32, i32, i32, i32 } %seven, 3
  %bAt = getelementptr i32, ptr %words, i64 1
  store i32 %sevenB, ptr %bAt
  %cAt = getelementptr i32, ptr %words, i64 2
  store i32 %sevenC, ptr %cAt
  %dAt = getelementptr i32, ptr %words, i64 3
  store i32 %sevenD, ptr %dAt
  %has71 = icmp uge i32 %last7, 1
  br i1 %has71, label %read71, label %done
read71:
  %sub1 = call { i32, i32, i32, i32 } @flashc.cpuid(i32 7, i32 1)
  %sub1A = extractvalue { i32, i32, i32, i32 } %sub1, 0
  %aAt = getelementptr i32, ptr %words, i64 4
  store i32 %sub1A, ptr %aAt
  br label %done
done:
  ret void
}
)";
static_assert(kWords == 7, "the text above fills seven words");

/// Linux lets a process use tiles when it asks: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA), once for all threads. There
/// is no C library here to ask through. Another system answers with another number, or knows no such request.
constexpr StringLiteral kRequestTiles = R"(
define internal i1 @flashc.tiles(i1 %machine) noinline nounwind {
entry:
  br i1 %machine, label %ask, label %no
ask:
  %r = call i64 asm sideeffect "syscall", "={ax},{ax},{di},{si},~{rcx},~{r11},~{memory},~{dirflag},~{fpsr},~{flags}"(i64 158, i64 4131, i64 18)
  %granted = icmp eq i64 %r, 0
  ret i1 %granted
no:
  ret i1 false
}
)";

void quoted(raw_ostream &os, StringRef text, size_t size) {
  os << "c\"";
  text = text.take_front(size - 1);
  printEscapedString(text, os);
  for (size_t i = text.size(); i < size; ++i)
    os << "\\00";
  os << '"';
}

void writeQuery(raw_ostream &os, const KernelInterface &interface, const Target &target, StringRef metadata) {
  constexpr StringLiteral operandType = "{ [32 x i8], i32, i32, i32, i32, [8 x i64] }";
  constexpr StringLiteral infoType = "{ i32, i32, [64 x i8], [64 x i8], i32, i32, ptr, ptr }";
  const std::string &name = interface.name;
  size_t count = interface.operands.size();
  os << "@" << name << ".metadata = internal constant [" << metadata.size() + 1 << " x i8] ";
  quoted(os, metadata, metadata.size() + 1);
  os << "\n@" << name << ".operands = internal constant [" << count << " x " << operandType << "] [";
  for (const KernelOperand &operand : interface.operands) {
    os << (&operand == interface.operands.begin() ? "\n  " : ",\n  ") << operandType << " { [32 x i8] ";
    quoted(os, operand.name, 32);
    os << ", i32 " << operand.dtype << ", i32 " << operand.sizes.size() << ", i32 "
       << (operand.output ? FLASHC_OPERAND_OUTPUT : 0u) << ", i32 0, [8 x i64] [";
    for (unsigned d = 0; d < FLASHC_MAX_RANK; ++d)
      os << (d ? ", " : "") << "i64 " << (d < operand.sizes.size() ? operand.sizes[d] : 0);
    os << "] }";
  }
  os << "]\n@" << name << ".info = internal constant " << infoType << " { i32 " << FLASHC_ABI_VERSION << ", i32 "
     << sizeof(flashc_kernel_info) << ", [64 x i8] ";
  quoted(os, name, 64);
  os << ", [64 x i8] ";
  quoted(os, target.getName(), 64);
  os << ", i32 " << count << ", i32 0, ptr @" << name << ".operands, ptr @" << name << ".metadata }\n";
  os << "define ptr @" << name << "_query(i32 %max_abi) nounwind {\n"
     << "  %old = icmp ult i32 %max_abi, " << FLASHC_ABI_VERSION << "\n"
     << "  %info = select i1 %old, ptr null, ptr @" << name << ".info\n"
     << "  ret ptr %info\n}\n";
}

/// An asm statement with 64 rounds of 16 times `instruction` on independent sums.
void writeTimed(raw_ostream &os, StringRef instruction) {
  constexpr unsigned kSums = 16;
  os << "  call void asm sideeffect \"";
  for (unsigned i = 0; i <= kSums; ++i)
    os << "vpxord %zmm" << i << ", %zmm" << i << ", %zmm" << i << "\\0A";
  os << "movl $$64, %eax\\0A1:\\0A";
  for (unsigned i = 0; i < kSums; ++i)
    os << instruction << " %zmm" << kSums << ", %zmm" << kSums << ", %zmm" << i << "\\0A";
  os << "decl %eax\\0Ajnz 1b\", \"~{eax}";
  for (unsigned i = 0; i <= kSums; ++i)
    os << ",~{zmm" << i << "}";
  os << ",~{dirflag},~{fpsr},~{flags}\"()\n";
}

/// @flashc.pairs(machine): whether a product of bf16 pairs, two of which fit into the place of a float32, takes less
/// than twice the time of a fused multiply-add: on some machines it takes five times as long. The least of eight rounds
/// counts, so that neither a clock that is still rising nor an interruption does; a round takes less than a
/// microsecond.
void writePairs(raw_ostream &os) {
  os << "declare i64 @llvm.readcyclecounter()\ndeclare i64 @llvm.umin.i64(i64, i64)\n";
  for (auto [name, instruction] :
       {std::pair<StringRef, StringRef>{"dot", "vdpbf16ps"}, std::pair<StringRef, StringRef>{"fma", "vfmadd231ps"}}) {
    os << "define internal i64 @flashc.time." << name
       << R"(() noinline nounwind "target-cpu"="x86-64-v4" "target-features"="+avx512bf16" {
entry:
  %begin = call i64 @llvm.readcyclecounter()
)";
    writeTimed(os, instruction);
    os << R"(  %end = call i64 @llvm.readcyclecounter()
  %time = sub i64 %end, %begin
  ret i64 %time
}
)";
  }
  os << R"(
define internal i1 @flashc.pairs(i1 %machine) noinline nounwind {
entry:
  br i1 %machine, label %round, label %done
round:
  %i = phi i32 [ 0, %entry ], [ %next, %round ]
  %bestDot = phi i64 [ -1, %entry ], [ %dot, %round ]
  %bestFma = phi i64 [ -1, %entry ], [ %fma, %round ]
  %timeFma = call i64 @flashc.time.fma()
  %timeDot = call i64 @flashc.time.dot()
  %fma = call i64 @llvm.umin.i64(i64 %bestFma, i64 %timeFma)
  %dot = call i64 @llvm.umin.i64(i64 %bestDot, i64 %timeDot)
  %next = add i32 %i, 1
  %again = icmp ult i32 %next, 8
  br i1 %again, label %round, label %compare
compare:
  %twice = shl i64 %fma, 1
  %faster = icmp ult i64 %dot, %twice
  br label %done
done:
  %use = phi i1 [ false, %entry ], [ %faster, %compare ]
  ret i1 %use
}
)";
}

/// @NAME.select: the number of the variant to run, plus one, or -1.
void writeSelect(raw_ostream &os, StringRef name, const Target &target, ArrayRef<CpuVariant> variants,
                 ArrayRef<bool> tiles) {
  os << "@" << name << ".choice = internal global i32 0\n"
     << "define internal i32 @" << name << ".select() nounwind {\nentry:\n"
     << "  %known = load atomic i32, ptr @" << name << ".choice monotonic, align 4\n"
     << "  %isKnown = icmp ne i32 %known, 0\n"
     << "  br i1 %isKnown, label %reuse, label %find\nreuse:\n  ret i32 %known\nfind:\n"
     << "  %words = alloca [7 x i32], align 16\n  call void @flashc.features(ptr %words)\n";
  for (unsigned w = 0; w < kWords; ++w)
    os << "  %at" << w << " = getelementptr i32, ptr %words, i64 " << w << "\n  %w" << w << " = load i32, ptr %at" << w
       << "\n";
  std::string best = "-1";
  for (auto [v, variant] : enumerate(variants)) {
    std::array<uint32_t, kWords> words = getRequirements(target, variant, tiles[v]);
    for (unsigned w = 0; w < kWords; ++w) {
      os << "  %v" << v << "m" << w << " = and i32 %w" << w << ", " << int32_t(words[w]) << "\n  %v" << v << "x" << w
         << " = xor i32 %v" << v << "m" << w << ", " << int32_t(words[w]) << "\n";
      if (w)
        os << "  %v" << v << "o" << w << " = or i32 %v" << v << (w == 1 ? "x0" : "o" + utostr(w - 1)) << ", %v" << v
           << "x" << w << "\n";
    }
    std::string ok = "%ok" + utostr(v);
    os << "  " << ok << " = icmp eq i32 %v" << v << "o" << kWords - 1 << ", 0\n";
    if (tiles[v]) {
      os << "  %tiles" << v << " = call i1 @flashc.tiles(i1 " << ok << ")\n";
      ok = "%tiles" + utostr(v);
    }
    if (variant.onlyForPairs && !tiles[v]) {
      os << "  %pairs" << v << " = call i1 @flashc.pairs(i1 " << ok << ")\n";
      ok = "%pairs" + utostr(v);
    }
    os << "  %best" << v << " = select i1 " << ok << ", i32 " << v + 1 << ", i32 " << best << "\n";
    best = "%best" + utostr(v);
  }
  os << "  store atomic i32 " << best << ", ptr @" << name << ".choice monotonic, align 4\n  ret i32 " << best
     << "\n}\n";
}

struct Function {
  StringLiteral suffix, result, parameters, arguments, refusal;
};
constexpr Function kFunctions[] = {
    {"workspace_size", "i64", "ptr %args", "ptr %args", "0"},
    {"run", "i32", "ptr %args, ptr %stream, ptr %workspace, i64 %size",
     "ptr %args, ptr %stream, ptr %workspace, i64 %size", "8"},
};
static_assert(FLASHC_ERROR_TARGET == 8, "the refusal of NAME_run above");
} // namespace

std::string getVariantSymbol(StringRef kernel, StringRef function, unsigned variant) {
  return (kernel + "_" + function + "." + Twine(variant)).str();
}

std::string getDispatchModule(const KernelInterface &interface, const Target &target, ArrayRef<CpuVariant> selected,
                              ArrayRef<bool> tiles, StringRef metadata) {
  std::string text;
  raw_string_ostream os(text);
  os << "target triple = \"" << target.getTriple() << "\"\n";
  writeQuery(os, interface, target, metadata);
  // Every AArch64 CPU has what its single variant uses.
  bool choose = target.getArchitecture() == "x86_64";
  if (choose) {
    os << kCpuid;
    if (is_contained(tiles, true))
      os << kRequestTiles;
    if (any_of(selected, [](const CpuVariant &variant) { return variant.onlyForPairs; }))
      writePairs(os);
    writeSelect(os, interface.name, target, selected, tiles);
  }
  size_t variants = selected.size();
  for (const Function &f : kFunctions) {
    for (unsigned v = 0; v < variants; ++v)
      os << "declare " << f.result << " @" << getVariantSymbol(interface.name, f.suffix, v) << "(" << f.parameters
         << ")\n";
    os << "define " << f.result << " @" << interface.name << "_" << f.suffix << "(" << f.parameters
       << ") nounwind {\nentry:\n";
    if (choose) {
      os << "  %which = call i32 @" << interface.name << ".select()\n  switch i32 %which, label %none [";
      for (unsigned v = 0; v < variants; ++v)
        os << " i32 " << v + 1 << ", label %v" << v;
      os << " ]\nnone:\n  ret " << f.result << " " << f.refusal << "\n";
    } else {
      os << "  br label %v" << variants - 1 << "\n";
    }
    for (unsigned v = choose ? 0 : variants - 1; v < variants; ++v)
      os << "v" << v << ":\n  %r" << v << " = tail call " << f.result << " @"
         << getVariantSymbol(interface.name, f.suffix, v) << "(" << f.arguments << ")\n  ret " << f.result << " %r" << v
         << "\n";
    os << "}\n";
  }
  return text;
}
} // namespace flashc

/// CPU targets: `cpu` (every level in one object), `cpu:NAME[,+feature,-feature]` and `host`.
#include "compiler/Pipelines.h"
#include "compiler/Target.h"
#include "compiler/targets/X86.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

#include <mutex>
#include <unistd.h>

using namespace llvm;

namespace flashc {
Expected<std::shared_ptr<const Target>> parseCpuTarget(StringRef detail);
Expected<std::shared_ptr<const Target>> parseHostTarget(StringRef detail);
} // namespace flashc

namespace {
using flashc::CpuCapabilities;
using flashc::CpuVariant;

constexpr StringRef kX86Triple = "x86_64-unknown-linux-gnu";
constexpr StringRef kArmTriple = "aarch64-unknown-linux-gnu";

/// The levels that a plain `cpu` object holds. v2 brings attention nothing over the baseline: neither wider vectors
/// nor FMA.
constexpr StringRef kDefaultLevels[] = {"x86-64", "x86-64-v3", "x86-64-v4"};
/// For kernels of bf16 there are two more: pairs, and tiles.
constexpr StringRef kPairLevels[] = {"x86-64-v4,+avx512bf16", "x86-64-v4,+avx512bf16,+amx-bf16"};
constexpr StringRef kLevels[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"};

void initializeTargets() {
  static std::once_flag once;
  std::call_once(once, [] {
    InitializeAllTargetInfos();
    InitializeAllTargets();
    InitializeAllTargetMCs();
    InitializeAllAsmPrinters();
    InitializeAllAsmParsers();
  });
}

Expected<const llvm::Target *> lookup(StringRef triple) {
  initializeTargets();
  std::string message;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple.str(), message);
  if (!target)
    return createStringError("this build of LLVM cannot compile for " + triple + ": " + message);
  return target;
}

Expected<std::unique_ptr<MCSubtargetInfo>> subtarget(StringRef triple, StringRef cpu, StringRef features) {
  Expected<const llvm::Target *> target = lookup(triple);
  if (!target)
    return target.takeError();
  return std::unique_ptr<MCSubtargetInfo>((*target)->createMCSubtargetInfo(triple, cpu, features));
}

/// True when `cpu` is one of the triple's CPUs. isCPUStringValid alone would also accept 32-bit x86 names.
bool isCpuOf(StringRef triple, StringRef cpu) {
  auto info = subtarget(triple, "", "");
  if (!info) {
    consumeError(info.takeError());
    return false;
  }
  if (!(*info)->isCPUStringValid(cpu))
    return false;
  if (!Triple(triple).isX86())
    return true;
  auto own = subtarget(triple, cpu, "");
  if (!own) {
    consumeError(own.takeError());
    return false;
  }
  return (*own)->checkFeatures("+64bit") && (*own)->checkFeatures("+sse2");
}

CpuCapabilities describeX86(const MCSubtargetInfo &info) {
  auto has = [&](const char *feature) { return info.checkFeatures(feature); };
  CpuCapabilities caps;
  caps.pause = "llvm.x86.sse2.pause";
  if (has("+avx512f") && has("+avx512vl") && has("+avx512bw") && has("+avx512dq")) {
    caps.vectorBytes = 64;
    caps.vectorRegisters = 32;
    caps.scalef = caps.maskedMemory = true;
    caps.l1Bytes = 48 << 10;
    caps.l2Bytes = 1 << 20;
  } else if (has("+avx2")) {
    caps.vectorBytes = 32;
    caps.l2Bytes = 512 << 10;
  }
  caps.fma = has("+fma");
  caps.f16Convert = has("+f16c");
  caps.bf16Dot = has("+avx512bf16");
  caps.f16Arithmetic = has("+avx512fp16");
  caps.amxBf16 = has("+amx-bf16");
  return caps;
}

CpuCapabilities describeArm(const MCSubtargetInfo &info) {
  CpuCapabilities caps;
  caps.vectorRegisters = 32;
  caps.fma = caps.f16Convert = true;
  caps.bf16Dot = info.checkFeatures("+bf16");
  caps.f16Arithmetic = info.checkFeatures("+fullfp16");
  caps.l2Bytes = 512 << 10;
  return caps;
}

/// The sizes the operating system knows; 0 or less means that it does not.
void readHostCaches(CpuCapabilities &caps) {
  auto read = [](int name, int64_t &bytes) {
    if (long value = sysconf(name); value > 0)
      bytes = value;
  };
  read(_SC_LEVEL1_DCACHE_SIZE, caps.l1Bytes);
  read(_SC_LEVEL2_CACHE_SIZE, caps.l2Bytes);
  read(_SC_LEVEL3_CACHE_SIZE, caps.l3Bytes);
}

class CpuTarget : public flashc::Target {
public:
  CpuTarget(StringRef text, StringRef tripleText) {
    name = text.str();
    triple = tripleText.str();
    architecture = Triple(triple).isAArch64() ? "aarch64" : "x86_64";
  }

  Error addVariant(StringRef variantName, StringRef cpu, StringRef features) {
    auto info = subtarget(triple, cpu, features);
    if (!info)
      return info.takeError();
    CpuCapabilities caps = Triple(triple).isAArch64() ? describeArm(**info) : describeX86(**info);
    variants.push_back({variantName.str(), cpu.str(), features.str(), caps});
    return Error::success();
  }

  ArrayRef<flashc::Stage> getStages() const override { return flashc::getCpuStages(); }

  /// The last variant counts only for kernels of bf16.
  void setOnlyForPairs() { variants.back().onlyForPairs = true; }

  void setHost() {
    host = true;
    readHostCaches(variants.front().capabilities);
  }

  Expected<std::unique_ptr<MCSubtargetInfo>> createSubtarget(const CpuVariant &variant) const override {
    return subtarget(triple, variant.cpu, variant.features);
  }

  void finish(Module &module, const CpuVariant &variant) const override {
    if (!Triple(triple).isX86())
      return;
    flashc::configureTiles(module);
    flashc::flushSubnormals(module);
  }

  Expected<std::unique_ptr<TargetMachine>> createTargetMachine(const CpuVariant &variant, int optLevel) const override {
    Expected<const llvm::Target *> target = lookup(triple);
    if (!target)
      return target.takeError();
    TargetOptions options;
    options.AllowFPOpFusion = FPOpFusion::Standard;
    auto level = CodeGenOpt::getLevel(optLevel);
    std::unique_ptr<TargetMachine> machine((*target)->createTargetMachine(triple, variant.cpu, variant.features,
                                                                          options, Reloc::PIC_, std::nullopt,
                                                                          level.value_or(CodeGenOptLevel::Aggressive)));
    if (!machine)
      return createStringError("LLVM has no code generator for " + triple);
    return machine;
  }
};

/// "a, b or c, ..." of what may be written after `cpu:`.
std::string knownCpus() {
  return join(ArrayRef<StringRef>(kLevels), ", ") +
         ", aarch64, or a CPU that LLVM knows for x86-64 or AArch64 (znver5, sapphirerapids, "
         "neoverse-v2, ...)";
}

/// Checks "+a,-b" against the features that LLVM knows for the triple.
Error checkFeatures(StringRef triple, ArrayRef<StringRef> features) {
  auto info = subtarget(triple, "", "");
  if (!info)
    return info.takeError();
  for (StringRef feature : features) {
    if (!feature.starts_with("+") && !feature.starts_with("-"))
      return createStringError("malformed feature '" + feature + "': expected +NAME or -NAME");
    StringRef bare = feature.drop_front();
    auto known = (*info)->getAllProcessorFeatures();
    if (llvm::any_of(known, [&](const SubtargetFeatureKV &kv) { return bare == kv.Key; }))
      continue;
    StringRef nearest;
    unsigned best = 3;
    for (const SubtargetFeatureKV &kv : known)
      if (unsigned distance = bare.edit_distance(kv.Key, true, best); distance < best) {
        best = distance;
        nearest = kv.Key;
      }
    std::string hint = nearest.empty() ? "for example +avx2, +avx512bf16, +amx-bf16"
                                       : ("did you mean '" + feature.take_front() + nearest + "'?").str();
    return createStringError("unknown feature '" + feature + "' for " + triple + ": " + hint);
  }
  return Error::success();
}
} // namespace

Expected<std::shared_ptr<const flashc::Target>> flashc::parseCpuTarget(StringRef detail) {
  if (detail.empty()) {
    auto target = std::make_shared<CpuTarget>("cpu", kX86Triple);
    for (StringRef level : kDefaultLevels)
      if (Error error = target->addVariant(level, level, ""))
        return std::move(error);
    for (StringRef name : kPairLevels) {
      auto [level, features] = name.split(',');
      if (Error error = target->addVariant(name, level, features))
        return std::move(error);
      target->setOnlyForPairs();
    }
    return target;
  }
  SmallVector<StringRef> parts;
  detail.split(parts, ',');
  StringRef cpu = parts.front();
  bool arm = cpu == "aarch64" || (!isCpuOf(kX86Triple, cpu) && isCpuOf(kArmTriple, cpu));
  if (!arm && !isCpuOf(kX86Triple, cpu))
    return createStringError("unknown CPU '" + cpu + "' in target 'cpu:" + detail + "': expected " + knownCpus());
  StringRef triple = arm ? kArmTriple : kX86Triple;
  ArrayRef<StringRef> features = ArrayRef(parts).drop_front();
  if (Error error = checkFeatures(triple, features))
    return std::move(error);
  auto target = std::make_shared<CpuTarget>(("cpu:" + detail).str(), triple);
  if (Error error = target->addVariant(detail, cpu == "aarch64" ? "generic" : cpu, join(features, ",")))
    return std::move(error);
  return target;
}

Expected<std::shared_ptr<const flashc::Target>> flashc::parseHostTarget(StringRef detail) {
  if (!detail.empty())
    return createStringError("target 'host' takes no detail, but 'host:" + detail + "' was given");
  // What CPUID says and not what the name promises: a virtual machine may hide features of its CPU.
  SmallVector<std::string> features;
  StringMap<bool> known = sys::getHostCPUFeatures();
  bool tiles = known.lookup("amx-tile") && flashc::requestTiles();
  for (const auto &entry : known) {
    bool usable = entry.second && (tiles || !entry.first().starts_with("amx-"));
    features.push_back(((usable ? "+" : "-") + entry.first()).str());
  }
  llvm::sort(features);
  StringRef cpu = sys::getHostCPUName();
  std::string joined = join(features, ",");
  auto target = std::make_shared<CpuTarget>(("cpu:" + cpu + "," + joined).str(), sys::getDefaultTargetTriple());
  if (Error error = target->addVariant(cpu, cpu, joined))
    return std::move(error);
  target->setHost();
  return target;
}

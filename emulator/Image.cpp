//===- Image.cpp - modules as host code, and launches of their kernels ---------===//

#include "emulator/EmulatedGpu.h"
#include "emulator/HostModule.h"
#include "emulator/Scheduler.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/ExecutionEngine/Orc/ExecutionUtils.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

using namespace llvm;

namespace flashc::emulator {
namespace {
/// Threads' stacks: locals, spilled values and the operands of one instruction.
/// Code without optimisation keeps every value there; what is not touched costs nothing.
constexpr size_t stackBytes = 1 << 20;

class JitImage final : public Image {
public:
  explicit JitImage(const emulator::Chip &chip) : target(chip) {}
  const emulator::Chip &chip() const override { return target; }
  std::vector<std::string> kernels() const override { return parts.kernels; }

  const emulator::Chip &target;
  ImageParts parts;
  std::map<std::string, KernelFunction, std::less<>> functions;
  std::vector<MemoryRegion> variables;
  std::unique_ptr<orc::LLJIT> jit;
};

//===----------------------------------------------------------------------===//
// Conversions that LLVM calls where the host has no instruction
//===----------------------------------------------------------------------===//

uint32_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

/// To nearest, ties to even. Returned as a 16-bit float is: in the low half of the first vector register.
_Float16 asRegister(uint16_t bits) {
  _Float16 value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
_Float16 floatToBf16(float value) {
  const uint32_t bits = bitsOf(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return asRegister(0x7fff);
  return asRegister(static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
}
_Float16 doubleToBf16(double value) {
  // To float towards odd, so that the second rounding is the only one.
  float narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value && value == value) {
    uint32_t bits = bitsOf(narrow);
    const bool above = std::abs(static_cast<double>(narrow)) > std::abs(value);
    if (!(bits & 1))
      bits += above ? -1 : 1;
    std::memcpy(&narrow, &bits, sizeof bits);
  }
  return floatToBf16(narrow);
}
_Float16 doubleToHalf(double value) { return static_cast<_Float16>(value); }
_Float16 floatToHalf(float value) { return static_cast<_Float16>(value); }
float halfToFloat(_Float16 value) { return static_cast<float>(value); }

llvm::Error defineConversions(orc::LLJIT &jit) {
  orc::SymbolMap symbols;
  const auto define = [&](const char *name, auto *function) {
    symbols[jit.mangleAndIntern(name)] = {orc::ExecutorAddr::fromPtr(function),
                                          JITSymbolFlags::Exported | JITSymbolFlags::Callable};
  };
  define("__truncsfbf2", &floatToBf16);
  define("__truncdfbf2", &doubleToBf16);
  define("__truncdfhf2", &doubleToHalf);
  define("__truncsfhf2", &floatToHalf);
  define("__extendhfsf2", &halfToFloat);
  return jit.getMainJITDylib().define(orc::absoluteSymbols(std::move(symbols)));
}

Expected<std::unique_ptr<orc::LLJIT>> makeJit() {
  static std::once_flag once;
  std::call_once(once, [] {
    InitializeNativeTarget();
    InitializeNativeTargetAsmPrinter();
  });
  auto machine = orc::JITTargetMachineBuilder::detectHost();
  if (!machine)
    return machine.takeError();
  // A kernel spends its time in the emulator: making its code a third faster would take three times as long as this.
  machine->setCodeGenOptLevel(CodeGenOptLevel::None);
  // vcvtneps2bf16 flushes subnormal numbers, which a GPU's conversion keeps.
  machine->addFeatures({"-avx512bf16", "-avxneconvert"});
  auto jit = orc::LLJITBuilder()
                 .setJITTargetMachineBuilder(std::move(*machine))
                 .setPlatformSetUp(orc::setUpInactivePlatform)
                 .setObjectLinkingLayerCreator([](orc::ExecutionSession &session, const Triple &) {
                   return std::make_unique<orc::ObjectLinkingLayer>(session);
                 })
                 .create();
  if (!jit)
    return jit.takeError();
  if (llvm::Error error = defineConversions(**jit))
    return std::move(error);
  auto process = orc::DynamicLibrarySearchGenerator::GetForCurrentProcess((*jit)->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  (*jit)->getMainJITDylib().addGenerator(std::move(*process));
  return jit;
}

flashc::Error asError(llvm::Error error) {
  return {FLASHC_ERROR_TARGET, "the emulator's host code: " + toString(std::move(error))};
}

std::string verify(const Module &module) {
  std::string text;
  raw_string_ostream stream(text);
  return verifyModule(module, &stream) ? text : std::string();
}
} // namespace

Result<std::shared_ptr<const Image>> loadImage(std::string_view irText, const emulator::Chip &chip,
                                               std::string_view kernel) {
  auto context = std::make_unique<LLVMContext>();
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> device = parseAssemblyString({irText.data(), irText.size()}, diagnostic, *context);
  if (!device)
    return Error{FLASHC_ERROR_FORMAT, "expected LLVM IR, line " + std::to_string(diagnostic.getLineNo()) + ": " +
                                          diagnostic.getMessage().str()};
  if (const std::string problem = verify(*device); !problem.empty())
    return Error{FLASHC_ERROR_FORMAT, "invalid LLVM IR: " + problem};
  if (!kernel.empty())
    for (Function &function : *device)
      if (function.getName() != StringRef(kernel.data(), kernel.size()) && isKernel(function))
        function.deleteBody();
  auto image = std::make_shared<JitImage>(chip);
  Result<std::vector<Function *>> kernels = prepareModule(*device, image->parts);
  if (!kernels)
    return kernels.error();
  for (Function *&function : *kernels) {
    Result<Function *> instrumented = instrumentKernel(*function, chip, image->parts);
    if (!instrumented)
      return instrumented.error();
    function = *instrumented;
  }
  auto jit = makeJit();
  if (!jit)
    return asError(jit.takeError());
  image->jit = std::move(*jit);
  std::unique_ptr<Module> host =
      makeHostModule(*device, *kernels, image->jit->getDataLayout(), image->jit->getTargetTriple().str(), image->parts);
  device.reset();
  if (const std::string problem = verify(*host); !problem.empty())
    return Error{FLASHC_ERROR_TARGET, "the emulator cannot make host code of this IR: " + problem};
  if (llvm::Error error =
          image->jit->addIRModule(orc::ThreadSafeModule(std::move(host), orc::ThreadSafeContext(std::move(context)))))
    return asError(std::move(error));
  for (const std::string &name : image->parts.kernels) {
    auto symbol = image->jit->lookup(name);
    if (!symbol)
      return asError(symbol.takeError());
    image->functions[name] = symbol->toPtr<KernelFunction>();
  }
  if (!image->parts.variables.empty()) {
    auto table = image->jit->lookup("flashc.variables");
    if (!table)
      return asError(table.takeError());
    const uint64_t *addresses = table->toPtr<const uint64_t *>();
    for (size_t i = 0; i != image->parts.variables.size(); ++i)
      image->variables.push_back({addresses[i], image->parts.variables[i].second, image->parts.variableWritable[i],
                                  "@" + image->parts.variables[i].first});
  }
  return std::shared_ptr<const Image>(std::move(image));
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

namespace {
/// Workers of launches that have ended.
class WorkerPool {
public:
  std::unique_ptr<Worker> take() {
    std::lock_guard<std::mutex> lock(mutex);
    if (idle.empty())
      return std::make_unique<Worker>(stackBytes);
    std::unique_ptr<Worker> worker = std::move(idle.back());
    idle.pop_back();
    return worker;
  }
  void put(std::unique_ptr<Worker> worker) {
    std::lock_guard<std::mutex> lock(mutex);
    idle.push_back(std::move(worker));
  }
  static WorkerPool &instance() {
    static auto *pool = new WorkerPool();
    return *pool;
  }

private:
  std::mutex mutex;
  std::vector<std::unique_ptr<Worker>> idle;
};

/// The first finding of the lowest block.
struct Findings {
  std::mutex mutex;
  std::optional<Finding> first;
  std::atomic<int64_t> lowest{INT64_MAX};

  void add(const Finding &finding) {
    std::lock_guard<std::mutex> lock(mutex);
    if (finding.block < lowest) {
      lowest = finding.block;
      first = finding;
    }
  }
};
} // namespace

std::optional<Finding> launchKernel(const Image &image, const Launch &launch) {
  const auto &code = static_cast<const JitImage &>(image);
  const std::string name(launch.kernel);
  const auto refuse = [&](std::string why) {
    Finding finding;
    finding.kernel = name;
    finding.detail = std::move(why);
    return finding;
  };
  const auto function = code.functions.find(name);
  if (function == code.functions.end())
    return refuse("the image has no kernel of this name");
  const emulator::Chip &chip = code.target;
  if (launch.threads == 0 || launch.threads > chip.maxThreads)
    return refuse("expected 1 to " + std::to_string(chip.maxThreads) + " threads a block, got " +
                  std::to_string(launch.threads));
  const uint64_t sharedBytes = code.parts.staticShared + launch.sharedBytes;
  if (sharedBytes > chip.sharedBytes)
    return refuse("expected at most " + std::to_string(chip.sharedBytes) + " bytes of shared memory on " +
                  std::string(chip.name) + ", got " + std::to_string(sharedBytes));
  unsigned clusterBlocks = 1;
  const auto cluster = code.parts.clusters.find(name);
  if (cluster != code.parts.clusters.end()) {
    // The grid is a row, so a cluster has to be one.
    const auto &[x, y, z] = cluster->second;
    const std::string size = std::to_string(x) + " x " + std::to_string(y) + " x " + std::to_string(z);
    if (x == 0 || y != 1 || z != 1 || x > chip.maxClusterBlocks)
      return refuse("expected clusters of at most " + std::to_string(chip.maxClusterBlocks) + " x 1 x 1 blocks on " +
                    std::string(chip.name) + ", got " + size);
    if (launch.blocks % x)
      return refuse("expected a grid whose blocks are a multiple of a cluster's, " + std::to_string(x) + ", got " +
                    std::to_string(launch.blocks) + " blocks");
    clusterBlocks = x;
  }
  GlobalMemory memory = launch.memory;
  for (const MemoryRegion &variable : code.variables)
    memory.add(variable);
  memory.track();

  Findings findings;
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    std::unique_ptr<Worker> worker = WorkerPool::instance().take();
    if (!worker->reserve(clusterBlocks)) {
      findings.add(refuse("the host has no memory below 4 GB for shared memory"));
      return;
    }
    Finding finding;
    worker->cluster.finding = &finding;
    worker->cluster.resize(clusterBlocks);
    for (int64_t first; (first = next.fetch_add(clusterBlocks)) < launch.blocks && first < findings.lowest;) {
      for (unsigned rank = 0; rank != clusterBlocks; ++rank) {
        Block &block = worker->cluster[rank];
        block.chip = &chip;
        block.kernel = function->first.c_str();
        block.index = first + rank;
        block.numBlocks = launch.blocks;
        block.explicitCluster = cluster != code.parts.clusters.end();
        block.global = &memory;
        block.dynamicSharedOffset = code.parts.staticShared;
        block.asyncOrder = launch.asyncOrder;
        block.planting = launch.planting;
        block.random.seed(static_cast<uint32_t>(launch.seed * 7919 + static_cast<uint64_t>(block.index) + 1));
      }
      if (!runCluster(*worker, function->second, launch.params, launch.threads, sharedBytes))
        findings.add(finding);
    }
    WorkerPool::instance().put(std::move(worker));
  };
  const auto extra = static_cast<unsigned>(std::min<int64_t>(launch.workers, launch.blocks / clusterBlocks));
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < extra; ++i)
    threads.emplace_back(work);
  work();
  for (std::thread &thread : threads)
    thread.join();
  return findings.first;
}
} // namespace flashc::emulator

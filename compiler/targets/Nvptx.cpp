/// NVIDIA's GPUs: `nvptx:sm_80` and newer.
#include "compiler/LlvmBackend.h"
#include "compiler/targets/Gpu.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

namespace flashc {
Expected<std::shared_ptr<const Target>> parseNvptxTarget(StringRef detail);

namespace {
/// PTX ISA 8.0: the oldest that has all of sm_90a's instructions; drivers since CUDA 12.0 read it.
constexpr StringLiteral kFeatures = "+ptx80";
constexpr StringLiteral kTriple = "nvptx64-nvidia-cuda";

constexpr StringLiteral kChips[] = {"sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_90a"};

/// Where an assembler may be beside the PATH: a toolkit, or the package of the environment that Python runs in.
SmallVector<std::string> getToolFolders() {
  SmallVector<std::string> folders;
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"})
    if (auto root = sys::Process::GetEnv(variable); root && !root->empty())
      folders.push_back(*root + "/bin");
  folders.push_back("/usr/local/cuda/bin");
  if (auto root = sys::Process::GetEnv("VIRTUAL_ENV"); root && !root->empty()) {
    std::error_code code;
    for (sys::fs::directory_iterator it(*root + "/lib", code), end; !code && it != end; it.increment(code))
      for (const char *package : {"cuda_nvcc", "cu13", "cu12"})
        folders.push_back(it->path() + "/site-packages/nvidia/" + package + "/bin");
  }
  return folders;
}

class NvptxDevice : public DeviceTarget {
public:
  explicit NvptxDevice(StringRef name) {
    chip = name.str();
    capabilities = *findGpuCapabilities(chip);
  }

  ArrayRef<Stage> getStages() const override { return getNvptxStages(); }

  Expected<std::unique_ptr<TargetMachine>> createDeviceMachine(int optLevel) const override {
    return createGpuMachine(kTriple, chip, kFeatures, optLevel);
  }

  void finishDevice(Module &module, ArrayRef<DeviceFunction>) const override {
    for (Function &function : module) {
      if (function.isDeclaration())
        continue;
      // Kernels on every target take numbers below the smallest normal one as zero.
      function.addFnAttr("denormal-fp-math-f32", "preserve-sign,preserve-sign");
      // What threads execute together must not move to where only some of them come: MLIR has no word for it.
      function.setConvergent();
      for (Instruction &instruction : instructions(function))
        if (auto *call = dyn_cast<CallInst>(&instruction); call && call->isInlineAsm())
          call->setConvergent();
    }
  }

  Expected<DeviceImage> createImage(Module &module, int optLevel, bool binary) const override {
    auto machine = createDeviceMachine(optLevel);
    if (!machine)
      return machine.takeError();
    Expected<std::string> text = emitCode(module, **machine, /*assembly=*/true);
    if (!text)
      return text.takeError();
    if (!binary)
      return DeviceImage{"ptx", std::move(*text)};
    std::string ptxas = findAssembler();
    if (ptxas.empty())
      return createStringError(
          "cannot make a binary for " + chip +
          ": looked for ptxas in FLASHC_PTXAS, on the PATH, in CUDA_HOME/bin, CUDA_PATH/bin, /usr/local/cuda/bin "
          "and the environment's package nvidia-cuda-nvcc, found none; without --emit binary and "
          "--device-binary a kernel holds PTX, which the driver assembles" +
          describeMissingTool("FLASHC_PTXAS"));
    auto arguments = [&](StringRef input, StringRef output) -> SmallVector<std::string> {
      return {"-arch=" + chip, "-O" + utostr(optLevel), "-o", output.str(), input.str()};
    };
    Expected<std::string> bytes = runTool(ptxas, *text, "ptx", arguments);
    if (!bytes)
      return bytes.takeError();
    return DeviceImage{"cubin", std::move(*bytes)};
  }

  std::string describeTools(bool binary) const override {
    if (!binary)
      return "";
    std::string ptxas = findAssembler();
    sys::fs::file_status status;
    if (ptxas.empty() || sys::fs::status(ptxas, status))
      return ptxas;
    return ptxas + " " + utostr(status.getSize()) + " " +
           itostr(status.getLastModificationTime().time_since_epoch().count());
  }

  DeviceResources readResources(StringRef assembly) const override {
    std::string ptxas = findAssembler();
    if (ptxas.empty())
      return {{}, "not known: found no ptxas (FLASHC_PTXAS, the PATH, CUDA_HOME)"};
    auto arguments = [&](StringRef input, StringRef output) -> SmallVector<std::string> {
      return {"-v", "-arch=" + chip, "-o", output.str(), input.str()};
    };
    std::string log;
    Expected<std::string> bytes = runTool(ptxas, assembly, "ptx", arguments, &log);
    if (!bytes)
      return {{}, "not known: " + toString(bytes.takeError())};
    return {parsePtxasLog(log), "ptxas -v"};
  }

private:
  static std::string findAssembler() { return findTool("FLASHC_PTXAS", {"ptxas"}, getToolFolders()); }
};
} // namespace

std::unique_ptr<DeviceTarget> createNvptxDevice(StringRef name) {
  return is_contained(kChips, name) ? std::make_unique<NvptxDevice>(name) : nullptr;
}

std::string getNvptxChips() { return join(ArrayRef(kChips), ", "); }

Expected<std::shared_ptr<const Target>> parseNvptxTarget(StringRef detail) {
  if (std::unique_ptr<DeviceTarget> device = createNvptxDevice(detail))
    return createGpuTarget(("nvptx:" + detail).str(), std::move(device));
  return createStringError("unknown chip '" + detail + "' in target 'nvptx" + (detail.empty() ? "" : ":") + detail +
                           "': expected one of " + getNvptxChips() + "; code for sm_80 runs on everything newer");
}
} // namespace flashc

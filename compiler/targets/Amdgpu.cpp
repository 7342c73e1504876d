/// AMD's GPUs: `amdgpu:gfx90a`, `amdgpu:gfx942`, `amdgpu:gfx1100`.
#include "compiler/LlvmBackend.h"
#include "compiler/targets/Gpu.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

namespace flashc {
Expected<std::shared_ptr<const Target>> parseAmdgpuTarget(StringRef detail);

namespace {
constexpr StringLiteral kTriple = "amdgcn-amd-amdhsa";

constexpr StringLiteral kChips[] = {"gfx90a", "gfx942", "gfx1100"};

class AmdgpuDevice : public DeviceTarget {
public:
  explicit AmdgpuDevice(StringRef name) {
    chip = name.str();
    capabilities = *findGpuCapabilities(chip);
  }

  ArrayRef<Stage> getStages() const override { return getAmdgpuStages(); }

  Expected<std::unique_ptr<TargetMachine>> createDeviceMachine(int optLevel) const override {
    return createGpuMachine(kTriple, chip, "", optLevel);
  }

  void finishDevice(Module &module, ArrayRef<DeviceFunction> functions) const override {
    // The code object's version: what ROCm has loaded since 6.0.
    module.addModuleFlag(Module::Error, "amdhsa_code_object_version", 500);
    for (Function &function : module)
      if (!function.isDeclaration())
        function.addFnAttr("denormal-fp-math-f32", "preserve-sign,preserve-sign");
    for (const DeviceFunction &description : functions)
      if (Function *function = module.getFunction(description.name)) {
        std::string threads = utostr(description.threads);
        function->addFnAttr("amdgpu-flat-work-group-size", threads + "," + threads);
        // A maximum does not ask first whether its operands are signalling NaN.
        function->addFnAttr("amdgpu-ieee", "false");
        // Waves of a block that multiplies hide each other's exponentials. Two leave 256 registers to each, so that
        // products' sums are where the vector unit finds them, and nothing moves to and from accumulation registers.
        if (const unsigned waves = capabilities.wavesPerSimd; waves > 0 && description.sharedBytes > 0)
          function->addFnAttr("amdgpu-waves-per-eu", utostr(waves) + "," + utostr(waves));
      }
  }

  /// A code object has no text that a driver would translate, so there is only the binary.
  Expected<DeviceImage> createImage(Module &module, int optLevel, bool) const override {
    auto machine = createDeviceMachine(optLevel);
    if (!machine)
      return machine.takeError();
    Expected<std::string> object = emitCode(module, **machine, /*assembly=*/false);
    if (!object)
      return object.takeError();
    std::string linker = findTool("FLASHC_LLD", {"ld.lld-19", "ld.lld"}, {"/opt/rocm/llvm/bin"});
    if (linker.empty())
      return createStringError(
          "cannot link the code object for " + chip +
          ": looked for ld.lld-19 and ld.lld in FLASHC_LLD, on the PATH and in /opt/rocm/llvm/bin, found none (on "
          "Debian: apt install lld-19)" +
          describeMissingTool("FLASHC_LLD"));
    auto arguments = [](StringRef input, StringRef output) -> SmallVector<std::string> {
      return {"-shared", "--no-undefined", "-o", output.str(), input.str()};
    };
    Expected<std::string> bytes = runTool(linker, *object, "o", arguments);
    if (!bytes)
      return bytes.takeError();
    return DeviceImage{"hsaco", std::move(*bytes)};
  }

  DeviceResources readResources(StringRef assembly) const override {
    return {parseAmdMetadata(assembly), "the code object's metadata"};
  }
};
} // namespace

std::unique_ptr<DeviceTarget> createAmdgpuDevice(StringRef name) {
  return is_contained(kChips, name) ? std::make_unique<AmdgpuDevice>(name) : nullptr;
}

std::string getAmdgpuChips() { return join(ArrayRef(kChips), ", "); }

Expected<std::shared_ptr<const Target>> parseAmdgpuTarget(StringRef detail) {
  if (std::unique_ptr<DeviceTarget> device = createAmdgpuDevice(detail))
    return createGpuTarget(("amdgpu:" + detail).str(), std::move(device));
  return createStringError("unknown chip '" + detail + "' in target 'amdgpu" + (detail.empty() ? "" : ":") + detail +
                           "': expected one of " + getAmdgpuChips());
}
} // namespace flashc

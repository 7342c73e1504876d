/// `emulated:CHIP`: code for the chip, kept as the LLVM IR that its code generator would take. The emulated device runs
/// it on the CPU.
#include "compiler/targets/Gpu.h"

#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

namespace flashc {
Expected<std::shared_ptr<const Target>> parseEmulatedTarget(StringRef detail);

namespace {
class EmulatedDevice : public DeviceTarget {
public:
  explicit EmulatedDevice(std::unique_ptr<DeviceTarget> real) : real(std::move(real)) {
    chip = this->real->getChip().str();
    capabilities = this->real->getCapabilities();
  }

  ArrayRef<Stage> getStages() const override { return real->getStages(); }
  Expected<std::unique_ptr<TargetMachine>> createDeviceMachine(int optLevel) const override {
    return real->createDeviceMachine(optLevel);
  }
  void finishDevice(Module &module, ArrayRef<DeviceFunction> functions) const override {
    real->finishDevice(module, functions);
  }
  Expected<DeviceImage> createImage(Module &module, int, bool) const override {
    DeviceImage image{"llvm-ir", ""};
    raw_string_ostream os(image.bytes);
    module.print(os, nullptr);
    return image;
  }
  DeviceResources readResources(StringRef assembly) const override { return real->readResources(assembly); }

private:
  std::unique_ptr<DeviceTarget> real;
};
} // namespace

Expected<std::shared_ptr<const Target>> parseEmulatedTarget(StringRef detail) {
  std::unique_ptr<DeviceTarget> real = createNvptxDevice(detail);
  if (!real)
    real = createAmdgpuDevice(detail);
  if (!real)
    return createStringError("unknown chip '" + detail + "' in target 'emulated" + (detail.empty() ? "" : ":") +
                             detail + "': expected one of " + getNvptxChips() + ", " + getAmdgpuChips());
  return createGpuTarget(("emulated:" + detail).str(), std::make_unique<EmulatedDevice>(std::move(real)));
}
} // namespace flashc

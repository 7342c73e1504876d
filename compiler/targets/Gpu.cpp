#include "compiler/targets/Gpu.h"

#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

using namespace llvm;

namespace flashc {
Expected<std::shared_ptr<const Target>> parseCpuTarget(StringRef detail);

namespace {
/// The host's part is scalar code that computes sizes: the least of x86-64 is enough.
class GpuTarget : public Target {
public:
  GpuTarget(StringRef name, std::shared_ptr<const Target> host, std::unique_ptr<DeviceTarget> device)
      : launching(std::move(host)), device(std::move(device)) {
    this->name = name.str();
    triple = launching->getTriple().str();
    architecture = launching->getArchitecture().str();
    variants.assign(launching->getVariants().begin(), launching->getVariants().end());
  }

  Expected<std::unique_ptr<TargetMachine>> createTargetMachine(const CpuVariant &variant, int optLevel) const override {
    return launching->createTargetMachine(variant, optLevel);
  }
  Expected<std::unique_ptr<MCSubtargetInfo>> createSubtarget(const CpuVariant &variant) const override {
    return launching->createSubtarget(variant);
  }
  ArrayRef<Stage> getStages() const override { return device->getStages(); }
  const DeviceTarget *getDevice() const override { return device.get(); }

private:
  std::shared_ptr<const Target> launching;
  std::unique_ptr<DeviceTarget> device;
};
} // namespace

Expected<std::shared_ptr<const Target>> createGpuTarget(StringRef name, std::unique_ptr<DeviceTarget> device) {
  // Also makes LLVM's targets known.
  Expected<std::shared_ptr<const Target>> host = parseCpuTarget("x86-64");
  if (!host)
    return host.takeError();
  return std::make_shared<GpuTarget>(name, std::move(*host), std::move(device));
}

Expected<std::unique_ptr<TargetMachine>> createGpuMachine(StringRef triple, StringRef chip, StringRef features,
                                                          int optLevel) {
  std::string message;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple.str(), message);
  if (!target)
    return createStringError("this build of LLVM cannot compile for " + triple + ": " + message);
  TargetOptions options;
  options.AllowFPOpFusion = FPOpFusion::Standard;
  auto level = CodeGenOpt::getLevel(optLevel);
  std::unique_ptr<TargetMachine> machine(target->createTargetMachine(
      triple, chip, features, options, Reloc::PIC_, std::nullopt, level.value_or(CodeGenOptLevel::Aggressive)));
  if (!machine)
    return createStringError("LLVM has no code generator for " + triple);
  return machine;
}

std::string findTool(StringRef variable, ArrayRef<StringRef> names, ArrayRef<std::string> folders) {
  if (auto given = sys::Process::GetEnv(variable); given && !given->empty())
    return sys::fs::can_execute(*given) ? *given : "";
  for (StringRef name : names) {
    if (auto found = sys::findProgramByName(name))
      return *found;
    for (const std::string &folder : folders)
      if (auto found = sys::findProgramByName(name, {folder}))
        return *found;
  }
  return "";
}

std::string describeMissingTool(StringRef variable) {
  auto given = sys::Process::GetEnv(variable);
  if (!given || given->empty())
    return "";
  return ("; " + variable + " names '" + *given + "', which cannot be run, so nothing else was looked for").str();
}

Expected<std::string>
runTool(StringRef program, StringRef input, StringRef suffix,
        function_ref<SmallVector<std::string>(StringRef inputPath, StringRef outputPath)> arguments,
        std::string *said) {
  // Files that only this user reads, with names that nobody can foresee.
  SmallString<128> paths[3];
  int descriptors[3];
  const StringRef kinds[] = {suffix, "out", "txt"};
  for (auto [i, kind] : enumerate(kinds))
    if (std::error_code code = sys::fs::createTemporaryFile("flashc-device", kind, descriptors[i], paths[i]))
      return createStringError("cannot create a temporary file: " + code.message());
  FileRemover removers[] = {FileRemover(paths[0]), FileRemover(paths[1]), FileRemover(paths[2])};
  for (int descriptor : ArrayRef(descriptors).drop_front())
    sys::Process::SafelyCloseFileDescriptor(descriptor);
  {
    raw_fd_ostream os(descriptors[0], /*shouldClose=*/true);
    os << input;
    os.close();
    if (os.has_error()) {
      std::error_code code = os.error();
      os.clear_error();
      return createStringError("cannot write '" + paths[0] + "': " + code.message());
    }
  }
  SmallVector<std::string> command{program.str()};
  append_range(command, arguments(paths[0], paths[1]));
  SmallVector<StringRef> pieces(command.begin(), command.end());
  std::optional<StringRef> redirects[] = {StringRef(""), StringRef(paths[2]), StringRef(paths[2])};
  std::string message;
  int result = sys::ExecuteAndWait(program, pieces, std::nullopt, redirects, 0, 0, &message);
  auto log = MemoryBuffer::getFile(paths[2]);
  if (result != 0)
    return createStringError("'" + program + "' failed: " + message + (log ? (*log)->getBuffer() : ""));
  if (said)
    *said = log ? (*log)->getBuffer().str() : "";
  auto output = MemoryBuffer::getFile(paths[1]);
  if (!output)
    return createStringError("cannot read what '" + program + "' wrote: " + output.getError().message());
  return (*output)->getBuffer().str();
}
} // namespace flashc

/// What there is to run kernels on: flash-run --devices and --device.
#include "Commands.h"

#include <cstdio>
#include <filesystem>

namespace flashc {
namespace {

/// The emulated GPUs' library, where it was built or installed beside this program: it brings LLVM, which this program
/// does without.
std::optional<Error> addEmulatedDevices() {
  std::error_code failed;
  const std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe", failed);
  const std::filesystem::path library = own.parent_path().parent_path() / "lib" / "libflashc_emulated.so";
  if (failed || !std::filesystem::exists(library, failed))
    return Error{FLASHC_ERROR_IO, library.string() + ": not there"};
  return loadDeviceLibrary(library.string());
}

Result<LoadedPack> loadOnce(const Arguments &arguments) {
  Device *device = nullptr;
  if (!arguments.device.empty()) {
    Result<Device *> found = deviceNamed(arguments.device);
    if (!found)
      return found.error();
    device = *found;
  }
  return loadPack(arguments.pack, device);
}
} // namespace

Result<LoadedPack> loadPackOnDevice(const Arguments &arguments) {
  Result<LoadedPack> pack = loadOnce(arguments);
  if (pack || pack.error().status != FLASHC_ERROR_TARGET || pack.error().message.find("emulated") == std::string::npos)
    return pack;
  if (std::optional<Error> error = addEmulatedDevices())
    return Error{pack.error().status, pack.error().message + "; no emulated device: " + error->message};
  return loadOnce(arguments);
}

void listDevices() {
  const std::optional<Error> noEmulated = addEmulatedDevices();
  for (Device *device : devices()) {
    const DeviceInfo info = device->describe();
    std::printf("%-18s %s%s%s\n", info.name.c_str(), info.description.c_str(), info.driver.empty() ? "" : ", ",
                info.driver.c_str());
  }
  for (const AbsentDevice &absent : absentDevices())
    std::printf("%-18s none: %s\n", absent.name.c_str(), absent.reason.c_str());
  if (noEmulated)
    std::printf("%-18s none: %s\n", "emulated", noEmulated->message.c_str());
}
} // namespace flashc

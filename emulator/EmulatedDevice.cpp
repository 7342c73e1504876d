//===- EmulatedDevice.cpp - launches on an emulated GPU ------------------------===//

#include "emulator/EmulatedDevice.h"
#include "emulator/TensorMap.h"

#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

using namespace flashc;
using namespace flashc::emulator;

namespace {
/// All bytes between a tensor's first and last element.
MemoryRegion extentOf(const flashc_tensor &tensor, const flashc_operand_info &operand) {
  const auto size = static_cast<int64_t>(flashc_dtype_size(tensor.dtype));
  int64_t low = 0, high = size;
  for (int32_t d = 0; d < tensor.rank; ++d) {
    if (tensor.size[d] == 0)
      return {reinterpret_cast<uint64_t>(tensor.data), 0, false, operand.name};
    const int64_t reach = (tensor.size[d] - 1) * tensor.stride[d] * size;
    (reach < 0 ? low : high) += reach;
  }
  return {reinterpret_cast<uint64_t>(tensor.data) + static_cast<uint64_t>(low), static_cast<uint64_t>(high - low),
          (operand.flags & FLASHC_OPERAND_OUTPUT) != 0, operand.name};
}

/// Outside of a call nobody has said what the parameters point to: any memory.
GlobalMemory memoryOf(const DeviceCall &call) {
  if (!call.info || !call.args)
    return GlobalMemory({}, /*permissive=*/true);
  std::vector<MemoryRegion> regions;
  for (uint32_t i = 0; i < call.args->num_tensors && i < call.info->num_operands; ++i)
    regions.push_back(extentOf(call.args->tensors[i], call.info->operands[i]));
  if (call.workspaceBytes)
    regions.push_back({reinterpret_cast<uint64_t>(call.workspace), call.workspaceBytes, true, "workspace"});
  return GlobalMemory(std::move(regions), /*permissive=*/false);
}
} // namespace

EmulatedDevice::EmulatedDevice(const Chip &chip) : chip(chip) {
  const char *text = std::getenv("FLASHC_EMULATED_ORDER");
  if (text && std::strncmp(text, "random", 6) == 0) {
    order = AsyncOrder::Random;
    if (text[6] == ':')
      seed = std::strtoull(text + 7, nullptr, 10);
  }
}

DeviceInfo EmulatedDevice::describe() const {
  DeviceInfo info;
  info.name = "emulated:" + std::string(chip.name);
  info.family = "emulated";
  info.architecture = chip.name;
  info.description = std::string(chip.vendor == Vendor::Nvidia ? "NVIDIA " : "AMD ") + std::string(chip.name) +
                     ", executed on the CPU: exact and slow";
  info.identity = info.name;
  info.sharedBytes = static_cast<int64_t>(chip.sharedBytes);
  return info;
}

Result<int> EmulatedDevice::suitability(std::string_view target) const {
  const std::string own = "emulated:" + std::string(chip.name);
  if (target == own)
    return 0;
  return Error{FLASHC_ERROR_TARGET, "expected a kernel for " + own + ", got \"" + std::string(target) + "\""};
}

void EmulatedDevice::forget(const flashc_kernel_info *info) {
  const std::lock_guard<std::mutex> lock(mutex);
  for (auto entry = images.begin(); entry != images.end();)
    entry = entry->second.owner == info ? images.erase(entry) : std::next(entry);
}

Result<std::shared_ptr<const Image>> EmulatedDevice::find(const flashc_device_function &function,
                                                          const flashc_kernel_info *owner) {
  const std::string_view text(static_cast<const char *>(function.image), static_cast<size_t>(function.image_bytes));
  const std::lock_guard<std::mutex> lock(mutex);
  const std::tuple key(std::string(function.name), std::hash<std::string_view>()(text), text.size());
  if (const auto found = images.find(key); found != images.end())
    return found->second.image;
  Result<std::shared_ptr<const Image>> image =
      loadImage(rewrite ? rewrite(text, function.name) : std::string(text), chip, function.name);
  if (image)
    images[key] = {owner, *image};
  return image;
}

Result<void *> EmulatedDevice::takeWorkspace(size_t bytes, void *stream) {
  Result<void *> workspace = LaunchingDevice::takeWorkspace(bytes, stream);
  if (workspace)
    std::memset(*workspace, 0xff, bytes);
  return workspace;
}

std::optional<Error> EmulatedDevice::start(const flashc_device_function &function, const DeviceCall &call,
                                           int64_t blocks, void *const *params, void *) {
  if (std::string_view(function.format) != "llvm-ir")
    return Error{FLASHC_ERROR_FORMAT,
                 std::string(function.name) + ": expected an image of format llvm-ir, got " + function.format};
  Result<std::shared_ptr<const Image>> image = find(function, call.info);
  if (!image)
    return image.error();
  Launch launch;
  launch.kernel = function.name;
  launch.blocks = blocks;
  launch.threads = function.threads;
  launch.sharedBytes = function.shared_bytes;
  launch.params = params;
  launch.memory = memoryOf(call);
  launch.asyncOrder = order;
  launch.seed = seed;
  launch.workers = workers ? workers : std::max(1u, std::thread::hardware_concurrency());
  launch.planting = planting;
  if (const std::optional<Finding> finding = launchKernel(**image, launch))
    return Error{FLASHC_ERROR_DEVICE, describe().name + ": " + finding->text()};
  return std::nullopt;
}

std::optional<Error> EmulatedDevice::encode(void *map, const flashc_tensor_map &what) {
  if (chip.vendor == Vendor::Nvidia && chip.version >= 90)
    return encodeTensorMap(what, map);
  return LaunchingDevice::encode(map, what);
}

void flashc::registerEmulatedDevices() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const Chip &chip : chips())
      registerDevice(std::make_unique<EmulatedDevice>(chip));
  });
}

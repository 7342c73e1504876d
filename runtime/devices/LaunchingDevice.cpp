//===- LaunchingDevice.cpp - a device that a kernel's host side launches on ---===//

#include "runtime/devices/LaunchingDevice.h"
#include "runtime/DeviceFacts.h"
#include "runtime/GpuCostModel.h"
#include "runtime/devices/HostKernel.h"
#include "runtime/devices/OperandAccess.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>

using namespace flashc;

/// One call of a kernel: what its host's `user` points to.
struct LaunchingDevice::Call {
  LaunchingDevice &device;
  DeviceCall about;
  std::optional<Error> error = std::nullopt; ///< the first one, with more words than a status has
  std::string refused = {};                  ///< why the device made no tensor map
  const void *maps[8] = {};                  ///< those it made
  size_t numMaps = 0;
  unsigned boxes = 0, missing = 0; ///< the launches' tensor maps that are some of these, and that are none

  void countMaps(const flashc_device_function &function, void *const *params) {
    constexpr uint32_t mapBytes = 128;
    for (uint32_t i = 0; i < function.num_params; ++i)
      if (function.param_bytes[i] == mapBytes)
        ++(std::find(maps, maps + numMaps, params[i]) != maps + numMaps ? boxes : missing);
  }
};

namespace {
std::string text(uint64_t value) { return std::to_string(value); }

/// A kernel's tasks on the host: GPU kernels have none, and a loop over few sizes may as well run here.
void runTasks(void *, int64_t count, flashc_task task, void *context) {
  for (int64_t i = 0; i < count; ++i)
    task(context, i, 0);
}

/// The services of a host, without a device behind them: enough for NAME_workspace_size.
flashc_host makeHost(int32_t blocks, void *user) {
  return {FLASHC_ABI_VERSION, blocks, user, runTasks, nullptr, nullptr, 0, 0};
}

/// What cuTensorMapEncodeTiled asks for, said in words.
std::optional<Error> checkTensorMap(const void *map, const flashc_tensor_map &what) {
  auto wrong = [](const std::string &expected, const std::string &actual) {
    return Error{FLASHC_ERROR_INVALID, "tensor map: expected " + expected + ", got " + actual};
  };
  auto address = [](const void *pointer) {
    char digits[32];
    std::snprintf(digits, sizeof(digits), "%p", pointer);
    return std::string(digits);
  };
  if (reinterpret_cast<uintptr_t>(map) % 64)
    return wrong("a place aligned to 64 bytes", address(map));
  if (what.rank < 1 || what.rank > 5)
    return wrong("a rank from 1 to 5", text(what.rank));
  if (!flashc_dtype_size(what.dtype))
    return wrong("an element type", text(static_cast<uint32_t>(what.dtype)));
  if (!what.address || reinterpret_cast<uintptr_t>(what.address) % 16)
    return wrong("data aligned to 16 bytes", "address " + address(what.address));
  for (uint32_t d = 0; d < what.rank; ++d) {
    if (what.size[d] < 1 || what.size[d] > (uint64_t(1) << 32))
      return wrong("size " + text(d) + " from 1 to 2^32", text(what.size[d]));
    if (d && (what.stride_bytes[d - 1] % 16 || what.stride_bytes[d - 1] >= (uint64_t(1) << 40)))
      return wrong("stride " + text(d) + " to be a multiple of 16 bytes below 2^40",
                   text(what.stride_bytes[d - 1]) + " bytes");
    if (what.box[d] < 1 || what.box[d] > 256)
      return wrong("box size " + text(d) + " from 1 to 256", text(what.box[d]));
  }
  const uint64_t inner = what.box[0] * static_cast<uint64_t>(flashc_dtype_size(what.dtype));
  if (inner % 16)
    return wrong("a box whose rows are a multiple of 16 bytes", text(inner) + " bytes");
  if (what.swizzle && inner > what.swizzle)
    return wrong("a box whose rows are at most the swizzle's " + text(what.swizzle) + " bytes", text(inner) + " bytes");
  return std::nullopt;
}
} // namespace

std::unique_ptr<CostModel> LaunchingDevice::costModel(const DeviceFacts &facts) const {
  const DeviceInfo info = describe();
  const GpuChip *chip = findGpuChip(info.architecture);
  if (!chip) // what its code is compiled for
    chip = findGpuChip(info.architecture.rfind("sm_", 0) == 0 ? "sm_80" : "gfx90a");
  GpuLimits limits;
  limits.units = fact(facts, "multiprocessors");
  limits.clockGhz = fact(facts, "clock-ghz");
  limits.memoryGbps = fact(facts, "dram-read-gbps-all");
  limits.sharedPerBlock = info.sharedBytes;
  return std::make_unique<GpuCostModel>(*chip, limits);
}

Result<std::unique_ptr<LoadedKernel>> LaunchingDevice::load(const Artifact &artifact) {
  if (Result<int> suits = suitability(artifact.target); !suits)
    return Error{suits.error().status, artifact.name + ": " + suits.error().message};
  return loadHostKernel(artifact);
}

std::optional<Error> LaunchingDevice::checkFunction(const flashc_device_function &function) {
  if (function.abi_version > FLASHC_ABI_VERSION || function.struct_size < sizeof(flashc_device_function))
    return Error{FLASHC_ERROR_ABI, "expected a device function of ABI version at most " + text(FLASHC_ABI_VERSION) +
                                       " and " + text(sizeof(flashc_device_function)) + " bytes, got version " +
                                       text(function.abi_version) + " and " + text(function.struct_size) + " bytes"};
  if (!function.name || !function.target || !function.format || !function.image || !function.image_bytes)
    return Error{FLASHC_ERROR_FORMAT, "expected a device function with a name, a target, a format and an image"};
  {
    const std::shared_lock<std::shared_mutex> lock(checkedMutex);
    const auto known = checked.find(&function);
    if (known != checked.end() && known->second.sharedBytes == function.shared_bytes &&
        known->second.target == function.target)
      return std::nullopt;
  }
  if (Result<int> suits = suitability(function.target); !suits)
    return Error{suits.error().status, std::string(function.name) + ": " + suits.error().message};
  const DeviceInfo info = describe();
  if (info.sharedBytes && function.shared_bytes > info.sharedBytes)
    return Error{FLASHC_ERROR_DEVICE, std::string(function.name) + ": expected at most the " + text(info.sharedBytes) +
                                          " bytes of shared memory that a block of " + info.name + " (" +
                                          info.architecture + ") may have, got " + text(function.shared_bytes)};
  const std::lock_guard<std::shared_mutex> lock(checkedMutex);
  checked[&function] = {function.shared_bytes, function.target};
  return std::nullopt;
}

std::optional<Error> LaunchingDevice::encode(void *, const flashc_tensor_map &) {
  const DeviceInfo info = describe();
  return Error{FLASHC_ERROR_TARGET, info.name + " (" + info.architecture + "): expected a device with tensor maps"};
}

flashc_status LaunchingDevice::launchService(void *user, const flashc_device_function *function, int64_t blocks,
                                             void *const *params, void *stream) {
  auto *call = static_cast<Call *>(user);
  if (blocks < 1)
    return FLASHC_OK;
  std::optional<Error> error = function ? call->device.checkFunction(*function)
                                        : Error{FLASHC_ERROR_NULL, "expected a device function, got null"};
  if (!error)
    error = call->device.start(*function, call->about, blocks, params, stream);
  if (!error) {
    call->countMaps(*function, params);
    return FLASHC_OK;
  }
  const flashc_status status = error->status;
  call->error = std::move(error);
  return status;
}

flashc_status LaunchingDevice::encodeService(void *user, void *map, const flashc_tensor_map *what) {
  auto *call = static_cast<Call *>(user);
  std::optional<Error> error = checkTensorMap(map, *what);
  if (!error)
    error = call->device.encode(map, *what);
  if (!error) {
    if (call->numMaps < std::size(call->maps))
      call->maps[call->numMaps++] = map;
    return FLASHC_OK;
  }
  const flashc_status status = error->status;
  call->refused = error->message;
  call->error = std::move(error);
  return status;
}

std::optional<Error> LaunchingDevice::checkPlaces(const flashc_kernel_info &info, const flashc_args &args) const {
  if (usesHostMemory())
    return std::nullopt;
  for (uint32_t i = 0; i < args.num_tensors; ++i) {
    const flashc_tensor &tensor = args.tensors[i];
    bool empty = false;
    for (int32_t d = 0; d < tensor.rank; ++d)
      empty |= tensor.size[d] == 0;
    const MemoryPlace place = empty ? MemoryPlace::Unknown : placeOf(tensor.data);
    if (place != MemoryPlace::Host && place != MemoryPlace::Other)
      continue;
    return Error{FLASHC_ERROR_DEVICE, std::string(info.name) + ": operand " + text(i) + " \"" + info.operands[i].name +
                                          "\": expected memory of " + describe().name + ", got a pointer to " +
                                          (place == MemoryPlace::Host ? "the host's memory" : "another device's")};
  }
  return std::nullopt;
}

size_t LaunchingDevice::workspaceBytes(const flashc_kernel &kernel, const flashc_args &args) const {
  const flashc_host host = makeHost(concurrentBlocks(), nullptr);
  flashc_args own = args;
  own.host = &host;
  return kernel.workspace_size(&own);
}

std::optional<Error> LaunchingDevice::launchWith(const flashc_kernel &kernel, const flashc_args &args, void *stream,
                                                 void *workspace, size_t bytes) {
  Call call{*this, {kernel.info, &args, workspace, bytes}};
  flashc_host host = makeHost(concurrentBlocks(), &call);
  host.launch = launchService;
  host.encode_tensor_map = encodeService;
  host.multiprocessors = multiprocessorCount();
  flashc_args own = args;
  own.host = &host;
  const flashc_status status = kernel.run(&own, stream, workspace, bytes);
  if (status == FLASHC_OK) {
    noteFallbacks(call, *kernel.info, args);
    return std::nullopt;
  }
  const std::string name(kernel.info->name);
  if (call.error)
    return Error{call.error->status, name + ": " + call.error->message};
  return Error{status, name + ": the kernel refused the call: " + flashc_status_string(status)};
}

void LaunchingDevice::noteFallbacks(const Call &call, const flashc_kernel_info &info, const flashc_args &args) {
  auto note = [&](const char *kind, const std::string &operand, const std::string &text) {
    const std::string kernel = std::string(info.name) + " for " + info.target + ": ";
    taken.note(kernel + kind + operand, kernel + text);
  };
  const bool byEngine = call.boxes && !call.missing;
  const bool anywhere = hasUnalignedAccess(info);
  bool explained = !call.missing;
  for (uint32_t i = 0; i < args.num_tensors; ++i) {
    const flashc_operand_info &operand = info.operands[i];
    if (!isMatrix(operand))
      continue;
    const flashc_tensor &tensor = args.tensors[i];
    const bool written = operand.flags & FLASHC_OPERAND_OUTPUT, tiles = !written;
    auto named = [&](const char *rest) { return std::string("\"") + operand.name + "\"" + rest; };
    // Nothing is copied of nothing.
    explained |= tiles && tensor.size[2] == 0;
    if (const std::string why = whyNoWholePieces(tensor, anywhere); !why.empty() && !(tiles && byEngine)) {
      explained |= tiles;
      note("pieces of ", operand.name,
           named(written ? " is written" : " is read") + " element by element and not sixteen bytes at a time: " + why +
               (anywhere ? "; expected elements side by side, and sixteen bytes of them in a row"
                         : "; expected elements side by side, rows, an address and strides of a multiple of 16 bytes"));
    } else if (tiles && call.missing) {
      if (const std::string why = whyNoBoxes(tensor); !why.empty()) {
        explained = true;
        note("boxes of ", operand.name,
             named(" is copied by threads and not by the copy engine (TMA): ") + why +
                 "; expected sizes below 2^31, and strides above 0 and below 2^40 bytes");
      }
    }
  }
  if (!explained && !call.refused.empty())
    note("boxes", "", "what it reads is copied by threads and not by the copy engine (TMA): " + call.refused);
}

std::optional<Error> LaunchingDevice::check(const flashc_kernel &kernel, const flashc_args &args) const {
  flashc_args own = args;
  own.host = nullptr;
  if (flashc_status status = flashc_check_args(kernel.info, &own, nullptr, 0))
    return Error{status, flashc_last_error()};
  return checkPlaces(*kernel.info, args);
}

std::optional<Error> LaunchingDevice::launch(const flashc_kernel &kernel, const flashc_args &args, void *stream) {
  if (std::optional<Error> error = check(kernel, args))
    return error;
  const size_t bytes = workspaceBytes(kernel, args);
  if (!bytes)
    return launchWith(kernel, args, stream, nullptr, 0);
  Result<void *> workspace = takeWorkspace(bytes, stream);
  if (!workspace)
    return Error{workspace.error().status,
                 std::string(kernel.info->name) + ": workspace: " + workspace.error().message};
  std::optional<Error> error = launchWith(kernel, args, stream, *workspace, bytes);
  std::optional<Error> returned = returnWorkspace(*workspace, bytes, stream);
  return error ? error : returned;
}

Result<void *> LaunchingDevice::takeWorkspace(size_t bytes, void *) { return allocate(bytes); }

std::optional<Error> LaunchingDevice::returnWorkspace(void *workspace, size_t, void *) { return free(workspace); }

Result<Timing> LaunchingDevice::time(const flashc_kernel &kernel, const flashc_args &args, const TimeOptions &options) {
  return timeRuns(
      [&]() -> std::optional<Error> {
        if (std::optional<Error> error = launch(kernel, args, nullptr))
          return error;
        return synchronize(nullptr);
      },
      options);
}

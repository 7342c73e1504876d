//===- GpuDevice.cpp - one GPU behind a driver --------------------------------===//

#include "runtime/devices/GpuDevice.h"
#include "runtime/devices/HostKernel.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <limits>

using namespace flashc;

Error GpuDevice::error(const std::string &what, int code) const {
  Error failure = driver->error(what, code);
  failure.message = info.name + ": " + failure.message;
  return failure;
}

std::optional<Error> GpuDevice::check(const std::string &what, int code) const {
  if (code == gpuSuccess)
    return std::nullopt;
  return error(what, code);
}

int GpuDevice::attribute(int name, int otherwise) const {
  int value = 0;
  return driver->api().deviceAttribute(&value, name, handle) ? otherwise : value;
}

GpuDevice::~GpuDevice() = default;

std::optional<Error> GpuDevice::open(const Vocabulary &words) {
  const GpuApi &api = driver->api();
  const std::string prefix = words.prefix;
  info.name = std::string(driver->name()) + ":" + std::to_string(number);
  if (int code = api.deviceGet(&handle, number))
    return error(prefix + "DeviceGet", code);
  char name[256] = "";
  if (int code = api.deviceName(name, sizeof(name) - 1, handle))
    return error(prefix + "DeviceGetName", code);
  size_t bytes = 0;
  if (int code = api.deviceMemory(&bytes, handle))
    return error(prefix + "DeviceTotalMem", code);
  if (std::optional<Error> failure = identify())
    return failure;
  info.family = words.family;
  info.driver = driver->version();
  info.units = std::max(attribute(words.multiprocessors, 1), 1);
  info.memoryBytes = static_cast<int64_t>(bytes);
  info.sharedBytes = attribute(words.sharedPerBlock, static_cast<int>(words.sharedBytes));
  facts["multiprocessors"] = info.units;
  facts["clock-ghz"] = attribute(words.clockRate) * 1e-6;
  // Two transfers a clock.
  facts["dram-read-gbps-all"] = 2e-6 * attribute(words.memoryClockRate) * attribute(words.memoryBusWidth) / 8;
  facts["l2-bytes"] = attribute(words.l2Bytes);
  facts["shared-bytes-block"] = static_cast<double>(info.sharedBytes);
  char text[96];
  std::snprintf(text, sizeof(text), " (%s), %d %s, %.1f GiB", info.architecture.c_str(), info.units, words.units,
                static_cast<double>(bytes) / (1 << 30));
  info.description = (*name ? name : words.unnamed) + std::string(text);
  std::snprintf(text, sizeof(text), ", %d units, %.2f GHz, %.0f GB/s", info.units, facts["clock-ghz"],
                facts["dram-read-gbps-all"]);
  info.identity = name + (", " + info.architecture) + text;
  return std::nullopt;
}

void GpuDevice::release() {
  const Scope scope(*this);
  if (scope.code)
    return;
  (void)driver->api().contextSynchronize();
  letGo(/*all=*/true);
  for (auto &[address, image] : images)
    (void)driver->api().moduleUnload(image.module);
  for (auto &[stream, blocks] : idle)
    for (const Block &block : blocks)
      (void)driver->api().free(block.memory);
  images.clear();
  functions.clear();
  idle.clear();
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Result<void *> GpuDevice::allocate(size_t bytes) {
  const Scope scope(*this);
  if (scope.code)
    return error("making the device current", scope.code);
  void *memory = nullptr;
  const size_t asked = std::max<size_t>(bytes, 1); // drivers refuse 0
  int code = driver->api().allocate(&memory, asked);
  if (code == gpuOutOfMemory) {
    // What calls have ended with may be enough.
    releaseWorkspaces();
    code = driver->api().allocate(&memory, asked);
  }
  if (code == gpuSuccess)
    return memory;
  Error failure = error("allocating device memory", code);
  size_t free = 0, total = 0;
  if (driver->api().memoryInfo(&free, &total) == gpuSuccess)
    failure.message += ": expected " + std::to_string(asked) + " bytes, got a device with " + std::to_string(free) +
                       " of " + std::to_string(total) + " bytes free";
  return failure;
}

std::optional<Error> GpuDevice::free(void *memory) {
  if (!memory)
    return std::nullopt;
  const Scope scope(*this);
  if (scope.code)
    return error("making the device current", scope.code);
  return check("freeing device memory", driver->api().free(memory));
}

std::optional<Error> GpuDevice::copyToDevice(void *to, const void *from, size_t bytes, void *stream) {
  if (!bytes)
    return std::nullopt;
  const Scope scope(*this);
  if (scope.code)
    return error("making the device current", scope.code);
  if (int code = driver->api().copyToDevice(to, from, bytes, stream))
    return error("copying to the device", code);
  return check("copying to the device", driver->api().streamSynchronize(stream));
}

std::optional<Error> GpuDevice::copyToHost(void *to, const void *from, size_t bytes, void *stream) {
  if (!bytes)
    return std::nullopt;
  const Scope scope(*this);
  if (scope.code)
    return error("making the device current", scope.code);
  if (int code = driver->api().copyToHost(to, const_cast<void *>(from), bytes, stream))
    return error("copying to the host", code);
  return check("copying to the host", driver->api().streamSynchronize(stream));
}

std::optional<Error> GpuDevice::zero(void *memory, size_t bytes, void *stream) {
  if (!bytes)
    return std::nullopt;
  const Scope scope(*this);
  if (scope.code)
    return error("making the device current", scope.code);
  return check("filling device memory", driver->api().fill(memory, 0, bytes, stream));
}

std::optional<Error> GpuDevice::synchronize(void *stream) {
  const Scope scope(*this);
  if (scope.code)
    return error("making the device current", scope.code);
  return check("waiting for the device", driver->api().streamSynchronize(stream));
}

MemoryPlace GpuDevice::placeOf(const void *pointer) const {
  // The vendors agree on these, since HIP 6.
  enum { memoryType = 2, isManaged = 8, deviceOrdinal = 9, hostMemory = 1, deviceMemory = 2 };
  const Scope scope(*this);
  if (scope.code)
    return MemoryPlace::Unknown;
  const GpuApi &api = driver->api();
  auto *address = const_cast<void *>(pointer);
  unsigned type = 0;
  // Memory that the driver has never heard of is the host's.
  if (api.pointerAttribute(&type, memoryType, address))
    return MemoryPlace::Host;
  int managed = 0;
  if (api.pointerAttribute(&managed, isManaged, address) == gpuSuccess && managed)
    return MemoryPlace::Device;
  if (type != deviceMemory)
    return type <= hostMemory ? MemoryPlace::Host : MemoryPlace::Device;
  int owner = number;
  if (api.pointerAttribute(&owner, deviceOrdinal, address))
    return MemoryPlace::Unknown;
  return owner == number ? MemoryPlace::Device : MemoryPlace::Other;
}

//===----------------------------------------------------------------------===//
// Workspaces
//===----------------------------------------------------------------------===//

bool GpuDevice::isCapturing(void *stream) const {
  int status = 0;
  const GpuApi &api = driver->api();
  return stream && api.streamIsCapturing && api.allocateAsync && api.freeAsync &&
         api.streamIsCapturing(stream, &status) == gpuSuccess && status != 0;
}

Result<void *> GpuDevice::takeWorkspace(size_t bytes, void *stream) {
  {
    const Scope scope(*this);
    if (scope.code)
      return error("making the device current", scope.code);
    // What is captured runs later, again and again: its memory has to be the graph's own.
    if (isCapturing(stream)) {
      void *memory = nullptr;
      if (int code = driver->api().allocateAsync(&memory, bytes, stream))
        return error("allocating a captured workspace", code);
      return memory;
    }
  }
  {
    const std::lock_guard<std::mutex> lock(mutex);
    std::vector<Block> &blocks = idle[stream];
    auto fits = std::find_if(blocks.begin(), blocks.end(), [&](const Block &block) { return block.bytes >= bytes; });
    if (fits != blocks.end()) {
      void *memory = fits->memory;
      blocks.erase(fits);
      return memory;
    }
  }
  return allocate(bytes);
}

std::optional<Error> GpuDevice::returnWorkspace(void *workspace, size_t bytes, void *stream) {
  constexpr size_t mostIdle = 4; // as many as threads that use one stream at a time, in good programs
  std::optional<Block> spare;
  {
    // A device that cannot be made current keeps the block: it is freed with the others.
    const Scope scope(*this);
    if (!scope.code && isCapturing(stream))
      return check("freeing a captured workspace", driver->api().freeAsync(workspace, stream));
  }
  {
    const std::lock_guard<std::mutex> lock(mutex);
    std::vector<Block> &blocks = idle[stream];
    blocks.push_back({workspace, bytes});
    // The largest stay; the smallest that fits is taken first.
    std::sort(blocks.begin(), blocks.end(), [](const Block &a, const Block &b) { return a.bytes < b.bytes; });
    if (blocks.size() > mostIdle) {
      spare = blocks.front();
      blocks.erase(blocks.begin());
    }
  }
  if (!spare)
    return std::nullopt;
  if (std::optional<Error> failed = synchronize(stream))
    return failed;
  return free(spare->memory);
}

void GpuDevice::releaseWorkspaces() {
  std::unordered_map<void *, std::vector<Block>> taken;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    taken.swap(idle);
  }
  const Scope scope(*this);
  if (scope.code || taken.empty())
    return;
  (void)driver->api().contextSynchronize();
  for (auto &[stream, blocks] : taken)
    for (const Block &block : blocks)
      (void)driver->api().free(block.memory);
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

Result<void *> GpuDevice::loadImage(const flashc_device_function &function) {
  if (std::optional<Error> wrong = checkImage(function))
    return *wrong;
  // What the driver's compiler says of PTX that it does not take. Its options: the log of errors, and its size.
  enum { errorLog = 5, errorLogBytes = 6 };
  std::string log(8192, '\0');
  int options[] = {errorLog, errorLogBytes};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size())};
  void *module = nullptr;
  const unsigned numOptions = driver->vendor() == GpuDriver::Vendor::Cuda ? 2 : 0;
  const int code = driver->api().moduleLoad(&module, function.image, numOptions, options, values);
  if (code == gpuSuccess)
    return module;
  Error failure = error("loading the " + std::string(function.format) + " of \"" + function.name + "\" for " +
                            function.target + " on " + info.architecture,
                        code);
  log.resize(log.find('\0') == std::string::npos ? log.size() : log.find('\0'));
  if (!log.empty())
    failure.message += ": " + log;
  return failure;
}

Result<void *> GpuDevice::find(const flashc_device_function &function, const flashc_kernel_info *owner) {
  const std::lock_guard<std::mutex> lock(mutex);
  auto known = functions.find(&function);
  if (known != functions.end() && known->second.image == function.image && known->second.owner == owner)
    return known->second.handle;
  Image &image = images[{function.image, owner}];
  const bool fresh = !image.module;
  if (fresh) {
    Result<void *> module = loadImage(function);
    if (!module) {
      images.erase({function.image, owner});
      return module.error();
    }
    image = {*module, owner};
  }
  Function entry{nullptr, function.image, owner};
  std::optional<Error> failure;
  if (int code = driver->api().moduleFunction(&entry.handle, image.module, function.name))
    failure = error("finding \"" + std::string(function.name) + "\" in its image", code);
  else
    failure = prepare(entry.handle, function);
  if (failure) {
    if (fresh) {
      (void)driver->api().moduleUnload(image.module);
      images.erase({function.image, owner});
    }
    return *failure;
  }
  functions[&function] = entry;
  return entry.handle;
}

std::optional<Error> GpuDevice::start(const flashc_device_function &function, const DeviceCall &call, int64_t blocks,
                                      void *const *params, void *stream) {
  constexpr int64_t mostBlocks = std::numeric_limits<int32_t>::max();
  if (blocks > mostBlocks)
    return Error{FLASHC_ERROR_INVALID, info.name + ": " + function.name + ": expected at most " +
                                           std::to_string(mostBlocks) + " blocks, got " + std::to_string(blocks)};
  const Scope scope(*this);
  if (scope.code)
    return error("making the device current", scope.code);
  Result<void *> entry = find(function, call.info);
  if (!entry)
    return entry.error();
  const int code = driver->api().launch(*entry, static_cast<unsigned>(blocks), 1, 1, function.threads, 1, 1,
                                        function.shared_bytes, stream, const_cast<void **>(params), nullptr);
  if (code == gpuSuccess)
    return std::nullopt;
  Error failure = error("launching \"" + std::string(function.name) + "\"", code);
  failure.message += " (" + std::to_string(blocks) + " blocks of " + std::to_string(function.threads) + " threads, " +
                     std::to_string(function.shared_bytes) + " bytes of shared memory)";
  return failure;
}

void GpuDevice::forget(const flashc_kernel_info *owner) {
  std::vector<void *> modules;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    for (auto entry = functions.begin(); entry != functions.end();)
      entry = entry->second.owner == owner ? functions.erase(entry) : std::next(entry);
    for (auto image = images.begin(); image != images.end();) {
      if (image->second.owner != owner) {
        ++image;
        continue;
      }
      modules.push_back(image->second.module);
      image = images.erase(image);
    }
  }
  if (modules.empty())
    return;
  const Scope scope(*this);
  if (scope.code)
    return;
  // Its last launch may still run.
  (void)driver->api().contextSynchronize();
  for (void *module : modules)
    (void)driver->api().moduleUnload(module);
}

//===----------------------------------------------------------------------===//
// Events
//===----------------------------------------------------------------------===//

namespace {
/// Destroyed with its scope, also where something fails.
struct Event {
  explicit Event(const GpuApi &api, unsigned flags = 0) : api(api), code(api.eventCreate(&handle, flags)) {}
  ~Event() {
    if (!code)
      (void)api.eventDestroy(handle);
  }
  Event(const Event &) = delete;
  Event &operator=(const Event &) = delete;

  const GpuApi &api;
  void *handle = nullptr;
  const int code;
};
constexpr unsigned withoutTiming = 2;
} // namespace

std::optional<Error> GpuDevice::orderStreams(void *earlier, void *later) {
  if (earlier == later)
    return std::nullopt;
  const Scope scope(*this);
  if (scope.code)
    return error("making the device current", scope.code);
  const Event event(driver->api(), withoutTiming);
  if (event.code)
    return error("making an event", event.code);
  if (int code = driver->api().eventRecord(event.handle, earlier))
    return error("recording an event", code);
  return check("waiting for an event", driver->api().streamWaitEvent(later, event.handle, 0));
}

void GpuDevice::letGo(bool all) {
  std::vector<Kept> done;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    auto ended = [&](const Kept &entry) { return all || driver->api().eventQuery(entry.event) != gpuNotReady; };
    const auto first = std::partition(kept.begin(), kept.end(), [&](const Kept &entry) { return !ended(entry); });
    done.assign(std::make_move_iterator(first), std::make_move_iterator(kept.end()));
    kept.erase(first, kept.end());
  }
  for (const Kept &entry : done)
    (void)driver->api().eventDestroy(entry.event);
}

void GpuDevice::keepUntilDone(std::shared_ptr<void> what, void *stream) {
  const Scope scope(*this);
  // What a graph captures runs when its owner says so, who keeps what it reads.
  if (scope.code || isCapturing(stream))
    return;
  letGo(/*all=*/false);
  const GpuApi &api = driver->api();
  void *event = nullptr;
  int code = api.eventCreate(&event, withoutTiming);
  if (!code && (code = api.eventRecord(event, stream)))
    (void)api.eventDestroy(event);
  if (code) {
    // Without an event there is no other way to know.
    (void)api.streamSynchronize(stream);
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex);
  kept.push_back({event, std::move(what)});
}

Result<Timing> GpuDevice::time(const flashc_kernel &kernel, const flashc_args &args, const TimeOptions &options) {
  if (options.repeats < 1)
    return Error{FLASHC_ERROR_INVALID, "expected at least 1 measured run, got " + std::to_string(options.repeats)};
  const Scope scope(*this);
  if (scope.code)
    return error("making the device current", scope.code);
  for (int32_t i = 0; i < options.warmups; ++i)
    if (std::optional<Error> failed = launch(kernel, args, nullptr))
      return *failed;
  const GpuApi &api = driver->api();
  const Event begin(api), end(api);
  if (int code = begin.code ? begin.code : end.code)
    return error("making an event", code);
  if (std::optional<Error> failed = synchronize(nullptr))
    return *failed;
  std::vector<double> seconds;
  double total = 0;
  while (static_cast<int32_t>(seconds.size()) < options.repeats || total < options.minSeconds) {
    if (int code = api.eventRecord(begin.handle, nullptr))
      return error("recording an event", code);
    if (std::optional<Error> failed = launch(kernel, args, nullptr))
      return *failed;
    int code = api.eventRecord(end.handle, nullptr);
    if (!code)
      code = api.eventSynchronize(end.handle);
    float milliseconds = 0;
    if (!code)
      code = api.eventElapsed(&milliseconds, begin.handle, end.handle);
    if (code)
      return error("timing with events", code);
    seconds.push_back(milliseconds * 1e-3);
    // A clock that stands still must not keep this from ending.
    total += std::max(seconds.back(), 1e-6);
  }
  return summarize(seconds);
}

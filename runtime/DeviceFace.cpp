//===- DeviceFace.cpp - devices for C ------------------------------------------===//

#include "runtime/Fallbacks.h"
#include "runtime/devices/Device.h"

#include <nlohmann/json.hpp>

using namespace flashc;
using nlohmann::json;

namespace {
Device *fromC(flashc_device *device) { return reinterpret_cast<Device *>(device); }

flashc_status toStatus(const std::optional<Error> &error) { return error ? setLastError(*error) : FLASHC_OK; }

flashc_status noDevice(const char *function) {
  return setLastError(FLASHC_ERROR_INVALID, "%s: expected a device, got null", function);
}
} // namespace

const char *flashc_devices(void) {
  static thread_local std::string text;
  try {
    json list = json::array(), absent = json::array();
    for (Device *device : devices()) {
      const DeviceInfo info = device->describe();
      list.push_back({{"name", info.name},
                      {"family", info.family},
                      {"architecture", info.architecture},
                      {"description", info.description},
                      {"driver", info.driver},
                      {"units", info.units},
                      {"memory_bytes", info.memoryBytes},
                      {"shared_bytes", info.sharedBytes}});
    }
    for (const AbsentDevice &kind : absentDevices())
      absent.push_back({{"name", kind.name}, {"reason", kind.reason}});
    text = json{{"devices", list}, {"absent", absent}, {"fallbacks", fallbacks()}}.dump(-1, ' ', false,
                                                                                        json::error_handler_t::replace);
  } catch (const std::exception &failure) {
    setLastError(FLASHC_ERROR_MEMORY, "flashc_devices: %s", failure.what());
    return nullptr;
  }
  return text.c_str();
}

flashc_status flashc_device_find(const char *name, flashc_device **device) {
  if (!name || !device)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_device_find: expected a %s, got null",
                        name ? "place for the device" : "name");
  *device = nullptr;
  Result<Device *> found = deviceNamed(name);
  if (!found)
    found = deviceForTarget(name);
  if (!found)
    return setLastError(found.error());
  *device = reinterpret_cast<flashc_device *>(*found);
  return FLASHC_OK;
}

const char *flashc_device_name(const flashc_device *device) {
  static thread_local std::string text;
  text = device ? reinterpret_cast<const Device *>(device)->describe().name : "";
  return text.c_str();
}

flashc_status flashc_device_allocate(flashc_device *device, size_t bytes, void **memory) {
  if (!device || !memory)
    return noDevice("flashc_device_allocate");
  *memory = nullptr;
  Result<void *> allocated = fromC(device)->allocate(bytes);
  if (!allocated)
    return setLastError(allocated.error());
  *memory = *allocated;
  return FLASHC_OK;
}

flashc_status flashc_device_free(flashc_device *device, void *memory) {
  return device ? toStatus(fromC(device)->free(memory)) : noDevice("flashc_device_free");
}

flashc_status flashc_device_copy_to(flashc_device *device, void *to, const void *from, size_t bytes, void *stream) {
  return device ? toStatus(fromC(device)->copyToDevice(to, from, bytes, stream)) : noDevice("flashc_device_copy_to");
}

flashc_status flashc_device_copy_from(flashc_device *device, void *to, const void *from, size_t bytes, void *stream) {
  return device ? toStatus(fromC(device)->copyToHost(to, from, bytes, stream)) : noDevice("flashc_device_copy_from");
}

flashc_status flashc_device_synchronize(flashc_device *device, void *stream) {
  return device ? toStatus(fromC(device)->synchronize(stream)) : noDevice("flashc_device_synchronize");
}

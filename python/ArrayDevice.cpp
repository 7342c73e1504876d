//===- ArrayDevice.cpp - where arrays lie, and what runs there ----------------===//

#include "python/ArrayDevice.h"

#include "python/Errors.h"

#include <algorithm>
#include <map>
#include <mutex>

namespace flashc::python {

DLDevice canonicalDevice(DLDevice device, const char *name) {
  switch (device.device_type) {
  case kDLCPU:
  case kDLCUDAHost:
  case kDLROCMHost:
    return {kDLCPU, 0};
  case kDLCUDA:
  case kDLCUDAManaged:
    return {kDLCUDA, device.device_id};
  case kDLROCM:
    return device;
  default:
    throw py::value_error(std::string(name) +
                          ": expected an array in the memory of the CPU or of a GPU of CUDA or ROCm, got one on DLPack "
                          "device " +
                          std::to_string(device.device_type) + ":" + std::to_string(device.device_id));
  }
}

static std::string nameOf(DLDevice device) {
  return (device.device_type == kDLROCM ? "hip:" : "cuda:") + std::to_string(device.device_id);
}

std::string describePlace(DLDevice device) {
  return isHost(device) ? "the CPU's memory" : "the memory of " + nameOf(device);
}

/// CuPy's current stream of a device; older ones know that of the current device alone.
static py::object cupyStream(int device) {
  const py::object cuda = py::module_::import("cupy").attr("cuda");
  try {
    return cuda.attr("get_current_stream")(device);
  } catch (py::error_already_set &error) {
    if (!error.matches(PyExc_TypeError))
      throw;
  }
  const py::object scope = cuda.attr("Device")(device);
  scope.attr("__enter__")();
  const py::object stream = cuda.attr("get_current_stream")();
  scope.attr("__exit__")(py::none(), py::none(), py::none());
  return stream;
}

std::optional<void *> frameworkStream(py::handle array, DLDevice device) {
  const std::string module = py::str(py::type::of(array).attr("__module__"));
  const std::string framework = module.substr(0, module.find('.'));
  py::object stream;
  if (framework == "torch")
    stream = py::module_::import("torch").attr("cuda").attr("current_stream")(device.device_id).attr("cuda_stream");
  else if (framework == "cupy")
    stream = cupyStream(device.device_id).attr("ptr");
  else
    return std::nullopt;
  return reinterpret_cast<void *>(stream.cast<uintptr_t>());
}

std::optional<void *> givenStream(py::handle stream) {
  if (stream.is_none())
    return std::nullopt;
  py::object handle = py::reinterpret_borrow<py::object>(stream);
  if (py::hasattr(stream, "__cuda_stream__")) {
    const py::tuple told = stream.attr("__cuda_stream__")(); // (version, handle)
    handle = told.size() == 2 ? py::object(told[1]) : py::none();
  } else if (py::hasattr(stream, "cuda_stream")) {
    handle = stream.attr("cuda_stream");
  } else if (py::hasattr(stream, "ptr")) {
    handle = stream.attr("ptr");
  }
  if (!PyLong_Check(handle.ptr()))
    throw py::type_error(
        std::string("stream: expected a stream of PyTorch or CuPy, an object with __cuda_stream__ or a "
                    "handle as an integer, got ") +
        Py_TYPE(stream.ptr())->tp_name);
  const auto number = PyLong_AsLongLong(handle.ptr());
  if (number < 0 || PyErr_Occurred()) {
    PyErr_Clear();
    throw py::value_error("stream: expected the handle of a stream, got " + std::string(py::str(handle)));
  }
  return reinterpret_cast<void *>(static_cast<uintptr_t>(number));
}

// The numbers that DLPack's Python protocol gives to CUDA's default stream and to "do not order".
static constexpr intptr_t legacyDefault = 1, unordered = -1;

py::int_ protocolStream(DLDevice device, void *stream) {
  const auto number = reinterpret_cast<intptr_t>(stream);
  return py::int_(number == 0 && device.device_type == kDLCUDA ? legacyDefault : number);
}

void *streamOfProtocol(DLDevice device, py::handle argument) {
  if (argument.is_none())
    return nullptr;
  const auto number = argument.cast<intptr_t>();
  const bool isDefault = number == unordered || (number == legacyDefault && device.device_type == kDLCUDA);
  return isDefault ? nullptr : reinterpret_cast<void *>(number);
}

Device &gpuOf(DLDevice device) {
  // Asking for a device by its name makes every device describe itself.
  static std::mutex mutex;
  static auto *known = new std::map<std::pair<int, int>, Device *>();
  const std::lock_guard<std::mutex> lock(mutex);
  Device *&found = (*known)[{device.device_type, device.device_id}];
  if (!found) {
    Result<Device *> named = deviceNamed(nameOf(device));
    if (!named)
      throwStatus(FLASHC_ERROR_TARGET, named.error().message);
    found = *named;
  }
  return *found;
}

const std::string &targetFor(DLDevice device) {
  static std::mutex mutex;
  static auto *known = new std::map<std::pair<int, int>, std::string>();
  Device &gpu = gpuOf(device);
  const std::lock_guard<std::mutex> lock(mutex);
  std::string &target = (*known)[{device.device_type, device.device_id}];
  if (target.empty()) {
    const DeviceInfo info = gpu.describe();
    // What an NVIDIA GPU has beyond 8.0 is used where there is code for that very chip.
    target = device.device_type == kDLROCM  ? "amdgpu:" + info.architecture
             : info.architecture == "sm_90" ? "nvptx:sm_90a"
                                            : "nvptx:sm_80";
  }
  return target;
}

const std::string &targetFor(const std::string &name) {
  const bool rocm = name.rfind("hip:", 0) == 0;
  const std::string number = name.substr(std::min(name.size(), name.find(':') + 1));
  if ((!rocm && name.rfind("cuda:", 0) != 0) || number.empty() || number.size() > 4 ||
      number.find_first_not_of("0123456789") != std::string::npos)
    throw py::value_error("expected the name of a GPU, such as 'cuda:0', got '" + name + "'");
  return targetFor(DLDevice{rocm ? kDLROCM : kDLCUDA, std::stoi(number)});
}

void checkOneDevice(const Tensor *inputs, uint32_t count, const char *const *names) {
  for (uint32_t i = 1; i < count; ++i)
    if (!isSame(inputs[i].device, inputs[0].device))
      throw py::value_error(std::string(names[i]) + ": expected an array in " + describePlace(inputs[0].device) +
                            ", where " + names[0] + " lies, got one in " + describePlace(inputs[i].device));
}

Device &deviceForCall(const char *target, DLDevice place, const char *name) {
  if (!isHost(place)) {
    Device &gpu = gpuOf(place);
    if (Result<int> suits = gpu.suitability(target); !suits)
      throw py::value_error(std::string(name) + ": lies in " + describePlace(place) + ": " + suits.error().message);
    return gpu;
  }
  Result<Device *> device = deviceForTarget(target);
  if (!device)
    throwError(device.error());
  if (!(*device)->usesHostMemory())
    throw py::value_error(std::string(name) + ": expected an array in the memory of a device for \"" + target +
                          "\", such as " + (*device)->describe().name + ", got one in the CPU's memory");
  return **device;
}

} // namespace flashc::python

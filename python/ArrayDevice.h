//===- ArrayDevice.h - where arrays lie, and what runs there ------------------===//
//
// DLPack names a device by a type and a number; the runtime by "cuda:0". Frameworks work on streams, which DLPack hands
// from one to another.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_PYTHON_ARRAYDEVICE_H
#define FLASHC_PYTHON_ARRAYDEVICE_H

#include "python/Interop.h"
#include "runtime/devices/Device.h"

#include <optional>

namespace flashc::python {

inline bool isHost(DLDevice device) { return device.device_type == kDLCPU; }
inline bool isSame(DLDevice a, DLDevice b) { return a.device_type == b.device_type && a.device_id == b.device_id; }

/// The device without what does not matter here: pinned memory is the CPU's, managed memory its GPU's. Throws
/// value_error for a device that is neither the CPU nor a GPU of CUDA or ROCm; `name` is the argument's.
DLDevice canonicalDevice(DLDevice device, const char *name);

/// "the CPU's memory", "the memory of cuda:0".
std::string describePlace(DLDevice device);

/// The stream that a framework without a function table works on now: PyTorch's and CuPy's current one on the array's
/// device; nothing for frameworks that have none to ask for, as JAX.
std::optional<void *> frameworkStream(py::handle array, DLDevice device);

/// The stream that a caller gives: a handle as an integer, where CUDA's own 1 is the legacy default one and 2 the
/// thread's, or an object with `cuda_stream` (PyTorch), `ptr` (CuPy) or `__cuda_stream__`. Throws for others.
std::optional<void *> givenStream(py::handle stream);

/// `stream` as the argument of `__dlpack__`.
py::int_ protocolStream(DLDevice device, void *stream);
/// The stream that such an argument means.
void *streamOfProtocol(DLDevice device, py::handle argument);

/// The GPU behind a canonical device that is not the CPU. Throws RuntimeError with the reason where the runtime has
/// none.
Device &gpuOf(DLDevice device);

/// What target="host" stands for with arrays there: the best target that the compiler has for the device.
const std::string &targetFor(DLDevice device);

/// The same for a device by its name: "cuda:0".
const std::string &targetFor(const std::string &name);

/// Throws value_error unless all inputs lie on one device; `names` are the arguments'.
void checkOneDevice(const Tensor *inputs, uint32_t count, const char *const *names);

/// The device that runs a kernel for `target`, which is not the CPU's, on arrays that lie on `place`. Throws, naming
/// both, where it cannot; `name` is the first array's.
Device &deviceForCall(const char *target, DLDevice place, const char *name);

} // namespace flashc::python

#endif // FLASHC_PYTHON_ARRAYDEVICE_H

//===- Interop.h - arrays of any framework as tensors of the C ABI ----------===//
//
// An argument is read where it lies, whatever made it: NumPy arrays through their struct, frameworks that publish
// DLPack's function table through that, everything else through `__dlpack__`. Nothing is copied. A result is of the
// kind of a given argument.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_PYTHON_INTEROP_H
#define FLASHC_PYTHON_INTEROP_H

#include "python/DLPackExchange.h"
#include "runtime/include/flashc/runtime.h"

#include <pybind11/pybind11.h>

#include <optional>
#include <string>

namespace flashc::python {

namespace py = pybind11;

/// What the interop knows of a Python type; kept for as long as the process lives.
struct TypeInfo {
  enum Access {
    NumPy,    ///< an ndarray or a subclass of it
    Exchange, ///< the type publishes DLPack's function table
    Protocol, ///< `__dlpack__`
    None      ///< no array
  } access = None;
  const ExchangeTable *exchange = nullptr;
  bool isTorch = false;
  bool isJax = false;
};

/// Looks a type up, once for each type. Needs the GIL.
const TypeInfo &getTypeInfo(PyTypeObject *type);

/// An array argument, held for the time of a call.
struct Tensor {
  flashc_tensor view; ///< filled in by importTensor
  const TypeInfo *type = nullptr;
  py::handle object;  ///< the argument itself, borrowed
  py::object capsule; ///< keeps what `__dlpack__` exported
  bool readOnly = false;
  DLDevice device = {kDLCPU, 0};
  /// The stream on which the memory may be read: the framework's current one, or the one that a call was given; null is
  /// a device's default.
  void *stream = nullptr;
  /// Whether the framework itself works on `stream`, so that what is behind a kernel there may reuse the memory.
  bool ownStream = true;
};

/// Reads `object` into `tensor`; `name` stands in messages. Throws type_error for something that is no array, an
/// element type outside of the ABI's or not in native byte order, and a torch tensor that wants a gradient; value_error
/// for a device that is neither the CPU nor a GPU of CUDA or ROCm, more than FLASHC_MAX_RANK dimensions, and strides
/// that are not multiples of the element size.
/// `stream` is what the caller chose to read it on.
void importTensor(py::handle object, const char *name, Tensor &tensor, std::optional<void *> stream = std::nullopt);

/// Makes an uninitialised array of `like`'s kind, on its device, with C-contiguous memory and describes it in `tensor`,
/// with strides filled in. `tensor.view` holds dtype, rank and sizes on entry.
py::object allocateTensor(const Tensor &like, flashc_tensor &tensor);

/// The object that the caller gets for a result of allocateTensor, after its memory has been written.
py::object finishTensor(const Tensor &like, py::object result);

/// "f32 (2, 8, 128, 64)", for messages.
std::string describe(const flashc_tensor &tensor);
/// "(2, 8, 128, 64)".
std::string describeShape(const int64_t *size, int32_t rank);

/// Memory that `__dlpack__` hands to frameworks without a function table.
void bindInterop(py::module_ &module);

} // namespace flashc::python

#endif // FLASHC_PYTHON_INTEROP_H

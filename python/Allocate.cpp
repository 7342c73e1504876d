//===- Allocate.cpp - results of the kind of an argument ---------------------===//

#include "python/ArrayDevice.h"
#include "python/Errors.h"
#include "python/Interop.h"

#include <pybind11/numpy.h>

#include <cstdlib>
#include <new>

namespace flashc::python {

namespace {

DLDataType getDLType(int32_t dtype) {
  const auto bits = static_cast<uint8_t>(8 * flashc_dtype_size(dtype));
  switch (dtype) {
  case FLASHC_F64:
  case FLASHC_F32:
  case FLASHC_F16:
    return {kDLFloat, bits, 1};
  case FLASHC_BF16:
    return {kDLBfloat, bits, 1};
  case FLASHC_BOOL:
    return {kDLBool, bits, 1};
  default:
    return {kDLInt, bits, 1};
  }
}

void fillContiguousStrides(flashc_tensor &tensor) {
  int64_t stride = 1;
  for (int32_t d = tensor.rank; d-- > 0;) {
    tensor.stride[d] = stride;
    stride *= tensor.size[d] > 0 ? tensor.size[d] : 1;
  }
}

/// Memory of a result, until a framework takes it over through `__dlpack__`. Aligned to a cache line, which JAX asks of
/// memory that it does not copy.
class Buffer {
public:
  /// On `place`; what is written there is ready on `stream`.
  Buffer(const flashc_tensor &tensor, DLDevice place, void *stream)
      : tensor(tensor), place(place), stream(stream), gpu(isHost(place) ? nullptr : &gpuOf(place)) {
    size_t bytes = flashc_dtype_size(tensor.dtype);
    for (int32_t d = 0; d < tensor.rank; ++d)
      if (__builtin_mul_overflow(bytes, static_cast<size_t>(tensor.size[d]), &bytes))
        throw std::bad_alloc();
    if (gpu) {
      Result<void *> memory = gpu->allocate(bytes);
      if (!memory)
        throwError(memory.error());
      this->tensor.data = *memory;
    } else if (posix_memalign(&this->tensor.data, 64, bytes ? bytes : 64)) {
      throw std::bad_alloc();
    }
  }
  ~Buffer() {
    if (gpu)
      (void)gpu->free(tensor.data);
    else
      std::free(tensor.data);
  }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;

  /// Makes a consumer's stream wait for what is written.
  void handTo(py::handle consumer) const {
    constexpr int unordered = -1;
    if (!gpu || (!consumer.is_none() && consumer.cast<intptr_t>() == unordered))
      return;
    if (std::optional<Error> error = gpu->orderStreams(stream, streamOfProtocol(place, consumer)))
      throwError(*error);
  }

  flashc_tensor tensor;
  const DLDevice place;

private:
  void *const stream;
  Device *const gpu;
};

/// A managed tensor that keeps the Python object of a Buffer.
template <typename Managed> struct Export {
  Managed managed;
  flashc_tensor tensor;
  PyObject *keeper;

  static void destroy(Managed *managed) {
    auto *self = static_cast<Export *>(managed->manager_ctx);
    const py::gil_scoped_acquire gil;
    Py_DECREF(self->keeper);
    delete self;
  }
  static Managed *create(py::object owner, const flashc_tensor &tensor, DLDevice place) {
    auto *self = new Export{{}, tensor, owner.release().ptr()};
    DLTensor &out = self->managed.dl_tensor;
    out.data = tensor.data;
    out.device = place;
    out.ndim = tensor.rank;
    out.dtype = getDLType(tensor.dtype);
    out.shape = self->tensor.size;
    out.strides = self->tensor.stride;
    out.byte_offset = 0;
    self->managed.manager_ctx = self;
    self->managed.deleter = destroy;
    return &self->managed;
  }
};

/// A capsule whose tensor nobody took gives it back itself; whoever takes it renames the capsule.
template <typename Managed> void destroyCapsule(PyObject *capsule) {
  constexpr const char *name = std::is_same_v<Managed, DLManagedTensor> ? "dltensor" : "dltensor_versioned";
  if (!PyCapsule_IsValid(capsule, name))
    return;
  auto *managed = static_cast<Managed *>(PyCapsule_GetPointer(capsule, name));
  managed->deleter(managed);
}

py::object exportBuffer(py::object self, const py::object &stream, const py::object &maxVersion) {
  const auto &buffer = self.cast<const Buffer &>();
  const flashc_tensor &tensor = buffer.tensor;
  buffer.handTo(stream);
  const bool versioned = !maxVersion.is_none() && maxVersion.cast<py::tuple>()[0].cast<int>() >= 1;
  PyObject *capsule = nullptr;
  if (versioned) {
    auto *managed = Export<DLManagedTensorVersioned>::create(self, tensor, buffer.place);
    managed->version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
    managed->flags = 0;
    capsule = PyCapsule_New(managed, "dltensor_versioned", destroyCapsule<DLManagedTensorVersioned>);
  } else {
    capsule = PyCapsule_New(Export<DLManagedTensor>::create(self, tensor, buffer.place), "dltensor",
                            destroyCapsule<DLManagedTensor>);
  }
  if (!capsule)
    throw py::error_already_set();
  return py::reinterpret_steal<py::object>(capsule);
}

py::object numPyDescr(const Tensor &like, int32_t dtype) {
  if (like.view.dtype == dtype && like.type->access == TypeInfo::NumPy)
    return py::reinterpret_borrow<py::object>(py::detail::array_proxy(like.object.ptr())->descr);
  if (dtype == FLASHC_BF16)
    return py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16"));
  using npy = py::detail::npy_api;
  static const int numbers[] = {npy::NPY_DOUBLE_, npy::NPY_FLOAT_, 23, -1, npy::NPY_INT64_, npy::NPY_INT32_,
                                npy::NPY_INT8_,   npy::NPY_BOOL_};
  return py::reinterpret_steal<py::object>(npy::get().PyArray_DescrFromType_(numbers[dtype]));
}

py::object allocateNumPy(const Tensor &like, flashc_tensor &tensor) {
  const auto &api = py::detail::npy_api::get();
  Py_intptr_t sizes[FLASHC_MAX_RANK];
  for (int32_t d = 0; d < tensor.rank; ++d)
    sizes[d] = tensor.size[d];
  PyObject *array = api.PyArray_NewFromDescr_(api.PyArray_Type_, numPyDescr(like, tensor.dtype).release().ptr(),
                                              tensor.rank, sizes, nullptr, nullptr, 0, nullptr);
  if (!array)
    throw py::error_already_set();
  tensor.data = py::detail::array_proxy(array)->data;
  return py::reinterpret_steal<py::object>(array);
}

void raiseKind(void *, const char *kind, const char *message) {
  PyErr_Format(PyExc_RuntimeError, "allocating a result: %s: %s", kind, message);
}

py::object allocateExchange(const ExchangeTable &table, DLDevice place, flashc_tensor &tensor) {
  DLTensor prototype = {};
  prototype.device = place;
  prototype.ndim = tensor.rank;
  prototype.dtype = getDLType(tensor.dtype);
  prototype.shape = tensor.size;
  prototype.strides = tensor.stride;
  DLManagedTensorVersioned *managed = nullptr;
  if (table.allocate(&prototype, &managed, nullptr, raiseKind))
    throw py::error_already_set();
  tensor.data = static_cast<char *>(managed->dl_tensor.data) + managed->dl_tensor.byte_offset;
  for (int32_t d = 0; d < tensor.rank; ++d)
    tensor.stride[d] = managed->dl_tensor.strides ? managed->dl_tensor.strides[d] : tensor.stride[d];
  void *object = nullptr;
  if (table.toObject(managed, &object))
    throw py::error_already_set();
  return py::reinterpret_steal<py::object>(static_cast<PyObject *>(object));
}

/// By the framework's own allocator, where flashc.interop knows it; None where it does not.
py::object allocateFramework(const Tensor &like, flashc_tensor &tensor) {
  py::tuple shape(tensor.rank);
  for (int32_t d = 0; d < tensor.rank; ++d)
    shape[d] = tensor.size[d];
  py::object made =
      py::module_::import("flashc.interop").attr("allocate")(like.object, shape, flashc_dtype_name(tensor.dtype));
  if (made.is_none())
    return made;
  Tensor own;
  importTensor(made, "out", own);
  tensor = own.view;
  return made;
}

} // namespace

py::object allocateTensor(const Tensor &like, flashc_tensor &tensor) {
  fillContiguousStrides(tensor);
  if (like.type->access == TypeInfo::NumPy)
    return allocateNumPy(like, tensor);
  if (like.type->exchange)
    return allocateExchange(*like.type->exchange, like.device, tensor);
  if (!isHost(like.device)) {
    py::object made = allocateFramework(like, tensor);
    if (!made.is_none())
      return made;
  }
  auto buffer = std::make_unique<Buffer>(tensor, like.device, like.stream);
  tensor.data = buffer->tensor.data;
  return py::cast(std::move(buffer));
}

py::object finishTensor(const Tensor &like, py::object result) {
  if (like.type->access != TypeInfo::Protocol)
    return result;
  // A given output is of its own kind already.
  if (!py::isinstance<Buffer>(result))
    return result;
  return py::module_::import("flashc.interop").attr("adopt")(result, py::type::of(like.object));
}

void bindInterop(py::module_ &module) {
  py::class_<Buffer>(module, "Buffer", "Memory of a result, to be taken over through DLPack.")
      .def(
          "__dlpack__",
          [](py::object self, const py::object &stream, const py::object &maxVersion, const py::object &,
             const py::object &) { return exportBuffer(std::move(self), stream, maxVersion); },
          py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
          py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack_device__",
           [](const Buffer &buffer) { return py::make_tuple(int(buffer.place.device_type), buffer.place.device_id); });
}

} // namespace flashc::python

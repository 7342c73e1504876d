//===- Interop.cpp - reading array arguments ---------------------------------===//

#include "python/Interop.h"

#include "python/ArrayDevice.h"

#include <pybind11/numpy.h>

#include <unordered_map>

namespace flashc::python {

namespace {

[[noreturn]] void throwType(const std::string &message) { throw py::type_error(message); }
[[noreturn]] void throwValue(const std::string &message) { throw py::value_error(message); }

/// A module that somebody else has imported, or null: a type of a framework cannot exist before its module does.
py::object importedModule(const char *name) {
  py::dict modules = py::module_::import("sys").attr("modules");
  return modules.contains(name) ? py::object(modules[name]) : py::object();
}

bool isSubclass(PyTypeObject *type, const char *module, const char *name) {
  py::object imported = importedModule(module);
  if (!imported || !py::hasattr(imported, name))
    return false;
  const int result = PyObject_IsSubclass(reinterpret_cast<PyObject *>(type), imported.attr(name).ptr());
  if (result < 0)
    throw py::error_already_set();
  return result == 1;
}

/// The function table of a type whose own (not inherited) behaviour it describes, or null.
const ExchangeTable *findExchange(PyTypeObject *type, bool isTorch) {
  // A torch subclass may compute its memory in Python; only the two plain types are what the table sees.
  if (isTorch && !(std::string(type->tp_name) == "Tensor" || std::string(type->tp_name) == "Parameter"))
    return nullptr;
  py::handle object(reinterpret_cast<PyObject *>(type));
  if (!py::hasattr(object, "__dlpack_c_exchange_api__"))
    return nullptr;
  py::object capsule = object.attr("__dlpack_c_exchange_api__");
  if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api"))
    return nullptr;
  auto *header = static_cast<const ExchangeHeader *>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  while (header && header->version.major != DLPACK_MAJOR_VERSION)
    header = header->previous;
  auto *table = reinterpret_cast<const ExchangeTable *>(header);
  return table && table->viewObject && table->allocate && table->toObject ? table : nullptr;
}

TypeInfo examine(PyTypeObject *type) {
  TypeInfo info;
  py::handle object(reinterpret_cast<PyObject *>(type));
  auto *ndarray = py::detail::npy_api::get().PyArray_Type_;
  if (PyType_IsSubtype(type, ndarray)) {
    info.access = TypeInfo::NumPy;
    return info;
  }
  info.isTorch = isSubclass(type, "torch", "Tensor");
  info.isJax = !info.isTorch && isSubclass(type, "jax", "Array");
  info.exchange = findExchange(type, info.isTorch);
  if (info.exchange)
    info.access = TypeInfo::Exchange;
  else if (py::hasattr(object, "__dlpack__"))
    info.access = TypeInfo::Protocol;
  return info;
}

/// The ABI's element type of a DLPack type, or -1.
int32_t getDType(DLDataType type) {
  if (type.lanes != 1)
    return -1;
  switch (type.code) {
  case kDLFloat:
    return type.bits == 64 ? FLASHC_F64 : type.bits == 32 ? FLASHC_F32 : type.bits == 16 ? FLASHC_F16 : -1;
  case kDLBfloat:
    return type.bits == 16 ? FLASHC_BF16 : -1;
  case kDLInt:
    return type.bits == 64 ? FLASHC_I64 : type.bits == 32 ? FLASHC_I32 : type.bits == 8 ? FLASHC_I8 : -1;
  case kDLUInt:
    // Flags are zero or not, whatever their sign.
    return type.bits == 8 ? FLASHC_I8 : -1;
  case kDLBool:
    return type.bits == 8 ? FLASHC_BOOL : -1;
  default:
    return -1;
  }
}

std::string describeDLType(DLDataType type) {
  static const char *const names[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  std::string text = type.code < 7 ? names[type.code] : "type " + std::to_string(type.code) + " of ";
  text += std::to_string(type.bits);
  return type.lanes == 1 ? text : text + "x" + std::to_string(type.lanes);
}

constexpr char dtypesText[] = "expected elements of f64, f32, f16, bf16, i64, i32, i8 or bool, got ";

/// True for the element type that ml_dtypes adds to NumPy.
bool isNumPyBFloat16(PyObject *descr) {
  auto *scalar = reinterpret_cast<PyTypeObject *>(py::detail::array_descriptor_proxy(descr)->typeobj);
  static PyTypeObject *known = nullptr; // the type is never freed: its module keeps it
  if (known)
    return scalar == known;
  py::object module = importedModule("ml_dtypes");
  if (!module || !py::hasattr(module, "bfloat16"))
    return false;
  known = reinterpret_cast<PyTypeObject *>(py::object(module.attr("bfloat16")).release().ptr());
  return scalar == known;
}

int32_t getNumPyDType(PyObject *descr) {
  using npy = py::detail::npy_api;
  switch (py::detail::array_descriptor_proxy(descr)->type_num) {
  case npy::NPY_DOUBLE_:
    return FLASHC_F64;
  case npy::NPY_FLOAT_:
    return FLASHC_F32;
  case 23: // NPY_HALF
    return FLASHC_F16;
  case npy::NPY_LONG_:
    return sizeof(long) == 8 ? FLASHC_I64 : FLASHC_I32;
  case npy::NPY_LONGLONG_:
    return FLASHC_I64;
  case npy::NPY_INT_:
    return FLASHC_I32;
  case npy::NPY_BYTE_:
  case npy::NPY_UBYTE_:
    return FLASHC_I8;
  case npy::NPY_BOOL_:
    return FLASHC_BOOL;
  default:
    return isNumPyBFloat16(descr) ? FLASHC_BF16 : -1;
  }
}

void checkRank(const char *name, int64_t rank) {
  if (rank > FLASHC_MAX_RANK)
    throwValue(std::string(name) + ": expected at most " + std::to_string(FLASHC_MAX_RANK) + " dimensions, got " +
               std::to_string(rank));
}

void importNumPy(py::handle object, const char *name, Tensor &tensor) {
  auto *array = py::detail::array_proxy(object.ptr());
  flashc_tensor &view = tensor.view;
  view.dtype = getNumPyDType(array->descr);
  const char order = py::detail::array_descriptor_proxy(array->descr)->byteorder;
  if (view.dtype < 0 || order == '>')
    throwType(std::string(name) + ": " + dtypesText + std::string(py::str(array->descr)));
  checkRank(name, array->nd);
  view.data = array->data;
  view.rank = array->nd;
  const auto elementSize = static_cast<ssize_t>(flashc_dtype_size(view.dtype));
  for (int32_t d = 0; d < view.rank; ++d) {
    view.size[d] = array->dimensions[d];
    if (array->strides[d] % elementSize)
      throwValue(std::string(name) + ": expected strides that are multiples of the element size, " +
                 std::to_string(elementSize) + " bytes, got " + std::to_string(array->strides[d]) +
                 " bytes in dimension " + std::to_string(d));
    view.stride[d] = array->strides[d] / elementSize;
  }
  tensor.readOnly = !(array->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_);
}

void importDLTensor(const DLTensor &source, const char *name, Tensor &tensor) {
  flashc_tensor &view = tensor.view;
  tensor.device = canonicalDevice(source.device, name);
  view.dtype = getDType(source.dtype);
  if (view.dtype < 0)
    throwType(std::string(name) + ": " + dtypesText + describeDLType(source.dtype));
  checkRank(name, source.ndim);
  view.data = static_cast<char *>(source.data) + source.byte_offset;
  view.rank = source.ndim;
  int64_t contiguous = 1;
  for (int32_t d = view.rank; d-- > 0;) {
    view.size[d] = source.shape[d];
    view.stride[d] = source.strides ? source.strides[d] : contiguous;
    contiguous *= source.shape[d];
  }
}

/// The managed tensor in a capsule that `__dlpack__` returned; the capsule keeps it.
void importCapsule(py::object capsule, const char *name, Tensor &tensor) {
  const DLTensor *source = nullptr;
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned")) {
    auto *managed = static_cast<DLManagedTensorVersioned *>(PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
    if (managed->version.major != DLPACK_MAJOR_VERSION)
      throwType(std::string(name) + ": expected a DLPack capsule of version " + std::to_string(DLPACK_MAJOR_VERSION) +
                ", got version " + std::to_string(managed->version.major));
    tensor.readOnly = managed->flags & DLPACK_FLAG_BITMASK_READ_ONLY;
    source = &managed->dl_tensor;
  } else if (PyCapsule_IsValid(capsule.ptr(), "dltensor")) {
    source = &static_cast<DLManagedTensor *>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"))->dl_tensor;
  } else {
    throwType(std::string(name) + ": expected __dlpack__ to return a DLPack capsule, got " +
              std::string(py::str(py::type::of(capsule))));
  }
  importDLTensor(*source, name, tensor);
  tensor.capsule = std::move(capsule);
}

void importProtocol(py::handle object, const char *name, std::optional<void *> stream, Tensor &tensor) {
  DLDevice device = {kDLCPU, 0};
  if (py::hasattr(object, "__dlpack_device__")) {
    const py::tuple place = object.attr("__dlpack_device__")();
    device = canonicalDevice({static_cast<DLDeviceType>(place[0].cast<int>()), place[1].cast<int>()}, name);
  }
  py::dict options;
  if (isHost(device)) {
    // A result that JAX still computes has no memory to read.
    if (tensor.type->isJax)
      object.attr("block_until_ready")();
  } else {
    // The producer makes its work wait for nothing but itself: what is ready on this stream may be read on it.
    const std::optional<void *> own = stream ? std::nullopt : frameworkStream(object, device);
    tensor.stream = stream ? *stream : own.value_or(nullptr);
    tensor.ownStream = own.has_value();
    options["stream"] = protocolStream(device, tensor.stream);
  }
  py::object capsule;
  try {
    capsule = object.attr("__dlpack__")(
        py::arg("max_version") = py::make_tuple(DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION), **options);
  } catch (py::error_already_set &error) {
    if (!error.matches(PyExc_TypeError))
      throw;
    // Producers older than DLPack 1.0 know no versions.
    capsule = object.attr("__dlpack__")(**options);
  }
  importCapsule(std::move(capsule), name, tensor);
  // JAX's arrays are immutable, which its unversioned capsules cannot say.
  tensor.readOnly |= tensor.type->isJax;
}

/// A name that is made once: looking an attribute up by a C string makes a Python string and its hash each time.
PyObject *intern(const char *name) {
  PyObject *text = PyUnicode_InternFromString(name);
  if (!text)
    throw py::error_already_set();
  return text;
}

/// True when `object` is True; takes the reference, and throws where there is none.
bool isTrue(PyObject *object) {
  if (!object)
    throw py::error_already_set();
  Py_DECREF(object); // True outlives it
  return object == Py_True;
}

/// Refuses what the memory of a torch tensor does not say.
void checkTorch(py::handle object, const char *name) {
  static PyObject *const requiresGrad = intern("requires_grad"), *const isNeg = intern("is_neg");
  if (isTrue(PyObject_GetAttr(object.ptr(), requiresGrad))) {
    static PyObject *const gradEnabled =
        py::object(py::module_::import("torch").attr("is_grad_enabled")).release().ptr();
    if (isTrue(PyObject_CallNoArgs(gradEnabled)))
      throwType(std::string(name) + ": expected a tensor that requires no gradient, got one that does; pass " + name +
                ".detach(), or call under torch.no_grad()");
  }
  if (isTrue(PyObject_CallMethodNoArgs(object.ptr(), isNeg)))
    throwType(std::string(name) +
              ": expected a tensor whose memory holds its values, got a lazily negated view; pass " + name +
              ".resolve_neg()");
}

} // namespace

const TypeInfo &getTypeInfo(PyTypeObject *type) {
  // Leaked on purpose: no Python object may be freed after the interpreter has ended. A type in here stays alive, so
  // that its address means nothing else.
  static auto *known = new std::unordered_map<PyTypeObject *, TypeInfo>();
  auto found = known->find(type);
  if (found != known->end())
    return found->second;
  const TypeInfo info = examine(type);
  Py_INCREF(reinterpret_cast<PyObject *>(type));
  return known->emplace(type, info).first->second;
}

void importTensor(py::handle object, const char *name, Tensor &tensor, std::optional<void *> stream) {
  tensor.object = object;
  tensor.type = &getTypeInfo(Py_TYPE(object.ptr()));
  tensor.readOnly = false;
  tensor.device = {kDLCPU, 0};
  tensor.stream = nullptr;
  tensor.ownStream = true;
  switch (tensor.type->access) {
  case TypeInfo::NumPy:
    importNumPy(object, name, tensor);
    break;
  case TypeInfo::Exchange: {
    if (tensor.type->isTorch)
      checkTorch(object, name);
    DLTensor source;
    if (tensor.type->exchange->viewObject(object.ptr(), &source))
      throw py::error_already_set();
    importDLTensor(source, name, tensor);
    if (!isHost(tensor.device) && tensor.type->exchange->currentStream &&
        tensor.type->exchange->currentStream(source.device.device_type, source.device.device_id, &tensor.stream))
      throw py::error_already_set();
    break;
  }
  case TypeInfo::Protocol:
    if (tensor.type->isTorch)
      checkTorch(object, name);
    importProtocol(object, name, stream, tensor);
    break;
  case TypeInfo::None:
    throwType(std::string(name) + ": expected an array with __dlpack__ (NumPy, PyTorch, JAX, ...), got " +
              Py_TYPE(object.ptr())->tp_name);
  }
}

std::string describeShape(const int64_t *size, int32_t rank) {
  std::string text = "(";
  for (int32_t d = 0; d < rank; ++d)
    text += (d ? ", " : "") + std::to_string(size[d]);
  return text + (rank == 1 ? ",)" : ")");
}

std::string describe(const flashc_tensor &tensor) {
  return std::string(flashc_dtype_name(tensor.dtype)) + " " + describeShape(tensor.size, tensor.rank);
}

} // namespace flashc::python

//===- Attention.cpp - flashc.attention: from arguments to a kernel ---------===//
//
// The way of a call: arguments -> flashc_tensor -> the key of everything static -> a kernel, compiled when the key is
// new -> run. Apart from allocating the result, nothing on it is Python code.
//
//===----------------------------------------------------------------------===//

#include "python/ArrayDevice.h"
#include "python/Errors.h"
#include "python/Kernel.h"

#include <pybind11/stl.h>

#include <cmath>
#include <mutex>
#include <pthread.h>
#include <unordered_map>

namespace flashc::python {

namespace {

//===----------------------------------------------------------------------===//
// Kernels by key
//===----------------------------------------------------------------------===//

/// The kernels of this process. A kernel is compiled once, by the first thread that asks; others that ask for the same
/// one wait.
class KernelTable {
public:
  /// Never destroyed: kernels may run while the interpreter ends.
  static KernelTable &get() {
    static auto *table = new KernelTable();
    return *table;
  }

  /// Needs the GIL, and gives it up while it compiles.
  std::shared_ptr<Kernel> find(const KernelRequest &request, Layout layout) {
    const std::string key = request.key();
    {
      const std::lock_guard<std::mutex> lock(mutex);
      auto found = kernels.find(key);
      if (found != kernels.end())
        return found->second;
    }
    Result<std::shared_ptr<Kernel>> made = [&] {
      const py::gil_scoped_release release;
      return compileOnce(request, key, layout);
    }();
    // With no lock held: a fork waits for them with the GIL in its hands.
    if (!made)
      throwError(made.error());
    return *made;
  }

  /// Keeps forked children from inheriting a lock of a thread that they do not have. To be called once, after
  /// guardForks: a compilation takes the table's locks first.
  void guardForks() {
    pthread_atfork(
        [] {
          get().compiling.lock();
          get().mutex.lock();
        },
        [] { get().unlockAfterFork(); }, [] { get().unlockAfterFork(); });
  }

  void clear() {
    const std::lock_guard<std::mutex> lock(mutex);
    kernels.clear();
  }

  size_t size() {
    const std::lock_guard<std::mutex> lock(mutex);
    return kernels.size();
  }

private:
  Result<std::shared_ptr<Kernel>> compileOnce(const KernelRequest &request, const std::string &key, Layout layout) {
    // One at a time: what several threads want at once is most often the same kernel.
    const std::lock_guard<std::mutex> one(compiling);
    {
      const std::lock_guard<std::mutex> lock(mutex);
      auto found = kernels.find(key);
      if (found != kernels.end())
        return found->second;
    }
    Result<std::shared_ptr<CompiledKernel>> compiled = compileAttention(request);
    if (!compiled)
      return compiled.error();
    auto kernel = std::make_shared<Kernel>((*compiled)->functions(), *compiled, layout);
    kernel->compiled = *compiled;
    if (request.tileQueries == 0 && request.tileKeys == 0)
      kernel->versions = std::make_shared<TunedVersions>(request, *compiled);
    const std::lock_guard<std::mutex> lock(mutex);
    return kernels.emplace(key, std::move(kernel)).first->second;
  }

  void unlockAfterFork() {
    mutex.unlock();
    compiling.unlock();
  }

  std::mutex mutex, compiling;
  std::unordered_map<std::string, std::shared_ptr<Kernel>> kernels;
};

//===----------------------------------------------------------------------===//
// Checks that come before a kernel can be chosen
//===----------------------------------------------------------------------===//

const char *shapeText(Layout layout) {
  return layout == Layout::BHSD ? "(batch, heads, length, head dim)" : "(batch, length, heads, head dim)";
}

void checkMatrix(const Tensor &tensor, const char *name, Layout layout) {
  const flashc_tensor &view = tensor.view;
  if (view.dtype > FLASHC_BF16)
    throw py::type_error(std::string(name) + ": expected elements of f64, f32, f16 or bf16, got " +
                         flashc_dtype_name(view.dtype));
  if (view.rank != 4)
    throw py::value_error(std::string(name) + ": expected 4 dimensions " + shapeText(layout) + ", got " +
                          std::to_string(view.rank) + ": " + describeShape(view.size, view.rank));
  if (view.size[3] < 1)
    throw py::value_error(std::string(name) + ": expected a head dim of at least 1, got shape " +
                          describeShape(view.size, view.rank));
}

void checkSame(const char *what, const char *name, int64_t actual, const char *like, int64_t expected) {
  if (actual != expected)
    throw py::value_error(std::string(name) + ": expected " + what + " " + std::to_string(expected) + " as in " + like +
                          ", got " + std::to_string(actual));
}

void checkMatrices(const Tensor &q, const Tensor &k, const Tensor &v, Layout layout) {
  checkMatrix(q, "q", layout);
  checkMatrix(k, "k", layout);
  checkMatrix(v, "v", layout);
  for (const auto &[tensor, name] : {std::pair<const Tensor &, const char *>(k, "k"), {v, "v"}})
    if (tensor.view.dtype != q.view.dtype)
      throw py::type_error(std::string(name) + ": expected elements of " + flashc_dtype_name(q.view.dtype) +
                           " as in q, got " + flashc_dtype_name(tensor.view.dtype));
  const int heads = layout == Layout::BHSD ? 1 : 2, length = 3 - heads;
  checkSame("batch", "k", k.view.size[0], "q", q.view.size[0]);
  checkSame("batch", "v", v.view.size[0], "q", q.view.size[0]);
  checkSame("head dim", "k", k.view.size[3], "q", q.view.size[3]);
  checkSame("number of heads", "v", v.view.size[heads], "k", k.view.size[heads]);
  checkSame("length", "v", v.view.size[length], "k", k.view.size[length]);
  const int64_t queryHeads = q.view.size[heads], keyHeads = k.view.size[heads];
  if (keyHeads ? queryHeads % keyHeads : queryHeads)
    throw py::value_error("q: expected a number of heads that is a multiple of the " + std::to_string(keyHeads) +
                          " heads of k, got " + std::to_string(queryHeads));
}

std::optional<double> optionalNumber(py::handle object, const char *name) {
  if (object.is_none())
    return std::nullopt;
  const double value = PyFloat_AsDouble(object.ptr());
  if (value == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    throw py::type_error(std::string(name) + ": expected a number or None, got " + Py_TYPE(object.ptr())->tp_name);
  }
  if (!std::isfinite(value))
    throw py::value_error(std::string(name) + ": expected a finite number, got " +
                          std::string(py::str(py::float_(value))));
  return value;
}

std::string toString(py::handle object, const char *name) {
  Py_ssize_t size = 0;
  const char *text = PyUnicode_Check(object.ptr()) ? PyUnicode_AsUTF8AndSize(object.ptr(), &size) : nullptr;
  if (!text) {
    PyErr_Clear();
    throw py::type_error(std::string(name) + ": expected a string, got " + Py_TYPE(object.ptr())->tp_name);
  }
  return {text, static_cast<size_t>(size)};
}

void readTiles(py::handle tiles, KernelRequest &request) {
  if (tiles.is_none())
    return;
  const Py_ssize_t count = PyTuple_Check(tiles.ptr()) ? PyTuple_GET_SIZE(tiles.ptr()) : 0;
  if (count != 2 && count != 3)
    throw py::type_error("tiles: expected None or a tuple (queries, keys), got " + std::string(py::repr(tiles)));
  const auto given = py::reinterpret_borrow<py::tuple>(tiles);
  int64_t *values[] = {&request.tileQueries, &request.tileKeys, &request.tileSplit};
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    *values[i] = PyLong_AsLongLong(py::object(given[i]).ptr());
    if (*values[i] == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      throw py::type_error("tiles: expected integers, got " + std::string(py::repr(tiles)));
    }
    if (*values[i] < 1)
      throw py::value_error("tiles: expected at least 1 query and 1 key, got " + std::string(py::repr(tiles)));
  }
}

//===----------------------------------------------------------------------===//
// The call
//===----------------------------------------------------------------------===//

enum Argument {
  Q,
  K,
  V,
  MaskText,
  MaskArrays,
  Scale,
  Softcap,
  Bias,
  Score,
  LayoutName,
  ReturnLse,
  Tf32,
  TargetName,
  Tiles,
  Out,
  Stream,
  numArguments
};

/// The kernel that a call with the very same option objects had, and the same element types and head dims: a program
/// calls from few places, and reading the options again would cost more than a tiny attention. Only objects whose value
/// cannot change are remembered, and they are kept, so that an address means one object. Needs the GIL.
class CallSites {
public:
  /// Never destroyed: no Python object may be freed after the interpreter has ended.
  static CallSites &get() {
    static auto *sites = new CallSites();
    return *sites;
  }

  /// What of the arrays decides about the kernel.
  struct Types {
    int64_t headDim, valueHeadDim;
    int32_t deviceType, deviceId;
    int32_t dtype, bias;
    uint32_t numMasks;
    int32_t masks[4];

    bool operator==(const Types &other) const {
      return headDim == other.headDim && valueHeadDim == other.valueHeadDim && deviceType == other.deviceType &&
             deviceId == other.deviceId && dtype == other.dtype && bias == other.bias && numMasks == other.numMasks &&
             std::equal(masks, masks + numMasks, other.masks);
    }
  };

  struct Site {
    PyObject *options[numArguments] = {};
    Types types;
    Layout layout;
    std::shared_ptr<Kernel> kernel;
  };

  const Site *find(PyObject *const *a, const Types &types) const {
    for (const Site &site : sites)
      if (site.kernel && isSame(site, a) && site.types == types)
        return &site;
    return nullptr;
  }

  void remember(PyObject *const *a, const Types &types, Layout layout, std::shared_ptr<Kernel> kernel) {
    for (int i : remembered)
      if (!isImmutable(a[i]))
        return;
    Site &site = sites[next++ % std::size(sites)];
    for (int i : remembered) {
      Py_INCREF(a[i]);
      Py_XSETREF(site.options[i], a[i]);
    }
    site.types = types;
    site.layout = layout;
    site.kernel = std::move(kernel);
  }

  void clear() {
    for (Site &site : sites)
      site.kernel.reset();
  }

private:
  static constexpr int remembered[] = {MaskText, Scale, Softcap, Score, LayoutName, ReturnLse, Tf32, TargetName, Tiles};

  static bool isSame(const Site &site, PyObject *const *a) {
    for (int i : remembered)
      if (site.options[i] != a[i])
        return false;
    return true;
  }

  static bool isImmutable(PyObject *object) {
    if (object == Py_None || PyBool_Check(object) || PyUnicode_CheckExact(object) || PyFloat_CheckExact(object) ||
        PyLong_CheckExact(object))
      return true;
    if (!PyTuple_CheckExact(object))
      return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); ++i)
      if (!PyLong_CheckExact(PyTuple_GET_ITEM(object, i)))
        return false;
    return true;
  }

  Site sites[8];
  size_t next = 0;
};

void readOptions(PyObject *const *a, KernelRequest &request) {
  request.mask = toString(a[MaskText], "mask");
  request.scale = optionalNumber(a[Scale], "scale");
  request.softcap = optionalNumber(a[Softcap], "softcap");
  if (request.softcap && *request.softcap <= 0)
    throw py::value_error("softcap: expected a number above 0, got " + std::string(py::str(a[Softcap])));
  request.score = toString(a[Score], "score");
  request.returnLse = PyObject_IsTrue(a[ReturnLse]) == 1;
  request.tf32 = PyObject_IsTrue(a[Tf32]) == 1;
  request.target = toString(a[TargetName], "target");
  readTiles(a[Tiles], request);
}

py::object attend(PyObject *const *a) {
  const auto arrays = py::reinterpret_borrow<py::tuple>(a[MaskArrays]);
  const Kernel::Options options{a[Out], givenStream(a[Stream])};
  CallArray<Tensor> inputs(arrays.size() + 4);
  importTensor(a[Q], "q", inputs[0], options.stream);
  importTensor(a[K], "k", inputs[1], options.stream);
  importTensor(a[V], "v", inputs[2], options.stream);
  uint32_t count = 3;
  for (py::handle array : arrays)
    importTensor(array, "mask", inputs[count++], options.stream);
  const bool hasBias = a[Bias] != Py_None;
  if (hasBias)
    importTensor(a[Bias], "bias", inputs[count++], options.stream);

  CallSites::Types types{};
  if (inputs[0].view.rank == 4 && inputs[2].view.rank == 4 && arrays.size() <= std::size(types.masks)) {
    types.headDim = inputs[0].view.size[3];
    types.valueHeadDim = inputs[2].view.size[3];
    types.deviceType = inputs[0].device.device_type;
    types.deviceId = inputs[0].device.device_id;
    types.dtype = inputs[0].view.dtype;
    types.bias = hasBias ? inputs[count - 1].view.dtype : -1;
    types.numMasks = static_cast<uint32_t>(arrays.size());
    for (uint32_t i = 0; i < types.numMasks; ++i)
      types.masks[i] = inputs[3 + i].view.dtype;
    if (const CallSites::Site *site = CallSites::get().find(a, types)) {
      checkMatrices(inputs[0], inputs[1], inputs[2], site->layout);
      const std::shared_ptr<Kernel> kernel = site->kernel; // another thread may replace the site meanwhile
      return kernel->call(inputs.data(), count, site->layout, options);
    }
  }

  const Layout layout = parseLayout(toString(a[LayoutName], "layout"));
  checkMatrices(inputs[0], inputs[1], inputs[2], layout);
  KernelRequest request;
  readOptions(a, request);
  if (!isHost(inputs[0].device)) {
    static constexpr const char *matrices[] = {"q", "k", "v"};
    checkOneDevice(inputs.data(), 3, matrices);
    // Where the arrays lie decides, unless the caller does.
    if (request.target == "host")
      request.target = targetFor(inputs[0].device);
  }
  request.headDim = inputs[0].view.size[3];
  request.valueHeadDim = inputs[2].view.size[3];
  request.dtype = inputs[0].view.dtype;
  for (uint32_t i = 0; i < arrays.size(); ++i)
    request.maskDTypes.push_back(inputs[3 + i].view.dtype);
  if (hasBias) {
    const int32_t dtype = inputs[count - 1].view.dtype;
    if (dtype > FLASHC_BF16)
      throw py::type_error(std::string("bias: expected elements of f64, f32, f16 or bf16, got ") +
                           flashc_dtype_name(dtype));
    if (dtype == FLASHC_F64 && request.dtype != FLASHC_F64)
      throw py::type_error(std::string("bias: expected elements no wider than f32, in which scores of ") +
                           flashc_dtype_name(request.dtype) + " are computed, got f64");
    request.biasDType = dtype;
  }
  const std::shared_ptr<Kernel> kernel = KernelTable::get().find(request, layout);
  if (arrays.size() <= std::size(types.masks))
    CallSites::get().remember(a, types, layout, kernel);
  return kernel->call(inputs.data(), count, layout, options);
}

/// A plain C function: parsing a call through pybind11 costs more than a tiny attention.
PyObject *attendFunction(PyObject *, PyObject *const *arguments, Py_ssize_t count) {
  try {
    if (count != numArguments)
      throw py::type_error("attend: expected " + std::to_string(int(numArguments)) + " arguments, got " +
                           std::to_string(count));
    return attend(arguments).release().ptr();
  } catch (py::error_already_set &error) {
    error.restore();
  } catch (const py::builtin_exception &error) {
    error.set_error();
  } catch (const std::bad_alloc &) {
    PyErr_NoMemory();
  } catch (const std::exception &error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

int32_t parseDTypeName(const std::string &name, const char *argument) {
  for (int32_t dtype = 0; dtype <= FLASHC_BOOL; ++dtype)
    if (name == flashc_dtype_name(dtype))
      return dtype;
  throw py::value_error(std::string(argument) + ": expected one of f64, f32, f16, bf16, i64, i32, i8, bool, got '" +
                        name + "'");
}

std::shared_ptr<Kernel> compile(int64_t headDim, int64_t valueHeadDim, const std::string &dtype,
                                const std::string &mask, const std::vector<std::string> &maskDTypes,
                                const py::object &scale, const py::object &softcap, const py::object &bias,
                                const std::string &score, const std::string &layoutName, bool returnLse, bool tf32,
                                const std::string &target, const py::object &tiles, const std::string &name) {
  KernelRequest request;
  for (const auto &[value, what] :
       {std::pair<int64_t, const char *>(headDim, "head_dim"), {valueHeadDim, "value_head_dim"}})
    if (value < 1)
      throw py::value_error(std::string(what) + ": expected at least 1, got " + std::to_string(value));
  request.headDim = headDim;
  request.valueHeadDim = valueHeadDim;
  request.dtype = parseDTypeName(dtype, "dtype");
  if (request.dtype > FLASHC_BF16)
    throw py::value_error("dtype: expected f64, f32, f16 or bf16, got '" + dtype + "'");
  request.mask = mask;
  for (const std::string &maskDType : maskDTypes)
    request.maskDTypes.push_back(parseDTypeName(maskDType, "mask"));
  request.scale = optionalNumber(scale, "scale");
  request.softcap = optionalNumber(softcap, "softcap");
  if (request.softcap && *request.softcap <= 0)
    throw py::value_error("softcap: expected a number above 0, got " + std::string(py::str(softcap)));
  if (!bias.is_none()) {
    request.biasDType = parseDTypeName(toString(bias, "bias"), "bias");
    if (*request.biasDType > FLASHC_BF16)
      throw py::value_error("bias: expected f64, f32, f16 or bf16, got '" + toString(bias, "bias") + "'");
  }
  request.score = score;
  request.returnLse = returnLse;
  request.tf32 = tf32;
  request.target = target;
  request.name = name;
  readTiles(tiles, request);
  const Layout layout = parseLayout(layoutName);
  std::shared_ptr<Kernel> kernel = KernelTable::get().find(request, layout);
  // The table's kernel may have been made for the other layout, which only its caller knows.
  auto result = std::make_shared<Kernel>(kernel->compiled->functions(), kernel->compiled, layout);
  result->compiled = kernel->compiled;
  result->versions = kernel->versions;
  return result;
}

std::shared_ptr<Kernel> compileModuleText(const std::string &text, const std::string &entry, const std::string &target,
                                          bool tf32) {
  Result<std::shared_ptr<CompiledKernel>> compiled = [&] {
    const py::gil_scoped_release release;
    return python::compileModule(text, entry, target, tf32);
  }();
  if (!compiled)
    throwError(compiled.error());
  auto kernel = std::make_shared<Kernel>((*compiled)->functions(), *compiled, Layout::BHSD);
  kernel->compiled = *compiled;
  return kernel;
}

PyMethodDef attendMethod = {"attend", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(attendFunction)),
                            METH_FASTCALL, "The call behind flashc.attention; all arguments by position."};

} // namespace

void bindAttention(py::module_ &module) {
  guardForks();
  KernelTable::get().guardForks();
  PyObject *attendObject = PyCFunction_NewEx(&attendMethod, nullptr, module.attr("__name__").ptr());
  if (!attendObject)
    throw py::error_already_set();
  module.add_object("attend", attendObject);
  module.def("compile", &compile, py::kw_only(), py::arg("head_dim"), py::arg("value_head_dim"), py::arg("dtype"),
             py::arg("mask"), py::arg("mask_dtypes"), py::arg("scale"), py::arg("softcap"), py::arg("bias"),
             py::arg("score"), py::arg("layout"), py::arg("return_lse"), py::arg("tf32"), py::arg("target"),
             py::arg("tiles"), py::arg("name"));
  module.def("compile_module", &compileModuleText, py::arg("text"), py::arg("entry"), py::arg("target"),
             py::arg("tf32"));
  module.def("stages", &listStages);
  module.def("compile_counts", [] {
    const CompileCounts counts = getCompileCounts();
    return py::make_tuple(counts.compiled, counts.fromDisk);
  });
  module.def("cache_problem", &getCacheProblem);
  module.def("kernels_in_memory", [] { return KernelTable::get().size(); });
  module.def("clear_kernels", [] {
    CallSites::get().clear();
    KernelTable::get().clear();
  });
  module.def("compiler_version", &getCompilerVersion);
  module.def("describe_target", [](const std::string &target) {
    Result<std::string> text = describeTarget(target);
    if (!text)
      throwError(text.error());
    return *text;
  });
}

} // namespace flashc::python

//===- Kernel.cpp - calling a kernel from Python -----------------------------===//

#include "python/Kernel.h"

#include "python/ArrayDevice.h"
#include "python/Errors.h"
#include "runtime/CallWork.h"
#include "runtime/Fallbacks.h"
#include "runtime/devices/LaunchingDevice.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

namespace flashc::python {

namespace {

constexpr int64_t unknownSize = -1;
constexpr int numSizes = FLASHC_SIZE_BATCH - FLASHC_SIZE_KEYS + 1;

bool isNamed(int64_t size) { return size <= FLASHC_SIZE_BATCH && size >= FLASHC_SIZE_KEYS; }

void swapHeadsAndLength(flashc_tensor &view) {
  std::swap(view.size[1], view.size[2]);
  std::swap(view.stride[1], view.stride[2]);
}

/// [low, high) of the bytes that a tensor with elements reaches.
std::pair<uintptr_t, uintptr_t> reach(const flashc_tensor &view) {
  int64_t low = 0, high = 1;
  for (int32_t d = 0; d < view.rank; ++d) {
    if (view.size[d] == 0)
      return {0, 0};
    const int64_t last = (view.size[d] - 1) * view.stride[d];
    (last < 0 ? low : high) += last;
  }
  const auto bytes = static_cast<int64_t>(flashc_dtype_size(view.dtype));
  const auto base = reinterpret_cast<uintptr_t>(view.data);
  return {base + low * bytes, base + high * bytes};
}

/// A kernel reads its inputs while it writes its output.
void checkOverlap(const char *name, const flashc_tensor &output, const Tensor *inputs, uint32_t numInputs) {
  const auto [low, high] = reach(output);
  for (uint32_t i = 0; i < numInputs; ++i) {
    const auto [inputLow, inputHigh] = reach(inputs[i].view);
    if (low < inputHigh && inputLow < high)
      throw py::value_error(std::string(name) + ": expected memory of its own, got memory that overlaps input " +
                            std::to_string(i));
  }
}

bool isContiguous(const flashc_tensor &view) {
  int64_t stride = 1;
  for (int32_t d = view.rank; d-- > 0;) {
    if (view.size[d] == 0)
      return true;
    if (view.size[d] != 1 && view.stride[d] != stride)
      return false;
    stride *= view.size[d];
  }
  return true;
}

/// What a kernel on another stream than its arrays' framework's may still read when the call is over. Python's objects
/// are let go with the GIL.
std::shared_ptr<void> makeKeeper(std::vector<py::object> objects) {
  return {new std::vector<py::object>(std::move(objects)), [](void *kept) {
            if (!Py_IsInitialized())
              return; // nothing of an interpreter that has ended can be freed
            const py::gil_scoped_acquire gil;
            delete static_cast<std::vector<py::object> *>(kept);
          }};
}

/// Says once what a kernel did without: on a device (null: none), and in choosing what to run.
void warnOfFallbacks(const Device *device) {
  static auto *said = new std::unordered_map<const Device *, size_t>(); // read and written with the GIL
  const size_t counts[] = {processFallbacks().count(), device ? device->fallbackCount() : 0};
  static size_t saidOfProcess = 0;
  if (counts[0] == saidOfProcess && (!counts[1] || counts[1] == (*said)[device]))
    return;
  const auto warn = [](const std::vector<std::string> &texts, size_t &known) {
    const size_t from = std::exchange(known, texts.size());
    const py::object category = py::module_::import("flashc.fallbacks").attr("FallbackWarning");
    for (size_t i = from; i < texts.size(); ++i)
      if (PyErr_WarnEx(category.ptr(), texts[i].c_str(), 2))
        throw py::error_already_set();
  };
  warn(processFallbacks().texts(), saidOfProcess);
  if (device)
    warn(device->fallbacks(), (*said)[device]);
}

} // namespace

Layout parseLayout(const std::string &name) {
  if (name == "bhsd")
    return Layout::BHSD;
  if (name == "bshd")
    return Layout::BSHD;
  throw py::value_error("layout: expected 'bhsd' or 'bshd', got '" + name + "'");
}

Kernel::Kernel(const flashc_kernel &functions, std::shared_ptr<void> owner, Layout layout)
    : functions(functions), owner(std::move(owner)), layout(layout) {
  const flashc_kernel_info &info = *functions.info;
  for (uint32_t i = 0; i < info.num_operands; ++i) {
    const flashc_operand_info &operand = info.operands[i];
    const bool matrix = operand.rank == 4 && (!std::strcmp(operand.name, "q") || !std::strcmp(operand.name, "k") ||
                                              !std::strcmp(operand.name, "v") || !std::strcmp(operand.name, "out"));
    operands.push_back({&operand, (operand.flags & FLASHC_OPERAND_OUTPUT) != 0, matrix});
    if (!operands.back().output)
      names.emplace_back(operand.name);
  }
  device = std::strncmp(info.target, "cpu", 3) != 0;
}

void Kernel::bindInput(const Operand &operand, Tensor &input, Layout layout, int64_t *sizes,
                       flashc_tensor &view) const {
  view = input.view;
  const int64_t *expected = operand.info->size;
  const int32_t rank = operand.info->rank;
  if (operand.matrix) {
    if (layout == Layout::BSHD && view.rank == 4)
      swapHeadsAndLength(view);
    for (int32_t d = 0; d < std::min(rank, view.rank); ++d)
      if (isNamed(expected[d]) && sizes[FLASHC_SIZE_BATCH - expected[d]] == unknownSize)
        sizes[FLASHC_SIZE_BATCH - expected[d]] = view.size[d];
    return;
  }
  if (view.rank > rank)
    return; // the runtime's check says so
  // Broadcast as NumPy does: missing dimensions are on the left, and size 1 repeats with stride 0.
  const int32_t missing = rank - view.rank;
  for (int32_t d = rank; d-- > 0;) {
    const bool present = d >= missing;
    int64_t size = present ? view.size[d - missing] : 1;
    int64_t stride = present ? view.stride[d - missing] : 0;
    int64_t wanted = expected[d];
    if (isNamed(wanted))
      wanted = sizes[FLASHC_SIZE_BATCH - wanted];
    if (size == 1 && wanted >= 0 && wanted != 1 && rank == 4) {
      size = wanted;
      stride = 0;
    }
    view.size[d] = size;
    view.stride[d] = stride;
  }
  if (rank == 4)
    view.rank = rank;
  else
    view.rank = input.view.rank;
}

void Kernel::resolveSizes(const Operand &operand, const int64_t *sizes, flashc_tensor &view) const {
  view.dtype = operand.info->dtype;
  view.rank = operand.info->rank;
  for (int32_t d = 0; d < view.rank; ++d) {
    const int64_t size = operand.info->size[d];
    view.size[d] = isNamed(size) ? sizes[FLASHC_SIZE_BATCH - size] : size;
    if (view.size[d] < 0)
      throw py::value_error(std::string(info().name) + ": size " + std::to_string(d) + " of output \"" +
                            operand.info->name + "\" does not follow from the inputs; give it as out=");
  }
}

py::object Kernel::call(Tensor *inputs, uint32_t numInputs, Layout layout, const Options &options) const {
  int64_t sizes[numSizes];
  std::fill_n(sizes, numSizes, unknownSize);
  const DLDevice place = numInputs ? inputs[0].device : DLDevice{kDLCPU, 0};
  if (numInputs <= names.size())
    checkOneDevice(inputs, numInputs, names.data());
  if (!device && !isHost(place))
    throw py::value_error(std::string(names[0]) + ": expected an array in the CPU's memory, as " + info().name +
                          " is compiled for " + info().target + ", got one in " + describePlace(place));
  if (options.stream && isHost(place))
    throw py::value_error("stream: expected none for arrays in the CPU's memory, got one");
  Device *const runs = device ? &findDevice(place) : nullptr;
  const py::handle out = options.out;
  CallArray<flashc_tensor> tensors(operands.size());
  CallArray<py::object> results(operands.size());
  Tensor given;
  uint32_t nextInput = 0, numResults = 0;
  const Tensor *like = numInputs ? &inputs[0] : nullptr;
  bool firstOutput = true;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Operand &operand = operands[i];
    if (!operand.output) {
      if (nextInput == numInputs)
        throw py::type_error(std::string(info().name) + ": expected " + std::to_string(names.size()) +
                             " operands, got " + std::to_string(numInputs) + ": \"" + operand.info->name +
                             "\" is missing");
      bindInput(operand, inputs[nextInput++], layout, sizes, tensors[i]);
      continue;
    }
    if (firstOutput && !out.is_none()) {
      importTensor(out, "out", given, options.stream);
      if (!isSame(given.device, place))
        throw py::value_error("out: expected an array in " + describePlace(place) + ", got one in " +
                              describePlace(given.device));
      if (given.readOnly)
        throw py::value_error("out: expected writable memory, got a read-only array");
      tensors[i] = given.view;
      if (operand.matrix && layout == Layout::BSHD && given.view.rank == 4)
        swapHeadsAndLength(tensors[i]);
      checkOverlap("out", tensors[i], inputs, numInputs);
      results[numResults++] = py::reinterpret_borrow<py::object>(out);
    } else {
      if (!like)
        throw py::type_error(std::string(info().name) + ": a kernel without inputs needs out=");
      const bool swapped = operand.matrix && layout == Layout::BSHD;
      resolveSizes(operand, sizes, tensors[i]);
      if (swapped)
        swapHeadsAndLength(tensors[i]);
      results[numResults++] = allocateTensor(*like, tensors[i]);
      if (swapped)
        swapHeadsAndLength(tensors[i]);
    }
    firstOutput = false;
  }
  if (nextInput != numInputs)
    throw py::type_error(std::string(info().name) + ": expected " + std::to_string(nextInput) + " operands, got " +
                         std::to_string(numInputs));
  const flashc_args args = {FLASHC_ABI_VERSION, static_cast<uint32_t>(operands.size()), tensors.data(),
                            flashc_default_host()};
  const flashc_kernel *chosen = &functions;
  if (versions) {
    auto size = [&](int64_t name) { return sizes[FLASHC_SIZE_BATCH - name]; };
    chosen = &versions->choose({size(FLASHC_SIZE_BATCH), size(FLASHC_SIZE_Q_HEADS), size(FLASHC_SIZE_KV_HEADS),
                                size(FLASHC_SIZE_QUERIES), size(FLASHC_SIZE_KEYS)});
  }
  flashc_status status;
  if (runs) {
    const Arrays arrays{inputs, numInputs, out.is_none() ? nullptr : &given, results.data(), numResults};
    std::optional<Error> error = launch(*runs, *chosen, args, arrays, options.stream);
    status = error ? error->status : FLASHC_OK;
    if (error)
      setLastError(*error);
  } else if (estimateWork(info(), args) < tinyCallWork) {
    status = flashc_kernel_run(chosen, &args);
  } else {
    const py::gil_scoped_release release;
    status = flashc_kernel_run(chosen, &args);
  }
  if (status != FLASHC_OK) {
    std::string message = flashc_last_error();
    // A module's functions state no strides, and their kernels refuse others than the usual ones.
    if (status == FLASHC_ERROR_INVALID)
      for (size_t i = 0; i < operands.size(); ++i)
        if (!isContiguous(tensors[i]))
          message += std::string("; \"") + operands[i].info->name + "\": expected C-contiguous memory, got strides " +
                     describeShape(tensors[i].stride, tensors[i].rank) + " for shape " +
                     describeShape(tensors[i].size, tensors[i].rank);
    throwStatus(status, message);
  }
  warnOfFallbacks(runs);
  for (uint32_t i = 0; i < numResults; ++i)
    results[i] = finishTensor(*like, std::move(results[i]));
  if (numResults == 1)
    return std::move(results[0]);
  py::tuple tuple(numResults);
  for (uint32_t i = 0; i < numResults; ++i)
    tuple[i] = std::move(results[i]);
  return std::move(tuple);
}

Device &Kernel::findDevice(DLDevice place) const {
  // Most programs have one device for a kernel.
  if (!lastDevice || !isSame(lastPlace, place)) {
    lastDevice = &deviceForCall(info().target, place, names.empty() ? "operands" : names[0]);
    lastPlace = place;
  }
  return *lastDevice;
}

std::optional<Error> Kernel::launch(Device &runs, const flashc_kernel &chosen, const flashc_args &args,
                                    const Arrays &arrays, std::optional<void *> given) const {
  const Tensor *first = arrays.numInputs ? arrays.inputs : nullptr;
  void *const stream = given ? *given : first ? first->stream : nullptr;
  // Operands of another framework may be in the works on another stream.
  CallArray<void *> others(arrays.numInputs + 1);
  uint32_t numOthers = 0;
  bool keeps = given.has_value();
  const auto visit = [&](const Tensor &tensor) {
    keeps |= !tensor.ownStream;
    if (tensor.stream != stream &&
        std::find(others.data(), others.data() + numOthers, tensor.stream) == others.data() + numOthers)
      others[numOthers++] = tensor.stream;
  };
  std::for_each(arrays.inputs, arrays.inputs + arrays.numInputs, visit);
  if (arrays.out)
    visit(*arrays.out);
  for (uint32_t i = 0; i < numOthers; ++i)
    if (std::optional<Error> error = runs.orderStreams(others[i], stream))
      return error;
  const auto start = [&]() -> std::optional<Error> {
    LaunchingDevice *launching = runs.usesHostMemory() || !first || !first->type->exchange || first->stream != stream
                                     ? nullptr
                                     : runs.launching();
    if (!launching) {
      const py::gil_scoped_release release;
      return runs.launch(chosen, args, stream);
    }
    if (std::optional<Error> error = launching->check(chosen, args))
      return error;
    // The framework's allocator holds most of a GPU's memory, and takes this back in the order of the stream.
    const size_t bytes = launching->workspaceBytes(chosen, args);
    py::object workspace;
    flashc_tensor memory{};
    if (bytes) {
      memory.dtype = FLASHC_I8;
      memory.rank = 1;
      memory.size[0] = static_cast<int64_t>(bytes);
      workspace = allocateTensor(*first, memory);
    }
    const py::gil_scoped_release release;
    return launching->launchWith(chosen, args, stream, memory.data, bytes);
  };
  if (std::optional<Error> error = start())
    return error;
  // What those streams do next may reuse what the kernel reads, or read what it writes. Who gives a stream orders it.
  for (uint32_t i = 0; !given && i < numOthers; ++i)
    if (std::optional<Error> error = runs.orderStreams(stream, others[i]))
      return error;
  if (keeps && !runs.usesHostMemory()) {
    std::vector<py::object> objects;
    if (given) // what is made for a framework's current stream is reused in its order
      objects.assign(arrays.results, arrays.results + arrays.numResults);
    for (uint32_t i = 0; i < arrays.numInputs; ++i) {
      objects.push_back(py::reinterpret_borrow<py::object>(arrays.inputs[i].object));
      objects.push_back(arrays.inputs[i].capsule);
    }
    const std::shared_ptr<void> keeper = makeKeeper(std::move(objects));
    const py::gil_scoped_release release;
    runs.keepUntilDone(keeper, stream);
  }
  return std::nullopt;
}

py::object Kernel::callArguments(const py::args &arguments, py::handle bias, const Options &options) const {
  const size_t given = arguments.size() + (bias.is_none() ? 0 : 1);
  if (given != names.size()) {
    std::string list;
    for (const char *name : names)
      list += std::string(list.empty() ? "" : ", ") + name;
    throw py::type_error(std::string(info().name) + ": expected " + std::to_string(names.size()) + " operands (" +
                         list + "), got " + std::to_string(given));
  }
  if (!bias.is_none() && (names.empty() || std::strcmp(names.back(), "bias")))
    throw py::type_error(std::string(info().name) + ": expected no bias, as the kernel was compiled without one");
  CallArray<Tensor> tensors(given);
  for (size_t i = 0; i < given; ++i)
    importTensor(i < arguments.size() ? py::handle(arguments[i]) : bias, names[i], tensors[i], options.stream);
  return call(tensors.data(), static_cast<uint32_t>(given), layout, options);
}

void bindKernel(py::module_ &module) {
  py::class_<Kernel, std::shared_ptr<Kernel>>(module, "Kernel")
      .def(
          "call",
          [](const Kernel &kernel, const py::args &arguments, const py::object &bias, const py::object &out,
             const py::object &stream) { return kernel.callArguments(arguments, bias, {out, givenStream(stream)}); },
          py::arg("bias") = py::none(), py::arg("out") = py::none(), py::arg("stream") = py::none())
      .def_property_readonly("name", [](const Kernel &kernel) { return std::string(kernel.info().name); })
      .def_property_readonly("target", [](const Kernel &kernel) { return std::string(kernel.info().target); })
      .def_property_readonly(
          "metadata",
          [](const Kernel &kernel) { return std::string(kernel.info().metadata ? kernel.info().metadata : "{}"); })
      .def_property_readonly("operands", &Kernel::inputNames)
      .def_property_readonly("path", [](const Kernel &kernel) { return kernel.path; })
      .def_property_readonly("is_compiled", [](const Kernel &kernel) { return kernel.compiled != nullptr; })
      .def("stage",
           [](const Kernel &kernel, const std::string &stage) {
             if (!kernel.compiled)
               throw py::value_error(std::string(kernel.info().name) +
                                     ": expected a kernel that was compiled in this process, got one loaded from '" +
                                     kernel.path + "', which holds no IR");
             const py::gil_scoped_release release;
             Result<std::string> text = kernel.compiled->printStage(stage);
             const py::gil_scoped_acquire acquire;
             if (!text)
               throwError(text.error());
             return *text;
           })
      .def("save", [](const Kernel &kernel, const std::string &folder, const std::string &name) {
        if (!kernel.compiled)
          throw py::value_error(std::string(kernel.info().name) +
                                ": expected a kernel that was compiled in this "
                                "process, got one loaded from '" +
                                kernel.path + "': copy that folder");
        std::optional<Error> error;
        {
          const py::gil_scoped_release release;
          error = kernel.compiled->save(folder, name);
        }
        if (error)
          throwError(*error);
      });
  module.def("load", [](const std::string &path) {
    flashc_pack *pack = nullptr;
    flashc_status status;
    {
      const py::gil_scoped_release release;
      status = flashc_pack_load(path.c_str(), &pack);
    }
    if (status != FLASHC_OK)
      throwStatus(status, flashc_last_error());
    std::shared_ptr<void> owner(pack, [](void *value) { flashc_pack_unload(static_cast<flashc_pack *>(value)); });
    auto kernel = std::make_shared<Kernel>(*flashc_pack_kernel(pack), std::move(owner), Layout::BHSD);
    kernel->path = path;
    warnOfFallbacks(nullptr);
    return kernel;
  });
}

} // namespace flashc::python

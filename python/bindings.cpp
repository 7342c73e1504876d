//===- bindings.cpp - the extension module flashc._flashc --------------------===//

#include "python/ArrayDevice.h"
#include "python/Errors.h"
#include "python/Kernel.h"
#include "runtime/Fallbacks.h"

#include <pybind11/stl.h>

namespace flashc::python {

namespace {

/// (dtype, shape, strides in elements, read only): what a call would see of an array.
py::tuple inspect(const py::object &array, const std::string &name) {
  Tensor tensor;
  importTensor(array, name.c_str(), tensor);
  const flashc_tensor &view = tensor.view;
  py::tuple shape(view.rank), strides(view.rank);
  for (int32_t d = 0; d < view.rank; ++d) {
    shape[d] = view.size[d];
    strides[d] = view.stride[d];
  }
  return py::make_tuple(flashc_dtype_name(view.dtype), shape, strides, tensor.readOnly);
}

void setNumThreads(int32_t count) {
  if (flashc_status status = flashc_set_num_threads(count))
    throwStatus(status, flashc_last_error());
}

} // namespace

} // namespace flashc::python

PYBIND11_MODULE(_flashc, module) {
  using namespace flashc::python;
  module.doc() = "flashc's compiler and runtime; the package around it is the interface.";
  registerDevices();
  bindInterop(module);
  bindKernel(module);
  bindAttention(module);
  bindReference(module);
  bindTuning(module);
  module.def("inspect", &inspect, py::arg("array"), py::arg("name") = "array");
  module.def("set_num_threads", &setNumThreads, py::arg("count"));
  module.def("get_num_threads", &flashc_get_num_threads);
  module.def("release_workspace", &flashc_workspace_release);
  module.def("devices", [] {
    const py::gil_scoped_release release;
    const char *text = flashc_devices();
    return std::string(text ? text : "{}");
  });
  module.def("target_for", [](const std::string &device) { return targetFor(device); });
  module.def("fallbacks", &flashc::fallbacks);
  module.attr("ABI_VERSION") = FLASHC_ABI_VERSION;
}

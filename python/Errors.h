//===- Errors.h - statuses as Python exceptions ------------------------------===//
#ifndef FLASHC_PYTHON_ERRORS_H
#define FLASHC_PYTHON_ERRORS_H

#include "runtime/Error.h"

#include <pybind11/pybind11.h>

#include <string>

namespace flashc::python {

/// Throws the Python exception that stands for `status`: TypeError for an element type, OSError for a file,
/// MemoryError, ValueError for every other argument, RuntimeError for what is no argument's fault.
[[noreturn]] inline void throwStatus(flashc_status status, const std::string &message) {
  namespace py = pybind11;
  switch (status) {
  case FLASHC_ERROR_DTYPE:
    throw py::type_error(message);
  case FLASHC_ERROR_IO:
    PyErr_SetString(PyExc_OSError, message.c_str());
    throw py::error_already_set();
  case FLASHC_ERROR_MEMORY:
    PyErr_SetString(PyExc_MemoryError, message.c_str());
    throw py::error_already_set();
  case FLASHC_ERROR_TARGET:
  case FLASHC_ERROR_ABI:
  case FLASHC_ERROR_WORKSPACE:
    PyErr_SetString(PyExc_RuntimeError, message.c_str());
    throw py::error_already_set();
  default:
    throw py::value_error(message);
  }
}

[[noreturn]] inline void throwError(const Error &error) { throwStatus(error.status, error.message); }

} // namespace flashc::python

#endif // FLASHC_PYTHON_ERRORS_H

//===- Reference.cpp - the runtime's float64 oracle for Python ---------------===//

#include "runtime/Reference.h"

#include "python/ArrayDevice.h"
#include "python/Errors.h"
#include "python/Kernel.h"

#include <pybind11/numpy.h>

#include <pybind11/stl.h>

#include <deque>

namespace flashc::python {

namespace {

/// The arrays that a problem reads, held while it is computed.
using Tensors = std::deque<Tensor>;

flashc_tensor read(py::handle object, const char *name, Tensors &tensors) {
  tensors.emplace_back();
  importTensor(object, name, tensors.back());
  if (!isHost(tensors.back().device))
    throw py::value_error(std::string(name) +
                          ": expected an array in the CPU's memory, where the reference is "
                          "computed, got one in " +
                          describePlace(tensors.back().device));
  return tensors.back().view;
}

flashc_tensor readMatrix(py::handle object, const char *name, Layout layout, Tensors &tensors) {
  flashc_tensor view = read(object, name, tensors);
  if (layout == Layout::BSHD && view.rank == 4) {
    std::swap(view.size[1], view.size[2]);
    std::swap(view.stride[1], view.stride[2]);
  }
  return view;
}

flashc_alignment parseAlignment(const std::string &name) {
  if (name == "top_left")
    return FLASHC_TOP_LEFT;
  if (name == "bottom_right")
    return FLASHC_BOTTOM_RIGHT;
  throw py::value_error("alignment: expected 'top_left' or 'bottom_right', got '" + name + "'");
}

/// A clause from the tuple (name, parameters, arrays) that masks.py makes.
MaskClause readClause(const py::tuple &term, Tensors &tensors) {
  const auto name = term[0].cast<std::string>();
  const auto parameters = term[1].cast<py::tuple>();
  const auto arrays = term[2].cast<py::tuple>();
  const auto alignment = [&](size_t i) { return parseAlignment(parameters[i].cast<std::string>()); };
  const auto array = [&](size_t i) { return read(arrays[i], name.c_str(), tensors); };
  if (name == "causal")
    return MaskClause::causal(alignment(0));
  if (name == "window")
    return MaskClause::window(parameters[0].cast<int64_t>(), parameters[1].cast<int64_t>(), alignment(2));
  if (name == "key_lengths")
    return MaskClause::keyLengths(array(0));
  if (name == "key_padding")
    return MaskClause::keyPadding(array(0));
  if (name == "prefix_lm")
    return MaskClause::prefixLM(array(0), alignment(0));
  if (name == "segments") {
    const flashc_tensor queries = array(0);
    return MaskClause::segments(queries, array(1));
  }
  if (name == "tensor")
    return MaskClause::boolean(array(0));
  throw py::value_error("mask: unknown clause '" + name + "'");
}

py::object reference(const py::object &q, const py::object &k, const py::object &v, const py::tuple &masks,
                     const std::optional<double> &scale, const std::optional<double> &softcap, const py::object &bias,
                     const py::object &scoreMod, const py::object &maskMod, const std::string &layoutName) {
  const Layout layout = parseLayout(layoutName);
  Tensors tensors;
  AttentionProblem problem;
  problem.q = readMatrix(q, "q", layout, tensors);
  problem.k = readMatrix(k, "k", layout, tensors);
  problem.v = readMatrix(v, "v", layout, tensors);
  problem.scale = scale;
  problem.softcap = softcap.value_or(0);
  if (!bias.is_none())
    problem.bias = read(bias, "bias", tensors);
  for (py::handle term : masks)
    problem.masks.push_back(readClause(term.cast<py::tuple>(), tensors));
  // A Python function is called from this thread alone; its exception travels through the loops, which hold nothing.
  const bool callsPython = !scoreMod.is_none() || !maskMod.is_none();
  if (!scoreMod.is_none())
    problem.scoreMod = [&](double s, int64_t b, int64_t h, int64_t i, int64_t j) {
      return scoreMod(s, b, h, i, j).cast<double>();
    };
  if (!maskMod.is_none())
    problem.maskMod = [&](int64_t b, int64_t h, int64_t i, int64_t j) { return maskMod(b, h, i, j).cast<bool>(); };
  Result<AttentionResult> result = [&] {
    if (callsPython)
      return referenceAttention(problem, nullptr);
    const py::gil_scoped_release release;
    return referenceAttention(problem);
  }();
  if (!result)
    throwError(result.error());
  std::vector<py::ssize_t> shape = {problem.q.size[0], problem.q.size[1], problem.q.size[2]};
  py::array_t<double> lse(shape, result->lse.data());
  shape.push_back(problem.v.size[3]);
  py::object out = py::array_t<double>(shape, result->out.data());
  if (layout == Layout::BSHD)
    out = out.attr("transpose")(0, 2, 1, 3);
  return py::make_tuple(out, lse);
}

} // namespace

void bindReference(py::module_ &module) {
  module.def("reference", &reference, py::arg("q"), py::arg("k"), py::arg("v"), py::arg("masks"), py::arg("scale"),
             py::arg("softcap"), py::arg("bias"), py::arg("score_mod"), py::arg("mask_mod"), py::arg("layout"));
}

} // namespace flashc::python

//===- PlacedProblem.cpp - a problem's operands where a device can read them --===//

#include "runtime/PlacedProblem.h"

#include <cstring>

using namespace flashc;

/// Bytes of a row-major tensor, which a problem's are.
static size_t bytesOf(const flashc_tensor &tensor) {
  size_t bytes = flashc_dtype_size(tensor.dtype);
  for (int32_t d = 0; d < tensor.rank; ++d)
    bytes *= static_cast<size_t>(tensor.size[d]);
  return bytes;
}

Result<std::unique_ptr<PlacedProblem>> PlacedProblem::create(Device &device, const KernelProblem &problem) {
  std::unique_ptr<PlacedProblem> placed(new PlacedProblem(device, problem));
  placed->args = problem.getArgs();
  if (!device.usesHostMemory())
    if (std::optional<Error> error = placed->place())
      return *error;
  return placed;
}

std::optional<Error> PlacedProblem::place() {
  tensors.assign(args.tensors, args.tensors + args.num_tensors);
  args.tensors = tensors.data();
  for (flashc_tensor &tensor : tensors) {
    const size_t bytes = bytesOf(tensor);
    Result<void *> place = device.allocate(bytes);
    if (!place)
      return place.error();
    memory.push_back(*place);
    // Outputs, too: what a kernel leaves out stays what it was.
    if (std::optional<Error> error = device.copyToDevice(*place, tensor.data, bytes))
      return error;
    tensor.data = *place;
  }
  return std::nullopt;
}

PlacedProblem::~PlacedProblem() {
  for (void *place : memory)
    (void)device.free(place);
}

std::optional<Error> PlacedProblem::fetch() {
  if (std::optional<Error> error = device.synchronize())
    return error;
  for (size_t i = 0; i < tensors.size(); ++i)
    if (problem.isOutput(i))
      if (std::optional<Error> error =
              device.copyToHost(problem.getArgs().tensors[i].data, tensors[i].data, bytesOf(tensors[i])))
        return error;
  return std::nullopt;
}

std::optional<Error> PlacedProblem::spoilOutputs() {
  for (size_t i = 0; i < args.num_tensors; ++i) {
    const flashc_tensor &own = problem.getArgs().tensors[i];
    const size_t bytes = problem.isOutput(i) ? bytesOf(own) : 0;
    if (!bytes)
      continue;
    std::memset(own.data, 0xff, bytes); // a NaN in every format
    if (!tensors.empty())
      if (std::optional<Error> error = device.copyToDevice(tensors[i].data, own.data, bytes))
        return error;
  }
  return std::nullopt;
}

std::optional<Error> PlacedProblem::run(const flashc_kernel &kernel) {
  if (std::optional<Error> error = spoilOutputs())
    return error;
  if (std::optional<Error> error = device.launch(kernel, args))
    return error;
  return fetch();
}

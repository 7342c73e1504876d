//===- PlacedProblem.h - a problem's operands where a device can read them ----===//
#ifndef FLASHC_RUNTIME_PLACEDPROBLEM_H
#define FLASHC_RUNTIME_PLACEDPROBLEM_H

#include "runtime/KernelProblem.h"
#include "runtime/devices/Device.h"

#include <memory>
#include <vector>

namespace flashc {

/// Copies of a problem's operands in a device's memory, for as long as this object; the problem's own where the device
/// reads the host's memory. The problem outlives it.
class PlacedProblem {
public:
  static Result<std::unique_ptr<PlacedProblem>> create(Device &device, const KernelProblem &problem);
  ~PlacedProblem();
  PlacedProblem(const PlacedProblem &) = delete;
  PlacedProblem &operator=(const PlacedProblem &) = delete;

  /// What a kernel on the device is called with.
  const flashc_args &getArgs() const { return args; }

  /// Waits for the device and copies what it wrote to the problem's outputs.
  std::optional<Error> fetch();

  /// Device::launch and fetch, with outputs that nobody has written before: what another kernel left there is not
  /// taken for this one's.
  std::optional<Error> run(const flashc_kernel &kernel);

private:
  PlacedProblem(Device &device, const KernelProblem &problem) : device(device), problem(problem) {}
  std::optional<Error> place();
  std::optional<Error> spoilOutputs();

  Device &device;
  const KernelProblem &problem;
  std::vector<void *> memory;
  std::vector<flashc_tensor> tensors;
  flashc_args args{};
};

} // namespace flashc

#endif // FLASHC_RUNTIME_PLACEDPROBLEM_H

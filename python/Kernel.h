//===- Kernel.h - a kernel as Python calls it --------------------------------===//
#ifndef FLASHC_PYTHON_KERNEL_H
#define FLASHC_PYTHON_KERNEL_H

#include "python/CompilerBridge.h"
#include "python/Interop.h"
#include "python/Tuning.h"

#include <iterator>
#include <memory>
#include <optional>
#include <vector>

namespace flashc::python {

/// The order of the middle dimensions of q, k, v and out. Masks, bias and lse are [B, H, ...] in both.
enum class Layout { BHSD, BSHD };

/// "bhsd" or "bshd"; throws value_error for another name.
Layout parseLayout(const std::string &name);

/// `size` values, on the stack when they are as few as an attention has; a whole module may have hundreds.
template <typename T> class CallArray {
public:
  explicit CallArray(size_t size) {
    if (size > std::size(few))
      many.resize(size);
  }
  T *data() { return many.empty() ? few : many.data(); }
  T &operator[](size_t i) { return data()[i]; }

private:
  T few[12];
  std::vector<T> many;
};

/// A kernel with what a call needs to know of its operands.
class Kernel {
public:
  /// `owner` keeps the kernel's functions alive.
  Kernel(const flashc_kernel &functions, std::shared_ptr<void> owner, Layout layout);

  /// What of a call is not an operand.
  struct Options {
    py::handle out;               ///< an array for the first output, or None
    std::optional<void *> stream; ///< the caller's choice, instead of the framework's current one
  };

  /// Runs the kernel on the operands that are not outputs, in its order; a bias or mask tensor may be any tensor that
  /// broadcasts to the operand's shape. Outputs are made of the first input's kind, but for the first when there is an
  /// `out`. Returns the output, or a tuple of them when there are several. Releases the GIL while the kernel runs,
  /// unless it is over at once.
  py::object call(Tensor *inputs, uint32_t numInputs, Layout layout, const Options &options) const;

  /// The same with Python arguments; `bias` may be given by name.
  py::object callArguments(const py::args &arguments, py::handle bias, const Options &options) const;

  const flashc_kernel_info &info() const { return *functions.info; }
  const std::vector<const char *> &inputNames() const { return names; }

  /// What only a kernel that was compiled here can show; null for a loaded one.
  std::shared_ptr<CompiledKernel> compiled;
  /// The versions for tuned sizes; null for a kernel whose tiles are fixed.
  std::shared_ptr<TunedVersions> versions;
  /// The folder a kernel was loaded from, else "".
  std::string path;

private:
  struct Operand {
    const flashc_operand_info *info;
    bool output;
    bool matrix; ///< q, k, v or out: the operands that `layout` permutes
  };

  void bindInput(const Operand &operand, Tensor &input, Layout layout, int64_t *sizes, flashc_tensor &view) const;
  void resolveSizes(const Operand &operand, const int64_t *sizes, flashc_tensor &view) const;

  /// The device for operands that lie on `place`; throws where there is none.
  Device &findDevice(DLDevice place) const;
  /// The arrays of a call on a device: what it reads, an output that was given (null: none), and all results.
  struct Arrays {
    const Tensor *inputs;
    uint32_t numInputs;
    const Tensor *out;
    const py::object *results;
    uint32_t numResults;
  };
  /// Launches on the stream that was given, else on the first operand's, without waiting.
  std::optional<Error> launch(Device &runs, const flashc_kernel &chosen, const flashc_args &args, const Arrays &arrays,
                              std::optional<void *> given) const;

  flashc_kernel functions;
  bool device = false; ///< compiled for another device than the CPU
  /// The device of the last call; read and written with the GIL.
  mutable Device *lastDevice = nullptr;
  mutable DLDevice lastPlace = {kDLCPU, 0};
  std::shared_ptr<void> owner;
  Layout layout;
  std::vector<Operand> operands;
  std::vector<const char *> names; ///< names of the operands that are not outputs
};

void bindKernel(py::module_ &module);
void bindAttention(py::module_ &module);
void bindReference(py::module_ &module);
void bindTuning(py::module_ &module);

} // namespace flashc::python

#endif // FLASHC_PYTHON_KERNEL_H

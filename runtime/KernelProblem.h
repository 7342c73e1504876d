//===- KernelProblem.h - operands for a kernel, and what it should make of them ===//
#ifndef FLASHC_RUNTIME_KERNELPROBLEM_H
#define FLASHC_RUNTIME_KERNELPROBLEM_H

#include "runtime/Error.h"
#include "runtime/Reference.h"

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace flashc {

/// Sizes of one attention.
struct ProblemSizes {
  int64_t batch = 1, heads = 8, kvHeads = 8, queries = 1024, keys = 1024;

  /// "B2 Hq4/2 Sq17 Sk33".
  std::string describe() const;

  /// Reads "batch,heads,queries", "batch,heads,queries,keys" or "batch,heads,kv_heads,queries,keys", each at least 1;
  /// the error says what is wrong.
  static Result<ProblemSizes> parse(const std::string &text);
};

/// Random operands of a kernel in memory of their own, and their meaning by the kernel's metadata.
class KernelProblem {
public:
  /// `metadata` is the text of kernel.json. Fails when the kernel has an operand whose size or meaning is not known
  /// here (a compiled module's, for example).
  static Result<std::unique_ptr<KernelProblem>> create(const flashc_kernel_info &info, const std::string &metadata,
                                                       const ProblemSizes &sizes, uint64_t seed);

  const flashc_args &getArgs() const { return args; }
  const AttentionProblem &getReference() const { return reference; }
  /// The tensor called `name`, or null.
  const flashc_tensor *find(const std::string &name) const;
  /// Whether the tensor at `index` is written by the kernel.
  bool isOutput(size_t index) const { return outputs[index]; }
  /// Whether the kernel computes what the reference can: a score function is known to the compiler alone.
  bool isVerifiable() const { return verifiable; }
  /// Whether the kernel's products round their float32 operands to tf32.
  bool usesTf32() const { return tf32; }
  /// Floating-point operations of the two products, masks not counted.
  double getFlops() const;
  const ProblemSizes &getSizes() const { return sizes; }

private:
  std::optional<Error> build(const flashc_kernel_info &info, const std::string &metadata, uint64_t seed);
  std::optional<Error> readMasks(const std::string &text);

  ProblemSizes sizes;
  std::deque<std::vector<char>> memory;
  std::vector<flashc_tensor> tensors;
  std::vector<std::string> names;
  std::vector<bool> outputs;
  flashc_args args{};
  AttentionProblem reference;
  bool verifiable = true, tf32 = false;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_KERNELPROBLEM_H

/// Operands for a kernel, and the same problem for the reference.
#ifndef FLASHC_TOOLS_FLASHRUN_PROBLEM_H
#define FLASHC_TOOLS_FLASHRUN_PROBLEM_H

#include "Arguments.h"

#include "runtime/Pack.h"
#include "runtime/Reference.h"

#include <nlohmann/json_fwd.hpp>

#include <deque>
#include <string>
#include <vector>

namespace flashc {

/// Random operands of a kernel in memory of their own, and their meaning by the kernel's metadata.
class Problem {
public:
  /// Fails when the kernel has an operand whose size or meaning is not known here (a compiled module's, for example).
  static Result<std::unique_ptr<Problem>> create(const LoadedPack &pack, const ProblemSizes &sizes, uint64_t seed);

  const flashc_args &getArgs() const { return args; }
  const AttentionProblem &getReference() const { return reference; }
  /// The tensor called `name`, or null.
  const flashc_tensor *find(const std::string &name) const;
  /// Whether the kernel computes what the reference can: a score function is known to the compiler alone.
  bool isVerifiable() const { return verifiable; }
  /// Floating-point operations of the two products, masks not counted.
  double getFlops() const;
  /// "B2 Hq4/2 Sq17 Sk33".
  std::string describe() const;

private:
  std::optional<Error> build(const LoadedPack &pack, uint64_t seed);
  std::optional<Error> readMasks(const std::string &text);

  ProblemSizes sizes;
  std::deque<std::vector<char>> memory;
  std::vector<flashc_tensor> tensors;
  std::vector<std::string> names;
  flashc_args args{};
  AttentionProblem reference;
  bool verifiable = true;
};

} // namespace flashc

#endif // FLASHC_TOOLS_FLASHRUN_PROBLEM_H
